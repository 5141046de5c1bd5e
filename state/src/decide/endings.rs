//! Endings that are possible in any phase: the instance is gone, its wait has ended, the deadline
//! has passed.

use super::wants::{is_complete_since, passed_at};
use super::{Needs, Step, View, at_deadline, unknown};
use crate::phase::{Outcome, Phase};
use crate::record::{Intent, Record, Stage, later};
use crate::sight::LifecycleState;
use crate::why::Why;
use jiff::SignedDuration;
use std::time::Duration;

/// Reason once the wait has ended, but not by ecs-drain.
pub(super) const PAST_THE_WAIT: &str =
    "the group shows it past the wait, and ecs-drain did not release it";

/// Number of complete reads of the groups that must agree.
const READS: u32 = 2;

/// Returns the end of a drain, if the instance is gone or its wait is over.
pub(super) fn check(draft: &Record, view: &View<'_>) -> Option<Step> {
    if draft.is_done() {
        return None;
    }
    // Only an intent that was saved before this decision can have had an effect.
    let intended = view
        .record
        .intent()
        .filter(|_| matches!(draft.phase(), Phase::Completing | Phase::Returning));
    if view.facts.group.gone_reads >= READS {
        let outcome = match intended {
            Some(intent) => intent.outcome,
            None if view.facts.group.past_wait_reads > 0 && draft.lifecycle.is_some() => {
                Outcome::WaitLost
            }
            None => Outcome::InstanceGone,
        };
        return Some(Step::End(outcome, "the instance no longer exists".to_owned()));
    }
    if draft.phase() == Phase::Returning {
        return None;
    }
    match intended {
        // The lifecycle action is over, by ecs-drain's call or by time, and ecs-drain had decided
        // to end it.
        Some(intent) if view.facts.group.past_wait_reads >= 1 && !draft.lives_on() => {
            Some(Step::End(intent.outcome, "Auto Scaling continues".to_owned()))
        }
        None if view.facts.group.past_wait_reads >= READS && draft.lifecycle.is_some() => {
            Some(wait_lost(draft))
        }
        None if is_in_service(draft, view) => {
            let why = "the group shows it InService; its wait may have ended, or the read is old";
            Some(unknown(why))
        }
        _ => None,
    }
}

/// Ends a drain whose wait was lost. If the instance lives on, the `DRAINING` that ecs-drain set is
/// undone first.
fn wait_lost(draft: &Record) -> Step {
    if draft.lives_on() && draft.container_instances.iter().any(|one| one.draining_is_ours) {
        return Step::Enter(
            Stage::Returning { intent: draft.intent().cloned() },
            PAST_THE_WAIT.to_owned(),
        );
    }
    Step::End(Outcome::WaitLost, PAST_THE_WAIT.to_owned())
}

/// Returns whether the instance is shown in service. If it lives on after its wait, it may serve
/// again, so nothing is done to it until it is known to wait.
fn is_in_service(draft: &Record, view: &View<'_>) -> bool {
    let shown = view.facts.group.shown.as_ref().map(|shown| &shown.state);
    draft.lives_on() && shown == Some(&LifecycleState::InService)
}

/// Returns the time until the deadline, or, once that has passed, until the drain ends without
/// complete reads.
pub(super) fn acts_at(draft: &Record, view: &View<'_>) -> Option<Duration> {
    let margin = SignedDuration::try_from(view.policy.blind_margin).unwrap_or(SignedDuration::ZERO);
    let blind = draft.global_limit.map(|limit| later(limit, -margin));
    let ahead = draft.deadline.into_iter().chain(blind).map(|at| at.duration_since(view.now.wall));
    ahead.filter_map(|left| Duration::try_from(left).ok()).filter(|left| !left.is_zero()).min()
}

/// Applies the deadline. It replaces only steps that would wait.
pub(super) fn deadline(draft: &Record, view: &View<'_>, step: Step) -> Step {
    let before_completing = matches!(
        draft.phase(),
        Phase::Pending | Phase::Deregistering | Phase::Waiting | Phase::Verifying
    );
    let (Some(deadline), true) = (draft.deadline, before_completing) else { return step };
    if view.now.wall < deadline {
        return step;
    }
    let (actions, why, again, needs) = match step {
        Step::Act(actions, why, again) => (actions, why, again, Needs::default()),
        Step::Wait(why, again) => (Vec::new(), why, again, Needs::default()),
        Step::Read(needs, why, again) => (Vec::new(), why, again, needs),
        step @ (Step::Enter(..) | Step::Intend(_) | Step::End(..)) => return step,
    };
    let Some((result, outcome)) = at_deadline(draft, view.policy) else {
        let why = Why::HeldPastDeadline(Box::new(why));
        return if actions.is_empty() {
            Step::Read(needs, why, again)
        } else {
            Step::Act(actions, why, again)
        };
    };
    let margin = SignedDuration::try_from(view.policy.blind_margin).unwrap_or(SignedDuration::ZERO);
    let last_moment = draft.global_limit.map(|limit| later(limit, -margin));
    let seen_whole =
        passed_at(deadline, view).is_some_and(|passed| is_complete_since(draft, view, passed));
    if seen_whole || last_moment.is_some_and(|last| view.now.wall >= last) {
        let cause =
            view.causes.first().map_or_else(String::new, |cause| format!("; {}", cause.text));
        let reason = format!("its deadline {deadline:.0} has passed; {why}{cause}");
        return Step::Intend(Intent { result, outcome, reason, at: view.now.wall });
    }
    if actions.is_empty() { Step::Read(needs, why, again) } else { Step::Act(actions, why, again) }
}
