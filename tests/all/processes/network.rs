//! Drains over a network that delays, cuts, garbles, and answers in AWS's place. An incomplete
//! answer is a failure, and never means that something is gone.

use super::rig::{Rig, elapsed};
use super::stories::{is_done, terminate, world};
use crate::harness::{group, our_hook, seconds};
use crate::scenarios::{A, B, C};
use aws_simulator::proxy::Mishap;
use aws_simulator::spec::{ClusterSpec, StandaloneSpec};
use ecs_drain_state::Phase;
use jiff::Timestamp;
use std::thread;
use std::time::Duration;

/// The share of each mishap, in thousandths of all requests: a quarter of all requests meets one.
pub const SHARES: [(Mishap, u32); 12] = [
    (Mishap::Delayed, 50),
    (Mishap::RequestCut, 20),
    (Mishap::AnswerCut, 20),
    (Mishap::BodyShort, 20),
    (Mishap::BodyGone, 20),
    (Mishap::HalfClosed, 20),
    (Mishap::HeadGarbled, 20),
    (Mishap::BodyGarbled, 20),
    (Mishap::GatewayError, 20),
    (Mishap::GatewayTimeout, 20),
    (Mishap::Swallowed, 10),
    (Mishap::Unanswered, 10),
];

/// Returns the seed of this run: a new one each time, or the one that `ECS_DRAIN_TEST_SEED`
/// repeats.
pub fn seed() -> u64 {
    let given = std::env::var("ECS_DRAIN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| Timestamp::now().as_second().unsigned_abs())
}

/// Three drains of two processes, with the bad network between them and AWS, and one of the
/// processes killed every few seconds. Then the network is calm, and everything ends.
pub fn through_a_bad_network() {
    let seed = seed();
    println!("the bad network's seed is {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut rig = Rig::with_table("bad-network", "", world);
    let proxy = rig.put_between(seed);
    proxy.strike(&SHARES);
    let rig = rig;
    let mut replicas = [rig.start(), rig.start()];
    let mut waiting = vec![C, B, A];
    while elapsed(&rig) < Duration::from_secs(50) {
        if let Some(instance) = waiting.pop() {
            terminate(&rig, instance);
        }
        thread::sleep(Duration::from_millis(random.u64(6_000..12_000)));
        // A process that could not start has ended; the service manager starts it again, as it does
        // after a kill.
        let which = random.usize(..2);
        replicas[which].replace();
    }
    proxy.calm();
    for replica in &mut replicas {
        if !replica.runs() {
            replica.replace();
        }
    }
    rig.until("the end of all", || {
        [A, B, C].iter().all(|instance| is_done(&rig, instance)).then_some(())
    });
    for instance in [A, B, C] {
        rig.expect_drained(instance);
    }
    let struck = proxy.struck();
    println!("of {} requests so many were struck: {struck:?}", proxy.requests());
    assert!(struck.len() > Mishap::ALL.len() / 2, "hardly anything went wrong: {struck:?}");
}

/// While a task runs for two minutes, every list of tasks is answered with `200 OK` and no body.
/// That is not the same as no tasks.
pub fn answers_lose_their_bodies() {
    let mut rig = Rig::with_table("lost-bodies", "", |cloud| {
        cloud.add_cluster(&ClusterSpec::new("web"));
        let mut spec = group("web-group", "web", &[A, B]);
        spec.hooks = vec![our_hook(seconds(60))];
        cloud.add_group(spec);
        cloud.run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(140))).unwrap();
    });
    let proxy = rig.put_between(1);
    let rig = rig;
    let _process = rig.start();
    terminate(&rig, A);
    rig.until_phase(A, Phase::Waiting);
    proxy.strike_only("ListTasks", &[(Mishap::BodyGone, 1000)]);
    // The list that was read before is valid for a minute; after it, there are only lost ones.
    rig.until("two minutes", || (elapsed(&rig) > Duration::from_secs(120)).then_some(()));
    assert!(proxy.struck().contains_key(&Mishap::BodyGone));
    rig.expect_kept();
    assert!(!is_done(&rig, A));
    proxy.calm();
    rig.until_phase(A, Phase::Done);
    rig.expect_drained(A);
}
