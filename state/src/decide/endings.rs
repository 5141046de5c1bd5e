//! What can end a drain in any phase: the instance is gone, our wait is over without us, the deadline has passed.

use super::{Step, View, at_deadline};
use crate::observation::{LifecycleState, Seen};
use crate::phase::{Outcome, Phase};
use crate::record::{Intent, Record, later};
use crate::why::Why;
use jiff::SignedDuration;

/// Said when our wait has ended without us.
pub(super) const PAST_THE_WAIT: &str = "the group shows it past the wait, and it was not us";

/// How many complete passes must agree.
const PASSES: u32 = 2;

/// An ending that the world brought about.
pub(super) fn check(draft: &Record, view: &View<'_>) -> Option<Step> {
    if draft.is_done() {
        return None;
    }
    // Only what was intended before this pass can have been told: an intent of this very pass has brought nothing about.
    let intended = view.record.intent.as_ref().filter(|_| matches!(draft.phase, Phase::Completing | Phase::Returning));
    if view.sightings.gone_passes >= PASSES {
        let outcome = match intended {
            Some(intent) => intent.outcome,
            None if view.sightings.past_wait_passes > 0 && draft.lifecycle.is_some() => Outcome::WaitLost,
            None => Outcome::InstanceGone,
        };
        return Some(Step::End(outcome, "the instance no longer exists".to_owned()));
    }
    if draft.phase == Phase::Returning {
        return None;
    }
    match intended {
        // Whether it was our call or time that ended the wait, our action is over, and we had decided to end it.
        Some(intent) if view.sightings.past_wait_passes >= 1 && !draft.lives_on() => {
            Some(Step::End(intent.outcome, "Auto Scaling goes on".to_owned()))
        }
        None if view.sightings.past_wait_passes >= PASSES && draft.lifecycle.is_some() => Some(wait_lost(draft)),
        None if is_in_service(draft, view) => {
            let why = "the group shows it InService: its wait may be over, or that was read late";
            Some(Step::Wait(Why::Unknown(why.to_owned()), view.policy.poll))
        }
        _ => None,
    }
}

/// An instance that lives on is not left `DRAINING` by us.
fn wait_lost(draft: &Record) -> Step {
    if draft.lives_on() && draft.container_instances.iter().any(|one| one.draining_is_ours) {
        return Step::Enter(Phase::Returning, PAST_THE_WAIT.to_owned());
    }
    Step::End(Outcome::WaitLost, PAST_THE_WAIT.to_owned())
}

/// An instance that lives on after its wait may serve again: nothing is done to it until it is known to wait.
fn is_in_service(draft: &Record, view: &View<'_>) -> bool {
    let shown = view.sightings.shown.as_ref().map(|shown| &shown.state);
    draft.lives_on() && shown == Some(&LifecycleState::InService)
}

/// The deadline decides only what would otherwise wait.
pub(super) fn deadline(draft: &Record, view: &View<'_>, step: Step) -> Step {
    let before_completing =
        matches!(draft.phase, Phase::Pending | Phase::Deregistering | Phase::Waiting | Phase::Verifying);
    let (Some(deadline), true) = (draft.deadline, before_completing) else { return step };
    if view.now < deadline {
        return step;
    }
    let (actions, why, again, search) = match step {
        Step::Act(actions, why, again) => (actions, why, again, None),
        Step::Wait(why, again) => (Vec::new(), why, again, None),
        Step::Search(since, why, again) => (Vec::new(), why, again, Some(since)),
        step @ (Step::Enter(..) | Step::Intend(_) | Step::End(..)) => return step,
    };
    let Some((result, outcome)) = at_deadline(draft, view.policy) else {
        let why = Why::HeldPastDeadline(Box::new(why));
        return match search {
            Some(since) => Step::Search(since, why, again),
            None => Step::Act(actions, why, again),
        };
    };
    let margin = SignedDuration::try_from(view.policy.blind_margin).unwrap_or(SignedDuration::ZERO);
    let last_moment = draft.global_limit.map(|limit| later(limit, -margin));
    let seen_whole = is_complete(draft, view) && view.seen.begun_at >= deadline;
    if seen_whole || last_moment.is_some_and(|last| view.now >= last) {
        let cause = view.causes.first().map_or_else(String::new, |cause| format!("; {}", cause.text));
        let reason = format!("its deadline {deadline:.0} has passed; {why}{cause}");
        return Step::Intend(Intent { result, outcome, reason, at: view.now });
    }
    match search {
        Some(since) => Step::Search(since, why, again),
        None => Step::Act(actions, why, again),
    }
}

/// Whether every read came back, and everything that the record knows of was looked at.
fn is_complete(draft: &Record, view: &View<'_>) -> bool {
    let seen = view.seen;
    matches!(seen.group, Seen::Yes(_))
        && matches!(&seen.container_instances, Seen::Yes(all) if all.len() == draft.container_instances.len())
        && matches!(seen.tasks, Seen::Yes(_))
        && matches!(seen.obligations, Seen::Yes(_))
        && matches!(&seen.targets, Seen::Yes(all) if all.len() == draft.obligations.len())
}
