//! Plays scenarios at AWS's published request rates and compares the controller with the table of
//! its reach.

mod allocator;

use allocator::Counting;
use aws_simulator::log::Entry;
use clap::Parser;
use ecs_drain_bench::lines::Listener;
use ecs_drain_bench::play::play;
use ecs_drain_bench::report::{self, report};
use ecs_drain_bench::scenario::Scenario;
use ecs_drain_bench::table::scenarios;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Plays scenarios at AWS's published request rates and compares the controller with the table of
/// its reach.
#[derive(Parser)]
struct Options {
    /// Play this scenario only; may be given more than once
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// List the scenarios
    #[arg(long)]
    list: bool,
    /// Play a minute's choice
    #[arg(long)]
    quick: bool,
    /// Give a scenario up after so many seconds of real time
    #[arg(long, value_name = "SECONDS")]
    patience: Option<u64>,
    /// Write every call that the controller makes, with its moment
    #[arg(long, value_name = "FILE")]
    calls: Option<PathBuf>,
    /// Write the figures as JSON, for tests/bench/report.py
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let all = scenarios();
    if let Some(unknown) =
        options.scenario.iter().find(|name| !all.iter().any(|one| one.name == **name))
    {
        eprintln!("bench: no scenario {unknown}; see --list");
        return ExitCode::from(2);
    }
    let named = |one: &Scenario| {
        options.scenario.is_empty() || options.scenario.iter().any(|name| name == one.name)
    };
    let chosen: Vec<Scenario> =
        all.into_iter().filter(|one| named(one) && (one.quick || !options.quick)).collect();
    if options.list {
        chosen.iter().for_each(|one| println!("{:<22} {}", one.name, one.about));
        return ExitCode::SUCCESS;
    }
    let mut calls = match options.calls.as_ref().map(File::create).transpose() {
        Ok(file) => file.map(BufWriter::new),
        Err(error) => {
            eprintln!("bench: cannot write the calls: {error}");
            return ExitCode::from(2);
        }
    };
    // The only subscriber of this process.
    let _ = tracing::subscriber::set_global_default(Listener);
    let mut played = Vec::new();
    let mut as_expected = true;
    for scenario in &chosen {
        Counting::begin();
        let progress = |at: u64, ended: usize| {
            if at.is_multiple_of(300) {
                eprintln!("{}: {ended} ended after {at} s", scenario.name);
            }
        };
        let each = |entry: &Entry| {
            if let Some(file) = calls.as_mut() {
                // A reader of the file sees that it is incomplete.
                let _ = writeln!(file, "{entry}");
            }
        };
        let mut figures =
            play(scenario, options.patience.map(Duration::from_secs), &progress, each);
        figures.memory = Some(Counting::most() as f64 / f64::from(1 << 20));
        println!("{}", report(scenario, &figures));
        as_expected &= figures
            .misses(scenario)
            .iter()
            .all(|(name, _)| scenario.expected_misses.contains(name));
        played.push(figures);
    }
    if let Some(path) = options.json
        && let Err(error) = write(
            &path,
            chosen.iter().zip(&played).map(|(one, figures)| report::Entry::of(one, figures)),
        )
    {
        eprintln!("bench: cannot write {}: {error}", path.display());
        return ExitCode::from(2);
    }
    if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn write<'a>(
    path: &PathBuf,
    entries: impl Iterator<Item = report::Entry<'a>>,
) -> std::io::Result<()> {
    serde_json::to_writer_pretty(File::create(path)?, &entries.collect::<Vec<_>>())?;
    Ok(())
}
