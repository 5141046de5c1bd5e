//! The words of each cause: the obstacle, in numbers, and the action that ends it.
//!
//! Texts name moments, not spans, so that the same cause has the same text in the next diagnosis.

use super::cause::{Cause, Lack, Looked, Tasks};
use super::facts::{HookTimeout, Port};
use crate::why::Span;
use jiff::Timestamp;
use std::fmt;
use std::time::Duration;

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::AgentDisconnected { since } => write!(
                f,
                "its ECS agent has been disconnected since {since:.0}, so ECS cannot stop its tasks and their states \
                 are frozen; start the agent (systemctl restart ecs), or terminate the instance if it is dead"
            ),
            Cause::ServiceCannotReplace { service, desired, minimum_percent, maximum_percent } => {
                cannot_replace(f, service, *desired, *minimum_percent, *maximum_percent)
            }
            Cause::NoOtherInstance { cluster, disconnected } => no_other(f, cluster, *disconnected),
            Cause::ConstraintUnmet { service, constraint, looked } => write!(
                f,
                "no other container instance qualifies for service {service} ({looked}): its tasks may be placed only \
                 where {constraint}; add such an instance, or relax the constraint"
            ),
            Cause::NoRoom { service, closest, lacks, looked } => write!(
                f,
                "no other container instance has room for a task of service {service} ({looked}): the closest, \
                 {closest}, {}; add instances, or lower the task's needs",
                list(lacks)
            ),
            Cause::ReplacementFails { service, at, text } => {
                write!(
                    f,
                    "ECS reported for service {service} at {at:.0}: \"{text}\"; check the service's events, and why \
                     its newest tasks stopped"
                )
            }
            Cause::ServiceThrottled { service, at } => write!(
                f,
                "ECS reported at {at:.0} that it throttles operations of service {service}; ECS retries by itself, and \
                 AWS Support can raise the limit"
            ),
            Cause::DeploymentPaused { service, hook, stage, until, then, .. } => {
                write!(
                    f,
                    "the deployment of service {service} is paused at {stage} by hook {hook}"
                )?;
                until.map_or(Ok(()), |until| {
                    write!(f, " until {until:.0}, when ECS {}", then.words())
                })?;
                f.write_str("; continue it")
            }
            Cause::DeploymentBaking { service, minutes, .. } => {
                write!(f, "the deployment of service {service} is baking")?;
                minutes.map_or(Ok(()), |minutes| {
                    write!(f, " ({})", span(minutes.saturating_mul(60)))
                })?;
                f.write_str(
                    ": ECS keeps the tasks of the old revision until the bake time is over; wait, or stop the \
                     deployment",
                )
            }
            Cause::CleanupDeferred { service, revisions } => write!(
                f,
                "tasks of {revisions} revisions of service {service} are running after its deployment was completed: \
                 with sourceServiceRevisionCleanup DEFERRED, ECS may keep the old ones for two weeks; stop them with \
                 aws ecs stop-task"
            ),
            Cause::ProtectedTask { tasks, until } => protected(f, tasks, *until),
            Cause::StandaloneTask { tasks, stop_after } => standalone(f, tasks, *stop_after),
            Cause::TargetStays { target, state } => write!(
                f,
                "{target} is {state} and stays registered, although no task is left; deregister it if it was \
                 registered by hand"
            ),
            Cause::StoppingLong { .. } => self.stopping(f),
            Cause::ReplacementNotReady { service, desired, running, pending } => write!(
                f,
                "ECS has started replacements of service {service} (desired count {desired}, {running} running, \
                 {pending} pending) and stops the old tasks once they are healthy; check image, network interface, \
                 capacity and health checks"
            ),
            Cause::TargetDelay { target, delay_seconds, since, overdue } => {
                write!(f, "{target} has been draining")?;
                since.map_or(Ok(()), |since| write!(f, " since {since:.0}"))?;
                f.write_str(", for the deregistration delay")?;
                delay_seconds.map_or(Ok(()), |seconds| write!(f, " of {}", span(seconds)))?;
                f.write_str(if *overdue {
                    "; this time has passed: check the load balancer"
                } else {
                    ""
                })
            }
            Cause::DaemonTask { tasks } => write!(
                f,
                "{tasks} is a daemon task, and the policy waits for it (daemon_tasks = \"wait\"); ECS stops daemon \
                 tasks last; to let them run until the instance ends, set daemon_tasks = \"ignore\""
            ),
            Cause::ConstraintNotJudged { service, constraint } => write!(
                f,
                "ecs-drain cannot evaluate a placement rule of service {service}: its tasks may be placed only where \
                 {constraint}; check that another instance meets it"
            ),
            Cause::Throttled { calls } => {
                write!(
                    f,
                    "AWS throttles {}: data of this drain can be out of date; the calls are repeated",
                    calls.join(", ")
                )
            }
            Cause::Unreadable { error, .. } => write!(f, "a cause can be missing: {error}"),
        }
    }
}

impl Cause {
    /// Describes a task that is stopping: first its balancer drains it, then its containers get the
    /// stop signal. (Source: ECS developer guide, task lifecycle; ECS API reference, StopTask.)
    fn stopping(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cause::StoppingLong {
            tasks,
            status,
            since,
            delay_seconds,
            stop_timeout_seconds,
            overdue,
        } = self
        else {
            return Ok(());
        };
        match since {
            Some(since) => {
                write!(f, "{tasks} has been stopping since {since:.0} and is {status}: ")?
            }
            None => write!(f, "{tasks} is stopping and is {status}: ")?,
        }
        let timeout = match stop_timeout_seconds {
            Some(seconds) => format!("{} (stopTimeout)", span(*seconds)),
            None => "the agent's ECS_CONTAINER_STOP_TIMEOUT (30 s unless set)".to_owned(),
        };
        match (status.as_str(), delay_seconds.filter(|seconds| *seconds > 0)) {
            ("DEACTIVATING", Some(seconds)) => write!(
                f,
                "its load balancer drains it first, for the deregistration delay of {}; then its containers have \
                 {timeout} to end",
                span(seconds)
            )?,
            ("DEACTIVATING", None) => write!(
                f,
                "its load balancer drains it first, for the deregistration delay; then its containers have {timeout} \
                 to end"
            )?,
            ("DEPROVISIONING", _) => {
                f.write_str("ECS detaches and deletes its network interface")?
            }
            _ => write!(
                f,
                "its containers have {timeout} after the stop signal, and are then killed"
            )?,
        }
        if *overdue {
            f.write_str("; this time has passed: check the agent and Docker on the instance")?;
        }
        Ok(())
    }
}

/// Describes a service whose percentages leave no room. ECS needs room for one step: to stop one
/// task below the desired count, or to start one above it.
fn cannot_replace(
    f: &mut fmt::Formatter<'_>,
    service: &str,
    desired: u32,
    minimum: u32,
    maximum: u32,
) -> fmt::Result {
    let (desired64, more) = (u64::from(desired), u64::from(desired) + 1);
    let raise = (more * 100).div_ceil(desired64.max(1));
    let lower = desired64.saturating_sub(1) * 100 / desired64.max(1);
    write!(
        f,
        "service {service} cannot replace a task: with desired count {desired}, minimumHealthyPercent {minimum} \
         (rounded up) allows none to stop first, and maximumPercent {maximum} (rounded down) allows none to start \
         first; set maximumPercent to {raise} or more, or minimumHealthyPercent to {lower} or less"
    )
}

fn no_other(f: &mut fmt::Formatter<'_>, cluster: &str, disconnected: usize) -> fmt::Result {
    match disconnected {
        0 => write!(f, "cluster {cluster} has no other ACTIVE container instance")?,
        1 => write!(
            f,
            "the agent of the only other ACTIVE container instance of cluster {cluster} is disconnected"
        )?,
        n => write!(
            f,
            "the agents of all {n} other ACTIVE container instances of cluster {cluster} are disconnected"
        )?,
    }
    f.write_str(", so ECS has no place for a replacement; add instances, or check why existing ones do not register")
}

fn protected(f: &mut fmt::Formatter<'_>, tasks: &Tasks, until: Option<Timestamp>) -> fmt::Result {
    write!(f, "{tasks} is protected from scale-in")?;
    until.map_or(Ok(()), |until| write!(f, " until {until:.0}"))?;
    f.write_str(
        ", and AWS does not document that DRAINING ends the protection; wait, let the task end it, or end \
         it yourself",
    )
}

fn standalone(
    f: &mut fmt::Formatter<'_>,
    tasks: &Tasks,
    stop_after: Option<Duration>,
) -> fmt::Result {
    write!(f, "{tasks} is standalone, so DRAINING does not stop it, and ")?;
    match stop_after {
        Some(grace) => write!(f, "ecs-drain stops it after {} (stop_after)", Span(grace)),
        None => f.write_str(
            "the policy waits for it; stop it, or set standalone_tasks = { stop_after = \"30m\" } in the configuration \
             and restart ecs-drain",
        ),
    }
}

impl HookTimeout {
    /// Returns the words after "when ECS".
    const fn words(self) -> &'static str {
        match self {
            HookTimeout::RollBack => "rolls it back",
            HookTimeout::Continue => "continues it",
            HookTimeout::Unknown => "ends the pause",
        }
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
        if self.more > 0 { write!(f, " (and {} more)", self.more) } else { Ok(()) }
    }
}

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.count, self.more) {
            (n, false) => write!(f, "{n} checked"),
            (n, true) => write!(f, "{n} checked, the cluster has more"),
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Cpu { needed, left } => write!(f, "has {left} of the {needed} CPU units"),
            Lack::Memory { needed, left } => write!(f, "has {left} of the {needed} MiB of memory"),
            Lack::Gpus { needed, left } => write!(f, "has {left} of the {needed} GPUs"),
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
