//! The causes, in numbers.

use super::facts::{HookTimeout, Port};
use jiff::Timestamp;
use std::time::Duration;

/// A cause that keeps a drain from moving.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The agent is disconnected: ECS neither stops the instance's tasks nor sees them end.
    AgentDisconnected {
        /// Time since which it has been disconnected, as far as it was seen.
        since: Timestamp,
    },
    /// The service's percentages let ECS neither stop a task first nor start one first.
    ServiceCannotReplace {
        /// Name of the service.
        service: String,
        /// Desired count.
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
        /// Number of the others that are `ACTIVE`, all with a disconnected agent.
        disconnected: usize,
    },
    /// No other container instance meets the placement rules of the service's tasks.
    ConstraintUnmet {
        /// Name of the service.
        service: String,
        /// The rule, or the rules that together exclude every instance.
        constraint: String,
        /// Container instances that were read.
        looked: Looked,
    },
    /// No other container instance has room for a replacement.
    NoRoom {
        /// Name of the service.
        service: String,
        /// EC2 instance id of the one that lacks least.
        closest: String,
        /// Resources that it lacks.
        lacks: Vec<Lack>,
        /// Container instances that were read.
        looked: Looked,
    },
    /// An event of ECS reports a failure of the service.
    ReplacementFails {
        /// Name of the service.
        service: String,
        /// Time of the event.
        at: Timestamp,
        /// The event in ECS's words, cut; foreign text without control characters.
        text: String,
    },
    /// An event of ECS reports that the service's operations are throttled.
    ServiceThrottled {
        /// Name of the service.
        service: String,
        /// Time of the event.
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
        /// The deployment's lifecycle stage, as ECS spells it.
        stage: String,
        /// Time at which the hook times out, if ECS reports it.
        until: Option<Timestamp>,
        /// Action of ECS at that time.
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
        /// Number of its revisions that have tasks.
        revisions: usize,
    },
    /// Tasks are protected from scale-in.
    ProtectedTask {
        /// The tasks: the one whose protection lasts longest comes first.
        tasks: Tasks,
        /// End of the first one's protection, if ECS reports it.
        until: Option<Timestamp>,
    },
    /// Standalone tasks are left, which `DRAINING` does not stop.
    StandaloneTask {
        /// The tasks.
        tasks: Tasks,
        /// The policy's grace. `None` if the policy waits for them.
        stop_after: Option<Duration>,
    },
    /// A target is not being deregistered, although no task is left.
    TargetStays {
        /// Description of the target.
        target: String,
        /// Its state, in the balancer's words.
        state: String,
    },
    /// A task began to stop and has not ended.
    StoppingLong {
        /// The tasks.
        tasks: Tasks,
        /// The first one's `lastStatus`.
        status: String,
        /// Time at which the first one began to stop.
        since: Option<Timestamp>,
        /// Longest deregistration delay among the instance's targets, seconds, if it is known.
        delay_seconds: Option<u32>,
        /// Longest `stopTimeout` among its containers, seconds. `None` if none is set, or it is not
        /// known.
        stop_timeout_seconds: Option<u32>,
        /// True if the time that both allow is over.
        overdue: bool,
    },
    /// Replacements were started, and ECS waits for them to be healthy.
    ReplacementNotReady {
        /// Name of the service.
        service: String,
        /// Desired count.
        desired: u32,
        /// Running tasks, including the old ones.
        running: u32,
        /// Pending tasks.
        pending: u32,
    },
    /// A target drains.
    TargetDelay {
        /// Description of the target.
        target: String,
        /// Its deregistration delay, seconds, if it is known.
        delay_seconds: Option<u32>,
        /// Time at which it was first seen draining.
        since: Option<Timestamp>,
        /// True if that delay is over.
        overdue: bool,
    },
    /// Tasks of a daemon service are left, and the policy waits for them.
    DaemonTask {
        /// The tasks.
        tasks: Tasks,
    },
    /// A placement rule that ecs-drain cannot judge.
    ConstraintNotJudged {
        /// Name of the service.
        service: String,
        /// The rule.
        constraint: String,
    },
    /// AWS throttles calls of ecs-drain.
    Throttled {
        /// The calls, as IAM names them.
        calls: Vec<String>,
    },
    /// A read failed, so that a cause may be missing.
    Unreadable {
        /// The IAM action of the call.
        action: String,
        /// The error; for a denied call, with the statement that allows it.
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

    /// Returns its name, one word from a closed list, for metrics and filters.
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
    /// Name of the first one's cluster.
    pub cluster: String,
    /// The last part of the first one's ARN.
    pub first: String,
    /// Its service, if it has one.
    pub service: Option<String>,
    /// Number of the others.
    pub more: usize,
}

/// Number of container instances that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Looked {
    /// Those that could take tasks: `ACTIVE`, agent connected, not the one that is drained.
    pub count: usize,
    /// True if the cluster has more, which were not read.
    pub more: bool,
}

/// A resource that a container instance lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// CPU units.
    Cpu {
        /// CPU units that the task needs.
        needed: u32,
        /// CPU units that are not allocated.
        left: i64,
    },
    /// MiB of memory.
    Memory {
        /// MiB that the task needs.
        needed: u32,
        /// MiB that are not allocated.
        left: i64,
    },
    /// GPUs.
    Gpus {
        /// GPUs that the task needs.
        needed: usize,
        /// GPUs that are not allocated.
        left: usize,
    },
    /// A port that is taken.
    Port(Port),
}
