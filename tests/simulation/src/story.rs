//! A failing seed, as a story that a person can follow.

use crate::judge::Complaint;
use crate::many::complaints;
use crate::plan::{Plan, plan};
use crate::play::{Played, play};
use crate::shrink::shrink;
use aws_simulator::Simulator;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The number of calls before the end that a story shows.
const LAST: usize = 150;

/// Returns the smallest plan that fails in the same way as this complaint, its complaints, and the
/// calls before that.
pub fn story(seed: u64, first: &Complaint) -> String {
    let same =
        |plan: &Plan| complaints(plan, |_| {}).iter().any(|complaint| complaint.kind == first.kind);
    let smallest = shrink(plan(seed), same);
    let mut text =
        format!("the smallest plan found that fails with \"{}\":\n\n{smallest}\n", first.kind);
    if let Ok(played) = catch_unwind(AssertUnwindSafe(|| play(&smallest))) {
        let _ = writeln!(
            text,
            "after {:?}, {} calls, {} lives:",
            played.took, played.calls, played.lives
        );
        text.extend(played.complaints.iter().map(|complaint| format!("  {complaint}\n")));
        let of = played.complaints.iter().find(|complaint| complaint.kind == first.kind);
        let _ = writeln!(
            text,
            "\n{}",
            calls(&played, of.map_or("", |complaint| complaint.instance.as_str()))
        );
    }
    let _ = write!(text, "\ncargo run --release --bin simulation -- --seed {seed}");
    text
}

/// Returns the last calls of each region, without those that only keep the lease and look for work.
/// If an instance is named, without calls that are about others alone.
fn calls(played: &Played, instance: &str) -> String {
    let near = calls_in(&played.simulator, instance);
    let far = played
        .far
        .iter()
        .map(|far| format!("\n\nin the second region:\n{}", calls_in(far, instance)));
    far.fold(near, |text, far| text + &far)
}

fn calls_in(region: &Simulator, instance: &str) -> String {
    let dull =
        ["lease/", "IndexName=", "DescribeAutoScalingGroups", "BatchGetItem", "ReceiveMessage"];
    let tells = |line: &str| !dull.iter().any(|dull| line.contains(dull)) || !line.ends_with("200");
    let concerns = |line: &str| line.contains(instance) || !line.contains("i-0");
    region.peek(|cloud| {
        let ours = cloud
            .log
            .entries()
            .iter()
            .filter(|entry| entry.number.is_some())
            .map(ToString::to_string);
        let lines: Vec<_> = ours.filter(|line| tells(line) && concerns(line)).collect();
        lines[lines.len().saturating_sub(LAST)..].join("\n")
    })
}
