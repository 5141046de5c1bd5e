//! The check whether anything is left, in one place.

use super::left_of;
use crate::facts::{Facts, Kind, TargetFacts, matters};
use crate::policy::Policy;
use crate::record::{Obligation, Record};
use crate::sight::{TargetSight, TaskKind, TaskSight, id};
use crate::time::{Mono, Now};
use crate::why::{Left, PAST, UNTIL};
use jiff::Timestamp;
use std::time::Duration;

/// Age of the last status after which a failed read makes it unknown, so that the drain waits.
const STALE: Duration = Duration::from_secs(90);

/// End of the reason for something that was found and not read yet.
pub(crate) const NOT_YET: &str = "has not been read yet";

/// Reason why the drain is not clear.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Remains {
    /// Something needed could not be read, or was not read yet.
    Unknown(String),
    /// A container instance takes new tasks.
    TakesWork,
    /// Tasks that matter are left.
    Tasks(Left),
    /// Targets are left.
    Targets(Left),
}

/// Checks by the last reads that everything is gone: container instances first, then tasks, then
/// targets.
///
/// The tasks of a dead instance are excused, because their states are frozen. Its targets never
/// are.
pub(crate) fn clear(
    record: &Record,
    facts: &Facts,
    policy: &Policy,
    now: Now,
) -> Result<(), Remains> {
    container_instances(record, facts, now.mono)?;
    tasks(facts, policy, now.mono)?;
    targets(record, facts, now.wall)
}

/// Checks that no container instance takes new tasks.
pub(crate) fn container_instances(
    record: &Record,
    facts: &Facts,
    now: Mono,
) -> Result<(), Remains> {
    if !facts.search.found.is_empty() {
        return Err(Remains::Unknown(format!("a container instance was found that {NOT_YET}")));
    }
    if let Some(why) = left_out(facts) {
        return Err(Remains::Unknown(why));
    }
    for mine in &record.container_instances {
        let Some((read, sight)) = facts.of(&mine.arn).and_then(|one| one.sight.as_ref()) else {
            return Err(not_read(facts, Kind::Status, "a container instance"));
        };
        if now.since(read.ended) > STALE
            && let Some((at, why)) = facts.trouble.get(&Kind::Status)
            && *at > read.ended
        {
            return Err(Remains::Unknown(why.clone()));
        }
        if !sight.status.takes_no_work() {
            return Err(Remains::TakesWork);
        }
    }
    Ok(())
}

/// Returns the reason to do nothing while a cluster has the instance that the configuration leaves
/// out, if one has.
pub(crate) fn left_out(facts: &Facts) -> Option<String> {
    let cluster = facts.search.left_out.first()?;
    Some(format!(
        "it is also in cluster {cluster}, which the configuration leaves out; held until it is deregistered there"
    ))
}

/// Checks that no task is left, or that the instance is dead.
pub(crate) fn tasks(facts: &Facts, policy: &Policy, now: Mono) -> Result<(), Remains> {
    if facts.is_dead(policy, now) {
        return Ok(());
    }
    let unlisted = facts.instances.iter().any(|one| !one.is_gone() && one.discovered.is_none());
    if unlisted {
        return Err(not_read(facts, Kind::Running, "its list of tasks"));
    }
    let mut left = Vec::new();
    for (arn, task) in facts.tasks_there() {
        match &task.sight {
            None => return Err(not_read(facts, Kind::Tasks, &format!("task {}", id(arn)))),
            Some((_, sight)) if matters(sight, policy) => left.push((arn, sight)),
            Some(_) => {}
        }
    }
    left.sort_by_key(|(_, sight)| sight.rank());
    let left: Vec<_> = left.into_iter().map(|(arn, sight)| describe_task(arn, sight)).collect();
    if left.is_empty() { Ok(()) } else { Err(Remains::Tasks(left_of(left))) }
}

/// Checks that the targets of every known task are known, so that none is forgotten once the tasks
/// are gone.
pub(crate) fn registrations_known(facts: &Facts) -> Result<(), Remains> {
    if facts.group.sight.is_none() {
        return Err(Remains::Unknown("the groups have not been read yet".to_owned()));
    }
    if facts.instances.iter().any(|one| !one.is_gone() && one.discovered.is_none()) {
        return Err(not_read(facts, Kind::Running, "its list of tasks"));
    }
    let there = |on: usize| facts.instances.get(on).is_none_or(|one| !one.is_gone());
    let mut tasks = facts.tasks.iter().filter(|(_, task)| there(task.on));
    match tasks.find(|(_, task)| !task.registrations_known) {
        Some((arn, _)) => Err(not_read(facts, Kind::Tasks, &format!("task {}", id(arn)))),
        None => Ok(()),
    }
}

/// Checks that no target is left.
pub(crate) fn targets(record: &Record, facts: &Facts, now: Timestamp) -> Result<(), Remains> {
    registrations_known(facts)?;
    let is_new =
        |target: &TargetFacts| !record.obligations.iter().any(|o| o.is_same(&target.obligation));
    if facts.targets.iter().any(is_new) {
        return Err(Remains::Unknown(format!("a target was found that {NOT_YET}")));
    }
    let mut left = Vec::new();
    for obligation in record.obligations.iter().filter(|obligation| record.waits_for(obligation)) {
        match facts.target(obligation).and_then(|target| target.sight.as_ref()) {
            None => return Err(not_read(facts, Kind::Targets, &obligation.to_string())),
            Some((_, TargetSight::Gone)) => {}
            Some((_, TargetSight::Present { state, draining, .. })) => {
                left.push(describe_target(obligation, state, *draining, now));
            }
        }
    }
    if left.is_empty() { Ok(()) } else { Err(Remains::Targets(left_of(left))) }
}

/// Returns the reason why something is not known: the failure of its last read, or that it was not
/// read yet.
fn not_read(facts: &Facts, kind: Kind, what: &str) -> Remains {
    let why = facts.trouble.get(&kind).map(|(_, why)| why.clone());
    Remains::Unknown(why.unwrap_or_else(|| format!("{what} {NOT_YET}")))
}

/// Formats a target for a reason: `i-1 in target group web is draining, until … at most`. A moment,
/// because the text is read later.
pub(super) fn describe_target(
    obligation: &Obligation,
    state: &str,
    draining: bool,
    now: Timestamp,
) -> String {
    match obligation.drained_by().filter(|_| draining) {
        Some(by) if by > now => format!("{obligation} is {state}{}{by:.0}{}", UNTIL.0, UNTIL.1),
        Some(by) => format!("{obligation} is {state}{PAST}{by:.0}"),
        None => format!("{obligation} is {state}"),
    }
}

pub(crate) fn describe_task(arn: &str, task: &TaskSight) -> String {
    let named = match &task.kind {
        TaskKind::Replica(service) | TaskKind::Daemon(service) => {
            format!("task {} of service {service}", id(arn))
        }
        TaskKind::Standalone => format!("standalone task {}", id(arn)),
    };
    let protected = task
        .protected_until
        .map(|until| format!(", protected from scale-in until {until:.0}"))
        .unwrap_or_default();
    format!("{named} is {}{protected}", task.last_status)
}
