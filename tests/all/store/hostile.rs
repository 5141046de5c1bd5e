//! Items that others wrote: older and newer programs, people who edit, and records larger than a
//! table accepts.

use super::arbitrary;
use super::{readable, saved, simulated, simulator, text};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use ecs_drain::aws::ErrorClass;
use ecs_drain::store::item::{from_record, read};
use ecs_drain::store::{Pauses, Read, ReadRequest, Saved, Store, TableOptions, requests};
use ecs_drain_state::record::{HISTORY, SCHEMA};
use ecs_drain_state::{
    Balancer, ContainerInstance, Event, Note, Obligation, Order, Orders, Outcome, Phase, Record,
    Stage, Target,
};
use jiff::Timestamp;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::{BTreeMap, BTreeSet, HashMap};

type Item = HashMap<String, AttributeValue>;

/// Returns a runner that tries the same cases in every run, and writes no file.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

fn item(record: &Record) -> Item {
    from_record(record).unwrap().into_iter().collect()
}

#[test]
fn every_record_is_the_same_after_the_table() {
    let run = runner(400).run(&arbitrary::record(), |record| {
        let there = item(&record);
        assert_eq!(read(&there), Read::Record(Box::new(record.clone())));
        assert_eq!(there.contains_key("unfinished"), record.phase() != Phase::Done);
        assert!(record.phase() == Phase::Done || !there.contains_key("expires_at"));
        Ok(())
    });
    run.unwrap();
}

#[test]
fn every_request_is_the_same_after_the_table() {
    let run = runner(200).run(&arbitrary::request(), |request| {
        let there: Item = requests::item_of(&request).unwrap().into_iter().collect();
        let again = requests::read(&there, &request.controller);
        assert_eq!(again, ReadRequest::Request(Box::new(request)));
        Ok(())
    });
    run.unwrap();
}

/// Returns a store in the simulator's DynamoDB, and a client that goes past it.
async fn table() -> (Store, Client) {
    let sdk = simulated(&simulator()).await;
    let store = Store::connect(&sdk, "drains", "main");
    store.create_table(TableOptions::default()).await.unwrap();
    (store, Client::new(&sdk))
}

async fn put(raw: &Client, item: Item) {
    raw.put_item().table_name("drains").set_item(Some(item)).send().await.unwrap();
}

/// As [`every_record_is_the_same_after_the_table`], by way of DynamoDB's own numbers, sets and
/// maps.
#[tokio::test(start_paused = true)]
async fn every_record_and_pause_is_the_same_after_dynamodb() {
    use proptest::strategy::{Strategy, ValueTree};
    let (store, _) = table().await;
    let mut runner = runner(1);
    for n in 0..60 {
        let record = arbitrary::record().new_tree(&mut runner).unwrap().current();
        let record = Record { instance_id: format!("i-{n}"), ..record };
        let first = saved(store.create(record).await.unwrap());
        assert_eq!(readable(store.get(&first.key()).await.unwrap()), first);
        // Saved over with other values in every field: no earlier value remains.
        let other = arbitrary::record().new_tree(&mut runner).unwrap().current();
        let Record { account, region, instance_id, version, write_id, .. } = first;
        let next = saved(
            store
                .save(Record { account, region, instance_id, version, write_id, ..other })
                .await
                .unwrap(),
        );
        assert_eq!(readable(store.get(&next.key()).await.unwrap()), next);
    }
    let mut expected = Pauses::default();
    for _ in 0..10 {
        for (place, order) in arbitrary::paused().new_tree(&mut runner).unwrap().current() {
            store.set_pause(&place, Some(&order)).await.unwrap();
            expected.places.insert(place, order);
        }
        assert_eq!(store.pauses().await.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_of_a_newer_schema_is_never_written_over() {
    let (store, raw) = table().await;
    let ours = saved(store.create(super::record("i-newer")).await.unwrap());
    let key = ours.key();
    // A newer program takes the drain over, with a phase and fields that this one does not know.
    let mut newer = item(&Record { version: 2, write_id: "theirs".into(), ..ours.clone() });
    newer.insert("schema".into(), AttributeValue::N((SCHEMA + 1).to_string()));
    newer.insert("phase".into(), text("Rehearsing"));
    newer.insert("obligations".into(), AttributeValue::M(HashMap::new()));
    put(&raw, newer.clone()).await;
    assert_eq!(store.get(&key).await.unwrap(), Some(Read::Newer { schema: u64::from(SCHEMA) + 1 }));
    assert_eq!(
        store.get_many(std::slice::from_ref(&key)).await.unwrap()[0].1,
        Read::Newer { schema: u64::from(SCHEMA) + 1 }
    );
    assert_eq!(store.save(ours.clone()).await.unwrap(), Saved::LostRace);
    assert_eq!(store.create(ours).await.unwrap(), Saved::LostRace);
    let there = raw
        .get_item()
        .table_name("drains")
        .key("key", text(&key))
        .send()
        .await
        .unwrap()
        .item
        .unwrap();
    assert_eq!(there, newer);
}

/// Foreign attributes stay; a foreign value inside an attribute of the record is lost with the next
/// save of that attribute.
#[tokio::test(start_paused = true)]
async fn foreign_attributes_stay_and_foreign_values_inside_of_one_are_lost() {
    let (store, raw) = table().await;
    let mut there = item(&Record { version: 1, ..super::record("i-noted") });
    there.insert("note".into(), AttributeValue::Ss(vec!["ask Ada".into()]));
    let Some(AttributeValue::M(lifecycle)) = there.get_mut("lifecycle") else {
        panic!("it has one")
    };
    lifecycle.insert("note".into(), text("ask Bob"));
    put(&raw, there).await;
    let first = readable(store.get("123456789012/us-east-1/i-noted").await.unwrap());
    let key = saved(store.save(first).await.unwrap()).key();
    let there = raw
        .get_item()
        .table_name("drains")
        .key("key", text(&key))
        .send()
        .await
        .unwrap()
        .item
        .unwrap();
    assert_eq!(there["note"], AttributeValue::Ss(vec!["ask Ada".into()]));
    assert!(!there["lifecycle"].as_m().unwrap().contains_key("note"));
}

/// Fields that a record can lack; without any other it is refused. (`attempts` is 0 if it is
/// absent.)
const OPTIONAL: [&str; 19] = [
    "attempts",
    "bad_tags",
    "cancel",
    "causes",
    "cluster",
    "deadline",
    "force",
    "global_limit",
    "group",
    "last_error",
    "lifecycle",
    "pause",
    "requested",
    "requests",
    "retained_at",
    "services",
    "stuck_since",
    "termination_asked_at",
    "then",
];

/// Returns a done record with a value in every field.
fn full() -> Record {
    let at: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
    let order = Some(Order { by: "Ada".into(), reason: None, at });
    Record {
        stage: Stage::Done { outcome: Outcome::Drained, intent: None, expires_at: 1_800_000_000 },
        then: Some(ecs_drain_state::Then::Keep),
        orders: Orders {
            pause: order.clone(),
            cancel: order.clone(),
            force: order,
            requests: vec!["1".into()],
        },
        retained_at: Some(at),
        services: Some([("web/shop".to_owned(), 2)].into()),
        termination_asked_at: Some(at),
        ..super::record("i-full")
    }
}

#[test]
fn a_record_without_one_of_its_attributes_is_refused_with_its_name() {
    let whole: BTreeMap<String, AttributeValue> = item(&full()).into_iter().collect();
    let optional: BTreeSet<&str> = OPTIONAL.into_iter().collect();
    let mut missed = 0;
    for name in whole.keys() {
        let mut there: Item = whole.clone().into_iter().collect();
        there.remove(name);
        match read(&there) {
            Read::Record(record) => {
                assert!(optional.contains(name.as_str()), "{name} was not missed");
                // The rest is as it was.
                let again = item(&record);
                let same =
                    |other: &&String| *other == name || again.get(*other) == whole.get(*other);
                assert!(
                    whole.keys().all(|other| same(&other)),
                    "without {name} it is another record"
                );
            }
            Read::Unreadable { why } => {
                assert!(!optional.contains(name.as_str()), "{name}: {why}");
                assert!(
                    why.contains(&format!("`{name}`"))
                        || why.starts_with(&format!("attribute {name}: missing"))
                        || (name == "key" && why.starts_with("its key is ")),
                    "{why}"
                );
                missed += 1;
            }
            Read::Newer { .. } => panic!("it is not newer"),
        }
    }
    assert_eq!(missed, whole.len() - OPTIONAL.len(), "of {} attributes", whole.len());
}

/// Returns values of every kind that DynamoDB has, and of unexpected sizes.
pub(super) fn hostile_values() -> Vec<AttributeValue> {
    let deep = (0..30).fold(AttributeValue::L(Vec::new()), |inside, n| match n % 2 {
        0 => AttributeValue::L(vec![inside]),
        _ => AttributeValue::M(HashMap::from([("a".to_owned(), inside)])),
    });
    vec![
        AttributeValue::Null(true),
        AttributeValue::Bool(true),
        AttributeValue::N("-1".into()),
        AttributeValue::N("1e125".into()),
        AttributeValue::N("18446744073709551616".into()),
        AttributeValue::N("0.5".into()),
        text(""),
        text("\u{0}\u{1b}[31m\u{202e}\r\n"),
        text(&"x".repeat(390_000)),
        AttributeValue::B(Blob::new([0, 255])),
        AttributeValue::Bs(vec![Blob::new([0])]),
        AttributeValue::Ns(vec!["1".into()]),
        AttributeValue::M(HashMap::new()),
        AttributeValue::M(HashMap::from([("Pending".to_owned(), text("x"))])),
        AttributeValue::L(vec![AttributeValue::Null(true)]),
        AttributeValue::L(vec![AttributeValue::M(HashMap::new())]),
        deep,
    ]
}

#[test]
fn a_record_with_one_hostile_attribute_is_read_or_refused_with_its_name() {
    let whole: BTreeMap<String, AttributeValue> = item(&full()).into_iter().collect();
    let (mut read_so, mut told) = (0, 0);
    for name in whole.keys() {
        for value in hostile_values() {
            let mut there: Item = whole.clone().into_iter().collect();
            there.insert(name.clone(), value.clone());
            match read(&there) {
                // The record has what the item has: null is absent, a set is a list, and all else
                // is itself.
                Read::Record(record) => {
                    let again = item(&record).remove(name);
                    let absent = value == AttributeValue::Null(true) && again.is_none();
                    let set = matches!(value, AttributeValue::Ns(_));
                    assert!(
                        absent || set || again == Some(value.clone()),
                        "{name}: {value:?} became {again:?}"
                    );
                    read_so += 1;
                }
                Read::Unreadable { why } => {
                    let key = ["key", "account", "region", "instance_id"].contains(&name.as_str());
                    assert!(
                        why.starts_with(&format!("attribute {name}: "))
                            || (key && why.contains("key is ")),
                        "{why}"
                    );
                    told += 1;
                }
                Read::Newer { schema } => panic!("{name}: {value:?} made it newer: {schema}"),
            }
        }
    }
    assert!(read_so > 30 && told > 600, "{read_so} read, {told} told");
}

/// Returns a record with this many obligations, their texts as long as names can be.
fn with_obligations(n: usize) -> Record {
    let at: Timestamp = "2026-01-05T09:00:00.123456789Z".parse().unwrap();
    let obligation = |n: usize| {
        let group = format!(
            "arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:123456789012:targetgroup/{}/{n:016x}",
            "g".repeat(32)
        );
        let target =
            Target::Ip(format!("2600:1f13:0abc:def0:1234:5678:{:04x}:{:04x}", n / 5, n % 5));
        Obligation {
            delay_seconds: Some(3600),
            network: Some(false),
            draining_since: Some(at),
            ..Obligation::new(Balancer::TargetGroup(group), target, at)
        }
    };
    Record { obligations: (0..n).map(obligation).collect(), ..super::record("i-large") }
}

/// 120 tasks with an interface of their own (the most that an instance takes; source: ECS developer
/// guide, "Increasing Amazon ECS Linux container instance network interfaces"), each in five target
/// groups (the most that a service takes; source: ECS developer guide, "Registering multiple target
/// groups with a service"), each task with a cause of its own, and every text of its largest
/// length.
#[tokio::test(start_paused = true)]
async fn the_largest_possible_record_fits_into_the_table() {
    let (store, _) = table().await;
    let mut record = with_obligations(600);
    let at = record.created_at;
    let (order, arn) = (
        "ä".repeat(500),
        format!("arn:aws:ecs:us-gov-west-1:123456789012:task/{}/0", "c".repeat(255)),
    );
    let order = Some(Order { by: order.clone(), reason: Some(order), at });
    (record.orders.pause, record.orders.cancel, record.orders.force, record.requested) =
        (order.clone(), order.clone(), order.clone(), order);
    record.shown.causes =
        vec![Note { name: "ReplacementFails".into(), text: "x".repeat(1_000), fix: None }; 120];
    record.history = vec![Event { at, phase: Phase::Completing, what: "x".repeat(1_500) }; HISTORY];
    record.shown.tasks_left = vec![arn.clone(); 10];
    record.container_instances = vec![
        ContainerInstance {
            cluster: "c".repeat(255),
            arn,
            draining_is_ours: true,
            deregistered_at: Some(at),
            drained_for_seconds: 9,
            gone_for_seconds: 7
        };
        4
    ];
    let first = saved(store.create(record).await.unwrap());
    let next = saved(store.save(first).await.unwrap());
    assert_eq!(readable(store.get(&next.key()).await.unwrap()), next);
}

/// DynamoDB accepts items of up to 400 KB. A larger record is refused as a whole, by name; the
/// stored one stays.
#[tokio::test(start_paused = true)]
async fn a_record_that_is_too_large_for_the_table_is_refused_and_never_cut() {
    let (store, _) = table().await;
    let fits = saved(store.create(with_obligations(1_000)).await.unwrap());
    let grown = Record { obligations: with_obligations(3_000).obligations, ..fits.clone() };
    let error = store.save(grown.clone()).await.unwrap_err();
    assert!(error.class() == Some(ErrorClass::Invalid) && !error.is_transient(), "{error}");
    let said = error.to_string();
    assert!(
        said.starts_with(
            "dynamodb:UpdateItem on table drains: refused by AWS (ValidationException: "
        ) && said.contains("size"),
        "{said}"
    );
    assert_eq!(readable(store.get(&fits.key()).await.unwrap()), fits);
    let error = store.create(Record { instance_id: "i-other".into(), ..grown }).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("dynamodb:PutItem on table drains: refused by AWS (ValidationException: "),
        "{error}"
    );
}
