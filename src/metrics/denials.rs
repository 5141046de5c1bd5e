//! AWS operations that are denied repeatedly.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Service and name of an AWS operation.
pub(super) type Operation = (String, String);

/// Times of the first and the last denial of each operation. An operation that is denied for good
/// may be called only once a drain, and may be allowed on another resource in between.
#[derive(Debug, Default)]
pub(super) struct Denials(BTreeMap<Operation, (Instant, Instant)>);

impl Denials {
    /// Time between two denials from which they are unrelated.
    const APART: Duration = Duration::from_secs(3600);
    /// Time between the first and the last denial from which they are reported: a changed policy
    /// can take a moment to work.
    const LASTS: Duration = Duration::from_secs(60);
    /// Time for which they are reported after the last one.
    const TOLD: Duration = Duration::from_secs(900);

    /// Records that an operation was denied.
    pub(super) fn note(&mut self, operation: Operation, now: Instant) {
        let (first, last) = self.0.entry(operation).or_insert((now, now));
        if now.duration_since(*last) >= Denials::APART {
            *first = now;
        }
        *last = now;
    }

    /// Returns the operations that are denied repeatedly.
    pub(super) fn lasting(&self, now: Instant) -> Vec<Operation> {
        let lasts = |(first, last): &(Instant, Instant)| {
            last.duration_since(*first) >= Denials::LASTS
                && now.duration_since(*last) < Denials::TOLD
        };
        self.0
            .iter()
            .filter(|(_, span)| lasts(span))
            .map(|(operation, _)| operation.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeatedly_denied_operation_is_reported_for_a_while() {
        let of = || ("ecs".to_owned(), "ListTasks".to_owned());
        let (begin, mut denials) = (Instant::now(), Denials::default());
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        for (denied, asked, told) in [
            (0, 0, 0),
            (59, 59, 0),
            (1200, 1200, 1),
            (1200, 2099, 1),
            (1200, 2100, 0),
            // An hour later it is unrelated.
            (4800, 4800, 0),
            (4860, 4860, 1),
        ] {
            denials.note(of(), at(denied));
            assert_eq!(
                denials.lasting(at(asked)).len(),
                told,
                "denied at {denied} s, asked at {asked} s"
            );
        }
    }
}
