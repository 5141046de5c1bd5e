//! Time for which reads without a gap have shown something. It is memory, and may be lost: then the
//! spans begin again.

use crate::time::{Read, Run};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Longest time between two reads of one span. Something may have changed and changed back within
/// a longer one.
const GAP: Duration = Duration::from_secs(90);

/// The spans of things with names: instances that are fit, services that are short of tasks.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    runs: BTreeMap<String, Run>,
}

impl Spans {
    /// Takes over a complete read: the names of all for which it holds. The span of any other
    /// ends.
    pub fn note(&mut self, read: Read, names: &BTreeSet<String>) {
        let runs = names.iter().map(|name| {
            let run = self.runs.get(name).copied();
            let unbroken = run.filter(|run| read.began.since(run.last.ended) <= GAP);
            (name.clone(), Run::extend(unbroken, read))
        });
        self.runs = runs.collect();
    }

    /// Returns the time for which it has held, or `None` if the last read does not show it. It
    /// began by the end of its first read, and held until the beginning of its last.
    pub fn of(&self, name: &str) -> Option<Duration> {
        self.runs.get(name).map(|run| run.last.began.since(run.first.ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Mono;

    fn at(began: u64) -> Read {
        let mono = |seconds| Mono::at(Duration::from_secs(seconds));
        Read { began: mono(began), ended: mono(began + 2) }
    }

    fn seen(reads: &[(u64, &[&str])]) -> Option<u64> {
        let mut spans = Spans::default();
        for (began, names) in reads {
            spans.note(at(*began), &names.iter().map(|name| (*name).to_owned()).collect());
        }
        spans.of("i-1").map(|span| span.as_secs())
    }

    #[test]
    fn a_span_lasts_from_the_end_of_one_read_to_the_beginning_of_another() {
        assert_eq!(seen(&[(0, &["i-1"])]), Some(0));
        assert_eq!(seen(&[(0, &["i-1"]), (30, &["i-1", "i-2"]), (60, &["i-1"])]), Some(58));
    }

    #[test]
    fn a_read_that_does_not_show_it_ends_its_span() {
        assert_eq!(seen(&[(0, &["i-1"]), (30, &["i-2"])]), None);
        assert_eq!(seen(&[(0, &["i-1"]), (30, &[]), (60, &["i-1"]), (90, &["i-1"])]), Some(28));
    }

    #[test]
    fn a_gap_between_reads_ends_a_span() {
        assert_eq!(
            seen(&[(0, &["i-1"]), (30, &["i-1"]), (123, &["i-1"]), (130, &["i-1"])]),
            Some(5)
        );
    }
}
