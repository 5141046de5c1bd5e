//! What AWS says of one thing, in the words of this crate.
//!
//! A read that failed is *unknown*, never *empty*: [`Seen`] keeps the two apart. What absence means
//! is one table, here:
//!
//! | AWS says | for | it means | because |
//! | --- | --- | --- | --- |
//! | failure `MISSING` | a container instance | gone | inactive ones are forgotten about an hour after deregistration |
//! | failure `MISSING` | a task that was listed | stopped, by a read begun long enough after it was first listed | stopped tasks are forgotten after an hour or more |
//! | `ClusterNotFoundException` | a cluster | its container instances are gone | a cluster cannot be deleted while it has any |
//! | not in the answer | a group's instance | gone from the group, if warm pool and `DescribeAutoScalingInstances` agree | a complete read names every member |
//! | hook not in the answer | the ecs-drain hook | its action is over: deleting a hook completes it | `DeleteLifecycleHook` |
//! | `TargetGroupNotFound` | a target group | the target is gone | nothing can be routed through it |
//! | `LoadBalancerNotFound` | a classic load balancer | the target is gone | the same |
//! | anything else that failed | anything | unknown | throttled, denied, broken: it says nothing about the world |

use crate::record::{ActionResult, WaitKind};
use jiff::Timestamp;
use std::fmt;

/// A fact, or the reason why it could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seen<T> {
    /// A complete answer.
    Yes(T),
    /// No answer, or not a complete one; the text says what was tried and what came back.
    Unknown(String),
}

impl<T> Seen<T> {
    /// The fact, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Seen::Yes(fact) => Some(fact),
            Seen::Unknown(_) => None,
        }
    }
}

/// What Auto Scaling says of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GroupSight {
    /// In no group and no warm pool, after complete reads.
    Absent,
    /// In a group.
    Member {
        /// Name of the group.
        group: String,
        /// Where it stands in its lifecycle.
        state: LifecycleState,
        /// Whether the group calls it healthy.
        healthy: bool,
        /// Our hook, if the group (still) has it.
        hook: Seen<Option<HookSight>>,
    },
}

impl GroupSight {
    /// Where it stands in its lifecycle, if it is in a group.
    pub fn state(&self) -> Option<&LifecycleState> {
        match self {
            GroupSight::Absent => None,
            GroupSight::Member { state, .. } => Some(state),
        }
    }
}

/// A lifecycle hook, as Auto Scaling describes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HookSight {
    /// Seconds without a heartbeat until the default result.
    pub heartbeat_timeout_seconds: u32,
    /// Seconds from the beginning of the wait until the default result, whatever the heartbeats.
    pub global_timeout_seconds: u32,
    /// What happens then.
    pub default_result: ActionResult,
    /// Names of the group's other terminating hooks.
    pub others: Vec<String>,
    /// Whether the group keeps an instance whose termination is abandoned.
    pub retains_abandoned: bool,
}

/// Where an instance stands in its group, as far as we care.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LifecycleState {
    /// A wait that a terminating hook holds.
    Waiting(WaitKind),
    /// Past the wait: `…:Proceed`, `Terminated`, back in the pool, or detached.
    PastWait(String),
    /// `…:Retained`: kept by the group after an abandoned hook.
    Retained(String),
    /// `InService`.
    InService,
    /// `Terminating` or `Warmed:Terminating`: on the way to a wait, if a hook holds it, or to its
    /// end.
    Terminating,
    /// Anything else: pending, standby, or a state that is newer than this program.
    Other(String),
}

impl LifecycleState {
    /// Reads Auto Scaling's word.
    ///
    /// `Warmed:Pending:Wait` is a *terminating* hook's wait when the instance came from the group;
    /// a launching hook can show the same state, so intake asks the hook's transition before it
    /// calls the wait ours. (Source: Auto Scaling API reference, `LifecycleState`.)
    pub fn read(word: &str) -> LifecycleState {
        match word {
            "Terminating:Wait" => LifecycleState::Waiting(WaitKind::Terminating),
            "Warmed:Terminating:Wait" => LifecycleState::Waiting(WaitKind::WarmedTerminating),
            "Warmed:Pending:Wait" => LifecycleState::Waiting(WaitKind::ReturnsToWarmPool),
            "ReplacingRootVolume:Wait" => LifecycleState::Waiting(WaitKind::ReplacesRootVolume),
            "Terminating:Proceed"
            | "Terminated"
            | "Warmed:Terminating:Proceed"
            | "Warmed:Terminated"
            | "Warmed:Pending:Proceed"
            | "Warmed:Stopped"
            | "Warmed:Running"
            | "Warmed:Hibernated"
            | "ReplacingRootVolume:Proceed"
            | "RootVolumeReplaced"
            | "Detached" => LifecycleState::PastWait(word.to_owned()),
            "Terminating:Retained" | "Warmed:Terminating:Retained" | "Warmed:Pending:Retained" => {
                LifecycleState::Retained(word.to_owned())
            }
            "InService" => LifecycleState::InService,
            "Terminating" | "Warmed:Terminating" => LifecycleState::Terminating,
            other => LifecycleState::Other(other.to_owned()),
        }
    }

    /// Whether the instance is on its way out, and nothing holds it: before the wait, or past it.
    pub fn is_terminating(&self) -> bool {
        match self {
            LifecycleState::Terminating => true,
            LifecycleState::PastWait(word) => {
                let word = word.strip_prefix("Warmed:").unwrap_or(word);
                matches!(word, "Terminating:Proceed" | "Terminated")
            }
            LifecycleState::Waiting(_)
            | LifecycleState::Retained(_)
            | LifecycleState::InService
            | LifecycleState::Other(_) => false,
        }
    }
}

/// As Auto Scaling spells it.
impl fmt::Display for LifecycleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LifecycleState::Waiting(WaitKind::Terminating) => "Terminating:Wait",
            LifecycleState::Waiting(WaitKind::WarmedTerminating) => "Warmed:Terminating:Wait",
            LifecycleState::Waiting(WaitKind::ReturnsToWarmPool) => "Warmed:Pending:Wait",
            LifecycleState::Waiting(WaitKind::ReplacesRootVolume) => "ReplacingRootVolume:Wait",
            LifecycleState::InService => "InService",
            LifecycleState::Terminating => "Terminating",
            LifecycleState::PastWait(word)
            | LifecycleState::Retained(word)
            | LifecycleState::Other(word) => word,
        })
    }
}

/// What ECS says of one container instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerInstanceSight {
    /// Its status.
    pub status: ContainerInstanceStatus,
    /// Whether its agent is connected; false for one that is gone.
    pub agent_connected: bool,
    /// ECS's counters of running and pending tasks, which leave out every task that is stopping or
    /// being provisioned.
    pub live: u32,
    /// A number that grows with every change that ECS also reports as an event: the same number in
    /// two reads says that nothing was placed, started or stopped between them. (Source: ECS API
    /// reference, `ContainerInstance.version`.)
    pub version: i64,
}

impl ContainerInstanceSight {
    /// A container instance that ECS does not know (any more).
    pub const MISSING: ContainerInstanceSight = ContainerInstanceSight {
        status: ContainerInstanceStatus::Missing,
        agent_connected: false,
        live: 0,
        version: 0,
    };
}

/// Status of a container instance.
/// (Source: ECS API reference, `ContainerInstance.status`.)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ContainerInstanceStatus {
    /// Takes new tasks.
    Active,
    /// Takes no new tasks; service tasks are moved away.
    Draining,
    /// Deregistered.
    Inactive,
    /// ECS does not know it (any more).
    Missing,
    /// Its trunk network interface could not be attached. It never takes a task, and stays so until
    /// it is deregistered. (Source: ECS API reference, `ContainerInstance.status`.)
    RegistrationFailed,
    /// `REGISTERING`, `DEREGISTERING` or a status that is newer than this program: not safe to call
    /// drained.
    Other(String),
}

impl ContainerInstanceStatus {
    /// Whether no new task can land on it.
    pub fn takes_no_work(&self) -> bool {
        use ContainerInstanceStatus::*;
        match self {
            Draining | Inactive | Missing | RegistrationFailed => true,
            Active | Other(_) => false,
        }
    }

    /// Whether it is no longer part of its cluster.
    pub fn is_gone(&self) -> bool {
        use ContainerInstanceStatus::*;
        match self {
            Inactive | Missing => true,
            Active | Draining | RegistrationFailed | Other(_) => false,
        }
    }
}

/// A task, as DescribeTasks shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskSight {
    /// ECS's `lastStatus`, such as `RUNNING` or `DEACTIVATING`.
    pub last_status: String,
    /// Whether ECS wants it stopped already.
    pub stopping: bool,
    /// What kind of task it is.
    pub kind: TaskKind,
    /// When it may be scaled in, if it is protected and that was asked.
    pub protected_until: Option<Timestamp>,
}

/// What kind of task it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Of a replica service, by name.
    Replica(String),
    /// Of a daemon service, by name.
    Daemon(String),
    /// Of no service: started by RunTask or StartTask. `DRAINING` does not touch it.
    Standalone,
}

impl TaskSight {
    /// Returns whether its containers have ended, by ECS's word. `DELETED` is shown for a moment
    /// after `STOPPED`. (Source: ECS developer guide, "Amazon ECS task lifecycle".)
    pub fn is_stopped(&self) -> bool {
        matches!(self.last_status.as_str(), "STOPPED" | "DELETED")
    }
}

/// The last part of an ARN, which the ECS console shows as a task's name.
pub fn id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// What a balancer says of one obligation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetSight {
    /// Not registered (any more), or the target group or balancer itself is gone.
    Gone,
    /// Still there.
    Present {
        /// The balancer's words, such as `draining (Target.DeregistrationInProgress) on port
        /// 32768`.
        state: String,
        /// Whether it is being drained already.
        draining: bool,
        /// Whether the balancer says that the instance itself is not running
        /// (`Target.InvalidState`).
        instance_dead: bool,
    },
}
