//! Rollouts in the table, and operators' requests about them.
//!
//! A rollout is one item, written as a whole: nothing of an earlier rollout of its name remains. An
//! unfinished one is in the index of unfinished records, a finished one expires.
//!
//! The key of a request is that of other requests, with the rollout's name in place of the cluster:
//! `request/CONTROLLER/rollout-VERB/ACCOUNT/REGION/NAME/ID`.

use super::item::{self, Attributes};
use super::records::is_ours;
use super::requests::{self, ReadRequest};
use super::schema::{EXPIRES_AT, KEY, UNFINISHED, UNFINISHED_OF};
use super::{Store, StoreError};
use crate::aws::calls::{Call, PUT_ITEM};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure as OnRefusal};
use ecs_drain_state::request::SCHEMA as REQUEST_SCHEMA;
use ecs_drain_state::rollout::{KEY_PREFIX, Request, Rollout, SCHEMA};
use std::collections::HashMap;

/// Beginning of the verb of every request about a rollout.
const VERBS: &str = "rollout-";

/// Result of reading a rollout.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadRollout {
    /// A rollout that this program knows.
    Rollout(Box<Rollout>),
    /// A newer program wrote it, so this one does not act on it.
    Newer {
        /// Schema of the item.
        schema: u64,
    },
    /// It is no rollout as this program knows it: edited by hand, or written by something else.
    Unreadable {
        /// The attribute and its problem.
        why: String,
    },
}

/// Converts a rollout to an item.
///
/// # Errors
/// Returns the reason if the rollout has no item. This does not happen to rollouts of this program.
pub fn item_of(rollout: &Rollout) -> Result<Attributes, String> {
    let mut item = item::attributes(rollout)?;
    let key = rollout.key();
    if !rollout.is_done() {
        item.insert(UNFINISHED_OF.to_owned(), AttributeValue::S(rollout.controller.clone()));
        let entry = format!("{key}@{:012}", rollout.version);
        item.insert(UNFINISHED.to_owned(), AttributeValue::S(entry));
        // A TTL on an unfinished rollout would make DynamoDB delete it.
        item.remove(EXPIRES_AT);
    }
    item.insert(KEY.to_owned(), AttributeValue::S(key));
    Ok(item)
}

/// Converts an item to a rollout.
pub fn read(item: &HashMap<String, AttributeValue>) -> ReadRollout {
    match item::schema(item) {
        Some(schema) if schema > u64::from(SCHEMA) => ReadRollout::Newer { schema },
        Some(_) | None => match parse(item) {
            Ok(rollout) => ReadRollout::Rollout(Box::new(rollout)),
            Err(why) => ReadRollout::Unreadable { why },
        },
    }
}

fn parse(item: &HashMap<String, AttributeValue>) -> Result<Rollout, String> {
    let mut rollout: Rollout = item::parse(item)?;
    if rollout.schema != SCHEMA {
        return Err(format!("attribute schema: {} is unknown", rollout.schema));
    }
    let (is, says) = (item::key(item).unwrap_or_default(), rollout.key());
    let parts = [&rollout.controller, &rollout.account, &rollout.region, &rollout.name];
    if is != says || !parts.into_iter().all(|part| is_plain(part)) {
        let (is, says) = (item::shown(is), item::shown(&says));
        return Err(format!("its key is {is}, but its attributes say {says}"));
    }
    if !rollout.is_done() {
        rollout.expires_at = None;
    } else if rollout.expires_at.is_none() {
        return Err("attribute expires_at: missing, but stage is done".to_owned());
    }
    Ok(rollout)
}

/// Checks that a word is one part of a key.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && !word.contains('/')
}

/// Returns the key of a request in the table.
pub fn request_key(request: &Request) -> String {
    let Request { controller, what, account, region, rollout, id, .. } = request;
    let prefix = requests::KEY_PREFIX;
    format!("{prefix}{controller}/{}/{account}/{region}/{rollout}/{id}", what.name())
}

/// Converts a request to an item.
///
/// # Errors
/// Returns the reason if the request has no item. This does not happen to requests of this program.
pub fn item_of_request(request: &Request) -> Result<Attributes, String> {
    requests::item(request, request_key(request), &request.controller, request.at)
}

/// Checks whether a request is about a rollout, by its key.
pub(super) fn is_request(item: &HashMap<String, AttributeValue>) -> bool {
    let key = item::key(item).and_then(|key| key.strip_prefix(requests::KEY_PREFIX));
    key.and_then(|key| key.split('/').nth(1)).is_some_and(|verb| verb.starts_with(VERBS))
}

/// Converts an item whose schema is known to a request for this controller.
pub(super) fn read_request(
    item: &HashMap<String, AttributeValue>,
    controller: &str,
) -> Result<ReadRequest, String> {
    let request: Request = item::parse(item)?;
    if request.schema != REQUEST_SCHEMA {
        return Err(format!("attribute schema: {} is unknown", request.schema));
    }
    let parts = [&request.account, &request.region, &request.rollout, &request.id];
    let plain = parts.into_iter().all(|part| is_plain(part));
    requests::check(item, &request_key(&request), plain, &request.controller, controller)?;
    Ok(ReadRequest::Rollout(Box::new(request)))
}

impl Store {
    /// Writes a rollout: one of version 0 if there is none of its name, any other over the version
    /// that it was read with. Returns it with its new version and write id, or `None` if another
    /// process wrote first, or the item is gone. Read it again then.
    ///
    /// # Errors
    /// Returns an error if the call fails. After `Unavailable` the write may have been applied:
    /// read again.
    pub async fn save_rollout(&self, mut rollout: Rollout) -> Result<Option<Rollout>, StoreError> {
        const CALL: &Call = &PUT_ITEM;
        let seen = (rollout.version, rollout.write_id);
        rollout.version = rollout.version.saturating_add(1);
        rollout.write_id = self.ids.next();
        let item = item_of(&rollout).map_err(|why| self.place.other(CALL, why))?;
        let put = self
            .records
            .put_item()
            .table_name(self.table())
            .set_item(Some(item.into_iter().collect()))
            .return_values_on_condition_check_failure(OnRefusal::AllOld);
        let put = match seen {
            (0, _) => put
                .condition_expression("attribute_not_exists(#key)")
                .expression_attribute_names("#key", KEY),
            (version, write) => put
                .condition_expression("#version = :seen_version AND #write = :seen_write")
                .expression_attribute_names("#version", "version")
                .expression_attribute_names("#write", "write_id")
                .expression_attribute_values(
                    ":seen_version",
                    AttributeValue::N(version.to_string()),
                )
                .expression_attribute_values(":seen_write", AttributeValue::S(write)),
        };
        match put.send().await {
            Ok(_) => Ok(Some(rollout)),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refusal)) => {
                    Ok(is_ours(&rollout.write_id, refusal.item()).then_some(rollout))
                }
                _ => Err(self.place.failed(CALL, &error)),
            },
        }
    }

    /// Reads rollouts, strongly consistent, in the order of their keys. Omits those that do not
    /// exist.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn rollouts(
        &self,
        keys: &[String],
    ) -> Result<Vec<(String, ReadRollout)>, StoreError> {
        let items = self.get_items(keys).await?;
        Ok(items.into_iter().map(|(key, item)| (key, read(&item))).collect())
    }

    /// Returns every rollout of the table, in the order of their keys. Includes finished rollouts
    /// and those of other controllers. Reads the whole table, so it is for commands, not for a
    /// loop.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn all_rollouts(&self) -> Result<Vec<(String, ReadRollout)>, StoreError> {
        let items = self.scan(|key| key.starts_with(KEY_PREFIX)).await?;
        Ok(items.into_iter().map(|(key, item)| (key, read(&item))).collect())
    }

    /// Writes a request about a rollout to the controller that it names. An existing one with the
    /// same id is unchanged.
    ///
    /// # Errors
    /// Returns an error if the call fails. After `Unavailable` the request may be there.
    pub async fn ask_rollout(&self, request: &Request) -> Result<(), StoreError> {
        let item = item_of_request(request).map_err(|why| self.place.other(&PUT_ITEM, why))?;
        self.put_request(item).await
    }

    /// Returns the beginning of the keys of this controller's rollouts.
    pub(super) fn rollout_prefix(&self) -> String {
        format!("{KEY_PREFIX}{}/", self.controller)
    }
}
