//! Further scenarios for the crash matrix: an ordinary run plays each of them once, a nightly one
//! at every call with every fault (`cargo test --test all crash_matrix -- --include-ignored`).

use crate::harness::{Run, Scenario, group, hook, our_hook, run, seconds, somebody};
use crate::operators::{drain, order_once};
use crate::queue::{queued, warned};
use crate::rollouts::{IN_WAVES, REPLACED};
use crate::scenarios::{
    A, B, C, INSTANCE_TARGETS, PLAIN, cluster, cluster_under, cluster_with_warm_pool, target_group,
};
use aws_sdk_ecs::types::ContainerInstanceStatus;
use aws_simulator::elb::{TargetGroupKind, TargetType};
use aws_simulator::spec::{
    ClusterSpec, DeploymentController, Network, ServiceSpec, StandaloneSpec,
};
use aws_simulator::{Cloud, Simulator};
use ecs_drain::store::Store;
use ecs_drain_state::request::What;
use ecs_drain_state::{Outcome, Phase, Record, Then};

/// Creates a replica service whose tasks start and stop in seconds.
fn api(desired: u32) -> ServiceSpec {
    ServiceSpec::replica("web", "api", desired).times(seconds(5), seconds(5))
}

/// It gets a new root volume, and is `ACTIVE` again in the end.
const ROOT_VOLUME: Scenario = Scenario {
    name: "root-volume",
    world: |cloud| {
        cluster(cloud, &[A, B]);
        cloud.add_service(&api(2));
        cloud.checkers.must_be_active(A);
    },
    begin: |cloud| assert!(cloud.replace_root_volume(A)),
    ..PLAIN
};

/// Its agent is disconnected and the instance ends, so that ECS reports its task as `RUNNING` for
/// ever.
const DEAD_INSTANCE: Scenario = Scenario {
    name: "dead-instance",
    world: |cloud| {
        cluster(cloud, &[A, B]);
        cloud.run_task(&StandaloneSpec::new("web", "job").on(A)).unwrap();
    },
    begin: |cloud| {
        cloud.set_agent_connected(A, false);
        cloud.terminate(A, true).unwrap();
        cloud.kill_instance(A);
    },
    config: "[policy]\nagent_grace = \"1m\"\n",
    ..PLAIN
};

/// A rebalance is recommended for it: it is drained for that, and terminated through its group.
const REBALANCED: Scenario = Scenario {
    name: "rebalanced",
    config: queued!("[policy]\nrebalance = \"terminate\"\n"),
    world: |cloud| {
        warned(cloud);
        cloud.checkers.allow_terminate(A);
    },
    begin: |cloud| cloud.recommend_rebalance(A),
    ..PLAIN
};

/// A Network Load Balancer still sends connections for a while.
const NETWORK_SETTLES: Scenario = Scenario {
    name: "network-settles",
    world: |cloud| {
        let mut targets =
            target_group("tcp", TargetGroupKind::Network, TargetType::Ip, seconds(20));
        targets.settle_time = Some(seconds(90));
        cloud.add_target_group(targets);
        cluster(cloud, &[A, B]);
        let network = Network::Awsvpc { container_port: 8080 };
        cloud.add_service(&api(2).target_group("tcp").network(network));
    },
    ..PLAIN
};

/// Its registrations are in a task set alone.
const TASK_SET: Scenario = Scenario {
    name: "task-set",
    world: |cloud| {
        let instances =
            target_group("web", TargetGroupKind::Application, TargetType::Instance, seconds(60));
        cloud.add_target_group(instances);
        cluster(cloud, &[A, B]);
        cloud.add_service(&api(2).target_group("web").controller(DeploymentController::External));
    },
    ..PLAIN
};

/// The balancer is attached to the group itself.
const GROUPS_BALANCER: Scenario = Scenario {
    name: "groups-balancer",
    world: |cloud| {
        let instances =
            target_group("group", TargetGroupKind::Application, TargetType::Instance, seconds(60));
        let arn = cloud.add_target_group(instances);
        cloud.add_cluster(&ClusterSpec::new("web"));
        let mut spec = group("web-group", "web", &[A, B]);
        spec.target_group_arns = vec![arn];
        cloud.add_group(spec);
        cloud.add_service(&api(2));
    },
    ..PLAIN
};

/// Its tasks are protected from scale-in for a while.
const PROTECTED: Scenario = Scenario {
    name: "protected",
    world: |cloud| {
        cluster(cloud, &[A, B]);
        cloud.add_service(&api(2));
    },
    begin: |cloud| {
        cloud.protect_service_on("web", "api", A, seconds(200));
        cloud.terminate(A, true).unwrap();
    },
    ..PLAIN
};

/// Registered in two clusters at once, with a balanced service in each.
const TWO_CLUSTERS: Scenario = Scenario {
    name: "two-clusters",
    world: |cloud| {
        let instances =
            target_group("other", TargetGroupKind::Application, TargetType::Instance, seconds(30));
        cloud.add_target_group(instances);
        cluster(cloud, &[A, B]);
        cloud.add_service(&api(2));
        cloud.add_cluster(&ClusterSpec::new("other"));
        let mut rest = group("other-group", "other", &[C]);
        rest.hooks.clear();
        cloud.add_group(rest);
        let now = cloud.now();
        cloud.world.ecs.register_instance(now, "other", A, 1024, 2048);
        cloud.add_service(
            &ServiceSpec::replica("other", "api", 4)
                .target_group("other")
                .times(seconds(5), seconds(5)),
        );
    },
    ..PLAIN
};

/// A budget of one.
const BUDGET: Scenario = Scenario {
    name: "budget",
    config: "[policy]\nhold_lifecycle = true\n",
    world: |cloud| {
        cluster(cloud, &[A, B, C]);
        cloud.add_service(&api(3));
    },
    begin: |cloud| {
        cloud.terminate(A, true).unwrap();
        cloud.terminate(B, true).unwrap();
    },
    ends: &[(A, Outcome::Drained), (B, Outcome::Drained)],
    ..PLAIN
};

/// Released at its deadline.
const DEADLINE: Scenario = Scenario {
    name: "deadline",
    config: "[policy]\ndeadline = \"2m\"\nat_deadline = \"continue\"\n",
    world: |cloud| {
        cluster(cloud, &[A, B]);
        cloud.run_task(&StandaloneSpec::new("web", "endless").on(A)).unwrap();
        cloud.checkers.may_be_premature(A);
    },
    ends: &[(A, Outcome::TimedOut)],
    ..PLAIN
};

/// Paused by an operator during the drain, and resumed.
const PAUSED: Scenario = Scenario {
    name: "paused",
    world: |cloud| {
        cluster(cloud, &[A, B]);
        cloud.run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(60))).unwrap();
    },
    meanwhile: |simulator, store| Box::pin(pause_and_resume(simulator, store)),
    ..PLAIN
};

async fn pause_and_resume(simulator: &Simulator, store: &Store) {
    until(store, |record| record.phase() != Phase::Pending).await;
    order_once(simulator, store, What::Pause).await;
    tokio::time::sleep(seconds(120)).await;
    order_once(simulator, store, What::Resume).await;
}

async fn until(store: &Store, is_so: impl Fn(&Record) -> bool) {
    while !crate::harness::record(store, A).await.is_some_and(|record| is_so(&record)) {
        tokio::time::sleep(seconds(2)).await;
    }
}

/// Someone deletes the ecs-drain hook while it holds the instance.
const HOOK_DELETED: Scenario = Scenario {
    name: "hook-deleted",
    world: |cloud| {
        cluster_under(cloud, vec![our_hook(seconds(600)), hook("backup", seconds(600))]);
        cloud.run_task(&StandaloneSpec::new("web", "endless").on(A)).unwrap();
        // ecs-drain does not answer for losses after that.
        cloud.checkers.may_be_premature(A);
    },
    ends: &[(A, Outcome::WaitLost)],
    // The instance can be gone before two reads have shown the end of its wait: then that is the
    // outcome.
    or: Some(Outcome::InstanceGone),
    meanwhile: |simulator, store| Box::pin(delete_the_hooks(simulator, store)),
    ..PLAIN
};

async fn delete_the_hooks(simulator: &Simulator, store: &Store) {
    until(store, |record| record.phase() == Phase::Waiting).await;
    for name in [crate::harness::HOOK, "backup"] {
        simulator.with(|cloud| cloud.delete_hook("web-group", name));
    }
}

/// Someone sets it `ACTIVE` again while its targets drain.
const ACTIVE_AGAIN: Scenario = Scenario {
    name: "active-again",
    meanwhile: |simulator, store| Box::pin(make_active(simulator, store)),
    ..INSTANCE_TARGETS
};

async fn make_active(simulator: &Simulator, store: &Store) {
    until(store, |record| record.phase() == Phase::Waiting).await;
    let ecs = aws_sdk_ecs::Client::new(&somebody(simulator).load(Some("us-east-1")).await);
    let id = simulator
        .peek(|cloud| cloud.world.ecs.instances_of(A).map(|(_, i)| i.id.clone()).next().unwrap());
    let request = ecs.update_container_instances_state().cluster("web").container_instances(id);
    request.status(ContainerInstanceStatus::Active).send().await.unwrap();
}

/// Drained by order, and sent to the warm pool by its group during the drain.
const POOLED_IN_MID_DRAIN: Scenario = Scenario {
    name: "pooled-in-mid-drain",
    world: |cloud| {
        cluster_with_warm_pool(cloud);
        cloud.run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(60))).unwrap();
        cloud.checkers.allow_operator(A);
        cloud.checkers.must_be_active(A);
    },
    begin: |_| {},
    meanwhile: |simulator, store| Box::pin(drain_and_pool(simulator, store)),
    ..PLAIN
};

async fn drain_and_pool(simulator: &Simulator, store: &Store) {
    order_once(simulator, store, drain(Then::Keep)).await;
    until(store, |record| record.phase() != Phase::Pending).await;
    simulator.with(|cloud| assert!(cloud.return_to_warm_pool(A)));
    while simulator.with(|cloud: &mut Cloud| cloud.lifecycle_state(A)).as_deref()
        != Some("Warmed:Stopped")
    {
        tokio::time::sleep(seconds(1)).await;
    }
    simulator.with(|cloud| assert!(cloud.return_from_warm_pool(A)));
}

/// Every story that only the nightly matrix plays at every call.
pub const NIGHTLY: &[&Scenario] = &[
    &ROOT_VOLUME,
    &DEAD_INSTANCE,
    &REBALANCED,
    &NETWORK_SETTLES,
    &TASK_SET,
    &GROUPS_BALANCER,
    &PROTECTED,
    &TWO_CLUSTERS,
    &BUDGET,
    &DEADLINE,
    &PAUSED,
    &HOOK_DELETED,
    &ACTIVE_AGAIN,
    &POOLED_IN_MID_DRAIN,
    &REPLACED,
    &IN_WAVES,
];

#[test]
fn every_scenario_of_the_night_ends_well_by_day() {
    for scenario in NIGHTLY {
        if let Some(complaint) = run(scenario, &Run::default(), |_| {}).complaint() {
            panic!("{}: {complaint}", scenario.name);
        }
    }
}
