//! How the API shows clusters, container instances, tasks, services and task definitions.

use serde_json::{Map, Value, json};

use super::Ecs;
use super::model::{Cluster, ContainerInstance, Definition, InstanceStatus, Service, Task, TaskStatus};
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

    fn time(&self, at: SimTime) -> Value {
        epoch_seconds(self.start, at)
    }

    fn put_time(&self, map: &mut Map<String, Value>, name: &str, at: Option<SimTime>) {
        if let Some(at) = at {
            map.insert(name.to_owned(), self.time(at));
        }
    }

    pub(super) fn show_cluster(&self, cluster: &Cluster) -> Value {
        let registered = cluster.instances.values().filter(|i| i.status != InstanceStatus::Inactive).count();
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

    /// The counters lie as ECS's do: a task that deactivates, stops or deprovisions is in neither
    /// (source: ECS API reference, ContainerInstance; ecs-cid-sample#29).
    pub(super) fn show_instance(&self, cluster: &Cluster, instance: &ContainerInstance, tags: bool) -> Value {
        let (running, pending) = counts(instance.tasks.iter().filter_map(|id| cluster.tasks.get(id)));
        let attributes = instance.attributes.iter().map(|(name, value)| json!({ "name": name, "value": value }));
        let tags = instance.tags.iter().filter(|_| tags).map(|(key, value)| json!({ "key": key, "value": value }));
        json!({
            "containerInstanceArn": self.instance_arn(&cluster.name, &instance.id),
            "ec2InstanceId": instance.ec2_instance_id,
            "version": instance.version,
            "versionInfo": { "agentVersion": "1.89.0", "agentHash": "a1b2c3d4", "dockerVersion": "DockerVersion: 25.0.8" },
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
        })
    }

    pub(super) fn show_task(&self, cluster: &Cluster, task: &Task) -> Value {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        let desired = if task.stop_wanted { "STOPPED" } else { "RUNNING" };
        put("taskArn", Value::String(self.task_arn(&cluster.name, &task.id)));
        put("clusterArn", Value::String(self.cluster_arn(&cluster.name)));
        put("containerInstanceArn", Value::String(self.instance_arn(&cluster.name, &task.instance)));
        put("taskDefinitionArn", Value::String(self.definition_arn(&task.definition)));
        put("group", Value::String(task.group.clone()));
        put("lastStatus", task.status.as_str().into());
        put("desiredStatus", desired.into());
        put("launchType", "EC2".into());
        put("version", task.version.into());
        put("tags", json!([]));
        let connected = cluster.instances.get(&task.instance).is_some_and(|i| i.agent_connected);
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
        put("containers", json!([self.show_container(cluster, task, definition)]));
        put("attachments", show_attachments(task));
        self.put_time(&mut map, "createdAt", Some(task.created_at));
        self.put_time(&mut map, "startedAt", task.started_at);
        self.put_time(&mut map, "stoppingAt", task.stopping_at);
        self.put_time(&mut map, "executionStoppedAt", task.execution_stopped_at);
        self.put_time(&mut map, "stoppedAt", task.stopped_at);
        Value::Object(map)
    }

    fn show_container(&self, cluster: &Cluster, task: &Task, definition: Option<&Definition>) -> Value {
        let spec = definition.map(|d| &d.task);
        // Known to ECS once the container runs (source: ECS API reference, Container.networkBindings).
        let bound = (TaskStatus::Running..=TaskStatus::Stopping).contains(&task.status);
        let bindings = match (spec.map(|s| s.network), task.host_port) {
            (Some(Network::Bridge { container_port, .. }), Some(host_port)) if bound => {
                json!([{ "bindIP": "0.0.0.0", "containerPort": container_port, "hostPort": host_port, "protocol": "tcp" }])
            }
            _ => json!([]),
        };
        let interfaces = task
            .eni
            .iter()
            .filter(|eni| !eni.deleted)
            .map(|eni| json!({ "attachmentId": eni.attachment, "privateIpv4Address": eni.address }));
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

    pub(super) fn show_service(&self, cluster: &Cluster, service: &Service) -> Value {
        let (running, pending) = counts(service.tasks.iter().filter_map(|id| cluster.tasks.get(id)));
        let desired = if service.daemon {
            cluster.instances.values().filter(|i| i.status == InstanceStatus::Active).count()
        } else {
            service.desired as usize
        };
        let port = service.task.network.container_port();
        let groups = service
            .target_groups
            .iter()
            .map(|arn| json!({ "targetGroupArn": arn, "containerName": "app", "containerPort": port }));
        let classics = service
            .classics
            .iter()
            .map(|name| json!({ "loadBalancerName": name, "containerName": "app", "containerPort": port }));
        let events = service
            .events
            .iter()
            .map(|event| json!({ "id": event.id, "createdAt": self.time(event.at), "message": event.message }));
        let definition = self.definition_arn(&service.definition);
        let created_at = self.time(service.created_at);
        json!({
            "serviceArn": self.service_arn(&cluster.name, &service.name),
            "serviceName": service.name,
            "clusterArn": self.cluster_arn(&cluster.name),
            "status": "ACTIVE",
            "desiredCount": desired, "runningCount": running, "pendingCount": pending,
            "launchType": "EC2",
            "taskDefinition": definition,
            "schedulingStrategy": if service.daemon { "DAEMON" } else { "REPLICA" },
            "deploymentController": { "type": "ECS" },
            "deploymentConfiguration": {
                "minimumHealthyPercent": service.minimum_healthy_percent,
                "maximumPercent": service.maximum_percent,
            },
            "deployments": [{
                "id": service.deployment, "status": "PRIMARY", "taskDefinition": definition,
                "desiredCount": desired, "runningCount": running, "pendingCount": pending,
                "createdAt": created_at, "updatedAt": created_at, "launchType": "EC2", "rolloutState": "COMPLETED",
            }],
            "loadBalancers": groups.chain(classics).collect::<Vec<_>>(),
            "serviceRegistries": [],
            "events": events.collect::<Vec<_>>(),
            "createdAt": created_at,
            "placementConstraints": [], "placementStrategy": [],
            "enableECSManagedTags": false, "propagateTags": "NONE", "enableExecuteCommand": false,
        })
    }

    pub(super) fn show_definition(&self, definition: &Definition) -> Value {
        let TaskSpec { cpu, memory, network, .. } = &definition.task;
        let host_port = match network {
            Network::Bridge { host_port, .. } => *host_port,
            Network::Awsvpc { container_port } | Network::Host { container_port } => *container_port,
        };
        json!({
            "taskDefinitionArn": self.definition_arn(&format!("{}:{}", definition.family, definition.revision)),
            "family": definition.family,
            "revision": definition.revision,
            "status": "ACTIVE",
            "networkMode": network.mode(),
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

/// `runningTasksCount` and `pendingTasksCount`.
fn counts<'a>(tasks: impl Iterator<Item = &'a Task>) -> (usize, usize) {
    tasks.filter(|task| !task.stop_wanted).fold((0, 0), |(running, pending), task| {
        let is = |status| usize::from(task.status == status);
        (running + is(TaskStatus::Running), pending + is(TaskStatus::Pending))
    })
}

/// A container knows three states only (source: ECS API reference, Container.lastStatus).
fn container_status(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => "PENDING",
        TaskStatus::Running | TaskStatus::Deactivating | TaskStatus::Stopping => "RUNNING",
        TaskStatus::Deprovisioning | TaskStatus::Stopped => "STOPPED",
    }
}

/// In the API the type is `ElasticNetworkInterface` and the address `privateIPv4Address` (source: ECS API reference,
/// Attachment). It is not documented whether the details outlive the task; here they do.
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
            { "name": "privateIPv4Address", "value": eni.address },
        ],
    }])
}

/// CPU and memory shrink while tasks hold them; `PORTS` lists reserved ports (source: ECS API reference, Resource).
fn resources(instance: &ContainerInstance, remaining: bool) -> Value {
    let (cpu, memory) = if remaining {
        (instance.cpu.saturating_sub(instance.used_cpu), instance.memory.saturating_sub(instance.used_memory))
    } else {
        (instance.cpu, instance.memory)
    };
    let mut ports: Vec<String> = ["22", "2375", "2376", "51678", "51679"].map(str::to_owned).to_vec();
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
