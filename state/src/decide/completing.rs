//! Completing: the intent is saved; Auto Scaling is told until our action is over, or, in an operator's drain, until the
//! group terminates the instance.
//!
//! The intent is permission, not evidence. Each call for `Drained` also needs this very look to show everything still
//! gone; for the other outcomes the evidence is read again from the record.

use super::clear::{Remains, clear};
use super::pending::SEARCHES_APART;
use super::{Action, Step, View, unknown};
use crate::observation::{GroupSight, LifecycleState, Seen};
use crate::phase::{Outcome, Phase};
use crate::record::{Intent, Record, Then};
use crate::why::Why;
use std::time::Duration;

/// How soon to ask again after a call that did not end our action.
const AGAIN: Duration = Duration::from_secs(10);

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    let Some(intent) = draft.intent.clone() else {
        return Step::Enter(Phase::Waiting, "there is no intent in the record".to_owned());
    };
    match intent.outcome {
        Outcome::Drained => drained(draft, intent, view),
        Outcome::NotInCluster => not_in_cluster(draft, intent, view),
        Outcome::Abandoned => match retained(draft, view) {
            Some(step) => step,
            None => timed_out(draft, intent, view),
        },
        Outcome::TimedOut => timed_out(draft, intent, view),
        Outcome::Released if draft.release.is_some() => carry_out(draft, intent, view),
        Outcome::Released => Step::Enter(Phase::Waiting, "nobody orders its completion any more".to_owned()),
        Outcome::Cancelled | Outcome::InstanceGone | Outcome::WaitLost => {
            Step::Enter(Phase::Waiting, format!("an intent cannot be {}", intent.outcome))
        }
    }
}

/// A deadline that was moved or taken away is no evidence any more.
fn timed_out(draft: &mut Record, intent: Intent, view: &View<'_>) -> Step {
    match draft.deadline {
        Some(deadline) if view.now < deadline => {
            Step::Enter(Phase::Waiting, format!("its deadline is now {deadline:.0}"))
        }
        Some(_) => carry_out(draft, intent, view),
        None => Step::Enter(Phase::Waiting, "it has no deadline any more".to_owned()),
    }
}

/// A group with `TerminateHookAbandon: retain` keeps the instance after our `ABANDON`, until someone terminates it: that
/// is a new wait under our hook. (Source: Amazon EC2 Auto Scaling user guide, instance lifecycle policy.)
fn retained(draft: &mut Record, view: &View<'_>) -> Option<Step> {
    match (view.seen.group.known().and_then(|group| group.state()), draft.retained_at) {
        (Some(LifecycleState::Retained(_)), None) => {
            draft.retained_at = Some(view.now);
            draft.note(view.now, Why::Retained.to_string());
            Some(Step::Wait(Why::Retained, AGAIN))
        }
        // It was not kept, and it lives on.
        (Some(state), None) if draft.lives_on() && view.sightings.past_wait_passes > 0 => {
            Some(Step::Enter(Phase::Returning, format!("its group shows it {state}")))
        }
        // A wait that is read late is the old one.
        (Some(LifecycleState::Waiting(_)), Some(_)) if is_shown_now(view) => {
            Some(Step::Enter(Phase::Waiting, "someone terminates it; this time it ends with CONTINUE".to_owned()))
        }
        (_, Some(_)) => Some(Step::Wait(Why::Retained, AGAIN)),
        (_, None) => None,
    }
}

/// Whether the group has shown the instance as it does for longer than a read lags.
fn is_shown_now(view: &View<'_>) -> bool {
    view.sightings.shown.as_ref().is_some_and(|shown| shown.is_present(view.seen.group_begun))
}

fn drained(draft: &mut Record, intent: Intent, view: &View<'_>) -> Step {
    match clear(draft, view.seen, view.policy, view.sightings.agent_lost) {
        Ok(()) => carry_out(draft, intent, view),
        Err(Remains::Unknown(why)) => unknown(&why, view.policy),
        Err(Remains::TakesWork) => Step::Enter(Phase::Deregistering, Why::ActiveAgain.to_string()),
        Err(Remains::Tasks(left) | Remains::Targets(left)) => {
            Step::Enter(Phase::Waiting, format!("it is not gone: {left}"))
        }
    }
}

fn not_in_cluster(draft: &mut Record, intent: Intent, view: &View<'_>) -> Step {
    if !draft.container_instances.is_empty() {
        return Step::Enter(Phase::Deregistering, "it is in a cluster after all".to_owned());
    }
    // While Auto Scaling cannot be told it may register after all: an old search is no evidence.
    let next_search = view.sightings.nowhere_last.map_or(Duration::ZERO, |last| last + SEARCHES_APART);
    if view.seen.begun < next_search {
        return carry_out(draft, intent, view);
    }
    Step::Search(next_search, Why::Completing(intent.outcome), view.policy.poll)
}

/// Tells Auto Scaling: that our lifecycle action is over, or, in a drain that nobody's hook began, to terminate the
/// instance, where that was asked for.
fn carry_out(draft: &mut Record, intent: Intent, view: &View<'_>) -> Step {
    if draft.lifecycle.is_some() {
        if let Some(search) = search_first(&intent, view) {
            return search;
        }
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
    let (group, state, hook) = match &view.seen.group {
        Seen::Unknown(why) => return unknown(why, view.policy),
        Seen::Yes(GroupSight::Absent) => {
            let what = "it is in no Auto Scaling group, so none can terminate it: cancel the drain, or complete it";
            return unknown(what, view.policy);
        }
        Seen::Yes(GroupSight::Member { group, state, hook, .. }) => (group, state, hook),
    };
    match (state, hook) {
        (LifecycleState::Waiting(_), Seen::Unknown(why)) => unknown(why, view.policy),
        // Intake gives this drain the lifecycle action.
        (LifecycleState::Waiting(_), Seen::Yes(Some(_))) => Step::Wait(Why::Terminating, view.policy.poll),
        (LifecycleState::Waiting(_), Seen::Yes(None)) => {
            Step::End(intent.outcome, format!("group {group} terminates it; a hook that is not ours holds it"))
        }
        // It was on its way out already; asking again could lower the desired capacity a second time.
        (state, _) if state.is_terminating() => Step::Wait(Why::Terminating, view.policy.poll),
        _ => ask_to_terminate(draft, &intent, group.clone(), shrink, view),
    }
}

/// While Auto Scaling cannot be told, an agent may register its instance a second time, and tasks land there: that a
/// search found nothing more is evidence for a minute.
fn search_first(intent: &Intent, view: &View<'_>) -> Option<Step> {
    let is_fresh = |begun: Duration| view.seen.begun <= begun + SEARCHES_APART;
    let needed = intent.outcome == Outcome::Drained && !view.seen.lookup.as_ref().is_some_and(|l| is_fresh(l.begun));
    needed.then_some(Step::Search(view.seen.begun, Why::LookingForRegistrations, view.policy.poll))
}

/// Asks the group, and asks again only once a look that began well after shows that nothing came of it: asked twice, a
/// group could lower its desired capacity twice.
fn ask_to_terminate(draft: &mut Record, intent: &Intent, group: String, shrink: bool, view: &View<'_>) -> Step {
    if draft.termination_asked_at.is_some() && !view.sightings.shows_termination(view.seen.group_begun) {
        return Step::Wait(Why::TerminationAsked, view.policy.poll);
    }
    if let Some(search) = search_first(intent, view) {
        return search;
    }
    draft.termination_asked_at = Some(view.now);
    Step::Act(vec![Action::Terminate { group, shrink }], Why::TerminationAsked, AGAIN)
}
