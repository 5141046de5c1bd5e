//! Warnings that an instance will be taken away: Spot interruptions, which always open a drain, and
//! rebalance recommendations, which do so if the policy asks for it.

use super::foreign::{spot, waiting};
use super::{add_bus, begun, left, queued, send};
use crate::harness::{Run, Scenario, group, nothing, our_completions, record, run, seconds, wall};
use crate::operators::order_once;
use crate::scenarios::{A, B, C};
use crate::story::{no_violation, until, until_phase, while_running};
use aws_simulator::spec::{ClusterSpec, HookSpec, ServiceSpec};
use aws_simulator::{BEGIN, Cloud, EventPlan, Simulator};
use ecs_drain_state::request::What;
use ecs_drain_state::{Origin, Outcome, Phase, Then};
use jiff::SignedDuration;

/// Adds three instances under these hooks, and a service that can move. A warning allows ecs-drain
/// to touch A and B.
fn three(cloud: &mut Cloud, hooks: Option<Vec<HookSpec>>) {
    add_bus(cloud);
    cloud.add_cluster(&ClusterSpec::new("web"));
    let mut spec = group("web-group", "web", &[A, B, C]);
    spec.hooks = hooks.unwrap_or(spec.hooks);
    cloud.add_group(spec);
    cloud.add_service(&ServiceSpec::replica("web", "api", 3).times(seconds(5), seconds(5)));
    for instance in [A, B] {
        cloud.checkers.allow_operator(instance);
    }
}

/// Describes the world of a warned instance.
pub fn warned(cloud: &mut Cloud) {
    three(cloud, None);
}

/// Spot takes an instance back two minutes after its warning: its tasks have moved before that.
const TAKEN: Scenario = Scenario {
    name: "spot-taken",
    config: queued!(),
    world: warned,
    begin: |cloud| cloud.interrupt_spot(A),
    ends: &[(A, Outcome::Drained)],
    or: None,
    within: seconds(900),
    meanwhile: nothing,
};

/// The group terminates the instance as soon as it is warned.
pub const SPOT: Scenario = Scenario {
    name: "spot-interruption",
    config: queued!("[policy]\npoll = \"15s\"\n"),
    begin: |cloud| {
        cloud.interrupt_spot(A);
        cloud.terminate(A, false).unwrap();
    },
    ..TAKEN
};

/// The same world, in which nothing happens until the test acts.
const CALM: Scenario = Scenario { name: "spot-calm", config: queued!(), begin: |_| {}, ..TAKEN };

/// Sends a message, and waits until it is deleted and a minute more.
async fn send_and_wait(simulator: &Simulator, body: &str) {
    send(simulator, &[body.to_owned()]);
    until(simulator, "the message is deleted", async || left(simulator).is_empty()).await;
    tokio::time::sleep(seconds(60)).await;
}

/// Two minutes after the warning EC2 takes the instance. Then its group notices, and terminates the
/// dead instance under the ecs-drain hook.
#[test]
fn an_instance_that_spot_takes_back_is_drained_before_that() {
    let (drained, simulator) = while_running(&TAKEN, async |simulator: Simulator, store| {
        let runs = || simulator.with(|cloud| !cloud.containers_running(A).is_empty());
        assert!(runs(), "there is something to lose");
        until(&simulator, "nothing runs there any more", async || !runs()).await;
        let drained = simulator.now() - BEGIN;
        let done = until_phase(&simulator, &store, Phase::Done).await;
        assert_eq!((done.origin, done.then), (Origin::SpotInterruption, Some(Then::Leave)));
        assert!(begun(&simulator, &done) < seconds(5), "{}", done.created_at);
        assert_eq!((done.outcome(), done.generation), (Some(Outcome::Drained), 1));
        assert!(done.lifecycle.is_some(), "it took the lifecycle action over");
        until(&simulator, "the messages are deleted", async || left(&simulator).is_empty()).await;
        drained
    });
    assert!(drained < seconds(120), "{drained:?}");
    assert_eq!(simulator.with(|cloud| our_completions(cloud, A).len()), 1);
    assert_eq!(left(&simulator), [""; 0]);
    expect_no_harm(&simulator);
}

#[track_caller]
fn expect_no_harm(simulator: &Simulator) {
    no_violation(simulator);
    simulator.peek(|cloud| assert!(cloud.losses().is_empty(), "{:?}", cloud.losses()));
}

#[test]
fn a_lifecycle_action_that_begins_right_after_the_warning_is_the_same_drain() {
    let ended = run(&SPOT, &Run::default(), |_| {});
    ended.expect_good();
    let record = ended.record(A).unwrap();
    assert!(record.lifecycle.is_some());
    assert_eq!(record.generation, 1);
    assert_eq!(ended.count("CompleteLifecycleAction"), 1);
}

#[test]
fn the_drain_of_an_instance_that_spot_takes_ends_with_it_where_no_hook_of_ours_is() {
    let scenario = Scenario {
        world: |cloud| three(cloud, Some(Vec::new())),
        ends: &[(A, Outcome::InstanceGone)],
        ..SPOT
    };
    let ended = run(&scenario, &Run::default(), |_| {});
    ended.expect_good();
    assert_eq!(ended.count("CompleteLifecycleAction"), 0);
}

/// The proof that everything is gone takes longer than EC2 waits.
#[test]
fn a_drain_that_spot_overtakes_is_taken_over_by_the_lifecycle_action() {
    let scenario = Scenario { config: queued!("[policy]\nread_lag = \"5m\"\n"), ..TAKEN };
    let ended = run(&scenario, &Run::default(), |_| {});
    ended.expect_good();
    let record = ended.record(A).unwrap();
    assert_eq!((record.origin, record.generation), (Origin::SpotInterruption, 1));
    assert!(record.lifecycle.is_some(), "it took the action over");
    assert_eq!(ended.count("CompleteLifecycleAction"), 1);
}

#[test]
fn spot_interruptions_do_not_wait_for_a_budget() {
    let ((), simulator) = while_running(&CALM, async |simulator: Simulator, store| {
        simulator.with(|cloud| {
            cloud.interrupt_spot(A);
            cloud.interrupt_spot(B);
        });
        tokio::time::sleep(seconds(20)).await;
        for instance in [A, B] {
            let record = record(&store, instance).await.unwrap();
            assert!(
                !matches!(record.phase(), Phase::Pending),
                "{instance} is {}: {}",
                record.phase(),
                record.shown.message
            );
            let status = simulator.with(|cloud| cloud.container_instance_status(instance)[0].1);
            assert_eq!(status, "DRAINING", "{instance}");
        }
    });
    no_violation(&simulator);
}

/// A rebalance is recommended for both, and one may drain at once; then Spot takes the one that
/// waits for its turn.
#[test]
fn a_spot_interruption_ends_the_wait_for_a_turn() {
    let scenario = Scenario {
        config: queued!("[policy]\nrebalance = \"keep\"\n"),
        begin: |cloud| {
            cloud.recommend_rebalance(A);
            cloud.recommend_rebalance(B);
        },
        ..CALM
    };
    let ((), simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        let status =
            |instance: &str| simulator.with(|cloud| cloud.container_instance_status(instance)[0].1);
        until(&simulator, "one of them drains", async || {
            [A, B].into_iter().any(|one| status(one) == "DRAINING")
        })
        .await;
        let waits = if status(A) == "DRAINING" { B } else { A };
        let before = record(&store, waits).await.unwrap();
        assert_eq!((before.origin, before.phase()), (Origin::Rebalance, Phase::Pending));
        simulator.with(|cloud| cloud.interrupt_spot(waits));
        tokio::time::sleep(seconds(20)).await;
        assert_eq!(status(waits), "DRAINING");
        let after = record(&store, waits).await.unwrap();
        assert_eq!((after.origin, after.generation), (Origin::SpotInterruption, 1));
    });
    expect_no_harm(&simulator);
}

/// Its drain was cancelled a moment before: that is undone first, and then a new drain for Spot's
/// reason begins.
#[test]
fn a_spot_interruption_while_a_drain_is_undone_opens_one_of_its_own() {
    let scenario = Scenario {
        config: queued!("[policy]\nrebalance = \"keep\"\n"),
        begin: |cloud| cloud.recommend_rebalance(A),
        ..CALM
    };
    let ((), simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Verifying).await;
        order_once(&simulator, &store, What::Cancel).await;
        until_phase(&simulator, &store, Phase::Returning).await;
        let warning = spot(A, &wall(&simulator).to_string());
        send(&simulator, std::slice::from_ref(&warning));
        until(&simulator, "a second drain goes on", async || {
            record(&store, A)
                .await
                .is_some_and(|drain| drain.generation == 2 && drain.phase() != Phase::Pending)
        })
        .await;
        assert_eq!(record(&store, A).await.unwrap().origin, Origin::SpotInterruption);
    });
    expect_no_harm(&simulator);
}

#[test]
fn a_warning_that_comes_again_and_again_opens_one_drain() {
    let (record, simulator) = while_running(&CALM, async |simulator: Simulator, store| {
        simulator.with(|cloud| {
            cloud.events.plan = EventPlan { duplicate: 1.0, ..EventPlan::default() };
            cloud.interrupt_spot(A);
        });
        let warning = spot(A, &wall(&simulator).to_string());
        until_phase(&simulator, &store, Phase::Waiting).await;
        send_and_wait(&simulator, &warning).await;
        until_phase(&simulator, &store, Phase::Done).await;
        send_and_wait(&simulator, &warning).await;
        record(&store, A).await.unwrap()
    });
    assert_eq!((record.phase(), record.generation), (Phase::Done, 1));
    expect_no_harm(&simulator);
}

#[test]
fn a_warning_that_is_ten_minutes_old_opens_no_drain() {
    let ((), simulator) = while_running(&CALM, async |simulator: Simulator, store| {
        let sent = wall(&simulator) - SignedDuration::from_mins(11);
        send_and_wait(&simulator, &spot(A, &sent.to_string())).await;
        assert!(record(&store, A).await.is_none());
        let status = simulator.with(|cloud| cloud.container_instance_status(A)[0].1);
        assert_eq!(status, "ACTIVE");
    });
    no_violation(&simulator);
}

#[test]
fn a_warning_that_comes_again_after_its_drain_was_cancelled_opens_no_other() {
    let scenario = Scenario {
        world: |cloud| {
            three(cloud, None);
            cloud.checkers.must_be_active(A);
        },
        ..CALM
    };
    let ((), simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        let warning = spot(A, &wall(&simulator).to_string());
        send(&simulator, std::slice::from_ref(&warning));
        until_phase(&simulator, &store, Phase::Verifying).await;
        order_once(&simulator, &store, What::Cancel).await;
        let drain = until_phase(&simulator, &store, Phase::Done).await;
        assert_eq!(drain.outcome(), Some(Outcome::Cancelled));
        send_and_wait(&simulator, &warning).await;
        let drain = record(&store, A).await.unwrap();
        assert_eq!((drain.phase(), drain.generation), (Phase::Done, 1));
    });
    simulator.with(|cloud| assert_eq!(cloud.violations_at_end(), []));
}

#[test]
fn a_rebalance_recommendation_does_nothing_unless_it_is_switched_on() {
    let ((), simulator) = while_running(&CALM, async |simulator: Simulator, store| {
        simulator.with(|cloud| cloud.recommend_rebalance(A));
        tokio::time::sleep(seconds(120)).await;
        assert_eq!(left(&simulator), [""; 0]);
        assert!(store.all().await.unwrap().is_empty());
    });
    no_violation(&simulator);
    assert_eq!(simulator.with(|cloud| cloud.log.count("UpdateContainerInstancesState")), 0);
}

/// Two instances of a cluster, where one may drain at once.
#[test]
fn a_rebalance_recommendation_that_keeps_drains_within_the_budget() {
    let scenario = Scenario {
        config: queued!("[policy]\nrebalance = \"keep\"\n"),
        begin: |cloud| {
            cloud.recommend_rebalance(A);
            cloud.recommend_rebalance(B);
        },
        ..CALM
    };
    let ((), simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        until(&simulator, "both are drained", async || {
            let mut phases = Vec::new();
            for instance in [A, B] {
                phases.extend(record(&store, instance).await.map(|record| record.phase()));
            }
            let goes_on = |phase: &&Phase| !matches!(phase, Phase::Pending | Phase::Done);
            assert!(phases.iter().filter(goes_on).count() <= 1, "{phases:?}");
            phases == [Phase::Done, Phase::Done]
        })
        .await;
        for instance in [A, B] {
            let record = record(&store, instance).await.unwrap();
            assert_eq!(
                (record.origin, record.outcome()),
                (Origin::Rebalance, Some(Outcome::Drained))
            );
            assert_eq!(record.then, Some(Then::Keep));
            let state = simulator.with(|cloud| cloud.lifecycle_state(instance));
            assert_eq!(state.as_deref(), Some("InService"), "{instance} stays");
        }
    });
    expect_no_harm(&simulator);
}

#[test]
fn a_rebalance_recommendation_that_terminates_has_the_group_replace_the_instance() {
    let scenario = Scenario {
        config: queued!("[policy]\nrebalance = \"terminate\"\n"),
        world: |cloud| {
            three(cloud, None);
            cloud.checkers.allow_terminate(A);
        },
        begin: |cloud| cloud.recommend_rebalance(A),
        ..CALM
    };
    let ended = run(&scenario, &Run::default(), |_| {});
    ended.expect_good();
    let record = ended.record(A).unwrap();
    assert_eq!(
        (record.origin, record.then, record.generation),
        (Origin::Rebalance, Some(Then::Terminate), 1)
    );
    assert_eq!(ended.count("TerminateInstanceInAutoScalingGroup"), 1);
    ended.simulator.with(|cloud| {
        let others = cloud.instance_ids("web-group").into_iter().filter(|id| id != A).count();
        assert_eq!(others, 3, "its group launched another");
    });
}

/// Three hundred messages name instances that no group shows as waiting yet: they stay in the queue
/// for later.
#[test]
fn a_warning_does_not_wait_behind_messages_that_wait() {
    let drains_after = |others: usize| {
        let (after, simulator) = while_running(&CALM, async |simulator: Simulator, _| {
            // By now it leads, and receives messages.
            tokio::time::sleep(seconds(20)).await;
            let bodies: Vec<String> =
                (0..others).map(|n| waiting(&format!("i-{:017x}", 0xfff + n))).collect();
            send(&simulator, &bodies);
            tokio::time::sleep(seconds(1)).await;
            let sent = simulator.now();
            send(&simulator, &[spot(A, &wall(&simulator).to_string())]);
            until(&simulator, "it is DRAINING", async || {
                simulator.with(|cloud| cloud.container_instance_status(A)[0].1 == "DRAINING")
            })
            .await;
            simulator.now() - sent
        });
        no_violation(&simulator);
        after
    };
    let (alone, behind) = (drains_after(0), drains_after(300));
    assert!(alone < seconds(20), "alone after {alone:?}");
    assert!(behind <= alone + seconds(10), "after {behind:?}, and alone after {alone:?}");
}
