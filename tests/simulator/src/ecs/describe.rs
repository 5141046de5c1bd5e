//! The API's descriptions of clusters, container instances, tasks and task definitions.

use serde_json::{Map, Value, json};

use super::Ecs;
use super::model::{Cluster, ContainerInstance, Definition, InstanceStatus, Task, TaskStatus};
use crate::SimTime;
use crate::spec::{Network, TaskSpec};
use crate::wire::json::epoch_seconds;

impl Ecs {
    pub(super) fn cluster_arn(&self, name: &str) -> String {
        self.names.arn("cluster", name)
    }

    pub(super) fn instance_arn(&self, cluster: &str, id: &str) -> String {
        self.names.arn("container-instance", &format!("{cluster}/{id}"))
    }

    pub(super) fn task_arn(&self, cluster: &str, id: &str) -> String {
        self.names.arn("task", &format!("{cluster}/{id}"))
    }

    pub(super) fn service_arn(&self, cluster: &str, name: &str) -> String {
        self.names.arn("service", &format!("{cluster}/{name}"))
    }

    pub(super) fn definition_arn(&self, key: &str) -> String {
        self.names.arn("task-definition", key)
    }

    pub(super) fn time(&self, at: SimTime) -> Value {
        epoch_seconds(self.start, at)
    }

    fn put_time(&self, map: &mut Map<String, Value>, name: &str, at: Option<SimTime>) {
        if let Some(at) = at {
            map.insert(name.to_owned(), self.time(at));
        }
    }

    pub(super) fn show_cluster(&self, cluster: &Cluster) -> Value {
        let registered =
            cluster.instances.values().filter(|i| i.status != InstanceStatus::Inactive).count();
        let (running, pending) = counts(cluster.tasks.values());
        json!({
            "clusterArn": self.cluster_arn(&cluster.name),
            "clusterName": cluster.name,
            "status": "ACTIVE",
            "registeredContainerInstancesCount": registered,
            "runningTasksCount": running,
            "pendingTasksCount": pending,
            "activeServicesCount": cluster.services.len(),
            "statistics": [], "tags": [], "settings": [], "capacityProviders": [],
            "defaultCapacityProviderStrategy": [],
        })
    }

    /// Describes a container instance. Its counters are wrong as ECS's are: a task that
    /// deactivates, stops or deprovisions is in neither (source: ECS API reference,
    /// ContainerInstance; ecs-cid-sample#29).
    pub(super) fn show_instance(
        &self,
        cluster: &Cluster,
        instance: &ContainerInstance,
        tags: bool,
    ) -> Value {
        let (running, pending) =
            counts(instance.tasks.iter().filter_map(|id| cluster.tasks.get(id)));
        let attributes =
            instance.attributes.iter().map(|(name, value)| json!({ "name": name, "value": value }));
        let tags = instance
            .tags
            .iter()
            .filter(|_| tags)
            .map(|(key, value)| json!({ "key": key, "value": value }));
        let mut shown = json!({
            "containerInstanceArn": self.instance_arn(&cluster.name, &instance.id),
            "ec2InstanceId": instance.ec2_instance_id,
            "version": instance.version,
            "versionInfo": { "agentVersion": instance.agent_version, "agentHash": "a1b2c3d4", "dockerVersion": "DockerVersion: 25.0.8" },
            "registeredResources": resources(instance, false),
            "remainingResources": resources(instance, true),
            "status": instance.status.as_str(),
            "agentConnected": instance.agent_connected,
            "runningTasksCount": running,
            "pendingTasksCount": pending,
            "attributes": attributes.collect::<Vec<_>>(),
            "registeredAt": self.time(instance.registered_at),
            "attachments": [],
            "tags": tags.collect::<Vec<_>>(),
        });
        if let (Some(fields), Some(provider)) = (shown.as_object_mut(), &instance.capacity_provider)
        {
            fields.insert("capacityProviderName".to_owned(), json!(provider));
        }
        shown
    }

    pub(super) fn show_task(&self, cluster: &Cluster, task: &Task) -> Value {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        let desired = if task.stop_wanted { "STOPPED" } else { "RUNNING" };
        put("taskArn", Value::String(self.task_arn(&cluster.name, &task.id)));
        put("clusterArn", Value::String(self.cluster_arn(&cluster.name)));
        put(
            "containerInstanceArn",
            Value::String(self.instance_arn(&cluster.name, &task.instance)),
        );
        put("taskDefinitionArn", Value::String(self.definition_arn(&task.definition)));
        put("group", Value::String(task.group.clone()));
        put("lastStatus", task.status.as_str().into());
        put("desiredStatus", desired.into());
        put("launchType", "EC2".into());
        put("version", task.version.into());
        put("tags", json!([]));
        let instance = cluster.instances.get(&task.instance);
        let connected = instance.is_some_and(|i| i.agent_connected);
        if let Some(zone) = instance.and_then(|i| i.attributes.get("ecs.availability-zone")) {
            put("availabilityZone", Value::String(zone.clone()));
        }
        if let Some(provider) = instance.and_then(|i| i.capacity_provider.as_ref()) {
            put("capacityProviderName", Value::String(provider.clone()));
        }
        put("connectivity", if connected { "CONNECTED" } else { "DISCONNECTED" }.into());
        if let Some(started_by) = &task.started_by {
            put("startedBy", Value::String(started_by.clone()));
        }
        if let Some(code) = task.stop_code {
            put("stopCode", code.into());
        }
        if let Some(reason) = &task.stopped_reason {
            put("stoppedReason", Value::String(reason.clone()));
        }
        let definition = self.definitions.get(&task.definition);
        if let Some(definition) = definition {
            put("cpu", Value::String(definition.task.cpu.to_string()));
            put("memory", Value::String(definition.task.memory.to_string()));
        }
        put("containers", json!([self.show_container(cluster, task, definition)]));
        put("attachments", show_attachments(task));
        self.put_time(&mut map, "createdAt", Some(task.created_at));
        self.put_time(&mut map, "startedAt", task.started_at);
        self.put_time(&mut map, "stoppingAt", task.stopping_at);
        self.put_time(&mut map, "executionStoppedAt", task.execution_stopped_at);
        self.put_time(&mut map, "stoppedAt", task.stopped_at);
        Value::Object(map)
    }

    fn show_container(
        &self,
        cluster: &Cluster,
        task: &Task,
        definition: Option<&Definition>,
    ) -> Value {
        let spec = definition.map(|d| &d.task);
        // Known to ECS once the container runs (source: ECS API reference,
        // Container.networkBindings).
        let bound = (TaskStatus::Running..=TaskStatus::Stopping).contains(&task.status);
        let bindings = match (spec.map(|s| s.network), task.host_port) {
            (Some(Network::Bridge { container_port, .. }), Some(host_port)) if bound => {
                json!([{ "bindIP": "0.0.0.0", "containerPort": container_port, "hostPort": host_port, "protocol": "tcp" }])
            }
            _ => json!([]),
        };
        let interfaces = task.eni.iter().filter(|eni| !eni.deleted).map(
            |eni| json!({ "attachmentId": eni.attachment, "privateIpv4Address": eni.address }),
        );
        json!({
            "containerArn": self.names.arn("container", &format!("{}/{}/{}", cluster.name, task.id, "app")),
            "taskArn": self.task_arn(&cluster.name, &task.id),
            "name": "app",
            "lastStatus": container_status(task.status),
            "networkBindings": bindings,
            "networkInterfaces": interfaces.collect::<Vec<_>>(),
            "healthStatus": "UNKNOWN",
        })
    }

    pub(super) fn show_definition(&self, definition: &Definition) -> Value {
        let TaskSpec { cpu, memory, network, .. } = &definition.task;
        let host_port = match network {
            Network::Bridge { host_port, .. } => *host_port,
            Network::Awsvpc { container_port } | Network::Host { container_port } => {
                *container_port
            }
        };
        json!({
            "taskDefinitionArn": self.definition_arn(&format!("{}:{}", definition.family, definition.revision)),
            "family": definition.family,
            "revision": definition.revision,
            "status": "ACTIVE",
            "networkMode": network.mode(),
            "cpu": cpu.to_string(), "memory": memory.to_string(),
            "requiresCompatibilities": ["EC2"],
            "volumes": [], "placementConstraints": [],
            "containerDefinitions": [{
                "name": "app", "image": "app:1", "essential": true, "cpu": cpu, "memory": memory,
                "portMappings": [{
                    "containerPort": network.container_port(), "hostPort": host_port, "protocol": "tcp",
                }],
                "environment": [], "mountPoints": [], "volumesFrom": [],
            }],
        })
    }
}

/// Returns `runningTasksCount` and `pendingTasksCount`.
pub(super) fn counts<'a>(tasks: impl Iterator<Item = &'a Task>) -> (usize, usize) {
    tasks.filter(|task| !task.stop_wanted).fold((0, 0), |(running, pending), task| {
        let is = |status| usize::from(task.status == status);
        (running + is(TaskStatus::Running), pending + is(TaskStatus::Pending))
    })
}

/// Returns a container's status, which has three values only (source: ECS API reference,
/// Container.lastStatus).
fn container_status(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => "PENDING",
        TaskStatus::Running | TaskStatus::Deactivating | TaskStatus::Stopping => "RUNNING",
        TaskStatus::Deprovisioning | TaskStatus::Stopped => "STOPPED",
    }
}

/// Describes a task's network interface. In the API the type is `ElasticNetworkInterface` and the
/// address `privateIPv4Address` (source: ECS API reference, Attachment). AWS does not document if
/// the details outlive the task; here they do.
fn show_attachments(task: &Task) -> Value {
    let Some(eni) = &task.eni else { return json!([]) };
    let status = match task.status {
        _ if eni.deleted => "DELETED",
        TaskStatus::Provisioning => "ATTACHING",
        TaskStatus::Deprovisioning => "DETACHING",
        TaskStatus::Pending
        | TaskStatus::Activating
        | TaskStatus::Running
        | TaskStatus::Deactivating
        | TaskStatus::Stopping
        | TaskStatus::Stopped => "ATTACHED",
    };
    json!([{
        "id": eni.attachment, "type": "ElasticNetworkInterface", "status": status,
        "details": [
            { "name": "subnetId", "value": "subnet-0a1b2c3d4e5f60718" },
            { "name": "networkInterfaceId", "value": eni.id },
            { "name": "macAddress", "value": "0a:98:eb:a7:29:ba" },
            { "name": "privateIPv4Address", "value": eni.address },
        ],
    }])
}

/// Describes an instance's resources. CPU and memory shrink while tasks hold them; `PORTS` lists
/// reserved ports (source: ECS API reference, Resource).
fn resources(instance: &ContainerInstance, remaining: bool) -> Value {
    let (cpu, memory) = if remaining {
        (
            instance.cpu.saturating_sub(instance.used_cpu),
            instance.memory.saturating_sub(instance.used_memory),
        )
    } else {
        (instance.cpu, instance.memory)
    };
    let mut ports: Vec<String> =
        ["22", "2375", "2376", "51678", "51679"].map(str::to_owned).to_vec();
    if remaining {
        ports.extend(instance.used_ports.iter().map(u16::to_string));
    }
    json!([
        { "name": "CPU", "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": cpu },
        { "name": "MEMORY", "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": memory },
        { "name": "PORTS", "type": "STRINGSET", "doubleValue": 0.0, "longValue": 0, "integerValue": 0,
          "stringSetValue": ports },
        { "name": "PORTS_UDP", "type": "STRINGSET", "doubleValue": 0.0, "longValue": 0, "integerValue": 0,
          "stringSetValue": [] },
    ])
}
