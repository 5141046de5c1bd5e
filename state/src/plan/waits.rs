//! Each instance: its own tasks and targets.

use super::facts::{Leaving, Snapshot};
use super::moves::Judged;
use super::{Doubt, InstancePlan, PROOF};
use crate::budget::DoNotDisrupt;
use crate::diagnosis::{
    Cause, Protection, STOP_TIMEOUT, ServiceKey, TargetFacts, TaskFacts, Tasks, events, named,
    rollout,
};
use crate::policy::{DaemonTasks, StandaloneTasks};
use crate::record::Then;
use crate::sight::TaskKind;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Deregistration delay of a load balancer that reports none, seconds. (Source: ELBv2 API
/// reference, TargetGroupAttribute: 300 by default.)
const DELAY: u32 = 300;

/// An obstacle that ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// Tasks are protected from scale-in. The program in them can renew that.
    Protected {
        /// The tasks.
        tasks: Tasks,
        /// End of the longest protection.
        until: Timestamp,
    },
    /// A service whose owner has tagged it `ecs-drain:do-not-disrupt`: the drain begins at the end.
    DoNotDisrupt {
        /// Name of the service.
        service: String,
        /// End of the tag.
        until: Timestamp,
    },
    /// Standalone tasks, which ecs-drain stops.
    Standalone {
        /// The tasks.
        tasks: Tasks,
        /// The policy's grace.
        stop_after: Duration,
    },
    /// Tasks of daemon services, which ECS stops last.
    Daemon {
        /// The tasks.
        tasks: Tasks,
    },
    /// Tasks that are stopping already.
    Stopping {
        /// The tasks.
        tasks: Tasks,
    },
    /// A target that is deregistered.
    Target {
        /// Description of the target.
        target: String,
        /// Deregistration delay, seconds. `None` if it is not known.
        delay_seconds: Option<u32>,
    },
}

/// Judges one container instance, and adds that to its EC2 instance.
pub(super) fn judge(
    snapshot: &Snapshot,
    leaving: &Leaving,
    services: &BTreeMap<ServiceKey, Judged>,
    then: Then,
    now: Timestamp,
    one: &mut InstancePlan,
) {
    if let Some(cluster) = snapshot.clusters.get(&leaving.cluster) {
        if !cluster.throttled.is_empty() {
            let calls = cluster.throttled.iter().cloned().collect();
            one.causes.push(Cause::Throttled { calls });
        }
        one.causes.extend(cluster.unreadable.iter().map(|(action, error)| Cause::Unreadable {
            action: action.clone(),
            error: error.clone(),
        }));
    }
    if leaving.group.is_none() {
        one.doubts.push(Doubt::GroupUnread);
    }
    let mut takes = Duration::ZERO;
    match &leaving.tasks {
        None => one.doubts.push(Doubt::TasksUnread),
        Some(tasks) => {
            let matter = |task: &&TaskFacts| match (&task.kind, leaving.policy.daemon_tasks) {
                (TaskKind::Daemon(_), DaemonTasks::Ignore) => false,
                (TaskKind::Daemon(_), DaemonTasks::Wait)
                | (TaskKind::Replica(_) | TaskKind::Standalone, _) => true,
            };
            let tasks: Vec<&TaskFacts> = tasks.iter().filter(matter).collect();
            *one.tasks.get_or_insert_default() += tasks.len();
            // Without its agent ECS sees no task end.
            if !leaving.agent_connected && !tasks.is_empty() {
                one.causes.push(Cause::AgentDisconnected { since: now });
            }
            takes += of_tasks(snapshot, leaving, &tasks, services, now, one);
        }
    }
    takes += of_targets(leaving, then, one);
    takes += leaving.policy.read_lag + PROOF;
    one.takes = one.takes.max(takes);
}

/// Judges the tasks of an instance, and returns the time that they take.
fn of_tasks(
    snapshot: &Snapshot,
    leaving: &Leaving,
    tasks: &[&TaskFacts],
    services: &BTreeMap<ServiceKey, Judged>,
    now: Timestamp,
    one: &mut InstancePlan,
) -> Duration {
    let of = |which: fn(&TaskKind) -> bool| -> Vec<&TaskFacts> {
        tasks.iter().copied().filter(|task| !task.stopping && which(&task.kind)).collect()
    };
    let replicas = of(|kind| matches!(kind, TaskKind::Replica(_)));
    let names: BTreeSet<ServiceKey> = replicas
        .iter()
        .filter_map(|task| match &task.kind {
            TaskKind::Replica(name) => Some((task.cluster.clone(), name.clone())),
            TaskKind::Daemon(_) | TaskKind::Standalone => None,
        })
        .collect();
    let mut takes = Duration::ZERO;
    for judged in names.iter().filter_map(|key| services.get(key)) {
        one.causes.extend(judged.causes.iter().cloned());
        one.doubts.extend(judged.doubts.iter().cloned());
    }
    if leaving.policy.service_tags {
        takes += kept(snapshot, &names, now, one);
    }
    let mut first = protected(&replicas, now, one);
    if let Some(tasks) = named(&of(|kind| *kind == TaskKind::Standalone)) {
        match leaving.policy.standalone_tasks {
            StandaloneTasks::Wait => {
                one.causes.push(Cause::StandaloneTask { tasks, stop_after: None });
            }
            StandaloneTasks::StopAfter(stop_after) => {
                first = first.max(stop_after);
                one.waits.push(Wait::Standalone { tasks, stop_after });
            }
        }
    }
    let daemons = of(|kind| matches!(kind, TaskKind::Daemon(_)));
    for task in &daemons {
        let TaskKind::Daemon(name) = &task.kind else { continue };
        let facts = snapshot.clusters.get(&task.cluster).and_then(|c| c.services.get(name));
        match facts {
            None => one.doubts.push(Doubt::ServiceUnread { service: name.clone() }),
            Some(service) => {
                one.causes.extend(rollout::cause(name, service));
                let complaint = events::complaint(&service.events, now);
                one.causes.extend(complaint.map(|(what, event)| events::cause(name, what, event)));
            }
        }
    }
    one.waits.extend(named(&daemons).map(|tasks| Wait::Daemon { tasks }));
    let stopping: Vec<&TaskFacts> = tasks.iter().copied().filter(|task| task.stopping).collect();
    one.waits.extend(named(&stopping).map(|tasks| Wait::Stopping { tasks }));
    let stop = tasks.iter().map(|task| task.stop_timeout_seconds.unwrap_or(STOP_TIMEOUT)).max();
    takes + first + seconds(stop.unwrap_or_default())
}

/// Judges services whose owners keep them where they are, and returns the time until the last of
/// them may move.
fn kept(
    snapshot: &Snapshot,
    names: &BTreeSet<ServiceKey>,
    now: Timestamp,
    one: &mut InstancePlan,
) -> Duration {
    let mut longest = Duration::ZERO;
    for (cluster, name) in names {
        let tag = snapshot.clusters.get(cluster).and_then(|facts| facts.kept.get(name));
        match tag.filter(|kept| kept.holds(now)) {
            None => {}
            Some(DoNotDisrupt::Always) => {
                one.doubts.push(Doubt::DoNotDisrupt { service: name.clone() });
            }
            Some(DoNotDisrupt::Until(until)) => {
                let span: SignedDuration = until.duration_since(now);
                longest = longest.max(Duration::try_from(span).unwrap_or_default());
                one.waits.push(Wait::DoNotDisrupt { service: name.clone(), until: *until });
            }
        }
    }
    longest
}

/// Judges protection from scale-in, and returns the time until the last one ends.
fn protected(tasks: &[&TaskFacts], now: Timestamp, one: &mut InstancePlan) -> Duration {
    let unread: Vec<&TaskFacts> =
        tasks.iter().copied().filter(|task| task.protection == Protection::Unknown).collect();
    one.doubts.extend(named(&unread).map(|tasks| Doubt::ProtectionUnread { tasks }));
    let forever = |task: &&&TaskFacts| task.protection == Protection::On { until: None };
    let endless: Vec<&TaskFacts> = tasks.iter().filter(forever).copied().collect();
    let endless = named(&endless);
    one.causes.extend(endless.map(|tasks| Cause::ProtectedTask { tasks, until: None }));
    let mut ending: Vec<(Timestamp, &TaskFacts)> = tasks
        .iter()
        .filter_map(|task| match task.protection {
            Protection::On { until: Some(until) } if until > now => Some((until, *task)),
            Protection::On { .. } | Protection::Off | Protection::Unknown => None,
        })
        .collect();
    ending.sort_by_key(|(until, _)| std::cmp::Reverse(*until));
    let Some(until) = ending.first().map(|(until, _)| *until) else { return Duration::ZERO };
    let tasks: Vec<&TaskFacts> = ending.into_iter().map(|(_, task)| task).collect();
    one.waits.extend(named(&tasks).map(|tasks| Wait::Protected { tasks, until }));
    let span: SignedDuration = until.duration_since(now);
    Duration::try_from(span).unwrap_or_default()
}

/// Judges the targets of an instance, and returns the longest deregistration delay.
fn of_targets(leaving: &Leaving, then: Then, one: &mut InstancePlan) -> Duration {
    // The group deregisters its own targets when it terminates the instance.
    let kept = matches!(then, Then::Keep | Then::Leave);
    let of_group = leaving.of_group.iter().filter(|_| kept);
    let stays = |target: &TargetFacts| Cause::TargetStays {
        target: target.name.clone(),
        state: events::foreign(&target.state),
    };
    one.causes.extend(leaving.strays.iter().chain(of_group).map(stays));
    for balancer in &leaving.unread_balancers {
        one.doubts.push(Doubt::TargetsUnread { balancer: balancer.clone() });
    }
    let waits = leaving.targets.iter().map(|target| Wait::Target {
        target: target.name.clone(),
        delay_seconds: target.delay_seconds,
    });
    one.waits.extend(waits);
    let delay = |target: &TargetFacts| target.delay_seconds.unwrap_or(DELAY);
    seconds(leaving.targets.iter().map(delay).max().unwrap_or_default())
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}
