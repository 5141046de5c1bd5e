//! Situations of a drain: one story for each row of `docs/behaviour.md`.

mod balancers;
mod budgets;
mod endings;
mod stuck;
mod tags;
mod tasks;
mod windows;

use crate::harness::{Ended, Run, Scenario, record, run, seconds};
use crate::scenarios::{self, A, B, PLAIN, cluster};
use crate::story::{until, while_running};
use aws_simulator::elb::{Target, TargetGroupKind, TargetType};
use aws_simulator::spec::{ServiceSpec, TargetGroupSpec};
use aws_simulator::{Cloud, SimTime, Simulator};
use ecs_drain::store::Store;
use ecs_drain_state::{Outcome, Record};
use std::time::Duration;

/// Creates a replica service whose tasks start and stop in seconds.
fn api(desired: u32) -> ServiceSpec {
    ServiceSpec::replica("web", "api", desired).times(seconds(5), seconds(5))
}

/// Adds two instances and this service.
fn two_with(cloud: &mut Cloud, service: &ServiceSpec) {
    cluster(cloud, &[A, B]);
    cloud.add_service(service);
}

/// Creates a target group of an Application Load Balancer, with instance targets.
fn target_group(name: &str, delay: Duration) -> TargetGroupSpec {
    scenarios::target_group(name, TargetGroupKind::Application, TargetType::Instance, delay)
}

/// Returns a target of A that belongs to no task.
fn stray(port: u16) -> Target {
    Target { id: A.to_owned(), port }
}

/// Lets the group terminate these instances, all at this moment.
fn terminate(cloud: &mut Cloud, ids: &[&str]) {
    for id in ids {
        cloud.terminate(id, true).unwrap();
    }
}

/// Runs a scenario in which no promise may be broken.
#[track_caller]
fn good(scenario: &Scenario) -> Ended {
    let ended = run(scenario, &Run::default(), |_| {});
    ended.expect_good();
    ended
}

/// Plays a story while one replica runs; in it no promise may be broken, and nothing lost or left
/// behind.
#[track_caller]
fn told<F: Future>(scenario: &Scenario, story: impl FnOnce(Simulator, Store) -> F) -> F::Output {
    let (output, simulator) = while_running(scenario, story);
    simulator.peek(|cloud| {
        assert!(cloud.violations_at_end().is_empty(), "{:?}", cloud.violations_at_end());
        assert!(cloud.losses().is_empty(), "{:?}", cloud.losses());
    });
    output
}

/// Waits until A's record meets a condition, and returns it.
async fn until_record(
    simulator: &Simulator,
    store: &Store,
    what: &str,
    is_so: impl Fn(&Record) -> bool,
) -> Record {
    let mut found = None;
    until(simulator, what, async || {
        let last = record(store, A).await;
        let too_long = simulator.now() > aws_simulator::BEGIN + seconds(2 * 3600);
        assert!(!too_long, "waited for two hours: {what}: {last:#?}");
        found = last.filter(|record| is_so(record));
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// Waits until A's record names this cause; returns the record and the cause's text.
async fn until_cause(simulator: &Simulator, store: &Store, name: &str) -> (Record, String) {
    let named = |record: &Record| {
        record.shown.causes.iter().find(|cause| cause.name == name).map(|cause| cause.text.clone())
    };
    let record = until_record(simulator, store, name, |record| named(record).is_some()).await;
    let text = named(&record).unwrap();
    (record, text)
}

/// Waits until A's drain has ended with this outcome; returns its record.
async fn until_ended(simulator: &Simulator, store: &Store, outcome: Outcome) -> Record {
    let ended = until_record(simulator, store, outcome.name(), Record::is_done).await;
    assert_eq!(ended.outcome(), Some(outcome), "{}", ended.shown.message);
    ended
}

/// Returns the time since the scenario's beginning.
fn elapsed(simulator: &Simulator) -> SimTime {
    simulator.now() - aws_simulator::BEGIN
}

/// Returns a plain scenario with another world.
const fn world(world: fn(&mut Cloud)) -> Scenario {
    Scenario { world, ..PLAIN }
}
