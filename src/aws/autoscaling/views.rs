//! Facts from Auto Scaling's answers.

use aws_sdk_autoscaling::types::{
    AutoScalingGroup, AutoScalingInstanceDetails, Instance, InstanceRefreshStatus,
    LaunchTemplateSpecification, LifecycleHook, LifecycleState, RetentionAction,
};
use ecs_drain_state::ActionResult;
use std::collections::{BTreeMap, BTreeSet};

/// Heartbeat timeout of a hook whose answer has none, in seconds. (Source: Auto Scaling API
/// reference, PutLifecycleHook.)
const DEFAULT_HEARTBEAT_TIMEOUT: u32 = 3600;

/// Longest time for which heartbeats can hold an instance, in seconds. (Source: Auto Scaling API
/// reference, LifecycleHook: 48 hours, or 100 times the heartbeat timeout, whichever is smaller.)
const LONGEST_WAIT: u32 = 172_800;

/// A group. (Source: Auto Scaling API reference, AutoScalingGroup.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupView {
    pub name: String,
    pub tags: BTreeMap<String, String>,
    /// Its instances, without those of its warm pool; empty if they were not requested.
    pub members: Vec<MemberView>,
    /// Desired capacity.
    pub desired: u32,
    /// Minimum size.
    pub minimum: u32,
    /// Maximum size.
    pub maximum: u32,
    /// Launch template of new instances, the group's own or the one of its mixed instances policy.
    /// Its version can be `$Latest` or `$Default`. `None` for a launch configuration.
    pub template: Option<LaunchTemplate>,
    /// Names of its suspended processes.
    pub suspended: BTreeSet<String>,
    /// ARNs of target groups that are attached to the group itself, sorted.
    pub target_groups: Vec<String>,
    /// Names of classic load balancers that are attached to the group itself, sorted.
    pub classic: Vec<String>,
    pub has_warm_pool: bool,
    /// True if the group retains an instance whose termination is abandoned (`TerminateHookAbandon:
    /// retain`).
    pub retains_abandoned: bool,
    /// True while the group is being deleted.
    pub deleting: bool,
}

/// An instance of a group or of its warm pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberView {
    /// Id of the EC2 instance.
    pub instance_id: String,
    /// Auto Scaling's lifecycle state.
    pub lifecycle_state: String,
    /// True if the group reports it as healthy.
    pub healthy: bool,
    /// True if it is protected from scale-in.
    pub protected: bool,
    /// Launch template that it was launched from, with a version in digits. `None` for a launch
    /// configuration, and for an instance that was attached to its group.
    pub template: Option<LaunchTemplate>,
}

/// A launch template. (Source: Auto Scaling API reference, LaunchTemplateSpecification.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LaunchTemplate {
    /// Its id; its name if the answer has no id.
    pub id: String,
    /// Version: digits, `$Latest` or `$Default`.
    pub version: String,
}

/// A lifecycle hook. (Source: Auto Scaling API reference, LifecycleHook.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HookView {
    pub name: String,
    /// True for a termination hook, false for a launch hook.
    pub terminating: bool,
    /// Time for which one heartbeat holds an instance, in seconds.
    pub heartbeat_timeout_seconds: u32,
    /// Global timeout: the time for which heartbeats can hold an instance, in seconds.
    pub global_timeout_seconds: u32,
    /// Result when a timeout ends the wait.
    pub default_result: ActionResult,
}

/// Returns false only for `Unhealthy`; any other status is no reason to give up an instance.
/// (Source: Auto Scaling API reference, Instance: `Healthy` or `Unhealthy`;
/// AutoScalingInstanceDetails spells them in capitals.)
fn is_healthy(status: Option<&str>) -> bool {
    !status.is_some_and(|status| status.eq_ignore_ascii_case("unhealthy"))
}

pub(super) fn member(from: Instance) -> Option<MemberView> {
    Some(MemberView {
        lifecycle_state: from
            .lifecycle_state
            .as_ref()
            .map(LifecycleState::as_str)
            .unwrap_or_default()
            .to_owned(),
        healthy: is_healthy(from.health_status.as_deref()),
        protected: from.protected_from_scale_in.unwrap_or(false),
        template: from.launch_template.and_then(template),
        instance_id: from.instance_id?,
    })
}

/// Converts the answer about an instance by its id.
pub(super) fn detailed(from: AutoScalingInstanceDetails) -> Option<MemberView> {
    Some(MemberView {
        lifecycle_state: from.lifecycle_state.unwrap_or_default(),
        healthy: is_healthy(from.health_status.as_deref()),
        protected: from.protected_from_scale_in.unwrap_or(false),
        template: from.launch_template.and_then(template),
        instance_id: from.instance_id?,
    })
}

/// Converts a launch template. One without a version has the default one. (Source: Auto Scaling API
/// reference, LaunchTemplateSpecification.)
fn template(from: LaunchTemplateSpecification) -> Option<LaunchTemplate> {
    Some(LaunchTemplate {
        version: from.version.unwrap_or_else(|| "$Default".to_owned()),
        id: from.launch_template_id.or(from.launch_template_name)?,
    })
}

/// Returns whether an instance refresh has begun and not ended. An unknown status is no end.
pub(super) fn goes_on(status: Option<&InstanceRefreshStatus>) -> bool {
    const ENDS: [InstanceRefreshStatus; 5] = [
        InstanceRefreshStatus::Successful,
        InstanceRefreshStatus::Failed,
        InstanceRefreshStatus::Cancelled,
        InstanceRefreshStatus::RollbackSuccessful,
        InstanceRefreshStatus::RollbackFailed,
    ];
    !status.is_some_and(|status| ENDS.contains(status))
}

pub(super) fn group(from: AutoScalingGroup) -> Option<GroupView> {
    let retention = from.instance_lifecycle_policy().and_then(|policy| policy.retention_triggers());
    let retention = retention.and_then(|triggers| triggers.terminate_hook_abandon());
    let tags = from.tags().iter().filter_map(|tag| {
        Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))
    });
    // Balancers can be attached by their own calls or as traffic sources, which the answer lists
    // separately.
    let sources = |kind: &'static str| {
        let sources =
            from.traffic_sources().iter().filter(move |source| source.r#type() == Some(kind));
        sources.filter_map(|source| source.identifier().map(str::to_owned))
    };
    let target_groups: BTreeSet<String> =
        from.target_group_arns().iter().cloned().chain(sources("elbv2")).collect();
    let classic: BTreeSet<String> =
        from.load_balancer_names().iter().cloned().chain(sources("elb")).collect();
    let size = |size: Option<i32>| size.and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
    let suspended = from.suspended_processes().iter();
    let mixed = from.mixed_instances_policy().and_then(|policy| policy.launch_template());
    let mixed = mixed.and_then(|mixed| mixed.launch_template_specification());
    let launched_from = from.launch_template().or(mixed).cloned();
    Some(GroupView {
        tags: tags.collect(),
        desired: size(from.desired_capacity),
        minimum: size(from.min_size),
        maximum: size(from.max_size),
        template: launched_from.and_then(template),
        suspended: suspended.filter_map(|one| one.process_name().map(str::to_owned)).collect(),
        target_groups: target_groups.into_iter().collect(),
        classic: classic.into_iter().collect(),
        has_warm_pool: from.warm_pool_configuration().is_some(),
        retains_abandoned: retention == Some(&RetentionAction::Retain),
        deleting: from.status().is_some(),
        members: from.instances.unwrap_or_default().into_iter().filter_map(member).collect(),
        name: from.auto_scaling_group_name?,
    })
}

pub(super) fn hook(from: LifecycleHook) -> Option<HookView> {
    let positive = |number: Option<i32>| {
        number.and_then(|number| u32::try_from(number).ok()).filter(|n| *n > 0)
    };
    let heartbeat = positive(from.heartbeat_timeout).unwrap_or(DEFAULT_HEARTBEAT_TIMEOUT);
    let longest = heartbeat.saturating_mul(100).min(LONGEST_WAIT);
    Some(HookView {
        terminating: from.lifecycle_transition.as_deref()
            == Some("autoscaling:EC2_INSTANCE_TERMINATING"),
        heartbeat_timeout_seconds: heartbeat,
        global_timeout_seconds: positive(from.global_timeout).unwrap_or(longest),
        // ABANDON is Auto Scaling's default.
        default_result: match from.default_result.as_deref() {
            Some("CONTINUE") => ActionResult::Continue,
            Some(_) | None => ActionResult::Abandon,
        },
        name: from.lifecycle_hook_name?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use aws_sdk_autoscaling::types::{
        InstanceLifecyclePolicy, LaunchTemplate as MixedTemplate, MixedInstancesPolicy,
        RetentionTriggers, TrafficSourceIdentifier,
    };

    #[test]
    fn a_hook_without_numbers_has_the_documented_ones() {
        let view =
            hook(LifecycleHook::builder().lifecycle_hook_name("h").heartbeat_timeout(30).build())
                .unwrap();
        assert_eq!((view.heartbeat_timeout_seconds, view.global_timeout_seconds), (30, 3000));
        assert_eq!(view.default_result, ActionResult::Abandon);
        assert!(!view.terminating);
        let view = hook(LifecycleHook::builder().lifecycle_hook_name("h").build()).unwrap();
        assert_eq!((view.heartbeat_timeout_seconds, view.global_timeout_seconds), (3600, 172_800));
    }

    #[test]
    fn a_group_shows_every_balancer_and_what_it_retains() {
        let triggers =
            RetentionTriggers::builder().terminate_hook_abandon(RetentionAction::Retain).build();
        let from = AutoScalingGroup::builder()
            .auto_scaling_group_name("web")
            .target_group_arns("b")
            .traffic_sources(
                TrafficSourceIdentifier::builder().identifier("a").r#type("elbv2").build(),
            )
            .traffic_sources(
                TrafficSourceIdentifier::builder().identifier("b").r#type("elbv2").build(),
            )
            .traffic_sources(
                TrafficSourceIdentifier::builder().identifier("old").r#type("elb").build(),
            )
            .instance_lifecycle_policy(
                InstanceLifecyclePolicy::builder().retention_triggers(triggers).build(),
            )
            .instances(Instance::builder().instance_id("i-1").health_status("Unhealthy").build())
            .build();
        let view = group(from).unwrap();
        assert_eq!(view.target_groups, ["a", "b"]);
        assert_eq!(view.classic, ["old"]);
        assert!(view.retains_abandoned && !view.deleting && !view.has_warm_pool);
        assert!(!view.members[0].healthy);
    }

    #[test]
    fn a_launch_template_is_the_groups_own_or_its_policys() {
        let specification = |version: Option<&str>| {
            LaunchTemplateSpecification::builder()
                .launch_template_id("lt-1")
                .launch_template_name("web")
                .set_version(version.map(str::to_owned))
                .build()
        };
        let of =
            |version: &str| Some(LaunchTemplate { id: "lt-1".into(), version: version.into() });
        let from = || AutoScalingGroup::builder().auto_scaling_group_name("web");
        let own = from().launch_template(specification(Some("$Latest"))).max_size(9);
        let instance =
            Instance::builder().instance_id("i-1").launch_template(specification(Some("7")));
        let view = group(own.instances(instance.build()).build()).unwrap();
        assert_eq!((view.maximum, view.template), (9, of("$Latest")));
        assert_eq!(view.members[0].template, of("7"));
        let mixed =
            MixedTemplate::builder().launch_template_specification(specification(None)).build();
        let policy = MixedInstancesPolicy::builder().launch_template(mixed).build();
        let view = group(from().mixed_instances_policy(policy).build()).unwrap();
        assert_eq!(view.template, of("$Default"));
        assert_eq!(group(from().build()).unwrap().template, None);
        let details = AutoScalingInstanceDetails::builder().instance_id("i-1");
        let details = details.launch_template(specification(Some("7"))).build();
        assert_eq!(detailed(details).unwrap().template, of("7"));
    }

    #[test]
    fn a_refresh_goes_on_until_its_status_says_that_it_ended() {
        for (status, expected) in [
            ("Pending", true),
            ("InProgress", true),
            ("Cancelling", true),
            ("RollbackInProgress", true),
            ("Baking", true),
            ("ANewerOne", true),
            ("Successful", false),
            ("Failed", false),
            ("Cancelled", false),
            ("RollbackSuccessful", false),
            ("RollbackFailed", false),
        ] {
            assert_eq!(goes_on(Some(&InstanceRefreshStatus::from(status))), expected, "{status}");
        }
        assert!(goes_on(None));
    }
}
