//! Ends with an effect on AWS, as scenarios of the crash matrix.

use crate::harness::{Scenario, group, seconds, somebody};
use crate::operators::order_once;
use crate::scenarios::{A, B, PLAIN, cluster, cluster_with_warm_pool};
use crate::story::{busy, no_violation, until_phase, while_running};
use aws_simulator::Simulator;
use aws_simulator::spec::{ClusterSpec, ServiceSpec, StandaloneSpec};
use ecs_drain::store::Store;
use ecs_drain_state::request::What;
use ecs_drain_state::{Outcome, Phase};

/// A standalone task is stopped once its grace is over.
pub const STANDALONE_STOPPED: Scenario = Scenario {
    name: "standalone-stopped",
    config: "[policy]\nstandalone_tasks = { stop_after = \"20s\" }\n",
    world: |cloud| {
        cluster(cloud, &[A, B]);
        cloud.run_task(&StandaloneSpec::new("web", "job").on(A)).unwrap();
        cloud.checkers.allow_stop_tasks(seconds(20));
    },
    ..PLAIN
};

/// Abandoned at its deadline, retained by its group, and terminated by someone afterwards.
pub const ABANDONED_AND_RETAINED: Scenario = Scenario {
    name: "abandoned-and-retained",
    config: "[policy]\ndeadline = \"1m\"\nat_deadline = \"abandon\"\n",
    world: |cloud| {
        cloud.add_cluster(&ClusterSpec::new("web"));
        let mut spec = group("web-group", "web", &[A, B]);
        spec.terminate_hook_abandon_retain = true;
        cloud.add_group(spec);
        cloud.run_task(&StandaloneSpec::new("web", "endless").on(A)).unwrap();
        cloud.checkers.may_be_premature(A);
    },
    ends: &[(A, Outcome::TimedOut)],
    meanwhile: |simulator, _| Box::pin(terminate_what_is_retained(simulator)),
    ..PLAIN
};

async fn terminate_what_is_retained(simulator: &Simulator) {
    until_state(simulator, "Terminating:Retained").await;
    tokio::time::sleep(seconds(90)).await;
    simulator.with(|cloud| cloud.terminate(A, false).unwrap());
}

pub async fn until_state(simulator: &Simulator, state: &str) {
    while simulator.with(|cloud| cloud.lifecycle_state(A)).as_deref() != Some(state) {
        tokio::time::sleep(seconds(1)).await;
    }
}

/// Back to its warm pool, and used again: the `DRAINING` that ecs-drain set is undone in the end.
pub const BACK_FROM_THE_WARM_POOL: Scenario = Scenario {
    name: "back-from-the-warm-pool",
    world: |cloud| {
        cluster_with_warm_pool(cloud);
        cloud.add_service(&ServiceSpec::replica("web", "api", 2).times(seconds(5), seconds(5)));
        cloud.checkers.must_be_active(A);
    },
    begin: |cloud| assert!(cloud.return_to_warm_pool(A)),
    meanwhile: |simulator, _| Box::pin(use_again(simulator)),
    ..PLAIN
};

async fn use_again(simulator: &Simulator) {
    until_state(simulator, "Warmed:Stopped").await;
    assert!(simulator.with(|cloud| cloud.return_from_warm_pool(A)));
}

/// Forced by an operator, with tasks running.
pub const FORCED: Scenario = Scenario {
    name: "forced",
    world: |cloud| {
        cluster(cloud, &[A, B]);
        cloud.run_task(&StandaloneSpec::new("web", "endless").on(A)).unwrap();
        cloud.checkers.may_be_premature(A);
    },
    ends: &[(A, Outcome::Forced)],
    meanwhile: |simulator, store| Box::pin(order_the_end(simulator, store)),
    ..PLAIN
};

async fn order_the_end(simulator: &Simulator, store: &Store) {
    while crate::harness::record(store, A).await.is_none() {
        tokio::time::sleep(seconds(5)).await;
    }
    order_once(simulator, store, What::Force).await;
}

/// An operator deregisters it with force while a task runs: ECS reports the task as stopped, and
/// its container runs on for minutes.
#[test]
fn somebodys_forced_deregistration_leaves_the_containers_their_time() {
    let scenario = Scenario { world: |cloud| busy(cloud, seconds(250)), ..PLAIN };
    let (done, simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        let record = until_phase(&simulator, &store, Phase::Waiting).await;
        let ecs = aws_sdk_ecs::Client::new(&somebody(&simulator).load(Some("us-east-1")).await);
        let of = ecs.deregister_container_instance().cluster("web").force(true);
        of.container_instance(&record.container_instances[0].arn).send().await.unwrap();
        until_phase(&simulator, &store, Phase::Done).await
    });
    assert_eq!(done.outcome(), Some(Outcome::Drained));
    no_violation(&simulator);
}
