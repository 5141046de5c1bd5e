//! The decision to write a record: it costs a call, so that what is only displayed is written
//! rarely.

use crate::record::{ContainerInstance, Obligation, Record, Shown, later};
use crate::why::Why;
use jiff::{SignedDuration, Timestamp};

/// Maximum age of the lists for display in a stored record while nothing else changes.
const REFRESH: SignedDuration = SignedDuration::from_mins(5);

/// Maximum age of the displayed number of tasks once it falls: a drain that progresses must not look
/// frozen.
const REFRESH_COUNTS: SignedDuration = SignedDuration::from_secs(30);

/// Maximum age of the displayed reason once targets are left and no longer tasks.
const REFRESH_WHY: SignedDuration = SignedDuration::from_mins(1);

/// Watched time that may be lost when a process is killed, seconds: a span that must be watched is
/// written this often.
const WATCHED: u32 = 30;

/// Returns whether the record must be written: at once if something that matters has changed; after
/// [`REFRESH`] if only the display has.
pub(super) fn must_save(before: &Record, after: &Record, why: &Why, now: Timestamp) -> bool {
    if before == after {
        return false;
    }
    let (was, is) = (&before.shown, &after.shown);
    // These reasons can last for long and mean that a person must act, that other drains come
    // first, or that a window is closed. So their beginning and their end are written at once.
    let lasting = was.why != is.why && (why.lasts() || Why::name_lasts(&was.why));
    let causes =
        |shown: &Shown| shown.causes.iter().map(|cause| cause.name.clone()).collect::<Vec<_>>();
    // The number of drains ahead, or the end of the window, is in the message.
    let queue = |shown: &Shown| {
        ["WaitsForTurn", "WindowClosed"]
            .contains(&shown.why.as_str())
            .then(|| shown.message.clone())
    };
    let display = |shown: &Shown| {
        (shown.tasks_left_count, shown.targets_left_count, shown.why.clone(), queue(shown))
    };
    let falls = is.tasks_left_count < was.tasks_left_count;
    lasting
        || causes(was) != causes(is)
        || was.stuck_since.is_some() != is.stuck_since.is_some()
        || was.bad_tags != is.bad_tags
        // A phase that was entered before all was read gets its reason as soon as there is one.
        || (Why::told_waits_for_first_read(&was.why, &was.message) && was.why != is.why)
        || differ(before, after)
        || (falls && later(before.updated_at, REFRESH_COUNTS) <= now)
        || (display(was) != display(is) && later(before.updated_at, REFRESH) <= now)
        || (was.why != is.why && matches!(why, Why::TargetsLeft(_)) && later(before.updated_at, REFRESH_WHY) <= now)
}

/// Returns whether anything differs apart from the display and growing spans.
fn differ(before: &Record, after: &Record) -> bool {
    let obligation = |obligation: &Obligation| {
        // A balancer of unknown kind is written once its kind is known.
        let settles = obligation.settles() && obligation.network.is_some();
        Obligation {
            left_for_seconds: if settles { obligation.left_for_seconds / WATCHED } else { 0 },
            // These rarely change, and another process reads them again.
            delay_seconds: None,
            network: None,
            // The time at which a target began to leave is written at once only where a settle time
            // begins with it.
            draining_since: obligation.draining_since.filter(|_| settles),
            ..obligation.clone()
        }
    };
    let instance = |one: &ContainerInstance| ContainerInstance {
        drained_for_seconds: one.drained_for_seconds / WATCHED,
        gone_for_seconds: one.gone_for_seconds / WATCHED,
        ..one.clone()
    };
    let of = |record: &Record| Record {
        obligations: record.obligations.iter().map(obligation).collect(),
        container_instances: record.container_instances.iter().map(instance).collect(),
        shown: Shown::default(),
        ..record.clone()
    };
    // A grace that begins anew is written however short the old one was. Otherwise the next
    // DRAINING would continue the old grace.
    let anew = |(before, after): (&ContainerInstance, &ContainerInstance)| {
        after.drained_for_seconds < before.drained_for_seconds
    };
    before.container_instances.iter().zip(&after.container_instances).any(anew)
        || of(before) != of(after)
}
