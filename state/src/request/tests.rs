//! The result of each request, as tables.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::decide::tests::fixture::{ordered, stage};
use crate::record::{
    ActionResult, LastError, Lifecycle, Opening, Origin, Shown, Stage, Strategy, WaitKind,
};
use crate::record::{Balancer, Obligation, Target};

fn now() -> Timestamp {
    "2026-01-05T09:00:00Z".parse().unwrap()
}

fn minutes(n: i64) -> Timestamp {
    now() + SignedDuration::from_mins(n)
}

const MARGIN: SignedDuration = SignedDuration::from_mins(5);

fn around(paused: Option<&str>) -> Circumstances<'_> {
    Circumstances { margin: MARGIN, paused, now: now() }
}

/// Returns a drain in Waiting: under the ecs-drain hook, with a deadline in an hour and a limit in
/// two.
fn hooked() -> Record {
    let lifecycle = Lifecycle {
        group: "web-group".into(),
        hook: "ecs-drain".into(),
        kind: WaitKind::Terminating,
        heartbeat_timeout_seconds: 300,
        global_timeout_seconds: 7200,
        default_result: ActionResult::Continue,
        other_hooks: Vec::new(),
        retains_abandoned: false,
    };
    record(Origin::LifecycleHook, Some(lifecycle), None)
}

/// Returns a drain that an operator requested.
fn asked(then: Then) -> Record {
    record(Origin::Operator, None, Some(then))
}

fn record(origin: Origin, lifecycle: Option<Lifecycle>, then: Option<Then>) -> Record {
    let opening = Opening {
        account: "123456789012".into(),
        region: "eu-west-1".into(),
        instance_id: "i-1".into(),
        controller: "main".into(),
        origin,
        strategy: Strategy::Drain,
        lifecycle,
        group: Some("web-group".into()),
        then,
        requested: None,
        container_instances: vec![ContainerInstance {
            cluster: "web".into(),
            arn: "arn:aws:ecs:eu-west-1:123456789012:container-instance/web/c1".into(),
            draining_is_ours: true,
            deregistered_at: None,
            drained_for_seconds: 0,
            gone_for_seconds: 0,
        }],
        deadline: Some(SignedDuration::from_hours(1)),
        margin: MARGIN,
    };
    let mut record = Record::open(opening, now());
    record.stage = Stage::Waiting;
    record.shown.message = "task a of service shop is RUNNING".into();
    record
}

fn intending(mut record: Record, outcome: Outcome) -> Record {
    record.stage = stage(Phase::Completing, outcome);
    record
}

fn done(mut record: Record, outcome: Outcome) -> Record {
    record.stage = stage(Phase::Done, outcome);
    record
}

fn request(what: What) -> Request {
    Request {
        id: "20260105T090000000-1".into(),
        controller: "main".into(),
        account: "123456789012".into(),
        region: "eu-west-1".into(),
        instance_id: "i-1".into(),
        cluster: None,
        generation: 1,
        what,
        by: "Ada".into(),
        reason: Some("kernel".into()),
        at: now(),
        schema: SCHEMA,
    }
}

fn tell(applied: &Applied) -> String {
    match applied {
        Applied::Changed { answer, .. } => format!("changed: {answer}"),
        Applied::Already { answer } => format!("already: {answer}"),
        Applied::Refused { answer } => format!("refused: {answer}"),
        Applied::Open => "open".into(),
    }
}

#[track_caller]
fn check(table: &[(Option<Record>, What, &str)]) {
    for (record, what, expected) in table {
        let applied = apply(&request(*what), record.as_ref(), &around(None));
        assert_eq!(tell(&applied), *expected);
        if let (Applied::Changed { record: next, .. }, Some(record)) = (&applied, record) {
            assert_eq!(next.orders.requests, ["20260105T090000000-1"]);
            assert!(next.history.len() > record.history.len(), "who and why is in the history");
            assert_eq!(
                (next.version, next.generation, next.phase()),
                (record.version, record.generation, record.phase())
            );
            assert!(
                matches!(
                    apply(&request(*what), Some(next), &around(None)),
                    Applied::Already { .. }
                ),
                "read twice"
            );
        }
    }
}

const STANDS: &str =
    "its drain has been Waiting since 2026-01-05T09:00:00Z: task a of service shop is RUNNING";

#[test]
fn a_drain() {
    let drain = |then| What::Drain { then };
    let cancelled =
        ordered(&asked(Then::Keep), |orders| orders.cancel = Some(request(What::Cancel).order()));
    let again = Record { generation: 2, ..done(hooked(), Outcome::WaitLost) };
    check(&[
        (None, drain(Then::Keep), "open"),
        (Some(done(hooked(), Outcome::WaitLost)), drain(Then::Keep), "open"),
        (
            Some(again),
            drain(Then::Keep),
            "refused: a new drain of it has started since (generation 2, not 1); run the command again: its drain has ended (WaitLost)",
        ),
        (
            Some(asked(Then::Keep)),
            drain(Then::Keep),
            &format!("already: it is draining already; {STANDS}"),
        ),
        (
            Some(asked(Then::Keep)),
            drain(Then::Terminate),
            &format!(
                "refused: it is draining to keep, not to terminate; cancel that drain first: {STANDS}"
            ),
        ),
        (
            Some(hooked()),
            drain(Then::Terminate),
            &format!("already: it is draining already; {STANDS}"),
        ),
        (
            Some(hooked()),
            drain(Then::TerminateAndShrink),
            &format!("refused: its group web-group is terminating it; {STANDS}"),
        ),
        (
            Some(hooked()),
            drain(Then::Keep),
            &format!("refused: its group web-group is terminating it; {STANDS}"),
        ),
        (
            Some(cancelled),
            drain(Then::Keep),
            &format!(
                "refused: its last drain has not ended; run the command again when it has: {STANDS}"
            ),
        ),
    ]);
}

#[test]
fn a_cancellation() {
    let deregistered = |mut record: Record| {
        record.container_instances[0].deregistered_at = Some(now());
        record
    };
    let told = Record {
        termination_asked_at: Some(now()),
        ..intending(asked(Then::Terminate), Outcome::Drained)
    };
    let held = ordered(&asked(Then::Keep), |orders| {
        orders.pause = Some(Order { by: "Bob".into(), reason: None, at: now() })
    });
    check(&[
        (
            None,
            What::Cancel,
            "refused: it is not draining; `ecs-drain get --all` shows finished drains",
        ),
        (
            Some(asked(Then::Keep)),
            What::Cancel,
            "changed: cancelled; the container instance becomes ACTIVE again if ecs-drain set its DRAINING",
        ),
        (
            Some(held),
            What::Cancel,
            "changed: cancelled; the container instance becomes ACTIVE again if ecs-drain set its DRAINING, once it is resumed; it is paused by Bob",
        ),
        (
            Some(told),
            What::Cancel,
            "changed: cancelled; the container instance becomes ACTIVE again if ecs-drain set its DRAINING, unless its group is terminating it by now",
        ),
        (
            Some(hooked()),
            What::Cancel,
            "refused: its group is terminating it, which no API can stop; pause it, extend its deadline, or force it",
        ),
        (
            Some(deregistered(asked(Then::Keep))),
            What::Cancel,
            "refused: it was deregistered from its cluster, which cannot be undone",
        ),
        (
            Some(done(hooked(), Outcome::Drained)),
            What::Cancel,
            "refused: its drain has ended (Drained); nothing to cancel",
        ),
        (
            Some(done(asked(Then::Keep), Outcome::Drained)),
            What::Cancel,
            "refused: its drain has ended (Drained), and it stays in DRAINING. To place tasks on it again: aws ecs update-container-instances-state --region eu-west-1 --cluster web --container-instances arn:aws:ecs:eu-west-1:123456789012:container-instance/web/c1 --status ACTIVE",
        ),
        (
            Some(done(asked(Then::Keep), Outcome::Cancelled)),
            What::Cancel,
            "refused: its drain has ended (Cancelled); nothing to cancel",
        ),
    ]);
}

#[test]
fn pausing_and_resuming() {
    let held = ordered(&hooked(), |orders| {
        orders.pause = Some(Order { by: "Bob".into(), reason: None, at: now() })
    });
    let returning = Record { stage: stage(Phase::Returning, Outcome::Drained), ..hooked() };
    let retained = Record { retained_at: Some(now()), ..intending(hooked(), Outcome::Abandoned) };
    let only_held =
        "changed: paused; heartbeats continue; the hook still expires at 2026-01-05T11:00:00Z";
    check(&[
        // Neither of them is about to be released.
        (Some(returning), What::Pause, only_held),
        (Some(retained), What::Pause, only_held),
        (Some(hooked()), What::Pause, only_held),
        (
            Some(intending(asked(Then::Terminate), Outcome::Drained)),
            What::Pause,
            "changed: paused; heartbeats continue (it was about to be released; a completion that Auto Scaling accepted stays)",
        ),
        (
            Some(held.clone()),
            What::Pause,
            "already: it is already paused, by Bob, since 2026-01-05T09:00:00Z",
        ),
        (Some(held), What::Resume, "changed: resumed; it was paused by Bob"),
        (Some(hooked()), What::Resume, "already: it is not paused"),
        (
            Some(done(hooked(), Outcome::Drained)),
            What::Pause,
            "refused: its drain has ended (Drained); nothing to pause",
        ),
    ]);
}

#[test]
fn extending() {
    let to = |n| What::Extend { until: minutes(n) };
    let retained = Record { retained_at: Some(now()), ..intending(hooked(), Outcome::Abandoned) };
    let at_the_limit = Record { deadline: Some(minutes(115)), ..hooked() };
    check(&[
        (
            Some(hooked()),
            to(90),
            "changed: its deadline is now 2026-01-05T10:30:00Z; it was 2026-01-05T10:00:00Z",
        ),
        (
            Some(hooked()),
            to(600),
            "changed: its deadline is now 2026-01-05T10:55:00Z instead of 2026-01-05T19:00:00Z, because its hook expires at 2026-01-05T11:00:00Z",
        ),
        (
            Some(at_the_limit),
            to(600),
            "refused: its deadline is 2026-01-05T10:55:00Z, the latest that its hook allows (it expires at 2026-01-05T11:00:00Z)",
        ),
        (Some(hooked()), to(60), "already: its deadline is already 2026-01-05T10:00:00Z"),
        (
            Some(hooked()),
            to(30),
            "refused: its deadline is 2026-01-05T10:00:00Z and can only be moved to a later time",
        ),
        (Some(hooked()), to(-1), "refused: 2026-01-05T08:59:00Z is in the past"),
        (
            Some(Record { deadline: None, ..hooked() }),
            to(90),
            "refused: it has no deadline: its hook expires at 2026-01-05T11:00:00Z, which cannot be moved",
        ),
        (
            Some(asked(Then::Keep)),
            to(90),
            "refused: it has no deadline: it takes as long as it needs",
        ),
        (
            Some(intending(hooked(), Outcome::TimedOut)),
            to(90),
            "changed: its deadline is now 2026-01-05T10:30:00Z; it was 2026-01-05T10:00:00Z; the old one had passed, and a completion that Auto Scaling accepted stays",
        ),
        (
            Some(intending(hooked(), Outcome::Drained)),
            to(90),
            "refused: too late: it is already being released (Drained)",
        ),
        (
            Some(retained),
            to(90),
            "refused: too late: it was abandoned at its deadline, and its group retains it",
        ),
    ]);
}

fn obligation() -> Obligation {
    Obligation {
        balancer: Balancer::TargetGroup("arn:tg/web/1".to_owned()),
        target: Target::Instance("i-1".to_owned()),
        delay_seconds: None,
        network: None,
        draining_since: None,
        left_for_seconds: 0,
        of_group_alone: false,
        noted_at: now(),
    }
}

#[test]
fn trying_again_and_forcing() {
    let failing = Record {
        attempts: 3,
        last_error: Some(LastError { at: now(), what: "denied".into() }),
        ..hooked()
    };
    let ordered = ordered(&hooked(), |orders| {
        orders.force = Some(Order { by: "Bob".into(), reason: None, at: now() })
    });
    let returning = Record { stage: Stage::Returning { intent: None }, ..hooked() };
    check(&[
        (Some(failing.clone()), What::Retry, "changed: it is retried now; before: denied"),
        (Some(hooked()), What::Retry, "changed: it is retried now"),
        // A failure that was followed by a success is not mentioned.
        (
            Some(Record { attempts: 0, ..failing.clone() }),
            What::Retry,
            "changed: it is retried now",
        ),
        (
            Some(Record {
                shown: Shown { tasks_left_count: 1, targets_left_count: 2, ..Shown::default() },
                ..hooked()
            }),
            What::Force,
            "changed: it is released now; 1 task and 2 targets left",
        ),
        // Targets are read once no task is left.
        (
            Some(Record {
                shown: Shown { tasks_left_count: 4, ..Shown::default() },
                obligations: vec![obligation()],
                ..hooked()
            }),
            What::Force,
            "changed: it is released now; 4 tasks left, targets not checked (1 known)",
        ),
        (Some(ordered), What::Force, "already: it is already forced, by Bob"),
        (
            Some(returning),
            What::Force,
            "refused: too late: its wait has already ended; its drain has been Returning since 2026-01-05T09:00:00Z: task a of service shop is RUNNING",
        ),
    ]);
    let Applied::Changed { record, .. } =
        apply(&request(What::Retry), Some(&failing), &around(None))
    else {
        panic!()
    };
    assert_eq!((record.attempts, record.last_error), (0, None));
    for reason in [None, Some(" \n ".to_owned())] {
        let unreasoned = Request { reason, ..request(What::Force) };
        let told = tell(&apply(&unreasoned, Some(&hooked()), &around(None)));
        assert_eq!(
            told,
            "refused: a reason is required; pass --reason, which is saved in the record"
        );
    }
}

#[test]
fn while_paused_an_answer_says_what_it_waits_for() {
    let say =
        |what, record: Record| tell(&apply(&request(what), Some(&record), &around(Some("Bob"))));
    let waits = "once its cluster, or everything, is resumed; that is paused by Bob";
    let held = || Some(Order { by: "Ada".into(), reason: None, at: now() });
    assert_eq!(
        say(What::Cancel, asked(Then::Keep)),
        format!(
            "changed: cancelled; the container instance becomes ACTIVE again if ecs-drain set its DRAINING, {waits}"
        )
    );
    assert_eq!(say(What::Force, hooked()), format!("changed: it is released now, {waits}"));
    assert_eq!(say(What::Retry, hooked()), format!("changed: it is retried now, {waits}"));
    assert_eq!(
        say(What::Resume, ordered(&hooked(), |orders| orders.pause = held())),
        format!("changed: resumed; it was paused by Ada, {waits}")
    );
    assert_eq!(
        say(What::Retry, ordered(&hooked(), |orders| orders.pause = held())),
        "changed: it is retried now, once it is resumed; it is paused by Ada"
    );
}

#[test]
fn a_request_means_one_generation_and_a_quarter_of_an_hour() {
    let say =
        |request: &Request, record: Option<&Record>| tell(&apply(request, record, &around(None)));
    let unborn = Request { generation: 0, ..request(What::Pause) };
    assert_eq!(
        say(&unborn, Some(&hooked())),
        format!("refused: a drain of it has started since; run the command again: {STANDS}")
    );
    let older = Request { generation: 4, ..request(What::Pause) };
    assert_eq!(
        say(&older, Some(&hooked())),
        format!(
            "refused: a new drain of it has started since (generation 1, not 4); run the command again: {STANDS}"
        )
    );
    for (age, expired) in [(-16, true), (-15, false), (0, false), (15, false), (16, true)] {
        let request = Request { at: minutes(age), ..request(What::Drain { then: Then::Keep }) };
        assert_eq!(request.expired(now()), expired, "{age}");
        assert_eq!(say(&request, None) == "open", !expired, "{age}");
    }
    let late = Request { at: minutes(-16), ..request(What::Pause) };
    assert_eq!(
        say(&late, Some(&hooked())),
        "refused: the request of 2026-01-05T08:44:00Z is more than 15 minutes old, or a clock is wrong; run the command again"
    );
    // A request that was carried out is answered so, however late it is read.
    let carried = ordered(&hooked(), |orders| orders.requests = vec![late.id.clone()]);
    assert_eq!(
        say(&late, Some(&carried)),
        format!("already: this request was carried out before; {STANDS}")
    );
}

/// A person who may ask for one cluster alone names it in the request. That name is not believed.
#[test]
fn a_request_for_another_cluster_is_refused() {
    let named = |cluster: Option<&str>| Request {
        cluster: cluster.map(str::to_owned),
        ..request(What::Pause)
    };
    let say = |cluster, record: &Record| tell(&apply(&named(cluster), Some(record), &around(None)));
    let nowhere = Record { container_instances: Vec::new(), ..hooked() };
    for (cluster, record, said) in [
        (None, hooked(), "changed: paused"),
        (Some("web"), hooked(), "changed: paused"),
        (
            Some("jobs"),
            hooked(),
            "refused: the request is for cluster jobs, and the instance is in cluster web",
        ),
        (
            Some("web"),
            nowhere.clone(),
            "refused: the request is for cluster web, and the instance is in no cluster",
        ),
        (None, nowhere, "changed: paused"),
    ] {
        let answer = say(cluster, &record);
        assert!(answer.starts_with(said), "{answer}");
    }
}

#[test]
fn it_is_of_the_record_of_its_instance() {
    assert_eq!(request(What::Pause).record_key(), hooked().key());
}

#[test]
fn only_the_newest_ids_stay() {
    let mut record = hooked();
    for n in 0..15 {
        carried_out(&mut record, &Request { id: n.to_string(), ..request(What::Pause) });
    }
    assert_eq!(record.orders.requests, ["5", "6", "7", "8", "9", "10", "11", "12", "13", "14"]);
}

#[test]
fn what_a_request_says_of_itself_is_cut_and_plain() {
    let hostile = Request {
        by: "\u{1b}[2JAda\u{202e}\n".into(),
        reason: Some("x".repeat(1_000_000)),
        ..request(What::Pause)
    };
    let order = hostile.order();
    assert_eq!(order.by, "[2JAda");
    assert_eq!(order.reason.map(|r| r.len()), Some(LONGEST));
}
