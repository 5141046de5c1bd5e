//! The facts about one instance at one moment, cut out of batched reads.
//!
//! A read that failed is *unknown*, never *empty*: [`Seen`] keeps the two apart, and nothing is decided from an
//! observation that lacks what the decision needs. What absence means is one table, here:
//!
//! | AWS says | for | it means | because |
//! | --- | --- | --- | --- |
//! | failure `MISSING` | a container instance | gone | inactive ones are forgotten about an hour after deregistration |
//! | failure `MISSING` | a task that was listed | stopped | stopped tasks are forgotten after an hour or more |
//! | `ClusterNotFoundException` | a cluster | its container instances are gone | a cluster cannot be deleted while it has any |
//! | not in the answer | a group's instance | gone from the group, if warm pool and `DescribeAutoScalingInstances` agree | a complete read names every member |
//! | hook not in the answer | our hook | its action is over: deleting a hook completes it | `DeleteLifecycleHook` |
//! | `TargetGroupNotFound` | a target group | the registration is gone | nothing can be routed through it |
//! | `LoadBalancerNotFound` | a classic load balancer | the registration is gone | the same |
//! | anything else that failed | anything | unknown | throttled, denied, broken: it says nothing about the world |

use crate::Mono;
use crate::record::{ActionResult, ContainerInstance, Obligation, WaitKind};
use jiff::Timestamp;
use std::fmt;

/// A fact, or the reason why it could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// What one pass saw of one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// When the first read of it began.
    pub begun: Mono,
    /// The same moment on the wall clock: a deadline acts only on what was read after it passed.
    pub begun_at: Timestamp,
    /// When the last one ended.
    pub ended: Mono,
    /// What Auto Scaling says of the instance.
    pub group: Seen<GroupSight>,
    /// When that answer's read began. It may be older than this pass: groups are read for all drains at once.
    pub group_begun: Mono,
    /// One for each container instance in the record, in that order.
    pub container_instances: Seen<Vec<ContainerInstanceSight>>,
    /// When the oldest listing began that `tasks` and `obligations` are cut from: a listing that shows tasks is built upon
    /// for a while, and what was placed since is not in it.
    pub tasks_listed: Mono,
    /// Every task on those container instances whose `lastStatus` is not `STOPPED`, whatever its desired status.
    pub tasks: Seen<Vec<TaskSight>>,
    /// The registrations that the services of the instance's tasks, also of those that stopped lately, and the Auto
    /// Scaling group itself give it.
    pub obligations: Seen<Vec<Obligation>>,
    /// One for each obligation in the record, in that order.
    pub targets: Seen<Vec<TargetSight>>,
    /// The newest complete search of every cluster for this instance, if there was one.
    pub lookup: Option<Lookup>,
}

/// A complete search of every cluster of the account and region for one EC2 instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// When it began.
    pub begun: Mono,
    /// Every container instance that was found.
    pub found: Vec<ContainerInstance>,
}

/// What Auto Scaling says of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifecycleState {
    /// A wait that a terminating hook holds.
    Waiting(WaitKind),
    /// Past the wait: `…:Proceed`, `Terminated`, back in the pool, or detached.
    PastWait(String),
    /// `…:Retained`: kept by the group after an abandoned hook.
    Retained(String),
    /// `InService`.
    InService,
    /// `Terminating` or `Warmed:Terminating`: on the way to a wait, if a hook holds it, or to its end.
    Terminating,
    /// Anything else: pending, standby, or a state that is newer than this program.
    Other(String),
}

impl LifecycleState {
    /// Reads Auto Scaling's word.
    ///
    /// `Warmed:Pending:Wait` is a *terminating* hook's wait when the instance came from the group; a launching hook can
    /// show the same state, so intake asks the hook's transition before it calls the wait ours.
    /// (Source: Auto Scaling API reference, `LifecycleState`.)
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
            LifecycleState::PastWait(word) | LifecycleState::Retained(word) | LifecycleState::Other(word) => word,
        })
    }
}

/// What ECS says of one container instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInstanceSight {
    /// Its ARN.
    pub arn: String,
    /// Its status.
    pub status: ContainerInstanceStatus,
    /// Whether its agent is connected; false for one that is gone.
    pub agent_connected: bool,
}

/// Status of a container instance.
/// (Source: ECS API reference, `ContainerInstance.status`.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerInstanceStatus {
    /// Takes new tasks.
    Active,
    /// Takes no new tasks; service tasks are moved away.
    Draining,
    /// Deregistered.
    Inactive,
    /// ECS does not know it (any more).
    Missing,
    /// `REGISTERING`, `DEREGISTERING` or a status that is newer than this program: not safe to call drained.
    Other(String),
}

impl ContainerInstanceStatus {
    /// Whether no new task can land on it.
    pub fn takes_no_work(&self) -> bool {
        use ContainerInstanceStatus::*;
        match self {
            Draining | Inactive | Missing => true,
            Active | Other(_) => false,
        }
    }

    /// Whether it is no longer part of its cluster.
    pub fn is_gone(&self) -> bool {
        use ContainerInstanceStatus::*;
        match self {
            Inactive | Missing => true,
            Active | Draining | Other(_) => false,
        }
    }
}

/// A task whose `lastStatus` is not `STOPPED`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSight {
    /// ARN of the task.
    pub arn: String,
    /// Name of the cluster that it runs in.
    pub cluster: String,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Of a replica service, by name.
    Replica(String),
    /// Of a daemon service, by name.
    Daemon(String),
    /// Of no service: started by RunTask or StartTask. `DRAINING` does not touch it.
    Standalone,
}

impl TaskSight {
    /// The last part of the ARN, which the ECS console shows as the task's name.
    pub fn id(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or(&self.arn)
    }
}

/// What a balancer says of one obligation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetSight {
    /// Not registered (any more), or the target group or balancer itself is gone.
    Gone,
    /// Still there.
    Present {
        /// The balancer's words, such as `draining (Target.DeregistrationInProgress) on port 32768`.
        state: String,
        /// Whether it is being drained already.
        draining: bool,
        /// Whether the balancer says that the instance itself is not running (`Target.InvalidState`).
        instance_dead: bool,
    },
}
