//! The reason of a decision about a rollout, and its progress.

use super::{Rollout, Stage, Turn};
use jiff::{SignedDuration, Timestamp};

/// The thing that a rollout waits for, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its groups or services are not all read yet.
    Reads(&'static str),
    /// The desired capacity of a group is changed.
    Capacity {
        /// Name of the group.
        group: String,
        /// Desired capacity before.
        from: u32,
        /// Desired capacity after.
        to: u32,
    },
    /// Replacements are missing, or not yet fit for long enough.
    Replacements {
        /// Name of the group.
        group: String,
        /// Number of fit instances that are not old.
        fit: u32,
        /// Number that is needed.
        needed: u32,
        /// The missing condition of one of the others.
        missing: String,
    },
    /// Instances drain.
    Drains {
        /// Number of instances.
        count: u32,
        /// True if they give extra capacity back.
        surplus: bool,
    },
    /// An operator paused it, or a cluster, or everything.
    Paused(String),
    /// It stopped by itself.
    Stopped(String),
    /// It is done.
    Done(&'static str),
}

impl Why {
    /// Returns the name in the table.
    pub const fn name(&self) -> &'static str {
        match self {
            Why::Reads(_) => "reads",
            Why::Capacity { .. } => "capacity",
            Why::Replacements { .. } => "replacements",
            Why::Drains { surplus: false, .. } => "drains",
            Why::Drains { surplus: true, .. } => "surplus",
            Why::Paused(_) => "paused",
            Why::Stopped(_) => "stopped",
            Why::Done(_) => "done",
        }
    }

    /// Returns the reason in a sentence, without the period.
    pub fn sentence(&self) -> String {
        match self {
            Why::Reads(what) => format!("{what} must be read"),
            Why::Capacity { group, from, to } => {
                format!("the desired capacity of group {group} is changed from {from} to {to}")
            }
            Why::Replacements { group, fit, needed, missing } => {
                format!("{fit} of {needed} new instances of group {group} are fit; {missing}")
            }
            // The number of one group would contradict the counts of the rollout.
            Why::Drains { surplus: false, .. } => "waits for drains of old instances".to_owned(),
            Why::Drains { count, surplus: true } => {
                format!("instances drain to give extra capacity back: {count}")
            }
            Why::Paused(by) => format!("paused by {by}"),
            Why::Stopped(why) => format!("stopped: {why}"),
            Why::Done(outcome) => (*outcome).to_owned(),
        }
    }
}

/// Progress of a rollout, in instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Number of old instances.
    pub total: u32,
    /// Number that has left.
    pub left: u32,
    /// Number whose drain is ordered.
    pub draining: u32,
    /// Number that waits.
    pub waiting: u32,
    /// Number that is kept.
    pub kept: u32,
    /// Extra capacity that is not given back yet.
    pub surplus: u32,
}

impl Rollout {
    /// Counts the old instances.
    pub fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        for group in self.groups.values() {
            for turn in group.old.values() {
                progress.total += 1;
                *match turn {
                    Turn::Waiting => &mut progress.waiting,
                    Turn::Terminate | Turn::Shrink => &mut progress.draining,
                    Turn::Replaced | Turn::GivenBack | Turn::Gone => &mut progress.left,
                    Turn::Kept => &mut progress.kept,
                } += 1;
            }
            progress.surplus += group.raised().saturating_sub(group.given_back());
        }
        progress
    }

    /// Returns the estimated time until every old instance has left: the time that each took so
    /// far, for those that are left. `None` until the first has left, and while it does not run.
    pub fn estimate(&self, now: Timestamp) -> Option<SignedDuration> {
        let (progress, started) = (self.progress(), self.started_at?);
        let runs = matches!(self.stage, Stage::Running);
        if !runs || progress.left == 0 {
            return None;
        }
        let open = i32::try_from(progress.waiting + progress.draining).unwrap_or(i32::MAX);
        let left = i32::try_from(progress.left).unwrap_or(i32::MAX);
        Some(now.duration_since(started) / left * open)
    }
}
