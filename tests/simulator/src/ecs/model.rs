//! The nouns of ECS: cluster, container instance, service, task, and the states of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::SimTime;
use crate::spec::{DeploymentController, Network, PlacementConstraint, TaskSpec};

/// A cluster with everything in it. Keys are ids (the last part of an ARN), never ARNs.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Its container instances by id.
    pub instances: BTreeMap<String, ContainerInstance>,
    /// Container instance ids by EC2 instance id: more than one after an agent registered again
    /// (source: amazon-ecs-agent#125).
    pub by_ec2: BTreeMap<String, BTreeSet<String>>,
    /// Its services by name.
    pub services: BTreeMap<String, Service>,
    /// Its tasks by id, stopped ones included while they can be described.
    pub tasks: BTreeMap<String, Task>,
}

/// `ContainerInstance.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceStatus {
    /// Takes new tasks.
    Active,
    /// Takes no new tasks; ECS moves service tasks elsewhere.
    Draining,
    /// Deregistered. Never listed; described for about an hour more (source: ECS developer guide).
    Inactive,
}

impl InstanceStatus {
    /// Returns the API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// An EC2 instance's registration in a cluster.
#[derive(Clone, Debug)]
pub struct ContainerInstance {
    /// Its id, 32 hex digits.
    pub id: String,
    /// The EC2 instance.
    pub ec2_instance_id: String,
    /// Its status.
    pub status: InstanceStatus,
    /// The moment since which it has that status.
    pub status_since: SimTime,
    /// `capacityProviderName`.
    pub capacity_provider: Option<String>,
    /// `versionInfo.agentVersion`.
    pub agent_version: String,
    /// True while the agent is connected to ECS. Without it task states freeze: a `RUNNING` task
    /// stays `RUNNING`, and its service does not replace it (source: containers-roadmap#2040).
    pub agent_connected: bool,
    /// True while the EC2 instance runs: the truth behind `agent_connected`.
    pub ec2_alive: bool,
    /// True while the EC2 instance is stopped and may be started again (a warm pool).
    pub stopped: bool,
    /// The moment at which the agent registered.
    pub registered_at: SimTime,
    /// The moment at which it became `INACTIVE`.
    pub deregistered_at: Option<SimTime>,
    /// Registered CPU units.
    pub cpu: u32,
    /// Registered memory, MiB.
    pub memory: u32,
    /// CPU units held by tasks that are not `STOPPED`.
    pub used_cpu: u32,
    /// Memory held by tasks that are not `STOPPED`, MiB.
    pub used_memory: u32,
    /// Host ports held by tasks that are not `STOPPED`.
    pub used_ports: BTreeSet<u16>,
    /// Ids of its tasks, stopped ones included.
    pub tasks: BTreeSet<String>,
    /// A number that grows with every change for which ECS sends an event.
    pub version: u64,
    /// Tags, as `include: [TAGS]` shows them.
    pub tags: BTreeMap<String, String>,
    /// Attributes, for example `ecs.ami-id`.
    pub attributes: BTreeMap<String, String>,
}

impl ContainerInstance {
    /// Returns the reason why ECS cannot place a task of this size here now, in the words of a
    /// service event (source: ECS developer guide, service event messages). An instance that is not
    /// `ACTIVE` is no candidate at all.
    pub fn refuses(&self, spec: &TaskSpec) -> Option<&'static str> {
        let port_taken = match spec.network {
            Network::Bridge { host_port: 0, .. } | Network::Awsvpc { .. } => false,
            Network::Bridge { host_port: port, .. } | Network::Host { container_port: port } => {
                self.used_ports.contains(&port)
            }
        };
        if self.status != InstanceStatus::Active {
            Some("is no candidate")
        } else if !self.agent_connected {
            Some("encountered error \"AGENT\"")
        } else if self.used_cpu + spec.cpu > self.cpu {
            Some("has insufficient CPU units available")
        } else if self.used_memory + spec.memory > self.memory {
            Some("has insufficient memory available")
        } else if port_taken {
            Some("is already using a port required by your task")
        } else {
            None
        }
    }
}

/// `Task.lastStatus`, in the order of a task's life (source: ECS developer guide, task lifecycle).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskStatus {
    /// Before the agent: ECS creates a network interface.
    Provisioning,
    /// Waits for the agent.
    Pending,
    /// The agent starts containers; targets are registered.
    Activating,
    /// The containers run.
    Running,
    /// Targets are deregistered; the containers still run and still answer.
    Deactivating,
    /// The agent has sent the stop signal.
    Stopping,
    /// ECS deletes the network interface.
    Deprovisioning,
    /// The task has ended.
    Stopped,
}

impl TaskStatus {
    /// Returns the API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// A source of a task's traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// A target of a target group.
    Target {
        /// The group's ARN.
        group: String,
        /// The EC2 instance id or the task's address.
        id: String,
        /// The port.
        port: u16,
    },
    /// The instance in a classic load balancer.
    Classic {
        /// The balancer's name.
        name: String,
    },
}

/// Moments in the life of an EC2 instance that ECS itself soon forgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// The moment at which a container instance of it was first set to `DRAINING`.
    pub draining_at: Option<SimTime>,
    /// The moment at which a task on it last became `STOPPED`.
    pub last_stop: Option<SimTime>,
    /// The moment at which a container instance of it was last deregistered.
    pub deregistered_at: Option<SimTime>,
}

/// A task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Its container instance's id.
    pub instance: String,
    /// Its EC2 instance.
    pub ec2_instance_id: String,
    /// Its task definition, `family:revision`.
    pub definition: String,
    /// Its service; `None` for a standalone task.
    pub service: Option<String>,
    /// True if that service is a daemon.
    pub daemon: bool,
    /// `group`.
    pub group: String,
    /// `startedBy`: the deployment id of a service task. It names the revision of the service that
    /// the task runs.
    pub started_by: Option<String>,
    /// `lastStatus`: ECS's view.
    pub status: TaskStatus,
    /// True if `desiredStatus` is `STOPPED` rather than `RUNNING`.
    pub stop_wanted: bool,
    /// True while its containers run on the instance: the truth.
    pub containers_running: bool,
    /// True if a forced deregistration cut it off from ECS: reported as `STOPPED` while its
    /// containers run on.
    pub orphaned: bool,
    /// `stopCode`.
    pub stop_code: Option<&'static str>,
    /// `stoppedReason`.
    pub stopped_reason: Option<String>,
    /// `createdAt`.
    pub created_at: SimTime,
    /// `startedAt`.
    pub started_at: Option<SimTime>,
    /// `stoppingAt`.
    pub stopping_at: Option<SimTime>,
    /// `executionStoppedAt`: the end of the containers.
    pub execution_stopped_at: Option<SimTime>,
    /// `stoppedAt`.
    pub stopped_at: Option<SimTime>,
    /// Its host port, if it has one.
    pub host_port: Option<u16>,
    /// Its address and network interface, for `awsvpc`.
    pub eni: Option<Eni>,
    /// Its present or former registrations.
    pub registrations: Vec<Registration>,
    /// True once those have been deregistered.
    pub deregistered: bool,
    /// The end of its scale-in protection.
    pub protected_until: Option<SimTime>,
    /// The moment of its next step; timers with an earlier moment are stale.
    pub due: SimTime,
    /// `version`.
    pub version: u64,
}

/// The network interface of an `awsvpc` task.
#[derive(Clone, Debug)]
pub struct Eni {
    /// `eni-…`.
    pub id: String,
    /// The attachment's id.
    pub attachment: String,
    /// The private IPv4 address.
    pub address: String,
    /// True once the interface was deleted.
    pub deleted: bool,
}

/// A service event: ECS's message to people about its scheduling.
#[derive(Clone, Debug)]
pub struct ServiceEvent {
    /// Its id.
    pub id: String,
    /// The moment.
    pub at: SimTime,
    /// The text.
    pub message: String,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Tags, as `include: [TAGS]` shows them.
    pub tags: BTreeMap<String, String>,
    /// Its task definition, `family:revision`.
    pub definition: String,
    /// The id of its deployment, or of its task set: `ecs-svc/<digits>`.
    pub deployment: String,
    /// Its deployment controller.
    pub controller: DeploymentController,
    /// The constraints on its instances.
    pub placement_constraints: Vec<PlacementConstraint>,
    /// The reason why its new tasks do not start, if there is one.
    pub trouble: Option<Trouble>,
    /// The number of tasks in a row that failed to start.
    pub failures: u32,
    /// The moment before which no task is started, after failures to start.
    pub throttled_until: Option<SimTime>,
    /// True once it has reported that it is unable to consistently start tasks.
    pub impaired: bool,
    /// True once it has reported a steady state, and no task has changed since.
    pub steady: bool,
    /// Desired count (replicas).
    pub desired: u32,
    /// `DAEMON` rather than `REPLICA`.
    pub daemon: bool,
    /// `minimumHealthyPercent`.
    pub minimum_healthy_percent: u32,
    /// `maximumPercent`.
    pub maximum_percent: u32,
    /// The description of its tasks.
    pub task: TaskSpec,
    /// Target group ARNs.
    pub target_groups: Vec<String>,
    /// Classic load balancer names.
    pub classics: Vec<String>,
    /// The moment at which ECS rolls back a deployment in progress that waits at a pause hook.
    pub paused_until: Option<SimTime>,
    /// Its revisions before its load balancers were changed, oldest first, without the present one.
    pub earlier: Vec<super::Revision>,
    /// Ids of its tasks that are not `STOPPED`.
    pub tasks: BTreeSet<String>,
    /// The last 100 events, newest first.
    pub events: VecDeque<ServiceEvent>,
    /// The moment of its creation.
    pub created_at: SimTime,
    /// The moment at which its present deployment began.
    pub deployed_at: SimTime,
    /// The moment of the scheduler's next check; `None` while it is settled.
    pub wake: Option<SimTime>,
    /// The moment at which it last reported that it could not place a task.
    pub complained_at: Option<SimTime>,
}

impl Service {
    /// Returns minimum and maximum healthy percent as a drain applies them: services of other
    /// deployment controllers than ECS use the defaults (source: ECS API reference,
    /// DeploymentConfiguration).
    pub fn percents(&self) -> (u32, u32) {
        match (self.controller, self.daemon) {
            (DeploymentController::Ecs, _) => (self.minimum_healthy_percent, self.maximum_percent),
            (DeploymentController::CodeDeploy | DeploymentController::External, false) => {
                (100, 200)
            }
            (DeploymentController::CodeDeploy | DeploymentController::External, true) => (0, 100),
        }
    }
}

/// The reason why new tasks of a service do not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// They stop before they run, with this `stoppedReason`.
    NeverStart(String),
    /// They run, and their targets fail the health checks.
    FailHealthChecks,
}

/// A task definition.
#[derive(Clone, Debug)]
pub struct Definition {
    /// `family`.
    pub family: String,
    /// `revision`.
    pub revision: u32,
    /// The description of its tasks.
    pub task: TaskSpec,
}

/// A timer: a change at a later moment.
#[derive(Clone, Debug)]
pub enum Timer {
    /// A task's next step.
    Task {
        /// Cluster name.
        cluster: String,
        /// Task id.
        task: String,
    },
    /// The scheduler checks a service.
    Service {
        /// Cluster name.
        cluster: String,
        /// Service name.
        service: String,
    },
    /// ECS notices that an instance with a connected agent is gone.
    InstanceGone {
        /// Cluster name.
        cluster: String,
        /// Container instance id.
        instance: String,
    },
    /// An `INACTIVE` instance is forgotten.
    ForgetInstance {
        /// Cluster name.
        cluster: String,
        /// Container instance id.
        instance: String,
    },
}

/// The durations of ECS's own steps: estimates from daily experience, without a source.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Creation or deletion of a network interface.
    pub eni: Duration,
    /// `PENDING`: the time before the agent takes a task.
    pub pending: Duration,
    /// The time from `DEACTIVATING` to the true deregistration of targets: in that state targets
    /// were seen still `healthy` (source: aws-cdk#13506).
    pub deregister: Duration,
    /// The time for which a running task's targets may fail their health checks before ECS stops
    /// it.
    pub health_checks: Duration,
    /// The interval of ECS's checks of draining targets, and of the scheduler's checks of an
    /// unsettled service.
    pub poll: Duration,
    /// The delay of the scheduler's reaction to a change.
    pub react: Duration,
    /// The time from the end of a connected EC2 instance to its deregistration.
    pub instance_gone: Duration,
    /// The time for which stopped tasks and inactive instances can be described (source: ECS API
    /// reference, DescribeTasks: at least one hour).
    pub memory: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            eni: Duration::from_secs(4),
            pending: Duration::from_secs(2),
            deregister: Duration::from_secs(2),
            health_checks: Duration::from_secs(30),
            poll: Duration::from_secs(5),
            react: Duration::from_secs(1),
            instance_gone: Duration::from_secs(10),
            memory: Duration::from_secs(3600),
        }
    }
}
