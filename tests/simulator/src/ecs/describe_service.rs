//! The API's description of a service: its counts, its balancers, its limits, and its events.

use serde_json::{Value, json};

use super::describe::counts;
use super::model::{Cluster, InstanceStatus, Service};
use super::ops::{found_and_missing, limited};
use super::{Ecs, Revision};
use crate::spec::{DeploymentController, PlacementConstraint};
use crate::wire::ApiError;

/// The present and desired numbers of a service's tasks.
struct Counts {
    desired: usize,
    running: usize,
    pending: usize,
}

impl Ecs {
    /// Describes a service. With ECS's own controller, its deployments and balancers are in the
    /// service. With another one they are in its task set, and the service has neither (source: ECS
    /// API reference, Service and TaskSet).
    pub(super) fn show_service(&self, cluster: &Cluster, service: &Service, tags: bool) -> Value {
        let (running, pending) =
            counts(service.tasks.iter().filter_map(|id| cluster.tasks.get(id)));
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
            PlacementConstraint::MemberOf(expression) => {
                json!({ "type": "memberOf", "expression": expression })
            }
        });
        let (deployments, balancers, task_sets) = match service.controller {
            DeploymentController::Ecs => (
                json!([self.show_deployment(service, &counted)]),
                balancers(service, &service.revision()),
                json!([]),
            ),
            DeploymentController::CodeDeploy | DeploymentController::External => {
                (json!([]), json!([]), json!([self.show_task_set(cluster, service, &counted)]))
            }
        };
        let (minimum, maximum) = service.percents();
        let mut configuration =
            json!({ "minimumHealthyPercent": minimum, "maximumPercent": maximum });
        if !service.earlier.is_empty() {
            let early = json!({ "enable": true, "healthyPercent": 100, "sourceServiceRevisionCleanup": "DEFERRED" });
            configuration["earlySuccessCriteria"] = early;
        }
        let tags = service.tags.iter().filter(|_| tags);
        let tags = tags.map(|(key, value)| json!({ "key": key, "value": value }));
        json!({
            "tags": tags.collect::<Vec<_>>(),
            "serviceArn": self.service_arn(&cluster.name, &service.name),
            "serviceName": service.name,
            "clusterArn": self.cluster_arn(&cluster.name),
            "status": "ACTIVE",
            "desiredCount": desired, "runningCount": running, "pendingCount": pending,
            "launchType": "EC2",
            "taskDefinition": self.definition_arn(&service.definition),
            "schedulingStrategy": if service.daemon { "DAEMON" } else { "REPLICA" },
            "deploymentController": { "type": service.controller.as_str() },
            "deploymentConfiguration": configuration,
            "deployments": deployments,
            "currentServiceDeployment": self.deployment_arn(cluster, service),
            "currentServiceRevisions": self.show_current_revisions(cluster, service),
            "taskSets": task_sets,
            "loadBalancers": balancers,
            "serviceRegistries": [],
            "events": events.collect::<Vec<_>>(),
            "createdAt": self.time(service.created_at),
            "placementConstraints": constraints.collect::<Vec<_>>(), "placementStrategy": [],
            "enableECSManagedTags": false, "propagateTags": "NONE", "enableExecuteCommand": false,
        })
    }

    /// Describes the revisions that have tasks, and the newest (source: ECS API reference,
    /// ServiceCurrentRevisionSummary). Services of other controllers than ECS have none.
    fn show_current_revisions(&self, cluster: &Cluster, service: &Service) -> Value {
        if service.controller != DeploymentController::Ecs {
            return json!([]);
        }
        let newest = service.revision();
        let shown = service.earlier.iter().chain([&newest]).filter_map(|revision| {
            let tasks = service.tasks.iter().filter_map(|id| cluster.tasks.get(id));
            let mine = tasks.filter(|task| service.revision_of(task).deployment == revision.deployment);
            let (running, pending) = counts(mine);
            (revision.deployment == newest.deployment || running + pending > 0).then(|| {
                json!({
                    "arn": self.revision_arn(cluster, service, revision),
                    "requestedTaskCount": running + pending, "runningTaskCount": running, "pendingTaskCount": pending,
                })
            })
        });
        Value::Array(shown.collect())
    }

    /// Describes one deployment for each service: that of its present revision.
    pub(super) fn describe_service_deployments(&self, body: &Value) -> Result<Value, ApiError> {
        let arns = limited(body, "serviceDeploymentArns", 20)?;
        if arns.is_empty() {
            return Err(ApiError::invalid_parameter("Service deployment ARNs cannot be empty."));
        }
        let services =
            || self.clusters().flat_map(|c| c.services.values().map(move |service| (c, service)));
        Ok(found_and_missing("serviceDeployments", &arns, |arn| {
            let found =
                services().find(|(cluster, service)| self.deployment_arn(cluster, service) == arn);
            let shown = found.map(|(cluster, service)| {
                let hooks = service.paused_until.map(|until| {
                    json!({
                        "hookId": "ecs-pause-1", "targetType": "PAUSE", "status": "AWAITING_ACTION",
                        "expiresAt": self.time(until), "timeoutAction": "ROLLBACK",
                    })
                });
                json!({
                    "serviceDeploymentArn": arn,
                    "serviceArn": self.service_arn(&cluster.name, &service.name),
                    "clusterArn": self.cluster_arn(&cluster.name),
                    "status": if hooks.is_some() { "IN_PROGRESS" } else { "SUCCESSFUL" },
                    "lifecycleStage": if hooks.is_some() { "POST_TEST_TRAFFIC_SHIFT" } else { "CLEAN_UP" },
                    "lifecycleHookDetails": hooks.into_iter().collect::<Vec<_>>(),
                    "createdAt": self.time(service.deployed_at),
                })
            });
            shown.ok_or_else(|| arn.to_owned())
        }))
    }

    fn deployment_arn(&self, cluster: &Cluster, service: &Service) -> String {
        let digits = service.deployment.trim_start_matches("ecs-svc/");
        self.names.arn("service-deployment", &format!("{}/{}/{digits}", cluster.name, service.name))
    }

    pub(super) fn describe_service_revisions(&self, body: &Value) -> Result<Value, ApiError> {
        let arns = limited(body, "serviceRevisionArns", 20)?;
        if arns.is_empty() {
            return Err(ApiError::invalid_parameter("Service revision ARNs cannot be empty."));
        }
        let services =
            || self.clusters().flat_map(|c| c.services.values().map(move |service| (c, service)));
        Ok(found_and_missing("serviceRevisions", &arns, |arn| {
            let shown = services().find_map(|(cluster, service)| {
                let all = service.earlier.iter().cloned().chain([service.revision()]);
                let revision =
                    all.into_iter().find(|one| self.revision_arn(cluster, service, one) == arn)?;
                Some(json!({
                    "serviceRevisionArn": arn,
                    "serviceArn": self.service_arn(&cluster.name, &service.name),
                    "clusterArn": self.cluster_arn(&cluster.name),
                    "taskDefinition": self.definition_arn(&revision.definition),
                    "launchType": "EC2",
                    "loadBalancers": balancers(service, &revision),
                    "createdAt": self.time(revision.created_at),
                }))
            });
            shown.ok_or_else(|| arn.to_owned())
        }))
    }

    fn revision_arn(&self, cluster: &Cluster, service: &Service, revision: &Revision) -> String {
        let digits = revision.deployment.trim_start_matches("ecs-svc/");
        self.names.arn("service-revision", &format!("{}/{}/{digits}", cluster.name, service.name))
    }

    fn show_deployment(&self, service: &Service, counted: &Counts) -> Value {
        let created_at = self.time(service.deployed_at);
        json!({
            "id": service.deployment, "status": "PRIMARY",
            "taskDefinition": self.definition_arn(&service.definition),
            "desiredCount": counted.desired, "runningCount": counted.running, "pendingCount": counted.pending,
            "failedTasks": service.failures,
            "createdAt": created_at, "updatedAt": created_at, "launchType": "EC2",
            "rolloutState": if service.paused_until.is_some() { "IN_PROGRESS" } else { "COMPLETED" },
        })
    }

    /// Describes a task set. `STEADY_STATE` needs, among others, that no task is on a `DRAINING`
    /// instance (source: ECS API reference, TaskSet).
    fn show_task_set(&self, cluster: &Cluster, service: &Service, counted: &Counts) -> Value {
        let mut tasks = service.tasks.iter().filter_map(|id| cluster.tasks.get(id));
        let draining = tasks.any(|task| {
            cluster
                .instances
                .get(&task.instance)
                .is_some_and(|i| i.status == InstanceStatus::Draining)
        });
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
            "loadBalancers": balancers(service, &service.revision()),
            "serviceRegistries": [],
            "scale": { "value": 100.0, "unit": "PERCENT" },
            "stabilityStatus": if steady { "STEADY_STATE" } else { "STABILIZING" },
            "tags": [],
        });
        // An external controller leaves this field empty (source: ECS API reference, TaskSet).
        if let Some(fields) =
            shown.as_object_mut().filter(|_| service.controller == DeploymentController::CodeDeploy)
        {
            fields.insert("startedBy".to_owned(), json!("CODE_DEPLOY"));
        }
        shown
    }
}

fn balancers(service: &Service, revision: &Revision) -> Value {
    let port = service.task.network.container_port();
    let groups = revision
        .target_groups
        .iter()
        .map(|arn| json!({ "targetGroupArn": arn, "containerName": "app", "containerPort": port }));
    let classics = revision.classics.iter().map(
        |name| json!({ "loadBalancerName": name, "containerName": "app", "containerPort": port }),
    );
    Value::Array(groups.chain(classics).collect())
}
