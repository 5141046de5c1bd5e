//! Pending: ecs-drain has seen the instance, and has done nothing to it.

use super::clear::{NOT_YET, Remains, left_out, registrations_known};
use super::{AT_LATEST, Step, Turn, View, need, soon, unknown};
use crate::facts::{Facts, Kind};
use crate::needs::Class;
use crate::phase::{Outcome, Phase};
use crate::policy::{NotInCluster, Policy};
use crate::record::{ActionResult, Intent, Origin, Record, Stage, later};
use crate::time::Mono;
use crate::why::Why;
use crate::windows::{self, Reason, closed_until};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// Time between two checks of the queue.
const TURN: Duration = Duration::from_secs(10);

/// Time of a lifecycle action that is kept for the drain itself; at most half of the action's time.
const RESERVE: SignedDuration = SignedDuration::from_mins(30);

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    if draft.container_instances.is_empty() {
        return in_no_cluster(draft, view);
    }
    match waits_to_begin(draft, view) {
        None => {}
        Some(why @ Why::WindowClosed { until, .. }) => {
            let left = Duration::try_from(until.duration_since(view.now.wall)).unwrap_or_default();
            return Step::Wait(why, soon(left, AT_LATEST));
        }
        Some(why) => return Step::Wait(why, TURN),
    }
    if draft
        .container_instances
        .iter()
        .any(|mine| view.facts.of(&mine.arn).is_none_or(|one| one.sight.is_none()))
    {
        return match super::clear::container_instances(draft, view.facts, view.now.mono) {
            Err(Remains::Unknown(why)) => unknown(&why),
            Err(Remains::TakesWork | Remains::Tasks(_) | Remains::Targets(_)) | Ok(()) => {
                Step::Wait(Why::Seen, AT_LATEST)
            }
        };
    }
    // Every target must be in the record before a call makes it go. Otherwise nothing checks later
    // that it is gone.
    if let (false, Err(Remains::Unknown(why))) = (is_urgent(draft), registrations_known(view.facts))
    {
        return unknown(&why);
    }
    if !is_urgent(draft) {
        let tasks = crate::budget::tasks(draft, view.facts).into_iter();
        let named = tasks.map(|((cluster, service), n)| (format!("{cluster}/{service}"), n));
        draft.services = Some(named.collect());
    }
    let note = match draft.obligations.len() {
        0 => "no load balancer targets".to_owned(),
        1 => "1 load balancer target must be gone".to_owned(),
        n => format!("{n} load balancer targets must be gone"),
    };
    Step::Enter(Stage::Deregistering, note)
}

/// Returns whether the notice is too short to list tasks before ECS is asked to drain. Lists show
/// stopped tasks for an hour, so their targets are found later all the same.
pub(super) fn is_urgent(draft: &Record) -> bool {
    draft.origin == Origin::SpotInterruption
}

/// Returns the reason if the drain has to wait before it begins: for the end of a closed window,
/// then in the queue. Because a lifecycle action's wait ends, the drain begins in the last part of
/// it (the reserve) all the same.
pub(super) fn waits_to_begin(draft: &Record, view: &View<'_>) -> Option<Why> {
    let (now, policy) = (view.now.wall, view.policy);
    if is_in_reserve(draft, now) {
        return None;
    }
    let closed = reason(draft, view.facts).and_then(|r| closed_until(&policy.closed, r, now));
    if let Some((window, until)) = closed {
        return Some(Why::WindowClosed { window: window.name.clone(), until });
    }
    let why = match &view.turn {
        Turn::Now => return None,
        Turn::Read { service: Some(name) } => {
            Why::Unknown(format!("the state of service {name} {NOT_YET}"))
        }
        Turn::Read { service: None } => match registrations_known(view.facts) {
            Err(Remains::Unknown(why)) => Why::Unknown(why),
            Err(Remains::TakesWork | Remains::Tasks(_) | Remains::Targets(_)) | Ok(()) => {
                Why::Unknown(format!("its list of tasks {NOT_YET}"))
            }
        },
        Turn::Wait { scope, running, limit, ahead } => Why::WaitsForTurn {
            scope: scope.clone(),
            running: *running,
            limit: *limit,
            ahead: *ahead,
        },
    };
    Some(why)
}

/// Returns whether a closed window keeps this drain from beginning: it does not wait in the queue
/// yet, and other drains go first.
pub fn waits_for_window(record: &Record, facts: &Facts, policy: &Policy, now: Timestamp) -> bool {
    record.phase() == Phase::Pending
        && !is_in_reserve(record, now)
        && reason(record, facts).is_some_and(|r| windows::is_closed(&policy.closed, r, now))
}

/// Returns the reason for which windows can be closed. An unhealthy instance does not wait: its
/// group replaces it, and its tasks may already fail.
fn reason(record: &Record, facts: &Facts) -> Option<Reason> {
    Reason::of(record).filter(|_| !facts.group.is_unhealthy())
}

fn is_in_reserve(record: &Record, now: Timestamp) -> bool {
    let end = record.deadline.into_iter().chain(record.global_limit).min();
    let from = |end: Timestamp| later(end, -RESERVE.min(end.duration_since(record.created_at) / 2));
    end.is_some_and(|end| now >= from(end))
}

/// Releases an instance that is in no cluster, once complete searches of every cluster, one after
/// the other, have found it nowhere for as long as the policy requires. The clock of this process
/// measures that time.
pub(super) fn in_no_cluster(draft: &Record, view: &View<'_>) -> Step {
    if draft.lifecycle.is_none() {
        return Step::End(Outcome::NotInCluster, "it is in no cluster any more".to_owned());
    }
    let nowhere = view.facts.search.nowhere;
    let next_search = nowhere.map_or(Mono::START, |run| run.last.ended + view.policy.read_lag);
    let search = || need(Kind::Sweep, next_search.max(view.now.mono), Class::Begin);
    if let Some(why) = left_out(view.facts) {
        return Step::Wait(Why::Unknown(why), AT_LATEST);
    }
    if view.policy.not_in_cluster == NotInCluster::Hold {
        return Step::Read(search(), Why::HeldNotInCluster, AT_LATEST);
    }
    // A search that begins within the lag of the first could read the same stale answer.
    let span = view.policy.not_in_cluster_after.max(view.policy.read_lag);
    if nowhere.is_some_and(|run| run.last.began >= run.first.began + span) {
        return Step::Intend(Intent {
            result: ActionResult::Continue,
            outcome: Outcome::NotInCluster,
            reason: "all searches found it in no cluster for long enough".to_owned(),
            at: view.now.wall,
        });
    }
    let left = nowhere.map_or(span, |run| (run.first.began + span).since(view.now.mono));
    Step::Read(search(), Why::NotInCluster { left }, soon(left, AT_LATEST))
}
