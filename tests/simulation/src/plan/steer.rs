//! Steering: some fleets begin as a fleet that met a rare situation, and are varied: events are
//! moved, left out or repeated, calls fail in other ways and at other times. The neighbours of a
//! rare situation are rare too.

use super::dice::{Dice, fresh};
use super::script::without_the_unheard;
use super::{On, Plan};
use aws_simulator::Fault;
use std::sync::LazyLock;

/// The seeds of fleets that met a rare situation.
static CORPUS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let lines = include_str!("../../corpus.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            line.split_whitespace().next().and_then(|seed| seed.parse().ok()).expect("a seed")
        })
        .collect()
});

impl Dice {
    /// Returns a variation of a fleet of the corpus, for this seed.
    pub(super) fn steered(&mut self, seed: u64) -> Plan {
        let mut plan = Plan { seed, ..fresh(self.one(&CORPUS)) };
        for _ in 0..self.among(1, 6) {
            self.vary(&mut plan);
        }
        plan.script.sort_by_key(|(at, _)| *at);
        plan.script = without_the_unheard(&plan);
        plan
    }

    fn vary(&mut self, plan: &mut Plan) {
        let last = plan.calm_at - 1;
        match self.among(0, 9) {
            0..3 if !plan.script.is_empty() => {
                let n = self.0.usize(..plan.script.len());
                plan.script[n].0 = self.near(plan.script[n].0).min(last);
            }
            3 if !plan.script.is_empty() => {
                let (at, what) = self.one(&plan.script);
                plan.script.push((self.near(at).min(last), what));
            }
            4 if !plan.script.is_empty() => {
                plan.script.remove(self.0.usize(..plan.script.len()));
            }
            5 if !plan.faults.is_empty() => {
                let n = self.0.usize(..plan.faults.len());
                plan.faults[n].on = self.moved(&plan.faults[n].on, plan.calm_at);
            }
            6 if !plan.faults.is_empty() => {
                let n = self.0.usize(..plan.faults.len());
                let lasts = !matches!(plan.faults[n].on, On::Call(_) | On::Nth(..));
                let fault = self.one(&Fault::ALL);
                // A process that dies at each call for minutes would prove nothing.
                if !(lasts && matches!(fault, Fault::CrashBefore | Fault::CrashAfter)) {
                    plan.faults[n].fault = fault;
                }
            }
            7 => {
                let strike = self.strike(plan);
                plan.faults.push(strike);
            }
            8 => plan.read_lag = self.often(50).then(|| self.among(5, 60)),
            _ => {
                // A hook with a shorter timeout than before could expire while calls fail.
                for group in &mut plan.groups {
                    group.heartbeat_timeout =
                        group.heartbeat_timeout.max(self.one(&[300, 600, 3600]));
                }
            }
        }
    }

    /// Returns a moment within half a minute of another.
    fn near(&mut self, at: u64) -> u64 {
        (at + self.among(0, 60)).saturating_sub(30)
    }

    /// Returns the same calls a little sooner or later.
    fn moved(&mut self, on: &On, calm_at: u64) -> On {
        let by = self.among(0, 60);
        let moved = |at: u64| (at + by).saturating_sub(30).min(calm_at);
        match *on {
            On::Call(n) => On::Call((n + by).saturating_sub(30).max(1)),
            On::Nth(operation, n) => On::Nth(operation, n + by / 30),
            On::Every(operation, from, until) => On::Every(operation, moved(from), moved(until)),
            On::Region(region, from, until) => On::Region(region, moved(from), moved(until)),
            On::Share(operation, from, until, share) => {
                On::Share(operation, moved(from), moved(until), share)
            }
            On::Listing(desired, from, until) => On::Listing(desired, moved(from), moved(until)),
        }
    }
}
