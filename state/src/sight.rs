//! AWS's answers about one thing, in the words of this crate.
//!
//! A read that failed is *unknown*, never *empty*: [`Seen`] keeps the two apart. This is the one
//! table of what absence means:
//!
//! | AWS's answer | for | meaning | reason |
//! | --- | --- | --- | --- |
//! | failure `MISSING` | a container instance | gone | inactive ones are forgotten about an hour after deregistration |
//! | failure `MISSING` | a task that was listed | stopped, if the read began one lag after the task was first listed | stopped tasks are forgotten after an hour or more |
//! | `ClusterNotFoundException` | a cluster | its container instances are gone | a cluster cannot be deleted while it has any |
//! | not in the answer | a group's instance | gone from the group, if warm pool and `DescribeAutoScalingInstances` agree | a complete read names every member |
//! | hook not in the answer | the ecs-drain hook | its action is over: deleting a hook completes it | `DeleteLifecycleHook` |
//! | `TargetGroupNotFound` | a target group | the target is gone | nothing can be routed through it |
//! | `LoadBalancerNotFound` | a classic load balancer | the target is gone | nothing can be routed through it |
//! | any other failure | anything | unknown | throttled, denied, broken: it proves nothing about the world |

use crate::record::{ActionResult, WaitKind};
use jiff::Timestamp;
use std::fmt;

/// A fact, or the reason why it is not known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seen<T> {
    /// A complete answer.
    Yes(T),
    /// No answer, or an incomplete one; the text names the call and its failure.
    Unknown(String),
}

impl<T> Seen<T> {
    /// Returns the fact, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Seen::Yes(fact) => Some(fact),
            Seen::Unknown(_) => None,
        }
    }
}

/// Auto Scaling's answer about an instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GroupSight {
    /// In no group and no warm pool, after complete reads.
    Absent,
    /// In a group.
    Member {
        /// Name of the group.
        group: String,
        /// Lifecycle state of the instance.
        state: LifecycleState,
        /// True if the group calls it healthy.
        healthy: bool,
        /// The ecs-drain hook, if the group (still) has it.
        hook: Seen<Option<HookSight>>,
    },
}

impl GroupSight {
    /// Returns the lifecycle state, if the instance is in a group.
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
    /// Heartbeat timeout: seconds without a heartbeat until the default result.
    pub heartbeat_timeout_seconds: u32,
    /// Global timeout: seconds from the beginning of the wait until the default result, regardless
    /// of heartbeats.
    pub global_timeout_seconds: u32,
    /// Default result: applied when one of the timeouts ends.
    pub default_result: ActionResult,
    /// Names of the group's other terminating hooks.
    pub others: Vec<String>,
    /// True if the group retains an instance whose termination is abandoned.
    pub retains_abandoned: bool,
}

/// Lifecycle state of an instance in its group, as far as it matters to a drain.
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
    /// `Terminating` or `Warmed:Terminating`: before a wait, if a hook holds it, or before its end.
    Terminating,
    /// Any other state: pending, standby, or one that is newer than this program.
    Other(String),
}

impl LifecycleState {
    /// Reads a lifecycle state of Auto Scaling.
    ///
    /// `Warmed:Pending:Wait` is a *terminating* hook's wait when the instance came from the group.
    /// A launching hook can show the same state, so intake checks the hook's transition before it
    /// accepts the wait. (Source: Auto Scaling API reference, `LifecycleState`.)
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

    /// Returns whether the instance is terminating and no hook holds it: before the wait, or past
    /// it.
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

/// Formats the state as Auto Scaling spells it.
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

/// ECS's description of one container instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerInstanceSight {
    /// Its status.
    pub status: ContainerInstanceStatus,
    /// True if its agent is connected; false for one that is gone.
    pub agent_connected: bool,
    /// Sum of ECS's counters of running and pending tasks, which leave out every task that is
    /// stopping or being provisioned.
    pub live: u32,
    /// Version of the container instance: it grows with every change that ECS also reports as an
    /// event. The same number in two reads means that nothing was placed, started or stopped
    /// between them. (Source: ECS API reference, `ContainerInstance.version`.)
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

/// Status of a container instance. (Source: ECS API reference, `ContainerInstance.status`.)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ContainerInstanceStatus {
    /// Takes new tasks.
    Active,
    /// Takes no new tasks; service tasks are moved away.
    Draining,
    /// Deregistered.
    Inactive,
    /// Not known to ECS (any more).
    Missing,
    /// Its trunk network interface could not be attached. It never takes a task, and stays so until
    /// it is deregistered. (Source: ECS API reference, `ContainerInstance.status`.)
    RegistrationFailed,
    /// `REGISTERING`, `DEREGISTERING` or a status that is newer than this program: not safe to
    /// treat as drained.
    Other(String),
}

impl ContainerInstanceStatus {
    /// Returns whether no new task can start on it.
    pub fn takes_no_work(&self) -> bool {
        use ContainerInstanceStatus::*;
        match self {
            Draining | Inactive | Missing | RegistrationFailed => true,
            Active | Other(_) => false,
        }
    }

    /// Returns whether it is no longer part of its cluster.
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
    /// True if its desired status is `STOPPED`.
    pub stopping: bool,
    /// Kind of the task.
    pub kind: TaskKind,
    /// End of its protection from scale-in, if it is protected and the protection was read.
    pub protected_until: Option<Timestamp>,
}

/// Kind of a task, by the service that started it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Task of a replica service; name of the service.
    Replica(String),
    /// Task of a daemon service; name of the service.
    Daemon(String),
    /// Standalone task: started by RunTask or StartTask. `DRAINING` does not stop it.
    Standalone,
}

impl TaskSight {
    /// Returns the order in which tasks are shown: first those that ECS stops last or not at all.
    pub(crate) fn rank(&self) -> (bool, bool) {
        (self.stopping, self.kind != TaskKind::Standalone)
    }

    /// Returns whether its containers have ended, according to ECS. `DELETED` is shown for a moment
    /// after `STOPPED`. (Source: ECS developer guide, "Amazon ECS task lifecycle".)
    pub fn is_stopped(&self) -> bool {
        matches!(self.last_status.as_str(), "STOPPED" | "DELETED")
    }
}

/// Returns the last part of an ARN, which the ECS console shows as a task's name.
pub fn id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// A balancer's answer about one obligation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetSight {
    /// Not registered (any more), or the target group or balancer itself is gone.
    Gone,
    /// Still registered.
    Present {
        /// The balancer's words, such as `draining (Target.DeregistrationInProgress) on port
        /// 32768`.
        state: String,
        /// True if it is draining already.
        draining: bool,
        /// True if the balancer reports that the instance itself is not running
        /// (`Target.InvalidState`).
        instance_dead: bool,
    },
}
