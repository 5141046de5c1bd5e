//! A rollout: the replacement of the old instances of Auto Scaling groups, with new capacity first.
//!
//! A rollout drains nothing itself. It decides when the drain of each old instance is ordered; each
//! is a drain like any other, with every safeguard and budget. Desired capacity is raised once, and
//! given back by terminations that lower it by one each, so that the sum is the same whatever
//! others do to the group meanwhile.
//!
//! | file | content |
//! | --- | --- |
//! | `select` | the condition that makes an instance old |
//! | `sight` | the reads that a decision needs |
//! | `decide` | record + sight + now → record to save, actions |
//! | `settle` | the part of a decision that takes over results: drains that ended, capacity that changed |
//! | `ending` | the return of extra capacity, and of instances after an abort or undo |
//! | `trouble` | the reasons for which a rollout stops by itself |
//! | `request` | an operator's request, and its effect on a rollout |
//! | `spans` | memory of the time for which reads have shown something |
//! | `why` | the reason of a decision, and progress |

mod decide;
mod ending;
mod request;
mod select;
mod settle;
mod sight;
mod spans;
#[cfg(test)]
mod tests;
mod trouble;
mod why;

pub use decide::{Action, Decision, decide};
pub use request::{Applied, Request, Start, What, apply, check_name};
pub use select::{Selection, Traits};
pub use sight::{
    CapacityAnswer, DrainSight, GroupSight, InstanceSight, MemberSight, ShortService, Sight,
};
pub use spans::Spans;
pub use why::{Progress, Why};

use crate::record::{HISTORY, Order, REQUESTS, Then, later};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The schema that this program writes. A rollout with a higher one is left alone.
pub const SCHEMA: u32 = 1;

/// Maximum number of old instances of one rollout: its record must fit into an item of the table.
pub const MOST: usize = 2_000;

/// Maximum number of groups of one rollout.
pub const MOST_GROUPS: usize = 100;

/// Maximum number of services that are noted as short of tasks before the rollout.
const MOST_SHORT: usize = 200;

/// Longest reason of a stop, in characters: it can quote a drain.
const LONGEST_REASON: usize = 1_000;

/// Time for which a finished rollout is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The durable state of one rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// AWS account, 12 digits.
    pub account: String,
    /// AWS region, such as `eu-west-1`.
    pub region: String,
    /// Name that the operator gave; unique in its account and region.
    pub name: String,
    /// Name of the controller that carries it out.
    pub controller: String,
    /// Schema of this record, see [`SCHEMA`].
    pub schema: u32,
    /// Number of this rollout of the name.
    pub generation: u64,
    /// Number of writes of this record; every write is conditional on it.
    pub version: u64,
    /// Id of the last write.
    pub write_id: String,
    /// Time of the request.
    pub created_at: Timestamp,
    /// Time of the last write.
    pub updated_at: Timestamp,
    /// Order that requested it.
    pub requested: Order,
    /// Condition that made the instances old.
    pub selection: Selection,
    /// The operator's options.
    pub options: Options,
    /// Step that the rollout is in.
    pub stage: Stage,
    /// Beginning of that step.
    pub stage_since: Timestamp,
    /// Time at which the first group was counted. `None` before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The groups, by name, with their old instances.
    pub groups: BTreeMap<String, Group>,
    /// Services that were below their desired count before the rollout, as `cluster/service`. They
    /// do not stop it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub short_before: BTreeSet<String>,
    /// Ids of the requests that were carried out on this record, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<String>,
    /// Events, oldest first.
    pub history: Vec<Event>,
    /// Name of the reason, one word (see [`Why::name`]).
    pub why: String,
    /// The reason in a sentence.
    pub message: String,
    /// Time from which the table may delete the record, seconds since 1970. `None` until it is
    /// done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

/// Options of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Capacity that each group gets first.
    pub surge: Surge,
    /// Number of instances of a group that are drained at once where it has no extra capacity.
    pub wave: u32,
    /// Time for which a replacement must have been fit, seconds.
    pub soak_seconds: u32,
    /// Time without progress after which the rollout stops, seconds.
    pub stuck_seconds: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options { surge: Surge::All, wave: 1, soak_seconds: 120, stuck_seconds: 1_800 }
    }
}

/// Capacity that is added to each group before its old instances are drained. The group's maximum
/// limits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Surge {
    /// One new instance for each old one.
    All,
    /// This many, at most one for each old one.
    Count(u32),
    /// This part of the old ones, in percent, rounded up.
    Percent(u32),
    /// None: old instances leave first.
    None,
}

impl Surge {
    /// Returns the number of instances to add for this many old ones, where the group has room for
    /// `room` more.
    pub fn of(self, old: u32, room: u32) -> u32 {
        let wanted = match self {
            Surge::All => old,
            Surge::Count(count) => count,
            Surge::Percent(percent) => {
                let part = (u64::from(old) * u64::from(percent)).div_ceil(100);
                u32::try_from(part).unwrap_or(u32::MAX)
            }
            Surge::None => 0,
        };
        wanted.min(old).min(room)
    }
}

/// Step of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Its groups and services are read for the first time; nothing was changed yet.
    Counting,
    /// Old instances are replaced.
    Running,
    /// An operator paused it: no further drain begins.
    Paused {
        /// The operator's order.
        by: Order,
    },
    /// It stopped by itself: no further drain begins.
    Stopped {
        /// The reason, in a sentence.
        why: String,
    },
    /// No further drain begins; drains under way finish, and extra capacity is given back.
    Aborting,
    /// Drains under way are cancelled, and extra capacity is given back.
    Undoing,
    /// Nothing is left to do.
    Done {
        /// Result.
        outcome: Outcome,
    },
}

/// Name of the stage in which a rollout stopped by itself.
pub const STOPPED: &str = "Stopped";

impl Stage {
    /// Returns the name of the stage, as it is displayed.
    pub const fn name(&self) -> &'static str {
        match self {
            Stage::Counting => "Counting",
            Stage::Running => "Running",
            Stage::Paused { .. } => "Paused",
            Stage::Stopped { .. } => STOPPED,
            Stage::Aborting => "Aborting",
            Stage::Undoing => "Undoing",
            Stage::Done { .. } => "Done",
        }
    }
}

/// Result of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Every old instance has left.
    Replaced,
    /// An operator ended it early; drains that were under way finished.
    Aborted,
    /// An operator ended it early; drains that were under way were cancelled.
    Undone,
}

impl Outcome {
    /// Returns the name of the outcome.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Replaced => "Replaced",
            Outcome::Aborted => "Aborted",
            Outcome::Undone => "Undone",
        }
    }
}

/// One Auto Scaling group of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Name of the cluster of its instances.
    pub cluster: String,
    /// Desired capacity when it was first read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u32>,
    /// The increase of its desired capacity. `None` until it is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raise: Option<Change>,
    /// The decrease by capacity for which no instance came, while its call is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower: Option<Change>,
    /// Capacity that such decreases gave back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lowered: u32,
    /// The old instances, by EC2 instance id.
    pub old: BTreeMap<String, Turn>,
    /// Other instances that are drained to give capacity back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub returned: BTreeMap<String, Turn>,
    /// Time since when it waits for replacements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_since: Option<Timestamp>,
}

// serde passes the field by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A change of a group's desired capacity. It is in the table before its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Desired capacity before.
    pub from: u32,
    /// Desired capacity after.
    pub to: u32,
    /// Time of the decision.
    pub at: Timestamp,
    /// Result of the call.
    pub state: ChangeState,
}

/// Result of the call that changes the desired capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeState {
    /// Not known yet.
    Sending,
    /// It was applied.
    Applied,
    /// Its answer was lost, and the group shows a third value: somebody else changed it too. It
    /// counts as applied, and only capacity above `from` is given back.
    Unsure,
}

/// Progress of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// Its drain is not ordered yet.
    Waiting,
    /// Its drain is ordered; the group replaces it.
    Terminate,
    /// Its drain is ordered; the group's desired capacity falls by one.
    Shrink,
    /// It has left, and its group replaces it.
    Replaced,
    /// It has left, and desired capacity fell by one.
    GivenBack,
    /// It has left for another reason.
    Gone,
    /// The rollout ended before its drain, or its drain was cancelled.
    Kept,
}

impl Turn {
    /// Returns the word for people.
    pub const fn name(self) -> &'static str {
        match self {
            Turn::Waiting => "waiting",
            Turn::Terminate | Turn::Shrink => "draining",
            Turn::Replaced | Turn::GivenBack => "replaced",
            Turn::Gone => "gone",
            Turn::Kept => "kept",
        }
    }

    /// Returns the action after its drain, while the drain is ordered.
    pub const fn ordered(self) -> Option<Then> {
        match self {
            Turn::Terminate => Some(Then::Terminate),
            Turn::Shrink => Some(Then::TerminateAndShrink),
            Turn::Waiting | Turn::Replaced | Turn::GivenBack | Turn::Gone | Turn::Kept => None,
        }
    }

    const fn takes_capacity(self) -> bool {
        matches!(self, Turn::Shrink | Turn::GivenBack)
    }
}

/// One event of a rollout's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Time of the event.
    pub at: Timestamp,
    /// The event, in a sentence.
    pub what: String,
}

impl Group {
    /// Returns the capacity by which it was raised, as far as that counts as applied.
    pub fn raised(&self) -> u32 {
        let applied = self.raise.filter(|raise| raise.state != ChangeState::Sending);
        applied.map_or(0, |raise| raise.to.saturating_sub(raise.from))
    }

    /// Returns the capacity that was given back, by terminations and by decreases.
    pub fn given_back(&self) -> u32 {
        let all = self.old.values().chain(self.returned.values());
        count(all.filter(|turn| **turn == Turn::GivenBack)).saturating_add(self.lowered)
    }

    /// Returns the extra capacity for whose return nothing was ordered yet. An instance that an
    /// operator keeps, although its drain was to give capacity back, counts as returned.
    pub fn surplus(&self) -> u32 {
        let old = count(self.old.values().filter(|turn| turn.takes_capacity()));
        let kept = |turn: &&Turn| turn.takes_capacity() || **turn == Turn::Kept;
        let returned = count(self.returned.values().filter(kept));
        self.raised().saturating_sub(old).saturating_sub(returned).saturating_sub(self.lowered)
    }

    /// Returns the instances whose drain is ordered and has not ended.
    pub fn ordered(&self) -> impl Iterator<Item = (&String, Then)> {
        let all = self.old.iter().chain(&self.returned);
        all.filter_map(|(id, turn)| Some((id, turn.ordered()?)))
    }
}

impl Rollout {
    /// Returns the key of its item in the table.
    pub fn key(&self) -> String {
        key(&self.controller, &self.account, &self.region, &self.name)
    }

    /// Returns whether nothing is left to do.
    pub const fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done { .. })
    }

    /// Returns the id that the drains of this rollout carry as that of their request.
    pub fn request_id(&self) -> String {
        format!("rollout-{}-{}", self.name, self.generation)
    }

    /// Returns the order that the drains of this rollout show: its name, and the operator's.
    pub fn order(&self) -> Order {
        Order {
            by: format!("rollout {} of {}", self.name, self.requested.by),
            reason: self.requested.reason.clone(),
            at: self.requested.at,
        }
    }

    /// Adds an event to the history. When the history is full, drops the oldest event but the
    /// first.
    pub fn note(&mut self, at: Timestamp, what: impl Into<String>) {
        if self.history.len() >= HISTORY {
            self.history.remove(1);
        }
        self.history.push(Event { at, what: what.into() });
    }

    fn enter(&mut self, stage: Stage, now: Timestamp) {
        if let Stage::Done { .. } = stage {
            self.expires_at = Some(later(now, KEPT).as_second());
        }
        (self.stage, self.stage_since) = (stage, now);
    }

    fn stop(&mut self, why: String, now: Timestamp) {
        let why: String = why.chars().take(LONGEST_REASON).collect();
        self.note(now, format!("stopped: {why}"));
        self.enter(Stage::Stopped { why }, now);
    }

    fn remember_request(&mut self, id: String) {
        self.requests.push(id);
        let extra = self.requests.len().saturating_sub(REQUESTS);
        self.requests.drain(..extra);
    }
}

/// Returns the key of a rollout's item in the table.
pub fn key(controller: &str, account: &str, region: &str, name: &str) -> String {
    format!("{KEY_PREFIX}{controller}/{account}/{region}/{name}")
}

/// Prefix of the key of every rollout. No record's key has it: those begin with 12 digits.
pub const KEY_PREFIX: &str = "rollout/";

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
