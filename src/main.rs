//! The binary: parses arguments, starts the log, and dispatches. Everything else is in the library.

use clap::Parser;
use ecs_drain::cli::{self, Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Wrong arguments end the process here, with exit code 2 and a correction.
    let cli = Cli::parse();
    match cli::start_log(&cli).and_then(|()| cli::execute(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
