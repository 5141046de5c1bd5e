//! Whole fleets from one number: clusters, services, balancers, groups and policies; people, failures and the world at
//! work on them; faults on every kind of call; and controllers that die, stand still and overlap. Then faults stop, and
//! everything must end.
//!
//! ```sh
//! ECS_DRAIN_SEED=7 cargo test --test all fleets::one_seed -- --ignored --nocapture
//! ECS_DRAIN_SEEDS=1000 cargo test --release --test all fleets::many_fleets -- --ignored --nocapture
//! ```

// Most questions here are about one kind of happening or fault out of many.
#![allow(clippy::wildcard_enum_match_arm)]
// Fleets per second are counted in real time.
#![allow(clippy::disallowed_methods)]

mod judge;
mod plan;
mod play;
mod shrink;
mod world;

use aws_simulator::Fault;
use judge::Complaint;
use plan::{Plan, plan};
use play::{Played, play};
use shrink::shrink;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many fleets every run of the tests plays.
const SOME: u64 = 60;

/// What was played, in figures.
#[derive(Default)]
struct Tally {
    fleets: u64,
    took: Duration,
    calls: u64,
    lives: usize,
    outcomes: BTreeMap<&'static str, usize>,
    faults: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn count(&mut self, played: &Played) {
        self.fleets += 1;
        self.took += played.took;
        self.calls += played.calls;
        self.lives += played.lives;
        for (outcome, times) in &played.outcomes {
            *self.outcomes.entry(outcome).or_default() += times;
        }
        played.simulator.peek(|cloud| {
            for entry in cloud.log.entries().iter().filter(|entry| entry.number.is_some()) {
                if let Some(kind) = KINDS.iter().find(|kind| entry.outcome.contains(**kind)) {
                    *self.faults.entry(kind).or_default() += 1;
                }
            }
        });
    }

    fn print(&self, began: Instant) {
        let wall = began.elapsed().as_secs_f64();
        let Tally { fleets, calls, lives, .. } = self;
        let rate = *fleets as f64 / wall;
        let hours = self.took.as_secs_f64() / 3600.0;
        println!(
            "fleets: {fleets} in {wall:.0} s ({rate:.1}/s), {hours:.0} virtual hours, {calls} calls, {lives} lives"
        );
        for (kind, times) in self.outcomes.iter().chain(&self.faults) {
            println!("fleets: {times:>7} {kind}");
        }
    }
}

/// How the log says what struck a call; where one is part of another, the longer comes first.
const KINDS: [&str; 13] = [
    "connection lost, not applied",
    "applied, answer lost",
    "s later",
    "applied, hangs",
    "applied, caller dies",
    "caller dies, not applied",
    "hangs, not applied",
    "the table is away",
    "with the truth of",
    "AccessDenied",
    "500 ",
    "Throttl",
    "ProvisionedThroughputExceeded",
];

/// Plays a plan; a panic anywhere is a complaint like any other.
fn complaints(plan: &Plan, tally: Option<&Mutex<Tally>>) -> Vec<Complaint> {
    match catch_unwind(AssertUnwindSafe(|| play(plan))) {
        Ok(played) => {
            if let Some(tally) = tally {
                tally.lock().unwrap().count(&played);
            }
            played.complaints
        }
        Err(_) => vec![Complaint::new("panic", "see above".to_owned())],
    }
}

/// Plays these seeds on all cores; answers those that fail, in order.
fn failing(seeds: RangeInclusive<u64>, tally: &Mutex<Tally>) -> Vec<(u64, Vec<Complaint>)> {
    let (next, last) = (AtomicU64::new(*seeds.start()), *seeds.end());
    let failed = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > last {
                        return;
                    }
                    let complaints = complaints(&plan(seed), Some(tally));
                    if !complaints.is_empty() {
                        failed.lock().unwrap().insert(seed, complaints);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap().into_iter().collect()
}

/// A failing seed as a story: the smallest plan that fails in the same way, what was broken, and the calls before that.
fn story(seed: u64, first: &Complaint) -> String {
    let same = |plan: &Plan| complaints(plan, None).iter().any(|complaint| complaint.kind == first.kind);
    let smallest = shrink(plan(seed), same);
    let mut text = format!("\n{smallest}\n");
    if let Ok(played) = catch_unwind(AssertUnwindSafe(|| play(&smallest))) {
        let _ = writeln!(text, "after {:?}, {} calls, {} lives:", played.took, played.calls, played.lives);
        text.extend(played.complaints.iter().map(|complaint| format!("  {complaint}\n")));
        let _ = writeln!(text, "\n{}", calls(&played));
    }
    let _ = write!(text, "\nECS_DRAIN_SEED={seed} cargo test --test all fleets::one_seed -- --ignored --nocapture");
    text
}

/// The last calls, without those that only keep the lease and look for work.
fn calls(played: &Played) -> String {
    let dull = ["lease/", "IndexName=", "DescribeAutoScalingGroups", "BatchGetItem", "ReceiveMessage"];
    played.simulator.peek(|cloud| {
        let ours = cloud.log.entries().iter().filter(|entry| entry.number.is_some()).map(ToString::to_string);
        let lines: Vec<_> = ours.filter(|l| !dull.iter().any(|d| l.contains(d)) || !l.ends_with("200")).collect();
        lines[lines.len().saturating_sub(150)..].join("\n")
    })
}

#[track_caller]
fn expect_none(failed: &[(u64, Vec<Complaint>)]) {
    let Some((seed, complaints)) = failed.first() else { return };
    for (seed, complaints) in failed {
        let all: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        println!("seed {seed}: {}", all.join("; "));
    }
    panic!("{} fleets failed; seed {seed}:{}", failed.len(), story(*seed, &complaints[0]));
}

/// A number given by a variable of the environment.
fn given(variable: &str) -> u64 {
    let text = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not given"));
    text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}"))
}

#[test]
fn some_fleets() {
    let (tally, began) = (Mutex::default(), Instant::now());
    let failed = failing(1..=SOME, &tally);
    let tally = tally.into_inner().unwrap();
    tally.print(began);
    expect_none(&failed);
    // Something was really drained, and really went wrong.
    for outcome in ["Drained", "Cancelled", "Released"] {
        assert!(tally.outcomes.contains_key(outcome), "no drain ended as {outcome}");
    }
    assert!(tally.lives as u64 > SOME && tally.faults.len() == KINDS.len(), "{:?}", tally.faults);
}

#[test]
#[ignore = "as many as ECS_DRAIN_SEEDS says"]
fn many_fleets() {
    let (tally, began) = (Mutex::default(), Instant::now());
    let from = std::env::var("ECS_DRAIN_SEED").map_or(1, |_| given("ECS_DRAIN_SEED"));
    let failed = failing(from..=from + given("ECS_DRAIN_SEEDS") - 1, &tally);
    tally.into_inner().unwrap().print(began);
    expect_none(&failed);
}

#[test]
#[ignore = "the one that ECS_DRAIN_SEED names"]
fn one_seed() {
    let seed = given("ECS_DRAIN_SEED");
    println!("{}", plan(seed));
    let complaints = complaints(&plan(seed), None);
    expect_none(&if complaints.is_empty() { Vec::new() } else { vec![(seed, complaints)] });
}

/// Every call, in order, with its time and its answer.
fn log(seed: u64) -> String {
    play(&plan(seed)).simulator.peek(|cloud| cloud.log.to_string())
}

#[test]
fn a_seed_gives_the_same_log_twice() {
    let first = log(1);
    let between = log(2);
    assert_ne!(first, between);
    assert!(first == log(1), "{}", first_difference(&first, &log(1)));
}

fn first_difference(one: &str, other: &str) -> String {
    let lines = one.lines().zip(other.lines()).enumerate();
    let different = lines.filter(|(_, (one, other))| one != other).map(|(n, (one, other))| (n, one, other)).next();
    different.map_or("one is longer".to_owned(), |(n, one, other)| format!("line {n}:\n{one}\n{other}"))
}

/// Each kind of fault is somewhere in the plans: a generator that forgets one would go unnoticed.
#[test]
fn plans_hold_every_kind_of_fault_and_of_happening() {
    let plans: Vec<Plan> = (1..=200).map(plan).collect();
    let strikes: Vec<Fault> = plans.iter().flat_map(|plan| plan.faults.iter().map(|strike| strike.fault)).collect();
    for kind in Fault::ALL {
        let same = |fault: &Fault| std::mem::discriminant(fault) == std::mem::discriminant(&kind);
        assert!(strikes.iter().any(same), "{kind}");
    }
    let mut happenings: Vec<String> = plans
        .iter()
        .flat_map(|plan| &plan.script)
        .map(|(_, what)| format!("{what:?}").split([' ', '(']).next().unwrap_or_default().to_owned())
        .collect();
    happenings.sort();
    happenings.dedup();
    assert_eq!(happenings.len(), 17, "{happenings:?}");
}
