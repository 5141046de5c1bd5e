//! Container instances: registration, draining, deregistration, and their fate when the EC2
//! instance ends.

use std::collections::{BTreeMap, BTreeSet};

use super::Ecs;
use super::model::{ContainerInstance, InstanceStatus, Timer};
use super::scheduler;
use crate::SimTime;
use crate::elb::LoadBalancing;
use crate::wire::ApiError;

/// A container that truly runs, whatever ECS reports of its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningContainer {
    /// The cluster's name.
    pub cluster: String,
    /// The task's id.
    pub task: String,
    /// Its service; `None` for a standalone task.
    pub service: Option<String>,
    /// True for a task of a daemon service.
    pub daemon: bool,
    /// True if a forced deregistration cut it off from ECS.
    pub orphaned: bool,
    /// `lastStatus` in ECS.
    pub last_status: &'static str,
}

impl Ecs {
    /// Registers an EC2 instance as its agent does; returns the container instance's ARN. A second
    /// call for the same instance creates a second container instance, as a wiped agent does.
    pub fn register_instance(
        &mut self,
        now: SimTime,
        cluster_name: &str,
        ec2: &str,
        cpu: u32,
        memory: u32,
    ) -> String {
        self.add_cluster(cluster_name);
        let Self { clusters, schedule, names, changes, .. } = self;
        let id = names.hex32();
        let arn = names.arn("container-instance", &format!("{cluster_name}/{id}"));
        let attributes = [
            ("ecs.ami-id", "ami-0a1b2c3d4e5f60718"),
            ("ecs.availability-zone", "us-east-1a"),
            ("ecs.instance-type", crate::autoscaling::INSTANCE_TYPE),
            ("ecs.os-type", "linux"),
        ];
        let instance = ContainerInstance {
            id: id.clone(),
            ec2_instance_id: ec2.to_owned(),
            status: InstanceStatus::Active,
            status_since: now,
            capacity_provider: None,
            agent_version: "1.89.0".to_owned(),
            agent_connected: true,
            ec2_alive: true,
            stopped: false,
            registered_at: now,
            deregistered_at: None,
            cpu,
            memory,
            used_cpu: 0,
            used_memory: 0,
            used_ports: BTreeSet::new(),
            tasks: BTreeSet::new(),
            version: 1,
            tags: BTreeMap::new(),
            attributes: attributes.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        };
        if let Some(cluster) = clusters.get_mut(cluster_name) {
            cluster.by_ec2.entry(ec2.to_owned()).or_default().insert(id.clone());
            changes.instance(cluster_name, &id);
            cluster.instances.insert(id, instance);
            // New room for services that wait for it.
            for service in cluster.services.values_mut() {
                scheduler::wake(schedule, cluster_name, service, now);
            }
        }
        arn
    }

    /// Sets an instance `ACTIVE` or `DRAINING` and wakes the scheduler for the services on it.
    pub(super) fn set_status(
        &mut self,
        now: SimTime,
        cluster_name: &str,
        id: &str,
        status: InstanceStatus,
    ) {
        let Self { clusters, schedule, timing, changes, truths, .. } = self;
        let Some(cluster) = clusters.get_mut(cluster_name) else { return };
        let Some(instance) =
            cluster.instances.get_mut(id).filter(|instance| instance.status != status)
        else {
            return;
        };
        changes.instance(cluster_name, id);
        if status == InstanceStatus::Draining {
            truths
                .entry(instance.ec2_instance_id.clone())
                .or_default()
                .draining_at
                .get_or_insert(now);
        }
        instance.status = status;
        instance.status_since = now;
        instance.version += 1;
        let here = instance
            .tasks
            .iter()
            .filter_map(|task| cluster.tasks.get(task))
            .filter_map(|t| t.service.clone());
        let here: BTreeSet<String> = here.collect();
        for service in cluster.services.values_mut() {
            if service.daemon || here.contains(&service.name) {
                scheduler::wake(schedule, cluster_name, service, now + timing.react);
            }
        }
    }

    /// Deregisters a container instance. Without `force` it is refused while tasks run. With
    /// `force`, ECS reports the tasks as stopped, deregisters their targets and deletes their
    /// network interfaces, while their containers run on (sources: ECS API reference,
    /// DeregisterContainerInstance; amazon-ecs-agent#125).
    pub(super) fn deregister(
        &mut self,
        now: SimTime,
        elb: &mut LoadBalancing,
        cluster_name: &str,
        id: &str,
        force: bool,
    ) -> Result<(), ApiError> {
        let cluster = self.clusters.get(cluster_name);
        let Some((cluster, instance)) = cluster.and_then(|c| Some((c, c.instances.get(id)?)))
        else {
            return Err(ApiError::invalid_parameter("Container instance not found."));
        };
        let tasks = instance.tasks.iter().filter_map(|task| cluster.tasks.get(task));
        let live: Vec<String> =
            tasks.filter(|task| task.stopped_at.is_none()).map(|task| task.id.clone()).collect();
        if !live.is_empty() && !force {
            return Err(ApiError::invalid_parameter("Found running tasks on the instance."));
        }
        self.make_inactive(now, cluster_name, id);
        for task in live {
            if let Some(task) =
                self.clusters.get_mut(cluster_name).and_then(|c| c.tasks.get_mut(&task))
            {
                task.orphaned = task.containers_running;
            }
            let reason = "Container instance deregistration forced by user";
            self.end_task(now, elb, cluster_name, &task, (Some("UserInitiated"), reason));
        }
        Ok(())
    }

    fn make_inactive(&mut self, now: SimTime, cluster_name: &str, id: &str) {
        self.set_status(now, cluster_name, id, InstanceStatus::Inactive);
        if let Some(instance) =
            self.clusters.get_mut(cluster_name).and_then(|c| c.instances.get_mut(id))
        {
            instance.agent_connected = false;
            instance.deregistered_at = Some(now);
            self.truths.entry(instance.ec2_instance_id.clone()).or_default().deregistered_at =
                Some(now);
            let timer =
                Timer::ForgetInstance { cluster: cluster_name.to_owned(), instance: id.to_owned() };
            self.schedule.push(now + self.timing.memory, timer);
        }
    }

    /// Connects or disconnects the agents of an EC2 instance.
    pub fn set_agent_connected(&mut self, ec2: &str, connected: bool) {
        let Self { clusters, changes, .. } = self;
        for cluster in clusters.values_mut() {
            for (id, instance) in
                cluster.instances.iter_mut().filter(|(_, i)| i.ec2_instance_id == ec2)
            {
                if instance.status != InstanceStatus::Inactive {
                    changes.instance(&cluster.name, id);
                    instance.agent_connected = connected && instance.ec2_alive;
                    instance.version += 1;
                }
            }
        }
    }

    /// Ends the EC2 instance: its containers end at once. ECS notices a little later, and only if
    /// its agent was connected; otherwise the registration stays for ever (source: ECS API
    /// reference, DeregisterContainerInstance).
    pub fn ec2_gone(&mut self, now: SimTime, ec2: &str) {
        let noticed = now + self.timing.instance_gone;
        let Self { clusters, schedule, timing, changes, .. } = self;
        for cluster in clusters.values_mut() {
            for id in cluster.by_ec2.get(ec2).into_iter().flatten() {
                let Some(instance) = cluster.instances.get_mut(id) else { continue };
                instance.ec2_alive = false;
                if instance.agent_connected {
                    changes.instance(&cluster.name, id);
                    instance.agent_connected = false;
                    instance.version += 1;
                    let timer =
                        Timer::InstanceGone { cluster: cluster.name.clone(), instance: id.clone() };
                    schedule.push(noticed, timer);
                }
                for task_id in &instance.tasks {
                    let Some(task) =
                        cluster.tasks.get_mut(task_id).filter(|t| t.containers_running)
                    else {
                        continue;
                    };
                    task.containers_running = false;
                    if task.stopped_at.is_some() {
                        task.due = now + timing.memory;
                        let timer =
                            Timer::Task { cluster: cluster.name.clone(), task: task_id.clone() };
                        schedule.push(task.due, timer);
                    }
                }
            }
        }
    }

    /// Stops the EC2 instance (a warm pool): its containers end, its agent disconnects.
    pub fn ec2_stopped(&mut self, ec2: &str) {
        let Self { clusters, changes, .. } = self;
        for cluster in clusters.values_mut() {
            for id in cluster.by_ec2.get(ec2).into_iter().flatten() {
                let Some(instance) = cluster.instances.get_mut(id) else { continue };
                changes.instance(&cluster.name, id);
                instance.version += 1;
                instance.agent_connected = false;
                instance.ec2_alive = false;
                instance.stopped = true;
                for task in &instance.tasks {
                    if let Some(task) = cluster.tasks.get_mut(task) {
                        task.containers_running = false;
                    }
                }
            }
        }
    }

    /// Starts the EC2 instance again: its agent connects and reports earlier tasks as stopped.
    pub fn ec2_started(&mut self, now: SimTime, elb: &mut LoadBalancing, ec2: &str) {
        let mut lost = Vec::new();
        let Self { clusters, changes, .. } = self;
        for cluster in clusters.values_mut() {
            for id in cluster.by_ec2.get(ec2).into_iter().flatten() {
                let Some(instance) = cluster.instances.get_mut(id) else { continue };
                if instance.status == InstanceStatus::Inactive || !instance.stopped {
                    continue;
                }
                changes.instance(&cluster.name, id);
                instance.version += 1;
                instance.stopped = false;
                instance.ec2_alive = true;
                instance.agent_connected = true;
                lost.extend(instance.tasks.iter().map(|task| (cluster.name.clone(), task.clone())));
            }
        }
        for (cluster, task) in lost {
            self.end_task(
                now,
                elb,
                &cluster,
                &task,
                (Some("EssentialContainerExited"), "Container instance restarted"),
            );
        }
    }

    pub(super) fn notice_gone(
        &mut self,
        now: SimTime,
        elb: &mut LoadBalancing,
        cluster_name: &str,
        id: &str,
    ) {
        let Some(instance) = self.clusters.get(cluster_name).and_then(|c| c.instances.get(id))
        else {
            return;
        };
        if instance.status == InstanceStatus::Inactive {
            return;
        }
        let tasks: Vec<String> = instance.tasks.iter().cloned().collect();
        let reason = format!("Host EC2 (instance {}) terminated.", instance.ec2_instance_id);
        self.make_inactive(now, cluster_name, id);
        for task in tasks {
            self.end_task(now, elb, cluster_name, &task, (None, &reason));
        }
    }

    pub(super) fn forget_instance(&mut self, now: SimTime, cluster_name: &str, id: &str) {
        let Some(cluster) = self.clusters.get_mut(cluster_name) else { return };
        let Some(instance) = cluster.instances.get(id) else { return };
        if !instance.tasks.is_empty() {
            // Too old for the API, but still needed for the truth about containers.
            let timer =
                Timer::ForgetInstance { cluster: cluster_name.to_owned(), instance: id.to_owned() };
            self.schedule.push(now + self.timing.memory, timer);
            return;
        }
        if let Some(ids) = cluster.by_ec2.get_mut(&instance.ec2_instance_id) {
            ids.remove(id);
            if ids.is_empty() {
                let ec2 = instance.ec2_instance_id.clone();
                cluster.by_ec2.remove(&ec2);
            }
        }
        cluster.instances.remove(id);
    }

    /// Returns the container instances of an EC2 instance, over all clusters, with their cluster's
    /// name.
    pub fn instances_of<'a>(
        &'a self,
        ec2: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a ContainerInstance)> {
        self.clusters.values().flat_map(move |cluster| {
            let ids = cluster.by_ec2.get(ec2).into_iter().flatten();
            ids.filter_map(|id| Some((cluster.name.as_str(), cluster.instances.get(id)?)))
        })
    }

    /// Returns the EC2 instance of a container instance, given by id or ARN.
    pub fn ec2_of_instance(&self, cluster: &str, instance: &str) -> Option<&str> {
        let instance = self.clusters.get(cluster)?.instances.get(super::ops::last(instance))?;
        Some(&instance.ec2_instance_id)
    }

    /// Returns the EC2 instance that a task runs on; the task is given by id or ARN.
    pub fn ec2_of_task(&self, cluster: &str, task: &str) -> Option<&str> {
        Some(&self.clusters.get(cluster)?.tasks.get(super::ops::last(task))?.ec2_instance_id)
    }

    /// Returns the containers that truly run on an EC2 instance.
    pub fn containers_running(&self, ec2: &str) -> Vec<RunningContainer> {
        let mut running = Vec::new();
        for (cluster_name, instance) in self.instances_of(ec2) {
            let Some(cluster) = self.clusters.get(cluster_name) else { continue };
            let tasks = instance
                .tasks
                .iter()
                .filter_map(|id| cluster.tasks.get(id))
                .filter(|t| t.containers_running);
            running.extend(tasks.map(|task| RunningContainer {
                cluster: cluster_name.to_owned(),
                task: task.id.clone(),
                service: task.service.clone(),
                daemon: task.daemon,
                orphaned: task.orphaned,
                last_status: task.status.as_str(),
            }));
        }
        running
    }

    /// Returns the moment at which a task's containers started.
    pub(crate) fn task_started(&self, cluster: &str, task: &str) -> Option<SimTime> {
        self.clusters.get(cluster)?.tasks.get(task)?.started_at
    }

    /// Returns the addresses of `awsvpc` tasks on an EC2 instance, those of stopped tasks included:
    /// a target may outlive its task.
    pub fn addresses(&self, ec2: &str) -> Vec<String> {
        let instances = self.instances_of(ec2);
        let tasks = instances.flat_map(|(cluster, instance)| {
            let cluster = self.clusters.get(cluster);
            instance.tasks.iter().filter_map(move |id| cluster?.tasks.get(id))
        });
        tasks.filter_map(|task| Some(task.eni.as_ref()?.address.clone())).collect()
    }
}
