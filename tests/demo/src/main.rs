//! Runs the demo: arguments, the log, and the exit status.

use clap::Parser;
use ecs_drain::cli::Failure;
use ecs_drain::cli::words::Screen;
use ecs_drain::config::span;
use ecs_drain::telemetry::{self, Format, Verbosity};
use ecs_drain_demo::{DemoError, Ending, Lines, Live, Options};
use jiff::Timestamp;
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use tracing::subscriber::{NoSubscriber, set_default};

const EXAMPLES: &str = "\
Examples:
  cargo run --bin demo                         watch a dozen instances drain
  cargo run --bin demo -- --kill-every 3m      kill the controller on the way, again and again
  cargo run --bin demo -- --serve              keep the simulated AWS on a port, for the aws command line
  cargo run --bin demo -- --log info           plain lines, and the controller's log on standard error

On a terminal it is a live table, elsewhere a line for each change of phase. NO_COLOR is honoured.
The controller's log is off, unless --log (or ECS_DRAIN_LOG) asks for it.

Exit codes: 0 all went well; 1 a promise was broken, an instance was not finished, or it was
interrupted.";

/// The simulated clocks' time at the beginning, 2026-01-05T09:00:00Z: some messages contain a time,
/// and the same seed must give the same story.
const SOME_MONDAY: Timestamp = Timestamp::constant(1_767_603_600, 0);

/// Returns a start for a story whose table can be read while it fills: a full minute, so long
/// before now that no time in it is in the future. The story takes ten minutes, or more than an hour
/// with kills. Requests that are 15 minutes away from the simulated clock are refused.
fn a_while_ago(with_kills: bool) -> Timestamp {
    let minutes = if with_kills { 80 } else { 12 };
    let now = Timestamp::now().as_second();
    Timestamp::from_second(now - now.rem_euclid(60) - minutes * 60).unwrap_or(SOME_MONDAY)
}

/// Watch a dozen instances drain, in a simulated AWS in this process.
#[derive(Debug, Parser)]
#[command(name = "demo", version, after_help = EXAMPLES, max_term_width = 100)]
struct Arguments {
    /// Seed of everything random: the same seed is the same story
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Highest number of simulated seconds per second: 1 to 600, or max
    #[arg(long, default_value = "20", value_name = "FACTOR", value_parser = speed)]
    speed: Speed,
    /// Kill and restart the controller at this interval of simulated time, such as 3m
    #[arg(long, value_name = "DURATION", value_parser = kill_every)]
    kill_every: Option<Duration>,
    /// Serve the simulated AWS on a loopback port, also after the story, and print commands for it
    #[arg(long)]
    serve: bool,
    /// Log filter: a level, or a list such as warn,ecs_drain=debug
    #[arg(long, value_name = "FILTER", env = "ECS_DRAIN_LOG")]
    log: Option<String>,
}

/// How many simulated seconds pass in a second, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Speed(Option<u32>);

fn speed(text: &str) -> Result<Speed, String> {
    match text.parse::<u32>() {
        _ if text == "max" => Ok(Speed(None)),
        Ok(0) => Ok(Speed(None)),
        Ok(speed @ 1..=600) => Ok(Speed(Some(speed))),
        Ok(_) | Err(_) => Err("it must be a whole number from 1 to 600, or max".to_owned()),
    }
}

fn kill_every(text: &str) -> Result<Duration, String> {
    let span = span::parse(text)?;
    if span < LEAST {
        Err("it must be at least 3m: a shorter life finishes no drain".to_owned())
    } else {
        Ok(span)
    }
}

/// The shortest life with progress: a new controller waits for the dead one's lease, and the last
/// check of Verifying begins two minutes after it has read for itself that an instance is draining.
const LEAST: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Runs the demo.
fn run(args: &Arguments) -> Result<(), Failure> {
    telemetry::init(args.log.as_deref(), Format::Auto, Verbosity::Command)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let screen = Screen::detect();
    // A log would tear the live table; with one there are plain lines.
    let logged = args.log.is_some();
    let _quiet = (!logged).then(|| set_default(NoSubscriber::default()));
    let options = Options {
        seed: args.seed,
        speed: args.speed.0,
        kill_every: args.kill_every,
        serve: args.serve,
        start: if args.serve { a_while_ago(args.kill_every.is_some()) } else { SOME_MONDAY },
    };
    let out = io::stdout();
    let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    let told = if screen.terminal && !dumb && !logged {
        ecs_drain_demo::run(&options, &mut Live::new(out, screen.colour))
    } else {
        ecs_drain_demo::run(&options, &mut Lines::new(out))
    };
    judge(told)
}

fn judge(told: Result<Ending, DemoError>) -> Result<(), Failure> {
    match told {
        Ok(ending) => match ending.failures().len() {
            0 => Ok(()),
            1 => Err(Failure::failed("the demo failed; see the line above")),
            n => Err(Failure::failed(format!("the demo failed; see the {n} lines above"))),
        },
        Err(DemoError::Io(error)) => Err(error.into()),
        Err(error) => Err(Failure::because(&error)),
    }
}
