//! What is changed in Auto Scaling. Each call is sent once, by the permit of one turn: the SDK's
//! retries would pass by the limiter, and by whatever was checked right before the first attempt.

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
    /// Begins a hook's timer anew for an instance.
    ///
    /// # Errors
    /// When the heartbeat was refused, or it is not known whether it was taken.
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

    /// Ends a hook's wait for an instance. Never answers [`CompletionAnswer::Failed`].
    ///
    /// # Errors
    /// When the completion was refused, or it is not known whether it was taken.
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

    /// Asks a group to terminate an instance of it; its hooks hold the instance as in any
    /// termination. `shrink`: the group's desired capacity is lowered by one, otherwise it launches
    /// another.
    ///
    /// When the answer is lost, only a look at the group can tell whether the call was taken, and a
    /// second one could lower the desired capacity twice.
    ///
    /// # Errors
    /// When the request was refused; nothing was changed, or it is not known whether it was taken.
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

/// One attempt, whatever comes of it.
fn once() -> aws_sdk_autoscaling::config::Builder {
    aws_sdk_autoscaling::config::Builder::new().retry_config(RetryConfig::disabled())
}
