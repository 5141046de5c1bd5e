//! Which record is meant by an instance id that a person gives.

use crate::cli::Failure;
use crate::store::{Read, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};

/// The record of an instance, with its key; or why there is no such one.
pub type Found = Result<(String, Read), String>;

/// Whether a person's name for an instance is an instance id, or the key of a record.
///
/// # Errors
/// It is neither.
pub fn is_name(instance: &str) -> Result<(), Failure> {
    let parts = instance.split('/').count();
    if (parts != 1 && parts != 3) || instance.split('/').any(str::is_empty) {
        return Err(Failure::usage(format!(
            "{instance:?} is neither an instance id, such as i-0123456789abcdef0, nor ACCOUNT/REGION/INSTANCE"
        )));
    }
    Ok(())
}

/// The records of instances, by the names that were given for them.
///
/// # Errors
/// The table cannot be read.
pub async fn records(store: &Store, instances: &[String]) -> Result<BTreeMap<String, Found>, StoreError> {
    // An unfinished drain of this controller is found by the index; for anything else the table is searched.
    let unfinished: Vec<String> = store.unfinished().await?.into_iter().map(|found| found.key).collect();
    let mut keys: BTreeMap<&String, Vec<String>> =
        instances.iter().map(|name| (name, matching(name, &unfinished))).collect();
    if keys.values().any(Vec::is_empty) {
        // Most finished drains are where others go on: that costs a read, and searching the table grows with it.
        let guesses: Vec<String> = keys
            .iter()
            .filter(|(_, found)| found.is_empty())
            .flat_map(|(name, _)| guesses(name, &unfinished))
            .collect();
        let there: Vec<String> = store.get_many(&guesses).await?.into_iter().map(|(key, _)| key).collect();
        for (name, found) in keys.iter_mut().filter(|(_, found)| found.is_empty()) {
            *found = matching(name, &there);
        }
    }
    if keys.values().any(Vec::is_empty) {
        let all: Vec<String> = store.all().await?.into_iter().map(|(key, _)| key).collect();
        for (name, found) in keys.iter_mut().filter(|(_, found)| found.is_empty()) {
            *found = matching(name, &all);
        }
    }
    let wanted: Vec<String> = keys.values().filter(|found| found.len() == 1).flatten().cloned().collect();
    let mut read: BTreeMap<String, Read> = store.get_many(&wanted).await?.into_iter().collect();
    let mut answers = BTreeMap::new();
    for (name, found) in keys {
        let answer = match found.as_slice() {
            [key] => read.remove(key).map(|read| (key.clone(), read)).ok_or_else(|| none(store, name)),
            [] => Err(none(store, name)),
            several => Err(format!("{name} is in several places; name one: {}", several.join(", "))),
        };
        answers.insert(name.clone(), answer);
    }
    Ok(answers)
}

fn none(store: &Store, name: &str) -> String {
    format!("table {} holds no drain of {name}", store.table())
}

/// The keys that a name means: itself, or those that end with it.
fn matching(name: &str, keys: &[String]) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    keys.iter().filter(|key| key.rsplit('/').next() == Some(name)).cloned().collect()
}

/// The keys that an instance would have in the accounts and regions of these records.
fn guesses(instance: &str, keys: &[String]) -> BTreeSet<String> {
    let places = keys.iter().filter_map(|key| key.rsplit_once('/'));
    places.map(|(place, _)| format!("{place}/{instance}")).collect()
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
    fn an_instance_is_guessed_to_be_where_others_are() {
        let keys = ["1/eu/i-1", "1/us/i-1", "1/eu/i-11"].map(str::to_owned);
        assert_eq!(guesses("i-2", &keys), BTreeSet::from(["1/eu/i-2", "1/us/i-2"].map(str::to_owned)));
        assert!(guesses("i-2", &[]).is_empty());
    }
}
