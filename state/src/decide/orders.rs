//! An operator's orders: pause, cancel, force. Orders are in the record, so any replica that
//! continues the drain obeys them too.

use super::{Step, View};
use crate::phase::{Outcome, Phase};
use crate::record::{ActionResult, Intent, Order, Record, Stage, Then};
use crate::sight::LifecycleState;
use crate::why::Why;
use std::time::Duration;

/// Time between two checks of a drain that is paused.
const POLL: Duration = Duration::from_secs(10);

/// Returns the step that an order requires, before the phase's own step.
pub(super) fn check(draft: &mut Record, view: &View<'_>) -> Option<Step> {
    if draft.is_done() {
        return None;
    }
    if let Some(by) =
        draft.orders.pause.as_ref().map(Order::to_string).or_else(|| view.paused.map(str::to_owned))
    {
        return Some(Step::Wait(Why::Paused(by), POLL));
    }
    // Returning handles a cancelled drain that is being undone.
    if let (Some(order), true) =
        (draft.orders.cancel.clone(), draft.phase() != Phase::Returning || draft.lives_on())
    {
        match cannot_cancel(draft, view) {
            None => return cancel(draft, &order),
            Some(why) => {
                draft.orders.cancel = None;
                draft.note(view.now.wall, format!("cancellation by {order} refused: {why}"));
            }
        }
    }
    draft.orders.force.clone().and_then(|order| force(draft, &order, view))
}

/// Returns the reason why a drain cannot be cancelled (any more).
fn cannot_cancel(draft: &Record, view: &View<'_>) -> Option<&'static str> {
    if draft.lifecycle.is_some() {
        return Some(
            "its group is terminating it, which no API can stop; pause, extend or force it",
        );
    }
    if draft.container_instances.iter().any(|c| c.deregistered_at.is_some()) {
        return Some("it was deregistered from its cluster, which cannot be undone");
    }
    if draft.termination_asked_at.is_some() && !view.facts.group.shows_termination(view.policy) {
        return Some("its termination was just requested");
    }
    match view.facts.group.state() {
        Some(
            LifecycleState::Waiting(_) | LifecycleState::Terminating | LifecycleState::PastWait(_),
        ) => Some("its group is terminating it already"),
        _ => None,
    }
}

/// Cancels a drain. Returning undoes the `DRAINING` that ecs-drain set. In Pending there is nothing
/// to undo, unless an earlier drain left its `DRAINING`.
fn cancel(draft: &mut Record, order: &Order) -> Option<Step> {
    let note = format!("cancelled by {order}");
    match draft.phase() {
        Phase::Pending if draft.container_instances.iter().all(|mine| !mine.draining_is_ours) => {
            Some(Step::End(Outcome::Cancelled, note))
        }
        Phase::Returning => None,
        Phase::Pending
        | Phase::Deregistering
        | Phase::Waiting
        | Phase::Verifying
        | Phase::Completing => Some(Step::Enter(Stage::Returning { intent: None }, note)),
        Phase::Done => None,
    }
}

/// Ends a drain by order. As for any other ending, the intent is in the record before the call is
/// sent.
fn force(draft: &mut Record, order: &Order, view: &View<'_>) -> Option<Step> {
    let intent = Intent {
        result: ActionResult::Continue,
        outcome: Outcome::Forced,
        reason: format!("ordered by {order}"),
        at: view.now.wall,
    };
    match draft.phase() {
        Phase::Pending | Phase::Deregistering | Phase::Waiting | Phase::Verifying => {
            let ends_here = draft.lifecycle.is_none()
                && matches!(draft.then, Some(Then::Keep | Then::Leave) | None);
            Some(if ends_here {
                Step::End(Outcome::Forced, format!("ended by {order}; it stays as it is"))
            } else {
                Step::Intend(intent)
            })
        }
        Phase::Completing if draft.intent().is_none_or(|i| i.outcome != Outcome::Forced) => {
            draft.note(view.now.wall, format!("about to end: {}", intent.reason));
            draft.stage = Stage::Completing { intent, refused_since: None };
            None
        }
        Phase::Completing | Phase::Returning | Phase::Done => None,
    }
}
