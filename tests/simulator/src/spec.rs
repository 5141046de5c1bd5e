//! How scenarios describe a world: clusters, services and standalone tasks.
//!
//! Groups, hooks, load balancers and queues are described by the types of their own modules,
//! re-exported here.

use std::time::Duration;

pub use crate::autoscaling::{GroupSpec, HookSpec, LifecycleResult, Transition, WarmPoolSpec};
pub use crate::elb::{ClassicSpec, TargetGroupKind, TargetGroupSpec, TargetType};
pub use crate::events::{EventPlan, Feed};
pub use crate::sqs::QueueSpec;

/// An ECS cluster.
#[derive(Clone, Debug)]
pub struct ClusterSpec {
    /// The cluster's name.
    pub name: String,
}

impl ClusterSpec {
    /// A cluster of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

/// A task definition's network mode, and the port its container listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// `bridge`: the container's port is mapped to a port of the instance.
    Bridge {
        /// The port inside the container.
        container_port: u16,
        /// The port of the instance; 0 asks for a free one from 32768 up.
        host_port: u16,
    },
    /// `awsvpc`: each task has a network interface with an address of its own.
    Awsvpc {
        /// The port inside the container, which is also the target's port.
        container_port: u16,
    },
    /// `host`: the container uses the instance's ports directly.
    Host {
        /// The port.
        container_port: u16,
    },
}

impl Network {
    /// The port that the container listens on.
    pub fn container_port(self) -> u16 {
        match self {
            Self::Bridge { container_port, .. }
            | Self::Awsvpc { container_port }
            | Self::Host { container_port } => container_port,
        }
    }

    /// The API's word for it.
    pub fn mode(self) -> &'static str {
        match self {
            Self::Bridge { .. } => "bridge",
            Self::Awsvpc { .. } => "awsvpc",
            Self::Host { .. } => "host",
        }
    }
}

/// What registers a service's tasks, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balancer {
    /// A target group of an application or network load balancer.
    TargetGroup(String),
    /// A classic load balancer: it knows instances, not ports.
    Classic(String),
}

/// What a task needs and how long it takes to come and go.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    /// CPU units (1024 = one vCPU).
    pub cpu: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// Network mode and port.
    pub network: Network,
    /// From `ACTIVATING` to `RUNNING`: image pull and container start.
    pub start_time: Duration,
    /// From the stop signal to the end of the containers.
    pub stop_time: Duration,
    /// Standalone tasks: how long the container works before it exits by itself; counted from the
    /// later of its start and the scenario's begin. `None`: until it is stopped.
    pub duration: Option<Duration>,
}

impl Default for TaskSpec {
    fn default() -> Self {
        Self {
            cpu: 256,
            memory: 256,
            network: Network::Bridge { container_port: 8080, host_port: 0 },
            start_time: Duration::from_secs(10),
            stop_time: Duration::from_secs(5),
            duration: None,
        }
    }
}

/// `deploymentController.type`: who decides which of a service's tasks run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeploymentController {
    /// ECS itself, by rolling updates.
    #[default]
    Ecs,
    /// AWS CodeDeploy, blue and green, by task sets.
    CodeDeploy,
    /// Someone else, by task sets.
    External,
}

impl DeploymentController {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ecs => "ECS",
            Self::CodeDeploy => "CODE_DEPLOY",
            Self::External => "EXTERNAL",
        }
    }
}

/// Where a service's tasks may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlacementConstraint {
    /// `distinctInstance`: no two of them on one instance.
    DistinctInstance,
    /// `memberOf`: on instances that an expression of the cluster query language admits. The
    /// simulator reads `attribute:name == value` and `attribute:name != value`; any other
    /// expression admits none.
    MemberOf(String),
}

/// An ECS service.
#[derive(Clone, Debug)]
pub struct ServiceSpec {
    /// The cluster's name.
    pub cluster: String,
    /// The service's name.
    pub name: String,
    /// Desired count; ignored for daemons, which run once on every active instance.
    pub desired: u32,
    /// Scheduling strategy `DAEMON` rather than `REPLICA`.
    pub daemon: bool,
    /// `minimumHealthyPercent`; of the desired count, rounded up.
    pub minimum_healthy_percent: u32,
    /// `maximumPercent`; of the desired count, rounded down.
    pub maximum_percent: u32,
    /// What each task is.
    pub task: TaskSpec,
    /// Where its tasks are registered.
    pub load_balancers: Vec<Balancer>,
    /// Who deploys it. With another controller than ECS, the balancers stand in its task set only,
    /// and a drain goes by the default percentages, whatever is set here (source: ECS API
    /// reference, DeploymentConfiguration).
    pub controller: DeploymentController,
    /// Where its tasks may run.
    pub placement_constraints: Vec<PlacementConstraint>,
}

impl ServiceSpec {
    /// A replica service with ECS's defaults, 100 % minimum healthy and 200 % maximum (source: ECS
    /// API reference, DeploymentConfiguration).
    pub fn replica(cluster: impl Into<String>, name: impl Into<String>, desired: u32) -> Self {
        Self {
            cluster: cluster.into(),
            name: name.into(),
            desired,
            daemon: false,
            minimum_healthy_percent: 100,
            maximum_percent: 200,
            task: TaskSpec::default(),
            load_balancers: Vec::new(),
            controller: DeploymentController::Ecs,
            placement_constraints: Vec::new(),
        }
    }

    /// A daemon service with the API's defaults, 0 % minimum healthy and 100 % maximum.
    pub fn daemon(cluster: impl Into<String>, name: impl Into<String>) -> Self {
        let mut spec = Self::replica(cluster, name, 0);
        spec.daemon = true;
        spec.minimum_healthy_percent = 0;
        spec.maximum_percent = 100;
        spec.task.cpu = 64;
        spec.task.memory = 64;
        spec
    }

    /// With other deployment percentages.
    pub fn percents(mut self, minimum_healthy: u32, maximum: u32) -> Self {
        self.minimum_healthy_percent = minimum_healthy;
        self.maximum_percent = maximum;
        self
    }

    /// Registered in this target group.
    pub fn target_group(mut self, name: impl Into<String>) -> Self {
        self.load_balancers.push(Balancer::TargetGroup(name.into()));
        self
    }

    /// Registered in this classic load balancer.
    pub fn classic(mut self, name: impl Into<String>) -> Self {
        self.load_balancers.push(Balancer::Classic(name.into()));
        self
    }

    /// Deployed by someone else, in one task set.
    pub fn controller(mut self, controller: DeploymentController) -> Self {
        self.controller = controller;
        self
    }

    /// At most one task an instance.
    pub fn distinct_instance(mut self) -> Self {
        self.placement_constraints.push(PlacementConstraint::DistinctInstance);
        self
    }

    /// Only on instances that the expression admits, for example `attribute:ecs.instance-type ==
    /// m5.xlarge`.
    pub fn member_of(mut self, expression: impl Into<String>) -> Self {
        self.placement_constraints.push(PlacementConstraint::MemberOf(expression.into()));
        self
    }

    /// With this network mode.
    pub fn network(mut self, network: Network) -> Self {
        self.task.network = network;
        self
    }

    /// With tasks of this size: CPU units and MiB.
    pub fn size(mut self, cpu: u32, memory: u32) -> Self {
        self.task.cpu = cpu;
        self.task.memory = memory;
        self
    }

    /// With tasks that take this long to start and to stop.
    pub fn times(mut self, start: Duration, stop: Duration) -> Self {
        self.task.start_time = start;
        self.task.stop_time = stop;
        self
    }
}

/// A task started with `RunTask`, which no service looks after.
#[derive(Clone, Debug)]
pub struct StandaloneSpec {
    /// The cluster's name.
    pub cluster: String,
    /// The task definition's family.
    pub family: String,
    /// The EC2 instance to run on; `None` lets ECS choose.
    pub instance_id: Option<String>,
    /// `group`; `None` gives ECS's default, `family:<family>`. Callers may set any string, even
    /// `service:<name>` (source: ECS API reference, RunTask).
    pub group: Option<String>,
    /// What the task is.
    pub task: TaskSpec,
}

impl StandaloneSpec {
    /// A task of this family that runs until it is stopped.
    pub fn new(cluster: impl Into<String>, family: impl Into<String>) -> Self {
        Self {
            cluster: cluster.into(),
            family: family.into(),
            instance_id: None,
            group: None,
            task: TaskSpec::default(),
        }
    }

    /// On this EC2 instance.
    pub fn on(mut self, instance_id: impl Into<String>) -> Self {
        self.instance_id = Some(instance_id.into());
        self
    }

    /// Ending by itself after this long.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.task.duration = Some(duration);
        self
    }
}
