//! Waiting: no new work can land; the tasks that are there must end.

use super::clear::{Remains, container_instances, tasks};
use super::{Action, Step, View, pending, unknown};
use crate::observation::{TaskKind, TaskSight};
use crate::phase::Phase;
use crate::policy::{Policy, StandaloneTasks};
use crate::record::Record;
use crate::sightings::Watch;
use crate::why::{Left, Why};
use std::time::Duration;

/// How long a balancer is given when its delay could not be read: the default of a target group.
/// (Source: ELBv2 API reference, `deregistration_delay.timeout_seconds`.)
const DEFAULT_DELAY_SECONDS: u32 = 300;

/// How a note begins that says which tasks are stopped: one note for all, because the history is short.
const STOPPING: &str = "stopping tasks of no service, whose grace is over: ";

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    if draft.container_instances.is_empty() {
        return pending::in_no_cluster(draft, view);
    }
    let remains =
        container_instances(draft, view.seen).and_then(|()| tasks(view.seen, view.policy, view.sightings.agent_lost));
    match remains {
        Err(Remains::Unknown(why)) => return unknown(&why, view.policy),
        Err(Remains::TakesWork) => return Step::Enter(Phase::Deregistering, Why::ActiveAgain.to_string()),
        Err(Remains::Tasks(left)) => {
            let tasks = view.seen.tasks.known().into_iter().flatten();
            let standalone: Vec<_> = tasks.filter(|t| t.kind == TaskKind::Standalone).collect();
            return stop_standalone(draft, &standalone, Why::TasksLeft(left), view);
        }
        // Registrations are the business of Verifying.
        Err(Remains::Targets(_)) | Ok(()) => {}
    }
    // Looked at again from here on, like one that never left.
    if let Some(what) = &view.sightings.came_back {
        return Step::Wait(Why::TargetsLeft(Left { count: 1, first: what.clone() }), view.policy.poll);
    }
    let left = longest_delay_left(draft, view);
    if !left.is_zero() {
        return Step::Wait(Why::LongestDelay { left }, view.policy.poll);
    }
    Step::Enter(Phase::Verifying, "no task that matters is left".to_owned())
}

/// Waits for tasks; those of no service are stopped once the policy's grace is over. The grace counts from when ECS was
/// seen to place nothing more on the instance, and the order is in the record before it is given.
pub(super) fn stop_standalone(draft: &mut Record, standalone: &[&TaskSight], why: Why, view: &View<'_>) -> Step {
    let Some(grace) = grace(view.policy) else { return Step::Wait(why, view.policy.poll) };
    let running: Vec<_> = standalone.iter().filter(|t| !t.stopping).collect();
    let shortest = draft.container_instances.iter().map(|one| span(view.sightings.drained.get(&one.arn), view)).min();
    if running.is_empty() || shortest.is_none_or(|span| span < grace) {
        return Step::Wait(why, view.policy.poll);
    }
    let noted = |id: &str| {
        let mut orders = draft.history.iter().filter_map(|e| e.what.strip_prefix(STOPPING));
        orders.any(|ids| ids.split(' ').any(|known| known == id))
    };
    let new: Vec<_> = running.iter().map(|t| t.id()).filter(|id| !noted(id)).collect();
    if !new.is_empty() {
        let note = format!("{STOPPING}{}", new.join(" "));
        draft.note(view.now, note);
    }
    let stop = |t: &&&TaskSight| Action::StopTask { cluster: t.cluster.clone(), task: t.arn.clone() };
    Step::Act(running.iter().map(stop).collect(), why, view.policy.poll)
}

/// After a forced deregistration ECS's word about tasks is no evidence: the containers are given as long as the
/// slowest balancer drains, so that none is cut off that still serves. It counts from when the container instance was
/// seen gone.
fn longest_delay_left(draft: &Record, view: &View<'_>) -> Duration {
    let deregistered = draft.container_instances.iter().filter(|c| c.deregistered_at.is_some());
    let watched = deregistered.map(|one| span(view.sightings.gone.get(&one.arn), view));
    let Some(shortest) = watched.min() else { return Duration::ZERO };
    longest_delay(draft).saturating_sub(shortest)
}

/// After how long standalone tasks are stopped, if they are.
pub(super) fn grace(policy: &Policy) -> Option<Duration> {
    match policy.standalone_tasks {
        StandaloneTasks::StopAfter(grace) => Some(grace),
        StandaloneTasks::Wait => None,
    }
}

fn span(watch: Option<&Watch>, view: &View<'_>) -> Duration {
    watch.map_or(Duration::ZERO, |watch| watch.span(view.seen.begun))
}

/// How long the slowest of its balancers drains a target.
pub(super) fn longest_delay(draft: &Record) -> Duration {
    let delays = draft.obligations.iter().map(|o| o.delay_seconds.unwrap_or(DEFAULT_DELAY_SECONDS));
    Duration::from_secs(u64::from(delays.max().unwrap_or(0)))
}
