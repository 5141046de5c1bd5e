//! Many seeds on all cores, and their figures.

// Fleets per second are counted in real time.
#![allow(clippy::disallowed_methods)]

use crate::judge::Complaint;
use crate::plan::{Plan, is_variation, plan};
use crate::play::{Played, play};
use crate::situations::{Situation, situations};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The log's names of faults; where one is part of another, the longer comes first.
pub const KINDS: [&str; 16] = [
    "connection lost, not applied",
    "applied, answer lost",
    "s later",
    "applied, hangs",
    "applied, caller dies",
    "caller dies, not applied",
    "hangs, not applied",
    "the table is away",
    "with the truth of",
    "a part of the answer",
    "one entry failed",
    "one entry left out",
    "AccessDenied",
    "500 ",
    "Throttl",
    "ProvisionedThroughputExceeded",
];

/// The figures of the played fleets.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The number of fleets.
    pub fleets: u64,
    /// The duration in real time.
    pub wall: Duration,
    /// The duration in virtual time, summed over all fleets.
    pub took: Duration,
    /// Calls of controllers.
    pub calls: u64,
    /// The number of starts of controllers.
    pub lives: usize,
    /// The number of drains by outcome.
    pub outcomes: BTreeMap<&'static str, usize>,
    /// Calls that a fault struck, by fault.
    pub faults: BTreeMap<&'static str, usize>,
    /// The number of fleets that met each situation.
    pub situations: BTreeMap<Situation, u64>,
    /// The number of fleets by chance alone, without steering.
    pub by_chance: u64,
    /// The number of those that met each situation.
    pub situations_by_chance: BTreeMap<Situation, u64>,
    /// Some of the fleets that met each situation, by seed.
    pub examples: BTreeMap<Situation, BTreeSet<u64>>,
}

/// The number of fleets that are kept as examples of a situation.
const EXAMPLES: usize = 4;

impl Tally {
    fn count(&mut self, seed: u64, played: &Played, met: BTreeSet<Situation>) {
        self.fleets += 1;
        let by_chance = !is_variation(seed);
        self.by_chance += u64::from(by_chance);
        for situation in met {
            if by_chance {
                *self.situations_by_chance.entry(situation.clone()).or_default() += 1;
            }
            let examples = self.examples.entry(situation.clone()).or_default();
            if examples.len() < EXAMPLES {
                examples.insert(seed);
            }
            *self.situations.entry(situation).or_default() += 1;
        }
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
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { fleets, calls, lives, .. } = self;
        let (wall, hours) = (self.wall.as_secs_f64(), self.took.as_secs_f64() / 3600.0);
        let rate = *fleets as f64 / wall;
        writeln!(
            f,
            "{fleets} fleets in {wall:.0} s ({rate:.1}/s), {hours:.0} virtual hours, {calls} calls, {lives} lives"
        )?;
        writeln!(f, "how drains ended:")?;
        self.outcomes
            .iter()
            .try_for_each(|(outcome, times)| writeln!(f, "{times:>9} {outcome}"))?;
        writeln!(f, "calls struck:")?;
        self.faults.iter().try_for_each(|(kind, times)| writeln!(f, "{times:>9} {}", kind.trim()))
    }
}

/// The results of many seeds.
#[derive(Debug, Default)]
pub struct Many {
    /// Unexpected failures, in order.
    pub failed: BTreeMap<u64, Vec<Complaint>>,
    /// Expected failures.
    pub expected: BTreeSet<u64>,
    /// Seeds that are expected to fail, and have not: they must leave the list.
    pub mended: BTreeSet<u64>,
    /// The figures of all of them.
    pub tally: Tally,
}

impl Many {
    fn enter(&mut self, seed: u64, complaints: Vec<Complaint>) {
        match (complaints.is_empty(), expected_failures().contains(&seed)) {
            (true, false) => {}
            (true, true) => drop(self.mended.insert(seed)),
            (false, true) => drop(self.expected.insert(seed)),
            (false, false) => drop(self.failed.insert(seed, complaints)),
        }
    }
}

/// Returns the seeds that today's controller is known to fail. The list should become empty.
pub fn expected_failures() -> BTreeSet<u64> {
    let lines = include_str!("../expected-failures.txt").lines().map(str::trim);
    let seeds = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    seeds.map(|seed| seed.parse().expect("a seed on each line of expected-failures.txt")).collect()
}

/// Plays these seeds on all cores, all of them or until one fails. `tell` is called with each seed
/// that was played.
pub fn play_all(
    seeds: impl Iterator<Item = u64> + Send,
    stop_early: bool,
    tell: impl Fn(u64, &[Complaint]) + Sync,
) -> Many {
    let began = Instant::now();
    let seeds = Mutex::new(seeds);
    let many = Mutex::new(Many::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let next = seeds.lock().unwrap().next();
                    let Some(seed) = next else { return };
                    if stop_early && !many.lock().unwrap().failed.is_empty() {
                        return;
                    }
                    let plan = plan(seed);
                    let complaints = complaints(&plan, |played| {
                        let met = situations(&plan, played);
                        many.lock().unwrap().tally.count(seed, played, met);
                    });
                    tell(seed, &complaints);
                    many.lock().unwrap().enter(seed, complaints);
                }
            });
        }
    });
    let mut many = many.into_inner().unwrap();
    many.tally.wall = began.elapsed();
    many
}

/// Plays a plan; a panic anywhere is a complaint like any other.
pub fn complaints(plan: &Plan, played: impl FnOnce(&Played)) -> Vec<Complaint> {
    match catch_unwind(AssertUnwindSafe(|| play(plan))) {
        Ok(all) => {
            played(&all);
            all.complaints
        }
        Err(_) => vec![Complaint::new("panic", "see above".to_owned())],
    }
}
