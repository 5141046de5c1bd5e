//! Drains that wait until a budget has room, or until a service is steady.

use super::{api, terminate, told, until_ended};
use crate::harness::{Scenario, record, seconds};
use crate::scenarios::{A, B, C, PLAIN, cluster};
use crate::story::until;
use aws_simulator::spec::ServiceSpec;
use aws_simulator::{Cloud, Simulator};
use ecs_drain::store::Store;
use ecs_drain_state::{Outcome, Phase, Record};

/// Adds A, B and C with a task of the service each.
fn three(cloud: &mut Cloud) {
    cluster(cloud, &[A, B, C]);
    cloud.add_service(&api(3));
}

/// Waits until B's drain is queued; returns its record.
async fn until_queued(simulator: &Simulator, store: &Store, of: &str) -> Record {
    until(simulator, "WaitsForTurn", async || {
        record(store, of).await.is_some_and(|r| r.shown.why == "WaitsForTurn")
    })
    .await;
    record(store, of).await.unwrap()
}

/// Waits until both drains have ended; B's began after A's had moved its tasks.
async fn one_after_the_other(simulator: &Simulator, store: &Store) {
    let first = until_ended(simulator, store, Outcome::Drained).await;
    until(simulator, "both", async || record(store, B).await.is_some_and(|r| r.is_done())).await;
    let second = record(store, B).await.unwrap();
    assert_eq!(second.outcome(), Some(Outcome::Drained));
    let at = |record: &Record, phase| {
        record.history.iter().find(|event| event.phase == phase).unwrap().at
    };
    let moved = at(&first, Phase::Verifying);
    let begun = at(&second, Phase::Deregistering);
    assert!(begun >= moved, "{:#?}", second.history);
}

/// A and B are terminated at once: B waits for A, with this message.
fn the_second_waits(config: &'static str, message: &str) {
    let scenario =
        Scenario { config, world: three, begin: |cloud| terminate(cloud, &[A, B]), ..PLAIN };
    told(&scenario, async |simulator: Simulator, store| {
        let queued = until_queued(&simulator, &store, B).await.shown.message;
        assert_eq!(queued, message);
        one_after_the_other(&simulator, &store).await;
    });
}

#[test]
fn a_budget_of_a_group_makes_its_second_instance_wait() {
    the_second_waits(
        "[policy]\nmax_concurrent = 5\nmax_concurrent_group = 1\nhold_lifecycle = true\n",
        "queued for group web-group: 1 of 1 allowed drains are running; next in line",
    );
}

#[test]
fn a_budget_of_services_lets_so_many_tasks_of_each_drain() {
    the_second_waits(
        "[policy]\nmax_concurrent = 5\nmax_concurrent_service = 1\nhold_lifecycle = true\n",
        "queued for service api: 1 task may drain at once (draining: 1, here: 1); next in line",
    );
}

/// The owner keeps the tasks where they are, then makes a mistake in the tag, which does not count.
#[test]
fn a_drain_waits_for_a_service_that_its_owner_keeps() {
    const TAG: &str = "ecs-drain:do-not-disrupt";
    let scenario = Scenario {
        config: "[policy]\nservice_tags = true\nhold_lifecycle = true\n",
        world: |cloud| {
            cluster(cloud, &[A, B]);
            let service = ServiceSpec::replica("web", "api", 2).size(1000, 128);
            cloud.add_service(&service.times(seconds(5), seconds(5)));
            cloud.tag_service("web", "api", TAG, Some("true"));
        },
        begin: |cloud| terminate(cloud, &[A]),
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        let queued = until_queued(&simulator, &store, A).await.shown;
        assert_eq!(
            queued.message,
            "queued for service api: its owner has tagged it ecs-drain:do-not-disrupt"
        );
        assert!(queued.bad_tags.is_empty());
        tokio::time::sleep(seconds(600)).await;
        assert_eq!(record(&store, A).await.unwrap().phase(), Phase::Pending);
        simulator.with(|cloud| cloud.tag_service("web", "api", TAG, Some("yes")));
        let ended = until_ended(&simulator, &store, Outcome::Drained).await;
        let [bad] = &ended.shown.bad_tags[..] else { panic!("{:?}", ended.shown.bad_tags) };
        assert!(
            bad.starts_with("ecs-drain:do-not-disrupt of service api is \"yes\": it must be true"),
            "{bad}"
        );
    });
}

/// There is room for two of its three tasks.
#[test]
fn a_drain_waits_until_its_services_are_steady() {
    let scenario = Scenario {
        config: "[policy]\nrequire_steady = true\nhold_lifecycle = true\n",
        world: |cloud| {
            cluster(cloud, &[A, B]);
            let service = ServiceSpec::replica("web", "api", 3).size(3000, 128);
            cloud.add_service(&service.times(seconds(5), seconds(5)));
        },
        begin: |cloud| terminate(cloud, &[A]),
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        let queued = until_queued(&simulator, &store, A).await.shown.message;
        assert_eq!(queued, "queued for service api: 2 of its 3 tasks run");
        simulator.with(|cloud| cloud.set_service_desired("web", "api", 1));
        until_ended(&simulator, &store, Outcome::Drained).await;
    });
}
