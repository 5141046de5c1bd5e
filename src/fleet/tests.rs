//! Due times of drains' reads.
#![allow(clippy::unwrap_used)]

use super::*;
use ecs_drain_state::record::Opening;
use ecs_drain_state::{Class, ContainerInstance, Origin, Strategy};

fn at(second: u64) -> Mono {
    Mono::at(Duration::from_secs(second))
}

/// Returns an operator's drain, as it was opened, of an instance with one container instance.
pub(crate) fn opened(instance: &str, cluster: &str, arn: &str) -> Record {
    let container_instance = ContainerInstance {
        cluster: cluster.to_owned(),
        arn: arn.to_owned(),
        draining_is_ours: false,
        deregistered_at: None,
        drained_for_seconds: 0,
        gone_for_seconds: 0,
    };
    let opening = Opening {
        account: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        instance_id: instance.to_owned(),
        controller: "main".to_owned(),
        origin: Origin::Operator,
        strategy: Strategy::Drain,
        lifecycle: None,
        group: None,
        then: None,
        requested: None,
        container_instances: vec![container_instance],
        deadline: None,
        margin: jiff::SignedDuration::ZERO,
    };
    Record::open(opening, jiff::Timestamp::UNIX_EPOCH)
}

fn record(instance: &str, cluster: &str) -> Record {
    opened(instance, cluster, &format!("arn:{instance}"))
}

/// Creates a fleet with this many drains in a cluster, and one in another. Returns it with the
/// first one's key.
fn fleet_of(drains: usize) -> (Fleet, String) {
    let fleet = Fleet::new(Policies::default());
    for n in 0..drains {
        fleet.learn(record(&format!("i-{n}"), "web"), at(0));
    }
    fleet.learn(record("i-other", "jobs"), at(0));
    (fleet, record("i-0", "web").key())
}

fn wants(kind: Kind, from: u64, class: Class) -> Needs {
    let mut needs = Needs::default();
    needs.want(kind, at(from), class);
    needs
}

/// One call serves a hundred drains of a cluster. A drain that is alone in its cluster waits for as
/// long as it can.
#[test]
fn a_status_that_many_share_is_due_sooner() {
    for (drains, due) in [(1, 440), (10, 116), (49, 87)] {
        let (fleet, key) = fleet_of(drains);
        fleet.plan(&key, wants(Kind::Status, 80, Class::Show), at(1000), at(30));
        assert_eq!(
            fleet.next_due(Kind::Status, at(90)).map(|at| at.since_start().as_secs()),
            Some(due),
            "{drains}"
        );
    }
    let (fleet, key) = fleet_of(50);
    fleet.plan(&key, wants(Kind::Status, 800, Class::Show), at(1000), at(30));
    assert_eq!(
        fleet.next_due(Kind::Status, at(800)),
        Some(at(200)),
        "before what has waited for ten minutes"
    );
    // Drains that have ended do not count.
    let (fleet, key) = fleet_of(10);
    for n in 1..10 {
        assert!(fleet.forget(&record(&format!("i-{n}"), "web").key()));
    }
    fleet.plan(&key, wants(Kind::Status, 40, Class::Show), at(1000), at(30));
    assert_eq!(fleet.next_due(Kind::Status, at(50)), Some(at(400)));
}

/// A need keeps its due time while its drain is decided again. After a read that did not satisfy
/// it, the time counts from that read.
#[test]
fn a_read_is_due_since_it_was_wanted() {
    let (fleet, key) = fleet_of(1);
    let due = |now| fleet.next_due(Kind::Tasks, at(now));
    fleet.plan(&key, wants(Kind::Tasks, 40, Class::Show), at(1000), at(40));
    assert_eq!(due(50), Some(at(400)));
    fleet.plan(&key, wants(Kind::Tasks, 60, Class::Show), at(1000), at(60));
    assert_eq!(due(60), Some(at(400)), "as it was");
    fleet.plan(&key, wants(Kind::Tasks, 70, Class::Finish), at(1000), at(70));
    assert_eq!(due(70), Some(at(220)), "sooner, by its class");
    assert_eq!(fleet.pick_first(Kind::Tasks, at(80)), Some(key.clone()));
    assert_eq!(due(80), None);
    fleet.end_read(Kind::Tasks, &key, at(90), false);
    fleet.plan(&key, wants(Kind::Tasks, 70, Class::Finish), at(1000), at(91));
    assert_eq!(due(91), Some(at(240)), "counted from the read that did not satisfy it");
    fleet.plan(&key, Needs::default(), at(1000), at(92));
    assert_eq!(due(92), None);
}

/// A failed read is tried again later, and later still each time.
#[test]
fn a_read_that_fails_is_wanted_later() {
    let (fleet, key) = fleet_of(1);
    for (now, from) in [(100, 105), (200, 210), (300, 320)] {
        fleet.plan(&key, wants(Kind::Tasks, 0, Class::Last), at(1000), at(now));
        assert_eq!(fleet.pick_first(Kind::Tasks, at(now)), Some(key.clone()));
        fleet.end_read(Kind::Tasks, &key, at(now), true);
        fleet.plan(&key, wants(Kind::Tasks, 0, Class::Last), at(1000), at(now));
        assert_eq!(fleet.next(Kind::Tasks), Some(at(from)));
    }
}

/// A drain may need several balancers' answers last. It gets all of them before the next drain
/// does. Otherwise, with more balancers than can be read while an answer counts, no drain would
/// ever have all.
#[test]
fn a_drain_is_given_all_that_it_lacks_last() {
    let (fleet, key) = fleet_of(1);
    for now in [1000, 1010, 1020] {
        fleet.plan(&key, wants(Kind::Targets, 900, Class::Last), at(2000), at(now));
        assert_eq!(fleet.next_due(Kind::Targets, at(now)), Some(at(300)));
        assert_eq!(fleet.pick_first(Kind::Targets, at(now)), Some(key.clone()));
        fleet.end_read(Kind::Targets, &key, at(now + 5), false);
    }
}

/// A read that can end a drain goes before one that has waited for ten minutes. The more drains
/// share a status call, the less often it is made.
#[test]
fn what_ends_a_drain_goes_first() {
    let (fleet, key) = fleet_of(1);
    fleet.plan(&key, wants(Kind::Own, 900, Class::Last), at(2000), at(900));
    assert_eq!(fleet.next_due(Kind::Own, at(900)), Some(at(300)));
    for (drains, from) in [(99, 1001), (999, 1007), (20_000, 1070)] {
        let (fleet, key) = fleet_of(drains);
        fleet.plan(&key, wants(Kind::Status, 980, Class::Show), at(2000), at(980));
        assert_eq!(fleet.pick_first(Kind::Status, at(980)), Some(key.clone()));
        fleet.end_read(Kind::Status, &key, at(1000), false);
        fleet.plan(&key, wants(Kind::Status, 1000, Class::Show), at(2000), at(1000));
        assert_eq!(
            fleet.next(Kind::Status).map(|at| at.since_start().as_secs()),
            Some(from),
            "{drains}"
        );
    }
}
