//! Pauses that operators set on everything, an account and region, or a cluster. Each has its own
//! item, so that IAM can grant one team's clusters (`dynamodb:LeadingKeys`).
//!
//! Pauses are for incidents, so they fail safe: the key alone decides the paused place. An item
//! whose attributes cannot be read still pauses, and one whose key is no place pauses everything. A
//! key that names an account, a region and a cluster pauses no more than these, whatever the words
//! are. A person who may write the keys of some clusters can therefore pause only those.
//!
//! The pause of everything is always read with strong consistency. The others are found by the
//! index of unfinished items, which shows them a moment after they were written.

use super::schema::{KEY, UNFINISHED, UNFINISHED_INDEX, UNFINISHED_OF};
use super::{Store, StoreError, item};
use crate::aws::calls::{DELETE_ITEM, PUT_ITEM, QUERY};
use crate::config::Patterns;
use aws_sdk_dynamodb::types::AttributeValue;
use ecs_drain_state::Order;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// Prefix of a pause's key. No record's key has it: those begin with 12 digits.
pub(super) const KEY_PREFIX: &str = "pause/";

/// Word that stands for everything.
pub(crate) const EVERYTHING: &str = "*";

/// Pauses of one controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// Operator of each pause, by place: [`EVERYTHING`], `ACCOUNT/REGION/*`, or
    /// `ACCOUNT/REGION/CLUSTER`.
    pub places: BTreeMap<String, Order>,
}

impl Pauses {
    /// Returns the pause that covers a drain of this account, region and clusters, if any.
    pub fn on(&self, account: &str, region: &str, clusters: &[&str]) -> Option<&Order> {
        let everything = self
            .places
            .iter()
            .find(|(place, _)| place.splitn(3, '/').count() < 3)
            .map(|(_, order)| order);
        let named = || {
            let mut clusters = [EVERYTHING].iter().chain(clusters);
            clusters.find_map(|cluster| self.places.get(&place(account, region, cluster)))
        };
        let odd = || {
            let mut odd = self.places.iter().filter(|(place, _)| !is_place(place));
            odd.find(|(place, _)| names(place, account, region, clusters)).map(|(_, order)| order)
        };
        everything.or_else(named).or_else(odd)
    }
}

/// Returns the place of a cluster, or, with `*`, of an account and region.
pub fn place(account: &str, region: &str, cluster: &str) -> String {
    format!("{account}/{region}/{cluster}")
}

/// Checks whether a place that no command writes covers this account, region, and one of these
/// clusters. Its words can be patterns; missing words match everything.
fn names(place: &str, account: &str, region: &str, clusters: &[&str]) -> bool {
    let mut words = place.splitn(3, '/').map(|word| {
        Patterns::new(vec![if word.is_empty() { EVERYTHING } else { word }.to_owned()])
    });
    let mut next = |is: &dyn Fn(&Patterns) -> bool| words.next().is_some_and(|word| is(&word));
    next(&|word| word.matches(account))
        && next(&|word| word.matches(region))
        && next(&|word| word.is_all() || clusters.iter().any(|cluster| word.matches(cluster)))
}

/// Checks that a word is a place that can be paused.
pub(crate) fn is_place(word: &str) -> bool {
    let parts: Vec<&str> = word.split('/').collect();
    let name = |word: &str| !(word.is_empty() || word.contains(['*', '?']));
    match parts.as_slice() {
        [account, region, cluster] => {
            name(account) && name(region) && (*cluster == EVERYTHING || name(cluster))
        }
        _ => word == EVERYTHING,
    }
}

impl Store {
    /// Reads the pauses.
    ///
    /// # Errors
    /// Returns an error if a call fails. Callers then keep the last result.
    pub async fn pauses(&self) -> Result<Pauses, StoreError> {
        let prefix = self.pause_key("");
        let mut pages = self
            .records
            .query()
            .table_name(self.table())
            .index_name(UNFINISHED_INDEX)
            .key_condition_expression("#of = :me AND begins_with(#unfinished, :prefix)")
            .expression_attribute_names("#of", UNFINISHED_OF)
            .expression_attribute_names("#unfinished", UNFINISHED)
            .expression_attribute_values(":me", AttributeValue::S(self.controller.clone()))
            .expression_attribute_values(":prefix", AttributeValue::S(prefix.clone()))
            .into_paginator()
            .send();
        let mut keys = vec![self.pause_key(EVERYTHING)];
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.place.failed(&QUERY, &error))?;
            // Anyone with write access can put other entries into the index: IAM limits only an
            // item's key.
            let items = page.items.unwrap_or_default();
            let ours = items.iter().filter_map(item::key).filter(|key| key.starts_with(&prefix));
            keys.extend(ours.map(str::to_owned));
        }
        let items = self.get_items(&keys).await?;
        let place = |key: &str| key.strip_prefix(&prefix).map(str::to_owned);
        Ok(Pauses {
            places: items
                .iter()
                .filter_map(|(key, item)| Some((place(key)?, order(item))))
                .collect(),
        })
    }

    /// Sets a pause on a place, or removes it. Other pauses are unchanged, even if they are written
    /// at the same time.
    ///
    /// # Errors
    /// Returns an error if the call fails. After `Unavailable` it may have been applied; repeating
    /// it does no harm.
    pub async fn set_pause(&self, place: &str, order: Option<&Order>) -> Result<(), StoreError> {
        let key = self.pause_key(place);
        let Some(order) = order else {
            let delete = self
                .records
                .delete_item()
                .table_name(self.table())
                .key(KEY, AttributeValue::S(key));
            let sent = delete.send().await;
            return sent.map(drop).map_err(|error| self.place.failed(&DELETE_ITEM, &error));
        };
        let mut item = item::attributes(order).map_err(|why| self.place.other(&PUT_ITEM, why))?;
        item.insert(UNFINISHED_OF.to_owned(), AttributeValue::S(self.controller.clone()));
        item.insert(UNFINISHED.to_owned(), AttributeValue::S(key.clone()));
        item.insert(KEY.to_owned(), AttributeValue::S(key));
        let put = self
            .records
            .put_item()
            .table_name(self.table())
            .set_item(Some(item.into_iter().collect()));
        put.send().await.map(drop).map_err(|error| self.place.failed(&PUT_ITEM, &error))
    }

    fn pause_key(&self, place: &str) -> String {
        format!("{KEY_PREFIX}{}/{place}", self.controller)
    }
}

/// Returns the operator of a pause, as far as it can be read.
fn order(item: &HashMap<String, AttributeValue>) -> Order {
    item::parse(item).unwrap_or_else(|why| Order {
        by: format!("someone (its item cannot be read: {why})"),
        reason: None,
        at: Timestamp::UNIX_EPOCH,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn named(by: &str) -> Order {
        Order { by: by.into(), reason: None, at: "2026-01-05T09:00:00Z".parse().unwrap() }
    }

    #[test]
    fn whom_a_pause_is_on() {
        let on = |places: &[&str], account: &str, clusters: &[&str]| {
            let places = places.iter().map(|place| ((*place).to_owned(), named(place))).collect();
            Pauses { places }
                .on(account, "eu", clusters)
                .map(|order| order.by.clone())
                .unwrap_or_default()
        };
        for (places, account, clusters, by) in [
            (&[][..], "1", &["web"][..], ""),
            (&["1/eu/web"], "1", &["web"], "1/eu/web"),
            (&["1/eu/web"], "1", &["jobs", "web"], "1/eu/web"),
            (&["1/eu/web"], "1", &["webs"], ""),
            (&["1/eu/web"], "1", &[], ""),
            (&["1/eu/web"], "2", &["web"], ""),
            (&["1/eu/*"], "1", &[], "1/eu/*"),
            (&["1/eu/*"], "2", &["web"], ""),
            (&["*", "1/eu/web"], "2", &[], "*"),
            // The intended scope of these is unknown, so they pause everything.
            (&["web"], "2", &[], "web"),
            (&["1/eu"], "2", &[], "1/eu"),
            (&[""], "2", &[], ""),
            // These pause only the place that they name.
            (&["1/eu/web-*"], "1", &["web-a"], "1/eu/web-*"),
            (&["1/eu/web-*"], "1", &["jobs"], ""),
            (&["1/eu/web-*"], "2", &["web-a"], ""),
            (&["*/*/web"], "2", &["web"], "*/*/web"),
            (&["*/*/web"], "2", &["jobs"], ""),
            (&["//web"], "2", &["web"], "//web"),
            (&["//web"], "2", &["jobs"], ""),
            (&["1/eu/"], "1", &[], "1/eu/"),
            (&["1/eu/web/x"], "1", &["web", "x"], ""),
            (&["1/eu/x/web-*"], "1", &["web-a"], ""),
            (&["1/eu/*/web"], "1", &["web"], ""),
        ] {
            assert_eq!(on(places, account, clusters), by, "{places:?} on {account} {clusters:?}");
        }
    }

    #[test]
    fn who_pauses_as_it_stands_in_an_item() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let written =
            [("by", text("Ada")), ("reason", text("kernel")), ("at", text("2026-01-05T09:00:00Z"))];
        let mut item: HashMap<_, _> =
            written.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(order(&item), Order { reason: Some("kernel".into()), ..named("Ada") });
        item.insert("by".into(), AttributeValue::Bool(true));
        assert_eq!(
            order(&item).by,
            "someone (its item cannot be read: attribute by: invalid type: boolean `true`, expected a string)"
        );
    }
}
