//! Sample records for the tests of the output.

use crate::store::{Read, ReadRollout};
use ecs_drain_state::diagnosis::{Cause, Lack, Looked, Tasks};
use ecs_drain_state::record::Opening;
use ecs_drain_state::rollout::{
    Change, ChangeState, Event, Group, Options, Outcome as End, Rollout, Selection, Stage as Step,
    Turn,
};
use ecs_drain_state::why::Why;
use ecs_drain_state::{
    ActionResult, Balancer, ContainerInstance, Intent, LastError, Lifecycle, Note, Obligation,
    Order, Origin, Outcome, Record, Request, Stage, Strategy, Target, Then, WaitKind, What,
};
use jiff::{SignedDuration, Timestamp};

/// Compares a text with a file of `samples/`, or writes the file if `ECS_DRAIN_WRITE` is set. Pages
/// show these files.
///
/// # Panics
/// Panics if the texts differ.
#[allow(clippy::panic)]
pub(crate) fn compare(name: &str, shown: &str) {
    let path = format!("{}/src/cli/samples/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("ECS_DRAIN_WRITE").is_some() {
        std::fs::write(&path, shown).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    assert_eq!(shown, std::fs::read_to_string(&path).unwrap_or_default(), "{path}");
}

/// Returns the moment at which the samples are shown.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap_or(Timestamp::MIN)
}

fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

fn hooked() -> Lifecycle {
    Lifecycle {
        group: "web-asg".to_owned(),
        hook: "ecs-drain".to_owned(),
        kind: WaitKind::Terminating,
        heartbeat_timeout_seconds: 3600,
        global_timeout_seconds: 172_800,
        default_result: ActionResult::Continue,
        other_hooks: Vec::new(),
        retains_abandoned: false,
    }
}

fn order(by: &str, reason: &str, minutes_ago: i64) -> Order {
    Order { by: by.to_owned(), reason: Some(reason.to_owned()), at: ago(minutes_ago) }
}

fn opened(instance: &str, minutes_ago: i64, deadline: Option<SignedDuration>) -> Record {
    Record::open(opening(instance, deadline), ago(minutes_ago))
}

fn opening(instance: &str, deadline: Option<SignedDuration>) -> Opening {
    Opening {
        account: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        instance_id: instance.to_owned(),
        controller: "default".to_owned(),
        origin: Origin::LifecycleHook,
        strategy: Strategy::Drain,
        lifecycle: Some(hooked()),
        group: None,
        then: None,
        requested: None,
        container_instances: vec![ContainerInstance {
            cluster: "web".to_owned(),
            arn: "arn:aws:ecs:eu-west-1:123456789012:container-instance/web/c0ffee".to_owned(),
            draining_is_ours: true,
            deregistered_at: None,
            drained_for_seconds: 0,
            gone_for_seconds: 0,
        }],
        deadline,
        margin: SignedDuration::from_mins(5),
    }
}

/// Returns a cause in the form of the record.
fn no_room() -> Cause {
    Cause::NoRoom {
        service: "shop".to_owned(),
        closest: "i-0c4d".to_owned(),
        lacks: vec![Lack::Cpu { needed: 512, left: 256 }],
        looked: Looked { count: 12, more: false },
    }
}

/// Returns a drain that waits for tasks, with a step that fails.
pub(crate) fn waiting() -> (String, Read) {
    let mut record = opened("i-0waiting", 5, None);
    record.stage = Stage::Waiting;
    record.phase_since = ago(3);
    record.version = 4;
    record.updated_at = ago(1);
    record.shown.why = "TasksLeft".to_owned();
    record.shown.message =
        "3 tasks left: task 0a1b of service shop is RUNNING and 2 more".to_owned();
    record.shown.tasks_left = vec![
        "task 0a1b of service shop is RUNNING".to_owned(),
        "task 2c3d of service shop is RUNNING".to_owned(),
    ];
    record.shown.tasks_left_count = 3;
    record.shown.targets_left = vec![
        "i-0waiting in target group shop: draining, until 2023-11-14T22:15:40Z at most".to_owned(),
    ];
    record.shown.targets_left_count = 1;
    record.obligations = vec![Obligation {
        balancer: Balancer::TargetGroup(
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/shop/0123".to_owned(),
        ),
        target: Target::Instance("i-0waiting".to_owned()),
        delay_seconds: Some(300),
        network: Some(false),
        draining_since: Some(now() - SignedDuration::from_secs(160)),
        left_for_seconds: 0,
        of_group_alone: false,
        noted_at: ago(4),
    }];
    record.attempts = 2;
    record.last_error =
        Some(LastError { at: ago(1), what: "ecs:ListTasks on cluster web: throttled".to_owned() });
    record.note(ago(3), "ECS places nothing more on it");
    (record.key(), Read::Record(Box::new(record)))
}

fn intent(result: ActionResult, outcome: Outcome, reason: &str, minutes_ago: i64) -> Intent {
    Intent { result, outcome, reason: reason.to_owned(), at: ago(minutes_ago) }
}

const PASSED: &str =
    "its deadline 2023-11-14T21:33:20Z has passed; task 0a1b of service shop is RUNNING";

/// Returns a stuck drain.
pub(crate) fn stuck() -> (String, Read) {
    let mut record = opened("i-0stuck", 22, None);
    record.stage = Stage::Waiting;
    record.phase_since = ago(21);
    record.shown.why = "TasksLeft".to_owned();
    record.shown.stuck_since = Some(ago(17));
    record.shown.causes = vec![Note::from(&no_room())];
    record.shown.message =
        format!("task 91105849128e2fca87298cac4bb31e7a of service shop is RUNNING; {}", no_room());
    record.shown.tasks_left_count = 1;
    (record.key(), Read::Record(Box::new(record)))
}

/// Returns a finished drain.
pub(crate) fn done() -> (String, Read) {
    let mut record = opened("i-0done", 90, Some(SignedDuration::from_hours(1)));
    record.stage = Stage::Waiting;
    record.note(ago(88), "ECS places nothing more on it");
    record.stage = Stage::Done {
        outcome: Outcome::TimedOut,
        intent: Some(intent(ActionResult::Continue, Outcome::TimedOut, PASSED, 30)),
        expires_at: now().as_second() + 6 * 86400,
    };
    record.phase_since = ago(30);
    record.shown.message = Why::Done(Outcome::TimedOut).to_string();
    record.shown.tasks_left = vec!["task 0a1b of service shop is RUNNING".to_owned()];
    record.shown.tasks_left_count = 1;
    (record.key(), Read::Record(Box::new(record)))
}

/// Returns a paused drain that an operator requested, with the causes of its lack of progress.
pub(crate) fn asked() -> (String, Read) {
    let ada = order("arn:aws:iam::123456789012:user/ada", "kernel update", 20);
    let opening = Opening {
        origin: Origin::Operator,
        lifecycle: None,
        group: Some("web-asg".to_owned()),
        then: Some(Then::Terminate),
        requested: Some(ada),
        ..opening("i-0asked", None)
    };
    let mut record = Record::open(opening, ago(20));
    record.stage = Stage::Waiting;
    record.phase_since = ago(19);
    record.version = 3;
    record.updated_at = ago(2);
    let protected = Cause::ProtectedTask {
        tasks: Tasks {
            cluster: "web".to_owned(),
            first: "0a1b".to_owned(),
            service: Some("shop".to_owned()),
            more: 0,
        },
        until: Some(now() + SignedDuration::from_mins(27)),
    };
    record.shown.causes = vec![Note::from(&no_room()), Note::from(&protected)];
    let bob = order("bob@desk", "incident", 2);
    record.shown.why = "Paused".to_owned();
    record.shown.message = format!("{}; {}", Why::Paused(bob.to_string()), no_room());
    record.shown.tasks_left = vec!["task 0a1b of service shop is RUNNING".to_owned()];
    record.shown.tasks_left_count = 1;
    record.note(ago(2), format!("paused by {bob}"));
    record.orders.pause = Some(bob);
    (record.key(), Read::Record(Box::new(record)))
}

/// Returns the drain of an instance that its group retains. Its deadline was cut to the time that
/// the hook leaves.
pub(crate) fn retained() -> (String, Read) {
    let mut record = opened("i-0kept", 180, Some(SignedDuration::from_hours(60)));
    if let Some(lifecycle) = &mut record.lifecycle {
        lifecycle.other_hooks = vec!["backup".to_owned(), "inventory".to_owned()];
        lifecycle.retains_abandoned = true;
    }
    record.stage = Stage::Completing {
        intent: intent(ActionResult::Abandon, Outcome::Abandoned, PASSED, 40),
        refused_since: None,
    };
    record.phase_since = ago(40);
    record.retained_at = Some(ago(39));
    record.shown.why = "Retained".to_owned();
    record.shown.message = Why::Retained.to_string();
    (record.key(), Read::Record(Box::new(record)))
}

/// Returns a drain that an operator forced before its targets were checked.
pub(crate) fn forced() -> (String, Read) {
    let (_, read) = waiting();
    let Read::Record(mut record) = read else { return waiting() };
    record.instance_id = "i-0forced".to_owned();
    record.orders.force = Some(order("bob@desk", "the job may be cut", 1));
    record.stage = Stage::Completing {
        intent: intent(
            ActionResult::Continue,
            Outcome::Forced,
            "ordered by bob@desk (the job may be cut)",
            1,
        ),
        refused_since: None,
    };
    record.attempts = 0;
    record.last_error = None;
    record.shown.message = Why::Completing(Outcome::Forced).to_string();
    record.shown.targets_left.clear();
    record.shown.targets_left_count = 0;
    (record.key(), Read::Record(record))
}

/// Returns records that this program cannot read.
pub(crate) fn unread() -> Vec<(String, Read)> {
    vec![
        ("123456789012/eu-west-1/i-0new".to_owned(), Read::Newer { schema: 7 }),
        (
            "123456789012/eu-west-1/i-0bad".to_owned(),
            Read::Unreadable { why: "phase is \"Wating\"".to_owned() },
        ),
    ]
}

/// Makes a request of Ada's for a record.
pub(crate) fn request(record: &Record, what: What, reason: Option<&str>) -> Request {
    Request {
        id: "1".to_owned(),
        controller: record.controller.clone(),
        account: record.account.clone(),
        region: record.region.clone(),
        instance_id: record.instance_id.clone(),
        cluster: None,
        generation: record.generation,
        what,
        by: "Ada".to_owned(),
        reason: reason.map(str::to_owned),
        at: now(),
        schema: ecs_drain_state::request::SCHEMA,
    }
}

/// Returns rollouts: one under way, one that stopped, one that is done, and two that this program
/// cannot read.
pub(crate) fn rollouts() -> Vec<(String, ReadRollout)> {
    let change = Change { from: 6, to: 9, at: ago(50), state: ChangeState::Applied };
    let mut running = rollout("agent-1.90", Selection::AgentNot("1.90.0".to_owned()), 52);
    running.stage = Step::Running;
    running.message = "waits for drains of old instances".to_owned();
    running.groups = groups(
        "web-asg",
        Group { before: Some(6), raise: Some(change), ..Group::default() },
        &[Turn::Replaced, Turn::Replaced, Turn::Gone, Turn::Shrink, Turn::Waiting, Turn::Waiting],
    );
    running.note(ago(50), "the desired capacity of group web-asg is raised from 6 to 9");

    let mut stopped = rollout("january", Selection::Ami("ami-0123456789abcdef0".to_owned()), 95);
    let why = "the drain of i-0web1 has been stuck for 30 min: task 91105849128e2fca87298cac4bb31e7a of service shop is RUNNING";
    stopped.stage = Step::Stopped { why: why.to_owned() };
    stopped.stage_since = ago(12);
    stopped.message = format!("stopped: {why}");
    let raise = Change { from: 4, to: 8, at: ago(90), state: ChangeState::Applied };
    stopped.groups = groups(
        "web-asg",
        Group { before: Some(4), raise: Some(raise), ..Group::default() },
        &[Turn::GivenBack, Turn::Shrink, Turn::Waiting, Turn::Waiting],
    );
    stopped.short_before = ["web/report".to_owned()].into();
    stopped.note(ago(12), stopped.message.clone());

    let mut done = rollout("december", Selection::OlderThan(30 * 86_400), 3_000);
    done.stage = Step::Done { outcome: End::Replaced };
    done.stage_since = ago(2_940);
    done.message = "all old instances have left".to_owned();
    let raise = Change { from: 2, to: 4, at: ago(2_990), state: ChangeState::Applied };
    done.groups = groups(
        "jobs-asg",
        Group { before: Some(2), raise: Some(raise), ..Group::default() },
        &[Turn::GivenBack, Turn::GivenBack],
    );
    done.expires_at = Some(ago(2_940).as_second() + 7 * 86_400);

    let mut all: Vec<(String, ReadRollout)> = [running, stopped, done]
        .into_iter()
        .map(|one| (one.key(), ReadRollout::Rollout(Box::new(one))))
        .collect();
    let why = "attribute stage: unknown variant `Resting`".to_owned();
    let key = |name: &str| format!("rollout/default/123456789012/eu-west-1/{name}");
    all.push((key("edited"), ReadRollout::Unreadable { why }));
    all.push((key("newer"), ReadRollout::Newer { schema: 7 }));
    all
}

fn groups(name: &str, group: Group, old: &[Turn]) -> std::collections::BTreeMap<String, Group> {
    let old = old.iter().enumerate().map(|(n, turn)| (format!("i-0web{n}"), *turn)).collect();
    let cluster = name.trim_end_matches("-asg").to_owned();
    [(name.to_owned(), Group { cluster, old, ..group })].into()
}

fn rollout(name: &str, selection: Selection, minutes_ago: i64) -> Rollout {
    let requested = order("arn:aws:iam::123456789012:user/ada", "kernel update", minutes_ago);
    Rollout {
        account: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        name: name.to_owned(),
        controller: "default".to_owned(),
        schema: ecs_drain_state::rollout::SCHEMA,
        generation: 1,
        version: 9,
        write_id: "1".to_owned(),
        created_at: ago(minutes_ago),
        updated_at: ago(1),
        history: vec![Event {
            at: ago(minutes_ago),
            what: format!("requested by {requested}: {selection}"),
        }],
        requested,
        selection,
        options: Options::default(),
        stage: Step::Running,
        stage_since: ago(minutes_ago - 2),
        started_at: Some(ago(minutes_ago - 2)),
        groups: std::collections::BTreeMap::new(),
        short_before: std::collections::BTreeSet::new(),
        requests: vec!["1".to_owned()],
        why: "drains".to_owned(),
        message: String::new(),
        expires_at: None,
    }
}
