//! `ecs-drain doctor`: try a configuration as it would be used.

use crate::aws::Environment;
use crate::cli::{Failure, Global, TableArgs};
use crate::doctor::{Section, Verdict, examine};
use crate::quote::{self, plain};
use clap::{Args, ValueEnum};
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain doctor --config ecs-drain.toml           with the credentials that the controller will have
  ecs-drain doctor --config ecs-drain.toml --all     also what is fine
  ecs-drain doctor --config ecs-drain.toml -o json

It changes nothing. Whether a change is allowed is found out by asking for it on an id that nothing has.
From a queue it asks for one message, which stays there and counts one receive more.

Exit codes: 0 when nothing fails, 1 when something does, 2 for wrong arguments or configuration.";

/// How it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// What to look at.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// Show what is fine, too
    #[arg(long)]
    pub all: bool,
    /// Fail for warnings, too
    #[arg(long)]
    pub strict: bool,
    /// How to tell it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    /// Which table.
    #[command(flatten)]
    pub table: TableArgs,
}

/// Looks, and tells.
///
/// # Errors
/// The configuration is refused, or something does not work.
pub async fn run(args: &DoctorArgs, global: &Global, out: &mut dyn Write) -> Result<(), Failure> {
    let config = global.load(&args.table.given())?;
    let sections = examine(&config, &Environment::default()).await;
    match args.output {
        Output::Text => out.write_all(told(&sections, args.all).as_bytes())?,
        Output::Json => writeln!(out, "{}", quote::json(&sections)?)?,
    }
    let least = if args.strict { Verdict::Warning } else { Verdict::Failure };
    match count(&sections, |verdict| verdict >= least) {
        0 => Ok(()),
        1 => Err(Failure::failed("1 finding has to be put right")),
        n => Err(Failure::failed(format!("{n} findings have to be put right"))),
    }
}

fn count(sections: &[Section], which: impl Fn(Verdict) -> bool) -> usize {
    sections
        .iter()
        .flat_map(|section| &section.findings)
        .filter(|finding| which(finding.verdict))
        .count()
}

/// All sections on a page.
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
            page.push_str(&format!("  ok    {fine} checks are fine\n"));
        }
        page.push('\n');
    }
    let counts = [Verdict::Failure, Verdict::Warning, Verdict::Note, Verdict::Fine];
    let [failures, warnings, notes, fine] =
        counts.map(|verdict| count(sections, |other| other == verdict));
    page.push_str(&format!(
        "failed: {failures}, warnings: {warnings}, notes: {notes}, fine: {fine}\n"
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
