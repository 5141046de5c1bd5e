//! Plays fleets by seed. Exit status 1: a promise was broken.

// This program is for its output; its rate is counted in real time.
#![allow(clippy::disallowed_methods)]

use clap::Parser;
use ecs_drain_simulation::judge::Complaint;
use ecs_drain_simulation::many::{Many, play_all};
use ecs_drain_simulation::plan::{Feature, is_variation, plan};
use ecs_drain_simulation::play::play;
use ecs_drain_simulation::situations::{dried_up, list};
use ecs_drain_simulation::story::story;
use ecs_drain_simulation::trials::try_all;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Whole fleets from seeds: the real controller against the simulated AWS, with everything that can
/// go wrong.
///
/// A fleet that fails is printed with what was broken; the first one is made smaller and told call
/// by call.
#[derive(Parser)]
#[command(name = "simulation")]
struct Arguments {
    /// How many fleets.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The seed of the first one.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Only those that have this, as many of them.
    #[arg(long, value_parser = feature)]
    with: Option<Feature>,
    /// Stop at the first that fails.
    #[arg(long)]
    until_failure: bool,
    /// Do not make the first that fails smaller.
    #[arg(long)]
    no_story: bool,
    /// Print how many fleets came into each situation, and how many of those were made by chance
    /// alone, without steering.
    #[arg(long)]
    situations: bool,
    /// Print seeds that came into situations which at most so many of 10,000 fleets come into:
    /// lines for corpus.txt.
    #[arg(long)]
    rare: Option<u64>,
    /// Only this one: print its plan, and what came of it.
    #[arg(long, conflicts_with_all = ["seeds", "from", "with", "until_failure"])]
    seed: Option<u64>,
    /// Instead of fleets: ask `ecs-drain plan` about so many random clusters, then drain.
    #[arg(long, conflicts_with_all = ["seed", "seeds", "with", "until_failure"])]
    plans: Option<u64>,
    /// With --seed: print every call.
    #[arg(long, requires = "seed")]
    log: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(plans) = arguments.plans {
        return planned(arguments.from, plans);
    }
    let many = match arguments.seed {
        Some(seed) => one(seed, arguments.log),
        None => several(&arguments),
    };
    if arguments.situations {
        let tally = &many.tally;
        println!("{} fleets, {} of them by chance alone:", tally.fleets, tally.by_chance);
        for (situation, fleets) in &tally.situations {
            let by_chance = tally.situations_by_chance.get(situation).unwrap_or(&0);
            println!("{fleets:>8} {by_chance:>8} {situation}");
        }
        let listed = list();
        for situation in
            many.tally.situations.keys().filter(|situation| !listed.contains_key(situation))
        {
            println!("not in tests/simulation/situations.txt: {situation}");
        }
        for situation in dried_up(&many.tally.situations, many.tally.fleets) {
            println!("not met any more: {situation}");
        }
    }
    for (situation, fleets) in &many.tally.situations {
        if arguments.rare.is_some_and(|most| fleets * 10_000 <= most * many.tally.fleets) {
            let examples = many.tally.examples.get(situation).into_iter().flatten();
            for seed in examples.filter(|seed| !is_variation(**seed)) {
                println!("rare {seed:>8} {situation}");
            }
        }
    }
    let Some((seed, complaints)) = many.failed.first_key_value() else {
        return ExitCode::SUCCESS;
    };
    if let (Some(first), false) = (complaints.first(), arguments.no_story) {
        println!("\nseed {seed}, {}", story(*seed, first));
    }
    ExitCode::FAILURE
}

/// Compares plans with what came of the drains.
fn planned(from: u64, plans: u64) -> ExitCode {
    let figures = try_all(from..from.saturating_add(plans));
    print!("{figures}");
    for (seed, instances) in &figures.broken {
        println!("seed {seed}: to end by itself, and has not: {}", instances.join("; "));
    }
    if figures.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn feature(name: &str) -> Result<Feature, String> {
    let names = Feature::ALL.map(Feature::name).join(", ");
    Feature::ALL.into_iter().find(|feature| feature.name() == name).ok_or(format!("one of {names}"))
}

fn one(seed: u64, log: bool) -> Many {
    println!("{}", plan(seed));
    if log {
        let played = play(&plan(seed));
        println!("{}", played.simulator.peek(|cloud| cloud.log.to_string()));
        if let Some(far) = played.far {
            println!("the second region:\n{}", far.peek(|cloud| cloud.log.to_string()));
        }
    }
    let many = play_all(seed..=seed, false, |_, _| {});
    report(&many);
    many
}

fn several(arguments: &Arguments) -> Many {
    let wanted = |seed: &u64| arguments.with.is_none_or(|feature| plan(*seed).has(feature));
    let seeds = (arguments.from..)
        .filter(wanted)
        .take(usize::try_from(arguments.seeds).unwrap_or(usize::MAX));
    let progress = Mutex::new((Instant::now(), 0));
    let tell = |seed: u64, complaints: &[Complaint]| {
        for complaint in complaints {
            println!("seed {seed}: {complaint}");
        }
        let Ok(mut progress) = progress.lock() else { return };
        progress.1 += 1;
        if progress.0.elapsed() >= Duration::from_secs(30) {
            progress.0 = Instant::now();
            eprintln!("{} of {} fleets", progress.1, arguments.seeds);
        }
    };
    let many = play_all(seeds, arguments.until_failure, tell);
    report(&many);
    many
}

fn report(many: &Many) {
    print!("{}", many.tally);
    println!("{} failed, {} more as expected", many.failed.len(), many.expected.len());
    if !many.mended.is_empty() {
        println!(
            "expected to fail, and have not: {:?} (tests/simulation/expected-failures.txt)",
            many.mended
        );
    }
}
