//! Reads the clusters of rollouts: every container instance, and the services that run fewer tasks
//! than they should.

use crate::aws::calls::{DESCRIBE_SERVICES, LIST_CONTAINER_INSTANCES};
use crate::aws::ecs::ServiceStateView;
use crate::aws::{AwsError, ContainerInstanceView, Desired, Session};
use crate::clock::Clock;
use ecs_drain_state::Read;
use std::collections::BTreeSet;

/// Reads every container instance of a cluster, with the time of the read. One that ECS could not
/// describe is left out.
///
/// # Errors
/// Returns an error if a call fails.
pub(crate) async fn container_instances(
    session: &Session,
    clock: &Clock,
    cluster: &str,
) -> Result<(Read, Vec<ContainerInstanceView>), AwsError> {
    let began = clock.mono();
    let permit = session.permit(&LIST_CONTAINER_INSTANCES).await;
    let arns = session.ecs.registered(permit, cluster, &[]).await?;
    let described = session.ecs.describe_container_instances(cluster, &arns).await?;
    Ok((Read { began, ended: clock.mono() }, described.found))
}

/// Reads every service of a cluster, with the time of the read.
///
/// # Errors
/// Returns an error if a call fails, or if ECS could not describe one of them.
pub(crate) async fn services(
    session: &Session,
    clock: &Clock,
    cluster: &str,
) -> Result<(Read, Vec<ServiceStateView>), AwsError> {
    let began = clock.mono();
    let names = session.ecs.list_services(cluster).await?;
    let described = session.ecs.service_states(cluster, &names, false).await?;
    // One that is left out could run too few tasks.
    if let Some((name, reason)) = described.failed.first() {
        let on = format!("service {name} of cluster {cluster}");
        return Err(AwsError::incomplete(&DESCRIBE_SERVICES, &on, reason));
    }
    Ok((Read { began, ended: clock.mono() }, described.found))
}

/// Returns those of these daemon services that run no task on a container instance.
///
/// # Errors
/// Returns an error if a call fails.
pub(crate) async fn missing_daemons(
    session: &Session,
    cluster: &str,
    arn: &str,
    daemons: &[String],
) -> Result<Vec<String>, AwsError> {
    let tasks = session.ecs.list_tasks(cluster, Some(arn), Desired::Running).await?;
    let described = session.ecs.describe_tasks(cluster, &tasks).await?;
    let runs = described.found.iter().filter(|task| task.last_status == "RUNNING");
    let there: BTreeSet<&str> =
        runs.filter_map(|task| task.group.as_deref()?.strip_prefix("service:")).collect();
    Ok(daemons.iter().filter(|name| !there.contains(name.as_str())).cloned().collect())
}
