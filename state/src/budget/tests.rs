//! The queue, as tables: the drains of a cluster, in the order of their requests, and the turn of
//! each.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::Budgets;
use crate::decide::Turn;
use crate::decide::tests::fixture::{ada, container_instance, epoch, opened, stage};
use crate::phase::{Outcome, Phase};
use crate::policy::{Concurrency, Policy};
use crate::record::{ContainerInstance, Origin, Record, WaitKind};
use jiff::SignedDuration;

/// Reads drains. `operator:Pending` is one; `rebalance`, `spot`, `hook`, `pool` (a warm pool's),
/// `adopted` (requested, and held by a hook since) and `taken` (held by a hook when Spot announced
/// to take it) are the others. `@dev` is in another cluster, `!` is paused, `~` is retained by its
/// group.
fn drains(words: &str) -> Vec<Record> {
    words.split_whitespace().enumerate().map(|(n, word)| drain(n, word)).collect()
}

fn drain(n: usize, word: &str) -> Record {
    let (word, cluster) = word.split_once('@').unwrap_or((word, "prod"));
    let (kind, phase) = word.split_once(':').unwrap();
    let wait = if kind == "pool" { WaitKind::ReturnsToWarmPool } else { WaitKind::Terminating };
    let mut record = opened(
        wait,
        vec![ContainerInstance { cluster: cluster.to_owned(), ..container_instance(1) }],
    );
    record.instance_id = format!("i-{n}");
    record.created_at = epoch() + SignedDuration::from_secs(n as i64);
    let name = phase.trim_end_matches(['!', '~']);
    record.stage =
        stage(Phase::ALL.into_iter().find(|phase| phase.name() == name).unwrap(), Outcome::Drained);
    record.orders.pause = phase.ends_with('!').then(ada);
    record.retained_at = phase.ends_with('~').then(epoch);
    match kind {
        "operator" => (record.origin, record.lifecycle) = (Origin::Operator, None),
        "rebalance" => (record.origin, record.lifecycle) = (Origin::Rebalance, None),
        "spot" => (record.origin, record.lifecycle) = (Origin::SpotInterruption, None),
        "adopted" => record.origin = Origin::Operator,
        "taken" => record.origin = Origin::SpotInterruption,
        "hook" | "pool" => {}
        other => panic!("no drain {other}"),
    }
    record
}

/// Formats the turn of each: `now`, or the running drains, the limit, and the drains that come
/// first.
fn turns(policy: &Policy, registered: u32, words: &str) -> String {
    let drains = drains(words);
    let budgets = Budgets::of(drains.iter());
    let told = drains.iter().map(|drain| match budgets.turn(drain, policy, registered) {
        Turn::Now => "now".to_owned(),
        Turn::Wait { running, limit, ahead } => format!("{running}/{limit}+{ahead}"),
    });
    told.collect::<Vec<_>>().join(" ")
}

fn asked(limit: Concurrency) -> Policy {
    Policy { max_concurrent: limit, ..Policy::default() }
}

fn hooks(limit: u32) -> Policy {
    Policy { max_concurrent_lifecycle: Some(Concurrency::Count(limit)), ..Policy::default() }
}

#[test]
fn one_after_the_other() {
    let one = asked(Concurrency::Count(1));
    for (drains, told) in [
        ("operator:Pending", "now"),
        ("operator:Pending operator:Pending operator:Pending", "now 1/1+0 1/1+1"),
        ("operator:Waiting operator:Pending", "now 1/1+0"),
        ("operator:Deregistering rebalance:Pending", "now 1/1+0"),
        ("operator:Verifying operator:Pending", "now 1/1+0"),
        ("operator:Completing operator:Pending", "now 1/1+0"),
        ("operator:Done operator:Pending", "now now"),
        // Another cluster has another queue.
        ("operator:Waiting operator:Pending@dev", "now now"),
        // A drain that is paused before it began lets others begin; one that was paused on the way
        // does not.
        ("operator:Pending! operator:Pending", "now now"),
        ("operator:Waiting! operator:Pending", "now 1/1+0"),
    ] {
        assert_eq!(turns(&one, 10, drains), told, "{drains}");
    }
}

#[test]
fn what_takes_no_place() {
    let one = asked(Concurrency::Count(1));
    for (drains, told) in [
        // A spot interruption never waits, and no drain waits for it.
        ("spot:Waiting operator:Pending spot:Pending", "now now now"),
        // Lifecycle actions have a budget of their own, or none.
        ("hook:Waiting hook:Pending operator:Pending", "now now now"),
        ("adopted:Waiting operator:Pending", "now now"),
        // A cancelled drain is being undone.
        ("operator:Returning operator:Pending", "now 1/1+0"),
    ] {
        assert_eq!(turns(&one, 10, drains), told, "{drains}");
    }
    for (drains, told) in [
        ("hook:Waiting hook:Pending", "now 1/1+0"),
        ("hook:Completing hook:Pending", "now 1/1+0"),
        // It rests in its warm pool for days.
        ("pool:Returning hook:Pending", "now now"),
        ("pool:Waiting hook:Pending", "now 1/1+0"),
        // Its group retains it.
        ("hook:Completing~ hook:Pending", "now now"),
        ("hook:Waiting~ hook:Pending", "now 1/1+0"),
        ("operator:Waiting hook:Pending", "now now"),
        ("adopted:Pending hook:Pending", "now 1/1+0"),
        ("spot:Waiting hook:Pending", "now now"),
        ("hook:Waiting taken:Pending", "now now"),
        ("taken:Waiting hook:Pending", "now now"),
    ] {
        assert_eq!(turns(&hooks(1), 10, drains), told, "{drains}");
    }
}

#[test]
fn so_many_or_so_many_percent() {
    let all = "operator:Waiting operator:Pending operator:Pending operator:Pending";
    assert_eq!(turns(&asked(Concurrency::Count(3)), 10, all), "now now now 3/3+0");
    assert_eq!(turns(&asked(Concurrency::Count(0)), 10, all), "now 1/1+0 1/1+1 1/1+2");
    assert_eq!(turns(&asked(Concurrency::Percent(25)), 10, all), "now now 2/2+0 2/2+1");
    assert_eq!(turns(&asked(Concurrency::Percent(25)), 3, all), "now 1/1+0 1/1+1 1/1+2");
    assert_eq!(turns(&asked(Concurrency::Percent(25)), 0, all), "now 1/1+0 1/1+1 1/1+2");
}

/// Drains that were requested at the same moment come in the order of their keys, so that every
/// replica decides the same.
#[test]
fn at_the_same_moment() {
    let mut both = drains("operator:Pending operator:Pending");
    both[1].created_at = both[0].created_at;
    let policy = asked(Concurrency::Count(1));
    for order in [[0, 1], [1, 0]] {
        let budgets = Budgets::of(order.iter().map(|n: &usize| &both[*n]));
        assert_eq!(budgets.turn(&both[0], &policy, 10), Turn::Now);
        assert_eq!(
            budgets.turn(&both[1], &policy, 10),
            Turn::Wait { running: 1, limit: 1, ahead: 0 }
        );
    }
}

/// A turn that was granted counts before the record shows it, and once.
#[test]
fn granted() {
    let all = drains("operator:Pending operator:Pending operator:Waiting spot:Pending");
    let policy = asked(Concurrency::Count(2));
    let mut budgets = Budgets::of(all.iter());
    assert_eq!(budgets.turn(&all[0], &policy, 10), Turn::Now);
    for _ in 0..2 {
        budgets.grant(&all[0]);
        assert_eq!(
            budgets.turn(&all[1], &policy, 10),
            Turn::Wait { running: 2, limit: 2, ahead: 0 }
        );
    }
    budgets.grant(&all[2]);
    budgets.grant(&all[3]);
    assert_eq!(budgets.turn(&all[1], &policy, 10), Turn::Wait { running: 2, limit: 2, ahead: 0 });
}

/// The size of the cluster is read only if a turn depends on it.
#[test]
fn whether_the_size_matters() {
    let (count, percent) = (asked(Concurrency::Count(1)), asked(Concurrency::Percent(10)));
    let needs = |word: &str, policy: &Policy| Budgets::needs_size(&drain(0, word), policy);
    assert!(needs("operator:Pending", &percent));
    assert!(!needs("operator:Pending", &count));
    assert!(!needs("operator:Waiting", &percent));
    assert!(!needs("hook:Pending", &percent));
    assert!(!needs("spot:Pending", &percent));
}
