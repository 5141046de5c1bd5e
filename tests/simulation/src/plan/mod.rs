//! A fleet and its events: a plain value that follows from its seed, can be printed, and can be
//! made smaller.

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

/// All about one run. Times are seconds since the scenario began.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// The policy that every replica begins with, unless it has another revision.
    pub rules: Rules,
    /// The revisions that replicas are deployed with later; the first one is number 1, and 0 is the
    /// plan's own.
    pub revisions: Vec<Revision>,
    pub clusters: Vec<String>,
    pub services: Vec<Service>,
    pub tasks: Vec<Task>,
    pub groups: Vec<Group>,
    pub replicas: Vec<Replica>,
    /// The events, with their seconds.
    pub script: Vec<(u64, Happening)>,
    pub faults: Vec<Strike>,
    /// The longest lag of a read while faults last.
    pub read_lag: Option<u64>,
    /// The lag of the table's index, to the end.
    pub index_lag: u64,
    /// The queue for events, and their losses and delays while faults last.
    pub queue: Option<Delivery>,
    /// True if there is a second scope.
    pub far: bool,
    /// True if AWS's published request rates apply.
    pub limits: bool,
    /// The moment at which faults and events stop.
    pub calm_at: u64,
}

/// The one policy of the fleet.
#[derive(Clone, Debug)]
pub struct Rules {
    pub deregister: bool,
    /// The time after which standalone tasks are stopped; `None`: the drain waits for them.
    pub stop_after: Option<u64>,
    /// The deadline, in seconds after a drain's beginning, and its `at_deadline`.
    pub deadline: Option<(u64, &'static str)>,
    pub max_concurrent: &'static str,
    pub max_concurrent_group: &'static str,
    pub max_concurrent_service: &'static str,
    pub hold_lifecycle: bool,
    pub rebalance: &'static str,
    pub poll: u64,
}

/// The configuration and version of a replica.
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
    /// True if it leaves something out that other replicas of this controller have.
    pub partial: bool,
    /// The schema of the records that this version writes.
    pub schema: u32,
}

impl Revision {
    /// Returns a revision with every hook, group and cluster.
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

    /// Returns true if it includes this group and its hook.
    pub fn selects(&self, group: &Group) -> bool {
        let mut hooks = std::iter::once(&group.hook).chain(&group.second_hook);
        hooks.any(|hook| self.hooks.contains(&hook.as_str()))
            && self.groups.as_ref().is_none_or(|groups| groups.contains(&group.name))
    }
}

/// The balancer of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    None,
    /// Instance targets on dynamic ports behind an Application Load Balancer.
    Application,
    /// Targets by address behind a Network Load Balancer, which may send connections for this long
    /// after a deregistration.
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
    /// The time for which its balancer drains a target.
    pub delay: u64,
    /// True if an external controller deploys it: its registrations are in a task set.
    pub external: bool,
}

/// A standalone task.
#[derive(Clone, Debug)]
pub struct Task {
    pub cluster: String,
    pub instance: String,
    /// The time that it works; `None`: until it is stopped.
    pub works: Option<u64>,
    pub stop: u64,
}

#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    /// Its cluster; `None`: its instances join no cluster.
    pub cluster: Option<String>,
    pub instances: Vec<String>,
    /// Its ecs-drain hook.
    pub hook: String,
    pub heartbeat_timeout: u64,
    /// The hook of a second controller, which holds its instances too.
    pub second_hook: Option<String>,
    /// The time for which a hook of another tool holds its instances.
    pub other_hook: Option<u64>,
    pub warm_pool: Option<WarmPool>,
    /// True if the group retains abandoned instances.
    pub retains: bool,
    /// The time for which the group's own balancer drains a target; `None`: it has no balancer.
    pub attached: Option<u64>,
}

impl Group {
    /// Creates a group with one ecs-drain hook and nothing else, whose instances are in the cluster
    /// of its name.
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
    /// The instances in it at the beginning.
    pub rest: Vec<String>,
    /// True if scale-ins return instances to it.
    pub reuse: bool,
}

/// A controller process. The first one never retires.
#[derive(Clone, Debug)]
pub struct Replica {
    pub starts: u64,
    /// The moment at which it is asked to shut down, as by a deployment.
    pub retires: Option<u64>,
    /// The error of its clock, in milliseconds.
    pub skew: i64,
    /// The time between its death and its next start.
    pub restart: u64,
    /// Its first revision.
    pub revision: usize,
}

/// Losses and delays of events on their way to the queue.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    pub lose: f64,
    pub duplicate: f64,
    pub late: u64,
}

/// An event at one moment. An event of an instance that does not exist (any more) does nothing.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A scale-in of this instance.
    Terminate {
        instance: String,
        shrink: bool,
    },
    /// A scale-in of the instance with the same name in the other region.
    LeavesFar {
        instance: String,
        shrink: bool,
    },
    /// A change of the desired capacity: the group chooses the instances.
    Capacity {
        group: String,
        desired: u32,
    },
    Agent {
        instance: String,
        connected: bool,
    },
    /// A return to the warm pool, whatever the group's own rules are.
    ToPool {
        instance: String,
    },
    FromPool {
        instance: String,
    },
    RootVolume {
        instance: String,
    },
    /// A failure of the EC2 instance: everything on it ends at once.
    Dies {
        instance: String,
    },
    /// Someone deletes the group's hook, which ends its open actions, and creates it again later.
    HookDeleted {
        group: String,
    },
    HookPut {
        group: String,
    },
    /// All instances of the group are replaced, with this percentage healthy at any time.
    Refresh {
        group: String,
        healthy: u32,
        warmup: u64,
    },
    RefreshCancelled {
        group: String,
    },
    /// EC2 has no capacity for the group.
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
    /// Spot's warning: the instance ends two minutes later.
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
    /// The service's tasks there are protected from scale-in for this long.
    Protect {
        cluster: String,
        service: String,
        instance: String,
        span: u64,
    },
    /// The agent lost its state, and registers the instance again.
    RegistersAgain {
        cluster: String,
        instance: String,
    },
    RunTask(Task),
    /// Someone stops the standalone tasks that run there.
    StopTasks {
        instance: String,
    },
    /// The controller's process dies.
    Kill {
        replica: usize,
    },
    /// The controller is asked to shut down, and starts again with this revision.
    Deployed {
        replica: usize,
        revision: usize,
    },
    /// The controller's process freezes for this long, and continues with its old knowledge.
    Stop {
        replica: usize,
        span: u64,
        /// `Some`: not at once, but in the middle of its next read of this cluster.
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
    /// The table is restored to its state of this long ago, or to an empty one if that is before
    /// its creation.
    TableRestored {
        back: u64,
    },
    /// Someone else writes the instance's record without changing its content.
    RecordWritten {
        instance: String,
    },
    /// All drains are paused.
    Pause {
        on: bool,
    },
}

impl Happening {
    /// Returns the instance of the event, if it is about one.
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

/// A request by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Drain(Then),
    Cancel,
    Hold,
    Resume,
    /// To this many seconds from then.
    Extend(u64),
    Retry,
    Complete,
}

/// A fault on some calls.
#[derive(Clone, Debug)]
pub struct Strike {
    pub on: On,
    pub fault: Fault,
}

/// The calls that it strikes.
#[derive(Clone, Debug)]
pub enum On {
    /// The n-th call of all.
    Call(u64),
    /// The n-th call of an operation.
    Nth(&'static str, u64),
    /// Every call of an operation in this span.
    Every(&'static str, u64, u64),
    /// Every call to this region in this span, except those to DynamoDB.
    Region(&'static str, u64, u64),
    /// This percentage of an operation's calls, in this span.
    Share(&'static str, u64, u64, u64),
    /// Every listing of tasks with this desired status, in this span.
    Listing(&'static str, u64, u64),
}

/// A feature that only some fleets have.
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

    /// Returns its name, in one word.
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
    /// Returns true if so much happens at once that AWS's rates decide its duration.
    pub fn is_wide(&self) -> bool {
        self.limits && (self.clusters.len() >= wide::WIDE || self.is_crowd())
    }

    fn is_crowd(&self) -> bool {
        self.clusters.iter().any(|cluster| cluster.starts_with(crowd::CLUSTER))
    }

    /// Returns true if it has a feature.
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

    /// Returns the revision with this number.
    pub fn revision(&self, number: usize) -> Revision {
        let other = number.checked_sub(1).and_then(|number| self.revisions.get(number));
        other.cloned().unwrap_or_else(|| Revision::first(&self.rules))
    }

    /// Returns the revision that a replica runs at that second, or starts then.
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

    /// Returns the last revision of a replica: its policy, with nothing left out, and the newest
    /// version.
    pub fn at_last(&self, revision: &Revision) -> Revision {
        let whole =
            if revision.partial { Revision::first(&revision.rules) } else { revision.clone() };
        Revision { schema: self.newest(), ..whole }
    }

    /// Returns the schema of the newest version.
    pub fn newest(&self) -> u32 {
        self.revisions.iter().map(|revision| revision.schema).max().unwrap_or(SCHEMA)
    }

    /// Returns every policy that is in force at some time.
    pub fn policies(&self) -> impl Iterator<Item = &Rules> {
        std::iter::once(&self.rules).chain(self.revisions.iter().map(|revision| &revision.rules))
    }

    /// Returns true if such an event happens.
    pub fn happens(&self, what: impl Fn(&Happening) -> bool) -> bool {
        self.script.iter().any(|(_, happening)| what(happening))
    }

    /// Returns a group by its name.
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
