//! Reads of a cluster for a drain that does not move: the limits of its services, the needs of
//! their tasks, the capacity of the other container instances, and protected tasks. They are made
//! rarely.

mod rollout;
mod views;

pub(crate) use views::{CapacityView, ServiceStateView, TaskDefinitionView};

use super::{Ecs, PAGE, failures, of_cluster, unless_absent};
use crate::aws::batch::Described;
use crate::aws::caller::next_page;
use crate::aws::calls::{
    DESCRIBE_CLUSTERS, DESCRIBE_SERVICE_DEPLOYMENTS, DESCRIBE_TASK_DEFINITION, GET_TASK_PROTECTION,
    LIST_CONTAINER_INSTANCES, LIST_TASKS,
};
use crate::aws::error::{AwsError, MISSING};
use crate::aws::limiter::Permit;
use aws_sdk_ecs::types::{ContainerInstanceStatus, DesiredStatus};
use ecs_drain_state::diagnosis::{DeploymentFacts, Protection};
use std::collections::BTreeMap;

/// Service deployments in one call. (Source: ECS API reference, DescribeServiceDeployments.)
const DEPLOYMENTS: usize = 20;

/// Tasks in one read of their protection. (Source: ECS API reference, GetTaskProtection.)
const PROTECTED: usize = 100;

/// Error of ECS in a region without task protection. (Source: ECS API reference,
/// GetTaskProtection.)
const UNSUPPORTED: &str = "UnsupportedFeatureException";

impl Ecs {
    /// Returns the number of container instances that are registered in a cluster, `ACTIVE` and
    /// `DRAINING` ones. (Source: ECS API reference, Cluster.) A cluster that is inactive, or that
    /// does not exist, has none.
    ///
    /// # Errors
    /// Returns an error if the cluster could not be read.
    pub(crate) async fn registered_container_instances(
        &self,
        cluster: &str,
    ) -> Result<u32, AwsError> {
        let on = of_cluster(cluster);
        let request = self.client.describe_clusters().clusters(cluster);
        let answer = self.caller.make(&DESCRIBE_CLUSTERS, &on, request.send()).await;
        let Some(answer) = unless_absent(answer)? else { return Ok(0) };
        match (answer.clusters().first(), failures(answer.failures()).first()) {
            (Some(found), _) if found.status() == Some("INACTIVE") => Ok(0),
            (Some(found), _) => {
                Ok(u32::try_from(found.registered_container_instances_count()).unwrap_or_default())
            }
            (None, Some((_, reason))) if reason == MISSING => Ok(0),
            (None, Some((_, reason))) => {
                Err(AwsError::failure(&DESCRIBE_CLUSTERS, &on, reason, None))
            }
            (None, None) => {
                Err(AwsError::incomplete(&DESCRIBE_CLUSTERS, &on, "the answer leaves it out"))
            }
        }
    }

    /// Returns the number of tasks that a cluster runs, or is about to run.
    ///
    /// # Errors
    /// Returns an error if it could not be read.
    pub(crate) async fn running_tasks(
        &self,
        permit: Permit,
        cluster: &str,
    ) -> Result<usize, AwsError> {
        let on = of_cluster(cluster);
        let request = self.client.describe_clusters().clusters(cluster);
        let answer = self.caller.send(permit, &DESCRIBE_CLUSTERS, &on, request.send()).await?;
        let tasks = answer
            .clusters()
            .first()
            .map_or(0, |found| found.running_tasks_count() + found.pending_tasks_count());
        Ok(usize::try_from(tasks).unwrap_or_default())
    }

    /// Lists the ARNs of a cluster's `ACTIVE` container instances, `most` of them. Also returns
    /// whether there are more.
    ///
    /// # Errors
    /// Returns an error if a page could not be read. A cluster that does not exist is an empty
    /// list.
    pub async fn active_container_instances(
        &self,
        cluster: &str,
        most: usize,
    ) -> Result<(Vec<String>, bool), AwsError> {
        let on = of_cluster(cluster);
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.list_container_instances().cluster(cluster);
            let request = request.status(ContainerInstanceStatus::Active).max_results(PAGE);
            let request = request.set_next_token(token.clone());
            let answer = self.caller.make(&LIST_CONTAINER_INSTANCES, &on, request.send()).await;
            let Some(page) = unless_absent(answer)? else { return Ok((Vec::new(), false)) };
            token = next_page(&LIST_CONTAINER_INSTANCES, &on, token.as_deref(), page.next_token())?;
            arns.extend(page.container_instance_arns.unwrap_or_default());
            if arns.len() > most || (arns.len() == most && token.is_some()) {
                arns.truncate(most);
                return Ok((arns, true));
            }
            if token.is_none() {
                return Ok((arns, false));
            }
        }
    }

    /// Reads the capacity of container instances.
    ///
    /// # Errors
    /// Returns an error if a batch could not be read. In a cluster that does not exist all are
    /// missing.
    pub(crate) async fn capacity(
        &self,
        cluster: &str,
        arns: &[String],
    ) -> Result<Described<CapacityView>, AwsError> {
        let read = |from| CapacityView::read(from).map(|view| (view.facts.arn.clone(), view));
        self.container_instances_as(cluster, arns, read).await
    }

    /// Reads the state of services, by name.
    ///
    /// # Errors
    /// Returns an error if a batch could not be read. In a cluster that does not exist all are
    /// missing.
    pub(crate) async fn service_states(
        &self,
        cluster: &str,
        names: &[String],
        tags: bool,
    ) -> Result<Described<ServiceStateView>, AwsError> {
        let read = |from| ServiceStateView::read(from).map(|view| (view.name.clone(), view));
        self.services_as(cluster, names, tags, read).await
    }

    /// Describes service deployments, of any cluster.
    ///
    /// # Errors
    /// Returns an error if a batch could not be read.
    pub(crate) async fn service_deployments(
        &self,
        arns: &[String],
    ) -> Result<Described<DeploymentFacts>, AwsError> {
        let call = &DESCRIBE_SERVICE_DEPLOYMENTS;
        let mut described = Described::default();
        for batch in arns.chunks(DEPLOYMENTS) {
            let request = self.client.describe_service_deployments();
            let request = request.set_service_deployment_arns(Some(batch.to_vec()));
            let on = format!("service deployments {}", batch.join(", "));
            let answer = self.caller.make(call, &on, request.send()).await?;
            let failures = failures(answer.failures());
            let found = answer.service_deployments.unwrap_or_default().into_iter();
            let found =
                found.filter_map(rollout::deployment).map(|facts| (facts.arn.clone(), facts));
            described.extend(Described::sort(batch, found.collect(), &failures));
        }
        Ok(described)
    }

    /// Lists the ARNs of the tasks of a service whose desired status is `RUNNING`.
    ///
    /// # Errors
    /// Returns an error if a page could not be read. A cluster, or a service, that does not exist
    /// is an empty list.
    pub(crate) async fn list_tasks_of_service(
        &self,
        cluster: &str,
        service: &str,
    ) -> Result<Vec<String>, AwsError> {
        let on = format!("service {service} of cluster {cluster}");
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let request =
                self.client.list_tasks().cluster(cluster).service_name(service).max_results(PAGE);
            let request =
                request.desired_status(DesiredStatus::Running).set_next_token(token.clone());
            let answer = self.caller.make(&LIST_TASKS, &on, request.send()).await;
            let Some(page) = unless_absent(answer)? else { return Ok(Vec::new()) };
            token = next_page(&LIST_TASKS, &on, token.as_deref(), page.next_token())?;
            arns.extend(page.task_arns.unwrap_or_default());
            if token.is_none() {
                return Ok(arns);
            }
        }
    }

    /// Reads the needs of a task definition. A revision never changes.
    ///
    /// # Errors
    /// Returns an error if it could not be read. ECS returns ClientException if it does not exist.
    pub(crate) async fn task_definition(&self, arn: &str) -> Result<TaskDefinitionView, AwsError> {
        let on = format!("task definition {arn}");
        let request = self.client.describe_task_definition().task_definition(arn);
        let answer = self.caller.make(&DESCRIBE_TASK_DEFINITION, &on, request.send()).await?;
        let definition = answer.task_definition;
        let definition = definition.ok_or_else(|| {
            AwsError::incomplete(
                &DESCRIBE_TASK_DEFINITION,
                &on,
                "the answer leaves the task definition out",
            )
        })?;
        Ok(TaskDefinitionView::read(definition))
    }

    /// Reads the protection of these tasks from scale-in, by ARN. Omits tasks without an answer:
    /// all of them if the region has no task protection, or the cluster does not exist.
    ///
    /// # Errors
    /// Returns an error if a batch could not be read.
    pub(crate) async fn task_protection(
        &self,
        cluster: &str,
        tasks: &[String],
    ) -> Result<BTreeMap<String, Protection>, AwsError> {
        let on = of_cluster(cluster);
        let mut protection = BTreeMap::new();
        for batch in tasks.chunks(PROTECTED) {
            let request =
                self.client.get_task_protection().cluster(cluster).set_tasks(Some(batch.to_vec()));
            let answer = match self.caller.make(&GET_TASK_PROTECTION, &on, request.send()).await {
                Err(error) if error.code.as_deref() == Some(UNSUPPORTED) => {
                    return Ok(BTreeMap::new());
                }
                answer => unless_absent(answer)?,
            };
            // A failure, for example of a standalone task, is no evidence about protection.
            let Some(answer) = answer else { return Ok(BTreeMap::new()) };
            protection.extend(
                answer
                    .protected_tasks
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(views::protection),
            );
        }
        Ok(protection)
    }
}
