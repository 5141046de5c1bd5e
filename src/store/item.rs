//! A record as the table's item, and back.
//!
//! An item is readable in the AWS console as it is: each field of the record is an attribute of the same name, with words
//! instead of codes and ISO 8601 times. Three attributes are added: the key, and the two of the sparse index.
//!
//! What comes back is not trusted: somebody may have edited it. Whatever stands there, reading ends with a [`Read`].

use super::Read;
use super::schema::{EXPIRES_AT, KEY, UNFINISHED, UNFINISHED_OF};
use aws_sdk_dynamodb::types::AttributeValue;
use ecs_drain_state::Record;
use ecs_drain_state::record::SCHEMA;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value, json};
use std::collections::{BTreeMap, HashMap};

/// An item's attributes as we write them, in order.
pub(super) type Attributes = BTreeMap<String, AttributeValue>;

/// The attributes that a record may be without: a save removes those that it has not.
pub(super) const OPTIONAL: [&str; 20] = [
    "cancel",
    "causes",
    "cluster",
    "deadline",
    EXPIRES_AT,
    "global_limit",
    "group",
    "held",
    "intent",
    "last_error",
    "lifecycle",
    "outcome",
    "release",
    "requested",
    "requests",
    "retained_at",
    "termination_asked_at",
    "then",
    UNFINISHED,
    UNFINISHED_OF,
];

/// The item of a record.
///
/// # Errors
/// Why the record has no item. No record of this program's making is like that.
pub(super) fn from_record(record: &Record) -> Result<Attributes, String> {
    let mut item = attributes(record)?;
    let key = record.key();
    if !record.is_done() {
        item.insert(UNFINISHED_OF.to_owned(), AttributeValue::S(record.controller.clone()));
        item.insert(UNFINISHED.to_owned(), AttributeValue::S(format!("{key}@{:012}", record.version)));
        // A TTL on an unfinished drain would let DynamoDB forget an instance.
        item.remove(EXPIRES_AT);
    }
    item.insert(KEY.to_owned(), AttributeValue::S(key));
    Ok(item)
}

/// The attributes of a value that is a map of fields.
///
/// # Errors
/// It is none, or cannot be written.
pub(super) fn attributes(value: &impl Serialize) -> Result<Attributes, String> {
    let Value::Object(fields) = serde_json::to_value(value).map_err(|error| error.to_string())? else {
        return Err("it is not a map of fields".to_owned());
    };
    Ok(fields.into_iter().map(|(name, value)| (name, to_attribute(value))).collect())
}

/// The record of an item.
pub(super) fn read(item: &HashMap<String, AttributeValue>) -> Read {
    if let Some(schema) = schema(item).filter(|schema| *schema > u64::from(SCHEMA)) {
        return Read::Newer { schema };
    }
    match record(item) {
        Ok(record) => Read::Record(record),
        Err(why) => Read::Unreadable { why },
    }
}

/// The schema that an item says it has.
pub(super) fn schema(item: &HashMap<String, AttributeValue>) -> Option<u64> {
    item.get("schema").map(from_attribute).as_ref().and_then(Value::as_u64)
}

/// What stands in an item; attributes that are not of it do no harm.
///
/// # Errors
/// Which attribute cannot be read, and why.
pub(super) fn parse<T: DeserializeOwned>(item: &HashMap<String, AttributeValue>) -> Result<T, String> {
    let fields: Map<String, Value> = item.iter().map(|(name, value)| (name.clone(), from_attribute(value))).collect();
    // By way of text, one attribute a line: serde's errors carry a line, and so the attribute's name can be told.
    let text = serde_json::to_string_pretty(&fields).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| complain(&text, &error))
}

/// The key of an item, if it has one.
pub(super) fn key(item: &HashMap<String, AttributeValue>) -> Option<&str> {
    string(item, KEY)
}

/// A string attribute of an item.
pub(super) fn string<'a>(item: &'a HashMap<String, AttributeValue>, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
}

/// The version at the end of the sparse index's sort key. An entry that somebody edited has version 0, which no stored
/// record has, so that the record is read.
pub(super) fn version_in(unfinished: &str) -> u64 {
    unfinished.rsplit_once('@').and_then(|(_, version)| version.parse().ok()).unwrap_or(0)
}

fn record(item: &HashMap<String, AttributeValue>) -> Result<Box<Record>, String> {
    let record: Record = parse(item)?;
    let key = key(item).unwrap_or_default();
    if record.key() != key {
        return Err(format!("its key is {key}, but account, region and instance_id say {}", record.key()));
    }
    Ok(Box::new(record))
}

/// Which attribute cannot be read, and why.
fn complain(text: &str, error: &serde_json::Error) -> String {
    let position = format!(" at line {} column {}", error.line(), error.column());
    let what = error.to_string();
    let what = what.strip_suffix(&position).unwrap_or(&what);
    // The last line that opens an attribute of the top level: two spaces and a quote, since text is never broken. An
    // error on the closing brace is about the whole, and names its field itself.
    let upto: Vec<&str> = text.lines().take(error.line()).collect();
    let attribute = match upto.last() {
        Some(&"}") | None => None,
        Some(_) => upto.iter().rev().find_map(|line| line.strip_prefix("  \"")).and_then(|rest| rest.split('"').next()),
    };
    match attribute {
        Some(name) => format!("attribute {name}: {what}"),
        None => what.to_owned(),
    }
}

fn to_attribute(value: Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(yes) => AttributeValue::Bool(yes),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text),
        Value::Array(values) => AttributeValue::L(values.into_iter().map(to_attribute).collect()),
        Value::Object(fields) => {
            AttributeValue::M(fields.into_iter().map(|(name, value)| (name, to_attribute(value))).collect())
        }
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
        AttributeValue::M(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), from_attribute(value))).collect())
        }
        // No field of ours is binary, or of a kind that the SDK does not know: the wrong type for every one of them.
        _ => json!({ "not text, number, list or map": true }),
    }
}

/// A number; text that is none stays text, the wrong type for every number of ours.
fn number(text: &str) -> Value {
    let whole = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok();
    let number = whole.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64));
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use ecs_drain_state::{
        ActionResult, Balancer, ContainerInstance, Intent, LastError, Lifecycle, Note, Obligation, Order, Origin,
        Outcome, Phase, Strategy, Target, Then, WaitKind, record::Opening,
    };
    use jiff::{SignedDuration, Timestamp};

    fn minimal() -> Record {
        let opening = Opening {
            account: "123456789012".into(),
            region: "eu-west-1".into(),
            instance_id: "i-0123456789abcdef0".into(),
            controller: "main".into(),
            origin: Origin::LifecycleHook,
            strategy: Strategy::Drain,
            lifecycle: None,
            group: None,
            then: None,
            requested: None,
            container_instances: Vec::new(),
            deadline: None,
            margin: SignedDuration::ZERO,
        };
        Record { version: 1, ..Record::open(opening, "2026-01-02T03:04:05Z".parse().unwrap()) }
    }

    /// Unfinished, and with every field that can be there.
    fn full() -> Record {
        let mut record = minimal();
        let at: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let order = Order { by: "Ada".into(), reason: Some("kernel".into()), at };
        record.lifecycle = Some(Lifecycle {
            group: "web".into(),
            hook: "drain".into(),
            kind: WaitKind::Terminating,
            heartbeat_timeout_seconds: 3600,
            global_timeout_seconds: 172_800,
            default_result: ActionResult::Continue,
            other_hooks: vec!["another".into()],
            retains_abandoned: true,
        });
        record.group = Some("web".into());
        record.then = Some(Then::TerminateAndShrink);
        record.requested = Some(order.clone());
        record.held = Some(order.clone());
        record.cancel = Some(order.clone());
        record.release = Some(order);
        record.requests = vec!["20260102T030405678-1".into()];
        record.termination_asked_at = Some(at);
        record.retained_at = Some(at);
        record.global_limit = Some(at);
        record.causes = vec![Note { name: "NoRoom".into(), text: "no room".into() }];
        record.cluster = Some("web".into());
        record.container_instances = vec![ContainerInstance {
            cluster: "web".into(),
            arn: "arn:aws:ecs:eu-west-1:123456789012:container-instance/web/0123".into(),
            draining_is_ours: true,
            deregistered_at: Some(at),
        }];
        record.deadline = at.checked_add(SignedDuration::from_hours(1)).ok();
        record.intent =
            Some(Intent { result: ActionResult::Abandon, outcome: Outcome::Abandoned, reason: "late".into(), at });
        record.outcome = Some(Outcome::Abandoned);
        record.last_error = Some(LastError { at, what: "throttled".into() });
        record.obligations = vec![Obligation {
            balancer: Balancer::ClassicLoadBalancer("old".into()),
            target: Target::Instance("i-0123456789abcdef0".into()),
            delay_seconds: Some(300),
            network: Some(true),
            draining_since: Some(at),
            noted_at: at,
        }];
        record.tasks_left = vec!["arn:aws:ecs:eu-west-1:123456789012:task/web/1".into()];
        record
    }

    fn stored(record: &Record) -> HashMap<String, AttributeValue> {
        from_record(record).unwrap().into_iter().collect()
    }

    fn edited(name: &str, value: AttributeValue) -> Read {
        let mut item = stored(&full());
        item.insert(name.into(), value);
        read(&item)
    }

    #[test]
    fn a_record_survives_the_table() {
        for record in [minimal(), full()] {
            assert_eq!(read(&stored(&record)), Read::Record(Box::new(record)));
        }
    }

    #[test]
    fn a_done_record_expires_and_an_unfinished_one_never_does() {
        let mut record = Record { expires_at: Some(1_800_000_000), ..full() };
        let item = stored(&record);
        assert!(!item.contains_key(EXPIRES_AT) && item.contains_key(UNFINISHED) && item.contains_key(UNFINISHED_OF));
        record.phase = Phase::Done;
        let item = stored(&record);
        assert!(item.contains_key(EXPIRES_AT) && !item.contains_key(UNFINISHED) && !item.contains_key(UNFINISHED_OF));
        assert_eq!(read(&item), Read::Record(Box::new(record)));
    }

    /// A save removes what is listed as optional and absent, so the list must be complete.
    #[test]
    fn the_optional_attributes_are_all_listed() {
        let done = Record { phase: Phase::Done, ..minimal() };
        let most: Attributes = stored(&full()).into_iter().collect();
        let least = from_record(&done).unwrap();
        let mut optional: Vec<&str> =
            most.keys().filter(|name| !least.contains_key(*name)).map(String::as_str).collect();
        optional.push(EXPIRES_AT);
        optional.sort_unstable();
        assert_eq!(optional, OPTIONAL);
    }

    #[test]
    fn what_was_edited_by_hand_is_told_by_name() {
        let s = |text: &str| AttributeValue::S(text.into());
        let n = |text: &str| AttributeValue::N(text.into());
        let mut without_phase = stored(&full());
        without_phase.remove("phase");
        let reads = [
            edited("phase", s("Sleeping")),
            edited("version", n("-1")),
            edited("version", s("three")),
            edited("generation", n("1.5")),
            edited("attempts", n("99999999999999999999999999999999999999")),
            edited("created_at", s("yesterday")),
            edited("cluster", AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new([1]))),
            edited("obligations", AttributeValue::L(vec![AttributeValue::M(HashMap::new())])),
            edited("account", s("210987654321")),
            edited("schema", s("1")),
            edited("history", AttributeValue::Null(true)),
            read(&without_phase),
            read(&HashMap::new()),
        ];
        let said = reads.map(|read| match read {
            Read::Unreadable { why } => why,
            Read::Record(_) | Read::Newer { .. } => panic!("it was read"),
        });
        assert_eq!(
            said.join("\n"),
            "\
attribute phase: unknown variant `Sleeping`, expected one of `Pending`, `Deregistering`, `Waiting`, `Verifying`, `Completing`, `Returning`, `Done`
attribute version: invalid value: integer `-1`, expected u64
attribute version: invalid type: string \"three\", expected u64
attribute generation: invalid type: floating point `1.5`, expected u64
attribute attempts: invalid type: floating point `1e+38`, expected u32
attribute created_at: failed to parse four digit integer as year: invalid digit, expected 0-9 but got y
attribute cluster: invalid type: map, expected a string
attribute obligations: missing field `balancer`
its key is 123456789012/eu-west-1/i-0123456789abcdef0, but account, region and instance_id say 210987654321/eu-west-1/i-0123456789abcdef0
attribute schema: invalid type: string \"1\", expected u32
attribute history: invalid type: null, expected a sequence
missing field `phase`
missing field `account`"
        );
    }

    #[test]
    fn a_newer_record_is_left_alone_whatever_else_it_holds() {
        let newer = HashMap::from([("schema".to_owned(), AttributeValue::N("3".into()))]);
        assert_eq!(read(&newer), Read::Newer { schema: 3 });
    }

    #[test]
    fn attributes_of_others_do_no_harm() {
        let note = AttributeValue::Ss(vec!["ask Ada".into()]);
        assert_eq!(edited("note", note), Read::Record(Box::new(full())));
    }

    #[test]
    fn the_index_says_key_and_version() {
        let item = stored(&Record { version: 42, ..full() });
        let sort = string(&item, UNFINISHED).unwrap();
        assert_eq!(sort, "123456789012/eu-west-1/i-0123456789abcdef0@000000000042");
        assert_eq!(version_in(sort), 42);
        assert_eq!((version_in(""), version_in("a@b"), version_in("a@-1")), (0, 0, 0));
    }
}
