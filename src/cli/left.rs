//! Counts the tasks and load balancer targets that are still on an instance, according to its
//! record. A count that was never read is not 0.

use crate::cli::words::length;
use ecs_drain_state::why::{Span, as_of};
use ecs_drain_state::{Obligation, Outcome, Phase, Record};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// Counts from a record; None: not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Tasks that the drain waits for.
    pub tasks: Option<u32>,
    /// Load balancer targets that are left.
    pub targets: Option<u32>,
    /// Number of targets in the record that must be gone before the instance is released, whether
    /// or not their state was read.
    pub known: usize,
    /// True if the drain has ended, so that nothing more is read.
    pub over: bool,
}

impl Left {
    /// Reads the counts of a record. Known targets are read only once no task is left: until
    /// then the count 0 in the record means that they were not read.
    pub(crate) fn of(record: &Record) -> Left {
        let known = record.obligations.len();
        let (tasks_read, targets_read) = match record.phase() {
            Phase::Pending => (false, false),
            Phase::Deregistering => (false, known == 0),
            Phase::Waiting => (record.shown.why != "Unknown", known == 0),
            Phase::Verifying => (true, true),
            // With these outcomes the counts are final. With any other, tasks and targets may be
            // left.
            Phase::Completing | Phase::Returning | Phase::Done => match ended(record) {
                Some(Outcome::Drained | Outcome::NotInCluster | Outcome::InstanceGone) => {
                    (true, true)
                }
                Some(_) | None => (was_in(record, Phase::Waiting), known == 0),
            },
        };
        let count = |count: u32, read: bool| (count > 0 || read).then_some(count);
        Left {
            tasks: count(record.shown.tasks_left_count, tasks_read),
            targets: count(record.shown.targets_left_count, targets_read),
            known,
            over: record.is_done(),
        }
    }

    /// Returns the number of tasks, such as `3`, or that they were not read.
    pub(crate) fn tasks(&self) -> String {
        self.tasks.map_or_else(|| format!("not read{}", self.yet()), |count| count.to_string())
    }

    /// Returns the number of targets, such as `1`, or that they were not checked, with the number
    /// of known targets.
    pub(crate) fn targets(&self) -> String {
        match (self.targets, self.known) {
            (Some(count), _) => count.to_string(),
            (None, 0) => format!("not checked{}", self.yet()),
            (None, known) => format!("not checked{} ({known} known)", self.yet()),
        }
    }

    fn yet(&self) -> &'static str {
        if self.over { "" } else { " yet" }
    }
}

fn ended(record: &Record) -> Option<Outcome> {
    record.outcome().or_else(|| record.intent().map(|intent| intent.outcome))
}

fn was_in(record: &Record, phase: Phase) -> bool {
    record.history.iter().any(|event| event.phase == phase)
}

/// Returns the names of tasks or targets as they read at `now`, and the number of further ones of
/// `count`.
pub(crate) fn names(names: &[String], count: u32, now: Timestamp) -> Vec<String> {
    let mut shown: Vec<String> = names.iter().map(|name| as_of(name, now)).collect();
    let beside = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(names.len());
    if beside > 0 {
        shown.push(format!("and {beside} more"));
    }
    shown
}

/// Returns a target with its deregistration delay, and the time that is left of it.
pub(crate) fn target(one: &Obligation, record: &Record, now: Timestamp) -> String {
    let Some(delay) = one.delay_seconds else { return one.to_string() };
    let drains = record.shown.targets_left_count > 0 && !record.is_done();
    let left = one.drained_by().filter(|_| drains);
    let left = left.and_then(|end| Duration::try_from(end.duration_since(now)).ok());
    let left = left.map_or_else(String::new, |left| format!("; at most {} left", Span(left)));
    let delay = length(SignedDuration::from_secs(i64::from(delay)));
    format!("{one} (deregistration delay {delay}{left})")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;
    use crate::cli::samples::{done, now, waiting};
    use crate::store::Read;
    use ecs_drain_state::Stage;

    fn of(record: &Record) -> (Option<u32>, Option<u32>) {
        let left = Left::of(record);
        (left.tasks, left.targets)
    }

    #[test]
    fn a_count_that_was_not_read_is_not_0() {
        let (_, Read::Record(mut record)) = waiting() else { panic!("a record") };
        record.shown.targets_left_count = 0;
        assert_eq!(of(&record), (Some(3), None));
        assert_eq!(Left::of(&record).targets(), "not checked yet (1 known)");
        record.obligations.clear();
        assert_eq!(of(&record), (Some(3), Some(0)));
        record.shown.tasks_left_count = 0;
        record.shown.why = "Unknown".to_owned();
        assert_eq!(of(&record), (None, Some(0)));
        record.stage = Stage::Pending;
        assert_eq!(of(&record), (None, None));
        record.stage = Stage::Verifying;
        assert_eq!(of(&record), (Some(0), Some(0)));
    }

    #[test]
    fn the_delay_of_a_target_is_over_once_it_has_passed() {
        let (_, Read::Record(record)) = waiting() else { panic!("a record") };
        let (count, left) = (record.shown.targets_left_count, &record.shown.targets_left);
        let before = names(left, count, now());
        assert_eq!(
            before,
            ["i-0waiting in target group shop: draining, until 2023-11-14T22:15:40Z at most"]
        );
        let after = names(left, count, now() + SignedDuration::from_mins(5));
        assert_eq!(
            after,
            [
                "i-0waiting in target group shop: draining, past its delay since 2023-11-14T22:15:40Z"
            ]
        );
    }

    #[test]
    fn a_drain_that_was_forced_has_not_checked_its_targets() {
        let (_, Read::Record(mut record)) = done() else { panic!("a record") };
        let (_, Read::Record(known)) = waiting() else { panic!("a record") };
        record.obligations = known.obligations;
        assert_eq!(of(&record), (Some(1), None));
        record.shown.tasks_left_count = 0;
        assert_eq!(of(&record), (Some(0), None));
        assert_eq!(Left::of(&record).targets(), "not checked (1 known)");
        record.history.clear();
        assert_eq!(of(&record), (None, None));
    }
}
