//! The drain record: the durable state of taking one instance out of service, as it is written to the table.
//!
//! It holds what cannot be seen again (obligations, the intent, that a `DRAINING` is ours) and, for people, what was
//! last seen. There is no other truth: a process that starts with this record and the world goes on as if it had never
//! stopped.

use crate::phase::{Outcome, Phase};
use crate::why::Why;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The schema that this program writes. A record with a higher one is left alone.
pub const SCHEMA: u32 = 1;

/// How many events a record's history keeps; the first one (how it began) is never dropped.
pub const HISTORY: usize = 40;

/// How many tasks and targets are listed for display. Obligations are never cut.
pub const SHOWN: usize = 10;

/// The durable state of one drain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// The shape of this record, see [`SCHEMA`].
    pub schema: u32,

    /// Why the drain exists.
    pub origin: Origin,
    /// How the instance is taken out of service.
    pub strategy: Strategy,
    /// The lifecycle action that this drain is to complete.
    pub lifecycle: Lifecycle,
    /// Name of the instance's cluster; of the first one, if it is registered in several. None while it is in no cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// All container instances of this EC2 instance, in all clusters.
    pub container_instances: Vec<ContainerInstance>,

    /// Where the drain stands.
    pub phase: Phase,
    /// When that phase was entered.
    pub phase_since: Timestamp,
    /// When this generation began.
    pub created_at: Timestamp,
    /// When this record was last written.
    pub updated_at: Timestamp,
    /// When the policy's deadline passes, if it sets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// When the hook's global limit ends the wait, whatever we do: 48 hours or 100 heartbeat timeouts after the wait
    /// began, the smaller. Counted from when we first saw it, so the true limit is not later.
    /// (Source: Auto Scaling API reference, `GlobalTimeout`.)
    pub global_limit: Timestamp,
    /// What we are about to tell Auto Scaling, and why; written before it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// How the drain ended; only when `phase` is `Done`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// When the record may be deleted, in seconds since 1970 (DynamoDB's TTL); only when `phase` is `Done`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,

    /// Every registration that must be seen gone before completion. Only grows; never cut.
    pub obligations: Vec<Obligation>,
    /// The tasks that were still there when this was written, the first [`SHOWN`] of them.
    pub tasks_left: Vec<String>,
    /// How many tasks that matter were still there.
    pub tasks_left_count: u32,
    /// The registrations that were still there when this was written, the first [`SHOWN`] of them.
    pub targets_left: Vec<String>,
    /// How many registrations were still there.
    pub targets_left_count: u32,

    /// Why the drain is where it is, one word (see [`Why::name`]).
    pub why: String,
    /// The same in a sentence.
    pub message: String,
    /// How often the present step was tried in vain.
    #[serde(default)]
    pub attempts: u32,
    /// The last thing that went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// What happened, oldest first.
    pub history: Vec<Event>,
}

/// Why a drain exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// An Auto Scaling group waits to terminate the instance under our hook.
    LifecycleHook,
    /// An operator asked for it.
    Operator,
    /// A spot interruption warning.
    SpotInterruption,
    /// A rebalance recommendation.
    Rebalance,
}

/// How an instance is taken out of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Set the container instance to `DRAINING` and let ECS move its service tasks.
    #[default]
    Drain,
    /// As `drain`, then deregister the container instance with force once standalone tasks are gone.
    Deregister,
}

impl Strategy {
    /// The strategy's name in configuration, table and docs.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Drain => "drain",
            Strategy::Deregister => "deregister",
        }
    }
}

/// What a termination-hook wait will become when it is completed.
/// (Source: Amazon EC2 Auto Scaling user guide, lifecycle states; warm pools; replace root volume.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitKind {
    /// `Terminating:Wait`: the instance is terminated.
    Terminating,
    /// `Warmed:Terminating:Wait`: a member of the warm pool is terminated.
    WarmedTerminating,
    /// `Warmed:Pending:Wait`: the instance goes back to the warm pool and may be used again.
    ReturnsToWarmPool,
    /// `ReplacingRootVolume:Wait`: the instance gets a new root volume and comes back.
    ReplacesRootVolume,
}

impl WaitKind {
    /// Whether the instance goes on living after the wait, so that our `DRAINING` must be undone.
    pub const fn lives_on(self) -> bool {
        matches!(self, WaitKind::ReturnsToWarmPool | WaitKind::ReplacesRootVolume)
    }
}

/// The lifecycle action that a drain is to complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Name of the Auto Scaling group.
    pub group: String,
    /// Name of our terminating hook.
    pub hook: String,
    /// What the wait becomes when it is completed.
    pub kind: WaitKind,
    /// The hook's heartbeat timeout, seconds.
    pub heartbeat_timeout_seconds: u32,
    /// The hook's global timeout, seconds.
    pub global_timeout_seconds: u32,
    /// What Auto Scaling does by itself when the time runs out.
    pub default_result: ActionResult,
}

/// What Auto Scaling is told, or does by itself: `CONTINUE` or `ABANDON`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActionResult {
    /// Go on; other hooks of the group still decide for themselves.
    #[serde(rename = "CONTINUE")]
    Continue,
    /// Go on at once, skipping the other hooks; a group with `TerminateHookAbandon: retain` keeps the instance.
    #[serde(rename = "ABANDON")]
    Abandon,
}

impl ActionResult {
    /// As Auto Scaling spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ActionResult::Continue => "CONTINUE",
            ActionResult::Abandon => "ABANDON",
        }
    }
}

impl fmt::Display for ActionResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One registration of the EC2 instance with ECS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerInstance {
    /// Name of the cluster.
    pub cluster: String,
    /// ARN of the container instance.
    pub arn: String,
    /// The container instance was `ACTIVE` when we first asked for `DRAINING`: only then may we ever undo it.
    #[serde(default)]
    pub draining_is_ours: bool,
    /// Strategy `deregister`: when the forced deregistration was decided. From then on ECS's word about its tasks is
    /// no evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deregistered_at: Option<Timestamp>,
}

/// A registration with a load balancer that must be seen gone before completion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Obligation {
    /// Who sends the traffic.
    pub balancer: Balancer,
    /// Whom it is sent to.
    pub target: Target,
    /// How long the balancer drains a deregistered target, seconds; None when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<u32>,
    /// When this obligation was noted.
    pub noted_at: Timestamp,
}

impl Obligation {
    /// Whether both name the same registration; delay and time do not count.
    pub fn is_same(&self, other: &Obligation) -> bool {
        self.balancer == other.balancer && self.target == other.target
    }
}

impl fmt::Display for Obligation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.target, self.balancer)
    }
}

/// Something that sends traffic to an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balancer {
    /// A target group of an Application or Network Load Balancer, by ARN.
    TargetGroup(String),
    /// A classic load balancer, by name.
    ClassicLoadBalancer(String),
}

impl fmt::Display for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID: the name says enough to a person.
            Balancer::TargetGroup(arn) => write!(f, "target group {}", arn.split('/').nth(1).unwrap_or(arn)),
            Balancer::ClassicLoadBalancer(name) => write!(f, "classic load balancer {name}"),
        }
    }
}

/// The instance as a balancer knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The EC2 instance itself, on whatever port: dynamic host ports make several targets of one instance.
    Instance(String),
    /// The address of a task's own network interface, on whatever port.
    Ip(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Instance(id) | Target::Ip(id) => f.write_str(id),
        }
    }
}

/// What we are about to tell Auto Scaling. It is permission, not evidence: for [`Outcome::Drained`] each call also
/// needs a look of the same pass that shows everything still gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// `CONTINUE` or `ABANDON`.
    pub result: ActionResult,
    /// What the drain's outcome will be.
    pub outcome: Outcome,
    /// Why, in a sentence.
    pub reason: String,
    /// When it was decided.
    pub at: Timestamp,
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

/// What is needed to open a drain.
#[derive(Clone, Debug)]
pub struct Opening {
    /// AWS account.
    pub account: String,
    /// AWS region.
    pub region: String,
    /// EC2 instance id.
    pub instance_id: String,
    /// Name of the controller.
    pub controller: String,
    /// Why the drain exists.
    pub origin: Origin,
    /// How the instance is taken out of service.
    pub strategy: Strategy,
    /// The lifecycle action to complete.
    pub lifecycle: Lifecycle,
    /// The container instances found.
    pub container_instances: Vec<ContainerInstance>,
    /// The policy's deadline, counted from now.
    pub deadline: Option<SignedDuration>,
}

impl Record {
    /// A new drain, in `Pending`. It is not yet stored: `version` is 0.
    pub fn open(opening: Opening, now: Timestamp) -> Record {
        let limit = SignedDuration::from_secs(i64::from(opening.lifecycle.global_timeout_seconds));
        let what = format!(
            "seen waiting under hook {} of group {}; {}",
            opening.lifecycle.hook,
            opening.lifecycle.group,
            match opening.container_instances.as_slice() {
                [] => "in no cluster so far".to_owned(),
                [one] => format!("container instance of cluster {}", one.cluster),
                many => format!("registered {} times", many.len()),
            }
        );
        Record {
            cluster: opening.container_instances.first().map(|c| c.cluster.clone()),
            deadline: opening.deadline.map(|d| later(now, d)),
            global_limit: later(now, limit),
            account: opening.account,
            region: opening.region,
            instance_id: opening.instance_id,
            controller: opening.controller,
            generation: 1,
            version: 0,
            write_id: String::new(),
            schema: SCHEMA,
            origin: opening.origin,
            strategy: opening.strategy,
            lifecycle: opening.lifecycle,
            container_instances: opening.container_instances,
            phase: Phase::Pending,
            phase_since: now,
            created_at: now,
            updated_at: now,
            intent: None,
            outcome: None,
            expires_at: None,
            obligations: Vec::new(),
            tasks_left: Vec::new(),
            tasks_left_count: 0,
            targets_left: Vec::new(),
            targets_left_count: 0,
            why: Why::Seen.name().to_owned(),
            message: Why::Seen.to_string(),
            attempts: 0,
            last_error: None,
            history: vec![Event { at: now, phase: Phase::Pending, what }],
        }
    }

    /// The same instance waits again after its last drain was done: a new generation over the finished record.
    pub fn reopen(&self, opening: Opening, now: Timestamp) -> Record {
        let mut next = Record::open(opening, now);
        next.generation = self.generation + 1;
        next.version = self.version;
        next.write_id.clone_from(&self.write_id);
        next
    }

    /// The record's key in the table: account, region and instance.
    pub fn key(&self) -> String {
        key(&self.account, &self.region, &self.instance_id)
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Adds a line to the history, dropping the oldest but the first when it is full.
    pub fn note(&mut self, at: Timestamp, what: impl Into<String>) {
        if self.history.len() >= HISTORY {
            self.history.remove(1);
        }
        self.history.push(Event { at, phase: self.phase, what: what.into() });
    }

    /// Says why the drain is where it is.
    pub fn explain(&mut self, why: &Why) {
        why.name().clone_into(&mut self.why);
        self.message = why.to_string();
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
