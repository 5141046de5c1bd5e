//! Closed windows: times in which no drain of a reason begins.
//!
//! Everything here follows from the moment that it is asked about. Nothing is remembered, so a clock
//! that jumps in either direction is right as soon as it is right.

mod cron;
#[cfg(test)]
mod tests;

pub use cron::Cron;

use crate::record::{Origin, Record};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// Number of windows, each beginning before the end of the one before, after which the end of their
/// chain is not searched further.
const CHAIN: usize = 1000;

/// Reason of a drain that a closed window can keep from beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An operator requested it.
    Request,
    /// A rebalance recommendation.
    Rebalance,
    /// An Auto Scaling group waits to terminate the instance, whatever made it do so.
    ScaleIn,
}

impl Reason {
    /// Every reason, with its name in the configuration.
    pub const NAMES: &[(&str, Reason)] = &[
        ("request", Reason::Request),
        ("rebalance", Reason::Rebalance),
        ("scale-in", Reason::ScaleIn),
    ];

    /// Returns the reason of a drain. `None` for a drain that no window keeps from beginning: a spot
    /// interruption does not wait.
    pub fn of(record: &Record) -> Option<Reason> {
        match (&record.lifecycle, record.origin) {
            (_, Origin::SpotInterruption) | (None, Origin::LifecycleHook) => None,
            // A requested drain too, once the group terminates its instance: that needs no request.
            (Some(_), Origin::Operator | Origin::Rebalance | Origin::LifecycleHook) => {
                Some(Reason::ScaleIn)
            }
            (None, Origin::Operator) => Some(Reason::Request),
            (None, Origin::Rebalance) => Some(Reason::Rebalance),
        }
    }
}

/// Recurring time in which no drain of some reasons begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Name, for display.
    pub name: String,
    /// Times at which it begins, on the clocks of its zone.
    pub schedule: Cron,
    /// Time from each beginning to its end, whatever the clocks of the zone do meanwhile.
    pub duration: SignedDuration,
    /// Time zone of the schedule.
    pub zone: TimeZone,
    /// Reasons of the drains that do not begin in it.
    pub reasons: Vec<Reason>,
}

impl Window {
    /// Returns the end of the window that is closed at this moment, if one is. The moment of its end
    /// is outside of it.
    fn end(&self, at: Timestamp) -> Option<Timestamp> {
        let end = self.last_begin(at)?.checked_add(self.duration).ok()?;
        (end > at).then_some(end)
    }

    /// Returns the last beginning that is not later than `at`, if one is recent enough to matter.
    fn last_begin(&self, at: Timestamp) -> Option<Timestamp> {
        // Where clocks go back over midnight, a time of the next day may have begun already; where
        // they go forward over a day, that day begins at its end.
        let last = self.zone.to_datetime(at).date().tomorrow().ok()?;
        let since = at.checked_sub(self.duration).ok()?;
        let first = self.zone.to_datetime(since).date().yesterday().ok()?;
        let mut day = last;
        while day >= first {
            if self.schedule.is_on(day) {
                // The times of a day come in order, also over a change of the clocks.
                let begun = |time: &_| self.begin(day.to_datetime(*time)).is_some_and(|b| b <= at);
                let count = self.schedule.times().partition_point(begun);
                if let Some(time) = count.checked_sub(1).and_then(|i| self.schedule.times().get(i))
                {
                    return self.begin(day.to_datetime(*time));
                }
            }
            day = day.yesterday().ok()?;
        }
        None
    }

    /// Returns the moment at which clocks show this time: the first of two, and the end of the gap
    /// if they skip it.
    fn begin(&self, time: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset }
            | AmbiguousOffset::Fold { before: offset, .. } => offset.to_timestamp(time).ok(),
            AmbiguousOffset::Gap { after, .. } => {
                // With the offset after the gap, the time is a moment before the gap.
                let before = after.to_timestamp(time).ok()?;
                self.zone.following(before).next().map(|change| change.timestamp())
            }
        }
    }
}

/// Returns the window that is closed for this reason, and its own end. Of several, the one that ends
/// last.
fn closed(windows: &[Arc<Window>], reason: Reason, at: Timestamp) -> Option<(&Window, Timestamp)> {
    windows
        .iter()
        .filter(|window| window.reasons.contains(&reason))
        .filter_map(|window| Some((window.as_ref(), window.end(at)?)))
        .max_by_key(|(_, end)| *end)
}

/// Returns whether a drain of this reason may not begin now.
pub fn is_closed(windows: &[Arc<Window>], reason: Reason, now: Timestamp) -> bool {
    closed(windows, reason, now).is_some()
}

/// Returns the window that keeps a drain of this reason from beginning, and the moment from which no
/// window does: the end of all windows that begin before the one before them has ended.
pub fn closed_until(
    windows: &[Arc<Window>],
    reason: Reason,
    now: Timestamp,
) -> Option<(&Window, Timestamp)> {
    let (window, mut until) = closed(windows, reason, now)?;
    for _ in 0..CHAIN {
        match closed(windows, reason, until) {
            Some((_, end)) => until = end,
            None => break,
        }
    }
    Some((window, until))
}

/// Returns whether these windows together are closed for this reason from `from` for as long as
/// `span`.
pub fn are_closed_for(
    windows: &[Arc<Window>],
    reason: Reason,
    from: Timestamp,
    span: SignedDuration,
) -> bool {
    let mut until = from;
    while until.duration_since(from) < span {
        match closed(windows, reason, until) {
            Some((_, end)) => until = end,
            None => return false,
        }
    }
    true
}
