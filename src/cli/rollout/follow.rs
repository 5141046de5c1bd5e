//! `--follow`: prints the steps of rollouts until they end. It only reads, so interrupting it stops
//! no rollout.

use super::{counts, drains, place, queued, stage, unread};
use crate::cli::Failure;
use crate::cli::words::{Screen, iso, short};
use crate::quote::plain;
use crate::store::{Read, ReadRollout, Store, StoreError};
use ecs_drain_state::rollout::{Rollout, Stage};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// Time between two reads.
const EVERY: Duration = Duration::from_secs(2);

/// Steps of rollouts that were printed.
#[derive(Debug, Default)]
struct Follow {
    /// Last line printed for each rollout, without its time.
    said: BTreeMap<String, String>,
    /// Rollouts that ended or stopped; true for those that ended as wanted.
    ended: BTreeMap<String, bool>,
    /// True if an early end is wanted too.
    early: bool,
}

impl Follow {
    /// Stores the steps in the rollouts that were read, and returns a line for each that changed.
    fn take(
        &mut self,
        keys: &[String],
        read: Vec<(String, ReadRollout)>,
        records: &BTreeMap<String, Read>,
        now: Timestamp,
    ) -> String {
        let mut lines = String::new();
        let mut read: BTreeMap<String, ReadRollout> = read.into_iter().collect();
        for key in keys {
            if self.ended.contains_key(key) {
                continue;
            }
            let (what, ended) = match read.remove(key) {
                Some(ReadRollout::Rollout(rollout)) => {
                    let queued = queued(&drains(&rollout), records);
                    (step(&rollout, queued), self.ended(&rollout))
                }
                Some(other) => (unread(&other).unwrap_or_default(), Some(false)),
                None => ("its item is gone".to_owned(), Some(false)),
            };
            if self.said.get(key) != Some(&what) {
                let line = format!("{}  {}  {what}", iso(now), place(key)[2]);
                lines.push_str(&(plain(&line) + "\n"));
                self.said.insert(key.clone(), what);
            }
            if let Some(well) = ended {
                self.ended.insert(key.clone(), well);
            }
        }
        lines
    }

    /// Returns whether a rollout ended as wanted, once it ended or stopped.
    const fn ended(&self, rollout: &Rollout) -> Option<bool> {
        match rollout.stage {
            Stage::Done { .. } => Some(self.early || rollout.succeeded()),
            Stage::Stopped { .. } => Some(false),
            Stage::Counting
            | Stage::Running
            | Stage::Paused { .. }
            | Stage::Aborting
            | Stage::Undoing => None,
        }
    }
}

fn step(rollout: &Rollout, queued: u32) -> String {
    let (stage, counts) = (stage(rollout), counts(rollout.progress(), queued));
    match &rollout.stage {
        Stage::Done { .. } => format!("{stage}: {counts}"),
        Stage::Stopped { why } => format!("{stage}: {counts}: {}", short(why)),
        Stage::Counting
        | Stage::Running
        | Stage::Paused { .. }
        | Stage::Aborting
        | Stage::Undoing => format!("{stage}: {counts}: {}", short(&rollout.message)),
    }
}

/// Reads rollouts, and the records of their drains.
async fn read(
    store: &Store,
    keys: &[String],
) -> Result<(Vec<(String, ReadRollout)>, BTreeMap<String, Read>), StoreError> {
    let read = store.rollouts(keys).await?;
    let drains: Vec<String> = read
        .iter()
        .flat_map(|(_, read)| match read {
            ReadRollout::Rollout(rollout) => drains(rollout),
            ReadRollout::Newer { .. } | ReadRollout::Unreadable { .. } => Vec::new(),
        })
        .collect();
    let records = store.get_many(&drains).await?.into_iter().collect();
    Ok((read, records))
}

/// Prints the steps of rollouts until each has ended or stopped. With `early`, an end before every
/// old instance was replaced is no failure.
///
/// # Errors
/// Returns an error if the table cannot be read, or a rollout stopped or did not replace all.
pub(super) async fn follow(
    store: &Store,
    keys: &[String],
    early: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut follow = Follow { early, ..Follow::default() };
    while follow.ended.len() < keys.len() {
        match read(store, keys).await {
            Ok((read, records)) => {
                let lines = follow.take(keys, read, &records, Timestamp::now());
                out.write_all(Screen::detect().fit(&lines).as_bytes())?;
                out.flush()?;
            }
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error.into()),
        }
        if follow.ended.len() < keys.len() {
            tokio::time::sleep(EVERY).await;
        }
    }
    match (follow.ended.values().filter(|well| !**well).count(), keys.len()) {
        (0, _) => Ok(()),
        (_, 1) => Err(Failure::failed("the rollout did not end as it should; see the line above")),
        (n, all) => {
            Err(Failure::failed(format!("{n} of {all} rollouts did not end as they should")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::{now, rollouts, waiting};
    use ecs_drain_state::rollout::Outcome;

    #[test]
    fn a_step_is_printed_once_and_a_stop_ends_it() {
        let read = rollouts();
        let keys: Vec<String> = read.iter().map(|(key, _)| key.clone()).collect();
        let mut follow = Follow::default();
        let mut records: BTreeMap<String, Read> = read
            .iter()
            .filter_map(|(_, read)| match read {
                ReadRollout::Rollout(rollout) => Some(drains(rollout)),
                ReadRollout::Newer { .. } | ReadRollout::Unreadable { .. } => None,
            })
            .flatten()
            .map(|key| (key, waiting().1))
            .collect();
        assert_eq!(
            follow.take(&keys[..3], read.clone(), &records, now()),
            "\
2023-11-14T22:13:20Z  agent-1.90  Running: 3 of 6 replaced, 1 draining, 2 waiting: waits for drains of old instances
2023-11-14T22:13:20Z  january  Stopped: 1 of 4 replaced, 1 draining, 2 waiting: the drain of i-0web1 has been stuck for 30 min: task 91105849 of service shop is RUNNING
2023-11-14T22:13:20Z  december  Done: Replaced: 2 of 2 replaced
"
        );
        assert_eq!(follow.take(&keys[..3], read.clone(), &records, now()), "");
        // A request for a drain that was not carried out yet has no record.
        records.clear();
        let lines = follow.take(&keys[..1], read, &records, now());
        assert!(lines.contains("3 of 6 replaced, 1 queued, 2 waiting: waits"), "{lines}");
        let ended: Vec<bool> = follow.ended.values().copied().collect();
        assert_eq!(ended, [true, false], "the second stopped");
    }

    #[test]
    fn only_a_rollout_that_replaced_all_ended_well() {
        let read = rollouts();
        let Some((_, ReadRollout::Rollout(done))) = read.get(2) else { return };
        let mut done = done.clone();
        assert_eq!(Follow::default().ended(&done), Some(true));
        done.stage = Stage::Done { outcome: Outcome::Undone };
        assert_eq!(Follow::default().ended(&done), Some(false));
        assert_eq!(Follow { early: true, ..Follow::default() }.ended(&done), Some(true));
        let mut follow = Follow::default();
        let lines = follow.take(
            &["rollout/default/1/eu/gone".to_owned()],
            Vec::new(),
            &BTreeMap::new(),
            now(),
        );
        assert!(lines.ends_with("gone  its item is gone\n"), "{lines}");
    }
}
