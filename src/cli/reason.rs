//! The reason of a drain as it reads now. Its record was written earlier, so a moment in it can
//! have passed, and its place in the queue can be another.

use crate::cli::words::age;
use ecs_drain_state::Record;
use ecs_drain_state::why::as_of;
use jiff::{SignedDuration, Timestamp};

/// Age of a record from which its place in the queue is shown with that age.
const OLD: SignedDuration = SignedDuration::from_mins(1);

/// Returns a reason of the record, or a part of it, as it reads now.
pub(crate) fn current(record: &Record, reason: &str, now: Timestamp) -> String {
    if record.is_done() {
        return reason.to_owned();
    }
    let text = as_of(reason, now);
    let queued = record.shown.why == "WaitsForTurn" && reason.starts_with("queued for ");
    if queued && now.duration_since(record.updated_at) > OLD {
        return format!("{text} (as of {} ago)", age(record.updated_at, now));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;
    use crate::cli::samples::{now, waiting};
    use crate::store::Read;
    use std::time::Duration;

    fn record(why: &ecs_drain_state::Why, seconds_ago: i64) -> Record {
        let (_, Read::Record(mut record)) = waiting() else { panic!("a record") };
        record.updated_at = now() - SignedDuration::from_secs(seconds_ago);
        record.explain(why, record.updated_at);
        *record
    }

    fn shown(record: &Record) -> String {
        current(record, &record.shown.message, now())
    }

    #[test]
    fn a_check_whose_moment_has_passed_is_due() {
        let why = ecs_drain_state::Why::Settling { left: Duration::from_secs(20) };
        assert_eq!(
            shown(&record(&why, 10)),
            "no task or target left; the first check is at 2023-11-14T22:13:30Z"
        );
        assert_eq!(shown(&record(&why, 58)), "no task or target left; the first check is due");
    }

    #[test]
    fn an_old_place_in_the_queue_is_shown_with_its_age() {
        let scope = ecs_drain_state::budget::Scope::Cluster("web".to_owned());
        let why = ecs_drain_state::Why::WaitsForTurn { scope, running: 1, limit: 1, ahead: 2 };
        let fresh = shown(&record(&why, 30));
        assert!(fresh.ends_with("; 2 ahead of it"), "{fresh}");
        assert_eq!(shown(&record(&why, 240)), format!("{fresh} (as of 4 min ago)"));
    }
}
