//! Store of records: the table, or, in a dry run, a map that is gone with the process.
//!
//! A map was chosen over an embedded database behind the same store, because a dry run must not
//! need more than a run. The map takes a few lines in each method; a dry run does not need
//! conditions between processes.

use crate::store::{
    Answer, OpenWork, Pauses, Read, ReadRequest, ReadRollout, Saved, Status, Store, StoreError,
    UnfinishedKey,
};
use ecs_drain_state::Record;
use ecs_drain_state::rollout::Rollout;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The records of one controller.
pub(crate) enum Records {
    /// The table.
    Table(Store),
    /// A dry run.
    Memory(RefCell<BTreeMap<String, Record>>),
}

impl Records {
    /// Checks that the table exists and has the right shape.
    ///
    /// # Errors
    /// Returns an error if it does not, with what to do about it.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        match self {
            Records::Table(store) => store.check().await,
            Records::Memory(_) => Ok(()),
        }
    }

    /// Writes which reads fail. A dry run writes nothing.
    ///
    /// # Errors
    /// Returns an error if the table did not answer, or refused.
    pub(crate) async fn set_status(&self, status: &Status) -> Result<(), StoreError> {
        match self {
            Records::Table(store) => store.set_status(status).await,
            Records::Memory(_) => Ok(()),
        }
    }

    /// Creates a record unless there is one.
    ///
    /// # Errors
    /// Returns an error if the table did not answer, or refused.
    pub(crate) async fn create(&self, record: Record) -> Result<Saved, StoreError> {
        match self {
            Records::Table(store) => store.create(record).await,
            Records::Memory(map) => {
                let mut map = map.borrow_mut();
                if map.contains_key(&record.key()) {
                    return Ok(Saved::LostRace);
                }
                Ok(Saved::Saved(Box::new(keep(&mut map, record))))
            }
        }
    }

    /// Writes a record over the version that it was read at.
    ///
    /// # Errors
    /// Returns an error if the table did not answer, or refused.
    pub(crate) async fn save(&self, record: Record) -> Result<Saved, StoreError> {
        match self {
            Records::Table(store) => store.save(record).await,
            Records::Memory(map) => {
                let mut map = map.borrow_mut();
                if map.get(&record.key()).map(|r| r.version) != Some(record.version) {
                    return Ok(Saved::LostRace);
                }
                Ok(Saved::Saved(Box::new(keep(&mut map, record))))
            }
        }
    }

    /// Reads a record as it is now.
    ///
    /// # Errors
    /// Returns an error if the table did not answer, or refused.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Read>, StoreError> {
        match self {
            Records::Table(store) => store.get(key).await,
            Records::Memory(map) => {
                Ok(map.borrow().get(key).cloned().map(|r| Read::Record(Box::new(r))))
            }
        }
    }

    /// Reads many records as they are now. Omits records that do not exist.
    ///
    /// # Errors
    /// Returns an error if the table did not answer, or refused.
    pub(crate) async fn get_many(
        &self,
        keys: &[String],
    ) -> Result<Vec<(String, Read)>, StoreError> {
        match self {
            Records::Table(store) if !keys.is_empty() => store.get_many(keys).await,
            Records::Table(_) => Ok(Vec::new()),
            Records::Memory(map) => {
                let map = map.borrow();
                let found =
                    keys.iter().filter_map(|key| Some((key.clone(), map.get(key).cloned()?)));
                Ok(found.map(|(key, record)| (key, Read::Record(Box::new(record)))).collect())
            }
        }
    }

    /// Returns this controller's unfinished records and rollouts, and unanswered requests; they may
    /// lag behind. A dry run has only records.
    ///
    /// # Errors
    /// Returns an error if the table did not answer, or refused.
    pub(crate) async fn open_work(&self) -> Result<OpenWork, StoreError> {
        match self {
            Records::Table(store) => store.open_work().await,
            Records::Memory(map) => {
                let map = map.borrow();
                let unfinished = map.values().filter(|r| !r.is_done());
                let records = unfinished
                    .map(|r| UnfinishedKey { key: r.key(), version: r.version })
                    .collect();
                Ok(OpenWork { records, ..OpenWork::default() })
            }
        }
    }

    /// Writes a rollout over the version that it was read at, or creates one of version 0. Returns
    /// `None` if another process wrote first. A dry run writes none.
    ///
    /// # Errors
    /// Returns an error if the table did not answer, or refused.
    pub(crate) async fn save_rollout(
        &self,
        rollout: Rollout,
    ) -> Result<Option<Rollout>, StoreError> {
        match self {
            Records::Table(store) => store.save_rollout(rollout).await,
            Records::Memory(_) => Ok(None),
        }
    }

    /// Reads rollouts as they are now. Omits rollouts that do not exist.
    ///
    /// # Errors
    /// Returns an error if the table did not answer, or refused.
    pub(crate) async fn rollouts(
        &self,
        keys: &[String],
    ) -> Result<Vec<(String, ReadRollout)>, StoreError> {
        match self {
            Records::Table(store) if !keys.is_empty() => store.rollouts(keys).await,
            Records::Table(_) | Records::Memory(_) => Ok(Vec::new()),
        }
    }

    /// Reads requests as they are now.
    ///
    /// # Errors
    /// Returns an error if the table did not answer, or refused.
    pub(crate) async fn requests(
        &self,
        keys: &[String],
    ) -> Result<Vec<(String, ReadRequest)>, StoreError> {
        match self {
            Records::Table(store) if !keys.is_empty() => store.requests(keys).await,
            Records::Table(_) | Records::Memory(_) => Ok(Vec::new()),
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// Returns an error if the table did not answer, or refused.
    pub(crate) async fn answer(&self, key: &str, answer: &Answer) -> Result<(), StoreError> {
        match self {
            Records::Table(store) => store.answer(key, answer).await,
            Records::Memory(_) => Ok(()),
        }
    }

    /// Returns the pauses of everything, of accounts and regions, and of clusters.
    ///
    /// # Errors
    /// Returns an error if the table did not answer, or refused.
    pub(crate) async fn pauses(&self) -> Result<Pauses, StoreError> {
        match self {
            Records::Table(store) => store.pauses().await,
            Records::Memory(_) => Ok(Pauses::default()),
        }
    }
}

fn keep(map: &mut BTreeMap<String, Record>, mut record: Record) -> Record {
    record.version += 1;
    map.insert(record.key(), record.clone());
    record
}
