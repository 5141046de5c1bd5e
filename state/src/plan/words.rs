//! Doubts, waits and notes in words: the fact, and what you can do.

use super::{Doubt, Note, Wait};
use crate::budget::DO_NOT_DISRUPT;
use crate::why::Span;
use std::fmt;
use std::time::Duration;

impl Doubt {
    /// Returns its name, one word from a closed list, for JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Doubt::TasksUnread => "TasksUnread",
            Doubt::ServiceUnread { .. } => "ServiceUnread",
            Doubt::NewController { .. } => "NewController",
            Doubt::InDeployment { .. } => "InDeployment",
            Doubt::Unsettled { .. } => "Unsettled",
            Doubt::Unhealthy { .. } => "Unhealthy",
            Doubt::RoomUnknown { .. } => "RoomUnknown",
            Doubt::TightRoom { .. } => "TightRoom",
            Doubt::ProtectionUnread { .. } => "ProtectionUnread",
            Doubt::TargetsUnread { .. } => "TargetsUnread",
            Doubt::GroupUnread => "GroupUnread",
            Doubt::DoNotDisrupt { .. } => "DoNotDisrupt",
            Doubt::Behind { .. } => "Behind",
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::TasksUnread => f.write_str("tasks that leave could not be read; try again"),
            Doubt::ServiceUnread { service } => write!(
                f,
                "service {service} could not be read; if it was deleted, stop its tasks with aws ecs stop-task"
            ),
            Doubt::NewController { service, controller } => {
                write!(
                    f,
                    "service {service} has the deployment controller {controller}, which ecs-drain does not know"
                )
            }
            Doubt::InDeployment { service } => {
                write!(
                    f,
                    "a deployment of service {service} is in progress; try again once it has ended"
                )
            }
            Doubt::Unsettled { service, desired, running, pending } => write!(
                f,
                "service {service} is not in a steady state (desired count {desired}, {running} running, {pending} \
                 pending); try again once it is"
            ),
            Doubt::Unhealthy { service, targets } => write!(
                f,
                "{targets} targets of service {service} are not healthy, and ECS counts only healthy tasks; check \
                 its health checks"
            ),
            Doubt::RoomUnknown { service } => write!(
                f,
                "the needs of service {service} or the free resources of the other container instances are not known"
            ),
            Doubt::TightRoom { service, replacements } => write!(
                f,
                "the room for {replacements} new tasks of service {service} depends on the order in which ECS places \
                 all tasks; add instances, or drain fewer at once"
            ),
            Doubt::ProtectionUnread { tasks } => {
                write!(f, "the scale-in protection of {tasks} could not be read")
            }
            Doubt::TargetsUnread { balancer } => {
                write!(f, "the targets of {balancer} could not be read")
            }
            Doubt::GroupUnread => f.write_str("its Auto Scaling group could not be read"),
            Doubt::DoNotDisrupt { service } => write!(
                f,
                "the owner of service {service} has tagged it {DO_NOT_DISRUPT}, so the drain does not \
                 begin; ask the owner"
            ),
            Doubt::Behind { instance } => {
                write!(f, "its turn comes after {instance}, which may not end by itself")
            }
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Protected { tasks, until } => {
                write!(
                    f,
                    "{tasks}: protected from scale-in until {until:.0}, unless it renews that"
                )
            }
            Wait::DoNotDisrupt { service, until } => {
                write!(
                    f,
                    "service {service}: its owner has tagged it {DO_NOT_DISRUPT} until {until:.0}"
                )
            }
            Wait::Standalone { tasks, stop_after } => {
                write!(f, "{tasks}: standalone, stopped after {} (stop_after)", Span(*stop_after))
            }
            Wait::Daemon { tasks } => write!(f, "{tasks}: a daemon task, stopped last"),
            Wait::Stopping { tasks } => write!(f, "{tasks}: stopping already"),
            Wait::Target { target, delay_seconds: Some(seconds) } => write!(
                f,
                "{target}: deregistration delay {}",
                Span(Duration::from_secs(u64::from(*seconds)))
            ),
            Wait::Target { target, delay_seconds: None } => {
                write!(f, "{target}: deregistration delay not known")
            }
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::AtMinimum { group, chosen, desired, minimum } => write!(
                f,
                "group {group}: {chosen} instances are chosen, its desired capacity is {desired} and its minimum size \
                 {minimum}; with --shrink at most {} can be terminated",
                desired.saturating_sub(*minimum)
            ),
            Note::Suspended { group, processes } => write!(
                f,
                "group {group}: suspended processes: {}; without Launch no replacement is launched, without \
                 Terminate the group itself ends no instance",
                processes.join(", ")
            ),
            Note::OtherHooks { group, hooks } => {
                write!(
                    f,
                    "group {group}: other hooks hold a terminating instance, too: {}",
                    hooks.join(", ")
                )
            }
            Note::BadTag { text } => write!(f, "tag that does not count: {text}"),
            Note::ScaleInProtection { group, instances } => write!(
                f,
                "group {group}: protected from scale-in: {}; a drain ends it all the same, a scale-in or an \
                 instance refresh does not",
                instances.join(", ")
            ),
        }
    }
}
