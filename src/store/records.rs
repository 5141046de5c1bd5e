//! Drain records: create, save, read, find.

use super::item::{self, Attributes};
use super::schema::{CLUSTER, CLUSTER_INDEX, KEY, UNFINISHED, UNFINISHED_INDEX, UNFINISHED_OF};
use super::{Read, Store, StoreError};
use super::{lease, pauses, requests, status};
use crate::aws::calls::{BATCH_GET_ITEM, Call, GET_ITEM, PUT_ITEM, QUERY, SCAN, UPDATE_ITEM};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, ReturnValuesOnConditionCheckFailure as OnRefusal,
};
use backon::{BackoffBuilder, ExponentialBuilder};
use ecs_drain_state::{Record, rollout};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// Records in one BatchGetItem, at most. (Source: DynamoDB API reference, BatchGetItem.)
const BATCH: usize = 100;

/// Result of a write.
#[derive(Clone, Debug, PartialEq)]
pub enum Saved {
    /// The record as it is in the table, with its new version and write id.
    Saved(Box<Record>),
    /// Another process wrote first, or the record is gone. Drop your copy, read again, and decide
    /// again.
    LostRace,
}

/// An unfinished record or rollout as the index shows it. The index lags by moments, so this only
/// shows which item to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnfinishedKey {
    /// Key of the record.
    pub key: String,
    /// Version that the index shows; 0 if it cannot be read.
    pub version: u64,
}

/// A controller's open work, as the index shows it, which lags by moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenWork {
    pub records: Vec<UnfinishedKey>,
    /// Keys of requests without an answer.
    pub requests: Vec<String>,
    /// The controller's unfinished rollouts.
    pub rollouts: Vec<UnfinishedKey>,
}

impl Store {
    /// Writes a record that is not in the table yet, as version 1.
    ///
    /// # Errors
    /// Returns an error if the call fails. After `Unavailable` the record may be there: read it.
    pub async fn create(&self, mut record: Record) -> Result<Saved, StoreError> {
        const CALL: &Call = &PUT_ITEM;
        record.version = 1;
        record.write_id = self.ids.next();
        let item =
            item::of_schema(&record, self.schema).map_err(|why| self.place.other(CALL, why))?;
        let answer = self
            .records
            .put_item()
            .table_name(self.table())
            .set_item(Some(item.into_iter().collect()))
            .condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", KEY)
            .return_values_on_condition_check_failure(OnRefusal::AllOld)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(Saved::Saved(Box::new(record))),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refusal)) => {
                    Ok(refused(record, refusal.item()))
                }
                _ => Err(self.place.failed(CALL, &error)),
            },
        }
    }

    /// Writes a record over the version that it was read with. Attributes that this program does
    /// not know are kept.
    ///
    /// # Errors
    /// Returns an error if the call fails. After `Unavailable` the write may have been applied:
    /// read again.
    pub async fn save(&self, mut record: Record) -> Result<Saved, StoreError> {
        const CALL: &Call = &UPDATE_ITEM;
        let seen_version = AttributeValue::N(record.version.to_string());
        let seen_write = AttributeValue::S(record.write_id);
        record.version = record.version.saturating_add(1);
        record.write_id = self.ids.next();
        let key = record.key();
        let item =
            item::of_schema(&record, self.schema).map_err(|why| self.place.other(CALL, why))?;
        let (expression, names, values) = update(item);
        let answer = self
            .records
            .update_item()
            .table_name(self.table())
            .key(KEY, AttributeValue::S(key))
            .update_expression(expression)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            // Without attribute_exists an update would create a deleted record again.
            .condition_expression(
                "attribute_exists(#key) AND #version = :seen_version AND #write = :seen_write",
            )
            .expression_attribute_names("#key", KEY)
            .expression_attribute_names("#version", "version")
            .expression_attribute_names("#write", "write_id")
            .expression_attribute_values(":seen_version", seen_version)
            .expression_attribute_values(":seen_write", seen_write)
            .return_values_on_condition_check_failure(OnRefusal::AllOld)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(Saved::Saved(Box::new(record))),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                    Ok(refused(record, refusal.item()))
                }
                _ => Err(self.place.failed(CALL, &error)),
            },
        }
    }

    /// Reads a record, strongly consistent. Returns `None` if it does not exist.
    ///
    /// # Errors
    /// Returns an error if the call fails.
    pub async fn get(&self, key: &str) -> Result<Option<Read>, StoreError> {
        let answer = self
            .records
            .get_item()
            .table_name(self.table())
            .key(KEY, AttributeValue::S(key.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| self.place.failed(&GET_ITEM, &error))?;
        Ok(answer.item.as_ref().map(|item| item::read_of(item, self.schema)))
    }

    /// Reads many records, strongly consistent, in the order of their keys. Omits those that do not
    /// exist.
    ///
    /// # Errors
    /// Returns an error if a call fails; `Throttled` if DynamoDB keeps leaving keys unprocessed.
    pub async fn get_many(&self, keys: &[String]) -> Result<Vec<(String, Read)>, StoreError> {
        let items = self.get_items(keys).await?;
        Ok(items.into_iter().map(|(key, item)| (key, item::read_of(&item, self.schema))).collect())
    }

    /// Returns the items of these keys, in the order of their keys.
    pub(super) async fn get_items(
        &self,
        keys: &[String],
    ) -> Result<BTreeMap<String, HashMap<String, AttributeValue>>, StoreError> {
        // A batch must not contain a key twice.
        let keys: Vec<&String> = keys.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut found = BTreeMap::new();
        for batch in keys.chunks(BATCH) {
            for item in self.get_batch(batch).await? {
                if let Some(key) = item::key(&item).map(str::to_owned) {
                    found.insert(key, item);
                }
            }
        }
        Ok(found)
    }

    async fn get_batch(
        &self,
        keys: &[&String],
    ) -> Result<Vec<HashMap<String, AttributeValue>>, StoreError> {
        const CALL: &Call = &BATCH_GET_ITEM;
        let mut wanted = KeysAndAttributes::builder().consistent_read(true);
        for key in keys {
            wanted =
                wanted.keys(HashMap::from([(KEY.to_owned(), AttributeValue::S((*key).clone()))]));
        }
        let mut wanted =
            wanted.build().map_err(|error| self.place.other(CALL, error.to_string()))?;
        let mut items = Vec::with_capacity(keys.len());
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(2))
            .with_max_times(8)
            .build();
        loop {
            let request = self.records.batch_get_item().request_items(self.table(), wanted);
            let mut answer =
                request.send().await.map_err(|error| self.place.failed(CALL, &error))?;
            items.extend(
                answer
                    .responses
                    .as_mut()
                    .and_then(|found| found.remove(self.table()))
                    .unwrap_or_default(),
            );
            let left = answer.unprocessed_keys.as_mut().and_then(|left| left.remove(self.table()));
            wanted = match left {
                Some(left) if !left.keys().is_empty() => left,
                _ => return Ok(items),
            };
            let Some(pause) = pauses.next() else {
                let why =
                    format!("{} of {} keys stay unprocessed", wanted.keys().len(), keys.len());
                return Err(self.place.throttled(CALL, &why));
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Returns the controller's unfinished records, as the index shows them.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn unfinished(&self) -> Result<Vec<UnfinishedKey>, StoreError> {
        Ok(self.open_work().await?.records)
    }

    /// Returns the controller's unfinished records and rollouts, and unanswered requests, in one
    /// query.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn open_work(&self) -> Result<OpenWork, StoreError> {
        let mut work = OpenWork::default();
        let rollouts = self.rollout_prefix();
        for item in self.query(UNFINISHED_INDEX, UNFINISHED_OF, &self.controller).await? {
            let Some(key) = item::key(&item).map(str::to_owned) else { continue };
            if let Some(asked) = key.strip_prefix(requests::KEY_PREFIX) {
                // Anyone who may send requests to another controller can put any entry into the
                // index.
                if asked.split('/').next() == Some(self.controller.as_str()) {
                    work.requests.push(key);
                }
                continue;
            }
            let version = item::version_in(item::string(&item, UNFINISHED).unwrap_or_default());
            if is_record(&key) {
                work.records.push(UnfinishedKey { key, version });
            } else if key.starts_with(&rollouts) {
                work.rollouts.push(UnfinishedKey { key, version });
            }
        }
        Ok(work)
    }

    /// Returns the keys of all records, finished ones too, whose instance is (or was) in this
    /// cluster. Requests name a cluster as well, and are in the same index.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn by_cluster(&self, cluster: &str) -> Result<Vec<String>, StoreError> {
        let items = self.query(CLUSTER_INDEX, CLUSTER, cluster).await?;
        let keys = items.iter().filter_map(item::key).filter(|key| is_record(key));
        Ok(keys.map(str::to_owned).collect())
    }

    async fn query(
        &self,
        index: &str,
        hash: &str,
        value: &str,
    ) -> Result<Vec<HashMap<String, AttributeValue>>, StoreError> {
        let mut pages = self
            .records
            .query()
            .table_name(self.table())
            .index_name(index)
            .key_condition_expression("#hash = :hash")
            .expression_attribute_names("#hash", hash)
            .expression_attribute_values(":hash", AttributeValue::S(value.to_owned()))
            .into_paginator()
            .send();
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.place.failed(&QUERY, &error))?;
            items.extend(page.items.unwrap_or_default());
        }
        Ok(items)
    }

    /// Returns every record of the table, in the order of their keys. Includes finished records and
    /// those of other controllers. Reads the whole table, so it is for commands, not for a loop.
    ///
    /// # Errors
    /// Returns an error if a call fails.
    pub async fn all(&self) -> Result<Vec<(String, Read)>, StoreError> {
        let items = self.scan(is_record).await?;
        Ok(items.into_iter().map(|(key, item)| (key, item::read_of(&item, self.schema))).collect())
    }

    /// Returns the items of the table with these keys, strongly consistent, in the order of their
    /// keys.
    pub(super) async fn scan(
        &self,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, HashMap<String, AttributeValue>>, StoreError> {
        let scan = self.records.scan().table_name(self.table()).consistent_read(true);
        let mut pages = scan.into_paginator().send();
        let mut found = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.place.failed(&SCAN, &error))?;
            for item in page.items.unwrap_or_default() {
                let key = item::key(&item).filter(|key| is_wanted(key)).map(str::to_owned);
                if let Some(key) = key {
                    found.insert(key, item);
                }
            }
        }
        Ok(found)
    }
}

/// Checks whether a key is that of a record. A record's key begins with 12 digits, other keys with
/// a word.
fn is_record(key: &str) -> bool {
    let others = [
        lease::KEY_PREFIX,
        requests::KEY_PREFIX,
        pauses::KEY_PREFIX,
        rollout::KEY_PREFIX,
        status::KEY_PREFIX,
    ];
    !others.iter().any(|prefix| key.starts_with(prefix))
}

/// Interprets a refused condition. If the stored write id is the one that was just tried, the write
/// succeeded.
fn refused(tried: Record, stored: Option<&HashMap<String, AttributeValue>>) -> Saved {
    if is_ours(&tried.write_id, stored) { Saved::Saved(Box::new(tried)) } else { Saved::LostRace }
}

/// Returns whether a stored item is that of the write with this id.
pub(super) fn is_ours(write_id: &str, stored: Option<&HashMap<String, AttributeValue>>) -> bool {
    stored.and_then(|item| item::string(item, "write_id")) == Some(write_id)
}

/// Builds the update that sets these attributes and keeps all others: expression, names, values.
fn update(item: Attributes) -> (String, HashMap<String, String>, HashMap<String, AttributeValue>) {
    let (mut names, mut values) = (HashMap::new(), HashMap::new());
    let (mut set, mut remove) = (Vec::new(), Vec::new());
    let absent = item::OPTIONAL.into_iter().filter(|name| !item.contains_key(*name));
    for (n, name) in absent.enumerate() {
        names.insert(format!("#r{n}"), name.to_owned());
        remove.push(format!("#r{n}"));
    }
    for (n, (name, value)) in item.into_iter().filter(|(name, _)| name != KEY).enumerate() {
        set.push(format!("#s{n} = :s{n}"));
        names.insert(format!("#s{n}"), name);
        values.insert(format!(":s{n}"), value);
    }
    let mut expression = format!("SET {}", set.join(", "));
    if !remove.is_empty() {
        expression.push_str(" REMOVE ");
        expression.push_str(&remove.join(", "));
    }
    (expression, names, values)
}
