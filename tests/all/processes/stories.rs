//! Drains whose processes are killed and stopped, in real time. Nothing here measures time: a drain
//! takes the two minutes of its proof, a dead process's lease 10 s more, and a busy machine as long
//! as it needs.

#[cfg(target_os = "linux")]
use super::full_disk;
use super::network::seed;
use super::rig::{Rig, elapsed};
use super::{network, phases};
use crate::harness::{group, our_hook, seconds};
use crate::scenarios::{A, B, C};
use aws_simulator::elb::{TargetGroupKind, TargetType};
use aws_simulator::spec::{ClusterSpec, ServiceSpec, TargetGroupSpec};
use aws_simulator::{Cloud, Fault, Rule};
use ecs_drain_state::Phase;
use std::thread;
use std::time::Duration;

/// All stories, by name.
pub const ALL: &[(&str, fn())] = &[
    ("killed-in-every-phase", killed_in_every_phase),
    ("killed-at-random", killed_at_random),
    ("asked-to-stop", asked_to_stop),
    ("two-at-once", two_at_once),
    ("through-a-bad-network", network::through_a_bad_network),
    ("answers-lose-their-bodies", network::answers_lose_their_bodies),
    ("stands-still-in-every-phase", phases::stands_still_in_every_phase),
    ("asked-to-stop-in-every-phase", phases::asked_to_stop_in_every_phase),
    #[cfg(target_os = "linux")]
    ("a-full-disk", full_disk::a_full_disk),
];

const COMPLETE: &str = "CompleteLifecycleAction";

/// The instance that stays and takes the tasks of the others.
const STAYS: &str = "i-0000000000000000d";

/// Creates four instances behind an Application Load Balancer. A task leaves in about twenty
/// seconds: its replacement starts and becomes healthy, its target drains, its container stops.
pub fn world(cloud: &mut Cloud) {
    cloud.add_target_group(TargetGroupSpec {
        name: "web".to_owned(),
        kind: TargetGroupKind::Application,
        target_type: TargetType::Instance,
        port: 80,
        deregistration_delay: seconds(5),
        initial_time: seconds(5),
        attached: true,
        settle_time: None,
    });
    cloud.add_cluster(&ClusterSpec::new("web"));
    let mut spec = group("web-group", "web", &[A, B, C, STAYS]);
    // Each process that lives for a few seconds must have sent a heartbeat.
    spec.hooks = vec![our_hook(seconds(60))];
    cloud.add_group(spec);
    cloud.add_service(
        &ServiceSpec::replica("web", "api", 6).target_group("web").times(seconds(3), seconds(5)),
    );
}

pub fn terminate(rig: &Rig, instance: &str) {
    rig.simulator.with(|cloud| cloud.terminate(instance, true).unwrap());
}

pub fn is_done(rig: &Rig, instance: &str) -> bool {
    rig.record(instance).is_some_and(|r| r.is_done())
}

/// One drain, whose process is killed in each phase in turn: while a call without an effect hangs,
/// while a call that was applied hangs, or without a call.
fn killed_in_every_phase() {
    let rig = Rig::with_table("killed-in-every-phase", "", world);
    terminate(&rig, A);
    let lives = [
        // Nothing is done before the registrations are known, which come from the tasks.
        (Phase::Pending, Some(("ListTasks", Fault::Hang))),
        (Phase::Deregistering, Some(("UpdateContainerInstancesState", Fault::Hang))),
        (Phase::Deregistering, Some(("UpdateContainerInstancesState", Fault::HangAfter))),
        (Phase::Waiting, None),
        (Phase::Verifying, None),
        (Phase::Completing, Some((COMPLETE, Fault::Hang))),
        (Phase::Completing, Some((COMPLETE, Fault::HangAfter))),
    ];
    for (phase, fault) in lives {
        let struck = fault.map(|(operation, fault)| rig.strike(Rule::on(operation, fault)));
        let process = rig.start();
        rig.until_phase(A, phase);
        if let Some(struck) = struck {
            struck.happened(&rig);
        }
        process.kill();
        let record = rig.record(A).unwrap();
        println!(
            "killed after {:?} in {}: {}",
            elapsed(&rig),
            record.phase(),
            record.shown.message
        );
        assert_eq!(record.phase(), phase, "it was killed while the table said so");
        rig.mend();
    }
    let mut process = rig.start();
    rig.until_phase(A, Phase::Done);
    rig.expect_drained(A);
    // Once more, with nothing left to do.
    process.kill();
    let told = rig.told(A);
    process = rig.start();
    rig.until_leads(&process);
    thread::sleep(Duration::from_secs(5));
    assert!(process.runs(), "{}", process.log());
    assert_eq!(rig.told(A), told, "a drain that is done is left alone");
    rig.expect_drained(A);
}

/// Three drains of two processes that are killed at random moments: for a while every few seconds,
/// and again when the first drain ends. `ECS_DRAIN_TEST_SEED` repeats a run's moments.
fn killed_at_random() {
    let seed = seed();
    println!(
        "the seed is {seed}: ECS_DRAIN_TEST_SEED={seed} repeats the moments at which processes are killed"
    );
    let mut random = fastrand::Rng::with_seed(seed);
    let rig = Rig::with_table("killed-at-random", "", world);
    let instances = [A, B, C];
    let starts: Vec<_> =
        instances.iter().map(|_| Duration::from_millis(random.u64(0..40_000))).collect();
    let mut waiting: Vec<_> = instances.into_iter().zip(starts).collect();
    let mut begin_due = |rig: &Rig| {
        waiting.retain(|(instance, at)| {
            let due = *at <= elapsed(rig);
            if due {
                terminate(rig, instance);
            }
            !due
        });
        waiting.is_empty()
    };
    // Two of them: a process that lives for less than the lease of a dead one never leads, and no
    // drain would make progress.
    let mut replicas = [rig.start(), rig.start()];
    let mut kill = |random: &mut fastrand::Rng| {
        let which = random.usize(..2);
        println!("replica {which} is killed after {:?}", elapsed(&rig));
        replicas[which].replace();
    };
    while !begin_due(&rig) || elapsed(&rig) < Duration::from_secs(70) {
        thread::sleep(Duration::from_millis(random.u64(3_000..10_000)));
        kill(&mut random);
    }
    rig.until("the first end", || instances.iter().find(|i| rig.told(i) > 0 || is_done(&rig, i)));
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(random.u64(0..1_500)));
        kill(&mut random);
    }
    rig.until("the end of all", || instances.iter().all(|i| is_done(&rig, i)).then_some(()));
    for instance in instances {
        rig.expect_drained(instance);
    }
}

/// SIGTERM during a drain: without a call in progress, while a call hangs, and twice.
fn asked_to_stop() {
    let rig = Rig::with_table("asked-to-stop", "shutdown = \"5s\"\n", world);
    terminate(&rig, A);
    let mut first = rig.start();
    rig.until_phase(A, Phase::Waiting);
    first.terminate();
    assert_eq!(first.ended().code(), Some(0), "{}", first.log());
    assert!(first.log().contains("Lease released"), "{}", first.log());
    assert_eq!(rig.leader(), None, "the lease is free");
    assert!(!is_done(&rig, A));

    // The next process acts at once: the lease is its own from the first read on. A mere read is
    // dropped at once: so a change hangs here.
    terminate(&rig, B);
    let hang = rig.strike(Rule::on("UpdateContainerInstancesState", Fault::Hang));
    let mut second = rig.start();
    rig.until_leads(&second);
    hang.happened(&rig);
    let log = second.log();
    assert!(log.contains("Leadership gained"), "{log}");
    second.terminate();
    assert_eq!(second.ended().code(), Some(0), "{}", second.log());
    assert!(second.log().contains("Shutdown timed out"), "{}", second.log());
    assert_eq!(rig.leader(), None, "the lease is free although a call hung");

    // A second signal does not wait for anything.
    rig.mend();
    let hang = rig.strike(Rule::on("UpdateContainerInstancesState", Fault::Hang));
    let mut third = rig.start();
    hang.happened(&rig);
    third.terminate();
    rig.until("the first signal is heard", || third.log().contains("SIGTERM").then_some(()));
    third.terminate();
    assert_eq!(third.ended().code(), Some(1), "{}", third.log());
    assert!(rig.leader().is_some(), "nobody released the lease");
    rig.mend();

    let _fourth = rig.start();
    rig.until_phase(A, Phase::Done);
    rig.expect_drained(A);
}

/// Two processes at once, as in a deployment. The leader is killed, and a third one starts.
fn two_at_once() {
    let rig = Rig::with_table("two-at-once", "", world);
    terminate(&rig, A);
    let (first, second) = (rig.start(), rig.start());
    rig.until_phase(A, Phase::Waiting);
    let holder = rig.leader().unwrap();
    let (leader, mut follower) =
        if first.is_holder(&holder) { (first, second) } else { (second, first) };
    assert!(leader.is_holder(&holder), "{holder} is one of them");
    terminate(&rig, B);
    leader.kill();
    // The third starts afterwards: a free lease goes to the first process that tries.
    rig.until_leads(&follower);
    let mut third = rig.start();
    for instance in [A, B] {
        rig.until_phase(instance, Phase::Done);
        rig.expect_drained(instance);
    }
    assert!(follower.runs() && third.runs());
}
