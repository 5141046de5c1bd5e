//! An operator's settings for the drains of a cluster or group. They were validated, so every value
//! is usable.

use crate::record::Strategy;
use crate::windows::Window;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The rules for one drain.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Method by which an instance is taken out of service.
    pub strategy: Strategy,
    /// Treatment of daemon services' tasks.
    pub daemon_tasks: DaemonTasks,
    /// Treatment of standalone tasks.
    pub standalone_tasks: StandaloneTasks,
    /// Treatment of an instance that is in no cluster.
    pub not_in_cluster: NotInCluster,
    /// Time for which searches, one after the other, must have found an instance in no cluster
    /// before it is released.
    pub not_in_cluster_after: Duration,
    /// Longest time that a drain may take. `None`: as long as the hook allows.
    pub deadline: Option<Duration>,
    /// Action at the deadline.
    pub at_deadline: AtDeadline,
    /// Longest time by which a read may lag behind the truth.
    pub read_lag: Duration,
    /// Shortest time between the two reads that show a target gone.
    pub looks_apart: Duration,
    /// Time without progress after which a drain is stuck.
    pub stuck_after: Duration,
    /// Time for which an agent must be disconnected before its tasks can be excused.
    pub agent_grace: Duration,
    /// Treatment of tasks whose agent is disconnected.
    pub disconnected_agent: DisconnectedAgent,
    /// Time after a network load balancer's target was first seen to leave during which it may
    /// still get new connections.
    pub network_settle: Duration,
    /// Number of a cluster's container instances that drain at once.
    pub max_concurrent: Concurrency,
    /// Number of an Auto Scaling group's instances that drain at once. `None`: no limit.
    pub max_concurrent_group: Option<Concurrency>,
    /// Number of a service's tasks that drain at once. `None`: no limit.
    pub max_concurrent_service: Option<Concurrency>,
    /// True if a drain begins only while every service with tasks on the instance runs its desired
    /// count, and no deployment of it is in progress.
    pub require_steady: bool,
    /// True if a drain begins only while no service with tasks on the instance is tagged
    /// `ecs-drain:do-not-disrupt`.
    pub service_tags: bool,
    /// True if drains of lifecycle actions wait for the budgets as an operator's do.
    pub hold_lifecycle: bool,
    /// Action after a rebalance recommendation.
    pub rebalance: Rebalance,
    /// Time before the hook's global timeout at which a drain whose reads are incomplete does what
    /// `at_deadline` says.
    pub blind_margin: Duration,
    /// Time until the next read after a request to ECS.
    pub poll: Duration,
    /// Time for which a finished record is kept.
    pub keep_finished: Duration,
    /// Times in which drains of some reasons do not begin.
    pub closed: Vec<Arc<Window>>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            strategy: Strategy::Drain,
            daemon_tasks: DaemonTasks::Ignore,
            standalone_tasks: StandaloneTasks::Wait,
            not_in_cluster: NotInCluster::Complete,
            not_in_cluster_after: Duration::from_secs(10 * 60),
            deadline: None,
            at_deadline: AtDeadline::Hold,
            read_lag: Duration::from_secs(60),
            looks_apart: Duration::from_secs(10),
            stuck_after: Duration::from_secs(15 * 60),
            agent_grace: Duration::from_secs(10 * 60),
            disconnected_agent: DisconnectedAgent::ExcuseDead,
            network_settle: Duration::from_secs(120),
            max_concurrent: Concurrency::Count(1),
            max_concurrent_group: None,
            max_concurrent_service: None,
            require_steady: false,
            service_tags: false,
            hold_lifecycle: false,
            rebalance: Rebalance::Ignore,
            blind_margin: Duration::from_secs(5 * 60),
            poll: Duration::from_secs(5),
            keep_finished: Duration::from_secs(7 * 24 * 3600),
            closed: Vec::new(),
        }
    }
}

/// Treatment of daemon services' tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DaemonTasks {
    /// They do not hold up the drain, and run until the instance ends.
    #[default]
    Ignore,
    /// They are waited for like any other.
    Wait,
}

/// Treatment of standalone tasks, which `DRAINING` does not stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StandaloneTasks {
    /// They are waited for, however long they run.
    #[default]
    Wait,
    /// They are stopped once the drain has waited for them this long.
    StopAfter(Duration),
}

/// Treatment of an instance that is in no cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotInCluster {
    /// Its lifecycle action is completed with `CONTINUE`.
    #[default]
    Complete,
    /// It is held until its hook's limit.
    Hold,
}

/// Action when the deadline has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtDeadline {
    /// The instance is released (`CONTINUE`, outcome `TimedOut`).
    Continue,
    /// The wait is abandoned (`ABANDON`, outcome `Abandoned`).
    Abandon,
    /// It is still held and reported, until the hook's own limit decides.
    #[default]
    Hold,
}

/// Treatment of tasks whose agent has been disconnected for longer than the grace. Their states are
/// frozen, because nothing reports them any more. (Their targets are waited for in any case.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DisconnectedAgent {
    /// They are waited for until the agent is back, or the deadline or the hook's limit decides.
    Wait,
    /// They are excused once something other than ECS reports the instance dead: its group that it
    /// is unhealthy, or a balancer that it does not run.
    #[default]
    ExcuseDead,
    /// They are excused, although the instance may be alive and its containers running.
    Excuse,
}

/// Number of things that may drain at once: instances of a cluster or a group, or tasks of a
/// service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// A fixed number, at least one.
    Count(u32),
    /// A percentage of all, rounded down, at least one.
    Percent(u32),
}

impl Concurrency {
    /// Returns the number if there are `all` of them.
    pub fn of(self, all: u32) -> u32 {
        match self {
            Concurrency::Count(n) => n.max(1),
            Concurrency::Percent(percent) => {
                let part = u64::from(all) * u64::from(percent) / 100;
                u32::try_from(part).unwrap_or(u32::MAX).max(1)
            }
        }
    }
}

/// Action after a rebalance recommendation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rebalance {
    /// Nothing: Auto Scaling's own capacity rebalancing comes with a lifecycle action.
    #[default]
    Ignore,
    /// Drains the instance; then its group terminates and replaces it.
    Terminate,
    /// Drains the instance, which stays.
    Keep,
}
