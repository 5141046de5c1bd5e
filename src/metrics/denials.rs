//! Which operations of AWS are denied again and again.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// An operation of AWS: service and name.
pub(super) type Operation = (String, String);

/// Since when each operation has been denied again and again, and when it was last. One that is
/// denied for good can be asked for once a drain, and be allowed on something else in between.
#[derive(Debug, Default)]
pub(super) struct Denials(BTreeMap<Operation, (Instant, Instant)>);

impl Denials {
    /// Denials that are further apart have nothing to do with each other.
    const APART: Duration = Duration::from_secs(3600);
    /// How far the first and the last are apart before that is told: a policy can take a moment to
    /// work.
    const LASTS: Duration = Duration::from_secs(60);
    /// For how long it is told after the last one.
    const TOLD: Duration = Duration::from_secs(900);

    /// An operation was denied.
    pub(super) fn note(&mut self, operation: Operation, now: Instant) {
        let (first, last) = self.0.entry(operation).or_insert((now, now));
        if now.duration_since(*last) >= Denials::APART {
            *first = now;
        }
        *last = now;
    }

    /// Those that are denied again and again.
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
    fn an_operation_that_is_denied_again_and_again_is_told_until_it_has_not_been_for_a_while() {
        let of = || ("ecs".to_owned(), "ListTasks".to_owned());
        let (begin, mut denials) = (Instant::now(), Denials::default());
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        for (denied, asked, told) in [
            (0, 0, 0),
            (59, 59, 0),
            (1200, 1200, 1),
            (1200, 2099, 1),
            (1200, 2100, 0),
            // An hour later it is another matter.
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
