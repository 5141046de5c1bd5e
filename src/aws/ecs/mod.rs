//! ECS: reads of a cluster, in the largest batches that the API accepts.
//!
//! A cluster that does not exist (or is `INACTIVE`) holds nothing: it can be deleted only once no
//! container instance is registered in it (source: ECS API reference, DeleteCluster). Its reads
//! therefore return that all is missing, or empty lists.

mod changes;
mod diagnosis;
mod reads;
mod views;

pub use changes::State;
pub(crate) use diagnosis::{CapacityView, ServiceStateView, TaskDefinitionView};
pub use views::{ContainerInstanceView, RevisionView, ServiceView, TaskView};

use super::batch::Described;
use super::caller::{Caller, next_page};
use super::calls::{
    Call, DESCRIBE_CONTAINER_INSTANCES, DESCRIBE_SERVICES, DESCRIBE_TASKS, LIST_CLUSTERS,
    LIST_CONTAINER_INSTANCES, LIST_TASKS,
};
use super::error::{AwsError, ErrorClass};
use super::limiter::Permit;
use aws_sdk_ecs::types::{ContainerInstance, Failure, Service, ServiceField};
use std::collections::BTreeSet;
use std::time::Duration;

/// Ids in one filter of ListContainerInstances: 50 of them are 1 KB; AWS documents no limit.
const IDS_IN_A_FILTER: usize = 50;

/// Items of one page, the maximum of all list calls used here.
const PAGE: i32 = 100;

/// Container instances, or tasks, in one call. (Source: ECS API reference,
/// DescribeContainerInstances and DescribeTasks.)
const DESCRIBED: usize = 100;

/// Services in one call. (Source: ECS API reference, DescribeServices.)
const SERVICES: usize = 10;

/// Desired status of a task. A task that is being stopped has the desired status `STOPPED` before
/// its containers have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    Running,
    /// `STOPPED`; ECS keeps stopped tasks for an hour at least.
    Stopped,
}

/// Time for which a call may wait whose answer explains something and decides nothing: as long as
/// other reads for display.
const LEISURE: Duration = Duration::from_secs(360);

/// ECS in one account and region.
#[derive(Clone, Debug)]
pub struct Ecs {
    client: aws_sdk_ecs::Client,
    caller: Caller,
}

impl Ecs {
    pub(super) fn new(client: aws_sdk_ecs::Client, caller: Caller) -> Ecs {
        Ecs { client, caller }
    }

    /// Returns the same clients, with calls that wait behind everything that a drain needs.
    pub(crate) fn at_leisure(&self) -> Ecs {
        Ecs {
            client: self.client.clone(),
            caller: Caller { patience: LEISURE, ..self.caller.clone() },
        }
    }

    /// Lists the ARNs of all clusters.
    ///
    /// # Errors
    /// Returns an error if a page could not be read: a part of the list is never taken for the
    /// whole.
    pub async fn list_clusters(&self) -> Result<Vec<String>, AwsError> {
        let on = format!("region {}", self.caller.region);
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let request =
                self.client.list_clusters().max_results(PAGE).set_next_token(token.clone());
            let page = self.caller.make(&LIST_CLUSTERS, &on, request.send()).await?;
            token = next_page(&LIST_CLUSTERS, &on, token.as_deref(), page.next_token())?;
            arns.extend(whole(&LIST_CLUSTERS, &on, page.cluster_arns)?);
            if token.is_none() {
                return Ok(arns);
            }
        }
    }

    /// Lists the ARNs of container instances that may be these EC2 instances, whatever their status
    /// (`INACTIVE` ones are never listed). The filter only narrows the answer: describe the
    /// container instances, and compare `ec2_instance_id`.
    ///
    /// # Errors
    /// Returns an error if a page could not be read. A cluster that does not exist is an empty
    /// list.
    pub async fn list_container_instances(
        &self,
        cluster: &str,
        ec2_ids: &[String],
    ) -> Result<Vec<String>, AwsError> {
        let mut arns = BTreeSet::new();
        for ids in ec2_ids.chunks(IDS_IN_A_FILTER) {
            let permit = self.caller.permit(&LIST_CONTAINER_INSTANCES).await;
            arns.extend(self.registered(permit, cluster, ids).await?);
        }
        Ok(arns.into_iter().collect())
    }

    /// Describes container instances.
    ///
    /// # Errors
    /// Returns an error if a batch could not be read. In a cluster that does not exist all are
    /// missing.
    pub(crate) async fn describe_container_instances(
        &self,
        cluster: &str,
        arns: &[String],
    ) -> Result<Described<ContainerInstanceView>, AwsError> {
        let read = |from| ContainerInstanceView::read(from).map(|view| (view.arn.clone(), view));
        self.container_instances_as(cluster, arns, read).await
    }

    /// Lists the ARNs of the tasks of a cluster, or of one container instance in it, with this
    /// desired status.
    ///
    /// # Errors
    /// Returns an error if a page could not be read. A cluster that does not exist is an empty
    /// list.
    pub(crate) async fn list_tasks(
        &self,
        cluster: &str,
        container_instance: Option<&str>,
        desired: Desired,
    ) -> Result<Vec<String>, AwsError> {
        let permit = self.caller.permit(&LIST_TASKS).await;
        self.tasks_of(permit, cluster, container_instance, desired).await
    }

    /// Describes tasks. A task that was seen once and is missing now has stopped, an hour ago or
    /// earlier.
    ///
    /// # Errors
    /// Returns an error if a batch could not be read. In a cluster that does not exist all are
    /// missing.
    pub(crate) async fn describe_tasks(
        &self,
        cluster: &str,
        arns: &[String],
    ) -> Result<Described<TaskView>, AwsError> {
        let mut described = Described::default();
        for batch in arns.chunks(DESCRIBED) {
            let permit = self.caller.permit(&DESCRIBE_TASKS).await;
            described.extend(self.tasks(permit, cluster, batch).await?);
        }
        Ok(described)
    }

    /// Describes services, by name.
    ///
    /// # Errors
    /// Returns an error if a batch could not be read. In a cluster that does not exist all are
    /// missing.
    pub(crate) async fn describe_services(
        &self,
        cluster: &str,
        names: &[String],
    ) -> Result<Described<ServiceView>, AwsError> {
        let mut described = Described::default();
        for batch in names.chunks(SERVICES) {
            let permit = self.caller.permit(&DESCRIBE_SERVICES).await;
            described.extend(self.services(permit, cluster, batch).await?);
        }
        Ok(described)
    }

    /// Describes container instances, converted by `read`, each with its ARN.
    async fn container_instances_as<T>(
        &self,
        cluster: &str,
        arns: &[String],
        read: impl Fn(ContainerInstance) -> Option<(String, T)>,
    ) -> Result<Described<T>, AwsError> {
        let mut described = Described::default();
        for batch in arns.chunks(DESCRIBED) {
            let permit = self.caller.permit(&DESCRIBE_CONTAINER_INSTANCES).await;
            described.extend(self.container_instances_in(permit, cluster, batch, &read).await?);
        }
        Ok(described)
    }

    /// Describes one batch of container instances, converted by `read`, each with its ARN.
    async fn container_instances_in<T>(
        &self,
        permit: Permit,
        cluster: &str,
        arns: &[String],
        read: impl Fn(ContainerInstance) -> Option<(String, T)>,
    ) -> Result<Described<T>, AwsError> {
        if arns.is_empty() {
            return Ok(Described::default());
        }
        let request = self.client.describe_container_instances().cluster(cluster);
        let request = request.set_container_instances(Some(arns.to_vec()));
        let on = of_cluster(cluster);
        let answer =
            self.caller.send(permit, &DESCRIBE_CONTAINER_INSTANCES, &on, request.send()).await;
        let Some(answer) = unless_absent(answer)? else { return Ok(Described::none_of(arns)) };
        let failures = failures(answer.failures());
        let found = answer.container_instances.unwrap_or_default().into_iter();
        Ok(Described::sort(arns, found.filter_map(read).collect(), &failures))
    }

    /// Describes services, with their tags if asked, converted by `read`, each with its name.
    async fn services_as<T>(
        &self,
        cluster: &str,
        names: &[String],
        tags: bool,
        read: impl Fn(Service) -> Option<(String, T)>,
    ) -> Result<Described<T>, AwsError> {
        let mut described = Described::default();
        for batch in names.chunks(SERVICES) {
            let permit = self.caller.permit(&DESCRIBE_SERVICES).await;
            described.extend(self.services_in(permit, cluster, batch, tags, &read).await?);
        }
        Ok(described)
    }

    /// Describes one batch of services, converted by `read`, each with its name.
    async fn services_in<T>(
        &self,
        permit: Permit,
        cluster: &str,
        names: &[String],
        tags: bool,
        read: impl Fn(Service) -> Option<(String, T)>,
    ) -> Result<Described<T>, AwsError> {
        if names.is_empty() {
            return Ok(Described::default());
        }
        let request =
            self.client.describe_services().cluster(cluster).set_services(Some(names.to_vec()));
        let request = request.set_include(tags.then(|| vec![ServiceField::Tags]));
        let answer = self
            .caller
            .send(permit, &DESCRIBE_SERVICES, &of_cluster(cluster), request.send())
            .await;
        let Some(answer) = unless_absent(answer)? else { return Ok(Described::none_of(names)) };
        let failures = failures(answer.failures());
        let found = answer.services.unwrap_or_default().into_iter();
        Ok(Described::sort(names, found.filter_map(read).collect(), &failures))
    }
}

/// Returns the subject of a call on a cluster, for errors.
fn of_cluster(cluster: &str) -> String {
    format!("cluster {cluster}")
}

/// Returns `None` for a cluster that does not exist: *not found* means the cluster in these calls.
fn unless_absent<T>(answer: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns a list that ECS always sends, `[]` if it is empty. (Source: convox/rack#1908, `listTasks
/// Data: { taskArns: [] }`; so does every client that indexes the answer by the list's name.) An
/// answer without it lost its body on the way: the SDK reads an empty body as `{}`.
fn whole<T>(call: &'static Call, on: &str, list: Option<Vec<T>>) -> Result<Vec<T>, AwsError> {
    list.ok_or_else(|| AwsError::incomplete(call, on, "the answer leaves the list out"))
}

/// Returns the ARN and the reason of each entry of `failures`.
fn failures(failures: &[Failure]) -> Vec<(String, String)> {
    let pair = |failure: &Failure| {
        let reason = failure.reason().unwrap_or("failed without a reason");
        Some((failure.arn()?.to_owned(), reason.to_owned()))
    };
    failures.iter().filter_map(pair).collect()
}
