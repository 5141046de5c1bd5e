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
pub const SCHEMA: u32 = 2;

/// How many events a record's history keeps; the first one (how it began) is never dropped.
pub const HISTORY: usize = 40;

/// How many ids of requests a record keeps.
pub const REQUESTS: usize = 10;

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
    /// The lifecycle action that this drain is to complete; None while no hook of ours holds the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// Name of the Auto Scaling group that the instance is in; None if it was in none when the drain began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What comes after the drain, where no hook of ours holds the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
    /// Who asked for the drain, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<Order>,
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
    /// (Source: Auto Scaling API reference, `GlobalTimeout`.) None while no hook of ours holds the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_limit: Option<Timestamp>,
    /// What we are about to tell Auto Scaling, and why; written before it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// When the group was last asked to terminate the instance: an operator's drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_asked_at: Option<Timestamp>,
    /// When the group was first seen to keep the instance as `Terminating:Retained` after our `ABANDON`. Its next
    /// termination ends with `CONTINUE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retained_at: Option<Timestamp>,
    /// An operator holds this drain: heartbeats go on, nothing else is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Order>,
    /// An operator cancels this drain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<Order>,
    /// An operator ordered the completion, whatever is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Order>,
    /// Ids of the requests that were carried out on this record, the newest last, [`REQUESTS`] at most: a request that
    /// is read twice does nothing the second time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<String>,
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
    /// Why it does not move, as far as was found out; empty while it moves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Note>,
    /// How often the present step was tried in vain.
    #[serde(default)]
    pub attempts: u32,
    /// The last thing that went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// What happened, oldest first.
    pub history: Vec<Event>,
}

/// Why a drain does not move: one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// One word for it, from a closed list (see [`crate::diagnosis`]).
    pub name: String,
    /// The same in a sentence, with what to do about it.
    pub text: String,
}

/// What an operator ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Who, as the CLI found it out: an IAM identity, or a user of a machine. It is not proof.
    pub by: String,
    /// Why, if they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was asked for.
    pub at: Timestamp,
}

/// `Ada (kernel update)`.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{} ({reason})", self.by),
            None => f.write_str(&self.by),
        }
    }
}

/// What comes after a drain that no lifecycle action asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// The Auto Scaling group terminates the instance, and replaces it: its desired capacity stays.
    Terminate,
    /// The Auto Scaling group terminates the instance and lowers its desired capacity by one.
    TerminateAndShrink,
    /// The instance stays, drained.
    Keep,
    /// Nothing is left to be done by us: what announced the drain ends the instance (a spot interruption).
    Leave,
}

impl Then {
    /// As it stands in the table and the docs.
    pub const fn name(self) -> &'static str {
        match self {
            Then::Terminate => "terminate",
            Then::TerminateAndShrink => "terminate-and-shrink",
            Then::Keep => "keep",
            Then::Leave => "leave",
        }
    }
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

impl Origin {
    /// The origin's name in the table, the CLI and the docs.
    pub const fn name(self) -> &'static str {
        match self {
            Origin::LifecycleHook => "lifecycle-hook",
            Origin::Operator => "operator",
            Origin::SpotInterruption => "spot-interruption",
            Origin::Rebalance => "rebalance",
        }
    }
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
    /// Names of the group's other terminating hooks, which can hold the instance after ours is completed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_hooks: Vec<String>,
    /// Whether the group keeps an instance whose termination is abandoned (`TerminateHookAbandon: retain`).
    #[serde(default)]
    pub retains_abandoned: bool,
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
    /// Whether it is a network load balancer's target group, which can be sent new connections for a while after the
    /// deregistration; None when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<bool>,
    /// When it was first seen to drain, or to be gone; None while it is in service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining_since: Option<Timestamp>,
    /// When this obligation was noted.
    pub noted_at: Timestamp,
}

impl Obligation {
    /// A registration of which nothing else is known yet.
    pub fn new(balancer: Balancer, target: Target, noted_at: Timestamp) -> Obligation {
        Obligation { balancer, target, delay_seconds: None, network: None, draining_since: None, noted_at }
    }

    /// Whether both name the same registration; delay and time do not count.
    pub fn is_same(&self, other: &Obligation) -> bool {
        self.balancer == other.balancer && self.target == other.target
    }

    /// Whether a network load balancer can be behind it, which is given a settle time: its target group's kind is not
    /// known, or known to be that.
    pub fn settles(&self) -> bool {
        matches!(self.balancer, Balancer::TargetGroup(_)) && self.network != Some(false)
    }

    /// When the balancer will have drained it at the latest, once it was seen to drain and its delay is known.
    pub fn drained_by(&self) -> Option<Timestamp> {
        let delay = SignedDuration::from_secs(i64::from(self.delay_seconds?));
        Some(later(self.draining_since?, delay))
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
    /// The lifecycle action to complete; None where no hook of ours holds the instance.
    pub lifecycle: Option<Lifecycle>,
    /// Name of the Auto Scaling group that the instance is in.
    pub group: Option<String>,
    /// What comes after, where there is no lifecycle action.
    pub then: Option<Then>,
    /// Who asked for it.
    pub requested: Option<Order>,
    /// The container instances found.
    pub container_instances: Vec<ContainerInstance>,
    /// The policy's deadline, counted from now. It is for lifecycle actions alone.
    pub deadline: Option<SignedDuration>,
    /// How long before the hook's global limit a deadline must be, at least: see [`latest_deadline`].
    pub margin: SignedDuration,
}

impl Record {
    /// A new drain, in `Pending`. It is not yet stored: `version` is 0.
    pub fn open(opening: Opening, now: Timestamp) -> Record {
        let what = format!("{}; {}", why_opened(&opening), where_registered(&opening.container_instances));
        let mut record = Record {
            cluster: opening.container_instances.first().map(|c| c.cluster.clone()),
            deadline: None,
            global_limit: None,
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
            lifecycle: None,
            group: opening.group,
            then: opening.then,
            requested: opening.requested,
            container_instances: opening.container_instances,
            phase: Phase::Pending,
            phase_since: now,
            created_at: now,
            updated_at: now,
            intent: None,
            termination_asked_at: None,
            retained_at: None,
            held: None,
            cancel: None,
            release: None,
            requests: Vec::new(),
            outcome: None,
            expires_at: None,
            obligations: Vec::new(),
            tasks_left: Vec::new(),
            tasks_left_count: 0,
            targets_left: Vec::new(),
            targets_left_count: 0,
            why: Why::Seen.name().to_owned(),
            message: Why::Seen.to_string(),
            causes: Vec::new(),
            attempts: 0,
            last_error: None,
            history: vec![Event { at: now, phase: Phase::Pending, what }],
        };
        if let Some(lifecycle) = opening.lifecycle {
            record.take_lifecycle(lifecycle, opening.deadline, opening.margin, now);
        }
        record
    }

    /// A lifecycle action holds the instance of a drain that began without one: hook, deadline and ending become the
    /// lifecycle action's, the origin stays.
    pub fn adopt(
        &self,
        lifecycle: Lifecycle,
        deadline: Option<SignedDuration>,
        margin: SignedDuration,
        now: Timestamp,
    ) -> Record {
        let mut next = self.clone();
        next.note(
            now,
            format!("group {} terminates it; hook {} holds it for this drain", lifecycle.group, lifecycle.hook),
        );
        next.take_lifecycle(lifecycle, deadline, margin, now);
        next
    }

    fn take_lifecycle(
        &mut self,
        lifecycle: Lifecycle,
        deadline: Option<SignedDuration>,
        margin: SignedDuration,
        now: Timestamp,
    ) {
        let limit = later(now, SignedDuration::from_secs(i64::from(lifecycle.global_timeout_seconds)));
        self.global_limit = Some(limit);
        self.group = Some(lifecycle.group.clone());
        self.lifecycle = Some(lifecycle);
        self.deadline = None;
        if let Some(wanted) = deadline.map(|d| later(now, d)) {
            self.set_deadline(wanted, margin, now);
        }
    }

    /// Sets the deadline, cut to the last moment that the hook's global limit leaves; says so in the history when it
    /// is cut.
    pub fn set_deadline(&mut self, wanted: Timestamp, margin: SignedDuration, now: Timestamp) {
        let latest = self.global_limit.map(|limit| latest_deadline(limit, margin, now));
        let cut = latest.is_some_and(|latest| wanted > latest);
        self.deadline = Some(latest.filter(|_| cut).unwrap_or(wanted));
        if let (true, Some(deadline), Some(limit)) = (cut, self.deadline, self.global_limit) {
            self.note(
                now,
                format!(
                    "its deadline is cut from {wanted:.0} to {deadline:.0}: the hook itself ends the wait at {limit:.0}; a longer \
                     heartbeat timeout gives it up to 48 h"
                ),
            );
        }
    }

    /// The same instance waits again after its last drain was done: a new generation over the finished record.
    pub fn reopen(&self, opening: Opening, now: Timestamp) -> Record {
        let mut next = Record::open(opening, now);
        if self.then == Some(Then::Keep) && self.outcome == Some(Outcome::Drained) {
            // It was kept drained, so what is DRAINING now is still ours to undo.
            for mine in &mut next.container_instances {
                let before = self.container_instances.iter().find(|c| c.arn == mine.arn);
                mine.draining_is_ours = before.is_some_and(|c| c.draining_is_ours);
            }
        }
        next.requests.clone_from(&self.requests);
        next.generation = self.generation + 1;
        next.version = self.version;
        next.write_id.clone_from(&self.write_id);
        next
    }

    /// The record's key in the table: account, region and instance.
    pub fn key(&self) -> String {
        key(&self.account, &self.region, &self.instance_id)
    }

    /// Remembers that a request was carried out on this record.
    pub fn remember_request(&mut self, id: String) {
        self.requests.push(id);
        let extra = self.requests.len().saturating_sub(REQUESTS);
        self.requests.drain(..extra);
    }

    /// Name of the instance's Auto Scaling group, as far as it is known.
    pub fn group(&self) -> Option<&str> {
        self.lifecycle.as_ref().map(|l| l.group.as_str()).or(self.group.as_deref())
    }

    /// Whether the instance goes on living once its lifecycle action is over.
    pub fn lives_on(&self) -> bool {
        self.lifecycle.as_ref().is_some_and(|l| l.kind.lives_on())
    }

    /// Whether hold must leave the instance alone: the completion of its lifecycle action is under way.
    pub fn is_completing(&self) -> bool {
        let is_under_way = self.lifecycle.is_some() && self.retained_at.is_none();
        self.phase == Phase::Completing && is_under_way && self.held.is_none()
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

    /// Says why the drain is where it is, and, where that is known, why it does not move.
    pub fn explain(&mut self, why: &Why) {
        why.name().clone_into(&mut self.why);
        self.message = match self.causes.first() {
            Some(cause) => format!("{why}; {}", cause.text),
            None => why.to_string(),
        };
    }
}

fn why_opened(opening: &Opening) -> String {
    let asked = |order: &Option<Order>| order.as_ref().map_or_else(String::new, |order| format!(" by {order}"));
    match (&opening.lifecycle, opening.origin) {
        (Some(lifecycle), _) => format!("seen waiting under hook {} of group {}", lifecycle.hook, lifecycle.group),
        (None, Origin::Operator) => format!("asked for{}", asked(&opening.requested)),
        (None, Origin::SpotInterruption) => "a spot interruption was announced".to_owned(),
        (None, Origin::Rebalance) => "a rebalance was recommended".to_owned(),
        (None, Origin::LifecycleHook) => "seen waiting".to_owned(),
    }
}

fn where_registered(container_instances: &[ContainerInstance]) -> String {
    match container_instances {
        [] => "in no cluster so far".to_owned(),
        [one] => format!("container instance of cluster {}", one.cluster),
        many => format!("registered {} times", many.len()),
    }
}

/// The last moment that a deadline can have under a hook: its global limit less a margin for the last call, but no
/// more than half of the time that is left is given up for the margin.
pub fn latest_deadline(limit: Timestamp, margin: SignedDuration, now: Timestamp) -> Timestamp {
    later(limit, -margin.min(limit.duration_since(now) / 2).max(SignedDuration::ZERO))
}

/// The key of an instance's record in the table.
pub fn key(account: &str, region: &str, instance_id: &str) -> String {
    format!("{account}/{region}/{instance_id}")
}

/// `at` plus `span`, or the end of time where that is beyond it.
pub fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}
