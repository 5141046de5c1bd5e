//! The facts of a diagnosis. A fact that is `None` (or missing from a map) was not read, or not
//! answered: no cause is ever concluded from it.

use crate::policy::{DaemonTasks, StandaloneTasks};
use crate::sight::TaskKind;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Key of a service: the cluster's name and the service's name.
pub type ServiceKey = (String, String);

/// Every fact of one drain's diagnosis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The policy for tasks of daemon services.
    pub daemon_tasks: DaemonTasks,
    /// The policy for standalone tasks.
    pub standalone_tasks: StandaloneTasks,
    /// Tasks that are left on the instance. `None` if they could not be read.
    pub tasks: Option<Vec<TaskFacts>>,
    /// Services of these tasks, as far as they could be read.
    pub services: BTreeMap<ServiceKey, ServiceFacts>,
    /// The other container instances of their clusters, by cluster, as far as they could be read.
    pub others: BTreeMap<String, Others>,
    /// Targets that are left, as far as they were read.
    pub targets: Vec<TargetFacts>,
    /// Longest deregistration delay among the record's targets, seconds: 0 if there are none,
    /// `None` if one is not known.
    pub delay_seconds: Option<u32>,
    /// Time since which every agent of the instance has been disconnected, if all are.
    pub agent_lost_since: Option<Timestamp>,
    /// Calls that AWS throttled recently, as IAM names them.
    pub throttled: BTreeSet<String>,
    /// Failed reads: the IAM action of each call, and its error.
    pub unreadable: BTreeMap<String, String>,
}

/// A task that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFacts {
    /// The last part of its ARN.
    pub id: String,
    /// Name of its cluster.
    pub cluster: String,
    /// ECS's `lastStatus`.
    pub last_status: String,
    /// True if its desired status is `STOPPED`.
    pub stopping: bool,
    /// Kind of the task.
    pub kind: TaskKind,
    /// Its protection from scale-in.
    pub protection: Protection,
    /// Time at which it began to stop (`stoppingAt`).
    pub stopping_at: Option<Timestamp>,
    /// Longest `stopTimeout` among its containers, seconds. `None` if none is set, or it was not
    /// read.
    pub stop_timeout_seconds: Option<u32>,
}

/// A task's protection from scale-in. (Source: ECS API reference, ProtectedTask.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    /// Not read, or not answered.
    #[default]
    Unknown,
    /// Not protected.
    Off,
    /// Protected.
    On {
        /// End of the protection, if ECS reports one.
        until: Option<Timestamp>,
    },
}

/// A service, as far as it matters to the replacement of its tasks. (Source: ECS API reference,
/// Service.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Its deployment controller.
    pub controller: Controller,
    /// `desiredCount`.
    pub desired: u32,
    /// `runningCount`: it includes the tasks on instances that are drained.
    pub running: u32,
    /// `pendingCount`.
    pub pending: u32,
    /// `minimumHealthyPercent`, if the service has one.
    pub minimum_percent: Option<u32>,
    /// `maximumPercent`, if the service has one.
    pub maximum_percent: Option<u32>,
    /// Its placement constraints.
    pub constraints: Vec<Constraint>,
    /// State of its deployments.
    pub rollout: RolloutFacts,
    /// Its recent events, in any order.
    pub events: Vec<EventFacts>,
    /// Needs of a new task. `None` if its task definition could not be read.
    pub need: Option<Need>,
    /// ARNs of the container instances that hold tasks of it whose desired status is `RUNNING`.
    /// `None` if that was not read (it matters for `distinctInstance` alone).
    pub placed_on: Option<BTreeSet<String>>,
    /// Capacity providers of its strategy: its tasks are placed on their container instances alone.
    /// Empty if it has none. (Source: ECS developer guide, capacity providers.)
    pub capacity_providers: BTreeSet<String>,
}

/// State of a service's deployments. (Source: ECS API reference, Service and
/// DeploymentConfiguration.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutFacts {
    /// True if one is in progress (`rolloutState` is `IN_PROGRESS`).
    pub in_progress: bool,
    /// Number of revisions of the service that have tasks.
    pub revisions: usize,
    /// True if a deployment may be complete before the old tasks are gone
    /// (`sourceServiceRevisionCleanup` is `DEFERRED`).
    pub cleanup_deferred: bool,
    /// `bakeTimeInMinutes`, if the service has one.
    pub bake_minutes: Option<u32>,
    /// The one in progress. `None` if there is none, or it was not read.
    pub deployment: Option<DeploymentFacts>,
}

/// A service deployment. (Source: ECS API reference, ServiceDeployment.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentFacts {
    /// ARN of the service deployment.
    pub arn: String,
    /// `lifecycleStage`, as ECS spells it; empty if it has none.
    pub stage: String,
    /// The hook that it waits for, if one has the status `AWAITING_ACTION`.
    pub pause: Option<PauseFacts>,
}

/// A hook that pauses a deployment. (Source: ECS API reference, DeploymentLifecycleHookDetail.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PauseFacts {
    /// Id of the hook.
    pub hook: String,
    /// Time at which it times out, if ECS reports it.
    pub until: Option<Timestamp>,
    /// Action of ECS at that time.
    pub then: HookTimeout,
}

/// Action of ECS when a hook of a deployment times out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookTimeout {
    /// Not reported by ECS.
    #[default]
    Unknown,
    /// `CONTINUE`.
    Continue,
    /// `ROLLBACK`.
    RollBack,
}

/// Deployment controller of a service. (Source: ECS API reference, DeploymentController.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Controller {
    /// `ECS`: the default of a service.
    #[default]
    Ecs,
    /// `CODE_DEPLOY` or `EXTERNAL`: while an instance drains, ECS uses the default percentages for
    /// such a service on EC2, even if others are set. (Source: ECS API reference,
    /// DeploymentConfiguration.)
    Outside,
    /// One that is newer than this program.
    Other(String),
}

/// One event of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFacts {
    /// Time of the event.
    pub at: Timestamp,
    /// ECS's words.
    pub text: String,
}

/// A rule for the placement of tasks. (Source: ECS API reference, PlacementConstraint.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constraint {
    /// `distinctInstance`: no two tasks of the service on one container instance.
    DistinctInstance,
    /// `memberOf`, with its expression in the cluster query language.
    MemberOf(String),
    /// One that is newer than this program.
    Other(String),
}

/// Needs of a task on a container instance, by its task definition. (Source: ECS API reference,
/// TaskDefinition, ContainerDefinition, PortMapping.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// CPU units, 1024 to a core. `None` if the definition's value is no number.
    pub cpu: Option<u32>,
    /// MiB of memory. `None` if the definition's value is no number.
    pub memory: Option<u32>,
    /// Ports of the instance that it must have.
    pub ports: BTreeSet<Port>,
    /// GPUs of the instance that it must have.
    pub gpus: usize,
    /// Attributes that the container instance must have, with a value or with any.
    pub attributes: Vec<(String, Option<String>)>,
    /// Placement constraints of the task definition.
    pub constraints: Vec<Constraint>,
}

/// A port of a container instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// TCP, or a protocol that ECS treats as such.
    Tcp(u16),
    /// UDP.
    Udp(u16),
}

/// The `ACTIVE` container instances of a cluster, without the one that is drained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// Those that were read.
    pub instances: Vec<InstanceFacts>,
    /// True if the cluster has more of them, which were not read.
    pub more: bool,
}

/// A container instance and its free resources. (Source: ECS API reference, ContainerInstance,
/// Resource.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFacts {
    /// ARN of the container instance.
    pub arn: String,
    /// EC2 instance id.
    pub ec2_instance_id: String,
    /// True if its agent is connected: ECS places nothing on an instance with a disconnected agent.
    pub agent_connected: bool,
    /// CPU units that are not allocated.
    pub cpu: Option<i64>,
    /// MiB of memory that are not allocated.
    pub memory: Option<i64>,
    /// Ports that are taken. `None` if that is not known.
    pub ports_taken: Option<BTreeSet<Port>>,
    /// GPUs that are not allocated. `None` if that is not known.
    pub gpus: Option<usize>,
    /// Name of its capacity provider, if it has one.
    pub capacity_provider: Option<String>,
    /// Its attributes; some have no value.
    pub attributes: BTreeMap<String, Option<String>>,
}

/// A target that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFacts {
    /// Description of the target, such as `i-1 in target group web`.
    pub name: String,
    /// State, in the balancer's words.
    pub state: String,
    /// True if it is being drained.
    pub draining: bool,
    /// Deregistration delay of the balancer, seconds, if it is known.
    pub delay_seconds: Option<u32>,
    /// Time at which it was first seen draining.
    pub draining_since: Option<Timestamp>,
}
