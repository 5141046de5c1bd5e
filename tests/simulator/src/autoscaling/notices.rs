//! Notifications about lifecycle hooks: to EventBridge, and to the hooks' topic.

use serde_json::json;

use super::HookSpec;
use super::hooks::Transition;
use super::member::Member;
use super::state::Journey;
use crate::ACCOUNT;
use crate::events::Notice;

/// Writes the notices of a lifecycle action's beginning: one event and one message, with the same
/// fields. AWS sends the event for every hook, even for one that notifies no topic. Source: EC2
/// Auto Scaling guide, "Event reference", "Prepare to add a lifecycle hook" and "Instance refresh
/// events"; the messages' text as published captures show it, `Origin` and `Destination` included.
pub(super) fn action_begun(
    group_arn: &str,
    member: &Member,
    hook: &HookSpec,
    token: &str,
) -> [Notice; 2] {
    let (detail_type, verb) = match hook.transition {
        Transition::Launching => ("EC2 Instance-launch Lifecycle Action", "LAUNCHING"),
        Transition::Terminating => ("EC2 Instance-terminate Lifecycle Action", "TERMINATING"),
    };
    let mut detail = json!({
        "LifecycleActionToken": token,
        "AutoScalingGroupName": member.group,
        "LifecycleHookName": hook.name,
        "EC2InstanceId": member.id,
        "LifecycleTransition": hook.transition.as_str(),
        "Origin": member.origin,
        "Destination": member.journey.destination(),
    });
    if let Some(detail) = detail.as_object_mut().filter(|_| member.journey == Journey::RootVolume) {
        detail.insert("Action".to_owned(), "ReplaceRootVolume".into());
    }
    let mut message = detail.clone();
    if let Some(message) = message.as_object_mut() {
        message.insert("AccountId".to_owned(), ACCOUNT.into());
        message.insert("Service".to_owned(), "AWS Auto Scaling".into());
    }
    let subject =
        format!("Auto Scaling:  Lifecycle action '{verb}' for instance {} in progress.", member.id);
    let resources = vec![group_arn.to_owned()];
    [
        Notice::Event { detail_type, source: "aws.autoscaling", resources, detail },
        Notice::Topic { subject, message },
    ]
}

/// Writes the message that the topic gets when a hook was put: it has no token, instance and hook.
/// Source: Auto Scaling API reference, PutLifecycleHook; published captures.
pub(super) fn test_notification(group: &str, group_arn: &str) -> Notice {
    Notice::Topic {
        subject: format!("Auto Scaling: test notification for group \"{group}\""),
        message: json!({
            "AccountId": ACCOUNT,
            "AutoScalingGroupARN": group_arn,
            "AutoScalingGroupName": group,
            "Event": "autoscaling:TEST_NOTIFICATION",
            "Service": "AWS Auto Scaling",
        }),
    }
}
