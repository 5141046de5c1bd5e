//! The drain record: the durable state of taking one instance out of service, as it is written to
//! the table.
//!
//! It holds the things that cannot be read again: obligations, the intent, a `DRAINING` that
//! ecs-drain set, watched spans, orders. For people it also holds the last reads. There is no other
//! durable state: a process that starts with this record reads AWS again, and continues.
//!
//! | file | content |
//! | --- | --- |
//! | `origin` | reason for the drain, strategy, action after it, person who ordered it |
//! | `lifecycle` | the lifecycle action to complete, and the intent to complete it |
//! | `obligation` | the targets that must be seen gone first |
//! | `stage` | the phase, with the data of that phase alone |
//! | `item` | the attributes as they are in the table |
//! | `opening` | the beginning of a record: opened, adopted by a hook, opened again; its deadline |

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

use crate::diagnosis::{Cause, Fix};
use crate::phase::{Outcome, Phase};
use crate::why::Why;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema that this program writes. A record with a higher one is left alone.
pub const SCHEMA: u32 = 1;

/// Maximum number of events in a record's history; the first one (the beginning) is never dropped.
pub const HISTORY: usize = 40;

/// Time for which a completion is refused until heartbeats end.
pub const REFUSED_FOR_GOOD: SignedDuration = SignedDuration::from_mins(10);

/// Number of request ids that a record keeps.
pub const REQUESTS: usize = 10;

/// Number of tasks and of targets that are listed for display. Obligations are never cut.
pub const SHOWN: usize = 10;

/// The durable state of one drain.
///
/// Every field except [`Shown`] takes part in decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "item::Item", into = "item::Item")]
pub struct Record {
    /// AWS account, 12 digits.
    pub account: String,
    /// AWS region, such as `eu-west-1`.
    pub region: String,
    /// EC2 instance id, such as `i-0123456789abcdef0`.
    pub instance_id: String,
    /// Name of the controller that owns this drain; several can share one table.
    pub controller: String,
    /// Number of this drain of the instance: a warm-pool instance can be drained more than once.
    pub generation: u64,
    /// Number of writes of this record; every write is conditional on it.
    pub version: u64,
    /// Id of the last write, so that a writer whose answer was lost recognises its own success.
    pub write_id: String,
    /// Beginning of this generation.
    pub created_at: Timestamp,
    /// Time of the last write of this record.
    pub updated_at: Timestamp,

    /// Reason why the drain exists.
    pub origin: Origin,
    /// Order that requested it, if a person did.
    pub requested: Option<Order>,
    /// Method by which the instance is taken out of service.
    pub strategy: Strategy,
    /// The lifecycle action that this drain is to complete. `None` while no ecs-drain hook holds
    /// the instance.
    pub lifecycle: Option<Lifecycle>,
    /// Name of the Auto Scaling group that the instance is in. `None` if it was in none when the
    /// drain began.
    pub group: Option<String>,
    /// Action after the drain, if no ecs-drain hook holds the instance.
    pub then: Option<Then>,

    /// Phase of the drain, with its data.
    pub stage: Stage,
    /// Beginning of that phase.
    pub phase_since: Timestamp,
    /// The policy's deadline, if it sets one.
    pub deadline: Option<Timestamp>,
    /// Moment at which the hook's global timeout ends the wait, regardless of heartbeats: 48 hours
    /// or 100 heartbeat timeouts after the wait began, the smaller. Counted from when the record
    /// was opened or adopted the wait, so the true limit can be earlier by the time before that. (Source: Auto Scaling API reference,
    /// `GlobalTimeout`.) `None` while no ecs-drain hook holds the instance.
    pub global_limit: Option<Timestamp>,
    /// Time at which the group was last asked to terminate the instance, in an operator's drain.
    pub termination_asked_at: Option<Timestamp>,
    /// Time at which the group was first seen to keep the instance as `Terminating:Retained` after
    /// an `ABANDON` by ecs-drain. Its next termination ends with `CONTINUE`.
    pub retained_at: Option<Timestamp>,
    /// An operator's orders.
    pub orders: Orders,

    /// Name of the instance's cluster; of the first one, if it is registered in several. `None`
    /// while it is in no cluster.
    pub cluster: Option<String>,
    /// All container instances of this EC2 instance, in all clusters.
    pub container_instances: Vec<ContainerInstance>,
    /// Every target that must be seen gone before completion. Only grows; never cut.
    pub obligations: Vec<Obligation>,
    /// Number of tasks of each service that the drain began with, by `cluster/service`. `None`
    /// before it begins, and if it began before its tasks were known.
    pub services: Option<BTreeMap<String, u32>>,
    /// Standalone tasks that ecs-drain decided to stop, by the last part of their ARN.
    pub stopped_tasks: Vec<String>,

    /// Number of failed tries of the present step.
    pub attempts: u32,
    /// The last failure.
    pub last_error: Option<LastError>,
    /// Events of the drain, oldest first.
    pub history: Vec<Event>,
    /// The display of the drain, for people.
    pub shown: Shown,
}

/// An operator's orders for one drain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// The drain is paused: heartbeats continue, all else waits.
    pub pause: Option<Order>,
    /// The drain is cancelled.
    pub cancel: Option<Order>,
    /// The wait ends now, even if tasks or targets are left.
    pub force: Option<Order>,
    /// Ids of the requests that were carried out on this record, the newest last, at most
    /// [`REQUESTS`]: a request that is read twice does nothing the second time.
    pub requests: Vec<String>,
}

/// The display of a drain, for people: its reason, its causes, and the tasks and targets of the
/// last reads. No decision rests on it, and it is written together with the fields that decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Name of the reason, one word (see [`Why::name`]).
    pub why: String,
    /// The reason in a sentence.
    pub message: String,
    /// Causes that keep the drain from moving, as far as the diagnosis found them; empty while it
    /// moves.
    pub causes: Vec<Note>,
    /// Time of the last progress of a drain that has made none for the policy's `stuck_after`.
    /// `None` while it is not stuck.
    pub stuck_since: Option<Timestamp>,
    /// Tags of its group that do not count as settings, each with its mistake.
    pub bad_tags: Vec<String>,
    /// Tasks that were left when this was written, the first [`SHOWN`] of them.
    pub tasks_left: Vec<String>,
    /// Number of tasks that matter and were left.
    pub tasks_left_count: u32,
    /// Targets that were left when this was written, the first [`SHOWN`] of them.
    pub targets_left: Vec<String>,
    /// Number of targets that were left.
    pub targets_left_count: u32,
}

/// One registration of the EC2 instance with an ECS cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerInstance {
    /// Name of the cluster.
    pub cluster: String,
    /// ARN of the container instance.
    pub arn: String,
    /// True if the container instance was `ACTIVE` when ecs-drain first asked for `DRAINING`: only
    /// then may ecs-drain undo it.
    #[serde(default)]
    pub draining_is_ours: bool,
    /// Strategy `deregister`: time at which the forced deregistration was decided. From then on
    /// ECS's status of its tasks is no evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deregistered_at: Option<Timestamp>,
    /// Time for which it has been watched `DRAINING` or gone, seconds, by the monotonic clocks of
    /// all processes that watched, one after the other. Written if the grace of standalone tasks is
    /// measured by it.
    #[serde(default, skip_serializing_if = "obligation::is_zero")]
    pub drained_for_seconds: u32,
    /// Time for which it has been watched gone from its cluster since it was deregistered, seconds,
    /// by the monotonic clocks of all processes that watched, one after the other.
    #[serde(default, skip_serializing_if = "obligation::is_zero")]
    pub gone_for_seconds: u32,
}

/// One cause that keeps a drain from moving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Name of the cause, one word from a closed list (see [`crate::diagnosis`]).
    pub name: String,
    /// The cause in a sentence, with the action that ends it.
    pub text: String,
    /// The call that ends it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

impl From<&Cause> for Note {
    fn from(cause: &Cause) -> Note {
        Note { name: cause.name().to_owned(), text: cause.to_string(), fix: cause.fix() }
    }
}

/// A failure, kept for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// Time of the failure.
    pub at: Timestamp,
    /// The call, its object, and its error.
    pub what: String,
}

/// One event of a drain's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Time of the event.
    pub at: Timestamp,
    /// The phase that was entered, or in which it happened.
    pub phase: Phase,
    /// The event, in a sentence.
    pub what: String,
}

impl Record {
    /// Returns the record's key in the table: account, region and instance.
    pub fn key(&self) -> String {
        key(&self.account, &self.region, &self.instance_id)
    }

    /// Returns the phase of the drain.
    pub const fn phase(&self) -> Phase {
        self.stage.phase()
    }

    /// Returns the intent of the completion, before and after the call.
    pub const fn intent(&self) -> Option<&Intent> {
        self.stage.intent()
    }

    /// Returns the outcome, once the drain is done.
    pub const fn outcome(&self) -> Option<Outcome> {
        if let Stage::Done { outcome, .. } = &self.stage { Some(*outcome) } else { None }
    }

    /// Returns whether ecs-drain has nothing left to do but to wait until the instance goes, or is
    /// in service again.
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

    /// Returns the name of the instance's Auto Scaling group, as far as it is known.
    pub fn group(&self) -> Option<&str> {
        self.lifecycle.as_ref().map(|l| l.group.as_str()).or(self.group.as_deref())
    }

    /// Returns whether a target must be seen gone before this drain continues.
    ///
    /// An order to terminate the instance does not wait for targets that the group itself
    /// deregisters at the termination: the group takes the instance out of its own balancers, and
    /// waits until they have drained it, before any hook begins. (Source: Amazon EC2 Auto Scaling
    /// user guide, "How Elastic Load Balancing works with Auto Scaling": deregistration and
    /// connection draining come before the hook.)
    pub fn waits_for(&self, obligation: &Obligation) -> bool {
        let terminates = matches!(self.then, Some(Then::Terminate | Then::TerminateAndShrink));
        !(obligation.of_group_alone && terminates && self.lifecycle.is_none())
    }

    /// Returns whether the instance lives on once its lifecycle action is over.
    pub fn lives_on(&self) -> bool {
        self.lifecycle.as_ref().is_some_and(|l| l.kind.lives_on())
    }

    /// Returns whether the completion of its lifecycle action has been refused for so long,
    /// although the evidence was there, that heartbeats end. Then the hook's default result ends
    /// the wait.
    pub fn is_refused_for_good(&self) -> bool {
        let Stage::Completing { refused_since: Some(since), .. } = self.stage else { return false };
        self.updated_at.duration_since(since) >= REFUSED_FOR_GOOD && self.orders.pause.is_none()
    }

    /// Returns whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done { .. })
    }

    /// Adds an event to the history. When the history is full, drops the oldest event but the
    /// first.
    pub fn note(&mut self, at: Timestamp, what: impl Into<String>) {
        if self.history.len() >= HISTORY {
            self.history.remove(1);
        }
        self.history.push(Event { at, phase: self.phase(), what: what.into() });
    }

    /// Sets the displayed reason, followed by the first cause if one is known. A task that both
    /// name is named once.
    pub fn explain(&mut self, why: &Why, now: Timestamp) {
        why.name().clone_into(&mut self.shown.why);
        let cause = self.shown.causes.first().map(|cause| cause.text.as_str());
        self.shown.message = match (why, cause) {
            (_, None) => why.sentence(now),
            (Why::TasksLeft(left), Some(cause)) if names_same_task(&left.first, cause) => {
                match left.count {
                    0 | 1 => cause.to_owned(),
                    n => format!("{n} tasks left; {cause}"),
                }
            }
            (_, Some(cause)) => format!("{}; {cause}", why.sentence(now)),
        };
    }
}

/// Returns whether `cause` begins with the task that `reason` names.
fn names_same_task(reason: &str, cause: &str) -> bool {
    let Some(id) = cause.strip_prefix("task ").and_then(|rest| rest.split(' ').next()) else {
        return false;
    };
    let mut words = reason.split(' ').skip_while(|word| *word != "task");
    words.nth(1) == Some(id)
}

/// Returns the key of an instance's record in the table.
pub fn key(account: &str, region: &str, instance_id: &str) -> String {
    format!("{account}/{region}/{instance_id}")
}

/// Returns `at` plus `span`, or the latest possible time if that is beyond it.
pub fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}
