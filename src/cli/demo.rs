//! `ecs-drain demo`: the real controller against a simulated AWS in this process.

use crate::config::span;
use clap::Args;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  ecs-drain demo                       watch a dozen instances drain
  ecs-drain demo --kill-every 120s     kill the controller on the way, again and again
  ecs-drain demo --serve               keep the simulated AWS on a port, for the aws command line";

/// How to run the demonstration.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoArgs {
    /// The seed of everything that is left to chance: the same seed is the same story
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many simulated seconds pass in a second, at most
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub speed: u32,
    /// Kill the controller and start it again, each time this much simulated time has passed, such as 120s
    #[arg(long, value_name = "DURATION", value_parser = kill_every)]
    pub kill_every: Option<Duration>,
    /// Keep the simulated AWS and the table on loopback ports afterwards, and print commands that reach them
    #[arg(long)]
    pub serve: bool,
}

fn kill_every(text: &str) -> Result<Duration, String> {
    let span = span::parse(text)?;
    if span.is_zero() { Err("it must be longer than nothing".to_owned()) } else { Ok(span) }
}
