//! Waiting: no new task can start on the instance; the tasks on it must end.

use super::clear::{Remains, container_instances, tasks};
use super::deregistering::is_standalone;
use super::{AT_LATEST, Action, Step, View, pending, soon, unknown};
use crate::facts::{Facts, TargetFacts};
use crate::policy::{Policy, StandaloneTasks};
use crate::record::{ContainerInstance, Record, Stage};
use crate::sight::{TargetSight, TaskSight, id};
use crate::time::{Mono, Watch};
use crate::why::{Left, Why};
use std::time::Duration;

/// Deregistration delay that is assumed if the balancer's own could not be read, seconds: the
/// default of a target group. (Source: ELBv2 API reference,
/// `deregistration_delay.timeout_seconds`.)
const DEFAULT_DELAY_SECONDS: u32 = 300;

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    if draft.container_instances.is_empty() {
        return pending::in_no_cluster(draft, view);
    }
    let remains = container_instances(draft, view.facts, view.now.mono)
        .and_then(|()| tasks(view.facts, view.policy, view.now.mono));
    match remains {
        Err(Remains::Unknown(why)) => return unknown(&why),
        Err(Remains::TakesWork) => {
            return Step::Enter(Stage::Deregistering, Why::ActiveAgain.to_string());
        }
        Err(Remains::Tasks(left)) => {
            return stop_standalone(draft, &standalone(view.facts), Why::TasksLeft(left), view);
        }
        // Verifying checks targets.
        Err(Remains::Targets(_)) | Ok(()) => {}
    }
    // A target is back in service: it is read again from here, as if it had never left.
    if let Some(what) = came_back(view.facts) {
        return Step::Wait(Why::TargetsLeft(Left { count: 1, first: what }), AT_LATEST);
    }
    let left = longest_delay_left(draft, view);
    if !left.is_zero() {
        return Step::Wait(Why::LongestDelay { left }, soon(left, AT_LATEST));
    }
    Step::Enter(Stage::Verifying, "no task is left".to_owned())
}

/// Returns a description of the target that was leaving, and was in service again at its last read.
pub(super) fn came_back(facts: &Facts) -> Option<String> {
    let target = facts.targets.iter().find(|target: &&TargetFacts| target.came_back)?;
    match &target.sight {
        Some((_, TargetSight::Present { state, .. })) => {
            Some(format!("{} is {state}", target.obligation))
        }
        Some((_, TargetSight::Gone)) | None => None,
    }
}

/// Returns the standalone tasks that are left: ARN, ARN of the container instance, and ECS's
/// description.
pub(super) fn standalone(facts: &Facts) -> Vec<(&str, &str, &TaskSight)> {
    let tasks = facts.tasks_there().filter_map(|(arn, task)| {
        let on = facts.instances.get(task.on)?;
        Some((arn, on.arn.as_str(), &task.sight.as_ref()?.1))
    });
    tasks.filter(|(_, _, task)| is_standalone(&task.kind)).collect()
}

/// Waits for tasks, and stops standalone ones once the policy's grace is over. The grace begins
/// when ECS was seen to place nothing more on the instance. The record names the tasks before they
/// are stopped.
pub(super) fn stop_standalone(
    draft: &mut Record,
    standalone: &[(&str, &str, &TaskSight)],
    why: Why,
    view: &View<'_>,
) -> Step {
    let Some(grace) = grace(view.policy) else { return Step::Wait(why, AT_LATEST) };
    let running: Vec<_> = standalone.iter().filter(|(_, _, task)| !task.stopping).collect();
    let spans = draft.container_instances.iter().map(|one| {
        let facts = view.facts.of(&one.arn);
        span(facts.and_then(|facts| facts.draining), view.now.mono)
    });
    let left = spans.min().map_or(AT_LATEST, |span| grace.saturating_sub(span));
    if running.is_empty() {
        return Step::Wait(why, AT_LATEST);
    }
    if !left.is_zero() {
        return Step::Wait(why, soon(left, AT_LATEST));
    }
    let new: Vec<&str> = running
        .iter()
        .map(|(arn, ..)| id(arn))
        .filter(|id| !draft.stopped_tasks.iter().any(|known| known == id))
        .collect();
    if !new.is_empty() {
        let note = format!("stopping standalone tasks after stop_after: {}", new.join(" "));
        let new: Vec<String> = new.into_iter().map(str::to_owned).collect();
        draft.note(view.now.wall, note);
        draft.stopped_tasks.extend(new);
    }
    let clusters = |arn: &str| {
        draft.container_instances.iter().find(|one| one.arn == arn).map(|one| one.cluster.clone())
    };
    let stop = running.iter().filter_map(|(arn, on, _)| {
        Some(Action::StopTask { cluster: clusters(on)?, task: (*arn).to_owned() })
    });
    Step::Act(stop.collect(), why, view.policy.poll)
}

/// Returns the time left of the longest floor. A floor begins when the container instance was seen
/// gone.
fn longest_delay_left(draft: &Record, view: &View<'_>) -> Duration {
    let left = |mine: &ContainerInstance| {
        let watch = view.facts.of(&mine.arn).and_then(|one| one.left);
        floor(draft, mine, view.facts, view.policy).saturating_sub(span(watch, view.now.mono))
    };
    draft.container_instances.iter().map(left).max().unwrap_or_default()
}

/// Returns the shortest wait after a forced deregistration. ECS's status of tasks is no evidence
/// then, so the containers get as much time as the slowest balancer takes to drain; none that still
/// serves is cut off.
///
/// Before a deregistration by ecs-drain, the standalone tasks have ended and every target is known.
/// Before one by someone else, or if a task was placed just before the one by ecs-drain, neither is
/// certain, so the wait is at least the default delay.
pub(super) fn floor(
    draft: &Record,
    mine: &ContainerInstance,
    facts: &Facts,
    policy: &Policy,
) -> Duration {
    let delays = draft.obligations.iter().map(|o| o.delay_seconds.unwrap_or(DEFAULT_DELAY_SECONDS));
    let longest = delays.max().unwrap_or(0);
    let seconds = match mine.deregistered_at {
        Some(_) if facts.is_gone_unlisted(&mine.arn) => longest.max(DEFAULT_DELAY_SECONDS),
        Some(_) => longest,
        None if facts.is_cut_off(&mine.arn, policy) => longest.max(DEFAULT_DELAY_SECONDS),
        None => 0,
    };
    Duration::from_secs(seconds.into())
}

/// Returns the time after which standalone tasks are stopped, or `None` if the policy waits for
/// them.
pub(super) fn grace(policy: &Policy) -> Option<Duration> {
    match policy.standalone_tasks {
        StandaloneTasks::StopAfter(grace) => Some(grace),
        StandaloneTasks::Wait => None,
    }
}

fn span(watch: Option<Watch>, now: Mono) -> Duration {
    watch.map_or(Duration::ZERO, |watch| watch.span(now))
}
