//! Amazon ECS on EC2: the answers of its API, and the containers that truly run.
//!
//! | file | contents |
//! | --- | --- |
//! | `model` | the nouns and their states |
//! | `task` | the life of a task, from `PROVISIONING` to `STOPPED` |
//! | `scheduler` | services: placement, draining, minimum and maximum healthy percent |
//! | `instance` | container instances: registration, draining, deregistration, death |
//! | `revision` | earlier states of a service whose load balancers were changed |
//! | `scenario` | the actions of scenarios on services, tasks and instances |
//! | `changes` | state change events |
//! | `ops`, `describe`, `describe_service` | the API's operations and descriptions |
//!
//! The state machine moves by timers only: [`Ecs::next_event`] returns the moment of the next one,
//! and [`Ecs::advance`] applies it.

mod changes;
mod describe;
mod describe_service;
mod instance;
mod model;
mod ops;
mod revision;
mod scenario;
mod scheduler;
mod task;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use changes::Changes;
pub use instance::RunningContainer;
use jiff::Timestamp;
pub use model::{
    Cluster, ContainerInstance, Definition, Eni, InstanceStatus, Registration, Service,
    ServiceEvent, Task, TaskStatus, Timer, Timing, Trouble, Truth,
};
pub use ops::is_read;
pub use revision::Revision;

use crate::SimTime;
use crate::elb::LoadBalancing;
use crate::spec::{Balancer, ServiceSpec, StandaloneSpec, TaskSpec};

/// ECS in one account and region.
#[derive(Clone, Debug)]
pub struct Ecs {
    clusters: BTreeMap<String, Cluster>,
    definitions: BTreeMap<String, Definition>,
    /// The number of definitions of each family.
    revisions: BTreeMap<String, u32>,
    schedule: Schedule,
    names: Names,
    start: Timestamp,
    /// The begin of the scenario; working times of standalone tasks count from here at the
    /// earliest.
    begin: SimTime,
    changes: Changes,
    /// True moments by EC2 instance, never forgotten.
    truths: BTreeMap<String, Truth>,
    /// The durations of ECS's own steps.
    pub timing: Timing,
    /// The largest page of any listing. AWS's is 100; smaller pages exercise paging.
    pub page_size: usize,
    /// The answer of `UpdateContainerInstancesState` for an `INACTIVE` instance, which AWS does not
    /// document: an entry in `failures` (`false`), or an `InvalidParameterException` for the whole
    /// batch (`true`).
    pub refuse_inactive_updates: bool,
}

/// The timers, in order of time and then of creation.
#[derive(Clone, Debug, Default)]
struct Schedule {
    timers: BTreeMap<(SimTime, u64), Timer>,
    sequence: u64,
}

impl Schedule {
    fn push(&mut self, at: SimTime, timer: Timer) {
        self.sequence += 1;
        self.timers.insert((at, self.sequence), timer);
    }
}

/// The source of ids, addresses and ARNs.
#[derive(Clone, Debug)]
struct Names {
    rng: fastrand::Rng,
    account: String,
    region: String,
    addresses: u32,
}

impl Names {
    fn hex32(&mut self) -> String {
        format!("{:032x}", self.rng.u128(..))
    }

    fn digits(&mut self) -> u64 {
        self.rng.u64(1_000_000_000_000_000_000..10_000_000_000_000_000_000)
    }

    /// Returns an address that no other task ever had: 10.0.0.0/8, in order.
    fn address(&mut self) -> String {
        self.addresses += 1;
        let [_, b, c, d] = (self.addresses + 255).to_be_bytes();
        format!("10.{b}.{c}.{d}")
    }

    fn arn(&self, kind: &str, path: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{kind}/{path}", self.region, self.account)
    }
}

/// Returns ARNs of target groups, and names of classic load balancers.
fn named(elb: &LoadBalancing, balancers: &[Balancer]) -> (Vec<String>, Vec<String>) {
    let (mut target_groups, mut classics) = (Vec::new(), Vec::new());
    for balancer in balancers {
        match balancer {
            Balancer::TargetGroup(name) => target_groups.extend(elb.arn_of(name)),
            Balancer::Classic(name) => classics.push(name.clone()),
        }
    }
    (target_groups, classics)
}

impl Ecs {
    /// Creates an empty ECS. `start` is the wall time at [`SimTime`] zero, `begin` the moment at
    /// which the scenario begins.
    pub fn new(account: &str, region: &str, start: Timestamp, begin: SimTime, seed: u64) -> Self {
        Self {
            clusters: BTreeMap::new(),
            definitions: BTreeMap::new(),
            revisions: BTreeMap::new(),
            schedule: Schedule::default(),
            names: Names {
                rng: fastrand::Rng::with_seed(seed),
                account: account.to_owned(),
                region: region.to_owned(),
                addresses: 0,
            },
            start,
            begin,
            changes: Changes::default(),
            truths: BTreeMap::new(),
            timing: Timing::default(),
            page_size: 100,
            refuse_inactive_updates: false,
        }
    }

    /// Returns a cluster by name.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.get(name)
    }

    /// Returns all clusters.
    pub fn clusters(&self) -> impl Iterator<Item = &Cluster> {
        self.clusters.values()
    }

    /// Returns the true moments of an EC2 instance so far, over all its registrations, forgotten
    /// ones included.
    pub fn truth(&self, ec2: &str) -> Truth {
        self.truths.get(ec2).copied().unwrap_or_default()
    }

    /// Creates a cluster.
    pub fn add_cluster(&mut self, name: &str) {
        let cluster = Cluster { name: name.to_owned(), ..Cluster::default() };
        self.clusters.entry(name.to_owned()).or_insert(cluster);
    }

    /// Creates a service; its tasks start as soon as there is room for them. A cluster that does
    /// not exist is created. Target groups are given by name.
    pub fn add_service(&mut self, now: SimTime, elb: &LoadBalancing, spec: &ServiceSpec) {
        self.add_cluster(&spec.cluster);
        let definition = self.define(&spec.name, &spec.task);
        let (target_groups, classics) = named(elb, &spec.load_balancers);
        let mut service = Service {
            name: spec.name.clone(),
            tags: BTreeMap::new(),
            definition,
            deployment: format!("ecs-svc/{}", self.names.digits()),
            desired: spec.desired,
            daemon: spec.daemon,
            controller: spec.controller,
            placement_constraints: spec.placement_constraints.clone(),
            trouble: None,
            failures: 0,
            throttled_until: None,
            impaired: false,
            steady: false,
            minimum_healthy_percent: spec.minimum_healthy_percent,
            maximum_percent: spec.maximum_percent,
            task: spec.task.clone(),
            target_groups,
            classics,
            paused_until: None,
            earlier: Vec::new(),
            tasks: BTreeSet::new(),
            events: VecDeque::new(),
            created_at: now,
            deployed_at: now,
            wake: None,
            complained_at: None,
        };
        scheduler::wake(&mut self.schedule, &spec.cluster, &mut service, now);
        if let Some(cluster) = self.clusters.get_mut(&spec.cluster) {
            cluster.services.insert(spec.name.clone(), service);
        }
    }

    /// Sets a tag of a service, or removes it.
    pub fn tag_service(&mut self, cluster: &str, service: &str, key: &str, value: Option<&str>) {
        let Some(service) =
            self.clusters.get_mut(cluster).and_then(|c| c.services.get_mut(service))
        else {
            return;
        };
        match value {
            Some(value) => service.tags.insert(key.to_owned(), value.to_owned()),
            None => service.tags.remove(key),
        };
    }

    /// Changes a service's desired count.
    pub fn set_desired(&mut self, now: SimTime, cluster: &str, service: &str, desired: u32) {
        if let Some(service) =
            self.clusters.get_mut(cluster).and_then(|c| c.services.get_mut(service))
        {
            service.desired = desired;
            scheduler::wake(&mut self.schedule, cluster, service, now);
        }
    }

    /// Starts a standalone task and returns its ARN; `None` if no instance has room for it.
    pub fn run_standalone(&mut self, now: SimTime, spec: &StandaloneSpec) -> Option<String> {
        let definition = self.define(&spec.family, &spec.task);
        let cluster = self.clusters.get(&spec.cluster)?;
        let instance = match &spec.instance_id {
            Some(ec2) => {
                let mut registered = cluster.by_ec2.get(ec2)?.iter();
                registered
                    .rfind(|id| cluster.instances.get(*id).is_some_and(|i| i.agent_connected))?
                    .clone()
            }
            None => scheduler::place(cluster, &spec.task)?,
        };
        let plan = task::Plan {
            instance,
            definition,
            service: None,
            daemon: false,
            group: spec.group.clone().unwrap_or_else(|| format!("family:{}", spec.family)),
            started_by: None,
        };
        let id = self.start_task(now, &spec.cluster, plan)?;
        Some(self.names.arn("task", &format!("{}/{id}", spec.cluster)))
    }

    /// Registers a task definition and returns `family:revision`.
    fn define(&mut self, family: &str, task: &TaskSpec) -> String {
        let revision = self.revisions.entry(family.to_owned()).or_default();
        *revision += 1;
        let revision = *revision;
        let key = format!("{family}:{revision}");
        let definition = Definition { family: family.to_owned(), revision, task: task.clone() };
        self.definitions.insert(key.clone(), definition);
        key
    }

    /// Returns the moment of the next change that happens by itself.
    pub fn next_event(&self) -> Option<SimTime> {
        self.schedule.timers.keys().next().map(|(at, _)| *at)
    }

    /// Applies all changes that are due by now; returns false if there were none.
    pub fn advance(&mut self, now: SimTime, elb: &mut LoadBalancing) -> bool {
        let mut moved = false;
        while let Some(entry) = self.schedule.timers.first_entry() {
            let at = entry.key().0;
            if at > now {
                break;
            }
            let timer = entry.remove();
            moved = true;
            match timer {
                Timer::Task { cluster, task } => self.step_task(at, elb, &cluster, &task),
                Timer::Service { cluster, service } => self.reconcile(at, elb, &cluster, &service),
                Timer::InstanceGone { cluster, instance } => {
                    self.notice_gone(at, elb, &cluster, &instance)
                }
                Timer::ForgetInstance { cluster, instance } => {
                    self.forget_instance(at, &cluster, &instance)
                }
            }
        }
        moved
    }
}
