//! The crash matrix: every scenario again, with the process dying, or a fault striking, at every single call.

use crate::harness::{Run, Scenario, run};
use crate::scenarios::MATRIX;
use aws_simulator::{Fault, Rule};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most calls that a scenario of the matrix may make; larger fleets are simulated by seed instead.
const MOST_CALLS: u64 = 400;

/// One scenario, every call, every kind of fault; on all cores.
fn matrix(scenario: &Scenario) {
    let plain = run(scenario, &Run::default(), |_| {});
    plain.expect_good();
    let calls = plain.calls;
    assert!(calls <= MOST_CALLS, "{} makes {calls} calls, too many for an exhaustive matrix", scenario.name);
    let points: Vec<(u64, Fault)> =
        (1..=calls).flat_map(|call| Fault::ALL.into_iter().map(move |fault| (call, fault))).collect();
    let next = AtomicUsize::new(0);
    let lives = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some((call, fault)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ended = run(scenario, &Run::default(), |cloud| cloud.faults.add(Rule::at_call(*call, *fault)));
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
        "{}: {calls} calls x {} faults = {} points, {} lives, {} failed",
        scenario.name,
        Fault::ALL.len(),
        points.len(),
        lives.into_inner(),
        failures.len()
    );
    println!("crash matrix: {summary}");
    tell(scenario.name, &summary);
    if let Some((call, fault, complaint, log)) = failures.first() {
        let all: Vec<_> = failures.iter().map(|(call, fault, ..)| format!("{call} {fault}")).collect();
        panic!("{}: call {call}, {fault}:\n{complaint}\n\n{log}\n\nall failures: {}", scenario.name, all.join("; "));
    }
}

/// Leaves the summary where `tests/run` finds it: test runners hide what passing tests print.
fn tell(name: &str, summary: &str) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("crash-matrix");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), format!("{summary}\n")).unwrap();
}

macro_rules! matrices {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                let name = stringify!($name).replace('_', "-");
                matrix(MATRIX.iter().find(|s| s.name == name).unwrap());
            }
        )*

        /// No scenario of the list is left out.
        #[test]
        fn every_scenario_has_its_matrix() {
            let tested = [$(stringify!($name).replace('_', "-")),*];
            let listed: Vec<_> = MATRIX.iter().map(|s| s.name.to_owned()).collect();
            assert_eq!(tested.to_vec(), listed);
        }
    };
}

matrices!(
    plain,
    instance_targets,
    ip_and_classic,
    daemon_and_standalone,
    another_hook,
    two_at_once,
    not_in_cluster,
    deregister,
);
