//! The crash matrix: every scenario again, with the process dying, or a fault striking, at every
//! single call.
//!
//! Points that cannot differ are tried once:
//!
//! - A read that only repeats an earlier one, without a write to a record or to AWS since, is the
//!   same point in the life of a drain; so is every renewal of the lease. Of each such row, the
//!   first call is tried with all faults. The last one is tried only with those that depend on
//!   their moment: death, and an old answer.
//! - A read changes nothing, so it is the same if it is lost before or after it was applied. The
//!   program repeats a failed read in the same way whatever the fault, so reads meet those kinds of
//!   fault in turn.
//! - Only a read of AWS can have an old answer, and only a list a partial one.
//!
//! With `ECS_DRAIN_MATRIX=every` each call is tried with each kind of fault that can strike it.

use crate::harness::{Ended, Run, Scenario, run};
use crate::night::NIGHTLY;
use crate::scenarios::MATRIX;
use aws_simulator::log::Entry;
use aws_simulator::{Fault, Rule};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most calls that a scenario of the matrix may make; larger fleets are simulated by seed
/// instead.
const MOST_CALLS: u64 = 800;

/// Returns the scenario with a longer poll interval: fewer repeated calls, and so fewer equal
/// points.
fn slower(scenario: &Scenario) -> Scenario {
    let config = match scenario.config.split_once("[policy]\n") {
        Some((before, rules)) if !rules.contains("poll = ") => {
            format!("{before}[policy]\npoll = \"15s\"\n{rules}")
        }
        Some(_) => scenario.config.to_owned(),
        None => format!("{}[policy]\npoll = \"15s\"\n", scenario.config),
    };
    Scenario { config: config.leak(), ..scenario.clone() }
}

/// Plays one scenario with every kind of fault at every call.
fn matrix(scenario: &Scenario) {
    let scenario = &slower(scenario);
    let plain = run(scenario, &Run::default(), |_| {});
    plain.expect_good();
    let calls = plain.calls;
    assert!(
        calls <= MOST_CALLS,
        "{} makes {calls} calls, too many for an exhaustive matrix",
        scenario.name
    );
    play(scenario, calls, &points(&plain));
}

/// Plays one scenario with a death before and after each call that changes something, and with its
/// answer lost.
fn deaths(scenario: &Scenario) {
    let scenario = &slower(scenario);
    let plain = run(scenario, &Run::default(), |_| {});
    plain.expect_good();
    let changing: BTreeSet<u64> = plain.simulator.peek(|cloud| {
        let changing = cloud.log.entries().iter().filter(|entry| writes(entry));
        changing.filter_map(|entry| entry.number).collect()
    });
    let kills = [Fault::CrashBefore, Fault::CrashAfter, Fault::FailAfter];
    let points = points(&plain).into_iter();
    let points: Vec<_> =
        points.filter(|(call, fault)| changing.contains(call) && kills.contains(fault)).collect();
    play(scenario, plain.calls, &points);
}

/// Plays a scenario once for each point, on all cores.
fn play(scenario: &Scenario, calls: u64, points: &[(u64, Fault)]) {
    let next = AtomicUsize::new(0);
    let lives = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some((call, fault)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ended = run(scenario, &Run::default(), |cloud| {
                        cloud.faults.add(Rule::at_call(*call, *fault))
                    });
                    lives.fetch_add(ended.lives, Ordering::Relaxed);
                    if let Some(complaint) = ended.complaint() {
                        failures.lock().unwrap().push((*call, *fault, complaint, ended.calls()));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let summary = format!(
        "{}: {calls} calls, {} points, {} lives, {} failed",
        scenario.name,
        points.len(),
        lives.into_inner(),
        failures.len()
    );
    println!("crash matrix: {summary}");
    tell(scenario.name, &summary);
    if let Some((call, fault, complaint, log)) = failures.first() {
        let all: Vec<_> =
            failures.iter().map(|(call, fault, ..)| format!("{call} {fault}")).collect();
        panic!(
            "{}: call {call}, {fault}:\n{complaint}\n\n{log}\n\nall failures: {}",
            scenario.name,
            all.join("; ")
        );
    }
}

/// Returns every call with every fault, except those that cannot differ from another.
fn points(plain: &Ended) -> Vec<(u64, Fault)> {
    plain.simulator.peek(|cloud| {
        let every = std::env::var("ECS_DRAIN_MATRIX").is_ok_and(|which| which == "every");
        let tried = without_repeats(cloud.log.entries());
        let calls = cloud.log.entries().iter().filter_map(|entry| Some((entry.number?, entry)));
        let mut points = Vec::new();
        for (number, call) in calls {
            let is_tried = |fault: &Fault| match every {
                true => fault.applies_to(call),
                false => {
                    differs(*fault, call, number)
                        && tried
                            .get(&number)
                            .is_some_and(|repeats| !repeats || depends_on_when(*fault))
                }
            };
            points.extend(Fault::ALL.into_iter().filter(is_tried).map(|fault| (number, fault)));
        }
        points
    })
}

/// Returns true if a fault at this call, by its number, can differ from every other kind that is
/// tried at it.
fn differs(fault: Fault, call: &Entry, number: u64) -> bool {
    // A message that is received is hidden from then on.
    let is_read = !changes(call) && call.operation != "ReceiveMessage";
    let (turn, other_turn) = (number % 3, number % 2);
    match fault {
        Fault::FailAfter | Fault::LateApply(_) | Fault::HangAfter | Fault::CrashAfter => !is_read,
        // Only reads of AWS lag; only entries of a list can be on a page of their own, or fail
        // alone.
        Fault::Stale(_) => fault.applies_to(call),
        Fault::PartialPage => fault.applies_to(call) && other_turn == 0,
        Fault::Failures => fault.applies_to(call) && (turn == 1 || !is_read),
        Fault::LeavesOut => fault.applies_to(call) && turn == 2,
        Fault::FailBefore => !is_read || turn == 0,
        Fault::Http500 => !is_read || turn == 1,
        Fault::Throttle => !is_read || turn == 2,
        Fault::Hang => !is_read || other_turn == 0,
        Fault::AccessDenied => !is_read || other_turn == 1,
        Fault::CrashBefore => true,
    }
}

/// Returns true if the harm of a fault at the last call of a row may differ from that at its first.
fn depends_on_when(fault: Fault) -> bool {
    matches!(fault, Fault::CrashBefore | Fault::CrashAfter | Fault::Stale(_))
}

/// Returns the numbers of the controller's calls, without those in the middle of a row of equal
/// ones; with true for each that only repeats an earlier one.
fn without_repeats(log: &[Entry]) -> BTreeMap<u64, bool> {
    let mut tried = BTreeMap::new();
    let ends = |(first, last)| [(last, true), (first, false)];
    // First and last of each row since the last write.
    let mut rows: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    for entry in log {
        let Some(number) = entry.number else { continue };
        if writes(entry) {
            let renewals =
                rows.extract_if(.., |(operation, _), _| operation == "UpdateItem").collect();
            let others = std::mem::replace(&mut rows, renewals);
            tried.extend(others.into_values().flat_map(ends));
            tried.insert(number, false);
        } else {
            rows.entry((entry.operation.clone(), entry.summary.clone()))
                .or_insert((number, number))
                .1 = number;
        }
    }
    tried.extend(rows.into_values().flat_map(ends));
    tried
}

/// Returns true if a call changes a record, or anything of AWS except the time that an instance is
/// held or a message hidden.
fn writes(call: &Entry) -> bool {
    let renews = call.operation == "UpdateItem" && call.summary.contains("lease/");
    let holds =
        ["ReceiveMessage", "RecordLifecycleActionHeartbeat"].contains(&call.operation.as_str());
    changes(call) && !renews && !holds
}

/// Returns true if a call changes anything.
fn changes(call: &Entry) -> bool {
    let reads = ["Describe", "List", "Get", "BatchGet", "Query"];
    !reads.iter().any(|read| call.operation.starts_with(read))
}

/// Writes the summary where `tests/run` finds it: test runners hide the output of passing tests.
fn tell(name: &str, summary: &str) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("crash-matrix");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), format!("{summary}\n")).unwrap();
}

/// Creates a test for each scenario of a list, and a list of the names that have one.
macro_rules! matrices {
    ($list:ident, $tested:ident: $($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        $(
            #[test]
            $(#[$attribute])*
            fn $name() {
                let name = stringify!($name).replace('_', "-");
                matrix($list.iter().find(|s| s.name == name).unwrap());
            }
        )*

        const $tested: &[&str] = &[$(stringify!($name)),*];
    };
}

matrices!(MATRIX, BY_DAY:
    plain,
    instance_targets,
    ip_and_classic,
    daemon_and_standalone,
    another_hook,
    two_at_once,
    not_in_cluster,
    deregister,
    operator_keep,
    operator_terminate,
    operator_cancel,
    spot_interruption,
    standalone_stopped,
    abandoned_and_retained,
    back_from_the_warm_pool,
    forced,
);

// Too long for every run: these run at night.
matrices!(NIGHTLY, BY_NIGHT:
    #[ignore = "nightly"]
    root_volume,
    #[ignore = "nightly"]
    dead_instance,
    #[ignore = "nightly"]
    rebalanced,
    #[ignore = "nightly"]
    network_settles,
    #[ignore = "nightly"]
    task_set,
    #[ignore = "nightly"]
    groups_balancer,
    #[ignore = "nightly"]
    protected,
    #[ignore = "nightly"]
    two_clusters,
    #[ignore = "nightly"]
    budget,
    #[ignore = "nightly"]
    deadline,
    #[ignore = "nightly"]
    paused,
    #[ignore = "nightly"]
    hook_deleted,
    #[ignore = "nightly"]
    active_again,
    #[ignore = "nightly"]
    pooled_in_mid_drain,
    #[ignore = "nightly"]
    rollout,
    #[ignore = "nightly"]
    rollout_in_waves,
);

/// Its whole matrix takes minutes: it is played at night.
#[test]
fn a_rollout_survives_deaths_at_each_change() {
    deaths(&crate::rollouts::REPLACED);
}

/// No scenario is left out.
#[test]
fn every_scenario_has_its_matrix() {
    for (tested, listed) in [(BY_DAY, MATRIX), (BY_NIGHT, NIGHTLY)] {
        let tested: Vec<_> = tested.iter().map(|name| name.replace('_', "-")).collect();
        let listed: Vec<_> = listed.iter().map(|scenario| scenario.name.to_owned()).collect();
        assert_eq!(tested, listed);
    }
}
