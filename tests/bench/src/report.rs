//! Figures as text, and as JSON for `report.py`, which writes docs/performance.md.

use crate::figures::{During, Figures, Spread};
use crate::peers::{self, Setting};
use crate::scenario::Scenario;
use serde::Serialize;
use std::fmt::Write;

/// The duration of a drain in the peers' formulas, in seconds.
const DRAIN: f64 = 300.0;

/// One scenario in the JSON file: its description, its figures, and the bounds that it misses.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    /// Its events, in one line.
    pub about: &'static str,
    /// The number of clusters.
    pub clusters: usize,
    /// Its figures.
    #[serde(flatten)]
    pub figures: &'a Figures,
    /// The bounds that are missed, each with the measured value.
    pub missed: Vec<String>,
}

impl<'a> Entry<'a> {
    /// Returns the entry of a scenario.
    pub fn of(scenario: &Scenario, figures: &'a Figures) -> Self {
        let missed = figures.misses(scenario).into_iter().map(|(_, text)| text).collect();
        Self { about: scenario.about, clusters: scenario.layout.clusters, figures, missed }
    }
}

/// Returns one scenario's figures as text, with the verdict on its bounds.
pub fn report(scenario: &Scenario, figures: &Figures) -> String {
    let mut text = format!("{}: {}\n", scenario.name, scenario.about);
    let Figures { drains, completed, ran_out, undrained, lag, to_draining, spent, .. } = figures;
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<14} {value}");
    };
    line(
        "drains",
        format!("{drains}: {completed} completed, {ran_out} ran out, {undrained} never DRAINING"),
    );
    if !figures.violations.is_empty() {
        line("violations", list(figures.violations.iter(), |n| n.to_string()));
    }
    line("idle to done", seconds(lag));
    line("to DRAINING", seconds(to_draining));
    line(
        "whole",
        format!(
            "{:.0} s until the last completion, {:.0} s played",
            figures.whole, figures.virtual_seconds
        ),
    );
    let (calls, minute) = (figures.calls_per_drain, figures.calls_per_minute);
    line(
        "calls",
        format!("{calls:.1} a drain, {minute:.1} a minute, {} throttled", figures.throttled),
    );
    line("", list(figures.calls.iter(), |n| n.to_string()));
    line(
        "DynamoDB",
        format!(
            "{:.1} reads, {:.1} writes a drain",
            figures.reads_per_drain, figures.writes_per_drain
        ),
    );
    line("busiest minute", list(figures.busiest.iter(), |use_of| format!("{use_of:.0} %")));
    if let Some(During { calls, lines }) = figures.during {
        line(
            "in trouble",
            format!(
                "{calls:.0} calls and {lines:.0} lines of the log a minute; normal {:.0} s after",
                lag.max
            ),
        );
    }
    let memory = figures
        .memory
        .map_or_else(String::new, |memory| format!("{memory:.1} MiB in the controller, "));
    line(
        "cost",
        format!("{memory}{:.1} s of CPU in it, {:.1} s to play", spent.controller, spent.wall),
    );
    let setting = setting(scenario);
    line(
        "peers' calls",
        list(peers::calls(&setting).iter().map(|(name, calls)| (name, calls)), |n| {
            format!("{n:.0}")
        }),
    );
    line("", verdict(scenario, figures));
    text
}

/// Returns the verdict: the figures are within the bounds, or the bounds that they miss.
pub fn verdict(scenario: &Scenario, figures: &Figures) -> String {
    let misses = figures.misses(scenario);
    if misses.is_empty() {
        return "reached".to_owned();
    }
    let told: Vec<String> = misses
        .into_iter()
        .map(|(name, text)| {
            if scenario.expected_misses.contains(&name) {
                format!("{text} (expected)")
            } else {
                text
            }
        })
        .collect();
    format!("MISSED: {}", told.join("; "))
}

fn setting(scenario: &Scenario) -> Setting {
    let layout = &scenario.layout;
    Setting {
        drain: DRAIN,
        instances: layout.instances.div_ceil(layout.clusters),
        target_groups: layout.target_groups,
        balancers: layout.target_groups.div_ceil(layout.clusters),
        heartbeat_timeout: layout.heartbeat_timeout as f64,
    }
}

fn seconds(spread: &Spread) -> String {
    format!(
        "p50 {:.1} s, p99 {:.1} s, max {:.1} s ({})",
        spread.p50, spread.p99, spread.max, spread.count
    )
}

fn list<K: std::fmt::Display, V>(
    entries: impl Iterator<Item = (K, V)>,
    show: impl Fn(V) -> String,
) -> String {
    let entries: Vec<String> =
        entries.map(|(name, value)| format!("{name} {}", show(value))).collect();
    entries.join(", ")
}
