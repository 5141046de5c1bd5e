//! The operations of the ECS API: batch limits, paging, failures, and the errors that are
//! exceptions.
//!
//! An unknown id is an entry `{arn, reason: MISSING}` in `failures` of a successful answer; an
//! unknown cluster is an exception (source: ECS developer guide, API failure reasons).

use std::ops::Bound::{Excluded, Unbounded};

use serde_json::{Value, json};

use super::Ecs;
use super::model::{Cluster, ContainerInstance, InstanceStatus, Task, TaskStatus};
use crate::SimTime;
use crate::elb::LoadBalancing;
use crate::spec::StandaloneSpec;
use crate::wire::ApiError;
use crate::wire::json::{epoch_seconds, required, text, texts};

/// Returns true if an operation only reads.
pub fn is_read(operation: &str) -> bool {
    ["Describe", "List", "Get"].iter().any(|prefix| operation.starts_with(prefix))
}

/// Returns the last part of an ARN, or the id or name itself.
pub(super) fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

impl Ecs {
    /// Answers one call.
    pub fn handle(
        &mut self,
        now: SimTime,
        elb: &mut LoadBalancing,
        operation: &str,
        body: &Value,
    ) -> Result<Value, ApiError> {
        match operation {
            "ListClusters" => self.list_clusters(body),
            "DescribeClusters" => self.describe_clusters(body),
            "ListContainerInstances" => self.list_container_instances(body),
            "DescribeContainerInstances" => self.describe_container_instances(now, body),
            "UpdateContainerInstancesState" => self.update_container_instances_state(now, body),
            "DeregisterContainerInstance" => self.deregister_container_instance(now, elb, body),
            "ListTasks" => self.list_tasks(now, body),
            "DescribeTasks" => self.describe_tasks(now, body),
            "StopTask" => self.stop_task_call(now, body),
            "RunTask" => self.run_task(now, body),
            "ListServices" => self.list_services(body),
            "DescribeServices" => self.describe_services(body),
            "DescribeServiceDeployments" => self.describe_service_deployments(body),
            "DescribeServiceRevisions" => self.describe_service_revisions(body),
            "DescribeTaskDefinition" => self.describe_task_definition(body),
            "GetTaskProtection" => self.get_task_protection(now, body),
            "UpdateTaskProtection" => self.update_task_protection(now, body),
            _ => Err(ApiError::bad_request(
                "UnknownOperationException",
                format!("Unknown operation {operation}"),
            )),
        }
    }

    /// Returns the cluster that a request names, or the one called `default` (source: ECS API
    /// reference).
    fn named_cluster(&self, body: &Value) -> Result<&Cluster, ApiError> {
        let name = last(text(body, "cluster").unwrap_or("default"));
        self.clusters
            .get(name)
            .ok_or_else(|| ApiError::bad_request("ClusterNotFoundException", "Cluster not found."))
    }

    fn list_clusters(&self, body: &Value) -> Result<Value, ApiError> {
        let page = self.page(body, 100)?;
        let names =
            self.clusters.range::<str, _>((after(&page), Unbounded)).map(|(name, _)| name.as_str());
        Ok(page.answer("clusterArns", names, |name| self.cluster_arn(name)))
    }

    fn describe_clusters(&self, body: &Value) -> Result<Value, ApiError> {
        let names = limited(body, "clusters", 100)?;
        let names = if names.is_empty() { vec!["default"] } else { names };
        Ok(found_and_missing("clusters", &names, |name| {
            self.clusters
                .get(last(name))
                .map(|c| self.show_cluster(c))
                .ok_or_else(|| self.cluster_arn(last(name)))
        }))
    }

    fn list_container_instances(&self, body: &Value) -> Result<Value, ApiError> {
        let cluster = self.named_cluster(body)?;
        let page = self.page(body, 100)?;
        let status = text(body, "status");
        let filter = text(body, "filter").map(Filter::parse).transpose()?;
        // Without a status: all but INACTIVE, so DRAINING instances too.
        let listed = |instance: &&ContainerInstance| {
            instance.status != InstanceStatus::Inactive
                && status.is_none_or(|status| instance.status.as_str() == status)
                && filter.as_ref().is_none_or(|filter| filter.admits(instance))
        };
        let instances = cluster
            .instances
            .range::<str, _>((after(&page), Unbounded))
            .map(|(_, instance)| instance);
        let ids = instances.filter(listed).map(|instance| instance.id.as_str());
        Ok(page.answer("containerInstanceArns", ids, |id| self.instance_arn(&cluster.name, id)))
    }

    fn describe_container_instances(&self, now: SimTime, body: &Value) -> Result<Value, ApiError> {
        let cluster = self.named_cluster(body)?;
        let ids = limited(body, "containerInstances", 100)?;
        if ids.is_empty() {
            return Err(ApiError::invalid_parameter("Container instances cannot be empty."));
        }
        let tags = texts(body, "include").contains(&"TAGS");
        Ok(found_and_missing("containerInstances", &ids, |id| {
            let instance =
                cluster.instances.get(last(id)).filter(|i| self.remembers(now, i.deregistered_at));
            let shown = instance.map(|instance| self.show_instance(cluster, instance, tags));
            shown.ok_or_else(|| self.instance_arn(&cluster.name, last(id)))
        }))
    }

    fn update_container_instances_state(
        &mut self,
        now: SimTime,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let cluster = self.named_cluster(body)?;
        let cluster_name = cluster.name.clone();
        let given = texts(body, "containerInstances");
        if given.len() > 10 {
            return Err(ApiError::invalid_parameter("instanceIds can have at most 10 items."));
        }
        let status = match required(body, "status")? {
            "ACTIVE" => InstanceStatus::Active,
            "DRAINING" => InstanceStatus::Draining,
            _ => {
                return Err(ApiError::invalid_parameter(
                    "Container instance status should be one of [ACTIVE, DRAINING].",
                ));
            }
        };
        let inactive = |id: &&str| {
            cluster
                .instances
                .get(last(id))
                .is_some_and(|instance| instance.status == InstanceStatus::Inactive)
        };
        let refused: Vec<String> =
            given.iter().filter(|id| inactive(id)).map(|id| last(id).to_owned()).collect();
        if self.refuse_inactive_updates && !refused.is_empty() {
            return Err(ApiError::invalid_parameter(format!(
                "The container instance {} is inactive and its state cannot be changed.",
                refused.join(", ")
            )));
        }
        for id in given.iter().map(|id| last(id)).filter(|id| !refused.iter().any(|r| r == id)) {
            self.set_status(now, &cluster_name, id, status);
        }
        let cluster = self.named_cluster(body)?;
        let (mut shown, mut failures) = (Vec::new(), Vec::new());
        for id in given.iter().map(|id| last(id)) {
            let reason = if refused.iter().any(|r| r == id) { "INACTIVE" } else { "MISSING" };
            match cluster.instances.get(id).filter(|_| reason != "INACTIVE") {
                Some(instance) => shown.push(self.show_instance(cluster, instance, false)),
                None => failures
                    .push(json!({ "arn": self.instance_arn(&cluster_name, id), "reason": reason })),
            }
        }
        Ok(json!({ "containerInstances": shown, "failures": failures }))
    }

    fn deregister_container_instance(
        &mut self,
        now: SimTime,
        elb: &mut LoadBalancing,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let cluster_name = self.named_cluster(body)?.name.clone();
        let id = last(required(body, "containerInstance")?);
        let force = body.get("force").and_then(Value::as_bool).unwrap_or(false);
        self.deregister(now, elb, &cluster_name, id, force)?;
        let cluster = self.named_cluster(body)?;
        let shown =
            cluster.instances.get(id).map(|instance| self.show_instance(cluster, instance, false));
        Ok(json!({ "containerInstance": shown }))
    }

    /// Lists tasks. `desiredStatus` is `RUNNING` by default, so a task on its way out has already
    /// left that list. ECS never desires a task `PENDING`: that filter finds nothing (source: ECS
    /// API reference, ListTasks).
    fn list_tasks(&self, now: SimTime, body: &Value) -> Result<Value, ApiError> {
        let cluster = self.named_cluster(body)?;
        let page = self.page(body, 100)?;
        let desired = text(body, "desiredStatus").unwrap_or("RUNNING");
        let (service, family) = (text(body, "serviceName").map(last), text(body, "family"));
        let started_by = text(body, "startedBy");
        if let Some(name) = service.filter(|name| !cluster.services.contains_key(*name)) {
            return Err(ApiError::bad_request(
                "ServiceNotFoundException",
                format!("Service {name} not found."),
            ));
        }
        let listed = |task: &&Task| {
            let wanted = match desired {
                "RUNNING" => !task.stop_wanted,
                "STOPPED" => task.stop_wanted && self.remembers(now, task.stopped_at),
                _ => false,
            };
            wanted
                && service.is_none_or(|name| task.service.as_deref() == Some(name))
                && family.is_none_or(|family| task.definition.split(':').next() == Some(family))
                && started_by.is_none_or(|by| task.started_by.as_deref() == Some(by))
        };
        let arn = |id: &str| self.task_arn(&cluster.name, id);
        let Some(instance) = text(body, "containerInstance").map(last) else {
            let tasks =
                cluster.tasks.range::<str, _>((after(&page), Unbounded)).map(|(_, task)| task);
            return Ok(page.answer(
                "taskArns",
                tasks.filter(listed).map(|task| task.id.as_str()),
                arn,
            ));
        };
        // The code for an instance that ECS does not know is not documented; this one is from
        // reports.
        let instance = cluster
            .instances
            .get(instance)
            .filter(|i| self.remembers(now, i.deregistered_at))
            .ok_or_else(|| ApiError::invalid_parameter("Container instance not found."))?;
        let ids = instance.tasks.range::<str, _>((after(&page), Unbounded));
        let tasks = ids.filter_map(|id| cluster.tasks.get(id));
        Ok(page.answer("taskArns", tasks.filter(listed).map(|task| task.id.as_str()), arn))
    }

    fn describe_tasks(&self, now: SimTime, body: &Value) -> Result<Value, ApiError> {
        let cluster = self.named_cluster(body)?;
        let ids = limited(body, "tasks", 100)?;
        if ids.is_empty() {
            return Err(ApiError::invalid_parameter("Tasks cannot be empty."));
        }
        Ok(found_and_missing("tasks", &ids, |id| {
            let task =
                cluster.tasks.get(last(id)).filter(|task| self.remembers(now, task.stopped_at));
            let shown = task.map(|task| self.show_task(cluster, task));
            shown.ok_or_else(|| self.task_arn(&cluster.name, last(id)))
        }))
    }

    fn stop_task_call(&mut self, now: SimTime, body: &Value) -> Result<Value, ApiError> {
        let cluster = self.named_cluster(body)?;
        let id = last(required(body, "task")?);
        if !cluster.tasks.get(id).is_some_and(|task| self.remembers(now, task.stopped_at)) {
            return Err(ApiError::invalid_parameter("The referenced task was not found."));
        }
        let cluster_name = cluster.name.clone();
        self.stop_task(
            now,
            &cluster_name,
            id,
            "UserInitiated",
            text(body, "reason").unwrap_or("Task stopped by user"),
        );
        let cluster = self.named_cluster(body)?;
        Ok(json!({ "task": cluster.tasks.get(id).map(|task| self.show_task(cluster, task)) }))
    }

    /// Runs a task of a known family on an instance that ECS chooses: the simple part of `RunTask`.
    fn run_task(&mut self, now: SimTime, body: &Value) -> Result<Value, ApiError> {
        let cluster = self.named_cluster(body)?.name.clone();
        let wanted = last(required(body, "taskDefinition")?);
        let definition =
            self.definitions.iter().rev().find(|(key, d)| *key == wanted || d.family == wanted);
        let Some((_, definition)) = definition else {
            return Err(ApiError::bad_request(
                "ClientException",
                "Unable to describe task definition.",
            ));
        };
        let mut spec = StandaloneSpec::new(cluster.clone(), definition.family.clone());
        spec.task = definition.task.clone();
        spec.group = text(body, "group").map(str::to_owned);
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for _ in 0..body.get("count").and_then(Value::as_u64).unwrap_or(1).min(10) {
            let started = self.run_standalone(now, &spec);
            let cluster = self.clusters.get(&cluster);
            match started.and_then(|arn| cluster.and_then(|c| Some((c, c.tasks.get(last(&arn))?))))
            {
                Some((cluster, task)) => tasks.push(self.show_task(cluster, task)),
                None => failures.push(json!({ "reason": "RESOURCE:MEMORY" })),
            }
        }
        Ok(json!({ "tasks": tasks, "failures": failures }))
    }

    fn list_services(&self, body: &Value) -> Result<Value, ApiError> {
        let cluster = self.named_cluster(body)?;
        let page = self.page(body, 10)?;
        let strategy = text(body, "schedulingStrategy");
        let services =
            cluster.services.range::<str, _>((after(&page), Unbounded)).map(|(_, service)| service);
        let names = services
            .filter(|service| {
                strategy.is_none_or(|s| s == if service.daemon { "DAEMON" } else { "REPLICA" })
            })
            .map(|service| service.name.as_str());
        Ok(page.answer("serviceArns", names, |name| self.service_arn(&cluster.name, name)))
    }

    fn describe_services(&self, body: &Value) -> Result<Value, ApiError> {
        let cluster = self.named_cluster(body)?;
        let names = limited(body, "services", 10)?;
        if names.is_empty() {
            return Err(ApiError::invalid_parameter("Services cannot be empty."));
        }
        let tags = texts(body, "include").contains(&"TAGS");
        Ok(found_and_missing("services", &names, |name| {
            let service = cluster.services.get(last(name));
            let shown = service.map(|service| self.show_service(cluster, service, tags));
            shown.ok_or_else(|| self.service_arn(&cluster.name, last(name)))
        }))
    }

    fn describe_task_definition(&self, body: &Value) -> Result<Value, ApiError> {
        let wanted = last(required(body, "taskDefinition")?);
        let latest =
            self.definitions.values().filter(|d| d.family == wanted).max_by_key(|d| d.revision);
        let definition = self.definitions.get(wanted).or(latest);
        let definition = definition.ok_or_else(|| {
            ApiError::bad_request("ClientException", "Unable to describe task definition.")
        })?;
        Ok(json!({ "taskDefinition": self.show_definition(definition), "tags": [] }))
    }

    fn get_task_protection(&self, now: SimTime, body: &Value) -> Result<Value, ApiError> {
        let cluster = self.named_cluster(body)?;
        let mut ids = limited(body, "tasks", 100)?;
        if ids.is_empty() {
            ids = cluster
                .tasks
                .values()
                .filter(|t| t.service.is_some())
                .take(100)
                .map(|t| t.id.as_str())
                .collect();
        }
        Ok(self.show_protection(now, cluster, &ids))
    }

    fn update_task_protection(&mut self, now: SimTime, body: &Value) -> Result<Value, ApiError> {
        let cluster_name = self.named_cluster(body)?.name.clone();
        let ids = limited(body, "tasks", 10)?;
        // 2 hours by default (source: ECS API reference, UpdateTaskProtection).
        let minutes = body.get("expiresInMinutes").and_then(Value::as_u64).unwrap_or(120);
        let on = body.get("protectionEnabled").and_then(Value::as_bool).unwrap_or(false);
        let until = on.then(|| now + SimTime::from_secs(60 * minutes));
        for id in &ids {
            let task = self.clusters.get_mut(&cluster_name).and_then(|c| c.tasks.get_mut(last(id)));
            if let Some(task) = task.filter(|task| task.service.is_some()) {
                task.protected_until = until;
            }
        }
        Ok(self.show_protection(now, self.named_cluster(body)?, &ids))
    }

    fn show_protection(&self, now: SimTime, cluster: &Cluster, ids: &[&str]) -> Value {
        let (mut protected, mut failures) = (Vec::new(), Vec::new());
        for id in ids {
            let arn = self.task_arn(&cluster.name, last(id));
            match cluster.tasks.get(last(id)).filter(|task| task.status != TaskStatus::Stopped) {
                None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
                Some(task) if task.service.is_none() => {
                    failures.push(json!({ "arn": arn, "reason": "TASK_NOT_VALID" }));
                }
                Some(task) => match task.protected_until.filter(|until| *until > now) {
                    None => protected.push(json!({ "taskArn": arn, "protectionEnabled": false })),
                    Some(until) => protected.push(json!({
                        "taskArn": arn, "protectionEnabled": true, "expirationDate": epoch_seconds(self.start, until),
                    })),
                },
            }
        }
        json!({ "protectedTasks": protected, "failures": failures })
    }

    /// Returns true if ECS still describes an object that ended then.
    fn remembers(&self, now: SimTime, ended: Option<SimTime>) -> bool {
        ended.is_none_or(|ended| now < ended + self.timing.memory)
    }

    fn page(&self, body: &Value, default: usize) -> Result<Page, ApiError> {
        let size = match body.get("maxResults").filter(|value| !value.is_null()) {
            None => default,
            Some(value) => match value.as_u64() {
                Some(size @ 1..=100) => usize::try_from(size).unwrap_or(default),
                _ => {
                    return Err(ApiError::invalid_parameter(
                        "maxResults must be between 1 and 100.",
                    ));
                }
            },
        };
        let after = match text(body, "nextToken") {
            None => None,
            Some(token) => match token.strip_prefix(TOKEN) {
                Some(after) => Some(after.to_owned()),
                None => return Err(ApiError::invalid_parameter("Invalid token.")),
            },
        };
        Ok(Page { size: size.min(self.page_size), after })
    }
}

const TOKEN: &str = "after/";

/// One page of a listing. The order by id keeps pages consistent when the listing changes between
/// them.
struct Page {
    size: usize,
    after: Option<String>,
}

impl Page {
    fn answer<'a>(
        &self,
        name: &str,
        mut ids: impl Iterator<Item = &'a str>,
        arn: impl Fn(&str) -> String,
    ) -> Value {
        let page: Vec<&str> = ids.by_ref().take(self.size).collect();
        let arns: Vec<String> = page.iter().map(|id| arn(id)).collect();
        let last = page.last().copied().or(self.after.as_deref()).unwrap_or_default();
        let more = ids.next().map(|_| format!("{TOKEN}{last}"));
        match more {
            None => json!({ name: arns }),
            Some(token) => json!({ name: arns, "nextToken": token }),
        }
    }
}

fn after(page: &Page) -> std::ops::Bound<&str> {
    page.after.as_deref().map_or(Unbounded, Excluded)
}

pub(super) fn limited<'a>(
    body: &'a Value,
    name: &str,
    limit: usize,
) -> Result<Vec<&'a str>, ApiError> {
    let given = texts(body, name);
    if given.len() > limit {
        return Err(ApiError::invalid_parameter(format!("{name} can have at most {limit} items.")));
    }
    Ok(given)
}

pub(super) fn found_and_missing(
    name: &str,
    ids: &[&str],
    show: impl Fn(&str) -> Result<Value, String>,
) -> Value {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for id in ids {
        match show(id) {
            Ok(shown) => found.push(shown),
            Err(arn) => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
        }
    }
    json!({ name: found, "failures": failures })
}

/// The part of the cluster query language that finds instances by EC2 id or agent (source: ECS
/// developer guide, cluster query language).
enum Filter {
    Ec2(Vec<String>),
    AgentConnected(bool),
}

impl Filter {
    fn parse(filter: &str) -> Result<Self, ApiError> {
        let compact: String =
            filter.chars().filter(|c| !c.is_whitespace() && *c != '\'' && *c != '"').collect();
        if let Some(id) = compact.strip_prefix("ec2InstanceId==") {
            return Ok(Self::Ec2(vec![id.to_owned()]));
        }
        if let Some(list) =
            compact.strip_prefix("ec2InstanceIdin[").and_then(|rest| rest.strip_suffix(']'))
        {
            return Ok(Self::Ec2(list.split(',').map(str::to_owned).collect()));
        }
        match compact.strip_prefix("agentConnected==") {
            Some("true") => Ok(Self::AgentConnected(true)),
            Some("false") => Ok(Self::AgentConnected(false)),
            _ => Err(ApiError::invalid_parameter(format!("Invalid filter expression: {filter}"))),
        }
    }

    fn admits(&self, instance: &ContainerInstance) -> bool {
        match self {
            Self::Ec2(ids) => ids.contains(&instance.ec2_instance_id),
            Self::AgentConnected(connected) => instance.agent_connected == *connected,
        }
    }
}
