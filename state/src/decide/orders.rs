//! What an operator ordered: pause, cancel, force. Orders are in the record, so that any replica
//! that continues the drain obeys them too.

use super::{Step, View};
use crate::phase::{Outcome, Phase};
use crate::record::{ActionResult, Intent, Order, Record, Stage, Then};
use crate::sight::LifecycleState;
use crate::why::Why;
use std::time::Duration;

/// How soon to look again at a drain that is paused.
const POLL: Duration = Duration::from_secs(10);

/// What an order makes of the drain, before its phase is asked.
pub(super) fn check(draft: &mut Record, view: &View<'_>) -> Option<Step> {
    if draft.is_done() {
        return None;
    }
    if let Some(by) =
        draft.orders.pause.as_ref().map(Order::to_string).or_else(|| view.paused.map(str::to_owned))
    {
        return Some(Step::Wait(Why::Paused(by), POLL));
    }
    // Once it is being undone, Returning says how that ends.
    if let (Some(order), true) =
        (draft.orders.cancel.clone(), draft.phase() != Phase::Returning || draft.lives_on())
    {
        match cannot_cancel(draft, view) {
            None => return cancel(draft, &order),
            Some(why) => {
                draft.orders.cancel = None;
                draft.note(
                    view.now.wall,
                    format!("not cancelled, although {order} asked for it: {why}"),
                );
            }
        }
    }
    draft.orders.force.clone().and_then(|order| force(draft, &order, view))
}

/// Why a drain cannot be cancelled (any more).
fn cannot_cancel(draft: &Record, view: &View<'_>) -> Option<&'static str> {
    if draft.lifecycle.is_some() {
        return Some(
            "its group is terminating it, and nothing can call that off; pause, extend or force it",
        );
    }
    if draft.container_instances.iter().any(|c| c.deregistered_at.is_some()) {
        return Some("it was deregistered from its cluster, which cannot be undone");
    }
    if draft.termination_asked_at.is_some() && !view.facts.group.shows_termination(view.policy) {
        return Some("its group was just asked to terminate it");
    }
    match view.facts.group.state() {
        Some(
            LifecycleState::Waiting(_) | LifecycleState::Terminating | LifecycleState::PastWait(_),
        ) => Some("its group is terminating it already"),
        _ => None,
    }
}

/// Our `DRAINING` is undone in Returning; nothing was done in Pending, unless an earlier drain has
/// left its own.
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

/// The intent is in the record before anything is told, as for any other ending.
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
            draft.note(view.now.wall, format!("will end now: {}", intent.reason));
            draft.stage = Stage::Completing { intent, refused_since: None };
            None
        }
        Phase::Completing | Phase::Returning | Phase::Done => None,
    }
}
