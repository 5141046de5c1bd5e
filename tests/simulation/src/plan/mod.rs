//! What a fleet is and what happens to it: a plain value that follows from its seed, can be printed, and can be made
//! smaller.

mod dice;
mod plot;
mod script;
mod stage;
mod wide;

pub use dice::{can_move, plan};

use aws_simulator::Fault;
use ecs_drain_state::Then;
use std::fmt;

/// Everything about one run. Times are seconds since the scenario began.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub rules: Rules,
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

/// Where a service's tasks are registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    None,
    /// Instance targets on dynamic ports behind an application load balancer.
    Application,
    /// Targets by address behind a network load balancer, which may send connections for so long afterwards.
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

/// A task of no service.
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
    /// Another's hook holds its instances for so long.
    pub other_hook: Option<u64>,
    pub warm_pool: Option<WarmPool>,
    /// What is abandoned is kept for a look.
    pub retains: bool,
    /// A balancer sends traffic to the instances themselves, and drains a target for so long.
    pub attached: Option<u64>,
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
    /// Someone stops the tasks of no service that run there.
    StopTasks {
        instance: String,
    },
    /// The controller dies.
    Kill {
        replica: usize,
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
            Self::Capacity { .. }
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
            | Self::Stop { .. }
            | Self::ClockJumps { .. }
            | Self::TableAway { .. }
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
    /// So many in a hundred of an operation, in this span.
    Share(&'static str, u64, u64, u64),
    /// Every listing of tasks that ECS wants in this state, in this span.
    Listing(&'static str, u64, u64),
}

impl Plan {
    /// Whether so much happens at once that AWS's rates are what decides how long it takes.
    pub fn is_wide(&self) -> bool {
        self.limits && self.clusters.len() >= wide::WIDE
    }

    /// A group by its name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, rules, clusters, calm_at, read_lag, index_lag, queue, .. } = self;
        writeln!(f, "seed {seed}, calm at {calm_at} s, clusters {clusters:?}")?;
        writeln!(f, "reads lag {read_lag:?}, index lags {index_lag}, queue {queue:?}\n{rules:?}")?;
        let mut lines = |kind: &str, items: Vec<String>| -> fmt::Result {
            items.iter().try_for_each(|item| writeln!(f, "  {kind} {item}"))
        };
        lines("", self.groups.iter().map(|item| format!("{item:?}")).collect())?;
        lines("", self.services.iter().map(|item| format!("{item:?}")).collect())?;
        lines("", self.tasks.iter().map(|item| format!("{item:?}")).collect())?;
        lines("", self.replicas.iter().map(|item| format!("{item:?}")).collect())?;
        lines("at", self.script.iter().map(|(at, what)| format!("{at:>4} s {what:?}")).collect())?;
        lines("", self.faults.iter().map(|item| format!("{item:?}")).collect())
    }
}
