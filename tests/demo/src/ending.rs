//! The summary, and the verdict on the demo.

use super::fleet::Leaving;
use super::view::clock;
use ecs_drain_state::{Outcome, Phase, Record};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// The phases that every drain of a termination goes through, in order: the columns of the summary.
const PHASES: [Phase; 5] =
    [Phase::Pending, Phase::Deregistering, Phase::Waiting, Phase::Verifying, Phase::Completing];

/// Their headings, short enough for 80 columns.
const HEADINGS: [&str; 5] = ["PEND", "DEREG", "WAIT", "VERIF", "COMPL"];

/// The end of the story.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The instances that left, each with its record, if it can be read.
    pub(super) records: Vec<(Leaving, Option<Record>)>,
    /// An instance that is still in service.
    pub(super) stays: Option<String>,
    /// Simulated time from the scale-in to the last ending.
    pub took: Duration,
    /// The number of kills of the controller; `None`: the options ask for none.
    pub kills: Option<u32>,
    /// The controller's calls, by service and operation.
    pub calls: BTreeMap<(&'static str, String), u32>,
    /// The findings of the simulation's checkers: each is a broken promise.
    pub complaints: Vec<String>,
}

impl Ending {
    /// Returns the number of instances whose drains have ended.
    pub fn finished(&self) -> usize {
        self.records
            .iter()
            .filter(|(_, record)| record.as_ref().is_some_and(Record::is_done))
            .count()
    }

    /// Returns the outcome of each instance whose drain has ended.
    pub fn outcomes(&self) -> Vec<Option<Outcome>> {
        self.records
            .iter()
            .map(|(_, record)| record.as_ref().and_then(|record| record.outcome()))
            .collect()
    }

    /// Returns the reasons why the demo failed; empty if it succeeded.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = self.complaints.clone();
        for (leaving, record) in &self.records {
            match record {
                Some(record) if record.is_done() => {}
                Some(record) => {
                    failures.push(format!(
                        "{} is still {}: {}",
                        leaving.instance,
                        record.phase(),
                        record.shown.message
                    ));
                }
                None => {
                    failures.push(format!("{} has no record that can be read", leaving.instance))
                }
            }
        }
        if self.kills == Some(0) {
            failures.push("the controller was not killed: all drains had ended before".to_owned());
        }
        failures
    }

    /// Returns the summary as text.
    pub fn summary(&self) -> String {
        // The verdict is what the last lines of a terminal show.
        let mut text = self.usage();
        text += "\n";
        text += &self.times();
        text += "\n";
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} of {} drains finished in {} of simulated time:\n{}.",
            self.finished(),
            self.records.len(),
            clock(self.took),
            self.ends()
        );
        match self.kills {
            None => {}
            Some(1) => {
                text += "The controller was killed once; the next one continued from the table.\n"
            }
            Some(kills) => {
                let _ = writeln!(
                    text,
                    "The controller was killed {kills} times; each next one continued from the table."
                );
            }
        }
        text += &match self.complaints.len() {
            0 => "The checkers, which judge by the simulated containers and connections after\n\
                  every call, found no early completion, no foreign instance or hook touched, and\n\
                  no expired hook.\n"
                .to_owned(),
            n => format!("Broken promises that the checkers found: {n}\n"),
        };
        for failure in self.failures() {
            let _ = writeln!(text, "  {failure}");
        }
        text
    }

    /// Returns the number of drains with each outcome: `11 Drained, 1 TimedOut (at its deadline)`.
    fn ends(&self) -> String {
        let mut counts = BTreeMap::<Outcome, usize>::new();
        for outcome in self.outcomes().into_iter().flatten() {
            *counts.entry(outcome).or_default() += 1;
        }
        let word = |(outcome, n): (Outcome, usize)| {
            let why = if outcome == Outcome::TimedOut { " (released at its deadline)" } else { "" };
            format!("{n} {outcome}{why}")
        };
        counts.into_iter().map(word).collect::<Vec<_>>().join(", ")
    }

    /// Returns each instance's time in each phase, from its record's history.
    fn times(&self) -> String {
        let heading = ["INSTANCE", "CLUSTER"].map(str::to_owned).into_iter();
        let heading = heading.chain(HEADINGS.map(str::to_owned));
        let mut rows: Vec<Vec<String>> =
            vec![heading.chain(["TOTAL", "ENDED"].map(str::to_owned)).collect()];
        for (leaving, record) in &self.records {
            let mut row = vec![leaving.instance.clone(), leaving.cluster.to_owned()];
            let spent = record.as_ref().map(time_in_phases).unwrap_or_default();
            row.extend(
                PHASES
                    .iter()
                    .map(|phase| spent.get(phase).map_or_else(|| "-".to_owned(), |t| clock(*t))),
            );
            row.push(clock(spent.values().sum()));
            let outcome = record.as_ref().and_then(|record| record.outcome());
            row.push(
                outcome.map_or_else(|| "not finished".to_owned(), |outcome| outcome.to_string()),
            );
            rows.push(row);
        }
        columns(&rows, &[false, false, true, true, true, true, true, true, false])
    }

    /// Returns the calls, by operation, in total and for each instance.
    fn usage(&self) -> String {
        let instances = u32::try_from(self.records.len()).unwrap_or(u32::MAX).max(1);
        let each = |n: u32| format!("{:.1}", f64::from(n) / f64::from(instances));
        let mut rows = vec![["AWS CALLS", "TOTAL", "PER INSTANCE"].map(str::to_owned).to_vec()];
        let (table, aws): (Vec<_>, Vec<_>) =
            self.calls.iter().partition(|((service, _), _)| *service == "dynamodb");
        for (what, calls) in [("all but DynamoDB", aws), ("DynamoDB", table)] {
            for ((service, operation), n) in &calls {
                rows.push(vec![format!("{service}:{operation}"), n.to_string(), each(**n)]);
            }
            let sum = calls.iter().map(|(_, n)| **n).sum();
            rows.push(vec![format!("= {what}"), u32::to_string(&sum), each(sum)]);
        }
        columns(&rows, &[false, true, true])
    }
}

/// Returns the time of the drain in each phase: from each event of its history to the next one.
fn time_in_phases(record: &Record) -> BTreeMap<Phase, Duration> {
    let mut spent = BTreeMap::new();
    for (event, next) in record.history.iter().zip(record.history.iter().skip(1)) {
        let span = Duration::try_from(next.at.duration_since(event.at)).unwrap_or_default();
        *spent.entry(event.phase).or_default() += span;
    }
    spent
}

/// Returns lines of columns; `right` marks those with numbers.
fn columns(rows: &[Vec<String>], right: &[bool]) -> String {
    let width = |n: usize| {
        rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..right.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).zip(right).map(|((cell, width), right)| {
            if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}
