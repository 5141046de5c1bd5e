//! The service scheduler: the number of tasks, their placement, and the effect of `DRAINING` on
//! them.
//!
//! On a `DRAINING` instance, service tasks that do not run yet are stopped at once. Running ones
//! are replaced under the deployment's percentages: never fewer healthy tasks than the minimum (of
//! the desired count, rounded up), never more tasks than the maximum (rounded down). With 100/100
//! no task can ever move. Standalone tasks are left alone. Daemons stop last, once no replica is
//! left (sources: ECS API reference, UpdateContainerInstancesState and DeploymentConfiguration; ECS
//! developer guide, container instance draining).
//!
//! Scale-in protection: AWS does not document the effect of draining on a protected task. Here the
//! scheduler leaves it alone until the protection ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::model::{
    Cluster, ContainerInstance, InstanceStatus, Service, ServiceEvent, TaskStatus, Timer,
};
use super::task::{Plan, failing_group, is_healthy};
use super::{Ecs, Schedule};
use crate::SimTime;
use crate::elb::LoadBalancing;
use crate::spec::{PlacementConstraint, TaskSpec};

/// The number of service events that are kept (source: ECS API reference, Service: the last 100).
const EVENTS: usize = 100;

/// The interval at which a service repeats that it cannot place a task. An assumption.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// The number of failures in a row after which ECS reports that it is unable to start tasks, and
/// waits longer between attempts. An assumption.
const FAILURES: u32 = 3;

/// The longest wait between attempts (source: ECS developer guide, service throttle logic).
const LONGEST_THROTTLE: Duration = Duration::from_secs(27 * 60);

/// The end of a message about trouble.
const SEE_GUIDE: &str =
    "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.";

const DRAINING_REASON: &str = "Task stopped because its container instance is DRAINING";

/// Sets the time of the scheduler's next check of a service, unless an earlier one is set.
pub(super) fn wake(schedule: &mut Schedule, cluster: &str, service: &mut Service, at: SimTime) {
    if service.wake.is_none_or(|wake| wake > at) {
        service.wake = Some(at);
        schedule.push(
            at,
            Timer::Service { cluster: cluster.to_owned(), service: service.name.clone() },
        );
    }
}

/// Returns the instance for a new standalone task: one with room, fewest tasks first.
pub(super) fn place(cluster: &Cluster, spec: &TaskSpec) -> Option<String> {
    let candidates = cluster
        .instances
        .values()
        .filter(|instance| refusal(cluster, instance, spec, None).is_none());
    candidates
        .min_by_key(|instance| (instance.tasks.len(), &instance.id))
        .map(|instance| instance.id.clone())
}

/// The instances with room for new tasks of a service: fewest tasks of the same service first, then
/// fewest tasks.
struct Places(BTreeSet<Place>);

/// The tasks of the service there, if any; all tasks there; and the instance.
type Place = (Option<usize>, usize, String);

impl Places {
    fn new(cluster: &Cluster, service: &Service) -> Self {
        let mut of_service: BTreeMap<&str, usize> = BTreeMap::new();
        for task in service.tasks.iter().filter_map(|id| cluster.tasks.get(id)) {
            *of_service.entry(task.instance.as_str()).or_default() += 1;
        }
        let candidates = cluster.instances.values();
        let candidates =
            candidates.filter(|i| refusal(cluster, i, &service.task, Some(service)).is_none());
        Self(
            candidates
                .map(|i| (of_service.get(i.id.as_str()).copied(), i.tasks.len(), i.id.clone()))
                .collect(),
        )
    }

    /// Takes the best place.
    fn take(&mut self) -> Option<Place> {
        self.0.pop_first()
    }

    /// Updates the place in which a task was started; no other place changes.
    fn filled(&mut self, cluster: &Cluster, service: &Service, (of_service, _, id): Place) {
        let Some(instance) = cluster.instances.get(&id) else { return };
        if refusal(cluster, instance, &service.task, Some(service)).is_none() {
            self.0.insert((Some(of_service.unwrap_or_default() + 1), instance.tasks.len(), id));
        }
    }
}

/// Returns the reason why a task cannot be placed on an instance: its resources, or the service's
/// constraints.
fn refusal(
    cluster: &Cluster,
    instance: &ContainerInstance,
    spec: &TaskSpec,
    service: Option<&Service>,
) -> Option<&'static str> {
    let unsatisfied = |service: &Service| {
        service.placement_constraints.iter().find_map(|constraint| match constraint {
            // ECS's words for this one are not published: they follow those of the other.
            PlacementConstraint::DistinctInstance => {
                let mut here = service.tasks.iter().filter_map(|id| cluster.tasks.get(id));
                let taken = here.any(|task| task.instance == instance.id);
                taken.then_some(
                    "encountered error \"DistinctInstance placement constraint unsatisfied.\"",
                )
            }
            PlacementConstraint::MemberOf(expression) => {
                (!admits(expression, &instance.attributes))
                    .then_some("encountered error \"MemberOf placement constraint unsatisfied.\"")
            }
        })
    };
    instance.refuses(spec).or_else(|| service.and_then(unsatisfied))
}

/// Returns true if an expression admits these attributes. It reads the part of the cluster query
/// language that compares one attribute (source: ECS developer guide, cluster query language).
fn admits(expression: &str, attributes: &BTreeMap<String, String>) -> bool {
    let Some(rest) = expression.trim().strip_prefix("attribute:") else { return false };
    let value = |name: &str| attributes.get(name.trim()).map(String::as_str);
    if let Some((name, wanted)) = rest.split_once("==") {
        value(name) == Some(wanted.trim())
    } else if let Some((name, unwanted)) = rest.split_once("!=") {
        value(name) != Some(unwanted.trim())
    } else {
        false
    }
}

/// Counts a start of a task, or a failure to start.
pub(super) fn count_start(
    service: &mut Service,
    now: SimTime,
    poll: Duration,
    runs: bool,
    failed: bool,
) {
    if runs {
        (service.failures, service.throttled_until, service.impaired) = (0, None, false);
    } else if failed {
        service.failures += 1;
        let doublings = service.failures.saturating_sub(FAILURES).min(10);
        if service.failures >= FAILURES {
            service.throttled_until =
                Some(now + (poll * 2_u32.pow(doublings)).min(LONGEST_THROTTLE));
        }
    }
}

/// A task as the scheduler sees it.
struct Seen {
    id: String,
    created_at: SimTime,
    running: bool,
    healthy: bool,
    draining: bool,
    protected: bool,
    /// The target group and port in which it has failed its health checks for too long.
    sick: Option<(String, u16)>,
    ec2_instance_id: String,
}

impl Ecs {
    /// Checks one service and starts or stops tasks within its limits.
    pub(super) fn reconcile(
        &mut self,
        now: SimTime,
        elb: &LoadBalancing,
        cluster_name: &str,
        service_name: &str,
    ) {
        let Some(service) = self
            .clusters
            .get_mut(cluster_name)
            .and_then(|cluster| cluster.services.get_mut(service_name))
        else {
            return;
        };
        if service.wake != Some(now) {
            return; // A stale timer.
        }
        service.wake = None;
        self.report_impaired(now, cluster_name, service_name);
        let Some((_, service)) = self.look(cluster_name, service_name) else { return };
        let paused = service.paused_until.is_some_and(|until| now < until);
        let settled = if paused {
            false
        } else if service.daemon {
            self.reconcile_daemon(now, cluster_name, service_name)
        } else {
            self.reconcile_replica(now, elb, cluster_name, service_name)
        };
        let poll = self.timing.poll;
        let service = self
            .clusters
            .get_mut(cluster_name)
            .and_then(|cluster| cluster.services.get_mut(service_name));
        if let Some(service) = service.filter(|_| !settled) {
            wake(&mut self.schedule, cluster_name, service, now + poll);
        }
    }

    fn reconcile_replica(
        &mut self,
        now: SimTime,
        elb: &LoadBalancing,
        cluster_name: &str,
        name: &str,
    ) -> bool {
        let Some((cluster, service)) = self.look(cluster_name, name) else { return true };
        let mut tasks: Vec<Seen> = seen(now, elb, cluster, service, self.timing.health_checks);
        let desired = service.desired as usize;
        let (minimum_percent, maximum_percent) = service.percents();
        let minimum = (desired * minimum_percent as usize).div_ceil(100);
        let maximum = desired * maximum_percent as usize / 100;
        let throttled = service.throttled_until.is_some_and(|until| now < until);
        let settled = tasks.len() == desired && tasks.iter().all(|t| t.healthy && !t.draining);
        self.report_steady(now, cluster_name, name, settled);
        if settled {
            return true;
        }
        self.stop_sick(now, cluster_name, name, &tasks);
        let mut stops = Vec::new();
        tasks.retain(|task| {
            let stop = task.draining && !task.running;
            if stop {
                stops.push((task.id.clone(), DRAINING_REASON));
            }
            !stop && task.sick.is_none()
        });
        let kept = tasks.iter().filter(|t| !t.draining).count();
        // Unhealthy and young tasks are stopped first when there are too many.
        let mut surplus: Vec<&Seen> =
            tasks.iter().filter(|t| !t.draining && !t.protected).collect();
        surplus
            .sort_by_key(|t| (t.healthy, t.running, std::cmp::Reverse(t.created_at), t.id.clone()));
        let scaled_in: BTreeSet<&str> =
            surplus.iter().take(kept.saturating_sub(desired)).map(|t| t.id.as_str()).collect();
        stops.extend(
            scaled_in
                .iter()
                .map(|id| ((*id).to_owned(), "Scaling activity initiated by deployment")),
        );

        let starts = desired.saturating_sub(kept).min(maximum.saturating_sub(tasks.len()));
        let mut healthy =
            tasks.iter().filter(|t| t.healthy && !scaled_in.contains(t.id.as_str())).count();
        for task in tasks.iter().filter(|t| t.draining && !t.protected) {
            if !task.healthy || healthy > minimum {
                healthy -= usize::from(task.healthy);
                stops.push((task.id.clone(), DRAINING_REASON));
            }
        }
        for (id, reason) in &stops {
            self.stop_task(now, cluster_name, id, "ServiceSchedulerInitiated", reason);
        }
        let stopped: Vec<String> = stops.into_iter().map(|(id, _)| id).collect();
        self.report(now, cluster_name, name, "has stopped", "running tasks", &stopped);
        self.start_replicas(now, cluster_name, name, if throttled { 0 } else { starts });
        false
    }

    fn start_replicas(&mut self, now: SimTime, cluster_name: &str, name: &str, count: usize) {
        let mut started = Vec::new();
        let Some((cluster, service)) = self.look(cluster_name, name).filter(|_| count > 0) else {
            return;
        };
        let mut places = Places::new(cluster, service);
        for _ in 0..count {
            let Some((_, service)) = self.look(cluster_name, name) else { return };
            let Some(place) = places.take() else {
                self.complain(now, cluster_name, name);
                break;
            };
            let plan = plan(service, place.2.clone());
            started.extend(self.start_task(now, cluster_name, plan));
            if let Some((cluster, service)) = self.look(cluster_name, name) {
                places.filled(cluster, service, place);
            }
        }
        self.report(now, cluster_name, name, "has started", "tasks", &started);
    }

    fn reconcile_daemon(&mut self, now: SimTime, cluster_name: &str, name: &str) -> bool {
        let Some((cluster, service)) = self.look(cluster_name, name) else { return true };
        let throttled = service.throttled_until.is_some_and(|until| now < until);
        let running =
            service.tasks.iter().filter_map(|id| cluster.tasks.get(id)).filter(|t| !t.stop_wanted);
        let covered: BTreeMap<&str, &str> =
            running.map(|t| (t.instance.as_str(), t.id.as_str())).collect();
        let (mut starts, mut stops, mut settled, mut room) = (Vec::new(), Vec::new(), true, true);
        for instance in cluster.instances.values() {
            match (instance.status, covered.get(instance.id.as_str())) {
                (InstanceStatus::Active, None) if instance.agent_connected => {
                    settled = false;
                    if throttled {
                        continue;
                    }
                    if refusal(cluster, instance, &service.task, Some(service)).is_none() {
                        starts.push(plan(service, instance.id.clone()));
                    } else {
                        room = false;
                    }
                }
                (InstanceStatus::Draining, Some(task)) => {
                    settled = false;
                    let replica_left =
                        instance.tasks.iter().filter_map(|id| cluster.tasks.get(id)).any(|t| {
                            t.service.is_some() && !t.daemon && t.status != TaskStatus::Stopped
                        });
                    if !replica_left {
                        stops.push((*task).to_owned());
                    }
                }
                (
                    InstanceStatus::Active | InstanceStatus::Draining | InstanceStatus::Inactive,
                    _,
                ) => {}
            }
        }
        for id in stops {
            self.stop_task(now, cluster_name, &id, "ServiceSchedulerInitiated", DRAINING_REASON);
        }
        for plan in starts {
            self.start_task(now, cluster_name, plan);
        }
        if !room {
            self.complain(now, cluster_name, name);
        }
        self.report_steady(now, cluster_name, name, settled);
        settled
    }

    fn look(&self, cluster: &str, service: &str) -> Option<(&Cluster, &Service)> {
        let cluster = self.clusters.get(cluster)?;
        Some((cluster, cluster.services.get(service)?))
    }

    /// Adds a service event: a task found no place, in ECS's words.
    fn complain(&mut self, now: SimTime, cluster_name: &str, name: &str) {
        let Some((cluster, service)) = self.look(cluster_name, name) else { return };
        if service.complained_at.is_some_and(|at| now < at + COMPLAINT_INTERVAL) {
            return;
        }
        let active = cluster.instances.values().filter(|i| i.status == InstanceStatus::Active);
        let refused =
            active.filter_map(|i| Some((i, refusal(cluster, i, &service.task, Some(service))?)));
        // The instance with most room is the closest.
        let closest = refused.min_by_key(|(instance, _)| (instance.used_cpu, &instance.id));
        let reason = closest.map_or_else(
            || "Reason: No Container Instances were found in your cluster.".to_owned(),
            |(instance, why)| {
                let stop = if why.ends_with('"') { "" } else { "." };
                format!("The closest matching (container-instance {}) {why}{stop}", instance.id)
            },
        );
        let message = format!(
            "(service {name}) was unable to place a task because no container instance met all of its requirements. \
             {reason} {SEE_GUIDE}"
        );
        self.event(now, cluster_name, name, message);
        if let Some(service) =
            self.clusters.get_mut(cluster_name).and_then(|c| c.services.get_mut(name))
        {
            service.complained_at = Some(now);
        }
    }

    fn report(
        &mut self,
        now: SimTime,
        cluster: &str,
        name: &str,
        did: &str,
        what: &str,
        tasks: &[String],
    ) {
        if !tasks.is_empty() {
            let list: Vec<String> = tasks.iter().map(|id| format!("(task {id})")).collect();
            let message =
                format!("(service {name}) {did} {} {what}: {}.", tasks.len(), list.join(" "));
            self.event(now, cluster, name, message);
        }
    }

    /// Reports a steady state, once for each time that the service reaches it.
    fn report_steady(&mut self, now: SimTime, cluster: &str, name: &str, steady: bool) {
        let service = self.clusters.get_mut(cluster).and_then(|c| c.services.get_mut(name));
        let news = service
            .is_some_and(|service| !std::mem::replace(&mut service.steady, steady) && steady);
        if news {
            self.event(now, cluster, name, format!("(service {name}) has reached a steady state."));
        }
    }

    /// Reports, once, that too many tasks in a row failed to start.
    fn report_impaired(&mut self, now: SimTime, cluster: &str, name: &str) {
        let service = self.clusters.get_mut(cluster).and_then(|c| c.services.get_mut(name));
        let news = service
            .is_some_and(|s| s.failures >= FAILURES && !std::mem::replace(&mut s.impaired, true));
        if news {
            let text = format!(
                "(service {name}) is unable to consistently start tasks successfully. {SEE_GUIDE}"
            );
            self.event(now, cluster, name, text);
        }
    }

    /// Stops tasks whose targets fail their health checks, and reports it (source: ECS developer
    /// guide, service event messages and stopped tasks errors).
    fn stop_sick(&mut self, now: SimTime, cluster: &str, name: &str, tasks: &[Seen]) {
        for task in tasks {
            let Some((group, port)) = &task.sick else { continue };
            let message = format!(
                "(service {name}) (task {}) (instance {}) (port {port}) is unhealthy in (target-group {group}) due to \
                 (reason Health checks failed).",
                task.id, task.ec2_instance_id
            );
            self.event(now, cluster, name, message);
            let reason = format!("Task failed ELB health checks in (target-group {group})");
            self.stop_task(now, cluster, &task.id, "ServiceSchedulerInitiated", &reason);
        }
    }

    fn event(&mut self, now: SimTime, cluster: &str, name: &str, message: String) {
        let id = self.names.hex32();
        if let Some(service) = self.clusters.get_mut(cluster).and_then(|c| c.services.get_mut(name))
        {
            service.events.push_front(ServiceEvent { id, at: now, message });
            service.events.truncate(EVENTS);
        }
    }
}

/// Returns a service's tasks that should run, oldest first.
fn seen(
    now: SimTime,
    elb: &LoadBalancing,
    cluster: &Cluster,
    service: &Service,
    patience: Duration,
) -> Vec<Seen> {
    let tasks = service
        .tasks
        .iter()
        .filter_map(|id| cluster.tasks.get(id))
        .filter(|task| !task.stop_wanted);
    let mut tasks: Vec<Seen> = tasks
        .map(|task| {
            let running = task.status == TaskStatus::Running;
            let instance = cluster.instances.get(&task.instance);
            Seen {
                id: task.id.clone(),
                created_at: task.created_at,
                running,
                healthy: running && is_healthy(now, elb, task),
                draining: instance.is_some_and(|i| i.status == InstanceStatus::Draining),
                protected: task.protected_until.is_some_and(|until| until > now),
                sick: Some(task)
                    .filter(|task| {
                        running && task.started_at.is_some_and(|at| at + patience <= now)
                    })
                    .and_then(|task| failing_group(now, elb, task)),
                ec2_instance_id: task.ec2_instance_id.clone(),
            }
        })
        .collect();
    tasks.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    tasks
}

fn plan(service: &Service, instance: String) -> Plan {
    Plan {
        instance,
        definition: service.definition.clone(),
        service: Some(service.name.clone()),
        daemon: service.daemon,
        group: format!("service:{}", service.name),
        started_by: Some(service.deployment.clone()),
    }
}
