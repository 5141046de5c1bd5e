//! How the API shows a service: its counts, its balancers, what it may not do, and what it says about it.

use serde_json::{Value, json};

use super::Ecs;
use super::describe::counts;
use super::model::{Cluster, InstanceStatus, Service};
use crate::spec::{DeploymentController, PlacementConstraint};

/// How many of a service's tasks there are, and should be.
struct Counts {
    desired: usize,
    running: usize,
    pending: usize,
}

impl Ecs {
    /// With ECS's own controller, deployments and balancers stand in the service. With another one they stand in its
    /// task set, and the service has neither (source: ECS API reference, Service and TaskSet).
    pub(super) fn show_service(&self, cluster: &Cluster, service: &Service) -> Value {
        let (running, pending) = counts(service.tasks.iter().filter_map(|id| cluster.tasks.get(id)));
        let desired = if service.daemon {
            cluster.instances.values().filter(|i| i.status == InstanceStatus::Active).count()
        } else {
            service.desired as usize
        };
        let counted = Counts { desired, running, pending };
        let events = service
            .events
            .iter()
            .map(|event| json!({ "id": event.id, "createdAt": self.time(event.at), "message": event.message }));
        let constraints = service.placement_constraints.iter().map(|constraint| match constraint {
            PlacementConstraint::DistinctInstance => json!({ "type": "distinctInstance" }),
            PlacementConstraint::MemberOf(expression) => json!({ "type": "memberOf", "expression": expression }),
        });
        let (deployments, balancers, task_sets) = match service.controller {
            DeploymentController::Ecs => {
                (json!([self.show_deployment(service, &counted)]), balancers(service), json!([]))
            }
            DeploymentController::CodeDeploy | DeploymentController::External => {
                (json!([]), json!([]), json!([self.show_task_set(cluster, service, &counted)]))
            }
        };
        let (minimum, maximum) = service.percents();
        json!({
            "serviceArn": self.service_arn(&cluster.name, &service.name),
            "serviceName": service.name,
            "clusterArn": self.cluster_arn(&cluster.name),
            "status": "ACTIVE",
            "desiredCount": desired, "runningCount": running, "pendingCount": pending,
            "launchType": "EC2",
            "taskDefinition": self.definition_arn(&service.definition),
            "schedulingStrategy": if service.daemon { "DAEMON" } else { "REPLICA" },
            "deploymentController": { "type": service.controller.as_str() },
            "deploymentConfiguration": { "minimumHealthyPercent": minimum, "maximumPercent": maximum },
            "deployments": deployments,
            "taskSets": task_sets,
            "loadBalancers": balancers,
            "serviceRegistries": [],
            "events": events.collect::<Vec<_>>(),
            "createdAt": self.time(service.created_at),
            "placementConstraints": constraints.collect::<Vec<_>>(), "placementStrategy": [],
            "enableECSManagedTags": false, "propagateTags": "NONE", "enableExecuteCommand": false,
        })
    }

    fn show_deployment(&self, service: &Service, counted: &Counts) -> Value {
        let created_at = self.time(service.created_at);
        json!({
            "id": service.deployment, "status": "PRIMARY",
            "taskDefinition": self.definition_arn(&service.definition),
            "desiredCount": counted.desired, "runningCount": counted.running, "pendingCount": counted.pending,
            "failedTasks": service.failures,
            "createdAt": created_at, "updatedAt": created_at, "launchType": "EC2", "rolloutState": "COMPLETED",
        })
    }

    /// `STEADY_STATE` needs, among others, that no task is on a `DRAINING` instance (source: ECS API reference,
    /// TaskSet).
    fn show_task_set(&self, cluster: &Cluster, service: &Service, counted: &Counts) -> Value {
        let mut tasks = service.tasks.iter().filter_map(|id| cluster.tasks.get(id));
        let draining = tasks
            .any(|task| cluster.instances.get(&task.instance).is_some_and(|i| i.status == InstanceStatus::Draining));
        let steady = !draining && counted.running == counted.desired && counted.pending == 0;
        let created_at = self.time(service.created_at);
        let path = format!("{}/{}/{}", cluster.name, service.name, service.deployment);
        let mut shown = json!({
            "id": service.deployment,
            "taskSetArn": self.names.arn("task-set", &path),
            "serviceArn": self.service_arn(&cluster.name, &service.name),
            "clusterArn": self.cluster_arn(&cluster.name),
            "status": "PRIMARY",
            "taskDefinition": self.definition_arn(&service.definition),
            "computedDesiredCount": counted.desired,
            "runningCount": counted.running, "pendingCount": counted.pending,
            "createdAt": created_at, "updatedAt": created_at, "launchType": "EC2",
            "loadBalancers": balancers(service),
            "serviceRegistries": [],
            "scale": { "value": 100.0, "unit": "PERCENT" },
            "stabilityStatus": if steady { "STEADY_STATE" } else { "STABILIZING" },
            "tags": [],
        });
        // An external controller leaves this field alone (source: ECS API reference, TaskSet).
        if let Some(fields) = shown.as_object_mut().filter(|_| service.controller == DeploymentController::CodeDeploy) {
            fields.insert("startedBy".to_owned(), json!("CODE_DEPLOY"));
        }
        shown
    }
}

fn balancers(service: &Service) -> Value {
    let port = service.task.network.container_port();
    let groups = service
        .target_groups
        .iter()
        .map(|arn| json!({ "targetGroupArn": arn, "containerName": "app", "containerPort": port }));
    let classics = service
        .classics
        .iter()
        .map(|name| json!({ "loadBalancerName": name, "containerName": "app", "containerPort": port }));
    Value::Array(groups.chain(classics).collect())
}
