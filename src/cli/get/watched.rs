//! The drains that `get --watch` has seen: those that end while it runs stay on the screen for a
//! while, and are counted.

use crate::cli::selector::Selector;
use crate::store::Read;
use ecs_drain_state::Outcome;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Time for which a drain that has ended stays on the screen.
const STAYS: SignedDuration = SignedDuration::from_mins(10);

/// Drains that were seen unfinished since the command began.
#[derive(Debug)]
pub(super) struct Watched {
    since: Timestamp,
    /// Keys of those that have not ended.
    open: BTreeSet<String>,
    /// Those that have ended, each with its end.
    ended: BTreeMap<String, (Timestamp, Outcome)>,
}

impl Watched {
    pub(super) const fn new(since: Timestamp) -> Watched {
        Watched { since, open: BTreeSet::new(), ended: BTreeMap::new() }
    }

    /// Returns the keys to read in addition to the unfinished ones.
    pub(super) fn keys(&self, now: Timestamp) -> Vec<String> {
        let lately = self.ended.keys().filter(|key| self.ended_lately(key, now));
        self.open.iter().chain(lately).cloned().collect()
    }

    /// Remembers the drains that were read. Those of a deleted record are forgotten.
    pub(super) fn see(&mut self, records: &[(String, Read)], selector: &Selector) {
        let read: BTreeSet<&String> = records.iter().map(|(key, _)| key).collect();
        self.open.retain(|key| read.contains(key));
        for (key, read) in records {
            let Read::Record(record) = read else { continue };
            match record.outcome() {
                Some(outcome) if self.open.remove(key) => {
                    self.ended.insert(key.clone(), (record.phase_since, outcome));
                }
                None if selector.matches(key, read) => {
                    self.ended.remove(key);
                    self.open.insert(key.clone());
                }
                Some(_) | None => {}
            }
        }
    }

    /// Returns whether a drain ended while the command ran, and not long ago.
    pub(super) fn ended_lately(&self, key: &str, now: Timestamp) -> bool {
        self.ended.get(key).is_some_and(|(at, _)| now.duration_since(*at) <= STAYS)
    }

    /// Returns the number of drains that have ended, with their outcomes; nothing before the first
    /// drain was seen.
    pub(super) fn line(&self) -> String {
        let all = self.open.len() + self.ended.len();
        if all == 0 {
            return String::new();
        }
        let mut outcomes = BTreeMap::<&str, usize>::new();
        for (_, outcome) in self.ended.values() {
            *outcomes.entry(outcome.name()).or_default() += 1;
        }
        let outcomes: Vec<String> =
            outcomes.iter().map(|(outcome, n)| format!("{n} {outcome}")).collect();
        let outcomes = match outcomes.as_slice() {
            [] => String::new(),
            some => format!(": {}", some.join(", ")),
        };
        let since = self.since.strftime("%H:%M:%SZ");
        format!("{} of {all} done since {since}{outcomes}\n", self.ended.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::{done, now, stuck, unread, waiting};

    /// Returns the waiting drain once it has ended, a minute ago.
    fn ended() -> (String, Read) {
        let ((key, _), (_, mut read)) = (waiting(), done());
        if let Read::Record(record) = &mut read {
            record.instance_id = "i-0waiting".to_owned();
            record.phase_since = now() - SignedDuration::from_mins(1);
        }
        (key, read)
    }

    #[test]
    fn a_drain_that_ends_stays_for_a_while_and_is_counted() {
        let any = Selector::default();
        let mut watched = Watched::new(now());
        assert_eq!(watched.line(), "");
        // One that ended before, and records that cannot be read, are not counted.
        let mut read = vec![waiting(), stuck(), done()];
        read.extend(unread());
        watched.see(&read, &any);
        assert!(!watched.ended_lately(&done().0, now()));
        assert_eq!(watched.line(), "0 of 2 done since 22:13:20Z\n");

        let read = [stuck(), ended()];
        watched.see(&read, &any);
        assert!(watched.ended_lately(&ended().0, now()));
        assert_eq!(watched.line(), "1 of 2 done since 22:13:20Z: 1 TimedOut\n");
        assert_eq!(watched.keys(now()).len(), 2);

        // Later only its count is left, and it is no longer read.
        let later = now() + STAYS;
        assert!(!watched.ended_lately(&ended().0, later));
        assert_eq!(watched.keys(later), [stuck().0]);
        watched.see(&[stuck()], &any);
        assert_eq!(watched.line(), "1 of 2 done since 22:13:20Z: 1 TimedOut\n");

        // The same instance drains again; the other record was deleted.
        watched.see(&[waiting()], &any);
        assert_eq!(watched.line(), "0 of 1 done since 22:13:20Z\n");
    }

    #[test]
    fn only_drains_that_the_selector_matches_are_counted() -> Result<(), String> {
        let mut watched = Watched::new(now());
        watched.see(&[waiting(), stuck()], &"stuck".parse()?);
        assert_eq!(watched.line(), "0 of 1 done since 22:13:20Z\n");
        Ok(())
    }
}
