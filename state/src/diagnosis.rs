//! The causes that keep a drain from moving, in words that a person can act on.
//!
//! A drain waits for ECS to replace tasks, for containers to end, and for balancers to drain. When
//! it has made no progress for a while, the controller reads once everything that can keep those
//! from happening ([`Facts`]), and [`diagnose`] finds the causes. A diagnosis is only shown; no
//! decision rests on it.
//!
//! Nothing is concluded from missing facts. An instance whose free memory is not known is never
//! "without room"; an expression that is not certainly understood is shown and not judged; a call
//! that failed is a cause of its own.
//!
//! | file | content |
//! | --- | --- |
//! | `facts.rs` | the facts of a diagnosis |
//! | `cause.rs`, `words.rs` | the causes and their words |
//! | `fix.rs` | the calls that end them |
//! | `service.rs` | the replacement of a service's tasks: percentages, placement, events |
//! | `rollout.rs` | deployments that keep a service's old tasks |
//! | `expression.rs` | the cluster query language, as far as it can be judged |
//! | `events.rs` | ECS's own service events |

mod cause;
pub(crate) mod events;
mod expression;
mod facts;
mod fix;
pub(crate) mod rollout;
pub(crate) mod service;
mod words;

#[cfg(test)]
mod tests;

pub use cause::{Cause, Lack, Looked, Tasks};
pub use facts::{
    Constraint, Controller, DeploymentFacts, EventFacts, Facts, HookTimeout, InstanceFacts, Need,
    Others, PauseFacts, Port, Protection, RolloutFacts, ServiceFacts, ServiceKey, TargetFacts,
    TaskFacts,
};
pub use fix::Fix;
pub use service::can_never_replace;

use crate::policy::{DaemonTasks, StandaloneTasks};
use crate::record::later;
use crate::sight::TaskKind;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// The agent's `ECS_CONTAINER_STOP_TIMEOUT`, unless set, seconds. (Source: ECS API reference,
/// StopTask.)
pub(crate) const STOP_TIMEOUT: u32 = 30;

/// Time beyond the allowed time before a task's end is overdue, for the steps in between.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// Returns every known cause that keeps the drain from moving, the most decisive first.
pub fn diagnose(facts: &Facts, now: Timestamp) -> Vec<Cause> {
    let mut causes = Vec::new();
    causes.extend(facts.agent_lost_since.map(|since| Cause::AgentDisconnected { since }));
    causes.extend(of_services(facts, now));
    causes.extend(protected(facts, now));
    causes.extend(standalone(facts));
    causes.extend(stopping(facts, now));
    causes.extend(facts.targets.iter().filter_map(|target| of_target(facts, target, now)));
    causes.extend(daemons(facts));
    if !facts.throttled.is_empty() {
        causes.push(Cause::Throttled { calls: facts.throttled.iter().cloned().collect() });
    }
    let unreadable = facts.unreadable.iter();
    causes.extend(
        unreadable.map(|(action, error)| Cause::Unreadable {
            action: action.clone(),
            error: error.clone(),
        }),
    );
    causes.sort_by_key(|cause| Cause::NAMES.iter().position(|name| *name == cause.name()));
    causes.dedup();
    causes
}

/// Returns the causes that keep replica tasks which ECS has not begun to stop.
fn of_services(facts: &Facts, now: Timestamp) -> Vec<Cause> {
    let staying = tasks(facts).iter().filter(|task| !task.stopping);
    let names = staying.filter_map(|task| match &task.kind {
        TaskKind::Replica(name) => Some((task.cluster.clone(), name.clone())),
        TaskKind::Daemon(_) | TaskKind::Standalone => None,
    });
    let keys: BTreeSet<ServiceKey> = names.collect();
    let known = keys.into_iter().filter_map(|key| Some((facts.services.get(&key)?, key)));
    known
        .flat_map(|(service, (cluster, name))| {
            service::causes(&name, &cluster, service, facts.others.get(&cluster), now)
        })
        .collect()
}

/// Returns the tasks that are known to be left.
fn tasks(facts: &Facts) -> &[TaskFacts] {
    facts.tasks.as_deref().unwrap_or_default()
}

/// Returns the first of some tasks, and the number of the others.
pub(crate) fn named(tasks: &[&TaskFacts]) -> Option<Tasks> {
    let (first, rest) = tasks.split_first()?;
    let service = match &first.kind {
        TaskKind::Replica(name) | TaskKind::Daemon(name) => Some(name.clone()),
        TaskKind::Standalone => None,
    };
    let cluster = first.cluster.clone();
    Some(Tasks { cluster, first: first.id.clone(), service, more: rest.len() })
}

/// Returns the cause of tasks under protection. Expired protection does not count.
fn protected(facts: &Facts, now: Timestamp) -> Option<Cause> {
    let until = |task: &TaskFacts| match task.protection {
        Protection::On { until } if !task.stopping && until.is_none_or(|until| until > now) => {
            Some(until)
        }
        Protection::On { .. } | Protection::Off | Protection::Unknown => None,
    };
    let mut found: Vec<(&TaskFacts, Option<Timestamp>)> =
        tasks(facts).iter().filter_map(|task| Some((task, until(task)?))).collect();
    // The protection that ends last comes first; protection without an end is the last of all.
    found.sort_by_key(|(_, until)| std::cmp::Reverse(until.unwrap_or(Timestamp::MAX)));
    let longest = found.first()?.1;
    let tasks: Vec<&TaskFacts> = found.into_iter().map(|(task, _)| task).collect();
    Some(Cause::ProtectedTask { tasks: named(&tasks)?, until: longest })
}

fn standalone(facts: &Facts) -> Option<Cause> {
    let tasks: Vec<&TaskFacts> =
        tasks(facts).iter().filter(|t| !t.stopping && t.kind == TaskKind::Standalone).collect();
    let stop_after = match facts.standalone_tasks {
        StandaloneTasks::Wait => None,
        StandaloneTasks::StopAfter(grace) => Some(grace),
    };
    Some(Cause::StandaloneTask { tasks: named(&tasks)?, stop_after })
}

/// Returns the cause of daemon tasks. They hold a drain up only if the policy says so.
fn daemons(facts: &Facts) -> Option<Cause> {
    let is_daemon = |task: &&TaskFacts| !task.stopping && matches!(task.kind, TaskKind::Daemon(_));
    let tasks: Vec<&TaskFacts> = match facts.daemon_tasks {
        DaemonTasks::Wait => tasks(facts).iter().filter(is_daemon).collect(),
        DaemonTasks::Ignore => Vec::new(),
    };
    Some(Cause::DaemonTask { tasks: named(&tasks)? })
}

/// Returns whether the task holds the drain up at all.
fn matters(facts: &Facts, task: &TaskFacts) -> bool {
    match (&task.kind, facts.daemon_tasks) {
        (TaskKind::Daemon(_), DaemonTasks::Ignore) => false,
        (TaskKind::Daemon(_), DaemonTasks::Wait)
        | (TaskKind::Replica(_) | TaskKind::Standalone, _) => true,
    }
}

/// Returns the cause of tasks that are stopping, by the one that began to stop first.
fn stopping(facts: &Facts, now: Timestamp) -> Option<Cause> {
    let mut tasks: Vec<&TaskFacts> =
        tasks(facts).iter().filter(|t| t.stopping && matters(facts, t)).collect();
    tasks.sort_by_key(|task| task.stopping_at.unwrap_or(Timestamp::MAX));
    let first = tasks.first()?;
    let (since, stop_timeout_seconds) = (first.stopping_at, first.stop_timeout_seconds);
    let delay_seconds = facts.delay_seconds;
    let allowed = delay_seconds.map(|delay| {
        let seconds = i64::from(delay) + i64::from(stop_timeout_seconds.unwrap_or(STOP_TIMEOUT));
        SignedDuration::from_secs(seconds) + MARGIN
    });
    let overdue = since.zip(allowed).is_some_and(|(since, allowed)| now > later(since, allowed));
    let status = first.last_status.clone();
    Some(Cause::StoppingLong {
        tasks: named(&tasks)?,
        status,
        since,
        delay_seconds,
        stop_timeout_seconds,
        overdue,
    })
}

fn of_target(facts: &Facts, target: &TargetFacts, now: Timestamp) -> Option<Cause> {
    let name = target.name.clone();
    if target.draining {
        let (delay_seconds, since) = (target.delay_seconds, target.draining_since);
        let overdue = since.zip(delay_seconds).is_some_and(|(since, delay)| {
            now > later(since, SignedDuration::from_secs(i64::from(delay)) + MARGIN)
        });
        return Some(Cause::TargetDelay { target: name, delay_seconds, since, overdue });
    }
    // ECS deregisters the targets of its tasks when it stops them.
    let no_task_left =
        facts.tasks.as_ref().is_some_and(|tasks| !tasks.iter().any(|task| matters(facts, task)));
    no_task_left.then(|| Cause::TargetStays { target: name, state: events::foreign(&target.state) })
}
