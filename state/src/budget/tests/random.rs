//! Random fleets: whatever drains begin and end, no budget is exceeded, and every drain has its
//! turn.

use super::{Budgets, Concurrency, Drain, Given, NOW, Policy, Turn, drain, parts};
use crate::decide::tests::fixture::stage;
use crate::phase::{Outcome, Phase};
use std::collections::BTreeMap;

/// Random numbers (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    /// Writes a word of the tables: a drain that has not begun.
    fn word(&mut self) -> String {
        let kind = ["operator", "operator", "rebalance", "hook", "hook", "spot"]
            [usize::try_from(self.below(6)).unwrap()];
        let (cluster, group) = (self.below(2), self.below(3));
        let mut word = format!("{kind}:Pending@c{cluster}/g{group}");
        for service in ["shop", "api", "jobs"] {
            let tasks = self.below(6);
            if tasks < 3 {
                word += &format!("+{service}*{}", tasks + 1);
            }
        }
        word + if self.below(3) == 0 { "<600" } else { "" }
    }

    fn limit(&mut self) -> Concurrency {
        let n = u32::try_from(self.below(60)).unwrap() + 1;
        if self.below(2) == 0 { Concurrency::Count(n % 4 + 1) } else { Concurrency::Percent(n) }
    }

    fn policy(&mut self) -> Policy {
        Policy {
            max_concurrent: self.limit(),
            max_concurrent_group: Some(self.limit()).filter(|_| self.below(2) == 0),
            max_concurrent_service: Some(self.limit()).filter(|_| self.below(3) > 0),
            hold_lifecycle: self.below(2) == 0,
            ..Policy::default()
        }
    }
}

/// Numbers of the running drains: in each cluster and group, and of each service's tasks with the
/// number of instances that have some.
type Running = BTreeMap<String, (u32, u32)>;

fn running(drains: &[Drain]) -> Running {
    let mut running = Running::new();
    for drain in drains.iter().filter(|drain| drain.record.phase() == Phase::Waiting) {
        for (name, n) in takes(drain) {
            let count = running.entry(name).or_default();
            *count = (count.0 + n, count.1 + 1);
        }
    }
    running
}

/// Returns the things that a drain takes, each with its number.
fn takes(drain: &Drain) -> Vec<(String, u32)> {
    let record = &drain.record;
    let cluster = record.cluster.clone().unwrap();
    let tasks = super::super::tasks(record, &drain.facts).into_iter();
    tasks
        .map(|((cluster, service), n)| (format!("service {cluster}/{service}"), n))
        .chain([
            (format!("cluster {cluster}"), 1),
            (format!("group {}", record.group().unwrap()), 1),
        ])
        .collect()
}

/// Returns the limit for a thing of this name. Every cluster and group has seven, every service ten.
fn limit_of(policy: &Policy, name: &str) -> u32 {
    let (of, size) = match name.split(' ').next() {
        Some("cluster") => (Some(policy.max_concurrent), 7),
        Some("group") => (policy.max_concurrent_group, 7),
        _ => (policy.max_concurrent_service, 10),
    };
    of.map_or(u32::MAX, |of| of.of(size))
}

/// In each round every drain that may begin begins, and then one that runs ends. A drain that waited
/// its turn never exceeds a limit when it begins, and all have ended in the end.
#[test]
fn no_limit_is_exceeded_and_none_starves() {
    for seed in 1..=600_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let policy = chance.policy();
        let words: Vec<String> = (0..=chance.below(14)).map(|_| chance.word()).collect();
        let drains = words.iter().enumerate().map(|(n, word)| drain(&policy, n, word)).collect();
        play(&mut chance, &policy, drains, &format!("{seed}: {policy:?} {}", words.join(" ")));
    }
}

fn play(chance: &mut Chance, policy: &Policy, mut drains: Vec<Drain>, what: &str) {
    let mut sizes = Given::default();
    sizes.clusters.extend((0..2).map(|n| (format!("c{n}"), 7)));
    sizes.groups.extend((0..3).map(|n| (format!("g{n}"), 7)));
    let are_in = |drains: &[Drain], phase| -> Vec<usize> {
        (0..drains.len()).filter(|n| drains[*n].record.phase() == phase).collect()
    };
    loop {
        let budgets = Budgets::of(parts(&drains), &sizes, NOW);
        let pending = are_in(&drains, Phase::Pending);
        let may =
            pending.into_iter().filter(|n| budgets.turn(&drains[*n].record.key()) == Turn::Now);
        let may: Vec<(usize, bool)> =
            may.map(|n| (n, parts(&drains[n..=n]).all(|part| part.waits()))).collect();
        for (n, _) in &may {
            drains[*n].record.stage = stage(Phase::Waiting, Outcome::Drained);
        }
        // Drains that are not held back exceed a limit by themselves; no other joins them.
        let now = running(&drains);
        for n in may.into_iter().filter(|(_, waits)| *waits).map(|(n, _)| n) {
            for (name, mine) in takes(&drains[n]) {
                let (all, instances) = now[&name];
                let alone = mine == all && instances == 1;
                assert!(all <= limit_of(policy, &name) || alone, "{name}: {all} at once, {what}");
            }
        }
        let going = are_in(&drains, Phase::Waiting);
        if going.is_empty() {
            assert!(are_in(&drains, Phase::Pending).is_empty(), "none runs, and some wait, {what}");
            return;
        }
        let one = going[usize::try_from(chance.below(going.len() as u64)).unwrap()];
        drains[one].record.stage = stage(Phase::Done, Outcome::Drained);
    }
}

/// Ten thousand drains are counted at once, and the last of them knows its place.
#[test]
fn ten_thousand_drains() {
    let policy = Policy {
        max_concurrent_group: Some(Concurrency::Count(5)),
        max_concurrent_service: Some(Concurrency::Count(5)),
        ..super::cluster(10)
    };
    let drains: Vec<Drain> = (0..10_000)
        .map(|n| drain(&policy, n, &format!("operator:Pending/g{}+shop+api", n % 100)))
        .collect();
    let budgets = Budgets::of(parts(&drains), &Given::default(), NOW);
    let last = budgets.turn(&drains[9_999].record.key());
    let Turn::Wait { ahead, .. } = last else { panic!("{last:?}") };
    assert!(ahead > 9_000, "{last:?}");
}
