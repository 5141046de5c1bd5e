//! The causes: what stands in the way, in numbers.

use super::facts::{HookTimeout, Port};
use jiff::Timestamp;
use std::time::Duration;

/// Why a drain does not move.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The agent is disconnected: ECS neither stops the instance's tasks nor sees them end.
    AgentDisconnected {
        /// Since when, as far as was seen.
        since: Timestamp,
    },
    /// The service's percentages let ECS neither stop a task first nor start one first.
    ServiceCannotReplace {
        /// Name of the service.
        service: String,
        /// Tasks that are wanted.
        desired: u32,
        /// `minimumHealthyPercent`.
        minimum_percent: u32,
        /// `maximumPercent`.
        maximum_percent: u32,
    },
    /// No other container instance could take a replacement.
    NoOtherInstance {
        /// Name of the cluster.
        cluster: String,
        /// How many others are `ACTIVE`, all with their agent disconnected.
        disconnected: usize,
    },
    /// No other container instance is where the service's tasks may be placed.
    ConstraintUnmet {
        /// Name of the service.
        service: String,
        /// The rule, or the rules that leave nothing together.
        constraint: String,
        /// How many were looked at.
        looked: Looked,
    },
    /// No other container instance has room for a replacement.
    NoRoom {
        /// Name of the service.
        service: String,
        /// EC2 instance id of the one that lacks least.
        closest: String,
        /// What it lacks.
        lacks: Vec<Lack>,
        /// How many were looked at.
        looked: Looked,
    },
    /// ECS itself says of the service that something fails.
    ReplacementFails {
        /// Name of the service.
        service: String,
        /// When ECS said so.
        at: Timestamp,
        /// In ECS's words, cut; foreign text without control characters.
        text: String,
    },
    /// ECS says that the service's operations are throttled.
    ServiceThrottled {
        /// Name of the service.
        service: String,
        /// When ECS said so.
        at: Timestamp,
    },
    /// The service's deployment waits for someone to continue it.
    DeploymentPaused {
        /// Name of the service.
        service: String,
        /// ARN of the service deployment.
        deployment: String,
        /// Id of the hook that pauses it.
        hook: String,
        /// The deployment's lifecycle stage, in ECS's word.
        stage: String,
        /// When the hook times out, if ECS says so.
        until: Option<Timestamp>,
        /// What ECS does then.
        then: HookTimeout,
    },
    /// The service's deployment has shifted the traffic, and keeps the tasks of the old revision
    /// for its bake time.
    DeploymentBaking {
        /// Name of the service.
        service: String,
        /// ARN of the service deployment.
        deployment: String,
        /// The bake time, minutes, if it is known.
        minutes: Option<u32>,
    },
    /// The service's last deployment was completed before the tasks of the old revision were gone.
    CleanupDeferred {
        /// Name of the service.
        service: String,
        /// How many revisions of it have tasks.
        revisions: usize,
    },
    /// Tasks are protected from scale-in.
    ProtectedTask {
        /// Which: the one whose protection lasts longest comes first.
        tasks: Tasks,
        /// Until when the first one is protected, if ECS says so.
        until: Option<Timestamp>,
    },
    /// Standalone tasks, which `DRAINING` does not touch.
    StandaloneTask {
        /// Which.
        tasks: Tasks,
        /// The policy's grace, if it has one; None: the policy says to wait.
        stop_after: Option<Duration>,
    },
    /// Nobody deregisters a target, although no task is left.
    TargetStays {
        /// Which.
        target: String,
        /// The balancer's word for its state.
        state: String,
    },
    /// A task was told to stop and has not ended.
    StoppingLong {
        /// Which.
        tasks: Tasks,
        /// The first one's `lastStatus`.
        status: String,
        /// When the first one was told.
        since: Option<Timestamp>,
        /// The longest deregistration delay among the instance's registrations, seconds, if it is
        /// known.
        delay_seconds: Option<u32>,
        /// The longest `stopTimeout` among its containers, seconds; None: none is set, or it is not
        /// known.
        stop_timeout_seconds: Option<u32>,
        /// Whether the time that both give it is over.
        overdue: bool,
    },
    /// Replacements were started, and ECS waits for them to be healthy.
    ReplacementNotReady {
        /// Name of the service.
        service: String,
        /// Tasks that are wanted.
        desired: u32,
        /// Tasks that run, the old ones among them.
        running: u32,
        /// Tasks that are pending.
        pending: u32,
    },
    /// A target drains.
    TargetDelay {
        /// Which.
        target: String,
        /// Its deregistration delay, seconds, if it is known.
        delay_seconds: Option<u32>,
        /// When it was first seen draining.
        since: Option<Timestamp>,
        /// Whether that delay is over.
        overdue: bool,
    },
    /// Tasks of a daemon service, for which the policy waits.
    DaemonTask {
        /// Which.
        tasks: Tasks,
    },
    /// A rule of placement that cannot be judged here.
    ConstraintNotJudged {
        /// Name of the service.
        service: String,
        /// The rule.
        constraint: String,
    },
    /// AWS throttles calls of ours.
    Throttled {
        /// The calls, as IAM names them.
        calls: Vec<String>,
    },
    /// Something could not be read, so that a cause may be missing.
    Unreadable {
        /// The IAM action of the call.
        action: String,
        /// What went wrong; where the call is denied, with the statement that allows it.
        error: String,
    },
}

impl Cause {
    /// Every name, the most decisive first.
    pub const NAMES: [&str; 20] = [
        "AgentDisconnected",
        "ServiceCannotReplace",
        "NoOtherInstance",
        "ConstraintUnmet",
        "NoRoom",
        "ReplacementFails",
        "ServiceThrottled",
        "DeploymentPaused",
        "DeploymentBaking",
        "CleanupDeferred",
        "ProtectedTask",
        "StandaloneTask",
        "TargetStays",
        "StoppingLong",
        "ReplacementNotReady",
        "TargetDelay",
        "DaemonTask",
        "ConstraintNotJudged",
        "Throttled",
        "Unreadable",
    ];

    /// One word for it, from a closed list: what metrics and filters use.
    pub const fn name(&self) -> &'static str {
        match self {
            Cause::AgentDisconnected { .. } => "AgentDisconnected",
            Cause::ServiceCannotReplace { .. } => "ServiceCannotReplace",
            Cause::NoOtherInstance { .. } => "NoOtherInstance",
            Cause::ConstraintUnmet { .. } => "ConstraintUnmet",
            Cause::NoRoom { .. } => "NoRoom",
            Cause::ReplacementFails { .. } => "ReplacementFails",
            Cause::ServiceThrottled { .. } => "ServiceThrottled",
            Cause::DeploymentPaused { .. } => "DeploymentPaused",
            Cause::DeploymentBaking { .. } => "DeploymentBaking",
            Cause::CleanupDeferred { .. } => "CleanupDeferred",
            Cause::ProtectedTask { .. } => "ProtectedTask",
            Cause::StandaloneTask { .. } => "StandaloneTask",
            Cause::TargetStays { .. } => "TargetStays",
            Cause::StoppingLong { .. } => "StoppingLong",
            Cause::ReplacementNotReady { .. } => "ReplacementNotReady",
            Cause::TargetDelay { .. } => "TargetDelay",
            Cause::DaemonTask { .. } => "DaemonTask",
            Cause::ConstraintNotJudged { .. } => "ConstraintNotJudged",
            Cause::Throttled { .. } => "Throttled",
            Cause::Unreadable { .. } => "Unreadable",
        }
    }
}

/// Some tasks, of which one is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tasks {
    /// The last part of the first one's ARN.
    pub first: String,
    /// Its service, if it has one.
    pub service: Option<String>,
    /// How many more there are.
    pub more: usize,
}

/// How many container instances were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Looked {
    /// Those to which ECS could give tasks: `ACTIVE`, agent connected, not the one that is drained.
    pub count: usize,
    /// Whether the cluster has more, which were not looked at.
    pub more: bool,
}

/// What a container instance lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// CPU units.
    Cpu {
        /// What the task needs.
        needed: u32,
        /// What is not allocated.
        left: i64,
    },
    /// MiB of memory.
    Memory {
        /// What the task needs.
        needed: u32,
        /// What is not allocated.
        left: i64,
    },
    /// A port that is taken.
    Port(Port),
}
