//! Budgets: how many instances of a cluster, instances of a group, and tasks of a service drain at
//! once.
//!
//! Every drain that runs counts, whatever began it. An operator's drain and that of a rebalance
//! recommendation wait for room in the queue, and a lifecycle action's if the policy holds it back.
//! A drain of a spot interruption, and of an instance that its group calls unhealthy, never waits.
//!
//! The queue has an order: the drain that ends first comes first, then the older request. A drain
//! begins once all its budgets have room and no earlier one waits for the same room. Later drains
//! may pass one that waits for other room; so that none starves, the first drain of each cluster that
//! waits keeps the room that it has.

mod count;
mod owner;
#[cfg(test)]
mod tests;

pub use owner::{DO_NOT_DISRUPT, DoNotDisrupt};

use crate::decide::{Turn, clear};
use crate::facts::Facts;
use crate::phase::Phase;
use crate::policy::{Concurrency, Policy};
use crate::record::{Origin, Record};
use crate::sight::{TaskKind, id};
use crate::time::Mono;
use count::{Counts, Place};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Age at which a list of tasks is too old to count a drain's tasks by. It is read again sooner.
const LISTED: Duration = Duration::from_secs(300);

/// One unfinished drain, as far as budgets need it.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The record, as it is in the table.
    pub record: &'a Record,
    /// The facts that this process has read.
    pub facts: &'a Facts,
    /// The policy for the drain.
    pub policy: &'a Policy,
    /// True if its beginning was decided, and is being written.
    pub begins: bool,
}

/// Numbers of which a budget can be a share. An unknown number is `None`: the share of it is one.
pub trait Sizes {
    /// Returns the number of container instances that are registered in a cluster.
    fn cluster(&self, cluster: &str) -> Option<u32>;
    /// Returns the number of instances in a group.
    fn group(&self, group: &str) -> Option<u32>;
    /// Returns the state of a service of a cluster, if it was read a moment ago.
    fn service(&self, cluster: &str, service: &str) -> Option<ServiceState>;
}

/// State of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceState {
    /// Number of tasks that it should run.
    pub desired: u32,
    /// Number of tasks that it runs.
    pub running: u32,
    /// True while a deployment of it is in progress.
    pub deploys: bool,
    /// The wish of its owner, while it holds.
    pub kept: Option<DoNotDisrupt>,
}

/// The budget for which a drain waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Instances of this cluster.
    Cluster(String),
    /// Instances of this Auto Scaling group.
    Group(String),
    /// Tasks of a service.
    Service {
        /// Name of the service.
        service: String,
        /// Number of its tasks on the instance.
        here: u32,
        /// Number of tasks that it should run, if the budget is a share of it that is known.
        desired: Option<u32>,
    },
    /// A service must run all its tasks, and no deployment.
    Steady {
        /// Name of the service.
        service: String,
        /// Its state.
        state: ServiceState,
    },
    /// The owner of a service has tagged it `ecs-drain:do-not-disrupt`.
    Kept {
        /// Name of the service.
        service: String,
        /// The tag.
        kept: DoNotDisrupt,
    },
}

impl Scope {
    /// Returns whether the place in this queue depends on the tasks of the instance.
    pub const fn needs_tasks(&self) -> bool {
        matches!(self, Scope::Service { .. } | Scope::Steady { .. } | Scope::Kept { .. })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Cluster(name) => write!(f, "cluster {name}"),
            Scope::Group(name) => write!(f, "group {name}"),
            Scope::Service { service, .. }
            | Scope::Steady { service, .. }
            | Scope::Kept { service, .. } => write!(f, "service {service}"),
        }
    }
}

/// Places of the waiting drains of an account and region.
#[derive(Clone, Debug, Default)]
pub struct Budgets(BTreeMap<String, Turn>);

impl Budgets {
    /// Decides for all unfinished drains which may begin. Those that may count as running at once,
    /// so drains that are decided by the same answer keep to the budgets together.
    pub fn of<'a>(
        parts: impl Iterator<Item = Part<'a>> + Clone,
        sizes: &impl Sizes,
        now: Mono,
    ) -> Budgets {
        let of_services = parts.clone().any(|part| part.policy.max_concurrent_service.is_some());
        let mut counts = Counts::default();
        let mut queue = Vec::new();
        for part in parts {
            if part.waits() {
                queue.push((
                    part.record.ends_at(),
                    part.record.created_at,
                    part.record.key(),
                    part,
                ));
            } else if part.goes_on() {
                counts.take(&part.load(of_services));
                if of_services && part.is_uncounted() {
                    counts.uncounted.insert(part.record.cluster.as_deref());
                }
            }
        }
        queue.sort_unstable_by(|one, other| {
            (one.0, one.1, &one.2).cmp(&(other.0, other.1, &other.2))
        });
        let mut kept = BTreeSet::new();
        let mut turns = BTreeMap::new();
        for (_, _, key, part) in queue {
            let turn = part.turn(&mut counts, sizes, now, &mut kept, of_services);
            if turn != Turn::Now {
                turns.insert(key, turn);
            }
        }
        Budgets(turns)
    }

    /// Returns a drain's place in the queue.
    pub fn turn(&self, key: &str) -> Turn {
        self.0.get(key).cloned().unwrap_or_default()
    }
}

impl<'a> Part<'a> {
    /// Returns whether a budget limits when this drain begins. A drain that is paused before it
    /// began does not block the queue, and one of an instance in no cluster drains nothing.
    pub fn waits(&self) -> bool {
        let Part { record, facts, policy, begins } = self;
        record.phase() == Phase::Pending
            && !begins
            && record.orders.pause.is_none()
            && !record.container_instances.is_empty()
            && record.origin != Origin::SpotInterruption
            && !facts.group.is_unhealthy()
            && (record.lifecycle.is_none() || policy.hold_lifecycle)
    }

    /// Returns whether a drain counts as running, or is about to. A drain that rests in a warm pool,
    /// whose instance its group retains, or that only waits for the announced end has nothing left
    /// to do. A cancelled drain counts until its instance can run tasks again.
    fn goes_on(&self) -> bool {
        let record = self.record;
        match record.phase() {
            _ if record.container_instances.is_empty() => false,
            Phase::Pending => record.orders.pause.is_none(),
            Phase::Deregistering | Phase::Waiting => true,
            Phase::Verifying => !record.waits_for_others(),
            Phase::Completing => record.retained_at.is_none(),
            Phase::Returning => record.lifecycle.is_none(),
            Phase::Done => false,
        }
    }

    /// Returns the parts of the budgets that the drain takes.
    fn load(&self, of_services: bool) -> Load<'a> {
        let record = self.record;
        let moves = record.phase() <= Phase::Waiting;
        let noted = || {
            let noted = record.services.iter().flatten();
            noted.filter_map(|(name, tasks)| Some((name.split_once('/')?, *tasks))).collect()
        };
        let services = match (of_services && moves, &record.services) {
            (false, _) => BTreeMap::new(),
            (true, Some(_)) => noted(),
            (true, None) => tasks(record, self.facts),
        };
        Load { cluster: record.cluster.as_deref(), group: record.group(), services }
    }

    /// Returns whether a drain that runs may move tasks that are not known yet.
    fn is_uncounted(&self) -> bool {
        matches!(self.record.phase(), Phase::Deregistering | Phase::Waiting)
            && self.record.services.is_none()
            && clear::registrations_known(self.facts).is_err()
    }

    /// Decides a waiting drain, and counts it if it may begin.
    fn turn(
        &self,
        counts: &mut Counts<'a>,
        sizes: &impl Sizes,
        now: Mono,
        kept: &mut BTreeSet<Option<&'a str>>,
        of_services: bool,
    ) -> Turn {
        let policy = self.policy;
        let wants_states = policy.require_steady || policy.service_tags;
        let load = self.load(of_services || wants_states);
        let wants_tasks = policy.max_concurrent_service.is_some() || wants_states;
        let known = !wants_tasks || self.knows_its_tasks(now);
        let mut full = counts.full(&load, policy, sizes);
        if !known {
            // Its tasks are read once it comes first elsewhere. Until then none is reserved.
            full.retain(|(place, _)| !matches!(place, Place::Service(..)));
        }
        if let Some((place, limit)) = full.first().copied() {
            let turn = counts.wait(place, limit, &load, policy, sizes);
            full.iter().for_each(|(place, _)| counts.queue(*place));
            if kept.insert(load.cluster) {
                let full: Vec<_> = full.into_iter().map(|(place, _)| place).collect();
                counts.keep(&load, &full);
            }
            return turn;
        }
        if known && wants_states {
            for (cluster, service) in load.services.keys() {
                let service = || (*service).to_owned();
                let Some(state) = sizes.service(cluster, &service()) else {
                    return Turn::Read { service: Some(service()) };
                };
                if let Some(kept) = state.kept.filter(|_| policy.service_tags) {
                    let scope = Scope::Kept { service: service(), kept };
                    return Turn::Wait { scope, running: 0, limit: 0, ahead: 0 };
                }
                let unsteady = state.deploys || state.running < state.desired;
                if policy.require_steady && unsteady {
                    let scope = Scope::Steady { service: service(), state };
                    return Turn::Wait { scope, running: 0, limit: 0, ahead: 0 };
                }
            }
        }
        counts.take(&load);
        if known { Turn::Now } else { Turn::Read { service: None } }
    }

    /// Returns whether the tasks of every container instance were listed lately, and described.
    fn knows_its_tasks(&self, now: Mono) -> bool {
        let listed = |arn: &str| {
            self.facts.of(arn).is_some_and(|one| {
                one.is_gone() || one.discovered.is_some_and(|read| now.since(read.ended) < LISTED)
            })
        };
        self.record.container_instances.iter().all(|mine| listed(&mine.arn))
            && clear::registrations_known(self.facts).is_ok()
    }
}

/// The parts of the budgets that one drain takes.
#[derive(Clone, Debug)]
struct Load<'a> {
    cluster: Option<&'a str>,
    group: Option<&'a str>,
    /// Number of tasks, by the names of cluster and service.
    services: BTreeMap<(&'a str, &'a str), u32>,
}

/// Counts the tasks of replica services on the drain's container instances, by the names of cluster
/// and service. ECS moves no other tasks.
pub fn tasks<'a>(record: &'a Record, facts: &'a Facts) -> BTreeMap<(&'a str, &'a str), u32> {
    let mut tasks = BTreeMap::new();
    for (_, task) in facts.tasks_there() {
        let Some((_, sight)) = &task.sight else { continue };
        let TaskKind::Replica(service) = &sight.kind else { continue };
        let on = facts.instances.get(task.on).and_then(|one| {
            record.container_instances.iter().find(|mine| id(&mine.arn) == id(&one.arn))
        });
        if let Some(on) = on {
            *tasks.entry((on.cluster.as_str(), service.as_str())).or_default() += 1;
        }
    }
    tasks
}

/// Returns the limit for instances of a cluster, a group's, or tasks of a service, if there is one.
fn limit(policy: &Policy, place: Place<'_>, sizes: &impl Sizes) -> Option<u32> {
    let (budget, size): (_, &dyn Fn() -> Option<u32>) = match place {
        Place::Cluster(cluster) => (Some(policy.max_concurrent), &move || sizes.cluster(cluster?)),
        Place::Group(group) => (policy.max_concurrent_group, &move || sizes.group(group)),
        Place::Service(cluster, service) => (policy.max_concurrent_service, &move || {
            sizes.service(cluster, service).map(|state| state.desired)
        }),
    };
    match budget? {
        Concurrency::Percent(_) => Some(budget?.of(size().unwrap_or_default())),
        Concurrency::Count(_) => Some(budget?.of(0)),
    }
}

impl Record {
    /// Returns the moment at which the drain ends whatever is left: its deadline, or the end of its
    /// hook's time. The latest possible moment if there is none.
    fn ends_at(&self) -> Timestamp {
        self.deadline.into_iter().chain(self.global_limit).min().unwrap_or(Timestamp::MAX)
    }
}
