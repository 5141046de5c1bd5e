//! Is anything left? The one place that says so.

use super::left_of;
use crate::observation::{GroupSight, Observation, Seen, TargetSight, TaskKind, TaskSight};
use crate::policy::{DaemonTasks, DisconnectedAgent, Policy};
use crate::record::{Obligation, Record, Target};
use crate::sightings::AgentLost;
use crate::why::{Left, Span};
use jiff::Timestamp;

/// Said of a container instance that a search found after this pass had looked.
pub(super) const NEW_INSTANCE: &str = "a container instance was found that has not been looked at yet";

/// Why one look does not show everything gone.
#[derive(Debug, PartialEq)]
pub(crate) enum Remains {
    /// Something needed could not be read, or was not looked at yet.
    Unknown(String),
    /// A container instance takes new tasks.
    TakesWork,
    /// Tasks that matter are there.
    Tasks(Left),
    /// Registrations are there.
    Targets(Left),
}

/// Whether everything is gone by one look: container instances first, then tasks, then targets.
///
/// A dead instance excuses the wait for its tasks, whose states are frozen, never the wait for its targets.
pub(crate) fn clear(
    record: &Record,
    seen: &Observation,
    policy: &Policy,
    agent_lost: Option<AgentLost>,
) -> Result<(), Remains> {
    container_instances(record, seen)?;
    tasks(seen, policy, agent_lost)?;
    targets(record, seen)
}

/// Whether no new work can land.
pub(crate) fn container_instances(record: &Record, seen: &Observation) -> Result<(), Remains> {
    match &seen.container_instances {
        Seen::Unknown(why) => Err(Remains::Unknown(why.clone())),
        Seen::Yes(all) if all.len() != record.container_instances.len() || found_another(record, seen) => {
            Err(Remains::Unknown(NEW_INSTANCE.to_owned()))
        }
        Seen::Yes(all) if all.iter().all(|c| c.status.takes_no_work()) => Ok(()),
        Seen::Yes(_) => Err(Remains::TakesWork),
    }
}

/// Whether a search found a container instance that is not in the record yet, so that this pass has not looked at it.
fn found_another(record: &Record, seen: &Observation) -> bool {
    let found = seen.lookup.iter().flat_map(|l| &l.found);
    found.into_iter().any(|f| !record.container_instances.iter().any(|c| c.arn == f.arn))
}

/// Whether no task that matters is left, or the instance is dead.
pub(crate) fn tasks(seen: &Observation, policy: &Policy, agent_lost: Option<AgentLost>) -> Result<(), Remains> {
    if is_dead(seen, policy, agent_lost) {
        return Ok(());
    }
    match &seen.tasks {
        Seen::Unknown(why) => Err(Remains::Unknown(why.clone())),
        Seen::Yes(tasks) => {
            let left: Vec<_> = tasks.iter().filter(|t| matters(t, policy)).map(describe_task).collect();
            if left.is_empty() { Ok(()) } else { Err(Remains::Tasks(left_of(left))) }
        }
    }
}

/// Whether no registration is left.
pub(crate) fn targets(record: &Record, seen: &Observation) -> Result<(), Remains> {
    let (found, targets) = match (&seen.obligations, &seen.targets) {
        (Seen::Unknown(why), _) | (_, Seen::Unknown(why)) => return Err(Remains::Unknown(why.clone())),
        (Seen::Yes(found), Seen::Yes(targets)) => (found, targets),
    };
    let new = found.iter().any(|f| !record.obligations.iter().any(|o| o.is_same(f)));
    if new || targets.len() != record.obligations.len() {
        return Err(Remains::Unknown("a registration was found that has not been looked at yet".to_owned()));
    }
    let left: Vec<_> = record
        .obligations
        .iter()
        .zip(targets)
        .filter(|(obligation, _)| record.waits_for(obligation))
        .filter_map(|(obligation, target)| match target {
            TargetSight::Present { state, draining, .. } => {
                Some(describe_target(obligation, state, *draining, seen.begun_at))
            }
            TargetSight::Gone => None,
        })
        .collect();
    if left.is_empty() { Ok(()) } else { Err(Remains::Targets(left_of(left))) }
}

/// `i-1 in target group web is draining, at most 140 s left`.
pub(super) fn describe_target(obligation: &Obligation, state: &str, draining: bool, now: Timestamp) -> String {
    match obligation.drained_by().filter(|_| draining) {
        Some(by) if by > now => {
            let left = by.duration_since(now).unsigned_abs();
            format!("{obligation} is {state}, at most {} left", Span(left))
        }
        Some(by) => format!("{obligation} is {state}, past its delay since {by:.0}"),
        None => format!("{obligation} is {state}"),
    }
}

/// Whether a task holds its instance's drain up. Every task that was handed in is not `STOPPED`: `DEACTIVATING`,
/// `STOPPING` and `DEPROVISIONING` count, although ECS's own counters leave them out.
pub fn matters(task: &TaskSight, policy: &Policy) -> bool {
    match (&task.kind, policy.daemon_tasks) {
        (TaskKind::Daemon(_), DaemonTasks::Ignore) => false,
        (TaskKind::Daemon(_), DaemonTasks::Wait) | (TaskKind::Replica(_) | TaskKind::Standalone, _) => true,
    }
}

pub(crate) fn is_present(target: &TargetSight) -> bool {
    matches!(target, TargetSight::Present { .. })
}

pub(crate) fn describe_task(task: &TaskSight) -> String {
    let of = match &task.kind {
        TaskKind::Replica(service) | TaskKind::Daemon(service) => format!("of service {service}"),
        TaskKind::Standalone => "of no service".to_owned(),
    };
    let protected =
        task.protected_until.map(|until| format!(", protected from scale-in until {until:.0}")).unwrap_or_default();
    format!("task {} {of} is {}{protected}", task.id(), task.last_status)
}

/// Whether the instance's tasks are excused: its agent has been disconnected for longer than the grace, so that their
/// states are frozen, *and*, unless the policy does without, the group calls it unhealthy or a balancer has said
/// meanwhile that it does not run. (Source: ECS leaves tasks `RUNNING` for ever when an agent is gone.)
fn is_dead(seen: &Observation, policy: &Policy, agent_lost: Option<AgentLost>) -> bool {
    let Some(lost) = agent_lost.filter(|lost| seen.ended >= lost.since + policy.agent_grace) else { return false };
    let unhealthy = matches!(seen.group, Seen::Yes(GroupSight::Member { healthy: false, .. }));
    match policy.disconnected_agent {
        DisconnectedAgent::Wait => false,
        DisconnectedAgent::ExcuseDead => lost.stopped || unhealthy,
        DisconnectedAgent::Excuse => true,
    }
}

/// Whether a balancer says that the instance is stopped or terminated (`Target.InvalidState`).
pub(crate) fn is_stopped(record: &Record, seen: &Observation) -> bool {
    seen.targets.known().into_iter().flatten().zip(&record.obligations).any(|(target, obligation)| {
        matches!(target, TargetSight::Present { instance_dead: true, .. })
            && matches!(obligation.target, Target::Instance(_))
    })
}
