//! Items of the table, as anyone with write access to it can write or edit them: records, requests.

use super::{assert_plain, item};
use aws_sdk_dynamodb::types::AttributeValue;
use ecs_drain::cli::options::{Flags, options};
use ecs_drain::cli::sheet::{Around, sheet};
use ecs_drain::cli::words::Screen;
use ecs_drain::cli::{TableArgs, get, yaml};
use ecs_drain::store::pauses::Pauses;
use ecs_drain::store::{Read, ReadRequest, requests, rollouts};
use ecs_drain_state::request::{Circumstances, apply};
use ecs_drain_state::{
    Answer, ContainerInstanceSight, ContainerInstanceStatus, Context, Drain, GroupSight, Kind,
    LifecycleState, Mono, Now, Policy, Record, Request, Seen, TargetSight, Then, WaitKind, Wanted,
    What,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::time::Duration;

/// Checks that every item is a record, is newer, or is refused with the reason. A record is of this
/// schema, is the same after a write and a read, can be decided on and shown, and keeps to the
/// table of legal moves. Returns true if it is accepted.
pub fn record(data: &[u8]) -> bool {
    let Some(item) = item::parse(data) else { return false };
    let read = ecs_drain::store::item::read(&item);
    show(&read);
    match read {
        Read::Record(record) => {
            survives(&record);
            decide_on(&record);
            order(&record);
            true
        }
        Read::Newer { schema } => {
            assert!(schema > u64::from(ecs_drain_state::record::SCHEMA));
            false
        }
        Read::Unreadable { why } => {
            assert_plain(&why);
            false
        }
    }
}

/// Checks that the written item is the record: reading it back changes nothing.
pub fn survives(record: &Record) {
    let written =
        ecs_drain::store::item::from_record(record).expect("what was read can be written");
    let item: HashMap<String, AttributeValue> = written.clone().into_iter().collect();
    assert_eq!(ecs_drain::store::item::read(&item), Read::Record(Box::new(record.clone())));
    assert_eq!(
        ecs_drain::store::item::from_record(record).as_ref(),
        Ok(&written),
        "a second save changes it"
    );
}

fn now() -> Timestamp {
    Timestamp::from_second(1_767_600_000).expect("a moment in 2026")
}

fn show(read: &Read) {
    const KEY: &str = "123456789012/us-east-1/i-0";
    let screen = Screen { width: Some(80), ..Screen::default() };
    let choices = match read {
        Read::Record(record) => {
            let flags = Flags::new(&TableArgs::default(), record, "default");
            options(record, &Pauses::default(), &flags)
        }
        Read::Newer { .. } | Read::Unreadable { .. } => Vec::new(),
    };
    let value = get::value(KEY, read).expect("what was read can be printed");
    for text in [
        sheet(read, &Around { now: now(), screen, choices, key: KEY }),
        get::table(&[(KEY.to_owned(), read.clone())], true, now(), screen),
        yaml::document(&value).expect("what was read can be printed"),
    ] {
        let steers = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(steers), "what people see steers their terminal: {text:?}");
    }
}

/// Returns the answers of all reads in four worlds: nothing known; everything gone, and the
/// instance held; the instance gone; the instance back in service.
fn worlds(record: &Record) -> [Vec<Answer>; 4] {
    let unknown = || "not read".to_owned();
    let blind = Kind::ALL.into_iter().map(|kind| Answer::Failed(kind, unknown())).collect();
    let member = |state: LifecycleState| {
        let hook = Seen::Yes(None);
        Answer::Group(Seen::Yes(GroupSight::Member {
            group: "web-asg".to_owned(),
            state,
            healthy: true,
            hook,
        }))
    };
    let world = |group: Answer, status: ContainerInstanceStatus| {
        let sight = |status: &ContainerInstanceStatus| ContainerInstanceSight {
            status: status.clone(),
            agent_connected: true,
            live: 0,
            version: 1,
        };
        let mut answers = vec![group];
        for one in &record.container_instances {
            let of = one.arn.clone();
            answers.push(Answer::Status { of: of.clone(), sight: sight(&status) });
            for wanted in [Wanted::Running, Wanted::Stopped] {
                answers.push(Answer::List { of: of.clone(), wanted, tasks: Vec::new() });
            }
        }
        let gone = record
            .obligations
            .iter()
            .map(|o| (o.balancer.clone(), o.target.clone(), TargetSight::Gone));
        answers.push(Answer::Targets(gone.collect()));
        answers.push(Answer::Search {
            unread: Vec::new(),
            left_out: Vec::new(),
            found: Vec::new(),
        });
        answers
    };
    let kind = record.lifecycle.as_ref().map_or(WaitKind::Terminating, |l| l.kind);
    let clear = world(member(LifecycleState::Waiting(kind)), ContainerInstanceStatus::Draining);
    let gone =
        world(Answer::Group(Seen::Yes(GroupSight::Absent)), ContainerInstanceStatus::Missing);
    let back = world(member(LifecycleState::InService), ContainerInstanceStatus::Active);
    [blind, clear, gone, back]
}

/// Decides several times in a row on a world that does not change.
fn decide_on(record: &Record) {
    let policy = Policy::default();
    for answers in worlds(record) {
        let mut drain = Drain::new(record.clone(), Mono::START);
        for look in 0..4_u32 {
            let began = Mono::at(Duration::from_secs(1_000) + Duration::from_secs(120) * look);
            let read = ecs_drain_state::Read { began, ended: began + Duration::from_secs(1) };
            for answer in answers.clone() {
                drain.heed(&policy, read, answer);
            }
            let wall =
                now() + SignedDuration::from_secs(120) * i32::try_from(look).expect("a few looks");
            let before = drain.record.clone();
            let decision =
                drain.decide(&policy, &Context::default(), Now { mono: read.ended, wall });
            let next = decision.record;
            assert_eq!(next.key(), before.key(), "a drain became another's");
            assert!(
                !before.is_done() || next.is_done(),
                "a drain that is done begins again by itself"
            );
            assert!(next.obligations.len() >= before.obligations.len(), "obligations only grow");
            survives(&next);
            drain.take(next, read.ended);
        }
    }
}

/// Applies the requests that an operator can make.
fn order(record: &Record) {
    let until = now() + SignedDuration::from_hours(1);
    let drain = What::Drain { then: Then::Keep };
    let all = [
        drain,
        What::Cancel,
        What::Pause,
        What::Resume,
        What::Extend { until },
        What::Retry,
        What::Force,
    ];
    for what in all {
        let request = Request {
            id: "20260105T080000000-1".to_owned(),
            controller: record.controller.clone(),
            account: record.account.clone(),
            region: record.region.clone(),
            instance_id: record.instance_id.clone(),
            cluster: record.cluster.clone(),
            generation: record.generation,
            what,
            by: "Ada".to_owned(),
            reason: None,
            at: now(),
            schema: ecs_drain_state::request::SCHEMA,
        };
        carry_out(&request, Some(record));
    }
}

fn carry_out(request: &Request, record: Option<&Record>) {
    use ecs_drain_state::Applied;
    let around = Circumstances { margin: SignedDuration::from_mins(5), paused: None, now: now() };
    match apply(request, record, &around) {
        Applied::Changed { record, answer } => {
            survives(&record);
            assert!(!answer.is_empty());
        }
        Applied::Already { answer } | Applied::Refused { answer } => assert!(!answer.is_empty()),
        Applied::Open => {}
    }
}

/// Checks that every item is a request, or is refused with the reason. A request is the same after
/// a write and a read, and its texts enter a record as one plain line. Returns true if it is
/// accepted.
pub fn request(data: &[u8]) -> bool {
    let Some(item) = item::parse(data) else { return false };
    let says =
        item.get("controller").and_then(|value| value.as_s().ok()).map_or("main", String::as_str);
    match requests::read(&item, says) {
        ReadRequest::Request(request) => {
            let written = requests::item_of(&request).expect("what was read can be written");
            let again: HashMap<String, AttributeValue> = written.into_iter().collect();
            assert_eq!(
                requests::read(&again, &request.controller),
                ReadRequest::Request(request.clone())
            );
            let order = request.order();
            let said = [Some(order.by.clone()), order.reason.clone()];
            for text in said.into_iter().flatten() {
                assert!(
                    !text.contains(char::is_control) && text.chars().count() <= 500,
                    "{text:?}"
                );
            }
            let other = requests::read(&again, "another");
            assert!(
                request.controller == "another" || matches!(other, ReadRequest::Unreadable { .. })
            );
            carry_out(&request, None);
            true
        }
        ReadRequest::Rollout(request) => {
            let written =
                rollouts::item_of_request(&request).expect("what was read can be written");
            let again: HashMap<String, AttributeValue> = written.into_iter().collect();
            let read = requests::read(&again, &request.controller);
            assert_eq!(read, ReadRequest::Rollout(request));
            true
        }
        ReadRequest::Unreadable { why } => {
            assert_plain(&why);
            false
        }
    }
}
