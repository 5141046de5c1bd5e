//! Bad input from AWS and from people: hooks and groups that vanish, instances that die, records
//! that were edited by hand, configurations that name too much. Each drain gets a clear end, and
//! nothing is lost.

use crate::harness::{
    CONFIG, HOOK, Run, Scenario, environment, group, hook, our_completions, our_hook, record, run,
    seconds, set_up, somebody, virtual_time,
};
use crate::operators::{KEEP, drain, order_once};
use crate::queue::Said;
use crate::scenarios::{
    A, B, C, INSTANCE_TARGETS, PLAIN, cluster, cluster_under, cluster_with_warm_pool,
};
use crate::story::{
    BUSY, beside, break_phase, busy, delete_record, held, no_violation, run_for, until,
    until_phase, while_running, write_schema,
};
use aws_simulator::autoscaling::How;
use aws_simulator::spec::{ClusterSpec, GroupSpec, ServiceSpec, StandaloneSpec, WarmPoolSpec};
use aws_simulator::{BEGIN, CallInfo, Cloud, Fault, Matcher, Rule, Simulator};
use ecs_drain::config::{Config, Given};
use ecs_drain::controller::run_with_ids;
use ecs_drain::store::{Ids, Saved};
use ecs_drain_state::{ActionResult, Outcome, Phase, Record, Then};
use futures_util::future::{Either, select};
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

#[test]
fn a_hook_that_vanishes_ends_the_drain_as_lost() {
    let (record, simulator) = while_running(&BUSY, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        simulator.with(|cloud| cloud.delete_hook("web-group", HOOK));
        until_phase(&simulator, &store, Phase::Done).await
    });
    assert_eq!(record.outcome(), Some(Outcome::WaitLost));
    simulator.peek(|cloud| {
        assert!(our_completions(cloud, A).iter().all(|c| c.how == How::HookDeleted));
        assert_eq!(
            cloud.log.count("CompleteLifecycleAction"),
            0,
            "nothing is told once the wait is lost"
        );
    });
}

#[test]
fn a_group_that_is_deleted_ends_the_drain_as_gone() {
    let (record, simulator) = while_running(&BUSY, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        simulator.with(|cloud| cloud.delete_group("web-group"));
        until_phase(&simulator, &store, Phase::Done).await
    });
    assert!(
        matches!(record.outcome(), Some(Outcome::InstanceGone | Outcome::WaitLost)),
        "{:?}",
        record.outcome()
    );
    simulator.peek(|cloud| assert_eq!(cloud.log.count("CompleteLifecycleAction"), 0));
}

#[test]
fn an_instance_that_dies_in_mid_drain_is_not_waited_for_for_ever() {
    let (record, simulator) = while_running(&BUSY, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        simulator.with(|cloud| cloud.kill_instance(A));
        until_phase(&simulator, &store, Phase::Done).await
    });
    assert!(
        matches!(record.outcome(), Some(Outcome::Drained | Outcome::InstanceGone)),
        "{:?}",
        record.outcome()
    );
    no_violation(&simulator);
}

/// Its agent was connected, so ECS has deregistered it: it waits under the hook, and is in no
/// cluster.
#[test]
fn an_instance_that_died_before_its_group_noticed_is_let_go() {
    let scenario = Scenario {
        begin: |cloud| cloud.kill_instance(A),
        ends: &[(A, Outcome::NotInCluster)],
        world: |cloud| {
            cluster(cloud, &[A, B]);
            cloud.add_service(&ServiceSpec::replica("web", "api", 2));
        },
        within: seconds(3600),
        ..PLAIN
    };
    run(&scenario, &Run::default(), |_| {}).expect_good();
}

#[test]
fn an_instance_that_is_registered_twice_is_drained_twice() {
    let scenario = Scenario {
        world: |cloud| {
            cluster(cloud, &[A, B]);
            cloud.add_cluster(&ClusterSpec::new("batch"));
            let now = cloud.now();
            cloud.world.ecs.register_instance(now, "batch", A, 1024, 2048);
            cloud
                .run_task(&StandaloneSpec::new("batch", "job").on(A).duration(seconds(200)))
                .unwrap();
        },
        ..PLAIN
    };
    let ended = run(&scenario, &Run::default(), |_| {});
    ended.expect_good();
    assert_eq!(ended.record(A).unwrap().container_instances.len(), 2);
    assert!(
        ended.at(A).unwrap() >= BEGIN + seconds(200),
        "the task in the other cluster was waited for"
    );
}

#[test]
fn an_agent_that_registers_again_in_mid_drain_is_drained_too() {
    let (record, simulator) = while_running(&BUSY, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        simulator.with(|cloud| {
            let now = cloud.now();
            cloud.world.ecs.register_instance(now, "web", A, 1024, 2048);
            cloud.add_service(&ServiceSpec::replica("web", "late", 2));
        });
        until_phase(&simulator, &store, Phase::Done).await
    });
    assert_eq!(record.container_instances.len(), 2, "{record:#?}");
    no_violation(&simulator);
}

#[test]
fn two_of_our_hooks_on_one_group_hold_and_are_never_completed() {
    let scenario = Scenario {
        world: |cloud| {
            cluster_under(cloud, vec![our_hook(seconds(60)), hook("ecs-drain-2", seconds(60))]);
            cloud.checkers.our_hook("ecs-drain-2");
        },
        ..PLAIN
    };
    let text = CONFIG.replace(r#"["ecs-drain"]"#, r#"["ecs-drain", "ecs-drain-2"]"#);
    virtual_time(1, || async {
        let (simulator, store) = set_up(&scenario, 1).await;
        simulator.with(scenario.begin);
        simulator.with(|cloud| cloud.set_replicas_up(1));
        let config = Config::parse(&text, "two", &Given::default()).unwrap();
        run_for(&simulator, config, seconds(1800)).await;
        assert!(held(&simulator), "both are held, far beyond their timeouts");
        assert!(record(&store, A).await.is_none());
        no_violation(&simulator);
    });
}

/// A record that a person has broken stops its drain. The instance is held; once the record is
/// repaired, the drain continues.
#[test]
fn a_record_edited_by_hand_stands_still_and_goes_on_when_it_is_repaired() {
    let scenario = Scenario {
        world: |cloud| {
            cluster_under(cloud, vec![our_hook(seconds(60))]);
            cloud
                .run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(120)))
                .unwrap();
        },
        ..PLAIN
    };
    let (_, simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        break_phase(&simulator, "Wating").await;
        tokio::time::sleep(seconds(900)).await;
        assert!(held(&simulator), "held while its record cannot be read");
        break_phase(&simulator, "Waiting").await;
        until_phase(&simulator, &store, Phase::Done).await
    });
    no_violation(&simulator);
}

#[test]
fn a_record_that_is_deleted_in_mid_drain_is_opened_again() {
    let (record, simulator) = while_running(&BUSY, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        delete_record(&simulator).await;
        until_phase(&simulator, &store, Phase::Done).await
    });
    assert_eq!(record.outcome(), Some(Outcome::Drained));
    no_violation(&simulator);
}

/// The table is restored from a backup that has a drain unfinished, which has ended since. The
/// process that ended it believes the table.
#[test]
fn a_drain_that_a_restored_table_shows_unfinished_ends_once_more() {
    let scenario = Scenario {
        world: |cloud| {
            (KEEP.world)(cloud);
            cloud.dynamodb.back_up();
        },
        ..KEEP
    };
    let (outcomes, simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        order_once(&simulator, &store, drain(Then::Keep)).await;
        until_phase(&simulator, &store, Phase::Verifying).await;
        let backup = simulator.now();
        let first = until_phase(&simulator, &store, Phase::Done).await;
        // By now the process knows that no drain is unfinished.
        tokio::time::sleep(seconds(60)).await;
        simulator.with(|cloud| cloud.restore_tables(backup)).unwrap();
        let restored = record(&store, A).await.unwrap();
        assert_eq!(restored.phase(), Phase::Verifying);
        let second = until_phase(&simulator, &store, Phase::Done).await;
        [first.outcome(), second.outcome()]
    });
    assert_eq!(outcomes, [Some(Outcome::Drained); 2]);
    no_violation(&simulator);
}

/// Another controller has opened a drain where this controller's record was deleted: the record
/// belongs to that controller, and the instance is held.
#[test]
fn a_record_that_is_another_controllers_by_now_is_left_alone() {
    let ((), simulator) = while_running(&BUSY, async |simulator: Simulator, store| {
        let ours = until_phase(&simulator, &store, Phase::Waiting).await;
        delete_record(&simulator).await;
        let theirs =
            Record { controller: "other".to_owned(), generation: ours.generation + 1, ..ours };
        let Saved::Saved(theirs) = store.create(theirs).await.unwrap() else {
            panic!("the key was free")
        };
        tokio::time::sleep(seconds(1200)).await;
        assert_eq!(record(&store, A).await.as_ref(), Some(&*theirs), "nobody has written it");
        assert!(held(&simulator));
    });
    no_violation(&simulator);
}

/// Its hook waits for a minute at a time: without heartbeats the instance would be gone long before
/// the end.
#[test]
fn a_record_of_a_newer_program_is_left_alone_and_its_instance_held() {
    let scenario = Scenario {
        world: |cloud| {
            busy(cloud, seconds(300));
            cloud.put_hook("web-group", our_hook(seconds(60)));
        },
        ..BUSY
    };
    let ((), simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        let newer = until_phase(&simulator, &store, Phase::Waiting).await;
        write_schema(&simulator, 2).await;
        tokio::time::sleep(seconds(1200)).await;
        assert!(held(&simulator));
        assert!(matches!(
            store.get(&newer.key()).await.unwrap(),
            Some(ecs_drain::store::Read::Newer { schema: 2 })
        ));
    });
    no_violation(&simulator);
}

#[test]
fn a_service_that_can_never_be_replaced_is_held_not_let_go() {
    let scenario = Scenario {
        world: |cloud| {
            cluster_under(cloud, vec![our_hook(seconds(300))]);
            cloud.add_service(&ServiceSpec::replica("web", "api", 2).percents(100, 100));
        },
        ..PLAIN
    };
    let (_, simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        tokio::time::sleep(seconds(2 * 3600)).await;
        assert!(held(&simulator));
        let record = record(&store, A).await.unwrap();
        assert_eq!((record.phase(), record.shown.why.as_str()), (Phase::Waiting, "TasksLeft"));
        assert!(
            record.version < 12,
            "nothing is written while it merely waits: {}",
            record.version
        );
    });
    no_violation(&simulator);
}

fn stuck_world(cloud: &mut Cloud) {
    cluster_under(cloud, vec![our_hook(seconds(300)), hook("backup", seconds(7200))]);
    cloud.add_service(&ServiceSpec::replica("web", "api", 2).percents(100, 100));
    cloud.checkers.may_be_premature(A);
}

#[test]
fn at_its_deadline_an_instance_is_let_go_when_the_policy_says_continue() {
    let scenario = Scenario {
        config: "[policy]\ndeadline = \"20m\"\nat_deadline = \"continue\"\n",
        world: stuck_world,
        ends: &[(A, Outcome::TimedOut)],
        within: seconds(1800),
        ..PLAIN
    };
    let ended = run(&scenario, &Run::default(), |_| {});
    assert_eq!(ended.late, None);
    assert!(ended.at(A).unwrap() >= BEGIN + seconds(1200));
    let record = ended.record(A).unwrap();
    assert!(record.intent().unwrap().reason.contains("deadline"), "the order is in the record");
    assert_eq!(
        ended.simulator.peek(|c| c.lifecycle_state(A)).as_deref(),
        Some("Terminating:Wait"),
        "others go on"
    );
}

#[test]
fn at_its_deadline_an_instance_is_abandoned_when_the_policy_says_so() {
    let scenario = Scenario {
        config: "[policy]\ndeadline = \"20m\"\nat_deadline = \"abandon\"\n",
        world: stuck_world,
        ends: &[(A, Outcome::Abandoned)],
        within: seconds(1800),
        ..PLAIN
    };
    let ended = run(&scenario, &Run::default(), |_| {});
    assert_eq!(ended.late, None);
    ended.simulator.peek(|cloud| {
        assert_eq!(
            our_completions(cloud, A)[0].result,
            aws_simulator::autoscaling::LifecycleResult::Abandon
        );
    });
}

/// A dry run reads what a controller reads, and changes nothing, in AWS and in the table.
#[test]
fn a_dry_run_changes_nothing() {
    virtual_time(1, || async {
        let (simulator, store) = set_up(&INSTANCE_TARGETS, 1).await;
        simulator.with(INSTANCE_TARGETS.begin);
        let given = Given { dry_run: Some(true), ..Given::default() };
        let config = Config::parse(CONFIG, "dry", &given).unwrap();
        run_for(&simulator, config, seconds(1800)).await;
        assert!(store.all().await.unwrap().is_empty(), "nothing in the table");
        simulator.peek(|cloud| {
            assert!(
                cloud.log.count("DescribeContainerInstances") > 0,
                "it reads the drain's instance"
            );
            for entry in cloud.log.entries().iter().filter(|e| e.number.is_some()) {
                let reads = ["Describe", "List", "Get", "Query"];
                assert!(
                    reads.iter().any(|r| entry.operation.starts_with(r)),
                    "a dry run made the call {entry}"
                );
            }
            assert_eq!(cloud.container_instance_status(A)[0].1, "ACTIVE");
        });
    });
}

#[test]
fn an_instance_of_a_cluster_that_is_not_configured_is_held_and_left_alone() {
    let scenario =
        Scenario { world: |cloud| cluster_under(cloud, vec![our_hook(seconds(60))]), ..PLAIN };
    let text = format!("{CONFIG}clusters = [\"other-*\"]\n");
    virtual_time(1, || async {
        let (simulator, store) = set_up(&scenario, 1).await;
        simulator.with(scenario.begin);
        simulator.with(|cloud| cloud.set_replicas_up(1));
        let config = Config::parse(&text, "other", &Given::default()).unwrap();
        run_for(&simulator, config, seconds(1200)).await;
        assert!(held(&simulator));
        assert!(record(&store, A).await.is_none());
        simulator.peek(|cloud| assert_eq!(cloud.container_instance_status(A)[0].1, "ACTIVE"));
    });
}

/// Someone makes the instance ACTIVE again in mid-drain, as another tool would.
#[test]
fn an_instance_made_active_again_is_drained_again() {
    let (record, simulator) = while_running(&BUSY, async |simulator: Simulator, store| {
        let waiting = until_phase(&simulator, &store, Phase::Waiting).await;
        let session =
            ecs_drain::aws::connect(&somebody(&simulator), "us-east-1", None).await.unwrap();
        let arn = waiting.container_instances[0].arn.clone();
        session.ecs.set_state("web", &[arn], ecs_drain::aws::State::Active).await.unwrap();
        until_phase(&simulator, &store, Phase::Done).await
    });
    assert!(
        record.history.iter().any(|e| e.what.contains("ACTIVE again")),
        "{:#?}",
        record.history
    );
    no_violation(&simulator);
}

/// A wall clock that jumps, both ways and by hours, shortens no wait.
#[test]
fn a_clock_that_jumps_lets_nothing_go_early() {
    for jump in [-7_200_000, 7_200_000] {
        virtual_time(1, || async {
            let (simulator, store) = set_up(&INSTANCE_TARGETS, 1).await;
            simulator.with(INSTANCE_TARGETS.begin);
            simulator.with(|cloud| cloud.set_replicas_up(1));
            let skew = Arc::new(AtomicI64::new(0));
            let config = crate::harness::config(&INSTANCE_TARGETS);
            let environment = environment(&simulator, "replica-0", &skew);
            let life = ecs_drain::controller::run_with_ids(
                config,
                environment,
                Ids::seeded(7),
                std::future::pending(),
            );
            let story = async {
                until_phase(&simulator, &store, Phase::Waiting).await;
                skew.store(jump, Ordering::Relaxed);
                until_phase(&simulator, &store, Phase::Done).await
            };
            match select(pin!(story), pin!(life)).await {
                Either::Left((record, _)) => assert_eq!(record.outcome(), Some(Outcome::Drained)),
                Either::Right((ended, _)) => panic!("the controller has ended: {ended:?}"),
            }
            no_violation(&simulator);
        });
    }
}

/// Each kind of read is denied for ten minutes in turn: the drain waits, and ends correctly.
#[test]
fn reads_that_are_denied_for_a_while_cost_time_alone() {
    let reads = [
        "DescribeContainerInstances",
        "ListTasks",
        "DescribeTasks",
        "DescribeServices",
        "DescribeTargetHealth",
        "DescribeAutoScalingGroups",
        "DescribeLifecycleHooks",
        "ListClusters",
        "ListContainerInstances",
    ];
    for read in reads {
        let ended = run(
            &Scenario { within: seconds(1800), ..INSTANCE_TARGETS },
            &Run::default(),
            |cloud| {
                cloud.faults.add(
                    Rule::on(read, Fault::AccessDenied)
                        .between(BEGIN + seconds(1), BEGIN + seconds(600)),
                );
            },
        );
        if let Some(complaint) = ended.complaint() {
            panic!("{read}: {complaint}");
        }
    }
}

/// A record that cannot be read is deleted, as the log advises: its drain begins anew.
#[test]
fn an_unreadable_record_that_is_deleted_is_opened_again() {
    let (record, simulator) = while_running(&BUSY, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        break_phase(&simulator, "Wating").await;
        tokio::time::sleep(seconds(120)).await;
        delete_record(&simulator).await;
        until_phase(&simulator, &store, Phase::Done).await
    });
    assert_eq!(record.outcome(), Some(Outcome::Drained));
    no_violation(&simulator);
}

/// The reason of a wait can change while the drain stays as it is: the record shows the new reason
/// within minutes.
#[test]
fn a_drain_that_cannot_look_any_more_says_so_in_its_record() {
    while_running(&BUSY, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        simulator.with(|cloud| {
            cloud.faults.add(Rule::on("DescribeContainerInstances", Fault::AccessDenied));
            cloud.faults.add(Rule::on("DescribeTasks", Fault::AccessDenied));
        });
        tokio::time::sleep(seconds(420)).await;
        let record = record(&store, A).await.unwrap();
        assert_eq!(record.shown.why, "Unknown", "{}", record.shown.message);
        assert!(record.shown.message.contains("AccessDenied"), "{}", record.shown.message);
    });
}

/// ecs-drain may drain and may not complete: the instance is held, and the record has the error.
/// After ten minutes heartbeats stop and the hook's own timeout ends the wait: to hold it for ever
/// would take the group's capacity.
#[test]
fn a_completion_that_is_denied_for_good_is_left_to_the_hook() {
    let scenario = Scenario {
        world: |cloud| {
            cluster_under(cloud, vec![our_hook(seconds(300))]);
            cloud.faults.add(Rule::on("CompleteLifecycleAction", Fault::AccessDenied));
        },
        ..PLAIN
    };
    let ((), simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Completing).await;
        let beats = || simulator.peek(|cloud| cloud.log.count("RecordLifecycleActionHeartbeat"));
        let before = beats();
        tokio::time::sleep(seconds(570)).await;
        assert!(held(&simulator), "it is held while an operator may mend it");
        assert!(beats() >= before + 5, "a heartbeat each 100 s: {}", beats() - before);
        let error = record(&store, A).await.unwrap().last_error.unwrap().what;
        assert!(error.contains("autoscaling:CompleteLifecycleAction"), "{error}");
        tokio::time::sleep(seconds(60)).await;
        let last = beats();
        tokio::time::sleep(seconds(600)).await;
        assert_eq!(beats(), last, "heartbeats have stopped");
        assert!(!held(&simulator), "its hook let it go");
    });
    simulator.peek(|cloud| {
        let others: Vec<_> =
            cloud.violations().iter().filter(|one| one.checker != "hook expired").collect();
        assert!(others.is_empty(), "{others:?}");
    });
}

/// Two controllers share a table and a hook: the one that opened the drain ends it.
#[test]
fn a_record_of_another_controller_is_left_alone_and_its_instance_held() {
    virtual_time(1, || async {
        let (simulator, store) = set_up(&BUSY, 1).await;
        simulator.with(BUSY.begin);
        let theirs = CONFIG.replace("controller = \"test\"", "controller = \"theirs\"");
        let config = |text: &str| Config::parse(text, "test.toml", &Given::default()).unwrap();
        run_for(&simulator, config(&theirs), seconds(60)).await;
        let before = record(&store, A).await.unwrap();
        assert_eq!((before.controller.as_str(), before.is_done()), ("theirs", false));
        run_for(&simulator, config(CONFIG), seconds(3 * 3600)).await;
        assert_eq!(record(&store, A).await.unwrap(), before);
        assert!(held(&simulator), "its hour was over long ago");
        no_violation(&simulator);
    });
}

/// Two controllers, each with its own hook on one group, and an instance that lives on: the drain
/// of the first waits until the instance is in service again, and until then the hook of the second
/// holds it.
#[test]
fn a_drain_whose_part_is_over_makes_way_for_another_controllers() {
    virtual_time(1, || async {
        let scenario = Scenario {
            world: |cloud| {
                cluster_under(cloud, vec![our_hook(seconds(3600)), hook("theirs", seconds(3600))]);
                cloud.checkers.our_hook("theirs");
            },
            ..PLAIN
        };
        let (simulator, store) = set_up(&scenario, 1).await;
        assert!(simulator.with(|cloud| cloud.replace_root_volume(A)));
        simulator.with(|cloud| cloud.set_replicas_up(2));
        let theirs =
            CONFIG.replace("\"test\"", "\"theirs\"").replace("[\"ecs-drain\"]", "[\"theirs\"]");
        let config = |text: &str| Config::parse(text, "test.toml", &Given::default()).unwrap();
        let place = environment(&simulator, "replica-1", &Arc::new(AtomicI64::new(0)));
        let other = run_with_ids(config(&theirs), place, Ids::seeded(8), std::future::pending());
        let ended = until(&simulator, "both have drained it", async || {
            let done = record(&store, A)
                .await
                .is_some_and(|record| record.generation == 2 && record.is_done());
            done && simulator.with(|cloud| cloud.lifecycle_state(A)).as_deref() == Some("InService")
        });
        let both = async {
            if let Either::Right((ended, _)) = select(pin!(ended), pin!(other)).await {
                panic!("the other controller has ended: {ended:?}");
            }
        };
        beside(&simulator, config(CONFIG), both).await;
        assert_eq!(record(&store, A).await.unwrap().outcome(), Some(Outcome::Drained));
        let hooks = simulator
            .with(|cloud| cloud.completed(A))
            .into_iter()
            .map(|completion| completion.hook);
        assert_eq!(
            hooks.collect::<BTreeSet<_>>(),
            BTreeSet::from(["ecs-drain".to_owned(), "theirs".to_owned()])
        );
        no_violation(&simulator);
    });
}

/// An old registration stays in a cluster that the configuration leaves out: nothing is changed
/// there, and the instance is not drained in its other cluster alone.
#[test]
fn an_instance_that_is_also_in_a_cluster_that_is_not_configured_is_held_until_it_is_not() {
    let scenario = Scenario {
        config: "clusters = [\"web\"]\n",
        world: |cloud| {
            cluster_under(cloud, vec![our_hook(seconds(60))]);
            cloud.add_cluster(&ClusterSpec::new("batch"));
            let now = cloud.now();
            cloud.world.ecs.register_instance(now, "batch", A, 1024, 2048);
        },
        ..PLAIN
    };
    let said = Said::from_now_on();
    let ((), simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        tokio::time::sleep(seconds(1200)).await;
        assert!(held(&simulator));
        assert!(record(&store, A).await.is_none());
        assert_eq!(simulator.peek(|cloud| cloud.log.count("UpdateContainerInstancesState")), 0);
        let session =
            ecs_drain::aws::connect(&somebody(&simulator), "us-east-1", None).await.unwrap();
        let old = session.ecs.list_container_instances("batch", &[A.to_owned()]).await.unwrap();
        session.ecs.deregister("batch", &old[0]).await.unwrap();
        let record = until_phase(&simulator, &store, Phase::Done).await;
        assert_eq!(record.outcome(), Some(Outcome::Drained));
    });
    no_violation(&simulator);
    let lines = said.lines("its cluster is not in `clusters`; heartbeats continue");
    assert!(lines.len() == 1 && lines[0].contains(A) && lines[0].contains("batch"), "{lines:?}");
    simulator.peek(|cloud| {
        let changes = ["UpdateContainerInstancesState", "DeregisterContainerInstance", "StopTask"];
        let ours = cloud
            .log
            .entries()
            .iter()
            .filter(|e| e.number.is_some() && changes.contains(&&*e.operation));
        let there: Vec<String> =
            ours.filter(|e| e.summary.contains("cluster=batch")).map(ToString::to_string).collect();
        assert!(there.is_empty(), "{there:?}");
    });
}

/// The hooks of its group are not known: the record names the one that holds the instance, and only
/// that one gets heartbeats.
#[test]
fn while_hooks_cannot_be_read_a_drain_beats_its_own_hook_alone() {
    let scenario = Scenario {
        world: |cloud| {
            cloud.checkers.our_hook("second");
            cluster_under(cloud, vec![our_hook(seconds(300))]);
            cloud
                .run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(5000)))
                .unwrap();
        },
        ..PLAIN
    };
    let text = CONFIG.replace(r#"["ecs-drain"]"#, r#"["ecs-drain", "second"]"#);
    virtual_time(1, || async {
        let (simulator, store) = set_up(&scenario, 1).await;
        simulator.with(scenario.begin);
        let config = || Config::parse(&text, "two", &Given::default()).unwrap();
        run_for(&simulator, config(), seconds(180)).await;
        assert_eq!(record(&store, A).await.unwrap().phase(), Phase::Waiting);
        simulator.with(|cloud| {
            cloud.faults.add(Rule::on("DescribeLifecycleHooks", Fault::AccessDenied));
            cloud.log.clear();
        });
        run_for(&simulator, config(), seconds(1200)).await;
        let beats = |hook: &str| {
            let under = format!("LifecycleHookName={hook} ");
            simulator.peek(|cloud| {
                let beats = cloud
                    .log
                    .entries()
                    .iter()
                    .filter(|e| e.operation == "RecordLifecycleActionHeartbeat");
                beats.filter(|e| format!("{} ", e.summary).contains(&under)).count()
            })
        };
        let (own, second) = (beats(HOOK), beats("second"));
        assert!((8..=20).contains(&own), "{own}: one each 100 s");
        // Until the table has been read once, both can get a heartbeat.
        assert!(second <= 2, "{second}");
        assert!(held(&simulator));
        no_violation(&simulator);
    });
}

/// An operator completed the ecs-drain hook's action, and another hook still holds the instance:
/// ecs-drain cannot make that wait longer.
#[test]
fn a_hook_that_does_not_hold_its_drains_instance_any_more_is_said_once() {
    let scenario = Scenario {
        world: |cloud| {
            cluster_under(cloud, vec![our_hook(seconds(60)), hook("backup", seconds(7200))]);
            cloud
                .run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(5000)))
                .unwrap();
            cloud.checkers.may_be_premature(A);
        },
        ..PLAIN
    };
    let said = Said::from_now_on();
    while_running(&scenario, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        let session =
            ecs_drain::aws::connect(&somebody(&simulator), "us-east-1", None).await.unwrap();
        session.urgent.complete("web-group", HOOK, A, ActionResult::Continue).await.unwrap();
        tokio::time::sleep(seconds(600)).await;
        assert_eq!(
            record(&store, A).await.unwrap().phase(),
            Phase::Waiting,
            "the other hook holds it"
        );
    });
    let lines = said.lines("Hook no longer holds the instance");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!([A, "web-group", HOOK].iter().all(|name| lines[0].contains(name)), "{lines:?}");
}

/// The instance rests in its warm pool, and meanwhile its group is removed from the configuration.
/// Only `DescribeWarmPool` shows the members of a pool here.
#[test]
fn a_drain_that_rests_in_a_warm_pool_ends_well_although_its_group_is_not_selected_any_more() {
    let scenario = Scenario {
        world: |cloud| {
            cloud.world.autoscaling.instances_list_warm_pool = false;
            cluster_with_warm_pool(cloud);
            cloud.add_service(&ServiceSpec::replica("web", "api", 2).times(seconds(5), seconds(5)));
            cloud.checkers.must_be_active(A);
        },
        begin: |cloud| assert!(cloud.return_to_warm_pool(A)),
        ..PLAIN
    };
    virtual_time(1, || async {
        let (simulator, store) = set_up(&scenario, 1).await;
        simulator.with(scenario.begin);
        let narrowed = format!("{CONFIG}groups = {{ names = [\"other-*\"] }}\n");
        let config = |text: &str| Config::parse(text, "test.toml", &Given::default()).unwrap();
        run_for(&simulator, config(CONFIG), seconds(900)).await;
        assert_eq!(record(&store, A).await.unwrap().phase(), Phase::Returning);
        let story = async {
            tokio::time::sleep(seconds(900)).await;
            let resting = record(&store, A).await.unwrap();
            assert_eq!(
                (resting.phase(), resting.shown.why.as_str()),
                (Phase::Returning, "WaitingForReturn")
            );
            assert!(simulator.with(|cloud| cloud.return_from_warm_pool(A)));
            until_phase(&simulator, &store, Phase::Done).await
        };
        let record = beside(&simulator, config(&narrowed), story).await;
        assert_eq!(record.outcome(), Some(Outcome::Drained));
        let status = simulator.with(|cloud| cloud.container_instance_status(A));
        assert_eq!(status, [("web".to_owned(), "ACTIVE")]);
        no_violation(&simulator);
    });
}

/// The cluster that is left out cannot be searched when the drain begins: the registration there is
/// found later, and left alone.
#[test]
fn an_instance_that_is_found_late_in_a_cluster_that_is_not_configured_is_held_until_it_is_not() {
    let scenario = Scenario {
        config: "clusters = [\"web\"]\n",
        world: |cloud| {
            (BUSY.world)(cloud);
            cloud.add_cluster(&ClusterSpec::new("batch"));
            let now = cloud.now();
            cloud.world.ecs.register_instance(now, "batch", A, 1024, 2048);
        },
        ..BUSY
    };
    let ((), simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        let batch = |call: &CallInfo| {
            call.operation == "ListContainerInstances" && call.summary.contains("batch")
        };
        simulator.with(|cloud| {
            cloud.faults.add(Rule::new(Matcher::Predicate(Arc::new(batch)), Fault::AccessDenied))
        });
        until_phase(&simulator, &store, Phase::Waiting).await;
        simulator.with(|cloud| cloud.faults.clear());
        tokio::time::sleep(seconds(3000)).await;
        assert!(held(&simulator));
        let message = record(&store, A).await.unwrap().shown.message;
        assert!(message.contains("cluster batch"), "{message}");
        let session =
            ecs_drain::aws::connect(&somebody(&simulator), "us-east-1", None).await.unwrap();
        let old = session.ecs.list_container_instances("batch", &[A.to_owned()]).await.unwrap();
        session.ecs.deregister("batch", &old[0]).await.unwrap();
        let record = until_phase(&simulator, &store, Phase::Done).await;
        assert_eq!(record.outcome(), Some(Outcome::Drained));
    });
    no_violation(&simulator);
    simulator.peek(|cloud| {
        let changes = ["UpdateContainerInstancesState", "DeregisterContainerInstance", "StopTask"];
        let ours = cloud
            .log
            .entries()
            .iter()
            .filter(|e| e.number.is_some() && changes.contains(&&*e.operation));
        assert_eq!(ours.filter(|e| e.summary.contains("cluster=batch")).count(), 0);
    });
}

/// The registrations of one service cannot be read for ten minutes: its tasks are read now and then
/// meanwhile.
#[test]
fn a_service_that_cannot_be_described_is_not_asked_for_without_a_pause() {
    let ((), simulator) = while_running(&PLAIN, async |simulator: Simulator, store| {
        simulator.with(|cloud| cloud.faults.add(Rule::on("DescribeServices", Fault::AccessDenied)));
        until(&simulator, "its drain begins", async || record(&store, A).await.is_some()).await;
        let calls = || simulator.peek(|cloud| cloud.log.count("DescribeTasks"));
        let before = calls();
        tokio::time::sleep(seconds(600)).await;
        let made = calls() - before;
        assert!((5..60).contains(&made), "{made} in ten minutes");
        simulator.with(|cloud| cloud.faults.clear());
        until_phase(&simulator, &store, Phase::Done).await;
    });
    no_violation(&simulator);
}

/// No call for a warm pool is answered. An instance of another group begins to wait under a hook of
/// a minute, at any moment of a read of the groups, and is held.
#[test]
fn a_warm_pool_that_is_not_answered_holds_up_no_heartbeat() {
    let scenario = Scenario {
        world: |cloud| {
            cluster_under(cloud, vec![our_hook(seconds(60))]);
            let warm_pool = Some(WarmPoolSpec { reuse_on_scale_in: true, min_size: 1 });
            cloud.add_group(GroupSpec { warm_pool, ..group("pool-group", "web", &[C]) });
            cloud.add_service(&ServiceSpec::replica("web", "api", 2).times(seconds(5), seconds(5)));
        },
        begin: |cloud| cloud.faults.add(Rule::on("DescribeWarmPool", Fault::Hang)),
        ..PLAIN
    };
    for begins in [80, 90, 100, 110, 120, 130, 140, 150] {
        let ((), simulator) = while_running(&scenario, async |simulator: Simulator, store| {
            tokio::time::sleep(seconds(begins)).await;
            simulator.with(|cloud| cloud.terminate(A, false).unwrap());
            let record = until_phase(&simulator, &store, Phase::Done).await;
            assert_eq!(record.outcome(), Some(Outcome::Drained), "it begins at {begins} s");
        });
        no_violation(&simulator);
        simulator
            .peek(|cloud| assert!(our_completions(cloud, A).iter().all(|c| c.how == How::Called)));
    }
}

/// The drain's cluster is removed from the configuration during the drain: the drain still runs to
/// its end.
#[test]
fn a_drain_continues_after_its_cluster_was_removed_from_the_configuration() {
    virtual_time(1, || async {
        let (simulator, store) = set_up(&BUSY, 1).await;
        simulator.with(BUSY.begin);
        let config = |text: &str| Config::parse(text, "test.toml", &Given::default()).unwrap();
        run_for(&simulator, config(CONFIG), seconds(60)).await;
        assert!(!record(&store, A).await.unwrap().is_done());
        run_for(&simulator, config(&format!("{CONFIG}clusters = [\"batch\"]\n")), seconds(1200))
            .await;
        assert_eq!(record(&store, A).await.unwrap().outcome(), Some(Outcome::Drained));
        no_violation(&simulator);
    });
}

/// A drain does not need another group's warm pool.
#[test]
fn a_warm_pool_that_cannot_be_read_holds_up_no_other_group() {
    let scenario = Scenario {
        world: |cloud| {
            cluster(cloud, &[A, B]);
            let warm_pool = Some(WarmPoolSpec { reuse_on_scale_in: true, min_size: 1 });
            cloud.add_group(GroupSpec { warm_pool, ..group("pool-group", "web", &[C]) });
            cloud.add_service(&ServiceSpec::replica("web", "api", 2).times(seconds(5), seconds(5)));
        },
        ..PLAIN
    };
    let drained_at = |denied: bool| {
        let ended = run(&scenario, &Run::default(), |cloud| {
            let pool = Matcher::Predicate(Arc::new(|call| {
                call.operation == "DescribeWarmPool" && call.summary.contains("pool-group")
            }));
            if denied {
                cloud.faults.add(Rule::new(pool, Fault::AccessDenied));
            }
        });
        ended.expect_good();
        let refused = |cloud: &mut Cloud| {
            let mut calls =
                cloud.log.entries().iter().filter(|entry| entry.operation == "DescribeWarmPool");
            calls.any(|entry| entry.outcome.contains("AccessDenied"))
        };
        assert_eq!(ended.simulator.peek(refused), denied, "the pool is read, and refused");
        assert!(ended.count("DescribeWarmPool") > 0);
        ended.at(A).expect("it is let go")
    };
    let (read, denied) = (drained_at(false), drained_at(true));
    assert!(denied <= read + seconds(10), "{denied:?} and not {read:?}");
}
