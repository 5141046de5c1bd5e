//! What an operator has chosen for the drains of a cluster or group, validated: it cannot be wrong.

use crate::record::Strategy;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The rules for one drain.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How instances are taken out of service.
    pub strategy: Strategy,
    /// Whether tasks of daemon services hold a drain up.
    pub daemon_tasks: DaemonTasks,
    /// What happens to standalone tasks.
    pub standalone_tasks: StandaloneTasks,
    /// What happens to an instance that is in no cluster.
    pub not_in_cluster: NotInCluster,
    /// How long searches, one after the other, must have found an instance in no cluster before
    /// that is done.
    pub not_in_cluster_after: Duration,
    /// How long a drain may take. None: as long as the hook allows.
    pub deadline: Option<Duration>,
    /// What happens at the deadline.
    pub at_deadline: AtDeadline,
    /// The longest that a read may lag behind the truth.
    pub read_lag: Duration,
    /// How far apart the two reads are, at least, that show a target gone.
    pub looks_apart: Duration,
    /// How long a drain may stand still before it is called stuck.
    pub stuck_after: Duration,
    /// How long an agent may be disconnected before its tasks can be excused.
    pub agent_grace: Duration,
    /// Whether the tasks of an instance whose agent is disconnected are waited for.
    pub disconnected_agent: DisconnectedAgent,
    /// How long after a network load balancer's target was first seen to leave it may still be sent
    /// new connections.
    pub network_settle: Duration,
    /// How many drains that no lifecycle action asked for (an operator's, a rebalance's) go on at
    /// once in a cluster.
    pub max_concurrent: Concurrency,
    /// How many of a lifecycle action's drains go on at once in a cluster. None: as many as there
    /// are.
    pub max_concurrent_lifecycle: Option<Concurrency>,
    /// What a rebalance recommendation does.
    pub rebalance: Rebalance,
    /// How long before the hook's global limit a blind drain does what `at_deadline` says.
    pub blind_margin: Duration,
    /// How soon to look again at what was just asked of ECS.
    pub poll: Duration,
    /// How long a finished record is kept.
    pub keep_finished: Duration,
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
            max_concurrent_lifecycle: None,
            rebalance: Rebalance::Ignore,
            blind_margin: Duration::from_secs(5 * 60),
            poll: Duration::from_secs(5),
            keep_finished: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// Whether tasks of daemon services hold a drain up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DaemonTasks {
    /// They run until the instance ends.
    #[default]
    Ignore,
    /// They are waited for like any other.
    Wait,
}

/// What happens to standalone tasks, which `DRAINING` does not touch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StandaloneTasks {
    /// They are waited for, however long they run.
    #[default]
    Wait,
    /// They are stopped once the drain has waited for them this long.
    StopAfter(Duration),
}

/// What happens to an instance that is in no cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotInCluster {
    /// Its lifecycle action is completed with `CONTINUE`.
    #[default]
    Complete,
    /// It is held until its hook's limit.
    Hold,
}

/// What happens when the deadline has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtDeadline {
    /// The instance is let go (`CONTINUE`, outcome `TimedOut`).
    Continue,
    /// The wait is abandoned (`ABANDON`, outcome `Abandoned`).
    Abandon,
    /// It is held on and reported, until the hook's own limit decides.
    #[default]
    Hold,
}

/// Whether the tasks of an instance whose agent has been disconnected for longer than the grace are
/// waited for. Their states are frozen: nothing reports them any more. (Its load balancers are
/// waited for in any case.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DisconnectedAgent {
    /// They are waited for until the agent is back, or the deadline or the hook's limit decides.
    Wait,
    /// They are excused once something else than ECS calls the instance dead: its group says that
    /// it is unhealthy, or a balancer that it does not run.
    #[default]
    ExcuseDead,
    /// They are excused, although the instance may be alive and its containers running.
    Excuse,
}

/// How many container instances of a cluster may drain at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// So many, at least one.
    Count(u32),
    /// So many percent of the cluster's container instances, rounded down, at least one.
    Percent(u32),
}

impl Concurrency {
    /// How many that is in a cluster of this size.
    pub fn of(self, registered: u32) -> u32 {
        match self {
            Concurrency::Count(n) => n.max(1),
            Concurrency::Percent(percent) => {
                let part = u64::from(registered) * u64::from(percent) / 100;
                u32::try_from(part).unwrap_or(u32::MAX).max(1)
            }
        }
    }
}

/// What a rebalance recommendation does.
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
