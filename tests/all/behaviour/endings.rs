//! Ends other than the plain one: deadlines, instances that cannot report, other hooks, instances
//! that live on.

use super::{
    api, cluster, elapsed, stray, target_group, terminate, told, two_with, until_ended,
    until_record, world,
};
use crate::endings::until_state;
use crate::harness::{
    HOOK, Run, Scenario, group, hook, our_completions, our_hook, record, run, seconds,
};
use crate::scenarios::{A, ANOTHER_HOOK, B, C, PLAIN, cluster_under, cluster_with_warm_pool};
use crate::story::{held, no_violation, until, until_phase, while_running};
use aws_simulator::autoscaling::LifecycleResult;
use aws_simulator::spec::StandaloneSpec;
use aws_simulator::{BEGIN, Cloud, Simulator};
use ecs_drain_state::{Outcome, Phase, Record};

/// Adds a standalone task on A that never ends.
fn endless(cloud: &mut Cloud) {
    cluster(cloud, &[A, B]);
    cloud.run_task(&StandaloneSpec::new("web", "endless").on(A)).unwrap();
}

#[test]
fn at_its_deadline_an_instance_is_held_on_unless_the_policy_says_otherwise() {
    let scenario = Scenario { config: "[policy]\ndeadline = \"20m\"\n", ..world(endless) };
    told(&scenario, async |simulator: Simulator, store| {
        let record = until_record(&simulator, &store, "HeldPastDeadline", |r| {
            r.shown.why == "HeldPastDeadline"
        })
        .await;
        assert!(
            record
                .shown
                .message
                .starts_with("past its deadline, held by policy (at_deadline): standalone task "),
            "{}",
            record.shown.message
        );
        assert!(elapsed(&simulator) >= seconds(1200));
        assert!(held(&simulator));
    });
}

/// The override is for one group; the other has no deadline.
#[test]
fn a_group_can_have_a_deadline_of_its_own() {
    let scenario = Scenario {
        config: "[[override]]\ngroups = [\"batch-*\"]\ndeadline = \"20m\"\nat_deadline = \"continue\"\n",
        world: |cloud| {
            endless(cloud);
            cloud.add_group(group("batch-group", "web", &[C]));
            cloud.run_task(&StandaloneSpec::new("web", "endless").on(C)).unwrap();
            cloud.checkers.may_be_premature(C);
        },
        begin: |cloud| terminate(cloud, &[A, C]),
        ends: &[(C, Outcome::TimedOut)],
        within: seconds(1800),
        ..PLAIN
    };
    let ended = run(&scenario, &Run::default(), |_| {});
    assert_eq!(ended.late, None);
    assert!(ended.at(C).unwrap() >= BEGIN + seconds(1200));
    assert_eq!(ended.record(A).unwrap().phase(), Phase::Waiting);
    ended
        .simulator
        .peek(|cloud| assert!(cloud.violations().is_empty(), "{:?}", cloud.violations()));
}

/// The configuration releases it early: ecs-drain does not answer for the instance's losses.
const ABANDONED: Scenario = Scenario {
    config: "[policy]\ndeadline = \"10m\"\nat_deadline = \"abandon\"\n",
    world: crate::endings::ABANDONED_AND_RETAINED.world,
    ..PLAIN
};

#[test]
fn an_abandoned_instance_that_its_group_keeps_is_ended_with_continue_when_someone_terminates_it() {
    let (record, simulator) = while_running(&ABANDONED, async |simulator: Simulator, store| {
        let kept =
            until_record(&simulator, &store, "Retained", |r| r.shown.why == "Retained").await;
        assert_eq!((kept.phase(), kept.outcome()), (Phase::Completing, None), "it is not finished");
        assert!(kept.shown.message.contains("Terminating:Retained"), "{}", kept.shown.message);
        tokio::time::sleep(seconds(900)).await;
        let state = simulator.with(|cloud| cloud.lifecycle_state(A));
        assert_eq!(state.as_deref(), Some("Terminating:Retained"), "kept for a look");
        simulator.with(|cloud| cloud.terminate(A, false).unwrap());
        until_ended(&simulator, &store, Outcome::TimedOut).await
    });
    assert!(record.retained_at.is_some());
    simulator.peek(|cloud| {
        let results: Vec<_> = our_completions(cloud, A).iter().map(|c| c.result).collect();
        assert_eq!(results, [LifecycleResult::Abandon, LifecycleResult::Continue]);
        assert!(cloud.violations().is_empty(), "{:?}", cloud.violations());
    });
}

/// A hook of 30 seconds ends every wait after 50 minutes.
#[test]
fn a_deadline_beyond_the_hooks_own_limit_is_cut_and_said_so() {
    let scenario = Scenario {
        config: "[policy]\ndeadline = \"2h\"\nat_deadline = \"continue\"\n",
        world: |cloud| {
            cluster_under(cloud, vec![our_hook(seconds(30))]);
            cloud.run_task(&StandaloneSpec::new("web", "endless").on(A)).unwrap();
            cloud.checkers.may_be_premature(A);
        },
        ends: &[(A, Outcome::TimedOut)],
        within: seconds(3000),
        ..PLAIN
    };
    let ended = run(&scenario, &Run::default(), |_| {});
    assert_eq!(ended.late, None);
    let record = ended.record(A).unwrap();
    assert!(
        record.history.iter().any(|event| event.what.starts_with("its deadline is cut from ")),
        "{record:#?}"
    );
    assert!(record.deadline.unwrap() < record.global_limit.unwrap());
    ended
        .simulator
        .peek(|cloud| assert!(cloud.violations().is_empty(), "{:?}", cloud.violations()));
}

/// Disconnects the agent and ends the instance: ECS still reports the task as `RUNNING`.
fn silent_and_gone(cloud: &mut Cloud) {
    cloud.set_agent_connected(A, false);
    terminate(cloud, &[A]);
    cloud.kill_instance(A);
}

#[test]
fn a_terminated_instance_is_not_waited_for_although_ecs_calls_its_task_running() {
    let scenario = Scenario { begin: silent_and_gone, ..world(endless) };
    told(&scenario, async |simulator: Simulator, store| {
        until_ended(&simulator, &store, Outcome::Drained).await;
        assert!(elapsed(&simulator) >= seconds(600), "its agent had its grace");
    });
}

#[test]
fn a_terminated_instance_is_waited_for_where_the_policy_says_wait() {
    let scenario = Scenario {
        config: "[policy]\ndisconnected_agent = \"wait\"\n",
        begin: silent_and_gone,
        ..world(endless)
    };
    told(&scenario, async |simulator: Simulator, _| {
        tokio::time::sleep(seconds(1500)).await;
        assert!(held(&simulator));
    });
}

fn silent(cloud: &mut Cloud) {
    cloud.set_agent_connected(A, false);
    terminate(cloud, &[A]);
}

#[test]
fn an_instance_that_may_be_alive_is_waited_for_while_its_agent_is_disconnected() {
    let scenario = Scenario { begin: silent, ..world(endless) };
    told(&scenario, async |simulator: Simulator, _| {
        tokio::time::sleep(seconds(1500)).await;
        assert!(held(&simulator));
    });
}

/// The containers may be running: the policy accepts that.
#[test]
fn an_instance_with_a_disconnected_agent_is_let_go_where_the_policy_excuses_it() {
    let scenario = Scenario {
        config: "[policy]\ndisconnected_agent = \"excuse\"\n",
        world: |cloud| {
            endless(cloud);
            cloud.checkers.may_be_premature(A);
        },
        begin: silent,
        ..PLAIN
    };
    let (_, simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        until_ended(&simulator, &store, Outcome::Drained).await;
        assert!(elapsed(&simulator) >= seconds(600));
    });
    no_violation(&simulator);
}

/// The instance is stopped by hand: its target group reports that, and its tasks are frozen.
#[test]
fn a_stopped_instance_is_not_waited_for_although_ecs_calls_its_task_running() {
    let scenario = world(|cloud| {
        cloud.add_target_group(target_group("web", seconds(20)));
        two_with(cloud, &api(2).target_group("web").times(seconds(60), seconds(5)));
    });
    told(&scenario, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        let arn = simulator.peek(|cloud| cloud.world.elb.arn_of("web").unwrap());
        simulator.with(|cloud| {
            let now = cloud.now();
            // ECS deregisters the unhealthy task's target at once: another target reports for long
            // enough that A is stopped.
            cloud.world.elb.register_target(now, &arn, stray(9999));
            cloud.world.elb.instance_stopped(now, A, &[]);
            cloud.world.ecs.ec2_stopped(A);
        });
        tokio::time::sleep(seconds(120)).await;
        simulator.with(|cloud| cloud.world.elb.deregister_target(cloud.now(), &arn, &stray(9999)));
        until_ended(&simulator, &store, Outcome::Drained).await;
        assert!(elapsed(&simulator) >= seconds(600));
    });
}

/// Dead or not: the drain waits for each target that a balancer still lists.
#[test]
fn a_dead_instance_is_held_while_a_balancer_lists_it() {
    let scenario = Scenario {
        world: |cloud| {
            cloud.add_target_group(target_group("web", seconds(20)));
            two_with(cloud, &api(2).target_group("web"));
        },
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        let arn = simulator.peek(|cloud| cloud.world.elb.arn_of("web").unwrap());
        simulator.with(|cloud| {
            let now = cloud.now();
            cloud.world.elb.register_target(now, &arn, stray(9999));
            cloud.world.elb.instance_stopped(now, A, &[]);
            cloud.world.ecs.ec2_stopped(A);
        });
        tokio::time::sleep(seconds(1200)).await;
        assert!(held(&simulator));
        simulator.with(|cloud| cloud.world.elb.deregister_target(cloud.now(), &arn, &stray(9999)));
        until_ended(&simulator, &store, Outcome::Drained).await;
    });
}

#[test]
fn an_instance_that_another_hook_goes_on_holding_is_done_for_us_and_says_so() {
    let scenario = Scenario {
        world: |cloud| {
            (ANOTHER_HOOK.world)(cloud);
            cloud.put_hook("web-group", hook("backup", seconds(3600)));
        },
        ..ANOTHER_HOOK
    };
    told(&scenario, async |simulator: Simulator, store| {
        let says = |record: &Record| {
            record.shown.message.contains("still held by the group's other hooks: backup")
        };
        let record = until_record(&simulator, &store, "still held", says).await;
        assert_eq!(record.outcome(), Some(Outcome::Drained));
        simulator.with(|cloud| {
            assert_eq!(cloud.lifecycle_state(A).as_deref(), Some("Terminating:Wait"));
            let ours: Vec<_> = cloud.completed(A).into_iter().map(|c| (c.hook, c.result)).collect();
            assert_eq!(ours, [(HOOK.to_owned(), LifecycleResult::Continue)]);
        });
    });
}

/// The group gets the ecs-drain hook while another hook holds the instance already: the new hook
/// has no action for it.
#[test]
fn an_instance_that_waits_since_before_its_group_had_our_hook_is_left_alone() {
    let scenario = world(|cloud| {
        cluster_under(cloud, vec![hook("backup", seconds(3600))]);
        cloud.add_service(&api(2));
    });
    told(&scenario, async |simulator: Simulator, store| {
        until_state(&simulator, "Terminating:Wait").await;
        simulator.with(|cloud| cloud.put_hook("web-group", our_hook(seconds(600))));
        tokio::time::sleep(seconds(900)).await;
        assert_eq!(record(&store, A).await, None);
        let status = simulator.with(|cloud| cloud.container_instance_status(A));
        assert_eq!(status, [("web".to_owned(), "ACTIVE")]);
        // The next instance waits under it.
        simulator.with(|cloud| cloud.terminate(B, true).unwrap());
        until(&simulator, "B is drained", async || {
            record(&store, B).await.is_some_and(|b| b.is_done())
        })
        .await;
    });
}

/// Requires that a `DRAINING` set by ecs-drain is undone at the end: A lives on.
fn lives_on(cloud: &mut Cloud) {
    cluster_with_warm_pool(cloud);
    cloud.add_service(&api(2));
    cloud.checkers.must_be_active(A);
}

#[test]
fn an_instance_that_goes_back_to_its_warm_pool_is_active_when_it_is_used_again() {
    let scenario =
        Scenario { begin: |cloud| assert!(cloud.return_to_warm_pool(A)), ..world(lives_on) };
    told(&scenario, async |simulator: Simulator, store| {
        let returning = until_phase(&simulator, &store, Phase::Returning).await;
        assert_eq!(returning.shown.why, "WaitingForReturn");
        tokio::time::sleep(seconds(900)).await;
        let resting =
            simulator.with(|cloud| (cloud.lifecycle_state(A), cloud.container_instance_status(A)));
        assert_eq!(
            resting,
            (Some("Warmed:Stopped".to_owned()), vec![("web".to_owned(), "DRAINING")])
        );
        assert!(simulator.with(|cloud| cloud.return_from_warm_pool(A)));
        until_ended(&simulator, &store, Outcome::Drained).await;
        let status = simulator.with(|cloud| cloud.container_instance_status(A));
        assert_eq!(status, [("web".to_owned(), "ACTIVE")]);
    });
}

/// The ecs-drain action has ended, and another hook still holds the old wait for minutes: that is
/// not a new wait.
#[test]
fn an_instance_that_another_hook_holds_on_its_way_to_the_warm_pool_is_active_when_it_is_used_again()
{
    let begin: fn(&mut Cloud) = |cloud| {
        cloud.put_hook("web-group", hook("backup", seconds(900)));
        assert!(cloud.return_to_warm_pool(A));
    };
    told(&Scenario { begin, ..world(lives_on) }, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Returning).await;
        until_state(&simulator, "Warmed:Stopped").await;
        assert!(simulator.with(|cloud| cloud.return_from_warm_pool(A)));
        until_ended(&simulator, &store, Outcome::Drained).await;
        let status = simulator.with(|cloud| cloud.container_instance_status(A));
        assert_eq!(status, [("web".to_owned(), "ACTIVE")]);
    });
}

/// The group terminates it out of a wait that another hook still holds, before any read: the next
/// wait is a new one, although every read shows the instance waiting.
#[test]
fn an_instance_that_is_terminated_while_another_hook_holds_its_new_root_volume_is_drained_anew() {
    let begin: fn(&mut Cloud) = |cloud| {
        cloud.put_hook("web-group", hook("backup", seconds(7200)));
        assert!(cloud.replace_root_volume(A));
    };
    let scenario = Scenario { begin, ..world(cluster_with_warm_pool) };
    let (begins_after, simulator) =
        while_running(&scenario, async |simulator: Simulator, store| {
            until_phase(&simulator, &store, Phase::Returning).await;
            // Heartbeats that no action accepts are sent ever less often.
            tokio::time::sleep(seconds(3000)).await;
            simulator.with(|cloud| cloud.terminate(A, true).unwrap());
            let terminated = tokio::time::Instant::now();
            until(&simulator, "a drain begins", async || {
                record(&store, A).await.is_some_and(|r| r.generation == 2)
            })
            .await;
            terminated.elapsed()
        });
    assert!(
        begins_after < seconds(180),
        "a heartbeat was due half an hour later: {begins_after:?}"
    );
    no_violation(&simulator);
}

#[test]
fn an_instance_that_gets_a_new_root_volume_is_active_when_it_is_back() {
    let scenario =
        Scenario { begin: |cloud| assert!(cloud.replace_root_volume(A)), ..world(lives_on) };
    told(&scenario, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Returning).await;
        until_ended(&simulator, &store, Outcome::Drained).await;
        assert_eq!(simulator.with(|cloud| cloud.lifecycle_state(A)).as_deref(), Some("InService"));
    });
}

/// It gets its volume and serves again, because its hook is deleted during the wait: its drain
/// ends, and no `DRAINING` is left behind.
#[test]
fn an_instance_that_lives_on_is_let_be_when_its_wait_is_lost() {
    let scenario =
        Scenario { begin: |cloud| assert!(cloud.replace_root_volume(A)), ..world(lives_on) };
    told(&scenario, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        simulator.with(|cloud| cloud.delete_hook("web-group", HOOK));
        until_ended(&simulator, &store, Outcome::WaitLost).await;
        assert_eq!(simulator.with(|cloud| cloud.lifecycle_state(A)).as_deref(), Some("InService"));
    });
}

#[test]
fn a_budget_makes_the_second_instance_of_a_cluster_wait_its_turn() {
    let scenario = Scenario {
        config: "[policy]\nhold_lifecycle = true\n",
        world: |cloud| {
            cluster(cloud, &[A, B, C]);
            cloud.add_service(&api(3));
        },
        begin: |cloud| terminate(cloud, &[A, B]),
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        until(&simulator, "WaitsForTurn", async || {
            record(&store, B)
                .await
                .is_some_and(|r| r.phase() == Phase::Pending && r.shown.why == "WaitsForTurn")
        })
        .await;
        let first = until_ended(&simulator, &store, Outcome::Drained).await;
        until(&simulator, "both", async || record(&store, B).await.is_some_and(|r| r.is_done()))
            .await;
        let second = record(&store, B).await.unwrap();
        assert_eq!(second.outcome(), Some(Outcome::Drained));
        let begun =
            second.history.iter().find(|event| event.phase == Phase::Deregistering).unwrap();
        assert!(begun.at >= first.phase_since, "{:#?}", second.history);
    });
}
