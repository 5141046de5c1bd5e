//! Auto Scaling: reads of groups, instances and hooks, and three changes: heartbeat, completion,
//! termination.

mod changes;

use super::caller::{Caller, next_page};
use super::calls::{
    COMPLETE_LIFECYCLE_ACTION, DESCRIBE_AUTO_SCALING_GROUPS, DESCRIBE_AUTO_SCALING_INSTANCES,
    DESCRIBE_LIFECYCLE_HOOKS, DESCRIBE_WARM_POOL, RECORD_LIFECYCLE_ACTION_HEARTBEAT,
    TERMINATE_INSTANCE_IN_AUTO_SCALING_GROUP,
};
use super::error::{AwsError, ErrorClass};
use super::limiter::Permit;
use aws_sdk_autoscaling::config::retry::RetryConfig;
use aws_sdk_autoscaling::types::{
    AutoScalingGroup, Instance, LifecycleHook, LifecycleState, RetentionAction,
};
use ecs_drain_state::{ActionResult, CompletionAnswer};
use std::collections::{BTreeMap, BTreeSet};

/// Names, or instance ids, in one call, and the size of pages of instances. (Source: Auto Scaling
/// API reference, DescribeAutoScalingGroups, DescribeAutoScalingInstances and DescribeWarmPool.)
const NAMES: usize = 50;
const PAGE_OF_INSTANCES: i32 = 50;

/// Groups of one page. (Source: Auto Scaling API reference, DescribeAutoScalingGroups: 100 at
/// most.)
const PAGE_OF_GROUPS: i32 = 100;

/// Heartbeat timeout of a hook whose answer has none, in seconds. (Source: Auto Scaling API
/// reference, PutLifecycleHook.)
const DEFAULT_HEARTBEAT_TIMEOUT: u32 = 3600;

/// Longest time for which heartbeats can hold an instance, in seconds. (Source: Auto Scaling API
/// reference, LifecycleHook: 48 hours, or 100 times the heartbeat timeout, whichever is smaller.)
const LONGEST_WAIT: u32 = 172_800;

/// A group. (Source: Auto Scaling API reference, AutoScalingGroup.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    pub name: String,
    pub tags: BTreeMap<String, String>,
    /// Its instances, without those of its warm pool; empty if they were not requested.
    pub members: Vec<MemberView>,
    /// Desired capacity.
    pub desired: u32,
    /// Minimum size.
    pub minimum: u32,
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
pub struct MemberView {
    /// Id of the EC2 instance.
    pub instance_id: String,
    /// Auto Scaling's lifecycle state.
    pub lifecycle_state: String,
    /// True if the group reports it as healthy.
    pub healthy: bool,
    /// True if it is protected from scale-in.
    pub protected: bool,
}

/// A lifecycle hook. (Source: Auto Scaling API reference, LifecycleHook.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookView {
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

/// Auto Scaling's answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// The hook's timeout was restarted.
    Accepted,
    /// `No active Lifecycle Action found`: this hook's action is over, or has not begun.
    NoActiveAction,
}

/// Auto Scaling in one account and region.
#[derive(Clone, Debug)]
pub struct AutoScaling {
    client: aws_sdk_autoscaling::Client,
    caller: Caller,
}

impl AutoScaling {
    pub(super) fn new(client: aws_sdk_autoscaling::Client, caller: Caller) -> AutoScaling {
        AutoScaling { client, caller }
    }

    /// Reads these groups, or all. Omits names that do not exist. Including the instances costs
    /// more (source: Auto Scaling API reference, "Welcome").
    ///
    /// # Errors
    /// Returns an error if a page could not be read: a part of the list is never taken for the
    /// whole.
    pub async fn groups(
        &self,
        names: Option<&[String]>,
        with_instances: bool,
    ) -> Result<Vec<GroupView>, AwsError> {
        let mut groups = Vec::new();
        match names {
            None => self.groups_named(None, with_instances, &mut groups).await?,
            Some(names) => {
                for some in names.chunks(NAMES) {
                    self.groups_named(Some(some.to_vec()), with_instances, &mut groups).await?;
                }
            }
        }
        Ok(groups)
    }

    async fn groups_named(
        &self,
        names: Option<Vec<String>>,
        with_instances: bool,
        groups: &mut Vec<GroupView>,
    ) -> Result<(), AwsError> {
        let call = &DESCRIBE_AUTO_SCALING_GROUPS;
        let on = match names.as_deref() {
            None => format!("region {}", self.caller.region),
            Some(names) => format!("groups {}", names.join(", ")),
        };
        let mut token = None;
        loop {
            let request = self
                .client
                .describe_auto_scaling_groups()
                .set_auto_scaling_group_names(names.clone());
            let request = request.include_instances(with_instances).max_records(PAGE_OF_GROUPS);
            let page =
                self.caller.make(call, &on, request.set_next_token(token.clone()).send()).await?;
            token = next_page(call, &on, token.as_deref(), page.next_token())?;
            groups
                .extend(page.auto_scaling_groups.unwrap_or_default().into_iter().filter_map(group));
            if token.is_none() {
                return Ok(());
            }
        }
    }

    /// Reads the instances of a group's warm pool, which [`AutoScaling::groups`] does not return.
    ///
    /// # Errors
    /// Returns an error if a page could not be read. A group that does not exist has no pool.
    pub async fn warm_pool(&self, group: &str) -> Result<Vec<MemberView>, AwsError> {
        let on = of_group(group);
        let mut members = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.describe_warm_pool().auto_scaling_group_name(group);
            let request = request.max_records(PAGE_OF_INSTANCES).set_next_token(token.clone());
            let page = match self.caller.make(&DESCRIBE_WARM_POOL, &on, request.send()).await {
                Err(error) if group_is_gone(&error) => return Ok(Vec::new()),
                answer => answer?,
            };
            token = next_page(&DESCRIBE_WARM_POOL, &on, token.as_deref(), page.next_token())?;
            members.extend(page.instances.unwrap_or_default().into_iter().filter_map(member));
            if token.is_none() {
                return Ok(members);
            }
        }
    }

    /// Reads these instances, each with the name of its group. An instance that is omitted is in no
    /// group (any more): Auto Scaling ignores unknown ids.
    ///
    /// # Errors
    /// Returns an error if a page could not be read.
    pub async fn instances(&self, ids: &[String]) -> Result<Vec<(MemberView, String)>, AwsError> {
        let call = &DESCRIBE_AUTO_SCALING_INSTANCES;
        let mut found = Vec::new();
        for some in ids.chunks(NAMES) {
            let on = format!("instances {}", some.join(", "));
            let mut token = None;
            loop {
                let request = self
                    .client
                    .describe_auto_scaling_instances()
                    .set_instance_ids(Some(some.to_vec()));
                let request = request.max_records(PAGE_OF_INSTANCES).set_next_token(token.clone());
                let page = self.caller.make(call, &on, request.send()).await?;
                token = next_page(call, &on, token.as_deref(), page.next_token())?;
                found.extend(
                    page.auto_scaling_instances.unwrap_or_default().into_iter().filter_map(
                        |details| {
                            let member = MemberView {
                                instance_id: details.instance_id?,
                                lifecycle_state: details.lifecycle_state.unwrap_or_default(),
                                healthy: is_healthy(details.health_status.as_deref()),
                                protected: details.protected_from_scale_in.unwrap_or(false),
                            };
                            Some((member, details.auto_scaling_group_name?))
                        },
                    ),
                );
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Reads the hooks of a group.
    ///
    /// # Errors
    /// Returns an error if they could not be read. A group that does not exist has no hook.
    pub async fn hooks(&self, group: &str) -> Result<Vec<HookView>, AwsError> {
        let permit = self.caller.permit(&DESCRIBE_LIFECYCLE_HOOKS).await;
        self.hooks_in_turn(permit, group).await
    }

    /// Reads the hooks of a group, with a permit of the caller.
    ///
    /// # Errors
    /// Returns an error if they could not be read.
    pub async fn hooks_in_turn(
        &self,
        permit: Permit,
        group: &str,
    ) -> Result<Vec<HookView>, AwsError> {
        let request = self.client.describe_lifecycle_hooks().auto_scaling_group_name(group);
        match self
            .caller
            .send(permit, &DESCRIBE_LIFECYCLE_HOOKS, &of_group(group), request.send())
            .await
        {
            Ok(answer) => Ok(answer
                .lifecycle_hooks
                .unwrap_or_default()
                .into_iter()
                .filter_map(hook)
                .collect()),
            Err(error) if group_is_gone(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Restarts a hook's timeout for an instance.
    ///
    /// # Errors
    /// Returns an error if it is unknown whether the heartbeat was applied.
    pub async fn heartbeat(
        &self,
        group: &str,
        hook: &str,
        instance: &str,
    ) -> Result<Beat, AwsError> {
        let request =
            self.client.record_lifecycle_action_heartbeat().auto_scaling_group_name(group);
        let request = request.lifecycle_hook_name(hook).instance_id(instance);
        let on = of_action(group, hook, instance);
        match self.caller.make(&RECORD_LIFECYCLE_ACTION_HEARTBEAT, &on, request.send()).await {
            Ok(_) => Ok(Beat::Accepted),
            Err(error) if error.class == ErrorClass::NoActiveAction => Ok(Beat::NoActiveAction),
            Err(error) => Err(error),
        }
    }

    /// Completes a hook's lifecycle action for an instance. Never returns
    /// [`CompletionAnswer::Failed`].
    ///
    /// # Errors
    /// Returns an error if it is unknown whether the completion was applied.
    pub async fn complete(
        &self,
        group: &str,
        hook: &str,
        instance: &str,
        result: ActionResult,
    ) -> Result<CompletionAnswer, AwsError> {
        let request = self.client.complete_lifecycle_action().auto_scaling_group_name(group);
        let request = request.lifecycle_hook_name(hook).instance_id(instance);
        let request = request.lifecycle_action_result(result.as_str());
        let on = of_action(group, hook, instance);
        match self.caller.make(&COMPLETE_LIFECYCLE_ACTION, &on, request.send()).await {
            Ok(_) => Ok(CompletionAnswer::Accepted),
            Err(error) if error.class == ErrorClass::NoActiveAction => {
                Ok(CompletionAnswer::NoActiveAction)
            }
            Err(error) => Err(error),
        }
    }
}

impl AutoScaling {
    /// Asks a group to terminate one of its instances; its hooks hold the instance as in any
    /// termination. With `shrink` the group's desired capacity is lowered by one, otherwise the
    /// group launches another instance.
    ///
    /// The call is made once. If its answer is lost, only a read of the group shows whether it was
    /// applied, and a second call could lower the desired capacity twice.
    ///
    /// # Errors
    /// Returns an error if the call was refused, or it is unknown whether it was applied.
    pub async fn terminate(
        &self,
        group: &str,
        instance: &str,
        shrink: bool,
    ) -> Result<(), AwsError> {
        let once =
            aws_sdk_autoscaling::config::Builder::new().retry_config(RetryConfig::disabled());
        let request = self.client.terminate_instance_in_auto_scaling_group().instance_id(instance);
        let request =
            request.should_decrement_desired_capacity(shrink).customize().config_override(once);
        let on = format!("instance {instance} (group {group})");
        self.caller
            .make(&TERMINATE_INSTANCE_IN_AUTO_SCALING_GROUP, &on, request.send())
            .await
            .map(|_| ())
    }
}

/// Returns the subject of a call on a group, for errors.
fn of_group(group: &str) -> String {
    format!("group {group}")
}

/// Returns the subject of a call on a lifecycle action, for errors.
fn of_action(group: &str, hook: &str, instance: &str) -> String {
    format!("instance {instance} (group {group}, hook {hook})")
}

/// Checks whether the error says that the group is gone. `ValidationError` can mean anything, so
/// the text decides. `AutoScalingGroup name not found` is Auto Scaling's own text, whatever follows
/// it.
fn group_is_gone(error: &AwsError) -> bool {
    error.code.as_deref() == Some("ValidationError")
        && error.message.to_ascii_lowercase().contains("autoscalinggroup name not found")
}

/// Returns false only for `Unhealthy`; any other status is no reason to give up an instance.
/// (Source: Auto Scaling API reference, Instance: `Healthy` or `Unhealthy`;
/// AutoScalingInstanceDetails spells them in capitals.)
fn is_healthy(status: Option<&str>) -> bool {
    !status.is_some_and(|status| status.eq_ignore_ascii_case("unhealthy"))
}

fn member(from: Instance) -> Option<MemberView> {
    Some(MemberView {
        lifecycle_state: from
            .lifecycle_state
            .as_ref()
            .map(LifecycleState::as_str)
            .unwrap_or_default()
            .to_owned(),
        healthy: is_healthy(from.health_status.as_deref()),
        protected: from.protected_from_scale_in.unwrap_or(false),
        instance_id: from.instance_id?,
    })
}

fn group(from: AutoScalingGroup) -> Option<GroupView> {
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
    Some(GroupView {
        tags: tags.collect(),
        desired: size(from.desired_capacity),
        minimum: size(from.min_size),
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

fn hook(from: LifecycleHook) -> Option<HookView> {
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
        InstanceLifecyclePolicy, RetentionTriggers, TrafficSourceIdentifier,
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
    fn only_clear_words_make_a_group_gone() {
        let mut error = AwsError::incomplete(&DESCRIBE_LIFECYCLE_HOOKS, "group g", "");
        error.code = Some("ValidationError".to_owned());
        error.message = "AutoScalingGroup name not found - no such group: g".to_owned();
        assert!(group_is_gone(&error));
        error.message = "1 validation error detected".to_owned();
        assert!(!group_is_gone(&error));
    }
}
