//! The queue, as tables: the unfinished drains of an account and region, in the order of their
//! requests, and the turn of each.
#![allow(clippy::unwrap_used, clippy::panic)]

mod random;

use super::{Budgets, DoNotDisrupt, Part, Scope, ServiceState, Sizes};
use crate::decide::Turn;
use crate::decide::tests::fixture::{ada, container_instance, epoch, group, opened, stage, task};
use crate::facts::{Answer, Facts, TaskAnswer};
use crate::phase::{Outcome, Phase};
use crate::policy::{Concurrency, Policy};
use crate::record::{ContainerInstance, Origin, Record, WaitKind};
use crate::sight::Seen;
use crate::time::{Mono, Read};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::time::Duration;

/// The moment of every decision, and of every read that is new.
const NOW: Mono = Mono::at(Duration::from_secs(3600));

/// One drain, with what was read of it.
pub(super) struct Drain {
    record: Record,
    facts: Facts,
    policy: Policy,
    begins: bool,
}

/// Sizes that a test gives. A service that is not named is steady and has ten tasks.
#[derive(Default)]
pub(super) struct Given {
    clusters: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
    services: BTreeMap<String, Option<ServiceState>>,
}

impl Sizes for Given {
    fn cluster(&self, cluster: &str) -> Option<u32> {
        self.clusters.get(cluster).copied()
    }

    fn group(&self, group: &str) -> Option<u32> {
        self.groups.get(group).copied()
    }

    fn service(&self, _: &str, service: &str) -> Option<ServiceState> {
        let steady = ServiceState { desired: 10, running: 10, deploys: false, kept: None };
        self.services.get(service).copied().unwrap_or(Some(steady))
    }
}

/// Reads drains. `operator:Pending` is one; `rebalance`, `spot`, `hook`, `pool` (a warm pool's),
/// `adopted` (requested, and held by a hook since) and `taken` (held by a hook when Spot announced
/// to take it) are the others. After the phase: `!` paused, `~` retained by its group, `?` its tasks
/// are not read, `-` its group calls it unhealthy, `^` its first step is being written. `@dev` is in
/// another cluster, `/asg` in this group, `+shop*2` has two tasks of a service, `<60` ends after so
/// many seconds.
fn drains(policy: &Policy, words: &str) -> Vec<Drain> {
    words.split_whitespace().enumerate().map(|(n, word)| drain(policy, n, word)).collect()
}

fn drain(policy: &Policy, n: usize, word: &str) -> Drain {
    let marks = ['@', '/', '+', '<'];
    let head = word.find(marks).unwrap_or(word.len());
    let (kind, phase) = word[..head].split_once(':').unwrap();
    let (mut cluster, mut of_group, mut tasks, mut ends) = ("prod", "web-asg", Vec::new(), None);
    let mut rest = &word[head..];
    while let Some(mark) = rest.chars().next() {
        let end = rest[1..].find(marks).map_or(rest.len(), |end| end + 1);
        let value = &rest[1..end];
        match mark {
            '@' => cluster = value,
            '/' => of_group = value,
            '<' => ends = value.parse().ok(),
            _ => {
                let (name, count) = value.split_once('*').unwrap_or((value, "1"));
                tasks.extend((0..count.parse().unwrap()).map(|_| name));
            }
        }
        rest = &rest[end..];
    }
    let wait = if kind == "pool" { WaitKind::ReturnsToWarmPool } else { WaitKind::Terminating };
    let mut record = opened(
        wait,
        vec![ContainerInstance { cluster: cluster.to_owned(), ..container_instance(1) }],
    );
    record.instance_id = format!("i-{n:05}");
    record.created_at = epoch() + SignedDuration::from_secs(n as i64);
    let name = phase.trim_end_matches(['!', '~', '?', '-', '^']);
    record.stage =
        stage(Phase::ALL.into_iter().find(|phase| phase.name() == name).unwrap(), Outcome::Drained);
    record.orders.pause = phase.contains('!').then(ada);
    record.retained_at = phase.contains('~').then(epoch);
    record.group = Some(of_group.to_owned());
    if let Some(lifecycle) = &mut record.lifecycle {
        of_group.clone_into(&mut lifecycle.group);
    }
    match kind {
        "operator" => (record.origin, record.lifecycle) = (Origin::Operator, None),
        "rebalance" => (record.origin, record.lifecycle) = (Origin::Rebalance, None),
        "spot" => (record.origin, record.lifecycle) = (Origin::SpotInterruption, None),
        "adopted" => record.origin = Origin::Operator,
        "taken" => record.origin = Origin::SpotInterruption,
        "hook" | "pool" => {}
        other => panic!("no drain {other}"),
    }
    record.global_limit = record.lifecycle.as_ref().and(record.global_limit);
    record.deadline = ends.map(|ends| epoch() + SignedDuration::from_secs(ends));
    let mut facts = Facts::default();
    facts.saved(&record, NOW);
    if !phase.contains('?') {
        read(&record, &mut facts, policy, &tasks, phase.contains('-'), NOW);
    }
    Drain { record, facts, policy: policy.clone(), begins: phase.contains('^') }
}

/// Reads the group, and the tasks of these services.
fn read(record: &Record, facts: &mut Facts, policy: &Policy, of: &[&str], ill: bool, at: Mono) {
    let read = Read { began: at, ended: at };
    let mut note = |answer| facts.note(record, policy, read, answer);
    note(Answer::Group(group(if ill { "InService!" } else { "InService" }, "none", false)));
    let arn = &record.container_instances[0].arn;
    let named: Vec<(String, TaskAnswer)> = of
        .iter()
        .enumerate()
        .map(|(n, name)| {
            let sight = task(&format!("{name}:RUNNING"));
            (format!("task/{n}"), TaskAnswer::Found(sight, Seen::Yes(Vec::new())))
        })
        .collect();
    let tasks = named.iter().map(|(arn, _)| arn.clone()).collect();
    note(Answer::Discovered { of: arn.clone(), tasks });
    note(Answer::Tasks(named));
}

fn parts(drains: &[Drain]) -> impl Iterator<Item = Part<'_>> + Clone {
    drains.iter().map(|Drain { record, facts, policy, begins }| Part {
        record,
        facts,
        policy,
        begins: *begins,
    })
}

fn show(turn: Turn) -> String {
    match turn {
        Turn::Now => "now".to_owned(),
        Turn::Read { service: None } => "read".to_owned(),
        Turn::Read { service: Some(service) } => format!("{service}:?"),
        Turn::Wait { scope, running, limit, ahead } => {
            let of = match scope {
                Scope::Cluster(_) => "cluster",
                Scope::Group(_) => "group",
                Scope::Service { ref service, .. } => service,
                Scope::Steady { service, state } if state.deploys => {
                    return format!("{service}:deploys");
                }
                Scope::Steady { service, state } => {
                    return format!("{service}:{}/{}", state.running, state.desired);
                }
                Scope::Kept { service, .. } => return format!("{service}:kept"),
            };
            format!("{of}:{running}/{limit}+{ahead}")
        }
    }
}

fn turns(policy: &Policy, sizes: &Given, words: &str) -> String {
    let drains = drains(policy, words);
    let budgets = Budgets::of(parts(&drains), sizes, NOW);
    let told: Vec<_> = drains.iter().map(|drain| show(budgets.turn(&drain.record.key()))).collect();
    told.join(" ")
}

#[track_caller]
fn check(policy: &Policy, rows: &[(&str, &str)]) {
    for (drains, told) in rows {
        assert_eq!(turns(policy, &Given::default(), drains), *told, "{drains}");
    }
}

fn cluster(limit: u32) -> Policy {
    Policy { max_concurrent: Concurrency::Count(limit), ..Policy::default() }
}

fn held(policy: Policy) -> Policy {
    Policy { hold_lifecycle: true, ..policy }
}

/// A budget for groups alone.
fn groups(limit: Concurrency) -> Policy {
    Policy { max_concurrent_group: Some(limit), ..cluster(100) }
}

/// A budget for services alone.
fn services(limit: Concurrency) -> Policy {
    Policy { max_concurrent_service: Some(limit), ..cluster(100) }
}

#[test]
fn one_after_the_other() {
    check(
        &cluster(1),
        &[
            ("operator:Pending", "now"),
            (
                "operator:Pending operator:Pending operator:Pending",
                "now cluster:1/1+0 cluster:1/1+1",
            ),
            ("operator:Waiting operator:Pending", "now cluster:1/1+0"),
            ("operator:Deregistering rebalance:Pending", "now cluster:1/1+0"),
            ("operator:Verifying operator:Pending", "now cluster:1/1+0"),
            ("operator:Completing operator:Pending", "now cluster:1/1+0"),
            ("operator:Done operator:Pending", "now now"),
            // A cancelled drain is being undone.
            ("operator:Returning operator:Pending", "now cluster:1/1+0"),
            // Another cluster has another queue.
            ("operator:Waiting operator:Pending@dev", "now now"),
            // A drain that is paused before it began lets others begin; one that was paused on the
            // way does not.
            ("operator:Pending! operator:Pending", "now now"),
            ("operator:Waiting! operator:Pending", "now cluster:1/1+0"),
            // The first step of the first is being written.
            ("operator:Pending^ operator:Pending", "now cluster:1/1+0"),
        ],
    );
}

/// Every drain that runs counts, whatever began it; a lifecycle action waits only if the policy
/// holds it back.
#[test]
fn what_counts_and_what_waits() {
    let both = [
        ("hook:Waiting operator:Pending", "now cluster:1/1+0"),
        ("spot:Waiting operator:Pending", "now cluster:1/1+0"),
        ("operator:Waiting spot:Pending taken:Pending", "now now now"),
        ("operator:Waiting hook:Pending-", "now now"),
        ("operator:Waiting operator:Pending-", "now now"),
        // It rests in its warm pool for days; its group retains it.
        ("pool:Returning operator:Pending", "now now"),
        ("pool:Waiting operator:Pending", "now cluster:1/1+0"),
        ("hook:Completing~ operator:Pending", "now now"),
        ("hook:Completing operator:Pending", "now cluster:1/1+0"),
    ];
    check(&cluster(1), &both);
    check(&held(cluster(1)), &both);
    check(
        &cluster(1),
        &[
            ("operator:Waiting hook:Pending adopted:Pending", "now now now"),
            ("hook:Pending operator:Pending", "now cluster:1/1+0"),
        ],
    );
    check(
        &held(cluster(1)),
        &[
            ("operator:Waiting hook:Pending", "now cluster:1/1+0"),
            ("adopted:Waiting hook:Pending", "now cluster:1/1+0"),
            ("hook:Waiting adopted:Pending", "now cluster:1/1+0"),
        ],
    );
}

/// The drain that ends first comes first. One without an end comes after all that have one.
#[test]
fn the_earliest_deadline_comes_first() {
    check(
        &held(cluster(1)),
        &[
            ("operator:Pending<900 operator:Pending<600", "cluster:1/1+0 now"),
            ("operator:Pending operator:Pending<600", "cluster:1/1+0 now"),
            ("operator:Pending hook:Pending", "cluster:1/1+0 now"),
            ("hook:Pending operator:Pending<60", "cluster:1/1+0 now"),
        ],
    );
}

#[test]
fn so_many_or_so_many_percent() {
    let all = "operator:Waiting operator:Pending operator:Pending operator:Pending";
    let share = |percent, size: u32| {
        let policy = Policy { max_concurrent: Concurrency::Percent(percent), ..Policy::default() };
        let sizes =
            Given { clusters: BTreeMap::from([("prod".to_owned(), size)]), ..Given::default() };
        turns(&policy, &sizes, all)
    };
    let none = Given::default();
    assert_eq!(turns(&cluster(3), &none, all), "now now now cluster:3/3+0");
    assert_eq!(turns(&cluster(0), &none, all), "now cluster:1/1+0 cluster:1/1+1 cluster:1/1+2");
    assert_eq!(share(25, 10), "now now cluster:2/2+0 cluster:2/2+1");
    assert_eq!(share(25, 3), "now cluster:1/1+0 cluster:1/1+1 cluster:1/1+2");
    // An unknown size counts as one at a time.
    let policy = Policy { max_concurrent: Concurrency::Percent(50), ..Policy::default() };
    assert_eq!(turns(&policy, &none, all), "now cluster:1/1+0 cluster:1/1+1 cluster:1/1+2");
}

#[test]
fn a_group_has_its_own_queue() {
    let two = groups(Concurrency::Count(2));
    check(
        &two,
        &[
            (
                "operator:Waiting operator:Pending operator:Pending operator:Pending/jobs-asg",
                "now now group:2/2+0 now",
            ),
            // A lifecycle action's drain takes a place of its group.
            ("hook:Waiting hook:Waiting operator:Pending", "now now group:2/2+0"),
            // The group can span clusters.
            ("operator:Waiting operator:Waiting@dev operator:Pending", "now now group:2/2+0"),
        ],
    );
    let third = groups(Concurrency::Percent(34));
    let sizes = Given { groups: BTreeMap::from([("web-asg".to_owned(), 6)]), ..Given::default() };
    let all = "operator:Waiting operator:Pending operator:Pending";
    assert_eq!(turns(&third, &sizes, all), "now now group:2/2+0");
    assert_eq!(turns(&third, &Given::default(), all), "now group:1/1+0 group:1/1+1");
}

#[test]
fn a_service_has_a_number_of_tasks_that_drain() {
    check(
        &services(Concurrency::Count(3)),
        &[
            (
                "operator:Pending+shop*2 operator:Pending+shop*1 operator:Pending+shop",
                "now now shop:3/3+0",
            ),
            ("operator:Waiting+shop*2 operator:Pending+shop*2", "now shop:2/3+0"),
            // Another service, and the same name in another cluster.
            (
                "operator:Waiting+shop*3 operator:Pending+api operator:Pending@dev+shop",
                "now now now",
            ),
            // No later drain takes the room that an earlier one waits for.
            (
                "hook:Waiting+shop*2 operator:Pending+shop*2 operator:Pending+shop",
                "now shop:2/3+0 shop:2/3+1",
            ),
            // An instance with more tasks than the limit drains alone.
            ("operator:Pending+shop*9 operator:Pending+shop", "now shop:9/3+0"),
            ("operator:Waiting+shop operator:Pending+shop*9", "now shop:1/3+0"),
            // Its tasks are gone.
            ("operator:Verifying+shop*3 operator:Pending+shop*3", "now now"),
            // Tasks of a drain that runs are not known: it may have any.
            ("spot:Waiting? operator:Pending+shop operator:Pending+api@dev", "now shop:0/3+0 now"),
            // Its tasks must be read first.
            ("operator:Pending? operator:Pending+shop", "read now"),
        ],
    );
    let tenth = services(Concurrency::Percent(20));
    let all = "operator:Pending+shop operator:Pending+shop operator:Pending+shop";
    assert_eq!(turns(&tenth, &Given::default(), all), "now now shop:2/2+0");
    let unknown = Given { services: [("shop".to_owned(), None)].into(), ..Given::default() };
    assert_eq!(turns(&tenth, &unknown, all), "now shop:1/1+0 shop:1/1+1");
}

/// The record of a drain that runs remembers its tasks, so a process that has read nothing yet
/// counts right.
#[test]
fn after_a_restart() {
    let policy = services(Concurrency::Count(3));
    let mut all = drains(&policy, "operator:Waiting? operator:Pending+shop*2");
    all[0].record.services = Some(BTreeMap::from([("prod/shop".to_owned(), 2)]));
    let budgets = Budgets::of(parts(&all), &Given::default(), NOW);
    assert_eq!(show(budgets.turn(&all[1].record.key())), "shop:2/3+0");
}

/// Tasks that were listed long ago are listed again before the drain begins.
#[test]
fn an_old_list_of_tasks() {
    let policy = services(Concurrency::Count(3));
    let all = drains(&policy, "operator:Pending+shop");
    for (age, told) in [(299, "now"), (300, "read")] {
        let now = NOW + Duration::from_secs(age);
        let budgets = Budgets::of(parts(&all), &Given::default(), now);
        assert_eq!(show(budgets.turn(&all[0].record.key())), told);
    }
}

#[test]
fn a_service_must_be_steady() {
    let policy = Policy { require_steady: true, ..cluster(1) };
    let given = |state| {
        let services = BTreeMap::from([("shop".to_owned(), state)]);
        Given { services, ..Given::default() }
    };
    let state =
        |running, deploys| given(Some(ServiceState { desired: 10, running, deploys, kept: None }));
    // A drain that waits for this lets others pass.
    let all = "operator:Pending+shop operator:Pending+api operator:Pending+api";
    for (sizes, told) in [
        (state(10, false), "now cluster:1/1+0 cluster:1/1+1"),
        (state(11, false), "now cluster:1/1+0 cluster:1/1+1"),
        (state(9, false), "shop:9/10 now cluster:1/1+0"),
        (state(10, true), "shop:deploys now cluster:1/1+0"),
        (given(None), "shop:? now cluster:1/1+0"),
    ] {
        assert_eq!(turns(&policy, &sizes, all), told);
    }
    assert_eq!(turns(&policy, &state(9, false), "operator:Pending?"), "read");
    assert_eq!(turns(&policy, &state(9, false), "hook:Pending+shop"), "now");
    assert_eq!(turns(&held(policy), &state(9, false), "hook:Pending+shop"), "shop:9/10");
}

#[test]
fn a_service_that_its_owner_keeps_is_not_moved() {
    let kept = |kept| {
        let state = ServiceState { desired: 10, running: 10, deploys: false, kept };
        let services = BTreeMap::from([("shop".to_owned(), Some(state))]);
        Given { services, ..Given::default() }
    };
    let (policy, always) = (cluster(1), kept(Some(DoNotDisrupt::Always)));
    let heeds = Policy { service_tags: true, ..policy.clone() };
    // A drain that waits for this lets others pass.
    let all = "operator:Pending+shop operator:Pending+api operator:Pending+api";
    assert_eq!(turns(&heeds, &always, all), "shop:kept now cluster:1/1+0");
    assert_eq!(turns(&policy, &always, all), "now cluster:1/1+0 cluster:1/1+1");
    assert_eq!(turns(&heeds, &kept(None), all), "now cluster:1/1+0 cluster:1/1+1");
    assert_eq!(turns(&heeds, &always, "operator:Pending?"), "read");
    assert_eq!(turns(&heeds, &always, "hook:Pending+shop"), "now");
    assert_eq!(turns(&held(heeds.clone()), &always, "hook:Pending+shop"), "shop:kept");
    assert_eq!(turns(&held(heeds), &always, "spot:Pending+shop"), "now");
}

/// A later drain may pass one that waits for other room. The first one that waits keeps what it
/// has, so that it begins as soon as the rest is free.
#[test]
fn later_drains_pass_and_none_starves() {
    let policy = Policy { max_concurrent_group: Some(Concurrency::Count(1)), ..cluster(3) };
    check(
        &policy,
        &[(
            "operator:Waiting operator:Pending operator:Pending/a operator:Pending/b",
            "now group:1/1+0 now cluster:2/3+1",
        )],
    );
}

/// Drains that were requested at the same moment come in the order of their keys, so that every
/// replica decides the same.
#[test]
fn at_the_same_moment() {
    let mut both = drains(&cluster(1), "operator:Pending operator:Pending");
    both[1].record.created_at = both[0].record.created_at;
    for _ in 0..2 {
        both.reverse();
        let budgets = Budgets::of(parts(&both), &Given::default(), NOW);
        assert_eq!(show(budgets.turn(&both[0].record.key().replace("i-00001", "i-00000"))), "now");
        assert_eq!(
            show(budgets.turn(&both[0].record.key().replace("i-00000", "i-00001"))),
            "cluster:1/1+0"
        );
    }
}
