//! The actions of scenarios on services, tasks and instances, which AWS does not offer as calls.

use super::model::{ContainerInstance, InstanceStatus, Trouble};
use super::ops::last;
use super::{Ecs, named, scheduler};
use crate::SimTime;
use crate::elb::LoadBalancing;
use crate::spec::{Balancer, StandaloneSpec};

impl Ecs {
    /// Lets new tasks of a service fail, or start again (`None`). Running tasks are unchanged.
    /// Returns false if there is no such service.
    pub fn set_trouble(
        &mut self,
        now: SimTime,
        cluster: &str,
        service: &str,
        trouble: Option<Trouble>,
    ) -> bool {
        let Some(found) = self.clusters.get_mut(cluster).and_then(|c| c.services.get_mut(service))
        else {
            return false;
        };
        found.trouble = trouble;
        if found.trouble.is_none() {
            (found.failures, found.throttled_until, found.impaired) = (0, None, false);
        }
        scheduler::wake(&mut self.schedule, cluster, found, now);
        true
    }

    /// Registers tasks that a service starts from now on in these balancers, by a rolling
    /// deployment that completes before the old tasks end: those keep their registrations until
    /// they stop (source: ECS API reference, DeploymentEarlySuccessCriteria, `DEFERRED`). Returns
    /// false if there is no such service.
    pub fn change_balancers(
        &mut self,
        now: SimTime,
        elb: &LoadBalancing,
        cluster: &str,
        service: &str,
        balancers: &[Balancer],
    ) -> bool {
        let Some(found) = self.clusters.get_mut(cluster).and_then(|c| c.services.get_mut(service))
        else {
            return false;
        };
        let before = found.revision();
        // Derived from the earlier id, so that no other id of the scenario changes.
        found.deployment = format!("{}{}", before.deployment, found.earlier.len() + 1);
        found.earlier.push(before);
        (found.target_groups, found.classics) = named(elb, balancers);
        found.deployed_at = now;
        scheduler::wake(&mut self.schedule, cluster, found, now);
        true
    }

    /// Pauses a deployment of a service at a pause hook until then (source: ECS developer guide,
    /// pause hooks), or continues it (`None`). Returns false if there is no such service.
    ///
    /// AWS does not document the effect of `DRAINING` on tasks of a service whose deployment is
    /// paused. Here they stay.
    pub fn pause_deployment(
        &mut self,
        now: SimTime,
        cluster: &str,
        service: &str,
        until: Option<SimTime>,
    ) -> bool {
        let Some(found) = self.clusters.get_mut(cluster).and_then(|c| c.services.get_mut(service))
        else {
            return false;
        };
        found.paused_until = until;
        scheduler::wake(&mut self.schedule, cluster, found, now);
        true
    }

    /// Protects a service's task, given by id or ARN, from scale-in until then. Returns false if it
    /// cannot be protected.
    pub fn protect_task(&mut self, cluster: &str, task: &str, until: SimTime) -> bool {
        let task = self.clusters.get_mut(cluster).and_then(|c| c.tasks.get_mut(last(task)));
        let Some(task) = task.filter(|task| task.service.is_some() && task.stopped_at.is_none())
        else {
            return false;
        };
        task.protected_until = Some(until);
        true
    }

    /// Stops a task, given by id or ARN, as a person does with StopTask.
    pub fn stop_by_hand(&mut self, now: SimTime, cluster: &str, task: &str) {
        self.stop_task(now, cluster, last(task), "UserInitiated", "Task stopped by user");
    }

    /// Sets an EC2 instance `ACTIVE` or `DRAINING` wherever it is registered, as a person or
    /// another tool does. Returns the number of its container instances: zero for `INACTIVE`, which
    /// no call can request.
    pub fn set_instance_state(&mut self, now: SimTime, ec2: &str, status: InstanceStatus) -> usize {
        if status == InstanceStatus::Inactive {
            return 0;
        }
        let registered = self
            .instances_of(ec2)
            .filter(|(_, instance)| instance.status != InstanceStatus::Inactive);
        let registered: Vec<(String, String)> = registered
            .map(|(cluster, instance)| (cluster.to_owned(), instance.id.clone()))
            .collect();
        for (cluster, id) in &registered {
            self.set_status(now, cluster, id, status);
        }
        registered.len()
    }

    /// Sets an attribute of an EC2 instance's container instances.
    pub fn set_attribute(&mut self, ec2: &str, name: &str, value: &str) {
        self.each_registration(ec2, |instance| {
            instance.attributes.insert(name.to_owned(), value.to_owned());
        });
    }

    /// Sets the capacity provider of an EC2 instance's container instances.
    pub fn set_capacity_provider(&mut self, ec2: &str, name: &str) {
        self.each_registration(ec2, |instance| instance.capacity_provider = Some(name.to_owned()));
    }

    /// Sets the version of an instance's agent.
    pub fn set_agent_version(&mut self, ec2: &str, version: &str) {
        self.each_registration(ec2, |instance| instance.agent_version = version.to_owned());
    }

    fn each_registration(&mut self, ec2: &str, mut change: impl FnMut(&mut ContainerInstance)) {
        for cluster in self.clusters.values_mut() {
            for id in cluster.by_ec2.get(ec2).into_iter().flatten() {
                if let Some(instance) = cluster.instances.get_mut(id) {
                    change(instance);
                }
            }
        }
    }

    /// Fills every `ACTIVE` instance of a cluster, except these EC2 instances, with one standalone
    /// task that takes all free CPU.
    pub fn fill(&mut self, now: SimTime, cluster: &str, except: &[&str]) {
        let Some(found) = self.clusters.get(cluster) else { return };
        let instances = found.instances.values().filter(|instance| {
            instance.status == InstanceStatus::Active
                && instance.agent_connected
                && !except.contains(&instance.ec2_instance_id.as_str())
        });
        let room = instances.map(|i| (i.ec2_instance_id.clone(), i.cpu.saturating_sub(i.used_cpu)));
        let room: Vec<(String, u32)> = room.filter(|(_, cpu)| *cpu > 0).collect();
        for (ec2, cpu) in room {
            let mut spec = StandaloneSpec::new(cluster, "filler").on(ec2);
            (spec.task.cpu, spec.task.memory) = (cpu, 0);
            self.run_standalone(now, &spec);
        }
    }

    /// Returns the moment since which an EC2 instance has been `DRAINING` in the cluster of a task,
    /// given by id or ARN.
    pub(crate) fn draining_since(&self, cluster: &str, task: &str) -> Option<SimTime> {
        let cluster = self.clusters.get(cluster)?;
        let instance = cluster.instances.get(&cluster.tasks.get(last(task))?.instance)?;
        (instance.status == InstanceStatus::Draining).then_some(instance.status_since)
    }

    /// Returns the service of a task that still should run, given by id or ARN: `Some(None)` for a
    /// standalone one.
    pub(crate) fn service_of_task(&self, cluster: &str, task: &str) -> Option<Option<&str>> {
        let task = self.clusters.get(cluster)?.tasks.get(last(task))?;
        (!task.stop_wanted).then_some(task.service.as_deref())
    }
}
