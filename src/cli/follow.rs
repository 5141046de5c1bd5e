//! `--follow`: prints the steps of drains until they end. It only reads, so interrupting it stops
//! no drain.

use crate::cli::Failure;
use crate::cli::words::{Screen, iso, short};
use crate::quote::plain;
use crate::store::{Read, Store};
use ecs_drain_state::{Outcome, Record};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// Time between two reads.
const EVERY: Duration = Duration::from_secs(2);

/// Steps of drains that were printed.
#[derive(Debug, Default)]
pub(crate) struct Follow {
    /// Last line printed for each drain, without its time.
    said: BTreeMap<String, String>,
    ended: BTreeMap<String, Option<Outcome>>,
}

impl Follow {
    /// Stores the steps in the records that were read, and returns a line for each that changed.
    fn take(&mut self, keys: &[String], read: Vec<(String, Read)>, now: Timestamp) -> String {
        let mut lines = String::new();
        let mut read: BTreeMap<String, Read> = read.into_iter().collect();
        for key in
            keys.iter().filter(|key| !self.ended.contains_key(*key)).cloned().collect::<Vec<_>>()
        {
            let (what, ended) = match read.remove(&key) {
                Some(Read::Record(record)) => {
                    let ended = record.is_done().then(|| record.outcome());
                    (step(&record), ended)
                }
                Some(Read::Newer { schema }) => (
                    format!(
                        "a newer ecs-drain wrote its record (schema {schema}); use that version"
                    ),
                    Some(None),
                ),
                Some(Read::Unreadable { why }) => {
                    (format!("its record cannot be read: {why}"), Some(None))
                }
                None => ("its record is gone".to_owned(), Some(None)),
            };
            if self.said.get(&key) != Some(&what) {
                let instance = key.rsplit('/').next().unwrap_or(&key);
                let line = format!("{}  {instance}  {what}", iso(now));
                lines.push_str(&(plain(&line) + "\n"));
                self.said.insert(key.clone(), what);
            }
            if let Some(outcome) = ended {
                self.ended.insert(key, outcome);
            }
        }
        lines
    }

    /// Returns the number of drains that ended otherwise than drained, forced, cancelled or in no
    /// cluster.
    fn bad(&self) -> usize {
        let good = |outcome: &Option<Outcome>| {
            matches!(
                outcome,
                Some(
                    Outcome::Drained | Outcome::Forced | Outcome::Cancelled | Outcome::NotInCluster
                )
            )
        };
        self.ended.values().filter(|outcome| !good(outcome)).count()
    }
}

fn step(record: &Record) -> String {
    let message = short(&record.shown.message);
    match record.outcome().filter(|_| record.is_done()) {
        Some(outcome) => format!("Done: {outcome}: {message}"),
        None => format!("{}: {message}", record.phase()),
    }
}

/// Prints the steps of drains until all of them have ended.
///
/// # Errors
/// Returns an error if the table cannot be read, or a drain ended otherwise than drained, forced,
/// cancelled or in no cluster.
pub(crate) async fn follow(
    store: &Store,
    keys: &[String],
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut follow = Follow::default();
    loop {
        match store.get_many(keys).await {
            Ok(read) => {
                let lines = follow.take(keys, read, Timestamp::now());
                out.write_all(Screen::detect().fit(&lines).as_bytes())?;
                out.flush()?;
            }
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error.into()),
        }
        if follow.ended.len() >= keys.len() {
            break;
        }
        tokio::time::sleep(EVERY).await;
    }
    match (follow.bad(), keys.len()) {
        (0, _) => Ok(()),
        (_, 1) => Err(Failure::failed("the drain did not end as it should; see the line above")),
        (n, all) => Err(Failure::failed(format!("{n} of {all} drains did not end as they should"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::{done, now, unread, waiting};

    #[test]
    fn a_step_is_printed_once_and_an_end_ends_it() {
        let (one, two) = (waiting(), done());
        let keys = [one.0.clone(), two.0.clone()];
        let mut follow = Follow::default();
        let lines = follow.take(&keys, vec![one.clone(), two.clone()], now());
        assert_eq!(
            lines,
            "\
2023-11-14T22:13:20Z  i-0waiting  Waiting: 3 tasks left: task 0a1b of service shop is RUNNING and 2 more
2023-11-14T22:13:20Z  i-0done  Done: TimedOut: released at its deadline
"
        );
        assert_eq!(follow.take(&keys, vec![one, two], now()), "");
        assert_eq!((follow.ended.len(), follow.bad()), (1, 1));
    }

    #[test]
    fn a_record_that_is_gone_or_unreadable_ends_it_and_fails() {
        let mut all = unread();
        let mut keys: Vec<String> = all.iter().map(|(key, _)| key.clone()).collect();
        keys.push("1/eu/i-0gone".to_owned());
        all.retain(|(key, _)| key != "1/eu/i-0gone");
        let mut follow = Follow::default();
        let lines = follow.take(&keys, all, now());
        assert!(lines.contains("i-0gone  its record is gone"), "{lines}");
        assert_eq!((follow.ended.len(), follow.bad()), (3, 3));
    }
}
