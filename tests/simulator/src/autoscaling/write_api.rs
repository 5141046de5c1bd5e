//! The API's dispatch, and the operations that change something.

use super::hooks::{LifecycleResult, Name, Transition};
use super::{AutoScaling, HookSpec};
use crate::SimTime;
use crate::wire::ApiError;
use crate::wire::query::{Params, Xml};
use std::time::Duration;

/// The largest number of hooks of one group. Source: Auto Scaling API reference, PutLifecycleHook.
const MAX_HOOKS: usize = 50;
/// The bounds of a hook's heartbeat timeout in seconds. Source: Auto Scaling API reference,
/// PutLifecycleHook.
const HEARTBEAT_TIMEOUT_SECONDS: std::ops::RangeInclusive<u32> = 30..=7200;

impl AutoScaling {
    /// Answers an operation of the API 2011-01-01 with the content of its result element. Changes
    /// that are due by `now` are applied first.
    pub fn handle(
        &mut self,
        now: SimTime,
        action: &str,
        params: &Params,
    ) -> Result<String, ApiError> {
        self.run_until(now);
        match action {
            "DescribeAutoScalingGroups" => self.describe_groups(params),
            "DescribeAutoScalingInstances" => self.describe_instances(params),
            "DescribeLifecycleHooks" => self.describe_hooks(params),
            "DescribeWarmPool" => self.describe_warm_pool(params),
            "DescribeInstanceRefreshes" => self.describe_refreshes(params),
            "DescribeScalingActivities" => self.describe_activities(params),
            "CompleteLifecycleAction" => self.complete_lifecycle_action(now, params),
            "RecordLifecycleActionHeartbeat" => self.record_heartbeat(now, params),
            "TerminateInstanceInAutoScalingGroup" => self.terminate_instance(now, params),
            "SetDesiredCapacity" => self.set_desired_capacity(now, params),
            "PutLifecycleHook" => self.put_lifecycle_hook(params),
            "DeleteLifecycleHook" => self.delete_lifecycle_hook(now, params),
            other => Err(ApiError::unknown_action(other)),
        }
    }

    fn complete_lifecycle_action(
        &mut self,
        now: SimTime,
        params: &Params,
    ) -> Result<String, ApiError> {
        let result = params.require("LifecycleActionResult")?;
        let result = LifecycleResult::parse(result).ok_or_else(|| {
            ApiError::validation_error(format!(
                "Lifecycle Action Result {result} is not valid. Allowed values are CONTINUE and ABANDON."
            ))
        })?;
        let (group, hook, name) = named_action(params)?;
        self.complete(now, group, hook, &name, result)?;
        Ok(String::new())
    }

    fn record_heartbeat(&mut self, now: SimTime, params: &Params) -> Result<String, ApiError> {
        let (group, hook, name) = named_action(params)?;
        self.heartbeat(now, group, hook, &name)?;
        Ok(String::new())
    }

    fn terminate_instance(&mut self, now: SimTime, params: &Params) -> Result<String, ApiError> {
        let instance_id = params.require("InstanceId")?;
        params.require("ShouldDecrementDesiredCapacity")?;
        let decrement = params.flag("ShouldDecrementDesiredCapacity")?.unwrap_or_default();
        self.begin_termination(now, instance_id, decrement)?;
        let mut xml = Xml::new();
        if let Some(member) = self.members.get(instance_id)
            && let Some(group) = self.groups.get(&member.group)
            && let Some(activity) = member.activity.and_then(|index| group.activities.get(index))
        {
            xml.nested("Activity", |xml| self.write_activity(xml, group, activity));
        }
        Ok(xml.finish())
    }

    fn set_desired_capacity(&mut self, now: SimTime, params: &Params) -> Result<String, ApiError> {
        let name = params.require("AutoScalingGroupName")?;
        params.require("DesiredCapacity")?;
        let desired = params.number("DesiredCapacity")?.unwrap_or_default();
        self.change_desired(now, name, desired)?;
        Ok(String::new())
    }

    /// Creates a hook, or changes the fields of an existing one that the request names.
    fn put_lifecycle_hook(&mut self, params: &Params) -> Result<String, ApiError> {
        let group = params.require("AutoScalingGroupName")?;
        let name = params.require("LifecycleHookName")?;
        let hooks = &self.require_group(group)?.hooks;
        let mut hook = match hooks.get(name) {
            Some(hook) => hook.clone(),
            None if hooks.len() >= MAX_HOOKS => {
                return Err(ApiError::bad_request(
                    "LimitExceeded",
                    format!("A group has at most {MAX_HOOKS} hooks"),
                ));
            }
            None => {
                params.require("LifecycleTransition")?;
                HookSpec { name: name.to_owned(), ..HookSpec::default() }
            }
        };
        if let Some(text) = params.get("LifecycleTransition") {
            hook.transition = Transition::parse(text).ok_or_else(|| {
                ApiError::validation_error(format!("Lifecycle transition {text} is not valid."))
            })?;
        }
        if let Some(seconds) = params.number("HeartbeatTimeout")? {
            if !HEARTBEAT_TIMEOUT_SECONDS.contains(&seconds) {
                return Err(ApiError::validation_error(
                    "Heartbeat timeout must be between 30 and 7200 seconds.",
                ));
            }
            hook.heartbeat_timeout = Duration::from_secs(u64::from(seconds));
        }
        if let Some(text) = params.get("DefaultResult") {
            hook.default_result = LifecycleResult::parse(text).ok_or_else(|| {
                ApiError::validation_error(format!("Default result {text} is not valid."))
            })?;
        }
        self.put_hook(group, hook);
        Ok(String::new())
    }

    fn delete_lifecycle_hook(&mut self, now: SimTime, params: &Params) -> Result<String, ApiError> {
        let group = params.require("AutoScalingGroupName")?;
        let hook = params.require("LifecycleHookName")?;
        self.require_group(group)?;
        if self.delete_hook(now, group, hook) {
            Ok(String::new())
        } else {
            Err(ApiError::validation_error(format!("No Lifecycle Hook found with name {hook}")))
        }
    }
}

/// Returns the group, the hook and the action that a request names. If it has a token, the token
/// decides.
fn named_action(params: &Params) -> Result<(&str, &str, Name<'_>), ApiError> {
    let group = params.require("AutoScalingGroupName")?;
    let hook = params.require("LifecycleHookName")?;
    let name = match (params.get("LifecycleActionToken"), params.get("InstanceId")) {
        (Some(token), _) => Name::Token(token),
        (None, Some(instance_id)) => Name::Instance(instance_id),
        (None, None) => {
            return Err(ApiError::validation_error(
                "Either a lifecycle action token or an instance ID is required.",
            ));
        }
    };
    Ok((group, hook, name))
}
