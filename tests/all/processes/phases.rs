//! Six drains, each in another phase, when the leading process freezes or is asked to stop. A
//! second process is there.

use super::process::Process;
use super::rig::Rig;
use super::stories::{is_done, terminate};
use crate::harness::{group, our_hook, seconds};
use aws_simulator::spec::{ClusterSpec, ServiceSpec, StandaloneSpec, WarmPoolSpec};
use aws_simulator::{Cloud, Fault, Matcher, Rule};
use ecs_drain_state::Phase;
use std::sync::Arc;

/// A cluster for each phase, with one instance that is drained and one that stays. Clusters do not
/// wait for each other.
struct Place {
    cluster: &'static str,
    leaves: &'static str,
    stays: &'static str,
    phase: Phase,
}

const fn place(
    cluster: &'static str,
    leaves: &'static str,
    stays: &'static str,
    phase: Phase,
) -> Place {
    Place { cluster, leaves, stays, phase }
}

const PLACES: [Place; 6] = [
    place("pending", PENDING, "i-0000000000000001b", Phase::Pending),
    place("deregistering", DEREGISTERING, "i-0000000000000002b", Phase::Deregistering),
    place("waiting", WAITING, "i-0000000000000003b", Phase::Waiting),
    place("verifying", VERIFYING, "i-0000000000000004b", Phase::Verifying),
    place("completing", COMPLETING, "i-0000000000000005b", Phase::Completing),
    place("returning", RETURNING, "i-0000000000000006b", Phase::Returning),
];

const PENDING: &str = "i-0000000000000001a";
const DEREGISTERING: &str = "i-0000000000000002a";
const WAITING: &str = "i-0000000000000003a";
const VERIFYING: &str = "i-0000000000000004a";
const COMPLETING: &str = "i-0000000000000005a";
/// Goes to its group's warm pool.
const RETURNING: &str = "i-0000000000000006a";

fn world(cloud: &mut Cloud) {
    for Place { cluster, leaves, stays, phase } in PLACES {
        cloud.add_cluster(&ClusterSpec::new(cluster));
        let mut spec = group(&format!("{cluster}-group"), cluster, &[leaves, stays]);
        spec.hooks = vec![our_hook(seconds(60))];
        let pool = WarmPoolSpec { reuse_on_scale_in: true, min_size: 0 };
        spec.warm_pool = (phase == Phase::Returning).then_some(pool);
        cloud.add_group(spec);
        cloud.add_service(&ServiceSpec::replica(cluster, "api", 2).times(seconds(3), seconds(5)));
    }
    // Still running when all other drains have reached their phases.
    let job = StandaloneSpec::new("waiting", "job").on(WAITING).duration(seconds(150));
    cloud.run_task(&job).unwrap();
    cloud.checkers.must_be_active(RETURNING);
}

/// Keeps a drain in its phase, by this fault of every call of an operation on it.
fn keep(cloud: &mut Cloud, operation: &'static str, on: &'static str, fault: Fault) {
    let these = move |call: &aws_simulator::fault::CallInfo| {
        call.operation == operation && call.summary.contains(on)
    };
    cloud.faults.add(Rule::new(Matcher::Predicate(Arc::new(these)), fault));
}

/// Starts two processes, the first of which leads, and a drain in each phase, three of them kept
/// there by faults.
fn in_every_phase<'r>(rig: &'r Rig, fault: Fault) -> (Process<'r>, Process<'r>) {
    rig.simulator.with(|cloud| {
        keep(cloud, "ListTasks", "cluster=pending", fault);
        keep(cloud, "UpdateContainerInstancesState", "cluster=deregistering", fault);
        keep(cloud, "CompleteLifecycleAction", COMPLETING, fault);
    });
    let first = rig.start();
    rig.until_leads(&first);
    let second = rig.start();
    for instance in [PENDING, DEREGISTERING, WAITING, COMPLETING] {
        terminate(rig, instance);
    }
    assert!(rig.simulator.with(|cloud| cloud.return_to_warm_pool(RETURNING)));
    // The proof takes two minutes. The other drain begins its own meanwhile.
    rig.until_phase(COMPLETING, Phase::Verifying);
    let begun = rig.simulator.now();
    rig.until("a part of the proof", || (rig.simulator.now() > begun + seconds(35)).then_some(()));
    terminate(rig, VERIFYING);
    rig.until("a drain in each phase", || {
        let there = |place: &Place| {
            rig.record(place.leaves).is_some_and(|record| record.phase() == place.phase)
        };
        PLACES.iter().all(there).then_some(())
    });
    (first, second)
}

/// Lets all drains end well, the one in the warm pool once its instance is used again.
fn finish(rig: &Rig) {
    let pooled = || {
        rig.simulator.with(|cloud| cloud.lifecycle_state(RETURNING)).as_deref()
            == Some("Warmed:Stopped")
    };
    rig.until("the warm pool", || pooled().then_some(()));
    assert!(rig.simulator.with(|cloud| cloud.return_from_warm_pool(RETURNING)));
    rig.until("the end of all", || {
        PLACES.iter().all(|place| is_done(rig, place.leaves)).then_some(())
    });
    for place in PLACES {
        rig.expect_drained(place.leaves);
    }
}

/// SIGSTOP for longer than the lease, in the middle of calls without an answer, and SIGCONT after
/// another process has moved its drains further: it continues with knowledge that is no longer
/// true.
pub fn stands_still_in_every_phase() {
    let rig = Rig::with_table("stands-still", "", world);
    let (mut first, mut second) = in_every_phase(&rig, Fault::Hang);
    first.stand_still();
    rig.mend();
    rig.until_leads(&second);
    for Place { leaves, phase, .. } in PLACES {
        if [PENDING, DEREGISTERING, COMPLETING].contains(&leaves) {
            rig.until("it moves on", || {
                rig.record(leaves).filter(|record| record.phase() != phase)
            });
        }
    }
    first.go_on();
    finish(&rig);
    assert!(first.runs() && second.runs());
    assert!(
        rig.leader().is_some_and(|holder| second.is_holder(&holder)),
        "who woke up took nothing back"
    );
}

/// SIGTERM: it exits with 0 and leaves its lease to the other process.
pub fn asked_to_stop_in_every_phase() {
    let rig = Rig::with_table("asked-in-every-phase", "", world);
    let (mut first, mut second) = in_every_phase(&rig, Fault::Http500);
    first.terminate();
    assert_eq!(first.ended().code(), Some(0), "{}", first.log());
    assert!(first.log().contains("Lease released"), "{}", first.log());
    assert!(
        rig.leader().is_none_or(|holder| second.is_holder(&holder)),
        "there is no dead lease to wait out"
    );
    rig.mend();
    rig.until_leads(&second);
    finish(&rig);
    assert!(second.runs());
}
