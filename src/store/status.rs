//! What the controller that leads cannot read: an item beside its lease, so that `get` and `doctor`
//! can say it. It is written again and again while there is something to say, and counts for a few
//! minutes: a process that has died takes nothing back.

use super::schema::{EXPIRES_AT, KEY};
use super::{Store, StoreError, item};
use crate::aws::calls::PUT_ITEM;
use crate::blind::Spot;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// What its key begins with. No record's key does: those begin with 12 digits.
pub(super) const KEY_PREFIX: &str = "status/";

/// How long it counts after it was written.
pub const COUNTS: SignedDuration = SignedDuration::from_mins(3);

/// How long it stays in the table.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// What a controller cannot read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// When it was written.
    pub at: Timestamp,
    /// What cannot be read.
    pub blind: Vec<Spot>,
}

impl Store {
    /// Writes what cannot be read.
    ///
    /// # Errors
    /// As any call.
    pub async fn set_status(&self, status: &Status) -> Result<(), StoreError> {
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

    /// What this controller cannot read now, by its own word of the last minutes.
    ///
    /// # Errors
    /// As any call. What stands there and cannot be understood counts as nothing: it was edited.
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
