//! ECS: what is read of a cluster, in the largest batches that the API takes.
//!
//! A cluster that does not exist (or is `INACTIVE`) holds nothing: it can be deleted only once no container instance is
//! registered in it (source: ECS API reference, DeleteCluster). So reads of it answer that all is missing, or empty lists.

mod changes;
mod diagnosis;
mod views;

pub use changes::State;
pub use diagnosis::{CapacityView, ServiceStateView, TaskDefinitionView};
pub use views::{ContainerInstanceView, ServiceView, TaskView};

use super::batch::Described;
use super::caller::{Caller, next_page};
use super::calls::{
    Call, DESCRIBE_CONTAINER_INSTANCES, DESCRIBE_SERVICES, DESCRIBE_TASKS, LIST_CLUSTERS, LIST_CONTAINER_INSTANCES,
    LIST_TASKS,
};
use super::error::{AwsError, ErrorClass};
use aws_sdk_ecs::types::{ContainerInstance, DesiredStatus, Failure, Service};
use std::collections::BTreeSet;

/// Ids in one filter of ListContainerInstances: 50 of them are 1 KB; AWS documents no limit.
const IDS_IN_A_FILTER: usize = 50;

/// Items of one page, the most of all list calls used here.
const PAGE: i32 = 100;

/// Container instances, or tasks, in one description. (Source: ECS API reference, DescribeContainerInstances and
/// DescribeTasks.)
const DESCRIBED: usize = 100;

/// Services in one description. (Source: ECS API reference, DescribeServices.)
const SERVICES: usize = 10;

/// What ECS wants of a task. A task that is being stopped is wanted `STOPPED` before its containers have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    /// `RUNNING`.
    Running,
    /// `STOPPED`; tasks that have stopped are remembered for an hour at least.
    Stopped,
}

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

    /// The ARNs of all clusters.
    ///
    /// # Errors
    /// When a page could not be read: a part of the list is never taken for the whole.
    pub async fn list_clusters(&self) -> Result<Vec<String>, AwsError> {
        let on = format!("region {}", self.caller.region);
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.list_clusters().max_results(PAGE).set_next_token(token.clone());
            let page = self.caller.make(&LIST_CLUSTERS, &on, request.send()).await?;
            token = next_page(&LIST_CLUSTERS, &on, token.as_deref(), page.next_token())?;
            arns.extend(whole(&LIST_CLUSTERS, &on, page.cluster_arns)?);
            if token.is_none() {
                return Ok(arns);
            }
        }
    }

    /// The ARNs of container instances that may be these EC2 instances, whatever their status (`INACTIVE` ones are never
    /// listed). The filter narrows the answer and proves nothing: match `ec2_instance_id` of what is described then.
    ///
    /// # Errors
    /// When a page could not be read. A cluster that does not exist is an empty list.
    pub async fn list_container_instances(&self, cluster: &str, ec2_ids: &[String]) -> Result<Vec<String>, AwsError> {
        let mut arns = BTreeSet::new();
        for ids in ec2_ids.chunks(IDS_IN_A_FILTER) {
            match self.list_container_instances_of(cluster, ids).await {
                Ok(some) => arns.extend(some),
                Err(error) if error.class == ErrorClass::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        Ok(arns.into_iter().collect())
    }

    async fn list_container_instances_of(&self, cluster: &str, ids: &[String]) -> Result<Vec<String>, AwsError> {
        let on = of_cluster(cluster);
        let filter = format!("ec2InstanceId in [{}]", ids.join(", "));
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.list_container_instances().cluster(cluster).filter(&filter);
            let request = request.max_results(PAGE).set_next_token(token.clone());
            let page = self.caller.make(&LIST_CONTAINER_INSTANCES, &on, request.send()).await?;
            token = next_page(&LIST_CONTAINER_INSTANCES, &on, token.as_deref(), page.next_token())?;
            arns.extend(whole(&LIST_CONTAINER_INSTANCES, &on, page.container_instance_arns)?);
            if token.is_none() {
                return Ok(arns);
            }
        }
    }

    /// What ECS says of container instances.
    ///
    /// # Errors
    /// When a batch could not be read. A cluster that does not exist misses them all.
    pub async fn describe_container_instances(
        &self,
        cluster: &str,
        arns: &[String],
    ) -> Result<Described<ContainerInstanceView>, AwsError> {
        let read = |from| ContainerInstanceView::read(from).map(|view| (view.arn.clone(), view));
        self.container_instances_as(cluster, arns, read).await
    }

    /// The ARNs of the tasks of a cluster, or of one container instance in it, of which ECS wants this.
    ///
    /// # Errors
    /// When a page could not be read. A cluster that does not exist is an empty list.
    pub async fn list_tasks(
        &self,
        cluster: &str,
        container_instance: Option<&str>,
        desired: Desired,
    ) -> Result<Vec<String>, AwsError> {
        let on = of_cluster(cluster);
        let status = match desired {
            Desired::Running => DesiredStatus::Running,
            Desired::Stopped => DesiredStatus::Stopped,
        };
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.list_tasks().cluster(cluster).desired_status(status.clone()).max_results(PAGE);
            let request = request.set_container_instance(container_instance.map(str::to_owned));
            let request = request.set_next_token(token.clone());
            let answer = self.caller.make(&LIST_TASKS, &on, request.send()).await;
            let Some(page) = unless_absent(answer)? else { return Ok(Vec::new()) };
            token = next_page(&LIST_TASKS, &on, token.as_deref(), page.next_token())?;
            arns.extend(whole(&LIST_TASKS, &on, page.task_arns)?);
            if token.is_none() {
                return Ok(arns);
            }
        }
    }

    /// What ECS says of tasks. A task that was seen once and is missing now has stopped, an hour ago or earlier.
    ///
    /// # Errors
    /// When a batch could not be read. A cluster that does not exist misses them all.
    pub async fn describe_tasks(&self, cluster: &str, arns: &[String]) -> Result<Described<TaskView>, AwsError> {
        let on = of_cluster(cluster);
        let mut described = Described::default();
        for batch in arns.chunks(DESCRIBED) {
            let request = self.client.describe_tasks().cluster(cluster).set_tasks(Some(batch.to_vec()));
            let answer = self.caller.make(&DESCRIBE_TASKS, &on, request.send()).await;
            let Some(answer) = unless_absent(answer)? else { return Ok(Described::none_of(arns)) };
            let failures = failures(answer.failures());
            let found = answer.tasks.unwrap_or_default().into_iter();
            let found = found.filter_map(TaskView::read).map(|view| (view.arn.clone(), view));
            described.extend(Described::sort(batch, found.collect(), &failures));
        }
        Ok(described)
    }

    /// What ECS says of services, by name.
    ///
    /// # Errors
    /// When a batch could not be read. A cluster that does not exist misses them all.
    pub async fn describe_services(&self, cluster: &str, names: &[String]) -> Result<Described<ServiceView>, AwsError> {
        let read = |from| ServiceView::read(from).map(|view| (view.name.clone(), view));
        self.services_as(cluster, names, read).await
    }

    /// Container instances, as `read` sees them: each with its ARN.
    async fn container_instances_as<T>(
        &self,
        cluster: &str,
        arns: &[String],
        read: impl Fn(ContainerInstance) -> Option<(String, T)>,
    ) -> Result<Described<T>, AwsError> {
        let on = of_cluster(cluster);
        let mut described = Described::default();
        for batch in arns.chunks(DESCRIBED) {
            let request = self.client.describe_container_instances().cluster(cluster);
            let request = request.set_container_instances(Some(batch.to_vec()));
            let answer = self.caller.make(&DESCRIBE_CONTAINER_INSTANCES, &on, request.send()).await;
            let Some(answer) = unless_absent(answer)? else { return Ok(Described::none_of(arns)) };
            let failures = failures(answer.failures());
            let found = answer.container_instances.unwrap_or_default().into_iter();
            described.extend(Described::sort(batch, found.filter_map(&read).collect(), &failures));
        }
        Ok(described)
    }

    /// Services, as `read` sees them: each with its name.
    async fn services_as<T>(
        &self,
        cluster: &str,
        names: &[String],
        read: impl Fn(Service) -> Option<(String, T)>,
    ) -> Result<Described<T>, AwsError> {
        let on = of_cluster(cluster);
        let mut described = Described::default();
        for batch in names.chunks(SERVICES) {
            let request = self.client.describe_services().cluster(cluster).set_services(Some(batch.to_vec()));
            let answer = self.caller.make(&DESCRIBE_SERVICES, &on, request.send()).await;
            let Some(answer) = unless_absent(answer)? else { return Ok(Described::none_of(names)) };
            let failures = failures(answer.failures());
            let found = answer.services.unwrap_or_default().into_iter();
            described.extend(Described::sort(batch, found.filter_map(&read).collect(), &failures));
        }
        Ok(described)
    }
}

/// What a call on a cluster is about.
fn of_cluster(cluster: &str) -> String {
    format!("cluster {cluster}")
}

/// None for a cluster that does not exist: of these calls' errors, only that one says that something is not found.
fn unless_absent<T>(answer: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A list that ECS always sends, `[]` where it is empty. (Source: convox/rack#1908, `listTasks Data: { taskArns: [] }`; so
/// does every client that indexes the answer by the list's name.) An answer without it was lost on its way: the SDK
/// reads an empty body as `{}`.
fn whole<T>(call: &'static Call, on: &str, list: Option<Vec<T>>) -> Result<Vec<T>, AwsError> {
    list.ok_or_else(|| AwsError::incomplete(call, on, "the answer leaves the list out"))
}

/// The ARN and the reason of each entry of `failures`.
fn failures(failures: &[Failure]) -> Vec<(String, String)> {
    let pair = |failure: &Failure| {
        let reason = failure.reason().unwrap_or("failed without a reason");
        Some((failure.arn()?.to_owned(), reason.to_owned()))
    };
    failures.iter().filter_map(pair).collect()
}
