//! Mutating calls of ECS. Each is idempotent: *already done* and *not found* are successes.

use super::{Ecs, failures, of_cluster};
use crate::aws::batch::id;
use crate::aws::calls::{
    DEREGISTER_CONTAINER_INSTANCE, STOP_TASK, UPDATE_CONTAINER_INSTANCES_STATE,
};
use crate::aws::error::{AwsError, ErrorClass};
use crate::aws::limiter::Permit;
use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::operation::update_container_instances_state::UpdateContainerInstancesStateOutput;
use aws_sdk_ecs::operation::update_container_instances_state::builders::UpdateContainerInstancesStateFluentBuilder;
use aws_sdk_ecs::types::ContainerInstanceStatus;
use std::collections::{BTreeMap, BTreeSet};

/// Container instances in one call. ECS refuses a larger batch as a whole. (Source: ECS API
/// reference, UpdateContainerInstancesState.)
const CHANGED: usize = 10;

/// Length of the longest reason for StopTask, in characters. (Source: ECS API reference, StopTask.)
const REASON: usize = 1024;

/// State that a container instance can be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// `DRAINING`: takes no new tasks; service tasks are moved away, standalone ones stay.
    Draining,
    /// `ACTIVE`: takes tasks; those that moved away do not return.
    Active,
}

/// Result for each container instance, by ARN.
pub(crate) type Answers = Vec<(String, Result<(), AwsError>)>;

impl Ecs {
    /// Sets container instances of one cluster to a state, ten a call. If ECS refuses a batch
    /// because of a member, it is sent again in halves, until the refused one is alone and the
    /// others have succeeded.
    ///
    /// # Errors
    /// Returns an error if ECS refuses the calls as such (throttled, unreachable, credentials, no
    /// such cluster). Some container instances may have been set.
    pub async fn set_state(
        &self,
        cluster: &str,
        arns: &[String],
        state: State,
    ) -> Result<Answers, AwsError> {
        let mut answers = Vec::with_capacity(arns.len());
        let mut batches: Vec<&[String]> = arns.chunks(CHANGED).rev().collect();
        while let Some(batch) = batches.pop() {
            match self.set_batch(cluster, batch, state).await {
                Ok(some) => answers.extend(some),
                Err(error) if !error.blames_a_member() => return Err(error),
                Err(error) => match batch {
                    [one] => answers.push((one.clone(), Err(error))),
                    several => {
                        let (first, second) = several.split_at(several.len() / 2);
                        batches.extend([second, first]);
                    }
                },
            }
        }
        Ok(answers)
    }

    async fn set_batch(
        &self,
        cluster: &str,
        batch: &[String],
        state: State,
    ) -> Result<Answers, AwsError> {
        let request = self.state_change(cluster, batch, state);
        let answer = self
            .caller
            .make(&UPDATE_CONTAINER_INSTANCES_STATE, &of_cluster(cluster), request.send())
            .await?;
        Ok(by_member(batch, &answer))
    }

    fn state_change(
        &self,
        cluster: &str,
        batch: &[String],
        state: State,
    ) -> UpdateContainerInstancesStateFluentBuilder {
        let status = match state {
            State::Draining => ContainerInstanceStatus::Draining,
            State::Active => ContainerInstanceStatus::Active,
        };
        let request =
            self.client.update_container_instances_state().cluster(cluster).status(status);
        request.set_container_instances(Some(batch.to_vec()))
    }

    /// Stops a task; its service, if it has one, starts another elsewhere. A later read shows when
    /// it has stopped.
    ///
    /// # Errors
    /// Returns an error if the call failed. A task that is stopped, or that ECS does not know, is a
    /// success.
    pub(crate) async fn stop_task(
        &self,
        cluster: &str,
        task: &str,
        reason: &str,
    ) -> Result<(), AwsError> {
        let reason: String = reason.chars().take(REASON).collect();
        let request = self.client.stop_task().cluster(cluster).task(task).reason(reason);
        let answer = self.caller.make(&STOP_TASK, &format!("task {task}"), request.send()).await;
        answer.map(|_| ()).or_else(unless_gone)
    }

    /// Deregisters a container instance with force: its tasks continue to run, and ECS forgets
    /// them.
    ///
    /// # Errors
    /// Returns an error if the call failed. A container instance that is inactive, or that ECS does
    /// not know, is a success.
    pub async fn deregister(
        &self,
        cluster: &str,
        container_instance: &str,
    ) -> Result<(), AwsError> {
        let request = self.client.deregister_container_instance().cluster(cluster).force(true);
        let request = request.container_instance(container_instance);
        let on = format!("container instance {container_instance}");
        let answer = self.caller.make(&DEREGISTER_CONTAINER_INSTANCE, &on, request.send()).await;
        answer.map(|_| ()).or_else(unless_gone)
    }
}

/// Calls that are sent once, with one permit: the SDK's retries would bypass the limiter, and the
/// checks right before the first attempt.
impl Ecs {
    /// Sets at most ten container instances of one cluster to a state. The answer has each of them
    /// once, in the order requested.
    ///
    /// # Errors
    /// Returns an error if the batch was refused as a whole, or it is unknown whether it was
    /// applied. If [`AwsError::blames_a_member`], smaller batches may succeed.
    pub(crate) async fn set_state_of(
        &self,
        permit: Permit,
        cluster: &str,
        arns: &[String],
        state: State,
    ) -> Result<Answers, AwsError> {
        if arns.is_empty() {
            return Ok(Answers::new());
        }
        let request = self.state_change(cluster, arns, state).customize().config_override(once());
        let call = &UPDATE_CONTAINER_INSTANCES_STATE;
        let answer = self.caller.send(permit, call, &of_cluster(cluster), request.send()).await?;
        Ok(by_member(arns, &answer))
    }

    /// Stops a task; its service, if it has one, starts another elsewhere. A later read shows when
    /// it has stopped.
    ///
    /// # Errors
    /// Returns an error if it is unknown whether the call was applied, or it was refused. A task
    /// that is stopped, or that ECS does not know, is a success.
    pub(crate) async fn stop(
        &self,
        permit: Permit,
        cluster: &str,
        task: &str,
        reason: &str,
    ) -> Result<(), AwsError> {
        let reason: String = reason.chars().take(REASON).collect();
        let request = self.client.stop_task().cluster(cluster).task(task).reason(reason);
        let request = request.customize().config_override(once());
        let answer =
            self.caller.send(permit, &STOP_TASK, &format!("task {task}"), request.send()).await;
        answer.map(|_| ()).or_else(unless_gone)
    }

    /// Deregisters a container instance with force: its tasks continue to run, and ECS forgets
    /// them.
    ///
    /// # Errors
    /// Returns an error if it is unknown whether the call was applied, or it was refused. A
    /// container instance that is inactive, or that ECS does not know, is a success.
    pub(crate) async fn deregister_one(
        &self,
        permit: Permit,
        cluster: &str,
        container_instance: &str,
    ) -> Result<(), AwsError> {
        let request = self.client.deregister_container_instance().cluster(cluster).force(true);
        let request =
            request.container_instance(container_instance).customize().config_override(once());
        let on = format!("container instance {container_instance}");
        let answer =
            self.caller.send(permit, &DEREGISTER_CONTAINER_INSTANCE, &on, request.send()).await;
        answer.map(|_| ()).or_else(unless_gone)
    }
}

/// Configures one attempt, without retries.
fn once() -> aws_sdk_ecs::config::Builder {
    aws_sdk_ecs::config::Builder::new().retry_config(RetryConfig::disabled())
}

/// Sorts the answer to a batch by member.
fn by_member(batch: &[String], answer: &UpdateContainerInstancesStateOutput) -> Answers {
    let call = &UPDATE_CONTAINER_INSTANCES_STATE;
    let failures = failures(answer.failures());
    let failures: BTreeMap<&str, &str> =
        failures.iter().map(|(arn, why)| (id(arn), why.as_str())).collect();
    let changed = answer
        .container_instances()
        .iter()
        .filter_map(|instance| instance.container_instance_arn());
    let changed: BTreeSet<&str> = changed.map(id).collect();
    let one = |arn: &String| match failures.get(id(arn)) {
        Some(reason) => Err(AwsError::failure(call, arn, reason, None)),
        None if changed.contains(id(arn)) => Ok(()),
        None => Err(AwsError::incomplete(call, arn, "the answer leaves it out")),
    };
    batch.iter().map(|arn| (arn.clone(), one(arn))).collect()
}

/// Treats an item that is already gone as a success. ECS has no error code of its own for an
/// unknown task or container instance: it returns InvalidParameterException or ClientException,
/// with "… not found", or that it is inactive or stopped, in the text.
fn unless_gone(error: AwsError) -> Result<(), AwsError> {
    let message = error.message.to_ascii_lowercase();
    let gone =
        ["not found", "inactive", "already stopped"].iter().any(|words| message.contains(words));
    match error.class {
        ErrorClass::NotFound => Ok(()),
        ErrorClass::Invalid if gone => Ok(()),
        ErrorClass::Invalid
        | ErrorClass::Throttled
        | ErrorClass::Denied
        | ErrorClass::Credentials
        | ErrorClass::NoActiveAction
        | ErrorClass::Unavailable
        | ErrorClass::Other => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn error(class: ErrorClass, message: &str) -> AwsError {
        let mut error = AwsError::incomplete(&STOP_TASK, "task t", message);
        error.class = class;
        error
    }

    #[test]
    fn a_change_of_a_missing_resource_succeeds() {
        assert!(unless_gone(error(ErrorClass::NotFound, "Cluster not found.")).is_ok());
        assert!(
            unless_gone(error(ErrorClass::Invalid, "The referenced task was not found.")).is_ok()
        );
        assert!(
            unless_gone(error(ErrorClass::Invalid, "Found running tasks on the instance."))
                .is_err()
        );
        assert!(unless_gone(error(ErrorClass::Unavailable, "host not found")).is_err());
    }
}
