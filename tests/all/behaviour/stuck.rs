//! Causes of a stuck drain: each is found, named with its remedy, and gone when the drain makes
//! progress again.

use super::{
    api, cluster, elapsed, good, target_group, terminate, told, two_with, until_cause, until_ended,
    until_record, world,
};
use crate::harness::{Scenario, seconds};
use crate::scenarios::{A, B, PLAIN};
use crate::story::{BUSY, held};
use aws_simulator::{BEGIN, Cloud, Fault, Rule, Simulator};
use ecs_drain_state::diagnosis::Fix;
use ecs_drain_state::{Outcome, Phase, Record};

/// Checks that the cause is found, that the message ends with the first cause, and that the
/// instance is held; returns the cause's text.
fn cause_of(scenario: &Scenario, name: &str) -> String {
    told(scenario, async |simulator: Simulator, store| {
        let (record, text) = until_cause(&simulator, &store, name).await;
        assert!(
            elapsed(&simulator) >= seconds(120),
            "a drain must stand still for two minutes first"
        );
        assert!(held(&simulator));
        let first = &record.shown.causes[0];
        assert!(record.shown.message.ends_with(&first.text), "{}", record.shown.message);
        text
    })
}

/// Adds a service whose percentages allow no move.
fn immovable(cloud: &mut Cloud) {
    two_with(cloud, &api(2).percents(100, 100));
}

#[test]
fn a_service_that_may_neither_stop_nor_start_a_task_first_is_named() {
    let text = cause_of(&world(immovable), "ServiceCannotReplace");
    assert!(
        text.contains("service api cannot replace a task: with desired count 2, minimum"),
        "{text}"
    );
    assert!(text.contains("set maximumPercent to 150 or more"), "{text}");
}

/// The other instance has no CPU left.
const FULL: Scenario = Scenario {
    world: |cloud| two_with(cloud, &api(2).size(1024, 512)),
    begin: |cloud| {
        cloud.fill_cluster("web", &[A]);
        terminate(cloud, &[A]);
    },
    ..PLAIN
};

#[test]
fn what_the_closest_instance_lacks_is_named() {
    let text = cause_of(&FULL, "NoRoom");
    let lacks = format!(
        "no other container instance has room for a task of service api (1 checked): the closest, {B}, has 0 of the 1024 CPU units"
    );
    assert!(text.starts_with(&lacks), "{text}");
}

/// Its four tasks leave one by one: the cause is gone with the first, not only at the drain's end.
#[test]
fn causes_vanish_once_the_drain_moves_again() {
    let world: fn(&mut Cloud) = |cloud| two_with(cloud, &api(8).size(256, 128).percents(100, 113));
    told(&Scenario { world, ..FULL }, async |simulator: Simulator, store| {
        until_cause(&simulator, &store, "NoRoom").await;
        simulator.with(|cloud| cloud.set_group_desired("web-group", 2).unwrap());
        let moves =
            |record: &Record| record.phase() == Phase::Waiting && record.shown.causes.is_empty();
        let record = until_record(&simulator, &store, "no cause", moves).await;
        assert!(!record.shown.message.contains("room"), "{}", record.shown.message);
        until_ended(&simulator, &store, Outcome::Drained).await;
    });
}

/// AWS does not document the effect of `DRAINING` on the tasks of a service whose deployment waits;
/// here they stay.
#[test]
fn a_paused_deployment_is_named_with_what_continues_it() {
    let scenario = Scenario {
        world: |cloud| two_with(cloud, &api(2)),
        begin: |cloud| {
            assert!(cloud.pause_deployment("web", "api", Some(seconds(86_400))));
            terminate(cloud, &[A]);
        },
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        let (record, text) = until_cause(&simulator, &store, "DeploymentPaused").await;
        let told = "the deployment of service api is paused at POST_TEST_TRAFFIC_SHIFT by hook ecs-pause-1 until ";
        assert!(
            text.starts_with(told) && text.ends_with(", when ECS rolls it back; continue it"),
            "{text}"
        );
        let fix = record.shown.causes.iter().find_map(|cause| cause.fix.as_ref());
        assert!(
            matches!(fix, Some(Fix::ContinueDeployment { hook, .. }) if hook == "ecs-pause-1"),
            "{fix:?}"
        );
        assert!(held(&simulator));
        simulator.with(|cloud| assert!(cloud.pause_deployment("web", "api", None)));
        until_ended(&simulator, &store, Outcome::Drained).await;
    });
}

#[test]
fn a_cluster_without_another_instance_is_named() {
    let scenario = world(|cloud| {
        cluster(cloud, &[A]);
        cloud.add_service(&api(1));
    });
    let text = cause_of(&scenario, "NoOtherInstance");
    assert!(text.starts_with("cluster web has no other ACTIVE container instance"), "{text}");
}

#[test]
fn a_placement_constraint_that_no_other_instance_meets_is_named() {
    let scenario = world(|cloud| {
        cluster(cloud, &[A, B]);
        cloud.set_attribute(A, "rack", "one");
        cloud.add_service(&api(1).member_of("attribute:rack == one"));
    });
    let text = cause_of(&scenario, "ConstraintUnmet");
    assert!(
        text.contains("its tasks may be placed only where \"attribute:rack == one\" is true"),
        "{text}"
    );
}

#[test]
fn a_disconnected_agent_is_named_and_the_drain_goes_on_when_it_is_back() {
    let scenario = Scenario {
        world: |cloud| two_with(cloud, &api(2)),
        begin: |cloud| {
            cloud.set_agent_connected(A, false);
            terminate(cloud, &[A]);
        },
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        let (record, text) = until_cause(&simulator, &store, "AgentDisconnected").await;
        assert!(text.starts_with("its ECS agent has been disconnected since 20"), "{text}");
        assert_eq!(record.phase(), Phase::Waiting);
        tokio::time::sleep(seconds(900)).await;
        assert!(held(&simulator), "nothing but ECS calls the instance dead");
        simulator.with(|cloud| cloud.set_agent_connected(A, true));
        let record = until_ended(&simulator, &store, Outcome::Drained).await;
        assert!(record.shown.causes.is_empty());
    });
}

#[test]
fn a_replacement_that_cannot_start_is_named_in_ecss_words() {
    let scenario = Scenario {
        world: |cloud| two_with(cloud, &api(2)),
        begin: |cloud| {
            cloud.fail_new_tasks("web", "api", "CannotPullContainerError: pull access denied");
            terminate(cloud, &[A]);
        },
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        let (_, text) = until_cause(&simulator, &store, "ReplacementFails").await;
        assert!(text.contains("unable to consistently start tasks successfully"), "{text}");
        assert!(held(&simulator));
        simulator.with(|cloud| cloud.heal("web", "api"));
        until_ended(&simulator, &store, Outcome::Drained).await;
    });
}

#[test]
fn a_replacement_that_fails_its_health_checks_is_named_in_ecss_words() {
    let scenario = Scenario {
        world: |cloud| {
            cloud.add_target_group(target_group("web", seconds(20)));
            two_with(cloud, &api(2).target_group("web"));
        },
        begin: |cloud| {
            cloud.fail_health_checks("web", "api");
            terminate(cloud, &[A]);
        },
        ..PLAIN
    };
    let text = cause_of(&scenario, "ReplacementFails");
    assert!(text.contains("is unhealthy in (target-group"), "{text}");
}

#[test]
fn a_standalone_task_is_named_with_the_policy_that_would_stop_it() {
    let text = cause_of(&BUSY, "StandaloneTask");
    assert!(
        text.contains("is standalone, so DRAINING does not stop it, and the policy waits for it"),
        "{text}"
    );
    assert!(text.contains("standalone_tasks = { stop_after"), "{text}");
}

/// Answers this call with this fault from now on.
fn struck(simulator: &Simulator, call: &str, fault: Fault) {
    simulator.with(|cloud| cloud.faults.add(Rule::on(call, fault)));
}

#[test]
fn calls_that_aws_throttles_are_named_beside_what_could_be_read() {
    told(&world(immovable), async |simulator: Simulator, store| {
        struck(&simulator, "GetTaskProtection", Fault::Throttle);
        let (record, text) = until_cause(&simulator, &store, "Throttled").await;
        assert!(text.starts_with("AWS throttles ecs:GetTaskProtection: "), "{text}");
        assert_eq!(record.shown.causes[0].name, "ServiceCannotReplace");
    });
}

#[test]
fn a_read_that_is_denied_is_named_and_stops_nothing() {
    let scenario = Scenario {
        world: |cloud| two_with(cloud, &api(2)),
        begin: |cloud| {
            cloud.protect_service_on("web", "api", A, seconds(400));
            terminate(cloud, &[A]);
        },
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        struck(&simulator, "GetTaskProtection", Fault::AccessDenied);
        let (_, text) = until_cause(&simulator, &store, "Unreadable").await;
        assert!(text.contains("ecs:GetTaskProtection"), "{text}");
        until_ended(&simulator, &store, Outcome::Drained).await;
    });
}

/// Adds five tasks that leave one after the other, which takes longer than `stuck_after`.
fn one_by_one(cloud: &mut Cloud) {
    two_with(cloud, &api(10).percents(100, 110).times(seconds(30), seconds(5)));
}

#[test]
fn a_drain_that_moves_is_never_asked_why_it_does_not() {
    let slow = good(&world(one_by_one));
    assert!(slow.at(A).unwrap() >= BEGIN + seconds(180), "{:?}", slow.took);
    for ended in [good(&PLAIN), slow] {
        for call in ["GetTaskProtection", "DescribeTaskDefinition"] {
            assert_eq!(ended.count(call), 0, "{call}");
        }
    }
}
