//! What was read for a diagnosis. Whatever is `None` (or missing from a map) was not read, or not
//! answered: no cause is ever concluded from it.

use crate::policy::{DaemonTasks, StandaloneTasks};
use crate::sight::TaskKind;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A service: its cluster's name and its own.
pub type ServiceKey = (String, String);

/// Everything that a diagnosis of one drain is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The policy's word on tasks of daemon services.
    pub daemon_tasks: DaemonTasks,
    /// The policy's word on standalone tasks.
    pub standalone_tasks: StandaloneTasks,
    /// The tasks that are left on the instance; None where they could not be read.
    pub tasks: Option<Vec<TaskFacts>>,
    /// Their services, as far as those could be read.
    pub services: BTreeMap<ServiceKey, ServiceFacts>,
    /// The other container instances of their clusters, by cluster, as far as those could be read.
    pub others: BTreeMap<String, Others>,
    /// The registrations that are left, as far as they were looked at.
    pub targets: Vec<TargetFacts>,
    /// The longest deregistration delay among the record's registrations, seconds: 0 if there are
    /// none, None if one is not known.
    pub delay_seconds: Option<u32>,
    /// Since when every agent of the instance is disconnected, if that is so.
    pub agent_lost_since: Option<Timestamp>,
    /// Calls that AWS throttled lately, as IAM names them.
    pub throttled: BTreeSet<String>,
    /// What could not be read: the IAM action of the call, and its error.
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
    /// Whether ECS wants it stopped already.
    pub stopping: bool,
    /// What kind of task it is.
    pub kind: TaskKind,
    /// Whether it is protected from scale-in.
    pub protection: Protection,
    /// When it was told to stop (`stoppingAt`).
    pub stopping_at: Option<Timestamp>,
    /// The longest `stopTimeout` among its containers, seconds. None: none is set, or it was not
    /// read.
    pub stop_timeout_seconds: Option<u32>,
}

/// Whether a task is protected from scale-in. (Source: ECS API reference, ProtectedTask.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    /// Not asked, or not answered.
    #[default]
    Unknown,
    /// It is not.
    Off,
    /// It is.
    On {
        /// Until then, if ECS says so.
        until: Option<Timestamp>,
    },
}

/// A service, as far as the replacement of its tasks goes. (Source: ECS API reference, Service.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Who deploys it.
    pub controller: Controller,
    /// `desiredCount`.
    pub desired: u32,
    /// `runningCount`: the tasks on instances that are drained are among them.
    pub running: u32,
    /// `pendingCount`.
    pub pending: u32,
    /// `minimumHealthyPercent`, if the service has one.
    pub minimum_percent: Option<u32>,
    /// `maximumPercent`, if the service has one.
    pub maximum_percent: Option<u32>,
    /// Its placement constraints.
    pub constraints: Vec<Constraint>,
    /// How far its deployments are.
    pub rollout: RolloutFacts,
    /// What ECS said of it lately, in any order.
    pub events: Vec<EventFacts>,
    /// What a new task of it needs; None where its task definition could not be read.
    pub need: Option<Need>,
    /// The ARNs of the container instances that hold tasks of it which ECS wants running; None
    /// where that was not read (it matters for `distinctInstance` alone).
    pub placed_on: Option<BTreeSet<String>>,
}

/// How far the deployments of a service are. (Source: ECS API reference, Service and
/// DeploymentConfiguration.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutFacts {
    /// Whether one is in progress (`rolloutState` is `IN_PROGRESS`).
    pub in_progress: bool,
    /// How many revisions of the service have tasks.
    pub revisions: usize,
    /// Whether a deployment may be complete before the old tasks are gone
    /// (`sourceServiceRevisionCleanup` is `DEFERRED`).
    pub cleanup_deferred: bool,
    /// `bakeTimeInMinutes`, if the service has one.
    pub bake_minutes: Option<u32>,
    /// The one in progress; None where there is none, or it was not read.
    pub deployment: Option<DeploymentFacts>,
}

/// A service deployment. (Source: ECS API reference, ServiceDeployment.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentFacts {
    /// Its ARN.
    pub arn: String,
    /// `lifecycleStage`, in ECS's word; empty where it has none.
    pub stage: String,
    /// The hook that it waits for, if one has the status `AWAITING_ACTION`.
    pub pause: Option<PauseFacts>,
}

/// A hook that pauses a deployment. (Source: ECS API reference, DeploymentLifecycleHookDetail.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PauseFacts {
    /// Its id.
    pub hook: String,
    /// When it times out, if ECS says so.
    pub until: Option<Timestamp>,
    /// What ECS does then.
    pub then: HookTimeout,
}

/// What ECS does when a hook of a deployment times out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookTimeout {
    /// ECS does not say.
    #[default]
    Unknown,
    /// `CONTINUE`.
    Continue,
    /// `ROLLBACK`.
    RollBack,
}

/// Who deploys a service. (Source: ECS API reference, DeploymentController.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Controller {
    /// `ECS`: what a service has that names none.
    #[default]
    Ecs,
    /// `CODE_DEPLOY` or `EXTERNAL`: while an instance drains, ECS takes the default percentages for
    /// its services on EC2, whatever they are given. (Source: ECS API reference,
    /// DeploymentConfiguration.)
    Outside,
    /// One that is newer than this program.
    Other(String),
}

/// A line of a service's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFacts {
    /// When.
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

/// What a task needs of a container instance, as its task definition says. (Source: ECS API
/// reference, TaskDefinition, ContainerDefinition, PortMapping.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// CPU units, 1024 to a core; None where the definition's word is no number.
    pub cpu: Option<u32>,
    /// MiB of memory; None where the definition's word is no number.
    pub memory: Option<u32>,
    /// Ports of the instance that it must have.
    pub ports: BTreeSet<Port>,
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

/// The container instances of a cluster that are `ACTIVE`, but for the one that is drained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// Those that were looked at.
    pub instances: Vec<InstanceFacts>,
    /// Whether the cluster has more of them, which were not looked at.
    pub more: bool,
}

/// What a container instance has to offer. (Source: ECS API reference, ContainerInstance,
/// Resource.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFacts {
    /// ARN of the container instance.
    pub arn: String,
    /// EC2 instance id.
    pub ec2_instance_id: String,
    /// Whether its agent is connected: ECS places nothing on one whose agent is not.
    pub agent_connected: bool,
    /// CPU units that are not allocated.
    pub cpu: Option<i64>,
    /// MiB of memory that are not allocated.
    pub memory: Option<i64>,
    /// Ports that are taken; None where that is not known.
    pub ports_taken: Option<BTreeSet<Port>>,
    /// Its attributes; some have no value.
    pub attributes: BTreeMap<String, Option<String>>,
}

/// A registration that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFacts {
    /// Which, as `i-1 in target group web`.
    pub name: String,
    /// The balancer's word for its state.
    pub state: String,
    /// Whether it is being drained.
    pub draining: bool,
    /// How long the balancer drains it, seconds, where that is known.
    pub delay_seconds: Option<u32>,
    /// When it was first seen draining.
    pub draining_since: Option<Timestamp>,
}
