//! Attacks on the proof that everything is gone: targets that outlive their tasks, a proof that
//! breaks, a process that was frozen.

use crate::harness::{Scenario, our_completions, record, seconds, set_up, somebody, virtual_time};
use crate::scenarios::{A, B, INSTANCE_TARGETS, IP_AND_CLASSIC, PLAIN, cluster};
use crate::story::{held, no_violation, only_replica, until_phase, while_running};
use aws_simulator::ecs::InstanceStatus;
use aws_simulator::spec::StandaloneSpec;
use aws_simulator::{BEGIN, CallInfo, Cloud, Fault, Matcher, Rule, SimTime, Simulator};
use ecs_drain::store::Ids;
use ecs_drain_state::{Outcome, Phase, Record};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// A target that outlives its task: someone registered the instance by hand, or a task died before
/// ECS could deregister it. Nothing runs on the instance any more, and it still gets traffic.
#[test]
fn a_registration_that_outlives_its_task_is_waited_for() {
    let stray = || aws_simulator::elb::Target { id: A.to_owned(), port: 9999 };
    let (done, simulator) =
        while_running(&INSTANCE_TARGETS, async |simulator: Simulator, store| {
            simulator.with(|cloud| {
                let (now, arn) = (cloud.now(), cloud.world.elb.arn_of("web").unwrap());
                cloud.world.elb.register_target(now, &arn, stray());
            });
            until_phase(&simulator, &store, Phase::Verifying).await;
            tokio::time::sleep(seconds(600)).await;
            assert!(held(&simulator), "it still gets traffic");
            let record = record(&store, A).await.unwrap();
            assert_eq!(
                (record.phase(), record.shown.why.as_str()),
                (Phase::Verifying, "TargetsLeft")
            );
            assert!(
                record.shown.message.contains("healthy on port 9999"),
                "{}",
                record.shown.message
            );
            simulator.with(|cloud| {
                let (now, arn) = (cloud.now(), cloud.world.elb.arn_of("web").unwrap());
                cloud.world.elb.deregister_target(now, &arn, &stray());
            });
            until_phase(&simulator, &store, Phase::Done).await
        });
    assert_eq!(done.outcome(), Some(Outcome::Drained));
    no_violation(&simulator);
}

/// The same on a classic load balancer, where `OutOfService` does not mean gone.
#[test]
fn a_classic_load_balancer_is_waited_for_until_it_does_not_list_the_instance() {
    let (done, simulator) = while_running(&IP_AND_CLASSIC, async |simulator: Simulator, store| {
        simulator.with(|cloud| {
            let now = cloud.now();
            cloud.world.elb.register_classic(now, "old", A);
        });
        until_phase(&simulator, &store, Phase::Verifying).await;
        simulator.with(|cloud| {
            // ECS has deregistered the instance with its task; someone registers it again.
            let now = cloud.now();
            cloud.world.elb.register_classic(now, "old", A);
        });
        tokio::time::sleep(seconds(300)).await;
        assert!(held(&simulator));
        simulator.with(|cloud| {
            let now = cloud.now();
            cloud.world.elb.deregister_classic(now, "old", A);
        });
        until_phase(&simulator, &store, Phase::Done).await
    });
    assert_eq!(done.outcome(), Some(Outcome::Drained));
    no_violation(&simulator);
}

/// Runs a controller until its drain is Verifying and it has just called `operation`, freezes it
/// while `meanwhile` happens to the world, and lets it continue until the drain is done. A frozen
/// process is not polled, as after SIGSTOP or on a starved machine; it wakes up believing that it
/// leads.
async fn stands_still(
    operation: &str,
    meanwhile: impl AsyncFnOnce(&Simulator),
) -> (Record, Simulator, SimTime) {
    let (simulator, store) = set_up(&INSTANCE_TARGETS, 1).await;
    simulator.with(INSTANCE_TARGETS.begin);
    let config = crate::harness::config(&INSTANCE_TARGETS);
    let replica = only_replica(&simulator);
    let life = ecs_drain::controller::run_with_ids(
        config,
        replica,
        Ids::seeded(7),
        std::future::pending(),
    );
    let mut life = pin!(life);
    let just_called = pin!(async {
        until_phase(&simulator, &store, Phase::Verifying).await;
        let calls = || simulator.peek(|cloud| cloud.log.count(operation));
        let before = calls();
        while calls() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    if let Either::Right((ended, _)) = select(just_called, life.as_mut()).await {
        panic!("the controller has ended: {ended:?}");
    }
    meanwhile(&simulator).await;
    let woken = simulator.now();
    let Either::Left((record, _)) =
        select(pin!(until_phase(&simulator, &store, Phase::Done)), life).await
    else {
        panic!("the controller has ended")
    };
    (record, simulator.clone(), woken)
}

/// The reads before a freeze prove nothing about the time after it.
#[test]
fn a_process_that_stood_still_looks_again_before_it_lets_go() {
    virtual_time(1, || async {
        let still = async |_: &Simulator| tokio::time::sleep(seconds(600)).await;
        let (record, simulator, woken) = stands_still("UpdateItem", still).await;
        assert_eq!(record.outcome(), Some(Outcome::Drained));
        let told = simulator.peek(|cloud| our_completions(cloud, A)[0].at);
        assert!(told >= woken + seconds(70), "told {:?} after it woke", told - woken);
        no_violation(&simulator);
    });
}

/// A freeze in the middle of a pass: its earlier and later reads do not belong together. Meanwhile
/// the instance was `ACTIVE` for some minutes, and no list shows yet the task that was placed on
/// it.
#[test]
fn a_process_that_stood_still_in_the_middle_of_a_look_looks_again() {
    virtual_time(1, || async {
        let active_meanwhile = async |simulator: &Simulator| {
            let late = Rule::on("ListTasks", Fault::Stale(seconds(60)));
            let set =
                |status| simulator.with(|cloud| cloud.set_container_instance_state(A, status));
            simulator.with(|cloud| cloud.faults.add(late));
            set(InstanceStatus::Active);
            tokio::time::sleep(seconds(140)).await;
            simulator.with(|cloud| {
                cloud
                    .run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(300)))
                    .unwrap()
            });
            set(InstanceStatus::Draining);
            tokio::time::sleep(seconds(5)).await;
        };
        let (record, simulator, _) =
            stands_still("DescribeContainerInstances", active_meanwhile).await;
        no_violation(&simulator);
        assert_eq!(record.outcome(), Some(Outcome::Drained));
    });
}

/// The search for a second registration belongs to one proof: when the proof breaks, the next one
/// searches again.
#[test]
fn a_registration_during_a_broken_proof_is_found() {
    let stray = || aws_simulator::elb::Target { id: A.to_owned(), port: 9999 };
    let (record, simulator) =
        while_running(&INSTANCE_TARGETS, async |simulator: Simulator, store| {
            until_phase(&simulator, &store, Phase::Verifying).await;
            // The search has run, and the second check has not.
            tokio::time::sleep(seconds(8)).await;
            simulator.with(|cloud| {
                let (now, arn) = (cloud.now(), cloud.world.elb.arn_of("web").unwrap());
                cloud.world.elb.register_target(now, &arn, stray());
            });
            tokio::time::sleep(seconds(120)).await;
            simulator.with(|cloud| {
                let now = cloud.now();
                cloud.world.ecs.register_instance(now, "web", A, 1024, 2048);
                cloud
                    .run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(400)))
                    .unwrap();
                let arn = cloud.world.elb.arn_of("web").unwrap();
                cloud.world.elb.deregister_target(now, &arn, &stray());
            });
            until_phase(&simulator, &store, Phase::Done).await
        });
    no_violation(&simulator);
    assert_eq!(record.container_instances.len(), 2, "{record:#?}");
}

/// While calls to Auto Scaling fail, an agent that lost its state registers the instance again, and
/// it works again.
#[test]
fn a_registration_while_auto_scaling_cannot_be_told_is_found() {
    let (record, simulator) =
        while_running(&INSTANCE_TARGETS, async |simulator: Simulator, store| {
            simulator.with(|cloud| {
                cloud.faults.add(Rule::on("CompleteLifecycleAction", Fault::Http500))
            });
            until_phase(&simulator, &store, Phase::Completing).await;
            tokio::time::sleep(seconds(30)).await;
            simulator.with(|cloud| {
                let now = cloud.now();
                cloud.world.ecs.register_instance(now, "web", A, 1024, 2048);
                cloud
                    .run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(400)))
                    .unwrap();
            });
            until_phase(&simulator, &store, Phase::Waiting).await;
            simulator.with(|cloud| cloud.faults.clear());
            until_phase(&simulator, &store, Phase::Done).await
        });
    no_violation(&simulator);
    assert_eq!(
        (record.container_instances.len(), record.outcome()),
        (2, Some(Outcome::Drained)),
        "{record:#?}"
    );
}

/// Adds a standalone task that takes four minutes to stop; returns its ARN.
fn slow_job(cloud: &mut Cloud) -> String {
    let mut job = StandaloneSpec::new("web", "job").on(A);
    job.task.stop_time = seconds(240);
    cloud.run_task(&job).unwrap()
}

/// Returns a rule: every list of tasks with this desired status is answered from the world of a
/// minute ago.
fn listed_late(desired: &'static str) -> Rule {
    let of_desired =
        move |call: &CallInfo| call.operation == "ListTasks" && call.summary.contains(desired);
    Rule::new(Matcher::Predicate(Arc::new(of_desired)), Fault::Stale(seconds(60)))
}

/// A stopping task has left the list of running ones, and appears late in the list of stopping
/// ones: it was known before, and is described by its ARN.
#[test]
fn a_known_task_that_two_late_lists_overlook_is_waited_for() {
    let scenario = Scenario {
        config: "[policy]\nstandalone_tasks = { stop_after = \"5m\" }\n",
        world: |cloud| {
            (PLAIN.world)(cloud);
            slow_job(cloud);
            cloud.checkers.allow_stop_tasks(seconds(300));
        },
        ..PLAIN
    };
    let (record, simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        simulator.with(|cloud| cloud.faults.add(listed_late("desiredStatus=STOPPED")));
        until_phase(&simulator, &store, Phase::Done).await
    });
    no_violation(&simulator);
    assert_eq!(record.outcome(), Some(Outcome::Drained));
}

/// The same for a task that no list has shown before it was stopped.
#[test]
fn a_task_that_two_late_lists_overlook_is_waited_for() {
    let idle = Scenario { world: |cloud| cluster(cloud, &[A, B]), ..PLAIN };
    let (record, simulator) = while_running(&idle, async |simulator: Simulator, store| {
        simulator.with(|cloud| {
            let until = cloud.now() + seconds(70);
            cloud.faults.add(listed_late("desiredStatus=STOPPED"));
            cloud.faults.add(listed_late("desiredStatus=RUNNING").between(BEGIN, until));
        });
        let job = simulator.with(slow_job);
        until_phase(&simulator, &store, Phase::Verifying).await;
        tokio::time::sleep(seconds(15)).await;
        let ecs = aws_sdk_ecs::Client::new(&somebody(&simulator).load(Some("us-east-1")).await);
        ecs.stop_task().cluster("web").task(job).send().await.unwrap();
        until_phase(&simulator, &store, Phase::Done).await
    });
    no_violation(&simulator);
    assert_eq!(record.outcome(), Some(Outcome::Drained));
}
