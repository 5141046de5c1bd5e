//! What a fleet is and what happens to it: a plain value that follows from its seed, can be
//! printed, and can be made smaller.

mod crowd;
mod deployed;
mod dice;
mod plot;
mod restored;
mod scopes;
mod script;
mod shared;
mod stage;
mod steer;
mod versions;
mod wide;

pub use dice::{can_move, is_variation, plan};

use crate::harness::{CONTROLLER, HOOKS};
use aws_simulator::Fault;
use ecs_drain_state::Then;
use ecs_drain_state::record::SCHEMA;
use std::fmt;

/// Everything about one run. Times are seconds since the scenario began.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// The policy that every replica begins with, unless it has another revision.
    pub rules: Rules,
    /// What replicas are deployed with later; the first one is number 1, and 0 is what the rest of
    /// the plan says.
    pub revisions: Vec<Revision>,
    pub clusters: Vec<String>,
    pub services: Vec<Service>,
    pub tasks: Vec<Task>,
    pub groups: Vec<Group>,
    pub replicas: Vec<Replica>,
    /// What happens, and when.
    pub script: Vec<(u64, Happening)>,
    pub faults: Vec<Strike>,
    /// The most that a read may lag while faults last.
    pub read_lag: Option<u64>,
    /// How far the table's index is behind, to the end.
    pub index_lag: u64,
    /// Events through a queue, and what becomes of them while faults last.
    pub queue: Option<Delivery>,
    /// There is a second scope.
    pub far: bool,
    /// AWS's published request rates hold.
    pub limits: bool,
    /// When faults stop, and nothing more happens.
    pub calm_at: u64,
}

/// The one policy of the fleet.
#[derive(Clone, Debug)]
pub struct Rules {
    pub deregister: bool,
    /// Standalone tasks are stopped after so long; `None`: waited for.
    pub stop_after: Option<u64>,
    /// What is done so long after a drain began.
    pub deadline: Option<(u64, &'static str)>,
    pub max_concurrent: &'static str,
    pub max_concurrent_lifecycle: &'static str,
    pub rebalance: &'static str,
    pub poll: u64,
}

/// What a replica runs with.
#[derive(Clone, Debug)]
pub struct Revision {
    /// The name of its controller.
    pub controller: &'static str,
    pub rules: Rules,
    /// The configured hooks.
    pub hooks: Vec<&'static str>,
    /// The configured groups and clusters; `None`: all.
    pub groups: Option<Vec<String>>,
    pub clusters: Option<Vec<String>>,
    /// Whether it leaves something out that others of this controller have.
    pub partial: bool,
    /// The schema of the records that the program writes: how new it is.
    pub schema: u32,
}

impl Revision {
    /// Every hook, group and cluster.
    pub fn first(rules: &Rules) -> Revision {
        let (rules, hooks) = (rules.clone(), HOOKS.to_vec());
        Revision {
            controller: CONTROLLER,
            rules,
            hooks,
            groups: None,
            clusters: None,
            partial: false,
            schema: SCHEMA,
        }
    }

    /// Whether it has this group and its hook.
    pub fn selects(&self, group: &Group) -> bool {
        let mut hooks = std::iter::once(&group.hook).chain(&group.second_hook);
        hooks.any(|hook| self.hooks.contains(&hook.as_str()))
            && self.groups.as_ref().is_none_or(|groups| groups.contains(&group.name))
    }
}

/// Where a service's tasks are registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    None,
    /// Instance targets on dynamic ports behind an application load balancer.
    Application,
    /// Targets by address behind a network load balancer, which may send connections for so long
    /// afterwards.
    Network {
        settle: u64,
    },
    /// A fixed port behind a classic load balancer.
    Classic,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub cluster: String,
    pub name: String,
    pub daemon: bool,
    pub desired: u32,
    pub percents: (u32, u32),
    pub cpu: u32,
    pub start: u64,
    pub stop: u64,
    pub balancing: Balancing,
    /// How long its balancer drains a target.
    pub delay: u64,
    /// Deployed by an external controller: its registrations stand in a task set.
    pub external: bool,
}

/// A standalone task.
#[derive(Clone, Debug)]
pub struct Task {
    pub cluster: String,
    pub instance: String,
    /// How long it works; `None`: until it is stopped.
    pub works: Option<u64>,
    pub stop: u64,
}

#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    /// `None`: its instances join no cluster.
    pub cluster: Option<String>,
    pub instances: Vec<String>,
    /// Which of our hooks it has.
    pub hook: String,
    pub heartbeat_timeout: u64,
    /// That of another controller, which holds its instances too.
    pub second_hook: Option<String>,
    /// Another's hook holds its instances for so long.
    pub other_hook: Option<u64>,
    pub warm_pool: Option<WarmPool>,
    /// What is abandoned is kept for a look.
    pub retains: bool,
    /// A balancer sends traffic to the instances themselves, and drains a target for so long.
    pub attached: Option<u64>,
}

impl Group {
    /// A group with one of our hooks and nothing else, whose instances are in the cluster of its
    /// name.
    fn plain(name: &str, instances: Vec<String>, hook: &str, heartbeat_timeout: u64) -> Group {
        Group {
            name: name.to_owned(),
            cluster: Some(name.to_owned()),
            instances,
            hook: hook.to_owned(),
            heartbeat_timeout,
            second_hook: None,
            other_hook: None,
            warm_pool: None,
            retains: false,
            attached: None,
        }
    }
}

/// Stopped instances that a group can start quickly.
#[derive(Clone, Debug)]
pub struct WarmPool {
    /// Those that rest there in the beginning.
    pub rest: Vec<String>,
    /// Scale-ins send instances back there.
    pub reuse: bool,
}

/// A controller. The first one never retires.
#[derive(Clone, Debug)]
pub struct Replica {
    pub starts: u64,
    /// When it is asked to shut down, as by a deployment.
    pub retires: Option<u64>,
    /// How far its clock is off, in milliseconds.
    pub skew: i64,
    /// How long it stays dead.
    pub restart: u64,
    /// What it begins with.
    pub revision: usize,
}

/// What becomes of events on their way to the queue.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    pub lose: f64,
    pub duplicate: f64,
    pub late: u64,
}

/// What happens at one moment. What names an instance that is not there (any more) does nothing.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A scale-in of this very instance.
    Terminate {
        instance: String,
        shrink: bool,
    },
    /// The same of its namesake in the other region.
    LeavesFar {
        instance: String,
        shrink: bool,
    },
    /// The group chooses.
    Capacity {
        group: String,
        desired: u32,
    },
    Agent {
        instance: String,
        connected: bool,
    },
    /// Sent back to the warm pool, whatever the group's own rules say.
    ToPool {
        instance: String,
    },
    FromPool {
        instance: String,
    },
    RootVolume {
        instance: String,
    },
    /// EC2 loses the instance: everything on it is gone at once.
    Dies {
        instance: String,
    },
    /// Someone deletes the group's hook, which lets go of what it holds, and puts it back later.
    HookDeleted {
        group: String,
    },
    HookPut {
        group: String,
    },
    /// All instances of the group are replaced, so many percent of them healthy at any time.
    Refresh {
        group: String,
        healthy: u32,
        warmup: u64,
    },
    RefreshCancelled {
        group: String,
    },
    /// EC2 has no more instances for the group.
    CapacityOut {
        group: String,
    },
    CapacityBack {
        group: String,
    },
    /// Someone sets the instance to `ACTIVE`, or to `DRAINING`, by hand.
    ByHand {
        instance: String,
        active: bool,
    },
    /// Spot warns, and takes the instance two minutes later.
    Spot {
        instance: String,
    },
    Rebalance {
        instance: String,
    },
    Order {
        instance: String,
        what: Asked,
    },
    Desired {
        cluster: String,
        service: String,
        desired: u32,
    },
    /// New tasks of the service do not start until it is healed.
    Trouble {
        cluster: String,
        service: String,
    },
    Heal {
        cluster: String,
        service: String,
    },
    /// Its tasks there are protected from scale-in for so long.
    Protect {
        cluster: String,
        service: String,
        instance: String,
        span: u64,
    },
    /// The agent lost its state, and registers the instance once more.
    RegistersAgain {
        cluster: String,
        instance: String,
    },
    RunTask(Task),
    /// Someone stops the standalone tasks that run there.
    StopTasks {
        instance: String,
    },
    /// The controller dies.
    Kill {
        replica: usize,
    },
    /// The controller is asked to shut down, and starts again with this revision.
    Deployed {
        replica: usize,
        revision: usize,
    },
    /// The controller stands still for so long, and goes on believing what it did.
    Stop {
        replica: usize,
        span: u64,
        /// Not at once, but in the middle of its next look at this cluster.
        amid: Option<&'static str>,
    },
    ClockJumps {
        replica: usize,
        by: i64,
    },
    TableAway {
        span: u64,
        hangs: bool,
    },
    /// The table is again as it was so long ago, or empty where it had not been made yet.
    TableRestored {
        back: u64,
    },
    /// Someone else writes the instance's record, without changing what it says.
    RecordWritten {
        instance: String,
    },
    /// Everything is held.
    Pause {
        on: bool,
    },
}

impl Happening {
    /// The instance that it befalls, if it is one.
    pub fn instance(&self) -> Option<&str> {
        match self {
            Self::Terminate { instance, .. }
            | Self::Agent { instance, .. }
            | Self::ToPool { instance }
            | Self::FromPool { instance }
            | Self::RootVolume { instance }
            | Self::Dies { instance }
            | Self::ByHand { instance, .. }
            | Self::Spot { instance }
            | Self::Rebalance { instance }
            | Self::Order { instance, .. }
            | Self::Protect { instance, .. }
            | Self::RegistersAgain { instance, .. }
            | Self::RunTask(Task { instance, .. })
            | Self::StopTasks { instance }
            | Self::RecordWritten { instance } => Some(instance),
            Self::LeavesFar { .. }
            | Self::Capacity { .. }
            | Self::HookDeleted { .. }
            | Self::HookPut { .. }
            | Self::Refresh { .. }
            | Self::RefreshCancelled { .. }
            | Self::CapacityOut { .. }
            | Self::CapacityBack { .. }
            | Self::Desired { .. }
            | Self::Trouble { .. }
            | Self::Heal { .. }
            | Self::Kill { .. }
            | Self::Deployed { .. }
            | Self::Stop { .. }
            | Self::ClockJumps { .. }
            | Self::TableAway { .. }
            | Self::TableRestored { .. }
            | Self::Pause { .. } => None,
        }
    }
}

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Drain(Then),
    Cancel,
    Hold,
    Resume,
    /// So many seconds from then on.
    Extend(u64),
    Retry,
    Complete,
}

/// One thing that goes wrong with calls.
#[derive(Clone, Debug)]
pub struct Strike {
    pub on: On,
    pub fault: Fault,
}

/// Which calls it strikes.
#[derive(Clone, Debug)]
pub enum On {
    /// The n-th of all.
    Call(u64),
    /// The n-th of an operation.
    Nth(&'static str, u64),
    /// Every one of an operation in this span.
    Every(&'static str, u64, u64),
    /// Every one to AWS in this region but the table's, in this span.
    Region(&'static str, u64, u64),
    /// So many in a hundred of an operation, in this span.
    Share(&'static str, u64, u64, u64),
    /// Every listing of tasks that ECS wants in this state, in this span.
    Listing(&'static str, u64, u64),
}

/// What some fleets have, and most have not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Drains in many clusters at once, at AWS's rates.
    Wide,
    /// Hundreds of drains at once, at AWS's rates.
    Crowd,
    /// The table is restored from a backup while controllers run.
    Restored,
    /// Replicas are deployed with another configuration.
    Deployed,
    /// Two controllers share the table, and groups.
    Shared,
    /// Two versions of the program run at once.
    Versions,
    /// There are two scopes.
    Scopes,
}

impl Feature {
    pub const ALL: [Feature; 7] = [
        Feature::Wide,
        Feature::Crowd,
        Feature::Restored,
        Feature::Deployed,
        Feature::Shared,
        Feature::Versions,
        Feature::Scopes,
    ];

    /// Its name, in one word.
    pub const fn name(self) -> &'static str {
        match self {
            Feature::Wide => "wide",
            Feature::Crowd => "crowd",
            Feature::Restored => "restored",
            Feature::Deployed => "deployed",
            Feature::Shared => "shared",
            Feature::Versions => "versions",
            Feature::Scopes => "scopes",
        }
    }
}

impl Plan {
    /// Whether so much happens at once that AWS's rates are what decides how long it takes.
    pub fn is_wide(&self) -> bool {
        self.limits && (self.clusters.len() >= wide::WIDE || self.is_crowd())
    }

    fn is_crowd(&self) -> bool {
        self.clusters.iter().any(|cluster| cluster.starts_with(crowd::CLUSTER))
    }

    /// Whether it has something that most fleets have not.
    pub fn has(&self, feature: Feature) -> bool {
        match feature {
            Feature::Wide => self.limits && self.clusters.len() >= wide::WIDE,
            Feature::Crowd => self.is_crowd(),
            Feature::Restored => {
                self.happens(|what| matches!(what, Happening::TableRestored { .. }))
            }
            Feature::Shared => {
                self.revisions.iter().any(|revision| revision.controller != CONTROLLER)
            }
            Feature::Versions => self.newest() > SCHEMA,
            Feature::Scopes => self.far,
            Feature::Deployed => self.happens(|what| matches!(what, Happening::Deployed { .. })),
        }
    }

    /// What a replica runs with that is deployed with this number.
    pub fn revision(&self, number: usize) -> Revision {
        let other = number.checked_sub(1).and_then(|number| self.revisions.get(number));
        other.cloned().unwrap_or_else(|| Revision::first(&self.rules))
    }

    /// What a replica runs with at that second, or begins to.
    pub fn revision_at(&self, replica: usize, at: u64) -> Revision {
        let mut deployed = self.script.iter().filter_map(|(then, what)| match what {
            Happening::Deployed { replica: of, revision } if *of == replica && *then <= at => {
                Some(*revision)
            }
            _ => None,
        });
        let first = self.replicas.get(replica).map_or(0, |replica| replica.revision);
        let revision = self.revision(deployed.next_back().unwrap_or(first));
        if at < self.calm_at { revision } else { self.at_last(&revision) }
    }

    /// What a replica runs with at last: its policy, with nothing left out, and the newest version.
    pub fn at_last(&self, revision: &Revision) -> Revision {
        let whole =
            if revision.partial { Revision::first(&revision.rules) } else { revision.clone() };
        Revision { schema: self.newest(), ..whole }
    }

    /// The schema of the newest version.
    pub fn newest(&self) -> u32 {
        self.revisions.iter().map(|revision| revision.schema).max().unwrap_or(SCHEMA)
    }

    /// Every policy that is in force at some time.
    pub fn policies(&self) -> impl Iterator<Item = &Rules> {
        std::iter::once(&self.rules).chain(self.revisions.iter().map(|revision| &revision.rules))
    }

    /// Whether something like that happens.
    pub fn happens(&self, what: impl Fn(&Happening) -> bool) -> bool {
        self.script.iter().any(|(_, happening)| what(happening))
    }

    /// A group by its name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, rules, clusters, calm_at, read_lag, index_lag, queue, far, .. } = self;
        writeln!(f, "seed {seed}, calm at {calm_at} s, clusters {clusters:?}")?;
        writeln!(
            f,
            "reads lag {read_lag:?}, index lags {index_lag}, queue {queue:?}, two scopes: {far}\n{rules:?}"
        )?;
        let mut lines = |kind: &str, items: Vec<String>| -> fmt::Result {
            items.iter().try_for_each(|item| writeln!(f, "  {kind} {item}"))
        };
        lines("", self.groups.iter().map(|item| format!("{item:?}")).collect())?;
        lines("", self.services.iter().map(|item| format!("{item:?}")).collect())?;
        lines("", self.tasks.iter().map(|item| format!("{item:?}")).collect())?;
        lines("", self.revisions.iter().map(|item| format!("{item:?}")).collect())?;
        lines("", self.replicas.iter().map(|item| format!("{item:?}")).collect())?;
        lines("at", self.script.iter().map(|(at, what)| format!("{at:>4} s {what:?}")).collect())?;
        lines("", self.faults.iter().map(|item| format!("{item:?}")).collect())
    }
}
