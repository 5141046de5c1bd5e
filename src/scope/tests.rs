//! How a scope takes over records that are read late.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::aws::tests::session;
use crate::clock::Clock;
use crate::config::{Config, Given, Policies};
use crate::fleet::tests::opened;
use ecs_drain_state::{Outcome, Read, Stage};
use jiff::SignedDuration;

const TEXT: &str = "[[scope]]\nregion = \"eu-west-1\"\nhooks = [\"ecs-drain\"]\n";

async fn scope() -> ScopeState {
    let (session, _) = session(|_| (200, "{}".to_owned())).await;
    let config = Config::parse(TEXT, "test", &Given::default()).unwrap().scopes.remove(0);
    ScopeState::new(
        config,
        Policies::default(),
        session,
        Metrics::default(),
        Health::new(Clock::start(None)),
    )
}

/// Returns the first drain of an instance, as it was opened.
fn first() -> Record {
    let arn = "arn:aws:ecs:eu-west-1:123456789012:container-instance/web/c1";
    Record { version: 1, ..opened("i-1", "web", arn) }
}

fn done(record: &Record) -> Record {
    let stage = Stage::Done { outcome: Outcome::Drained, intent: None, expires_at: 0 };
    Record { stage, version: record.version + 1, ..record.clone() }
}

/// Returns the next drain of the same instance, an hour later.
fn next(record: &Record) -> Record {
    let created_at = record.created_at + SignedDuration::from_hours(1);
    let (generation, version) = (record.generation + 1, record.version + 1);
    Record { stage: Stage::Pending, generation, version, created_at, ..record.clone() }
}

fn known(scope: &ScopeState) -> (Phase, u64) {
    let known = scope.phases.borrow()["i-1"];
    (known.phase, known.generation)
}

#[tokio::test(start_paused = true)]
async fn an_old_end_that_is_read_late_does_not_end_the_next_drain() {
    let scope = scope().await;
    let first = first();
    let end = done(&first);
    let second = next(&end);
    scope.learn(second.clone(), Mono::START);
    scope.learn(end, Mono::START);
    assert_eq!(scope.fleet.record(&second.key()), Some(second.clone()));
    assert_eq!(known(&scope), (Phase::Pending, 2));
    scope.learn(done(&second), Mono::START);
    assert_eq!(scope.fleet.record(&second.key()), None);
    assert_eq!(known(&scope), (Phase::Done, 2));
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_read_late_does_not_begin_again_after_its_end() {
    let scope = scope().await;
    let first = first();
    scope.learn(done(&first), Mono::START);
    scope.learn(first.clone(), Mono::START);
    assert_eq!(scope.fleet.record(&first.key()), None);
    assert_eq!(known(&scope), (Phase::Done, 1));
}

/// The table's time-to-live deletes finished records. The next drain of the instance is generation
/// 1 again.
#[tokio::test(start_paused = true)]
async fn a_record_that_is_opened_after_the_old_one_was_deleted_is_taken_over() {
    let scope = scope().await;
    let end = done(&next(&done(&first())));
    scope.learn(end.clone(), Mono::START);
    let anew = Record { generation: 1, version: 1, ..next(&end) };
    scope.learn(anew.clone(), Mono::START);
    assert_eq!(scope.fleet.record(&anew.key()), Some(anew));
    assert_eq!(known(&scope), (Phase::Pending, 1));
}

/// The table was restored: a read that began later counts, although its record is older.
#[tokio::test(start_paused = true)]
async fn a_restored_record_of_a_drain_that_goes_on_or_has_ended_is_taken_over() {
    let at = |seconds| Mono::at(std::time::Duration::from_secs(seconds));
    let first = first();
    for newer in [Record { version: 7, ..first.clone() }, done(&next(&first))] {
        let scope = scope().await;
        scope.learn(newer.clone(), at(10));
        scope.learn_read(first.clone(), at(10), at(11));
        let unchanged = Some(newer.clone()).filter(|newer| !newer.is_done());
        assert_eq!(scope.fleet.record(&first.key()), unchanged, "the read overlapped the write");
        scope.learn_read(first.clone(), at(12), at(13));
        assert_eq!(scope.fleet.record(&first.key()), Some(first.clone()));
        assert_eq!(known(&scope), (Phase::Pending, 1));
    }
}

/// Most writes change nothing for heartbeats.
#[tokio::test(start_paused = true)]
async fn heartbeats_notice_phases_and_not_every_write() {
    let scope = scope().await;
    let first = first();
    scope.learn(first.clone(), Mono::START);
    assert_eq!(scope.bells.phases.take().len(), 1);
    scope.learn(Record { version: 2, ..first.clone() }, Mono::START);
    assert!(scope.bells.phases.borrow().is_empty());
    scope.learn(Record { version: 3, stage: Stage::Waiting, ..first }, Mono::START);
    assert!(!scope.bells.phases.borrow().is_empty());
}

/// A drain that ends before heartbeats have noticed it, for example a forced one, is not opened
/// again by the heartbeats that opened it.
#[tokio::test(start_paused = true)]
async fn heartbeats_open_one_drain() {
    let scope = scope().await;
    let end = done(&first());
    scope.learn(end.clone(), Mono::START);
    let state = crate::beats::State {
        group: "web".to_owned(),
        wait: None,
        timeout: std::time::Duration::from_secs(300),
        over: true,
        due: Mono::START,
        expires: Mono::START,
        last: Some(crate::aws::Beat::Accepted),
        accepted_when_over: 2,
        not_held: 0,
        failing: false,
        tried: true,
        flying: false,
    };
    scope.beats.0.borrow_mut().insert(("i-1".to_owned(), "ecs-drain".to_owned()), state);
    assert!(scope.beats.is_held_again("i-1", "ecs-drain"));
    scope.learn(next(&end), Mono::START);
    scope.learn(done(&next(&end)), Mono::START);
    assert!(!scope.beats.is_held_again("i-1", "ecs-drain"));
}

#[tokio::test(start_paused = true)]
async fn the_size_of_a_cluster_in_which_nothing_drains_is_forgotten() {
    let scope = scope().await;
    scope.learn(first(), Mono::START);
    for cluster in ["web", "jobs"] {
        scope.sizes.learn_cluster(cluster, Mono::START, Some(7));
    }
    let view = GroupsView {
        read: Read { began: Mono::START, ended: Mono::START },
        unread: BTreeSet::new(),
        pools_failed: None,
        hooks_failed: None,
        groups: BTreeMap::new(),
        members: BTreeMap::new(),
    };
    scope.forget_departed(&view);
    assert_eq!(scope.sizes.cluster("web", Mono::START), Some(7));
    assert_eq!(scope.sizes.cluster("jobs", Mono::START), None);
    assert_eq!(known(&scope), (Phase::Pending, 1), "its drain is unfinished");
}
