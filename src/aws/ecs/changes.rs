//! What is changed in a cluster. Every change may be asked for twice, and what is already so, or
//! gone, is a success.

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

/// Container instances in one change. More of them are refused as a whole. (Source: ECS API
/// reference, UpdateContainerInstancesState.)
const CHANGED: usize = 10;

/// The longest reason that StopTask takes, in characters. (Source: ECS API reference, StopTask.)
const REASON: usize = 1024;

/// What a container instance can be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// `DRAINING`: takes no new tasks; service tasks are moved away, standalone ones stay.
    Draining,
    /// `ACTIVE`: takes tasks; those that moved away do not come back.
    Active,
}

/// What came of one change, by ARN.
pub type Answers = Vec<(String, Result<(), AwsError>)>;

impl Ecs {
    /// Sets container instances of one cluster to a state, ten a call. One that ECS refuses does
    /// not hold up the others: the batch that it is in is asked again in halves, until it stands
    /// alone.
    ///
    /// # Errors
    /// When ECS cannot be asked at all (throttled, unreachable, credentials, no such cluster). Some
    /// may have been set.
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

    /// Stops a task, which its service, if it has one, starts again elsewhere. Its end is seen
    /// later.
    ///
    /// # Errors
    /// When it could not be asked for. A task that is stopped, or that ECS does not know, is a
    /// success.
    pub async fn stop_task(&self, cluster: &str, task: &str, reason: &str) -> Result<(), AwsError> {
        let reason: String = reason.chars().take(REASON).collect();
        let request = self.client.stop_task().cluster(cluster).task(task).reason(reason);
        let answer = self.caller.make(&STOP_TASK, &format!("task {task}"), request.send()).await;
        answer.map(|_| ()).or_else(unless_gone)
    }

    /// Takes a container instance out of its cluster, with force: its tasks run on, and ECS forgets
    /// them.
    ///
    /// # Errors
    /// When it could not be asked for. A container instance that is inactive, or that ECS does not
    /// know, is a success.
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

/// Calls that are sent once, by the permit of one turn: the SDK's retries would pass by the
/// limiter, and by whatever was checked right before the first attempt.
impl Ecs {
    /// Sets at most ten container instances of one cluster to a state; the answer has each of them
    /// once, in the order asked.
    ///
    /// # Errors
    /// When the batch was refused as a whole, or it is not known whether it was taken. Where
    /// [`AwsError::blames_a_member`], smaller batches may succeed.
    pub async fn set_state_of(
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

    /// Stops a task, which its service, if it has one, starts again elsewhere. Its end is seen
    /// later.
    ///
    /// # Errors
    /// When it is not known whether the call was taken, or the request was refused; nothing was changed. A task that is stopped,
    /// or that ECS does not know, is a success.
    pub async fn stop(
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

    /// Takes a container instance out of its cluster, with force: its tasks run on, and ECS forgets
    /// them.
    ///
    /// # Errors
    /// When it is not known whether the call was taken, or the request was refused; nothing was changed. A container instance
    /// that is inactive, or that ECS does not know, is a success.
    pub async fn deregister_one(
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

/// One attempt, whatever comes of it.
fn once() -> aws_sdk_ecs::config::Builder {
    aws_sdk_ecs::config::Builder::new().retry_config(RetryConfig::disabled())
}

/// The answer to a change of several, by member.
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

/// What is gone already need not be ended. ECS has no code of its own for an unknown task or
/// container instance: it says InvalidParameterException or ClientException, and "… not found", or
/// that it is inactive or stopped, in words.
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
    fn what_is_gone_need_not_be_ended() {
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
