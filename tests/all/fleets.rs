//! Whole fleets from a seed, as many as fit into an ordinary run; `cargo run --bin simulation`
//! plays more.

// Most questions here are about one kind of event or fault out of many.
#![allow(clippy::wildcard_enum_match_arm)]

use aws_simulator::Fault;
use ecs_drain_simulation::many::{KINDS, play_all};
use ecs_drain_simulation::plan::{Feature, Plan, plan};
use ecs_drain_simulation::play::play_logged;
use ecs_drain_simulation::shrink::{shrink, size};
use ecs_drain_simulation::situations::dried_up;
use ecs_drain_simulation::story::story;

/// The number of fleets that every run of the tests plays.
const SOME: u64 = 200;

#[test]
fn some_fleets() {
    let many = play_all(1..=SOME, false, |_, _| {});
    println!("{}", many.tally);
    for (seed, complaints) in &many.failed {
        let all: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        println!("seed {seed}: {}", all.join("; "));
    }
    if let Some((seed, complaints)) = many.failed.first_key_value() {
        panic!(
            "{} fleets failed; seed {seed}, {}",
            many.failed.len(),
            story(*seed, &complaints[0])
        );
    }
    assert!(
        many.mended.is_empty(),
        "no longer fail, and must leave expected-failures.txt: {:?}",
        many.mended
    );
    // Some drains have ended so, and some calls were struck.
    for outcome in ["Drained", "Cancelled", "Forced"] {
        assert!(many.tally.outcomes.contains_key(outcome), "no drain ended as {outcome}");
    }
    assert!(
        many.tally.lives as u64 > SOME && many.tally.faults.len() == KINDS.len(),
        "{:?}",
        many.tally.faults
    );
    let dry = dried_up(&many.tally.situations, SOME);
    assert!(
        dry.is_empty(),
        "fleets do not come into these situations any more (tests/simulation/situations.txt): {dry:#?}"
    );
}

/// Returns every call, in order, with its time, its answer, and digests of its contents.
fn log(seed: u64) -> String {
    play_logged(&plan(seed), true).simulator.peek(|cloud| cloud.log.to_string())
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
    let different = lines
        .filter(|(_, (one, other))| one != other)
        .map(|(n, (one, other))| (n, one, other))
        .next();
    different
        .map_or("one is longer".to_owned(), |(n, one, other)| format!("line {n}:\n{one}\n{other}"))
}

/// Each kind of fault is in one of the plans: without this test, a generator that forgets one would
/// go unnoticed.
#[test]
fn plans_hold_every_kind_of_fault_and_of_happening() {
    let plans: Vec<Plan> = (1..=200).map(plan).collect();
    let strikes: Vec<Fault> =
        plans.iter().flat_map(|plan| plan.faults.iter().map(|strike| strike.fault)).collect();
    for kind in Fault::ALL {
        let same = |fault: &Fault| std::mem::discriminant(fault) == std::mem::discriminant(&kind);
        assert!(strikes.iter().any(same), "{kind}");
    }
    let mut happenings: Vec<String> = plans
        .iter()
        .flat_map(|plan| &plan.script)
        .map(|(_, what)| {
            format!("{what:?}").split([' ', '(']).next().unwrap_or_default().to_owned()
        })
        .collect();
    happenings.sort();
    happenings.dedup();
    assert_eq!(happenings.len(), 33, "{happenings:?}");
    for feature in Feature::ALL {
        assert!(
            (1..=1000).any(|seed| plan(seed).has(feature)),
            "no fleet of a thousand is {}",
            feature.name()
        );
    }
}

#[test]
fn parts_that_do_not_matter_are_left_out_of_a_story() {
    let full = plan(3);
    let kept = full.groups[0].instances[0].clone();
    let has = |plan: &Plan| plan.groups.iter().any(|group| group.instances.contains(&kept));
    let small = shrink(full, has);
    assert_eq!(size(&small), 2, "one group of one instance: {small}");
}
