//! Single reads: each sends one batch with one permit, and fails for that batch only. Further pages
//! of a list wait for permits of their own.
//!
//! A list that was read in pages is no snapshot: an item that moves between two pages can be in
//! none of them, or in both.

use super::{
    ContainerInstanceView, Desired, Ecs, PAGE, RevisionView, ServiceView, TaskView, failures,
    of_cluster, unless_absent, whole,
};
use crate::aws::batch::{Described, id};
use crate::aws::caller::next_page;
use crate::aws::calls::{
    DESCRIBE_CLUSTERS, DESCRIBE_SERVICE_REVISIONS, DESCRIBE_TASKS, LIST_CLUSTERS,
    LIST_CONTAINER_INSTANCES, LIST_SERVICES, LIST_TASKS,
};
use crate::aws::error::{AwsError, MISSING};
use crate::aws::limiter::Permit;
use aws_sdk_ecs::types::DesiredStatus;
use std::collections::{BTreeMap, BTreeSet};

/// Revisions in one call. (Source: ECS API reference, DescribeServiceRevisions.)
const REVISIONS: usize = 20;

impl Ecs {
    /// Lists the names of all clusters that are not inactive.
    ///
    /// # Errors
    /// Returns an error if a page could not be read: a part of the list is never taken for the
    /// whole.
    pub(crate) async fn clusters(&self, mut permit: Permit) -> Result<Vec<String>, AwsError> {
        let on = format!("region {}", self.caller.region);
        let mut names = Vec::new();
        let mut token = None;
        loop {
            let request =
                self.client.list_clusters().max_results(PAGE).set_next_token(token.clone());
            let page = self.caller.send(permit, &LIST_CLUSTERS, &on, request.send()).await?;
            token = next_page(&LIST_CLUSTERS, &on, token.as_deref(), page.next_token())?;
            let arns = whole(&LIST_CLUSTERS, &on, page.cluster_arns)?;
            names.extend(arns.iter().map(|arn| id(arn).to_owned()));
            if token.is_none() {
                return Ok(names);
            }
            permit = self.caller.permit(&LIST_CLUSTERS).await;
        }
    }

    /// Counts the container instances that are registered in each of at most 100 clusters, `ACTIVE`
    /// and `DRAINING` ones, by the name requested. A cluster that is inactive, or that does not
    /// exist, has none. Omits a cluster without an answer. (Source: ECS API reference,
    /// Cluster.registeredContainerInstancesCount.)
    ///
    /// # Errors
    /// Returns an error if the batch could not be read.
    pub(crate) async fn cluster_sizes(
        &self,
        permit: Permit,
        names: &[String],
    ) -> Result<BTreeMap<String, u32>, AwsError> {
        if names.is_empty() {
            // Without a name, ECS would return the cluster `default`.
            return Ok(BTreeMap::new());
        }
        let on = format!("clusters {}", names.join(", "));
        let request = self.client.describe_clusters().set_clusters(Some(names.to_vec()));
        let answer = self.caller.send(permit, &DESCRIBE_CLUSTERS, &on, request.send()).await;
        let Some(answer) = unless_absent(answer)? else {
            return Ok(names.iter().map(|n| (n.clone(), 0)).collect());
        };
        let failures = failures(answer.failures());
        let found = answer.clusters.unwrap_or_default().into_iter().filter_map(|cluster| {
            let active = cluster.status() != Some("INACTIVE");
            let size =
                u32::try_from(cluster.registered_container_instances_count()).unwrap_or_default();
            Some((cluster.cluster_name?, if active { size } else { 0 }))
        });
        let found: BTreeMap<String, u32> = found.collect();
        let absent = failures.iter().filter(|(_, reason)| reason == MISSING);
        let absent: BTreeSet<&str> = absent.map(|(arn, _)| id(arn)).collect();
        let size = |name: &String| {
            let size =
                found.get(id(name)).copied().or_else(|| absent.contains(id(name)).then_some(0))?;
            Some((name.clone(), size))
        };
        Ok(names.iter().filter_map(size).collect())
    }

    /// Lists the ARNs of container instances that may be these EC2 instances, at most 50 of them,
    /// whatever their status (`INACTIVE` ones are never listed). Without names it lists all of the
    /// cluster. The filter only narrows the answer: describe the container instances, and compare
    /// `ec2_instance_id`.
    ///
    /// # Errors
    /// Returns an error if a page could not be read. A cluster that does not exist is an empty
    /// list.
    pub(crate) async fn registered(
        &self,
        mut permit: Permit,
        cluster: &str,
        ec2_ids: &[String],
    ) -> Result<Vec<String>, AwsError> {
        let on = of_cluster(cluster);
        let filter =
            (!ec2_ids.is_empty()).then(|| format!("ec2InstanceId in [{}]", ec2_ids.join(", ")));
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let request =
                self.client.list_container_instances().cluster(cluster).set_filter(filter.clone());
            let request = request.max_results(PAGE).set_next_token(token.clone());
            let answer =
                self.caller.send(permit, &LIST_CONTAINER_INSTANCES, &on, request.send()).await;
            let Some(page) = unless_absent(answer)? else { return Ok(Vec::new()) };
            token = next_page(&LIST_CONTAINER_INSTANCES, &on, token.as_deref(), page.next_token())?;
            arns.extend(whole(&LIST_CONTAINER_INSTANCES, &on, page.container_instance_arns)?);
            if token.is_none() {
                return Ok(arns);
            }
            permit = self.caller.permit(&LIST_CONTAINER_INSTANCES).await;
        }
    }

    /// Describes at most 100 container instances of one cluster.
    ///
    /// # Errors
    /// Returns an error if the batch could not be read. In a cluster that does not exist all are
    /// missing.
    pub(crate) async fn container_instances(
        &self,
        permit: Permit,
        cluster: &str,
        arns: &[String],
    ) -> Result<Described<ContainerInstanceView>, AwsError> {
        let read = |from| ContainerInstanceView::read(from).map(|view| (view.arn.clone(), view));
        self.container_instances_in(permit, cluster, arns, read).await
    }

    /// Lists the ARNs of the tasks of a cluster, or of one container instance in it, that have this
    /// desired status.
    ///
    /// # Errors
    /// Returns an error if a page could not be read. A cluster that does not exist is an empty
    /// list.
    pub(crate) async fn tasks_of(
        &self,
        mut permit: Permit,
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
            let request = self
                .client
                .list_tasks()
                .cluster(cluster)
                .desired_status(status.clone())
                .max_results(PAGE);
            let request = request.set_container_instance(container_instance.map(str::to_owned));
            let request = request.set_next_token(token.clone());
            let answer = self.caller.send(permit, &LIST_TASKS, &on, request.send()).await;
            let Some(page) = unless_absent(answer)? else { return Ok(Vec::new()) };
            token = next_page(&LIST_TASKS, &on, token.as_deref(), page.next_token())?;
            arns.extend(whole(&LIST_TASKS, &on, page.task_arns)?);
            if token.is_none() {
                return Ok(arns);
            }
            permit = self.caller.permit(&LIST_TASKS).await;
        }
    }

    /// Describes at most 100 tasks of one cluster. A task that was seen once and is missing now has
    /// stopped, an hour ago or earlier.
    ///
    /// # Errors
    /// Returns an error if the batch could not be read. In a cluster that does not exist all are
    /// missing.
    pub(crate) async fn tasks(
        &self,
        permit: Permit,
        cluster: &str,
        arns: &[String],
    ) -> Result<Described<TaskView>, AwsError> {
        if arns.is_empty() {
            return Ok(Described::default());
        }
        let request = self.client.describe_tasks().cluster(cluster).set_tasks(Some(arns.to_vec()));
        let answer =
            self.caller.send(permit, &DESCRIBE_TASKS, &of_cluster(cluster), request.send()).await;
        let Some(answer) = unless_absent(answer)? else { return Ok(Described::none_of(arns)) };
        let failures = failures(answer.failures());
        let found = answer.tasks.unwrap_or_default().into_iter();
        let found = found.filter_map(TaskView::read).map(|view| (view.arn.clone(), view));
        Ok(Described::sort(arns, found.collect(), &failures))
    }

    /// Lists the names of the services of a cluster.
    ///
    /// # Errors
    /// Returns an error if a page could not be read: a part of the list is never taken for the
    /// whole. A cluster that does not exist is an empty list.
    pub(crate) async fn list_services(&self, cluster: &str) -> Result<Vec<String>, AwsError> {
        let on = of_cluster(cluster);
        let mut names = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.list_services().cluster(cluster).max_results(PAGE);
            let request = request.set_next_token(token.clone());
            let answer = self.caller.make(&LIST_SERVICES, &on, request.send()).await;
            let Some(page) = unless_absent(answer)? else { return Ok(Vec::new()) };
            token = next_page(&LIST_SERVICES, &on, token.as_deref(), page.next_token())?;
            let arns = whole(&LIST_SERVICES, &on, page.service_arns)?;
            names.extend(arns.iter().map(|arn| id(arn).to_owned()));
            if token.is_none() {
                return Ok(names);
            }
        }
    }

    /// Describes at most ten services of one cluster, by name, with the registrations of the
    /// revisions that their tasks may run; each read of revisions has its own permit. A service
    /// fails if one of its revisions could not be read, or if ECS does not know a current one: the
    /// registrations of its tasks are then unknown.
    ///
    /// # Errors
    /// Returns an error if the batch could not be read. In a cluster that does not exist all are
    /// missing.
    pub(crate) async fn services(
        &self,
        permit: Permit,
        cluster: &str,
        names: &[String],
    ) -> Result<Described<ServiceView>, AwsError> {
        let read = |from| ServiceView::read(from).map(|view| (view.name.clone(), view));
        let mut described = self.services_in(permit, cluster, names, false, read).await?;
        self.add_revisions(&mut described).await;
        Ok(described)
    }

    async fn add_revisions(&self, services: &mut Described<ServiceView>) {
        let wanted: Vec<String> =
            services.found.iter().flat_map(|service| service.revisions.iter().cloned()).collect();
        let mut revisions: BTreeMap<String, Result<RevisionView, String>> = BTreeMap::new();
        for batch in wanted.chunks(REVISIONS) {
            let permit = self.caller.permit(&DESCRIBE_SERVICE_REVISIONS).await;
            match self.revisions(permit, batch).await {
                Ok(answer) => {
                    revisions.extend(
                        answer.found.into_iter().map(|view| (id(&view.arn).to_owned(), Ok(view))),
                    );
                    let missing = answer.missing.into_iter().map(|arn| (arn, MISSING.to_owned()));
                    let unread = missing.chain(answer.failed);
                    revisions.extend(
                        unread
                            .map(|(arn, why)| (id(&arn).to_owned(), Err(format!("{arn}: {why}")))),
                    );
                }
                Err(error) => {
                    revisions.extend(
                        batch.iter().map(|arn| (id(arn).to_owned(), Err(error.to_string()))),
                    );
                }
            }
        }
        for mut service in std::mem::take(&mut services.found) {
            let mine: Result<Vec<&RevisionView>, &String> = service
                .revisions
                .iter()
                .filter_map(|arn| revisions.get(id(arn)))
                .map(Result::as_ref)
                .collect();
            match mine {
                Ok(mine) => {
                    mine.into_iter().for_each(|revision| service.add(revision));
                    services.found.push(service);
                }
                Err(why) => services
                    .failed
                    .push((service.name, format!("its revision was not read: {why}"))),
            }
        }
    }

    /// Describes at most 20 revisions of services, of any cluster. (Source: ECS API reference,
    /// DescribeServiceRevisions.)
    ///
    /// # Errors
    /// Returns an error if the batch could not be read.
    pub(crate) async fn revisions(
        &self,
        permit: Permit,
        arns: &[String],
    ) -> Result<Described<RevisionView>, AwsError> {
        if arns.is_empty() {
            return Ok(Described::default());
        }
        let request =
            self.client.describe_service_revisions().set_service_revision_arns(Some(arns.to_vec()));
        let on = format!("service revisions {}", arns.join(", "));
        let answer =
            self.caller.send(permit, &DESCRIBE_SERVICE_REVISIONS, &on, request.send()).await?;
        let failures = failures(answer.failures());
        let found = answer.service_revisions.unwrap_or_default().into_iter();
        let found = found.filter_map(RevisionView::read).map(|view| (view.arn.clone(), view));
        Ok(Described::sort(arns, found.collect(), &failures))
    }
}
