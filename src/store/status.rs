//! Failing reads of the leader: an item beside its lease, from which `get` and `doctor` report
//! them. It is written repeatedly while a read fails, and counts for a few minutes, because a
//! process that has died cannot remove it.

use super::schema::{EXPIRES_AT, KEY};
use super::{Store, StoreError, item};
use crate::aws::calls::PUT_ITEM;
use crate::blind::Spot;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Prefix of its key. No record's key has it: those begin with 12 digits.
pub(super) const KEY_PREFIX: &str = "status/";

/// Time for which it counts after it was written.
pub(crate) const COUNTS: SignedDuration = SignedDuration::from_mins(3);

/// Time for which it is kept in the table.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Failing reads of a controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Time at which it was written.
    pub at: Timestamp,
    /// The failing reads.
    pub blind: Vec<Spot>,
}

impl Store {
    /// Writes the failing reads.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub(crate) async fn set_status(&self, status: &Status) -> Result<(), StoreError> {
        let mut item = item::attributes(status).map_err(|why| self.place.other(&PUT_ITEM, why))?;
        let expires = status.at.saturating_add(KEPT).unwrap_or(status.at).as_second();
        item.insert(EXPIRES_AT.to_owned(), AttributeValue::N(expires.to_string()));
        item.insert(KEY.to_owned(), AttributeValue::S(self.status_key()));
        let put = self
            .records
            .put_item()
            .table_name(self.table())
            .set_item(Some(item.into_iter().collect()));
        put.send().await.map(drop).map_err(|error| self.place.failed(&PUT_ITEM, &error))
    }

    /// Reads this controller's failing reads of the last minutes.
    ///
    /// # Errors
    /// Returns an error if the call fails. An item that cannot be parsed was edited, and counts as
    /// empty.
    pub async fn blind(&self, now: Timestamp) -> Result<Vec<Spot>, StoreError> {
        let key = self.status_key();
        let items = self.get_items(std::slice::from_ref(&key)).await?;
        let status = items.get(&key).and_then(|item| item::parse::<Status>(item).ok());
        let counts = status.filter(|status| now.duration_since(status.at) < COUNTS);
        Ok(counts.map(|status| status.blind).unwrap_or_default())
    }

    fn status_key(&self) -> String {
        format!("{KEY_PREFIX}{}", self.controller)
    }
}
