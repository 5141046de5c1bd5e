//! Finds the record of an instance by the id or key that a person gives.

use crate::cli::{Failure, Global, TableArgs, who};
use crate::config::Scope;
use crate::store::{Read, Store, StoreError};
use aws_config::SdkConfig;
use ecs_drain_state::record::key;
use std::collections::{BTreeMap, BTreeSet};

/// Record of an instance with its key, or the reason why it was not found.
pub(crate) type Found = Result<(String, Read), String>;

/// Checks that an argument is an instance id or the key of a record.
///
/// # Errors
/// Returns an error if it is neither.
pub(crate) fn is_name(instance: &str) -> Result<(), Failure> {
    let parts = instance.split('/').count();
    if (parts != 1 && parts != 3) || instance.split('/').any(str::is_empty) {
        return Err(Failure::usage(format!(
            "{instance:?} is neither an instance id, such as i-0123456789abcdef0, nor ACCOUNT/REGION/INSTANCE"
        )));
    }
    Ok(())
}

/// Accounts and regions in which a record can be if the index does not show it: those of the
/// configuration's scopes, and the account of the credentials in the table's region.
pub(crate) struct Places {
    sdk: SdkConfig,
    /// Regions of the scopes, each with the account of its role if it has one.
    scopes: Vec<(Option<String>, String)>,
}

impl Places {
    /// Reads the places from this command's configuration, if there is one.
    ///
    /// # Errors
    /// Returns an error if the configuration is refused.
    pub(crate) fn new(
        global: &Global,
        args: &TableArgs,
        sdk: &SdkConfig,
    ) -> Result<Places, Failure> {
        let mut scopes: Vec<_> =
            sdk.region().map(|region| (None, region.to_string())).into_iter().collect();
        if global.source().is_some() {
            let role = |scope: &Scope| scope.role.as_ref().and_then(|role| account(&role.arn));
            scopes.extend(
                global
                    .load(&args.given())?
                    .scopes
                    .into_iter()
                    .map(|scope| (role(&scope), scope.region)),
            );
        }
        Ok(Places { sdk: sdk.clone(), scopes })
    }

    /// Returns the accounts and regions. If the account of the credentials cannot be read, it
    /// returns only those of the roles.
    async fn all(&self) -> BTreeSet<(String, String)> {
        let own = who::identity(&self.sdk).await.as_deref().and_then(account);
        let place = |(account, region): &(Option<String>, String)| {
            Some((account.clone().or_else(|| own.clone())?, region.clone()))
        };
        self.scopes.iter().filter_map(place).collect()
    }
}

/// Returns the account in an IAM ARN.
fn account(arn: &str) -> Option<String> {
    arn.split(':').nth(4).filter(|account| !account.is_empty()).map(str::to_owned)
}

/// Reads the records of instances, by the names that were given for them. It never scans the table,
/// because the cost of a scan grows with the table.
///
/// # Errors
/// Returns an error if the table cannot be read.
pub(crate) async fn records(
    store: &Store,
    places: &Places,
    instances: &[String],
) -> Result<BTreeMap<String, Found>, StoreError> {
    // The index shows the unfinished drains of this controller. Any other drain is found by the
    // keys that it can have.
    let unfinished: Vec<String> =
        store.unfinished().await?.into_iter().map(|found| found.key).collect();
    let mut keys: BTreeMap<&String, Vec<String>> =
        instances.iter().map(|name| (name, matching(name, &unfinished))).collect();
    let mut looked = BTreeSet::new();
    if keys.values().any(Vec::is_empty) {
        looked = places.all().await;
        looked.extend(unfinished.iter().filter_map(|key| place(key)));
        let unknown = keys.iter().filter(|(_, found)| found.is_empty());
        let guesses: BTreeSet<String> = unknown
            .flat_map(|(name, _)| looked.iter().map(|(account, region)| key(account, region, name)))
            .collect();
        let guesses: Vec<String> = guesses.into_iter().collect();
        let there: Vec<String> =
            store.get_many(&guesses).await?.into_iter().map(|(key, _)| key).collect();
        for (name, found) in keys.iter_mut().filter(|(_, found)| found.is_empty()) {
            *found = matching(name, &there);
        }
    }
    let wanted: Vec<String> =
        keys.values().filter(|found| found.len() == 1).flatten().cloned().collect();
    let mut read: BTreeMap<String, Read> = store.get_many(&wanted).await?.into_iter().collect();
    let mut answers = BTreeMap::new();
    for (name, found) in keys {
        let answer = match found.as_slice() {
            [key] => {
                read.remove(key).map(|read| (key.clone(), read)).ok_or_else(|| none(store, name))
            }
            [] => Err(format!("{}{}", none(store, name), elsewhere(name, &looked))),
            several => {
                Err(format!("{name} is in several places; use one of {}", several.join(", ")))
            }
        };
        answers.insert(name.clone(), answer);
    }
    Ok(answers)
}

fn none(store: &Store, name: &str) -> String {
    format!("table {} has no drain of {name}", store.table())
}

/// Returns the places that were searched, and the way to name another place.
fn elsewhere(name: &str, looked: &BTreeSet<(String, String)>) -> String {
    let places: Vec<String> =
        looked.iter().map(|(account, region)| format!("{account}/{region}")).collect();
    let places =
        if places.is_empty() { String::new() } else { format!(" in {}", places.join(", ")) };
    format!("{places}; for another place use ACCOUNT/REGION/{name}")
}

/// Returns the keys that match a name: the name itself if it is a key, else those that end with it.
fn matching(name: &str, keys: &[String]) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    keys.iter().filter(|key| key.rsplit('/').next() == Some(name)).cloned().collect()
}

/// Returns the account and region in a record's key.
fn place(key: &str) -> Option<(String, String)> {
    let (place, _) = key.rsplit_once('/')?;
    let (account, region) = place.split_once('/')?;
    Some((account.to_owned(), region.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_named_by_its_id_or_by_its_key() {
        for name in ["i-1", "123456789012/eu-west-1/i-1"] {
            assert!(is_name(name).is_ok(), "{name}");
        }
        for name in ["", "/", "eu-west-1/i-1", "123456789012//i-1", "a/b/c/d"] {
            assert!(is_name(name).is_err(), "{name}");
        }
        let keys = ["1/eu/i-1", "1/us/i-1", "1/eu/i-11"].map(str::to_owned);
        assert_eq!(matching("i-1", &keys), ["1/eu/i-1", "1/us/i-1"]);
        assert_eq!(matching("1/us/i-1", &keys), ["1/us/i-1"]);
        assert!(matching("1", &keys).is_empty());
    }

    #[test]
    fn an_unknown_instance_is_reported_with_the_places_searched() {
        let places = |places: &[(&str, &str)]| {
            places
                .iter()
                .map(|(account, region)| ((*account).to_owned(), (*region).to_owned()))
                .collect()
        };
        assert_eq!(elsewhere("i-1", &places(&[])), "; for another place use ACCOUNT/REGION/i-1");
        assert_eq!(
            elsewhere("i-1", &places(&[("1", "eu"), ("2", "us")])),
            " in 1/eu, 2/us; for another place use ACCOUNT/REGION/i-1"
        );
        assert_eq!(place("1/eu/i-1"), Some(("1".to_owned(), "eu".to_owned())));
        assert_eq!(
            account("arn:aws:sts::123456789012:assumed-role/ops/ada"),
            Some("123456789012".to_owned())
        );
    }
}
