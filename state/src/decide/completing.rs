//! Completing: the intent is saved. ecs-drain completes the lifecycle action until Auto Scaling
//! confirms that it is over; in an operator's drain, it asks the group to terminate the instance.
//!
//! A saved intent is not enough to complete. Each call for `Drained` also needs the proof to hold
//! now, and each call for `NotInCluster` needs a recent search. For the other outcomes the deadline
//! or the order is read again from the record.

use super::clear::Remains;
use super::{AT_LATEST, Action, Step, View, need, unknown};
use crate::facts::Kind;
use crate::needs::Class;
use crate::phase::Outcome;
use crate::proof::{Verdict, judge};
use crate::record::{Intent, Record, Stage, Then};
use crate::sight::{GroupSight, LifecycleState, Seen};
use crate::time::Mono;
use crate::why::Why;
use std::time::Duration;

/// Time until the next try after a call that did not end the lifecycle action.
const AGAIN: Duration = Duration::from_secs(10);

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    let Stage::Completing { intent, .. } = draft.stage.clone() else {
        return unknown("the drain is not Completing");
    };
    match intent.outcome {
        Outcome::Drained => drained(draft, intent, view),
        Outcome::NotInCluster => not_in_cluster(draft, intent, view),
        Outcome::Abandoned => match retained(draft, view) {
            Some(step) => step,
            None => timed_out(draft, intent, view),
        },
        Outcome::TimedOut => timed_out(draft, intent, view),
        Outcome::Forced if draft.orders.force.is_some() => carry_out(draft, intent, view),
        Outcome::Forced => {
            Step::Enter(Stage::Waiting, "the order to force it was withdrawn".to_owned())
        }
        Outcome::Cancelled | Outcome::InstanceGone | Outcome::WaitLost => {
            Step::Enter(Stage::Waiting, format!("an intent cannot be {}", intent.outcome))
        }
    }
}

/// Completes after the deadline. A deadline that was moved or removed is no reason any more.
fn timed_out(draft: &mut Record, intent: Intent, view: &View<'_>) -> Step {
    match draft.deadline {
        Some(deadline) if view.now.wall < deadline => {
            Step::Enter(Stage::Waiting, format!("its deadline is now {deadline:.0}"))
        }
        Some(_) => carry_out(draft, intent, view),
        None => Step::Enter(Stage::Waiting, "it has no deadline any more".to_owned()),
    }
}

/// Returns the step for a group with `TerminateHookAbandon: retain`, which keeps the instance after
/// an `ABANDON` until someone terminates it. The termination is a new wait under the ecs-drain
/// hook. (Source: Amazon EC2 Auto Scaling user guide, instance lifecycle policy.)
fn retained(draft: &mut Record, view: &View<'_>) -> Option<Step> {
    match (view.facts.group.state(), draft.retained_at) {
        (Some(LifecycleState::Retained(_)), None) => {
            draft.retained_at = Some(view.now.wall);
            draft.note(view.now.wall, Why::Retained.to_string());
            Some(Step::Wait(Why::Retained, AGAIN))
        }
        // The group did not retain it, and it lives on.
        (Some(state), None) if draft.lives_on() && view.facts.group.past_wait_reads > 0 => {
            Some(Step::Enter(
                Stage::Returning { intent: draft.intent().cloned() },
                format!("its group shows it {state}"),
            ))
        }
        // A wait that was read late would be the old one.
        (Some(LifecycleState::Waiting(_)), Some(_)) if view.facts.group.is_present(view.policy) => {
            Some(Step::Enter(
                Stage::Waiting,
                "the retained instance is being terminated; its lifecycle action ends with CONTINUE".to_owned(),
            ))
        }
        (_, Some(_)) => Some(Step::Wait(Why::Retained, AGAIN)),
        (_, None) => None,
    }
}

fn drained(draft: &mut Record, intent: Intent, view: &View<'_>) -> Step {
    match judge(draft, view.facts, view.policy, view.now) {
        Verdict::Proved => carry_out(draft, intent, view),
        Verdict::Missing(_, _, needs) => Step::Read(needs, Why::Completing(intent.outcome), AGAIN),
        Verdict::Remains(Remains::Unknown(why)) => unknown(&why),
        Verdict::Remains(Remains::TakesWork) => {
            Step::Enter(Stage::Deregistering, Why::ActiveAgain.to_string())
        }
        Verdict::Remains(Remains::Tasks(left) | Remains::Targets(left)) => {
            Step::Enter(Stage::Waiting, format!("something is left after all: {left}"))
        }
    }
}

fn not_in_cluster(draft: &mut Record, intent: Intent, view: &View<'_>) -> Step {
    if !draft.container_instances.is_empty() {
        return Step::Enter(
            Stage::Deregistering,
            "it registered with a cluster after all".to_owned(),
        );
    }
    // While the completion fails, the instance may still register with a cluster, so an old search
    // is no evidence.
    let next =
        view.facts.search.nowhere.map_or(Mono::START, |run| run.last.ended + view.policy.read_lag);
    if view.now.mono < next {
        return carry_out(draft, intent, view);
    }
    Step::Read(need(Kind::Sweep, next, Class::Finish), Why::Completing(intent.outcome), AT_LATEST)
}

/// Completes the lifecycle action. A drain that no hook began has none: its group is asked to
/// terminate the instance, if that was requested.
fn carry_out(draft: &mut Record, intent: Intent, view: &View<'_>) -> Step {
    if draft.lifecycle.is_some() {
        let why = Why::Completing(intent.outcome);
        return Step::Act(vec![Action::Complete(intent)], why, AGAIN);
    }
    let shrink = match draft.then {
        Some(Then::Terminate) => false,
        Some(Then::TerminateAndShrink) => true,
        Some(Then::Keep | Then::Leave) | None => {
            return Step::End(intent.outcome, "it stays, drained".to_owned());
        }
    };
    let (group, state, hook) = match view.facts.group.seen() {
        Seen::Unknown(why) => return unknown(&why),
        Seen::Yes(GroupSight::Absent) if intent.outcome == Outcome::Forced => {
            return Step::End(
                Outcome::Forced,
                "it is in no Auto Scaling group; it stays as it is".to_owned(),
            );
        }
        Seen::Yes(GroupSight::Absent) => {
            let what = "it is in no Auto Scaling group that could terminate it; cancel the drain, or force it";
            return unknown(what);
        }
        Seen::Yes(GroupSight::Member { group, state, hook, .. }) => (group, state, hook),
    };
    match (state, hook) {
        (LifecycleState::Waiting(_), Seen::Unknown(why)) => unknown(why),
        // Intake gives this drain the lifecycle action.
        (LifecycleState::Waiting(_), Seen::Yes(Some(_))) => Step::Wait(Why::Terminating, AT_LATEST),
        (LifecycleState::Waiting(_), Seen::Yes(None)) => Step::End(
            intent.outcome,
            format!("group {group} terminates it; a hook of another owner holds it"),
        ),
        // It was terminating already: another request could lower the desired capacity a second
        // time.
        (state, _) if state.is_terminating() => Step::Wait(Why::Terminating, AT_LATEST),
        _ => ask_to_terminate(draft, group.clone(), shrink, view),
    }
}

/// Asks the group to terminate the instance. Asks again only once a read that began well after the
/// first request shows no effect: two requests could lower the desired capacity twice.
fn ask_to_terminate(draft: &mut Record, group: String, shrink: bool, view: &View<'_>) -> Step {
    if draft.termination_asked_at.is_some() && !view.facts.group.shows_termination(view.policy) {
        return Step::Wait(Why::TerminationAsked, AT_LATEST);
    }
    draft.termination_asked_at = Some(view.now.wall);
    Step::Act(vec![Action::Terminate { group, shrink }], Why::TerminationAsked, AGAIN)
}
