//! Records as items: converted both ways, and edited by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use ecs_drain_state::{
    ActionResult, Balancer, ContainerInstance, Intent, LastError, Lifecycle, Note, Obligation,
    Order, Origin, Outcome, Stage, Strategy, Target, Then, WaitKind, record::Opening,
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

/// Returns an unfinished record with every optional field.
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
    record.orders.pause = Some(order.clone());
    record.orders.cancel = Some(order.clone());
    record.orders.force = Some(order);
    record.orders.requests = vec!["20260102T030405678-1".into()];
    record.termination_asked_at = Some(at);
    record.retained_at = Some(at);
    record.global_limit = Some(at);
    record.stopped_tasks = vec!["0a1b".into()];
    record.services = Some([("web/shop".to_owned(), 2)].into());
    record.shown.causes = vec![Note { name: "NoRoom".into(), text: "no room".into(), fix: None }];
    record.shown.stuck_since = Some(at);
    record.shown.bad_tags = vec!["ecs-drain:poll is \"1\": no unit".into()];
    record.cluster = Some("web".into());
    record.container_instances = vec![ContainerInstance {
        cluster: "web".into(),
        arn: "arn:aws:ecs:eu-west-1:123456789012:container-instance/web/0123".into(),
        draining_is_ours: true,
        deregistered_at: Some(at),
        drained_for_seconds: 0,
        gone_for_seconds: 0,
    }];
    record.deadline = at.checked_add(SignedDuration::from_hours(1)).ok();
    let intent = Intent {
        result: ActionResult::Abandon,
        outcome: Outcome::Abandoned,
        reason: "late".into(),
        at,
    };
    record.stage = Stage::Completing { intent, refused_since: Some(at) };
    record.last_error = Some(LastError { at, what: "throttled".into() });
    record.obligations = vec![Obligation {
        balancer: Balancer::ClassicLoadBalancer("old".into()),
        target: Target::Instance("i-0123456789abcdef0".into()),
        delay_seconds: Some(300),
        network: Some(true),
        draining_since: Some(at),
        left_for_seconds: 0,
        of_group_alone: false,
        noted_at: at,
    }];
    record.shown.tasks_left = vec!["arn:aws:ecs:eu-west-1:123456789012:task/web/1".into()];
    record
}

fn done() -> Stage {
    Stage::Done { outcome: Outcome::Abandoned, intent: None, expires_at: 1_800_000_000 }
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
    let mut record = full();
    let item = stored(&record);
    assert!(
        !item.contains_key(EXPIRES_AT)
            && item.contains_key(UNFINISHED)
            && item.contains_key(UNFINISHED_OF)
    );
    record.stage = done();
    let item = stored(&record);
    assert!(
        item.contains_key(EXPIRES_AT)
            && !item.contains_key(UNFINISHED)
            && !item.contains_key(UNFINISHED_OF)
    );
    assert_eq!(read(&item), Read::Record(Box::new(record)));
}

/// A save removes optional attributes that are absent, so the list must be complete.
#[test]
fn the_optional_attributes_are_all_listed() {
    let most = [stored(&full()), stored(&Record { stage: done(), ..full() })];
    let least = stored(&Record { stage: done(), ..minimal() });
    let unfinished = stored(&minimal());
    let always = |name: &&String| least.contains_key(*name) && unfinished.contains_key(*name);
    let mut optional: Vec<&str> = most
        .iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|n| !always(n))
        .map(String::as_str)
        .collect();
    optional.sort_unstable();
    optional.dedup();
    assert_eq!(optional, OPTIONAL);
}

#[test]
fn an_attribute_edited_by_hand_is_named() {
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
    let newer = HashMap::from([("schema".to_owned(), AttributeValue::N("2".into()))]);
    assert_eq!(read(&newer), Read::Newer { schema: 2 });
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

/// The message quotes the item, and is printed on terminals.
#[test]
fn an_error_about_an_item_is_short_and_controls_no_terminal() {
    let long = AttributeValue::S("x".repeat(300_000));
    let colours = AttributeValue::S("\u{1b}[31m\u{202e}\r\nWaiting\u{0}".into());
    for name in ["phase", "created_at", "account", "lifecycle", "obligations", "origin"] {
        for value in [&long, &colours] {
            let Read::Unreadable { why } = edited(name, value.clone()) else {
                panic!("{name} was read")
            };
            assert!(
                why.len() < 3_000
                    && why.chars().all(|c| c == ' ' || c == '…' || c.is_ascii_graphic()),
                "{why}"
            );
        }
    }
    let Read::Unreadable { why } = edited("phase", colours) else { panic!("it was read") };
    assert!(
        why.starts_with(
            r"attribute phase: unknown variant `\u{1b}[31m\u{202e}\r\nWaiting\u{0}`, expected"
        ),
        "{why}"
    );
}

/// An impossible record stops its drain; missing facts are not guessed.
#[test]
fn contradictory_attributes_are_named() {
    let s = |text: &str| AttributeValue::S(text.into());
    let without = |name: &str| {
        let mut item = stored(&Record { stage: done(), ..full() });
        item.remove(name);
        read(&item)
    };
    let mut intended = stored(&full());
    intended.remove("intent");
    for (what, why) in [
        (
            edited("phase", s("Waiting")),
            "attribute refused_since: present, but phase is not Completing",
        ),
        (edited("outcome", s("Drained")), "attribute outcome: present, but phase is not Done"),
        (read(&intended), "attribute intent: missing, but phase is Completing"),
        (without("outcome"), "attribute outcome: missing, but phase is Done"),
        (without("expires_at"), "attribute expires_at: missing, but phase is Done"),
    ] {
        assert_eq!(what, Read::Unreadable { why: why.to_owned() });
    }
}

#[test]
fn there_is_no_older_schema() {
    let why = "attribute schema: 0 is unknown".to_owned();
    assert_eq!(edited("schema", AttributeValue::N("0".into())), Read::Unreadable { why });
}
