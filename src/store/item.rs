//! Converts records to items of the table and back.
//!
//! You can read an item in the AWS console: each field of the record is an attribute of the same
//! name, with words instead of codes and ISO 8601 times. Three attributes are added: the key, and
//! the two of the sparse index.
//!
//! Items are not trusted, because a person may have edited them. Reading any item returns a
//! [`Read`], whose words are fit for a log and a terminal. A record of a newer schema is not
//! interpreted: [`Read::Newer`].

use super::Read;
use super::schema::{EXPIRES_AT, KEY, UNFINISHED, UNFINISHED_OF};
use aws_sdk_dynamodb::types::AttributeValue;
use ecs_drain_state::Record;
use ecs_drain_state::record::SCHEMA;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value, json};
use std::collections::{BTreeMap, HashMap};

/// Length to which outside text is cut in a message of ecs-drain.
const SHOWN: usize = 300;

/// Attributes of an item as this program writes them, in order.
pub(crate) type Attributes = BTreeMap<String, AttributeValue>;

/// Optional attributes of a record. A save removes those that the record does not have.
pub(super) const OPTIONAL: [&str; 25] = [
    "bad_tags",
    "cancel",
    "causes",
    "cluster",
    "deadline",
    EXPIRES_AT,
    "force",
    "global_limit",
    "group",
    "intent",
    "last_error",
    "lifecycle",
    "outcome",
    "pause",
    "refused_since",
    "requested",
    "requests",
    "retained_at",
    "services",
    "stopped_tasks",
    "stuck_since",
    "termination_asked_at",
    "then",
    UNFINISHED,
    UNFINISHED_OF,
];

/// Converts a record to an item.
///
/// # Errors
/// Returns the reason if the record has no item. This does not happen to records of this program.
pub fn from_record(record: &Record) -> Result<Attributes, String> {
    let mut item = attributes(record)?;
    let key = record.key();
    if !record.is_done() {
        item.insert(UNFINISHED_OF.to_owned(), AttributeValue::S(record.controller.clone()));
        item.insert(
            UNFINISHED.to_owned(),
            AttributeValue::S(format!("{key}@{:012}", record.version)),
        );
        // A TTL on an unfinished drain would make DynamoDB delete it.
        item.remove(EXPIRES_AT);
    }
    item.insert(KEY.to_owned(), AttributeValue::S(key));
    Ok(item)
}

/// Converts a record as a program of this schema does.
pub(super) fn of_schema(record: &Record, schema: u32) -> Result<Attributes, String> {
    let mut item = from_record(record)?;
    item.insert("schema".to_owned(), AttributeValue::N(schema.to_string()));
    Ok(item)
}

/// Converts a value with fields to attributes.
///
/// # Errors
/// Returns the reason if the value is no map of fields, or cannot be written.
pub(super) fn attributes(value: &impl Serialize) -> Result<Attributes, String> {
    let Value::Object(fields) = serde_json::to_value(value).map_err(|error| error.to_string())?
    else {
        return Err("it is not a map of fields".to_owned());
    };
    Ok(fields.into_iter().map(|(name, value)| (name, to_attribute(value))).collect())
}

/// Converts an item to a record.
pub fn read(item: &HashMap<String, AttributeValue>) -> Read {
    read_of(item, SCHEMA)
}

/// Converts an item as a program of this schema does. Every schema up to its own has the present
/// one's shape.
pub(super) fn read_of(item: &HashMap<String, AttributeValue>, newest: u32) -> Read {
    let known = match schema(item) {
        Some(schema) if schema > u64::from(newest) => return Read::Newer { schema },
        Some(schema) if schema > u64::from(SCHEMA) => {
            let mut known = item.clone();
            known.insert("schema".to_owned(), AttributeValue::N(SCHEMA.to_string()));
            record(&known)
        }
        Some(_) | None => record(item),
    };
    match known {
        Ok(record) => Read::Record(Box::new(record)),
        Err(why) => Read::Unreadable { why },
    }
}

/// Returns the schema that an item gives.
pub(super) fn schema(item: &HashMap<String, AttributeValue>) -> Option<u64> {
    item.get("schema").map(from_attribute).as_ref().and_then(Value::as_u64)
}

/// Parses an item; unknown attributes are ignored.
///
/// # Errors
/// Returns the attribute that cannot be parsed, and the reason.
pub(super) fn parse<T: DeserializeOwned>(
    item: &HashMap<String, AttributeValue>,
) -> Result<T, String> {
    let fields: Map<String, Value> =
        item.iter().map(|(name, value)| (name.clone(), from_attribute(value))).collect();
    // Parsed from text with one attribute a line: serde's errors give the line, which identifies
    // the attribute.
    let text = serde_json::to_string_pretty(&fields).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| complain(&text, &error))
}

/// Returns the key of an item, if it has one.
pub(super) fn key(item: &HashMap<String, AttributeValue>) -> Option<&str> {
    string(item, KEY)
}

/// Returns a string attribute of an item.
pub(super) fn string<'a>(item: &'a HashMap<String, AttributeValue>, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
}

/// Returns the version at the end of the sparse index's sort key. An entry that was edited by hand
/// gives version 0, which no stored record has, so that the record is read.
pub(super) fn version_in(unfinished: &str) -> u64 {
    unfinished.rsplit_once('@').and_then(|(_, version)| version.parse().ok()).unwrap_or(0)
}

fn record(item: &HashMap<String, AttributeValue>) -> Result<Record, String> {
    let record: Record = parse(item)?;
    let key = key(item).unwrap_or_default();
    if record.key() != key {
        let says = shown(&record.key());
        return Err(format!(
            "its key is {}, but account, region and instance_id say {says}",
            shown(key)
        ));
    }
    Ok(record)
}

/// Names the attribute that cannot be parsed, and the reason.
fn complain(text: &str, error: &serde_json::Error) -> String {
    let position = format!(" at line {} column {}", error.line(), error.column());
    let what = error.to_string();
    let what = what.strip_suffix(&position).unwrap_or(&what);
    // The last line that opens a top-level attribute: two spaces and a quote, since text is never
    // broken. An error on the closing brace is about the whole item, and names its field itself.
    let upto: Vec<&str> = text.lines().take(error.line()).collect();
    let attribute = match upto.last() {
        Some(&"}") | None => None,
        Some(_) => upto
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("  \""))
            .and_then(|rest| rest.split('"').next()),
    };
    match attribute {
        Some(name) => format!("attribute {name}: {}", shown(what)),
        None => shown(what),
    }
}

/// Returns the beginning of a text that may quote an item.
pub(super) fn shown(text: &str) -> String {
    crate::quote::shown(text, SHOWN)
}

fn to_attribute(value: Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(yes) => AttributeValue::Bool(yes),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text),
        Value::Array(values) => AttributeValue::L(values.into_iter().map(to_attribute).collect()),
        Value::Object(fields) => AttributeValue::M(
            fields.into_iter().map(|(name, value)| (name, to_attribute(value))).collect(),
        ),
    }
}

// The SDK's enum is open: its last variant cannot be named.
#[allow(clippy::wildcard_enum_match_arm)]
fn from_attribute(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(yes) => Value::Bool(*yes),
        AttributeValue::N(text) => number(text),
        AttributeValue::S(text) => Value::String(text.clone()),
        AttributeValue::Ss(texts) => texts.iter().map(|text| Value::String(text.clone())).collect(),
        AttributeValue::Ns(texts) => texts.iter().map(|text| number(text)).collect(),
        AttributeValue::L(values) => values.iter().map(from_attribute).collect(),
        AttributeValue::M(fields) => Value::Object(
            fields.iter().map(|(name, value)| (name.clone(), from_attribute(value))).collect(),
        ),
        // No field of a record is binary, or of a kind that the SDK does not know. Such a value has
        // the wrong type for every field.
        _ => json!({ "not text, number, list or map": true }),
    }
}

/// Converts a number. Other text stays text, which is the wrong type for every number field.
fn number(text: &str) -> Value {
    let whole = text
        .parse::<i64>()
        .map(Number::from)
        .or_else(|_| text.parse::<u64>().map(Number::from))
        .ok();
    let number = whole.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64));
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

#[cfg(test)]
mod tests;
