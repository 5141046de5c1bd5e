//! The record after `CompleteLifecycleAction` was sent, or after another controller's hook took
//! over the instance.

use super::{end, enter};
use crate::phase::{IllegalMove, Outcome};
use crate::policy::Policy;
use crate::record::{ActionResult, LastError, Lifecycle, Record, Stage};
use crate::why::Why;
use jiff::Timestamp;
use std::time::Duration;

/// Answer to a `CompleteLifecycleAction`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompletionAnswer {
    /// The call succeeded.
    Accepted,
    /// `No active Lifecycle Action found with instance ID …`: the drain's lifecycle action is over
    /// already.
    NoActiveAction,
    /// The call is not allowed; the text says which permission is missing.
    Denied(String),
    /// Any other failure, with its text.
    Failed(String),
}

/// Returns the finished record of a drain whose part is over, once the hook of another controller
/// holds its instance. The caller must save it. The other controller then opens a drain of its own
/// over it.
///
/// # Errors
/// Returns an error if the drain's part is not over, so that it must not be ended.
pub fn leave_to(
    record: &Record,
    lifecycle: &Lifecycle,
    keep: Duration,
    now: Timestamp,
) -> Result<Record, IllegalMove> {
    let mut next = record.clone();
    let outcome = record.intent().map_or(Outcome::WaitLost, |intent| intent.outcome);
    let note = format!(
        "hook {} of group {} belongs to another controller",
        lifecycle.hook, lifecycle.group
    );
    end(&mut next, outcome, note, keep, now)?;
    next.updated_at = now;
    Ok(next)
}

/// Returns the record after a `CompleteLifecycleAction` was answered. The caller must save it.
pub fn after_completion(
    record: &Record,
    answer: &CompletionAnswer,
    policy: &Policy,
    now: Timestamp,
) -> Record {
    let mut next = record.clone();
    let Stage::Completing { intent, .. } = next.stage.clone() else { return next };
    let note = match answer {
        CompletionAnswer::Accepted => format!("Auto Scaling accepted {}", intent.result),
        CompletionAnswer::NoActiveAction => "the lifecycle action is over already".to_owned(),
        CompletionAnswer::Denied(what) | CompletionAnswer::Failed(what) => {
            if let Stage::Completing { refused_since, .. } = &mut next.stage {
                // Other failures, such as throttling by Auto Scaling, are no refusal.
                let denied = matches!(answer, CompletionAnswer::Denied(_));
                *refused_since = denied.then(|| refused_since.unwrap_or(now));
            }
            next.attempts = next.attempts.saturating_add(1);
            next.last_error = Some(LastError { at: now, what: what.clone() });
            return next;
        }
    };
    let lifecycle = next.lifecycle.as_ref();
    if intent.result == ActionResult::Abandon && lifecycle.is_some_and(Lifecycle::may_be_retained) {
        // The group's state will show the result: the group retains the instance, or another hook's
        // result was quicker.
        if next.history.last().is_none_or(|event| event.what != note) {
            next.note(now, note);
        }
        return next;
    }
    let (moved, why) =
        if next.lives_on() && next.container_instances.iter().any(|c| c.draining_is_ours) {
            let moved = enter(&mut next, Stage::Returning { intent: Some(intent) }, note, now);
            (moved, Why::WaitingForReturn("completed".to_owned()))
        } else {
            let moved = end(&mut next, intent.outcome, note, policy.keep_finished, now);
            (moved, Why::Done(intent.outcome))
        };
    match moved {
        Ok(()) => next.explain(&why, now),
        Err(fault) => {
            next.last_error =
                Some(LastError { at: now, what: format!("a mistake in ecs-drain: {fault}") })
        }
    }
    next
}
