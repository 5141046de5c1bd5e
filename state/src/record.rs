//! The drain record: the durable state of taking one instance out of service, as it is written to
//! the table.
//!
//! It holds what cannot be seen again (obligations, the intent, that ecs-drain set a `DRAINING`,
//! watched spans, orders) and, for people, what was last seen. There is no other truth: a process
//! that starts with this record and the world reads again, and continues.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `origin` | why a drain exists, how it is done, what comes after, who ordered it |
//! | `lifecycle` | the lifecycle action that it is to complete, and the intent to |
//! | `obligation` | the registrations that must be seen gone first |
//! | `stage` | where it stands, with what only that stage has |
//! | `item` | the attributes as they are in the table |
//! | `opening` | how a record begins: opened, adopted by a lifecycle action, opened again; its deadline |

mod item;
mod lifecycle;
mod obligation;
mod opening;
mod origin;
mod stage;
#[cfg(test)]
mod tests;

pub use lifecycle::{ActionResult, Intent, Lifecycle, WaitKind};
pub use obligation::{Balancer, Obligation, Target};
pub use opening::{Opening, latest_deadline};
pub use origin::{Order, Origin, Strategy, Then};
pub use stage::Stage;

use crate::phase::{Outcome, Phase};
use crate::why::Why;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The schema that this program writes. A record with a higher one is left alone.
pub const SCHEMA: u32 = 1;

/// How many events a record's history keeps; the first one (how it began) is never dropped.
pub const HISTORY: usize = 40;

/// How long a completion is refused until heartbeats end.
pub const REFUSED_FOR_GOOD: SignedDuration = SignedDuration::from_mins(10);

/// How many ids of requests a record keeps.
pub const REQUESTS: usize = 10;

/// How many tasks and targets are listed for display. Obligations are never cut.
pub const SHOWN: usize = 10;

/// The durable state of one drain.
///
/// What stands here decides, but for [`Shown`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "item::Item", into = "item::Item")]
pub struct Record {
    /// AWS account, 12 digits.
    pub account: String,
    /// AWS region, such as `eu-west-1`.
    pub region: String,
    /// EC2 instance id, such as `i-0123456789abcdef0`.
    pub instance_id: String,
    /// The name of the controller that owns this drain; several can share one table.
    pub controller: String,
    /// Counts the drains of this instance: a warm-pool instance can be drained more than once.
    pub generation: u64,
    /// Counts the writes of this record; every write is conditional on it.
    pub version: u64,
    /// Names the last write, so that a writer whose answer was lost recognises its own success.
    pub write_id: String,
    /// When this generation began.
    pub created_at: Timestamp,
    /// When this record was last written.
    pub updated_at: Timestamp,

    /// Why the drain exists.
    pub origin: Origin,
    /// Who asked for it, if somebody did.
    pub requested: Option<Order>,
    /// How the instance is taken out of service.
    pub strategy: Strategy,
    /// The lifecycle action that this drain is to complete; None while no hook of ours holds the
    /// instance.
    pub lifecycle: Option<Lifecycle>,
    /// Name of the Auto Scaling group that the instance is in; None if it was in none when the
    /// drain began.
    pub group: Option<String>,
    /// What comes after the drain, where no hook of ours holds the instance.
    pub then: Option<Then>,

    /// Where the drain stands.
    pub stage: Stage,
    /// When that was entered.
    pub phase_since: Timestamp,
    /// When the policy's deadline passes, if it sets one.
    pub deadline: Option<Timestamp>,
    /// When the hook's global limit ends the wait, whatever we do: 48 hours or 100 heartbeat
    /// timeouts after the wait began, the smaller. Counted from when we first saw it, so the true
    /// limit is not later. (Source: Auto Scaling API reference, `GlobalTimeout`.) None while no
    /// hook of ours holds the instance.
    pub global_limit: Option<Timestamp>,
    /// When the group was last asked to terminate the instance: an operator's drain.
    pub termination_asked_at: Option<Timestamp>,
    /// When the group was first seen to keep the instance as `Terminating:Retained` after our
    /// `ABANDON`. Its next termination ends with `CONTINUE`.
    pub retained_at: Option<Timestamp>,
    /// What an operator ordered.
    pub orders: Orders,

    /// Name of the instance's cluster; of the first one, if it is registered in several. None while
    /// it is in no cluster.
    pub cluster: Option<String>,
    /// All container instances of this EC2 instance, in all clusters.
    pub container_instances: Vec<ContainerInstance>,
    /// Every registration that must be seen gone before completion. Only grows; never cut.
    pub obligations: Vec<Obligation>,
    /// Standalone tasks that ecs-drain decided to stop, by the last part of their ARN.
    pub stopped_tasks: Vec<String>,

    /// How often the present step was tried in vain.
    pub attempts: u32,
    /// The last thing that went wrong.
    pub last_error: Option<LastError>,
    /// What happened, oldest first.
    pub history: Vec<Event>,
    /// What was last seen, for people.
    pub shown: Shown,
}

/// What an operator ordered for one drain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// The drain is paused: heartbeats go on, nothing else is done.
    pub pause: Option<Order>,
    /// It is given up.
    pub cancel: Option<Order>,
    /// Its wait ends now, whatever is left.
    pub force: Option<Order>,
    /// Ids of the requests that were carried out on this record, the newest last, [`REQUESTS`] at
    /// most: a request that is read twice does nothing the second time.
    pub requests: Vec<String>,
}

/// What was last seen, for people. Nothing is decided by it, and it is written with what is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Why the drain is where it is, one word (see [`Why::name`]).
    pub why: String,
    /// The same in a sentence.
    pub message: String,
    /// Why it does not move, as far as was found out; empty while it moves.
    pub causes: Vec<Note>,
    /// The last progress of a drain that has made none for the policy's `stuck_after`; None while
    /// it is not stuck.
    pub stuck_since: Option<Timestamp>,
    /// The tasks that were still there when this was written, the first [`SHOWN`] of them.
    pub tasks_left: Vec<String>,
    /// How many tasks that matter were still there.
    pub tasks_left_count: u32,
    /// The registrations that were still there when this was written, the first [`SHOWN`] of them.
    pub targets_left: Vec<String>,
    /// How many registrations were still there.
    pub targets_left_count: u32,
}

/// One registration of the EC2 instance with ECS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerInstance {
    /// Name of the cluster.
    pub cluster: String,
    /// ARN of the container instance.
    pub arn: String,
    /// The container instance was `ACTIVE` when we first asked for `DRAINING`: only then may we
    /// ever undo it.
    #[serde(default)]
    pub draining_is_ours: bool,
    /// Strategy `deregister`: when the forced deregistration was decided. From then on ECS's word
    /// about its tasks is no evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deregistered_at: Option<Timestamp>,
    /// For how long it has been watched `DRAINING` or gone, by the monotonic clocks of all
    /// processes that watched, one after the other; seconds. Written where the grace of standalone
    /// tasks is measured by it.
    #[serde(default, skip_serializing_if = "obligation::is_zero")]
    pub drained_for_seconds: u32,
    /// For how long it has been watched gone from its cluster since it was deregistered, by the
    /// monotonic clocks of all processes that watched, one after the other; seconds.
    #[serde(default, skip_serializing_if = "obligation::is_zero")]
    pub gone_for_seconds: u32,
}

/// Why a drain does not move: one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// One word for it, from a closed list (see [`crate::diagnosis`]).
    pub name: String,
    /// The same in a sentence, with what to do about it.
    pub text: String,
}

/// Something that went wrong, kept for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// What was tried, on what, and what came back.
    pub what: String,
}

/// One line of a drain's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// The phase that was entered, or in which this happened.
    pub phase: Phase,
    /// What happened, in a sentence.
    pub what: String,
}

impl Record {
    /// The record's key in the table: account, region and instance.
    pub fn key(&self) -> String {
        key(&self.account, &self.region, &self.instance_id)
    }

    /// The phase that it is in.
    pub const fn phase(&self) -> Phase {
        self.stage.phase()
    }

    /// What Auto Scaling is to be told, or was.
    pub const fn intent(&self) -> Option<&Intent> {
        self.stage.intent()
    }

    /// How it ended, once it is done.
    pub const fn outcome(&self) -> Option<Outcome> {
        if let Stage::Done { outcome, .. } = &self.stage { Some(*outcome) } else { None }
    }

    /// Whether nothing is left of this drain but to wait until its instance goes, or is in service
    /// again.
    pub fn waits_for_others(&self) -> bool {
        let is_left = self.lifecycle.is_none() && self.then == Some(Then::Leave);
        self.phase() == Phase::Returning || (self.phase() == Phase::Verifying && is_left)
    }

    /// Remembers that a request was carried out on this record.
    pub fn remember_request(&mut self, id: String) {
        self.orders.requests.push(id);
        let extra = self.orders.requests.len().saturating_sub(REQUESTS);
        self.orders.requests.drain(..extra);
    }

    /// Name of the instance's Auto Scaling group, as far as it is known.
    pub fn group(&self) -> Option<&str> {
        self.lifecycle.as_ref().map(|l| l.group.as_str()).or(self.group.as_deref())
    }

    /// Whether a registration has to be seen gone before this drain goes on. An order to terminate
    /// the instance does not wait for what the group itself undoes when it is told: it leaves its
    /// own balancers, and waits until they have drained the instance, before any hook hears of it.
    /// (Source: Amazon EC2 Auto Scaling user guide, "How Elastic Load Balancing works with Auto
    /// Scaling": deregistration and connection draining come before the hook.)
    pub fn waits_for(&self, obligation: &Obligation) -> bool {
        let terminates = matches!(self.then, Some(Then::Terminate | Then::TerminateAndShrink));
        !(obligation.of_group_alone && terminates && self.lifecycle.is_none())
    }

    /// Whether the instance goes on living once its lifecycle action is over.
    pub fn lives_on(&self) -> bool {
        self.lifecycle.as_ref().is_some_and(|l| l.kind.lives_on())
    }

    /// Returns whether the completion of its lifecycle action has been refused for so long,
    /// although the evidence was there, that heartbeats end, and the hook's own result ends the
    /// wait.
    pub fn is_refused_for_good(&self) -> bool {
        let Stage::Completing { refused_since: Some(since), .. } = self.stage else { return false };
        self.updated_at.duration_since(since) >= REFUSED_FOR_GOOD && self.orders.pause.is_none()
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done { .. })
    }

    /// Adds a line to the history, dropping the oldest but the first when it is full.
    pub fn note(&mut self, at: Timestamp, what: impl Into<String>) {
        if self.history.len() >= HISTORY {
            self.history.remove(1);
        }
        self.history.push(Event { at, phase: self.phase(), what: what.into() });
    }

    /// Says why the drain is where it is, and, where that is known, why it does not move.
    pub fn explain(&mut self, why: &Why) {
        why.name().clone_into(&mut self.shown.why);
        self.shown.message = match self.shown.causes.first() {
            Some(cause) => format!("{why}; {}", cause.text),
            None => why.to_string(),
        };
    }
}

/// The key of an instance's record in the table.
pub fn key(account: &str, region: &str, instance_id: &str) -> String {
    format!("{account}/{region}/{instance_id}")
}

/// `at` plus `span`, or the end of time where that is beyond it.
pub fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}
