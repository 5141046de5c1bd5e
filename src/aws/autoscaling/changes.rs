//! Mutating calls of Auto Scaling. Each is sent once, with one permit: the SDK's retries would
//! bypass the limiter, and the checks right before the first attempt.

use super::{AutoScaling, Beat, of_action, of_group};
use crate::aws::calls::{
    COMPLETE_LIFECYCLE_ACTION, RECORD_LIFECYCLE_ACTION_HEARTBEAT, SET_DESIRED_CAPACITY,
    TERMINATE_INSTANCE_IN_AUTO_SCALING_GROUP,
};
use crate::aws::error::{AwsError, ErrorClass};
use crate::aws::limiter::Permit;
use aws_sdk_autoscaling::config::retry::RetryConfig;
use ecs_drain_state::{ActionResult, CompletionAnswer};

impl AutoScaling {
    /// Restarts a hook's timeout for an instance.
    ///
    /// # Errors
    /// Returns an error if the heartbeat was refused, or it is unknown whether it was applied.
    pub(crate) async fn beat(
        &self,
        permit: Permit,
        group: &str,
        hook: &str,
        instance: &str,
    ) -> Result<Beat, AwsError> {
        let request =
            self.client.record_lifecycle_action_heartbeat().auto_scaling_group_name(group);
        let request = request
            .lifecycle_hook_name(hook)
            .instance_id(instance)
            .customize()
            .config_override(once());
        let on = of_action(group, hook, instance);
        match self
            .caller
            .send(permit, &RECORD_LIFECYCLE_ACTION_HEARTBEAT, &on, request.send())
            .await
        {
            Ok(_) => Ok(Beat::Accepted),
            Err(error) if error.class == ErrorClass::NoActiveAction => Ok(Beat::NoActiveAction),
            Err(error) => Err(error),
        }
    }

    /// Completes a hook's lifecycle action for an instance. Never returns
    /// [`CompletionAnswer::Failed`].
    ///
    /// # Errors
    /// Returns an error if the completion was refused, or it is unknown whether it was applied.
    pub(crate) async fn complete_action(
        &self,
        permit: Permit,
        group: &str,
        hook: &str,
        instance: &str,
        result: ActionResult,
    ) -> Result<CompletionAnswer, AwsError> {
        let request = self.client.complete_lifecycle_action().auto_scaling_group_name(group);
        let request = request.lifecycle_hook_name(hook).instance_id(instance);
        let request =
            request.lifecycle_action_result(result.as_str()).customize().config_override(once());
        let on = of_action(group, hook, instance);
        match self.caller.send(permit, &COMPLETE_LIFECYCLE_ACTION, &on, request.send()).await {
            Ok(_) => Ok(CompletionAnswer::Accepted),
            Err(error) if error.class == ErrorClass::NoActiveAction => {
                Ok(CompletionAnswer::NoActiveAction)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks a group to terminate one of its instances; its hooks hold the instance as in any
    /// termination. With `shrink` the group's desired capacity is lowered by one, otherwise the
    /// group launches another instance.
    ///
    /// If the answer is lost, only a read of the group shows whether the call was applied, and a
    /// second call could lower the desired capacity twice.
    ///
    /// # Errors
    /// Returns an error if it was refused, or it is unknown whether it was applied.
    pub(crate) async fn terminate_one(
        &self,
        permit: Permit,
        group: &str,
        instance: &str,
        shrink: bool,
    ) -> Result<(), AwsError> {
        let request = self.client.terminate_instance_in_auto_scaling_group().instance_id(instance);
        let request =
            request.should_decrement_desired_capacity(shrink).customize().config_override(once());
        let on = format!("instance {instance} (group {group})");
        self.caller
            .send(permit, &TERMINATE_INSTANCE_IN_AUTO_SCALING_GROUP, &on, request.send())
            .await
            .map(|_| ())
    }

    /// Sets the desired capacity of a group, also during its cooldown.
    ///
    /// The call is made once, with a permit of its own. If its answer is lost, only a read of the
    /// group shows whether it was applied, and a second call could undo a change that others made
    /// meanwhile.
    ///
    /// # Errors
    /// Returns an error if the call was refused, or it is unknown whether it was applied. A value
    /// outside of the group's minimum and maximum is refused ([`ErrorClass::Invalid`]). Scaling
    /// activities in progress are no refusal: the same call can succeed later.
    pub(crate) async fn set_desired(&self, group: &str, desired: u32) -> Result<(), AwsError> {
        let on = of_group(group);
        let Ok(capacity) = i32::try_from(desired) else {
            let reason = "the desired capacity is too large for Auto Scaling";
            return Err(AwsError::own(&SET_DESIRED_CAPACITY, &on, reason));
        };
        let request = self.client.set_desired_capacity().auto_scaling_group_name(group);
        let request = request.desired_capacity(capacity).honor_cooldown(false);
        let request = request.customize().config_override(once());
        self.caller.make(&SET_DESIRED_CAPACITY, &on, request.send()).await.map(|_| ())
    }
}

/// Configures one attempt, without retries.
fn once() -> aws_sdk_autoscaling::config::Builder {
    aws_sdk_autoscaling::config::Builder::new().retry_config(RetryConfig::disabled())
}
