//! `ecs-drain doctor`: checks that a configuration will work. It uses each scope as the controller
//! would, and changes nothing.

use crate::aws::Environment;
use crate::cli::words::Screen;
use crate::cli::{Failure, Global, TableArgs};
use crate::doctor::{Section, Verdict, examine};
use crate::quote::{self, plain};
use clap::{Args, ValueEnum};
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain doctor --config ecs-drain.toml           with the credentials that the controller will have
  ecs-drain doctor --config ecs-drain.toml --all     passed checks, too
  ecs-drain doctor --config ecs-drain.toml -o json

It changes nothing. It tests permissions for changes with calls on ids that do not exist, such as
TerminateInstanceInAutoScalingGroup on i-00000000000000000, and SetDesiredCapacity on a group ecs-drain-doctor:
CloudTrail records them as failed calls. From a queue it receives one message, which stays there; its receive
count rises by one.

Exit codes: 0: no check failed; 1: a check failed; 2: wrong arguments or configuration.";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A page for people
    #[default]
    Text,
    /// One JSON document
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Show passed checks, too
    #[arg(long)]
    pub all: bool,
    /// Fail on warnings, too
    #[arg(long)]
    pub strict: bool,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    #[command(flatten)]
    pub table: TableArgs,
}

/// Runs every check and prints the result.
///
/// # Errors
/// Returns an error if the configuration is refused, or a check fails.
pub(crate) async fn run(
    args: &DoctorArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let config = global.load(&args.table.given())?;
    let sections = examine(&config, &Environment::default()).await;
    match args.output {
        Output::Text => {
            out.write_all(Screen::detect().fit(&told(&sections, args.all)).as_bytes())?
        }
        Output::Json => writeln!(out, "{}", quote::json(&sections)?)?,
    }
    let least = if args.strict { Verdict::Warning } else { Verdict::Failure };
    match count(&sections, |verdict| verdict >= least) {
        0 => Ok(()),
        1 => Err(Failure::failed("1 check failed")),
        n => Err(Failure::failed(format!("{n} checks failed"))),
    }
}

fn count(sections: &[Section], which: impl Fn(Verdict) -> bool) -> usize {
    sections
        .iter()
        .flat_map(|section| &section.findings)
        .filter(|finding| which(finding.verdict))
        .count()
}

/// Returns all sections on a page.
pub fn told(sections: &[Section], all: bool) -> String {
    let mut page = String::new();
    for section in sections {
        page.push_str(&plain(&section.place));
        page.push('\n');
        let shown =
            section.findings.iter().filter(|finding| all || finding.verdict > Verdict::Fine);
        for finding in shown {
            page.push_str(&format!("  {}  {}\n", mark(finding.verdict), plain(&finding.text)));
            if let Some(advice) = &finding.advice {
                page.push_str(&format!("        -> {}\n", plain(advice)));
            }
        }
        let fine =
            section.findings.iter().filter(|finding| finding.verdict == Verdict::Fine).count();
        if !all && fine > 0 {
            page.push_str(&format!("  ok    {fine} checks passed\n"));
        }
        page.push('\n');
    }
    let counts = [Verdict::Failure, Verdict::Warning, Verdict::Note, Verdict::Fine];
    let [failures, warnings, notes, fine] =
        counts.map(|verdict| count(sections, |other| other == verdict));
    page.push_str(&format!(
        "failed: {failures}, warnings: {warnings}, notes: {notes}, passed: {fine}\n"
    ));
    page
}

const fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fine => "ok  ",
        Verdict::Note => "note",
        Verdict::Warning => "WARN",
        Verdict::Failure => "FAIL",
    }
}
