//! Mutating calls of Auto Scaling. Each is sent once, with one permit: the SDK's retries would
//! bypass the limiter, and the checks right before the first attempt.

use super::{AutoScaling, Beat, of_action};
use crate::aws::calls::{
    COMPLETE_LIFECYCLE_ACTION, RECORD_LIFECYCLE_ACTION_HEARTBEAT,
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
    pub async fn beat(
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
    pub async fn complete_action(
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
    pub async fn terminate_one(
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
}

/// Configures one attempt, without retries.
fn once() -> aws_sdk_autoscaling::config::Builder {
    aws_sdk_autoscaling::config::Builder::new().retry_config(RetryConfig::disabled())
}
