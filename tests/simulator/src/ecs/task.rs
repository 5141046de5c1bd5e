//! The life of a task.
//!
//! `PROVISIONING → PENDING → ACTIVATING → RUNNING → DEACTIVATING → STOPPING → DEPROVISIONING →
//! STOPPED` (source: ECS developer guide, task lifecycle). Targets are registered in `ACTIVATING`.
//! In `DEACTIVATING` they are deregistered, and ECS waits until the load balancer reports them
//! unused before it sends the stop signal; the containers answer requests meanwhile. Steps of the
//! agent wait for the agent: without it a task's state freezes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Ecs;
use super::model::{
    ContainerInstance, Eni, Registration, Task, TaskStatus, Timer, Timing, Trouble,
};
use super::scheduler;
use crate::SimTime;
use crate::elb::{LoadBalancing, Target};
use crate::spec::{Network, TaskSpec};

/// The first dynamic host port (source: ECS API reference, PortMapping: the ephemeral range from
/// 32768).
const FIRST_DYNAMIC_PORT: u16 = 32768;

/// The duration of ECS's quick steps.
const MOMENT: Duration = Duration::from_secs(1);

/// `stopCode` of a task whose containers never ran (source: ECS API reference, Task).
const NEVER_STARTED: &str = "TaskFailedToStart";

/// The task to start, and its instance.
pub(super) struct Plan {
    pub(super) instance: String,
    pub(super) definition: String,
    pub(super) service: Option<String>,
    pub(super) daemon: bool,
    pub(super) group: String,
    pub(super) started_by: Option<String>,
}

impl Ecs {
    /// Starts a task on an instance and returns its id. It holds its resources from now until
    /// `STOPPED`.
    pub(super) fn start_task(
        &mut self,
        now: SimTime,
        cluster_name: &str,
        plan: Plan,
    ) -> Option<String> {
        let taken = self.ports_taken(cluster_name, &plan.instance);
        let Self { clusters, definitions, schedule, names, timing, changes, .. } = self;
        let cluster = clusters.get_mut(cluster_name)?;
        let spec = &definitions.get(&plan.definition)?.task;
        let instance = cluster.instances.get_mut(&plan.instance)?;
        let id = names.hex32();
        let eni = matches!(spec.network, Network::Awsvpc { .. }).then(|| Eni {
            id: format!("eni-{:017x}", names.rng.u64(..)),
            attachment: names.hex32(),
            address: names.address(),
            deleted: false,
        });
        let due = now + if eni.is_some() { timing.eni } else { Duration::ZERO };
        let task = Task {
            id: id.clone(),
            instance: plan.instance,
            ec2_instance_id: instance.ec2_instance_id.clone(),
            definition: plan.definition,
            service: plan.service,
            daemon: plan.daemon,
            group: plan.group,
            started_by: plan.started_by,
            status: TaskStatus::Provisioning,
            stop_wanted: false,
            containers_running: false,
            orphaned: false,
            stop_code: None,
            stopped_reason: None,
            created_at: now,
            started_at: None,
            stopping_at: None,
            execution_stopped_at: None,
            stopped_at: None,
            host_port: hold(instance, spec, &taken),
            eni,
            registrations: Vec::new(),
            deregistered: false,
            protected_until: None,
            due,
            version: 1,
        };
        instance.tasks.insert(id.clone());
        instance.version += 1;
        changes.task(cluster_name, &id);
        changes.instance(cluster_name, &instance.id);
        if let Some(service) = task.service.as_ref().and_then(|name| cluster.services.get_mut(name))
        {
            service.tasks.insert(id.clone());
        }
        cluster.tasks.insert(id.clone(), task);
        schedule.push(due, Timer::Task { cluster: cluster_name.to_owned(), task: id.clone() });
        Some(id)
    }

    /// Returns the host ports in use on the EC2 instance of a container instance: all registrations
    /// of it share them.
    fn ports_taken(&self, cluster: &str, instance: &str) -> BTreeSet<u16> {
        let instance =
            self.clusters.get(cluster).and_then(|cluster| cluster.instances.get(instance));
        let registered =
            instance.map(|one| self.instances_of(&one.ec2_instance_id)).into_iter().flatten();
        registered.flat_map(|(_, one)| &one.used_ports).copied().collect()
    }

    /// Requests a task's end: `desiredStatus` becomes `STOPPED` at once; the other steps take their
    /// time.
    pub(super) fn stop_task(
        &mut self,
        now: SimTime,
        cluster_name: &str,
        id: &str,
        code: &'static str,
        reason: &str,
    ) {
        let Self { clusters, schedule, timing, changes, .. } = self;
        let Some(task) = clusters.get_mut(cluster_name).and_then(|c| c.tasks.get_mut(id)) else {
            return;
        };
        if task.stop_wanted {
            return;
        }
        changes.task(cluster_name, id);
        task.stop_wanted = true;
        task.stop_code = Some(code);
        task.stopped_reason = Some(reason.to_owned());
        task.stopping_at = Some(now);
        task.version += 1;
        let registered = !task.registrations.is_empty();
        (task.status, task.due) = if task.status < TaskStatus::Activating {
            (TaskStatus::Deprovisioning, now + MOMENT)
        } else {
            (TaskStatus::Deactivating, now + if registered { timing.deregister } else { MOMENT })
        };
        schedule
            .push(task.due, Timer::Task { cluster: cluster_name.to_owned(), task: id.to_owned() });
    }

    /// Applies a task's next step.
    pub(super) fn step_task(
        &mut self,
        now: SimTime,
        elb: &mut LoadBalancing,
        cluster_name: &str,
        id: &str,
    ) {
        let Self { clusters, definitions, schedule, timing, begin, changes, truths, .. } = self;
        let Some(cluster) = clusters.get_mut(cluster_name) else { return };
        let Some(task) = cluster.tasks.get_mut(id) else { return };
        let Some(definition) = definitions.get(&task.definition) else { return };
        if task.due != now {
            return; // Something happened to the task after this timer was set.
        }
        if task.status == TaskStatus::Stopped && !task.containers_running {
            if let Some(instance) = cluster.instances.get_mut(&task.instance) {
                instance.tasks.remove(id);
            }
            cluster.tasks.remove(id);
            return;
        }
        let agent = cluster.instances.get(&task.instance).is_some_and(|i| i.agent_connected);
        let service = task.service.as_ref().and_then(|name| cluster.services.get(name));
        let trouble = service.and_then(|service| service.trouble.as_ref());
        if task.status == TaskStatus::Pending && agent {
            let revision = service.map(|service| service.revision_of(task));
            task.registrations =
                revision.map(|r| registrations(task, &r, &definition.task)).unwrap_or_default();
        }
        let before = task.status;
        let wait = Step { now, begin: *begin, agent, spec: &definition.task, timing, trouble }
            .take(task, elb);
        if let Some(wait) = wait {
            task.due = now + wait;
            schedule.push(
                task.due,
                Timer::Task { cluster: cluster_name.to_owned(), task: id.to_owned() },
            );
        }
        if task.status != before {
            task.version += 1;
            changes.task(cluster_name, id);
            let (instance_id, service, status) =
                (task.instance.clone(), task.service.clone(), task.status);
            let failed = before == TaskStatus::Pending && task.stop_code == Some(NEVER_STARTED);
            if status == TaskStatus::Stopped {
                truths.entry(task.ec2_instance_id.clone()).or_default().last_stop = Some(now);
                let port = task.host_port;
                changes.instance(cluster_name, &instance_id);
                if let Some(instance) = cluster.instances.get_mut(&instance_id) {
                    release(instance, &definition.task, port);
                }
            }
            if let Some(service) = service.and_then(|name| cluster.services.get_mut(&name)) {
                if status == TaskStatus::Stopped {
                    service.tasks.remove(id);
                }
                scheduler::count_start(
                    service,
                    now,
                    timing.poll,
                    status == TaskStatus::Running,
                    failed,
                );
                scheduler::wake(schedule, cluster_name, service, now + timing.react);
            }
        }
    }

    /// Ends a task at once in ECS's records: the instance is gone or was deregistered by force. The
    /// caller decides about its containers.
    pub(super) fn end_task(
        &mut self,
        now: SimTime,
        elb: &mut LoadBalancing,
        cluster_name: &str,
        id: &str,
        ending: (Option<&'static str>, &str),
    ) {
        let Self { clusters, definitions, schedule, timing, begin, changes, truths, .. } = self;
        let Some(cluster) = clusters.get_mut(cluster_name) else { return };
        let Some(task) = cluster.tasks.get_mut(id) else { return };
        if task.status == TaskStatus::Stopped {
            return;
        }
        truths.entry(task.ec2_instance_id.clone()).or_default().last_stop = Some(now);
        if !task.deregistered {
            deregister(now, elb, task);
        }
        task.status = TaskStatus::Stopped;
        task.stop_wanted = true;
        task.stop_code = task.stop_code.or(ending.0);
        task.stopped_reason.get_or_insert_with(|| ending.1.to_owned());
        task.stopping_at.get_or_insert(now);
        task.execution_stopped_at.get_or_insert(now);
        task.stopped_at = Some(now);
        task.version += 1;
        changes.task(cluster_name, id);
        changes.instance(cluster_name, &task.instance);
        if let Some(eni) = &mut task.eni {
            eni.deleted = true;
        }
        let Some(spec) = definitions.get(&task.definition).map(|d| &d.task) else { return };
        let forgotten = if task.containers_running {
            working_end(task, spec, *begin).map(|end| end.max(now))
        } else {
            Some(now + timing.memory)
        };
        if let Some(at) = forgotten {
            task.due = at;
            schedule
                .push(at, Timer::Task { cluster: cluster_name.to_owned(), task: id.to_owned() });
        }
        let port = task.host_port;
        let (instance_id, service) = (task.instance.clone(), task.service.clone());
        if let Some(instance) = cluster.instances.get_mut(&instance_id) {
            release(instance, spec, port);
        }
        if let Some(service) = service.and_then(|name| cluster.services.get_mut(&name)) {
            service.tasks.remove(id);
            scheduler::wake(schedule, cluster_name, service, now + timing.react);
        }
    }
}

/// The context of one step of a task's life.
struct Step<'a> {
    now: SimTime,
    begin: SimTime,
    agent: bool,
    spec: &'a TaskSpec,
    timing: &'a Timing,
    trouble: Option<&'a Trouble>,
}

impl Step<'_> {
    /// Moves the task to its next state and returns the duration of that; `None`: until something
    /// else changes.
    fn take(&self, task: &mut Task, elb: &mut LoadBalancing) -> Option<Duration> {
        let down = if task.eni.is_some() { self.timing.eni } else { MOMENT };
        match task.status {
            TaskStatus::Provisioning => {
                task.status = TaskStatus::Pending;
                Some(self.timing.pending)
            }
            TaskStatus::Pending | TaskStatus::Activating | TaskStatus::Stopping if !self.agent => {
                Some(self.timing.poll)
            }
            TaskStatus::Pending => {
                if let Some(Trouble::NeverStart(reason)) = self.trouble {
                    return self.never_start(task, reason, down);
                }
                task.status = TaskStatus::Activating;
                task.containers_running = true;
                for registration in &task.registrations {
                    register(self.now, elb, registration, &task.ec2_instance_id);
                    if self.trouble == Some(&Trouble::FailHealthChecks) {
                        fail_health_checks(elb, registration);
                    }
                }
                Some(self.spec.start_time)
            }
            TaskStatus::Activating => {
                task.status = TaskStatus::Running;
                task.started_at = Some(self.now);
                working_end(task, self.spec, self.begin).map(|end| end.saturating_sub(self.now))
            }
            TaskStatus::Running => self.exit(task, down),
            TaskStatus::Deactivating => {
                if !task.deregistered {
                    deregister(self.now, elb, task);
                }
                if !task
                    .registrations
                    .iter()
                    .all(|r| is_gone(self.now, elb, r, &task.ec2_instance_id))
                {
                    return Some(self.timing.poll);
                }
                task.status = TaskStatus::Stopping;
                Some(self.spec.stop_time)
            }
            TaskStatus::Stopping => {
                task.containers_running = false;
                task.execution_stopped_at = Some(self.now);
                task.status = TaskStatus::Deprovisioning;
                Some(down)
            }
            TaskStatus::Deprovisioning => {
                task.status = TaskStatus::Stopped;
                task.stopped_at = Some(self.now);
                if let Some(eni) = &mut task.eni {
                    eni.deleted = true;
                }
                Some(self.timing.memory)
            }
            // Containers that ECS lost sight of have ended by themselves.
            TaskStatus::Stopped => {
                task.containers_running = false;
                Some(self.timing.memory)
            }
        }
    }

    /// Ends a task whose containers the agent cannot start, for want of their image for example:
    /// nothing ran, nothing is registered.
    fn never_start(&self, task: &mut Task, reason: &str, down: Duration) -> Option<Duration> {
        task.registrations.clear();
        task.stop_wanted = true;
        task.stop_code = Some(NEVER_STARTED);
        task.stopped_reason = Some(reason.to_owned());
        task.stopping_at = Some(self.now);
        task.status = TaskStatus::Deprovisioning;
        Some(down)
    }

    /// Exits the container by itself; ECS learns of it once the agent is connected.
    fn exit(&self, task: &mut Task, down: Duration) -> Option<Duration> {
        task.containers_running = false;
        task.execution_stopped_at.get_or_insert(self.now);
        if !self.agent {
            return Some(self.timing.poll);
        }
        task.stop_wanted = true;
        task.stop_code = Some("EssentialContainerExited");
        task.stopped_reason = Some("Essential container in task exited".to_owned());
        task.stopping_at = Some(self.now);
        task.status = TaskStatus::Deprovisioning;
        Some(down)
    }
}

/// Returns the moment at which a task with a limited working time exits by itself.
fn working_end(task: &Task, spec: &TaskSpec, begin: SimTime) -> Option<SimTime> {
    Some(task.started_at?.max(begin) + spec.duration?)
}

/// Takes CPU, memory and the host port; returns the port. `taken`: the ports of its EC2 instance
/// that are in use.
fn hold(instance: &mut ContainerInstance, spec: &TaskSpec, taken: &BTreeSet<u16>) -> Option<u16> {
    instance.used_cpu += spec.cpu;
    instance.used_memory += spec.memory;
    let port = match spec.network {
        Network::Awsvpc { .. } => return None,
        // The lowest free one: a port is used again soon after its task has stopped (source:
        // amazon-ecs-agent#500).
        Network::Bridge { host_port: 0, .. } => {
            (FIRST_DYNAMIC_PORT..=u16::MAX).find(|port| !taken.contains(port))?
        }
        Network::Bridge { host_port, .. } => host_port,
        Network::Host { container_port } => container_port,
    };
    instance.used_ports.insert(port);
    Some(port)
}

fn release(instance: &mut ContainerInstance, spec: &TaskSpec, port: Option<u16>) {
    instance.used_cpu = instance.used_cpu.saturating_sub(spec.cpu);
    instance.used_memory = instance.used_memory.saturating_sub(spec.memory);
    if let Some(port) = port {
        instance.used_ports.remove(&port);
    }
    instance.version += 1;
}

/// Returns the registrations of a service's task: `ip` targets by the task's address, `instance`
/// targets by host port, classic load balancers by instance.
fn registrations(task: &Task, revision: &super::Revision, spec: &TaskSpec) -> Vec<Registration> {
    let (id, port) = match (&task.eni, task.host_port) {
        (Some(eni), _) => (eni.address.clone(), spec.network.container_port()),
        (None, port) => {
            (task.ec2_instance_id.clone(), port.unwrap_or_else(|| spec.network.container_port()))
        }
    };
    let targets = revision.target_groups.iter().map(|group| Registration::Target {
        group: group.clone(),
        id: id.clone(),
        port,
    });
    targets
        .chain(revision.classics.iter().map(|name| Registration::Classic { name: name.clone() }))
        .collect()
}

fn register(now: SimTime, elb: &mut LoadBalancing, registration: &Registration, ec2: &str) {
    match registration {
        Registration::Target { group, id, port } => {
            elb.register_target(now, group, Target { id: id.clone(), port: *port });
        }
        Registration::Classic { name } => elb.register_classic(now, name, ec2),
    }
}

fn fail_health_checks(elb: &mut LoadBalancing, registration: &Registration) {
    match registration {
        Registration::Target { group, id, port } => {
            elb.set_unhealthy(group, &Target { id: id.clone(), port: *port }, true);
        }
        Registration::Classic { .. } => {}
    }
}

/// Returns the target group in which a task's target fails its health checks, and the target's
/// port.
pub(super) fn failing_group(
    now: SimTime,
    elb: &LoadBalancing,
    task: &Task,
) -> Option<(String, u16)> {
    task.registrations.iter().find_map(|registration| match registration {
        Registration::Target { group, id, port } => {
            let target = Target { id: id.clone(), port: *port };
            elb.fails_health_checks(now, group, &target).then(|| (group.clone(), *port))
        }
        Registration::Classic { .. } => None,
    })
}

/// Deregisters a task everywhere it is registered.
fn deregister(now: SimTime, elb: &mut LoadBalancing, task: &mut Task) {
    task.deregistered = true;
    for registration in &task.registrations {
        match registration {
            Registration::Target { group, id, port } => {
                elb.deregister_target(now, group, &Target { id: id.clone(), port: *port });
            }
            Registration::Classic { name } => {
                elb.deregister_classic(now, name, &task.ec2_instance_id)
            }
        }
    }
}

fn is_gone(now: SimTime, elb: &LoadBalancing, registration: &Registration, ec2: &str) -> bool {
    match registration {
        Registration::Target { group, id, port } => {
            elb.is_gone(now, group, &Target { id: id.clone(), port: *port })
        }
        Registration::Classic { name } => elb.classic_is_gone(now, name, ec2),
    }
}

/// Returns true if a running task counts as healthy for its service: every target group reports its
/// target healthy. In a classic load balancer, each registered instance counts as in service.
pub(super) fn is_healthy(now: SimTime, elb: &LoadBalancing, task: &Task) -> bool {
    task.registrations.iter().all(|registration| match registration {
        Registration::Target { group, id, port } => {
            elb.is_healthy(now, group, &Target { id: id.clone(), port: *port })
        }
        Registration::Classic { .. } => true,
    })
}
