//! `ecs-drain completions`: prints a completion script for a shell.

use crate::cli::{Cli, Failure};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  source <(ecs-drain completions bash)
  ecs-drain completions zsh > \"${fpath[1]}/_ecs-drain\"
  ecs-drain completions fish > ~/.config/fish/completions/ecs-drain.fish";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Prints the completion script.
///
/// # Errors
/// Returns an error if the output cannot be written.
pub(crate) fn run(args: &CompletionsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // Into memory first: the generator panics on an output that fails, and standard output may be a
    // closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ecs-drain", &mut script);
    Ok(out.write_all(&script)?)
}
