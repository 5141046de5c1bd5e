//! Tasks: which of them matter, and the fate of those that `DRAINING` does not move.

use super::{
    api, cluster, elapsed, good, target_group, terminate, told, two_with, until_cause, until_ended,
    until_record, world,
};
use crate::harness::{Scenario, seconds, somebody};
use crate::scenarios::{A, B, C, PLAIN, cluster_with_warm_pool};
use crate::story::held;
use aws_sdk_ecs::types::ContainerInstanceStatus;
use aws_simulator::spec::{DeploymentController, ServiceSpec, StandaloneSpec};
use aws_simulator::{BEGIN, Cloud, Fault, Rule, Simulator};
use ecs_drain_state::{Outcome, Phase};
use std::collections::BTreeSet;

/// Adds a daemon that takes ten minutes to end, and a service.
fn slow_daemon(cloud: &mut Cloud) {
    two_with(cloud, &api(2));
    cloud.add_service(&ServiceSpec::daemon("web", "logs").times(seconds(5), seconds(600)));
}

#[test]
fn a_daemon_runs_on_until_the_instance_ends() {
    let ended = good(&world(slow_daemon));
    assert!(ended.at(A).unwrap() < BEGIN + seconds(600), "it was not waited for");
}

#[test]
fn a_daemon_is_waited_for_where_the_policy_says_so() {
    let scenario = Scenario {
        config: "[policy]\ndaemon_tasks = \"wait\"\n",
        world: |cloud| {
            slow_daemon(cloud);
            cloud.checkers.ignore_daemons = false;
        },
        ..PLAIN
    };
    let ended = good(&scenario);
    assert!(ended.at(A).unwrap() >= BEGIN + seconds(600));
}

#[test]
fn a_standalone_task_is_stopped_after_its_grace_and_not_before() {
    let scenario = Scenario {
        config: "[policy]\nstandalone_tasks = { stop_after = \"5m\" }\n",
        world: |cloud| {
            two_with(cloud, &api(2));
            cloud.run_task(&StandaloneSpec::new("web", "endless").on(A)).unwrap();
            cloud
                .run_task(&StandaloneSpec::new("web", "short").on(A).duration(seconds(200)))
                .unwrap();
            cloud.checkers.allow_stop_tasks(seconds(300));
        },
        ..PLAIN
    };
    let ended = good(&scenario);
    assert!(ended.at(A).unwrap() >= BEGIN + seconds(300));
    let record = ended.record(A).unwrap();
    let orders =
        record.history.iter().filter(|event| event.what.contains("stopping standalone tasks"));
    assert_eq!(orders.count(), 1, "{:#?}", record.history);
    let stopped: BTreeSet<String> = ended.simulator.peek(|cloud| {
        let calls = cloud.log.entries().iter().filter(|entry| entry.operation == "StopTask");
        calls.map(|entry| entry.summary.clone()).collect()
    });
    assert_eq!(stopped.len(), 1, "the other one ended by itself: {stopped:?}");
}

#[test]
fn a_protected_task_is_waited_for_and_named_with_the_end_of_its_protection() {
    let scenario = Scenario {
        world: |cloud| two_with(cloud, &api(2)),
        begin: |cloud| {
            assert_eq!(cloud.protect_service_on("web", "api", A, seconds(900)), 1);
            terminate(cloud, &[A]);
        },
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        let (record, text) = until_cause(&simulator, &store, "ProtectedTask").await;
        assert!(elapsed(&simulator) >= seconds(120), "not before it stood still for two minutes");
        let ends = simulator.peek(|cloud| cloud.start()) + BEGIN + seconds(900);
        assert!(text.contains(&format!("protected from scale-in until {ends:.0}")), "{text}");
        assert_eq!((record.phase(), record.shown.why.as_str()), (Phase::Waiting, "TasksLeft"));
        assert!(record.shown.message.ends_with(&text), "{}", record.shown.message);
        assert!(held(&simulator));
        until_ended(&simulator, &store, Outcome::Drained).await;
        assert!(elapsed(&simulator) >= seconds(900));
    });
}

/// Adds a service whose balancer is in its task set alone.
fn deployed_by(cloud: &mut Cloud, controller: DeploymentController) {
    cloud.add_target_group(target_group("web", seconds(90)));
    two_with(cloud, &api(2).target_group("web").controller(controller));
}

#[test]
fn a_registration_that_stands_only_in_a_task_set_is_found_and_seen_gone() {
    let worlds: [fn(&mut Cloud); 2] = [
        |cloud| deployed_by(cloud, DeploymentController::External),
        |cloud| deployed_by(cloud, DeploymentController::CodeDeploy),
    ];
    for world_of in worlds {
        let ended = good(&world(world_of));
        assert_eq!(ended.record(A).unwrap().obligations.len(), 1);
        assert!(ended.at(A).unwrap() >= BEGIN + seconds(90));
    }
}

/// Sets A to this status as a person does.
async fn set_status(simulator: &Simulator, status: ContainerInstanceStatus) {
    let ecs = aws_sdk_ecs::Client::new(&somebody(simulator).load(Some("us-east-1")).await);
    let id = simulator
        .peek(|cloud| cloud.world.ecs.instances_of(A).map(|(_, i)| i.id.clone()).next().unwrap());
    let request = ecs
        .update_container_instances_state()
        .cluster("web")
        .container_instances(id)
        .status(status);
    request.send().await.unwrap();
}

/// A returns to its warm pool and leaves it again, so that its `DRAINING` could be undone.
#[test]
fn an_instance_found_draining_is_waited_for_and_not_made_active_again() {
    let scenario = Scenario {
        world: |cloud| {
            cluster_with_warm_pool(cloud);
            cloud
                .run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(200)))
                .unwrap();
        },
        begin: |_| {},
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        set_status(&simulator, ContainerInstanceStatus::Draining).await;
        assert!(simulator.with(|cloud| cloud.return_to_warm_pool(A)));
        let record = until_ended(&simulator, &store, Outcome::Drained).await;
        assert!(elapsed(&simulator) >= seconds(200));
        assert!(!record.container_instances[0].draining_is_ours);
        tokio::time::sleep(seconds(120)).await;
        assert!(simulator.with(|cloud| cloud.return_from_warm_pool(A)));
        tokio::time::sleep(seconds(300)).await;
        simulator.with(|cloud| {
            assert_eq!(cloud.container_instance_status(A), [("web".to_owned(), "DRAINING")]);
            assert_eq!(cloud.log.count("UpdateContainerInstancesState"), 1, "the one of the other");
        });
    });
}

#[test]
fn an_instance_whose_tasks_all_wait_for_their_image_is_drained() {
    let scenario = Scenario {
        world: |cloud| {
            two_with(
                cloud,
                &ServiceSpec::replica("web", "api", 2).times(seconds(2 * 3600), seconds(5)),
            )
        },
        begin: |cloud| {
            let statuses: Vec<_> =
                cloud.containers_running(A).iter().map(|c| c.last_status).collect();
            assert_eq!(statuses, ["ACTIVATING"]);
            terminate(cloud, &[A]);
        },
        ..PLAIN
    };
    good(&scenario);
}

/// The record has the registrations, and ECS does not accept the `DRAINING` yet. Meanwhile it
/// places a task of a service that the instance did not have.
#[test]
fn a_task_placed_in_the_moment_before_draining_took_hold_is_found() {
    let scenario = Scenario {
        world: |cloud| {
            cloud.add_target_group(target_group("web", seconds(30)));
            cloud.add_target_group(target_group("late", seconds(200)));
            cluster(cloud, &[A, B, C]);
            cloud.add_service(&api(3).target_group("web"));
            let late = ServiceSpec::replica("web", "late", 0).target_group("late");
            cloud.add_service(&late.times(seconds(5), seconds(5)));
        },
        begin: |cloud| {
            let refused = Rule::on("UpdateContainerInstancesState", Fault::Http500);
            cloud.faults.add(refused.between(BEGIN, BEGIN + seconds(60)));
            terminate(cloud, &[A]);
        },
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        let record = until_record(&simulator, &store, "Deregistering", |r| {
            r.phase() == Phase::Deregistering
        })
        .await;
        assert_eq!(record.obligations.len(), 1);
        simulator.with(|cloud| cloud.set_service_desired("web", "late", 3));
        let record = until_ended(&simulator, &store, Outcome::Drained).await;
        assert_eq!(record.obligations.len(), 2, "{:#?}", record.obligations);
        assert!(elapsed(&simulator) >= seconds(260));
    });
}
