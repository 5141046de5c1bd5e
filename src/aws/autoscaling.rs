//! Auto Scaling: reads of groups, instances and hooks, and four changes: heartbeat, completion,
//! termination, desired capacity.

mod changes;
mod views;

pub(crate) use views::{GroupView, HookView, LaunchTemplate, MemberView};

use super::caller::{Caller, next_page};
use super::calls::{
    COMPLETE_LIFECYCLE_ACTION, DESCRIBE_AUTO_SCALING_GROUPS, DESCRIBE_AUTO_SCALING_INSTANCES,
    DESCRIBE_INSTANCE_REFRESHES, DESCRIBE_LIFECYCLE_HOOKS, DESCRIBE_WARM_POOL,
    RECORD_LIFECYCLE_ACTION_HEARTBEAT, TERMINATE_INSTANCE_IN_AUTO_SCALING_GROUP,
};
use super::error::{AwsError, ErrorClass};
use super::limiter::Permit;
use aws_sdk_autoscaling::config::retry::RetryConfig;
use ecs_drain_state::{ActionResult, CompletionAnswer};

/// Names, or instance ids, in one call, and the size of pages of instances. (Source: Auto Scaling
/// API reference, DescribeAutoScalingGroups, DescribeAutoScalingInstances and DescribeWarmPool.)
const NAMES: usize = 50;
const PAGE_OF_INSTANCES: i32 = 50;

/// Instance refreshes of one page. (Source: Auto Scaling API reference, DescribeInstanceRefreshes.)
const PAGE_OF_REFRESHES: i32 = 100;

/// Groups of one page. (Source: Auto Scaling API reference, DescribeAutoScalingGroups: 100 at
/// most.)
const PAGE_OF_GROUPS: i32 = 100;

/// Auto Scaling's answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
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
    pub(crate) async fn groups(
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
            groups.extend(
                page.auto_scaling_groups.unwrap_or_default().into_iter().filter_map(views::group),
            );
            if token.is_none() {
                return Ok(());
            }
        }
    }

    /// Reads the instances of a group's warm pool, which [`AutoScaling::groups`] does not return.
    ///
    /// # Errors
    /// Returns an error if a page could not be read. A group that does not exist has no pool.
    pub(crate) async fn warm_pool(&self, group: &str) -> Result<Vec<MemberView>, AwsError> {
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
            members
                .extend(page.instances.unwrap_or_default().into_iter().filter_map(views::member));
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
    pub(crate) async fn instances(
        &self,
        ids: &[String],
    ) -> Result<Vec<(MemberView, String)>, AwsError> {
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
                            let group = details.auto_scaling_group_name.clone()?;
                            Some((views::detailed(details)?, group))
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
    pub(crate) async fn hooks(&self, group: &str) -> Result<Vec<HookView>, AwsError> {
        let permit = self.caller.permit(&DESCRIBE_LIFECYCLE_HOOKS).await;
        self.hooks_in_turn(permit, group).await
    }

    /// Reads the hooks of a group, with a permit of the caller.
    ///
    /// # Errors
    /// Returns an error if they could not be read.
    pub(crate) async fn hooks_in_turn(
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
                .filter_map(views::hook)
                .collect()),
            Err(error) if group_is_gone(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns whether an instance refresh of a group has begun and not ended.
    ///
    /// # Errors
    /// Returns an error if a page could not be read. A group that does not exist has none.
    pub(crate) async fn refreshes(&self, group: &str) -> Result<bool, AwsError> {
        let on = of_group(group);
        let mut token = None;
        loop {
            let request = self.client.describe_instance_refreshes().auto_scaling_group_name(group);
            let request = request.max_records(PAGE_OF_REFRESHES).set_next_token(token.clone());
            let answer = self.caller.make(&DESCRIBE_INSTANCE_REFRESHES, &on, request.send()).await;
            let page = match answer {
                Err(error) if group_is_gone(&error) => return Ok(false),
                answer => answer?,
            };
            if page.instance_refreshes().iter().any(|one| views::goes_on(one.status())) {
                return Ok(true);
            }
            token =
                next_page(&DESCRIBE_INSTANCE_REFRESHES, &on, token.as_deref(), page.next_token())?;
            if token.is_none() {
                return Ok(false);
            }
        }
    }

    /// Restarts a hook's timeout for an instance.
    ///
    /// # Errors
    /// Returns an error if it is unknown whether the heartbeat was applied.
    pub(crate) async fn heartbeat(
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
    pub(crate) async fn terminate(
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

#[cfg(test)]
mod tests {
    use super::*;

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
