//! The causes, and what is said of each: what stands in the way, in numbers, and what ends it.
//!
//! Texts name moments, not spans, so that the same cause has the same text at the next look.

use super::facts::Port;
use crate::why::Span;
use jiff::Timestamp;
use std::fmt;
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
    /// Tasks are protected from scale-in.
    ProtectedTask {
        /// Which: the one whose protection lasts longest comes first.
        tasks: Tasks,
        /// Until when the first one is protected, if ECS says so.
        until: Option<Timestamp>,
    },
    /// Tasks of no service, which `DRAINING` does not touch.
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
        /// The longest deregistration delay among the instance's registrations, seconds, if it is known.
        delay_seconds: Option<u32>,
        /// The longest `stopTimeout` among its containers, seconds; None: none is set, or it is not known.
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
    pub const NAMES: [&str; 17] = [
        "AgentDisconnected",
        "ServiceCannotReplace",
        "NoOtherInstance",
        "ConstraintUnmet",
        "NoRoom",
        "ReplacementFails",
        "ServiceThrottled",
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

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::AgentDisconnected { since } => write!(
                f,
                "its ECS agent has been disconnected since {since:.0}: ECS can neither stop its tasks nor see them end; \
                 start the agent again (systemctl restart ecs), or terminate the instance if it is dead"
            ),
            Cause::ServiceCannotReplace { service, desired, minimum_percent, maximum_percent } => {
                cannot_replace(f, service, *desired, *minimum_percent, *maximum_percent)
            }
            Cause::NoOtherInstance { cluster, disconnected } => no_other(f, cluster, *disconnected),
            Cause::ConstraintUnmet { service, constraint, looked } => write!(
                f,
                "service {service} may be placed only where {constraint}, and of {looked} that is so on none; add such an \
                 instance, or change the rule"
            ),
            Cause::NoRoom { service, closest, lacks, looked } => write!(
                f,
                "of {looked} none has room for a task of service {service}: the closest, {closest}, {}; add instances, or \
                 let the task need less",
                list(lacks)
            ),
            Cause::ReplacementFails { service, at, text } => {
                write!(
                    f,
                    "ECS said of service {service} at {at:.0}: \"{text}\"; see the service's events, and why its newest \
                     tasks stopped"
                )
            }
            Cause::ServiceThrottled { service, at } => write!(
                f,
                "ECS said at {at:.0} that operations of service {service} are throttled; it tries again by itself, and \
                 AWS Support can raise the limit"
            ),
            Cause::ProtectedTask { tasks, until } => protected(f, tasks, *until),
            Cause::StandaloneTask { tasks, stop_after } => standalone(f, tasks, *stop_after),
            Cause::TargetStays { target, state } => write!(
                f,
                "{target} is {state} and nobody deregisters it, although no task is left: deregister it, if it was \
                 registered by hand"
            ),
            Cause::StoppingLong { .. } => self.stopping(f),
            Cause::ReplacementNotReady { service, desired, running, pending } => write!(
                f,
                "ECS has started replacements of service {service} ({desired} wanted, {running} running, {pending} \
                 pending) and stops the old tasks once they are healthy: look at what they wait for (image, network \
                 interface, capacity) and at their health checks"
            ),
            Cause::TargetDelay { target, delay_seconds, since, overdue } => {
                write!(f, "{target} has been draining")?;
                since.map_or(Ok(()), |since| write!(f, " since {since:.0}"))?;
                f.write_str(": its balancer gives it the deregistration delay")?;
                delay_seconds.map_or(Ok(()), |seconds| write!(f, ", {}", span(seconds)))?;
                f.write_str(if *overdue { "; that time is over: look at the balancer" } else { "" })
            }
            Cause::DaemonTask { tasks } => write!(
                f,
                "{tasks} is a daemon's, and the policy waits for it (daemon_tasks = \"wait\"): ECS stops daemons last, \
                 after the other services' tasks; daemon_tasks = \"ignore\" lets it run until the instance ends"
            ),
            Cause::ConstraintNotJudged { service, constraint } => write!(
                f,
                "service {service} may be placed only where {constraint}, which cannot be judged from here: see \
                 whether another instance meets it"
            ),
            Cause::Throttled { calls } => {
                write!(
                    f,
                    "AWS throttles {}: what is seen of this drain comes late; it is asked again",
                    calls.join(", ")
                )
            }
            Cause::Unreadable { error, .. } => write!(f, "there may be another cause, not seen because of {error}"),
        }
    }
}

impl Cause {
    /// A task that is being stopped: first its balancer drains it, then its containers get the stop signal.
    /// (Source: ECS developer guide, task lifecycle; ECS API reference, StopTask.)
    fn stopping(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cause::StoppingLong { tasks, status, since, delay_seconds, stop_timeout_seconds, overdue } = self else {
            return Ok(());
        };
        write!(f, "{tasks} was told to stop")?;
        since.map_or(Ok(()), |since| write!(f, " at {since:.0}"))?;
        write!(f, " and is {status}: ")?;
        let timeout = match stop_timeout_seconds {
            Some(seconds) => format!("{} (stopTimeout)", span(*seconds)),
            None => "the agent's ECS_CONTAINER_STOP_TIMEOUT (30 s unless set)".to_owned(),
        };
        match (status.as_str(), delay_seconds.filter(|seconds| *seconds > 0)) {
            ("DEACTIVATING", Some(seconds)) => write!(
                f,
                "its balancer drains it first, for the deregistration delay of {}; then its containers get {timeout} \
                 to end",
                span(seconds)
            )?,
            ("DEACTIVATING", None) => write!(
                f,
                "its balancer drains it first, for the deregistration delay; then its containers get {timeout} to end"
            )?,
            ("DEPROVISIONING", _) => f.write_str("its network interface is being detached and deleted")?,
            _ => write!(f, "from the stop signal on, its containers get {timeout} until they are killed")?,
        }
        if *overdue {
            f.write_str("; that time is over: look at the agent and at Docker on the instance")?;
        }
        Ok(())
    }
}

/// ECS needs room for one step: to stop one task below the desired count, or to start one above it.
fn cannot_replace(f: &mut fmt::Formatter<'_>, service: &str, desired: u32, minimum: u32, maximum: u32) -> fmt::Result {
    let (desired64, more) = (u64::from(desired), u64::from(desired) + 1);
    let raise = (more * 100).div_ceil(desired64.max(1));
    let lower = desired64.saturating_sub(1) * 100 / desired64.max(1);
    write!(
        f,
        "service {service} cannot replace a task: of {desired} wanted, minimumHealthyPercent {minimum} lets none stop \
         first (rounded up), and maximumPercent {maximum} lets none start first (rounded down); set maximumPercent to \
         {raise} or more, or minimumHealthyPercent to {lower} or less"
    )
}

fn no_other(f: &mut fmt::Formatter<'_>, cluster: &str, disconnected: usize) -> fmt::Result {
    match disconnected {
        0 => write!(f, "cluster {cluster} has no other container instance that is ACTIVE")?,
        1 => write!(f, "the agent of the only other ACTIVE container instance of cluster {cluster} is disconnected")?,
        n => write!(f, "the agents of all {n} other ACTIVE container instances of cluster {cluster} are disconnected")?,
    }
    f.write_str(", so a replacement has nowhere to go: add instances, or see why they do not register")
}

fn protected(f: &mut fmt::Formatter<'_>, tasks: &Tasks, until: Option<Timestamp>) -> fmt::Result {
    write!(f, "{tasks} is protected from scale-in")?;
    until.map_or(Ok(()), |until| write!(f, " until {until:.0}"))?;
    f.write_str(
        ", and AWS does not say that DRAINING ends that: wait, let the task end its protection, or end it with \
         aws ecs update-task-protection --no-protection-enabled",
    )
}

fn standalone(f: &mut fmt::Formatter<'_>, tasks: &Tasks, stop_after: Option<Duration>) -> fmt::Result {
    write!(f, "{tasks} is of no service, so DRAINING does not touch it, and ")?;
    match stop_after {
        Some(grace) => write!(f, "the policy stops it once it has been waited for {}", Span(grace)),
        None => f.write_str(
            "the policy waits for it: stop it with aws ecs stop-task, or set standalone_tasks = { stop_after = \"30m\" }",
        ),
    }
}

fn span(seconds: u32) -> Span {
    Span(Duration::from_secs(u64::from(seconds)))
}

fn list(lacks: &[Lack]) -> String {
    lacks.iter().map(Lack::to_string).collect::<Vec<_>>().join(" and ")
}

impl fmt::Display for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.first)?;
        self.service.as_ref().map_or(Ok(()), |service| write!(f, " of service {service}"))?;
        if self.more > 0 { write!(f, " (like {} more)", self.more) } else { Ok(()) }
    }
}

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.count, self.more) {
            (1, false) => f.write_str("1 other container instance"),
            (n, false) => write!(f, "{n} other container instances"),
            (n, true) => write!(f, "{n} other container instances (the cluster has more, not looked at)"),
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Cpu { needed, left } => write!(f, "has {left} of the {needed} CPU units"),
            Lack::Memory { needed, left } => write!(f, "has {left} of the {needed} MiB of memory"),
            Lack::Port(port) => write!(f, "has port {port} taken"),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Tcp(port) => write!(f, "{port}/tcp"),
            Port::Udp(port) => write!(f, "{port}/udp"),
        }
    }
}
