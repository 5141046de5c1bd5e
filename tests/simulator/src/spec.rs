//! Descriptions of a scenario's clusters, services and standalone tasks.
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
    /// Creates a cluster of this name.
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
        /// The port of the instance; 0 chooses a free one from 32768 up.
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
    /// Returns the port that the container listens on.
    pub fn container_port(self) -> u16 {
        match self {
            Self::Bridge { container_port, .. }
            | Self::Awsvpc { container_port }
            | Self::Host { container_port } => container_port,
        }
    }

    /// Returns the API's word for it.
    pub fn mode(self) -> &'static str {
        match self {
            Self::Bridge { .. } => "bridge",
            Self::Awsvpc { .. } => "awsvpc",
            Self::Host { .. } => "host",
        }
    }
}

/// A load balancer that registers a service's tasks, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balancer {
    /// A target group of an application or network load balancer.
    TargetGroup(String),
    /// A classic load balancer: its entries are instances, without ports.
    Classic(String),
}

/// A task's needs, and the times of its start and stop.
#[derive(Clone, Debug)]
pub struct TaskSpec {
    /// CPU units (1024 = one vCPU).
    pub cpu: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// Network mode and port.
    pub network: Network,
    /// The time from `ACTIVATING` to `RUNNING`: image pull and container start.
    pub start_time: Duration,
    /// The time from the stop signal to the end of the containers.
    pub stop_time: Duration,
    /// Standalone tasks: the time for which the container works before it exits by itself, counted
    /// from the later of its start and the scenario's beginning. `None`: until it is stopped.
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

/// `deploymentController.type`: the owner of a service's deployments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeploymentController {
    /// ECS itself, by rolling updates.
    #[default]
    Ecs,
    /// AWS CodeDeploy, blue and green, by task sets.
    CodeDeploy,
    /// A third party, by task sets.
    External,
}

impl DeploymentController {
    /// Returns the API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ecs => "ECS",
            Self::CodeDeploy => "CODE_DEPLOY",
            Self::External => "EXTERNAL",
        }
    }
}

/// A constraint on the instances of a service's tasks.
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
    /// True for the scheduling strategy `DAEMON` rather than `REPLICA`.
    pub daemon: bool,
    /// `minimumHealthyPercent`; of the desired count, rounded up.
    pub minimum_healthy_percent: u32,
    /// `maximumPercent`; of the desired count, rounded down.
    pub maximum_percent: u32,
    /// The description of each task.
    pub task: TaskSpec,
    /// The load balancers that its tasks are registered in.
    pub load_balancers: Vec<Balancer>,
    /// The deployment controller. With another one than ECS, the balancers are in its task set
    /// only, and a drain uses the default percentages, whatever is set here (source: ECS API
    /// reference, DeploymentConfiguration).
    pub controller: DeploymentController,
    /// The constraints on its tasks' instances.
    pub placement_constraints: Vec<PlacementConstraint>,
}

impl ServiceSpec {
    /// Creates a replica service with ECS's defaults, 100 % minimum healthy and 200 % maximum
    /// (source: ECS API reference, DeploymentConfiguration).
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

    /// Creates a daemon service with the API's defaults, 0 % minimum healthy and 100 % maximum.
    pub fn daemon(cluster: impl Into<String>, name: impl Into<String>) -> Self {
        let mut spec = Self::replica(cluster, name, 0);
        spec.daemon = true;
        spec.minimum_healthy_percent = 0;
        spec.maximum_percent = 100;
        spec.task.cpu = 64;
        spec.task.memory = 64;
        spec
    }

    /// Sets the deployment percentages.
    pub fn percents(mut self, minimum_healthy: u32, maximum: u32) -> Self {
        self.minimum_healthy_percent = minimum_healthy;
        self.maximum_percent = maximum;
        self
    }

    /// Registers its tasks in this target group.
    pub fn target_group(mut self, name: impl Into<String>) -> Self {
        self.load_balancers.push(Balancer::TargetGroup(name.into()));
        self
    }

    /// Registers its tasks in this classic load balancer.
    pub fn classic(mut self, name: impl Into<String>) -> Self {
        self.load_balancers.push(Balancer::Classic(name.into()));
        self
    }

    /// Sets another deployment controller, with one task set.
    pub fn controller(mut self, controller: DeploymentController) -> Self {
        self.controller = controller;
        self
    }

    /// Limits it to one task an instance.
    pub fn distinct_instance(mut self) -> Self {
        self.placement_constraints.push(PlacementConstraint::DistinctInstance);
        self
    }

    /// Limits it to instances that the expression admits, for example `attribute:ecs.instance-type
    /// == m5.xlarge`.
    pub fn member_of(mut self, expression: impl Into<String>) -> Self {
        self.placement_constraints.push(PlacementConstraint::MemberOf(expression.into()));
        self
    }

    /// Sets the network mode.
    pub fn network(mut self, network: Network) -> Self {
        self.task.network = network;
        self
    }

    /// Sets the size of its tasks: CPU units and MiB.
    pub fn size(mut self, cpu: u32, memory: u32) -> Self {
        self.task.cpu = cpu;
        self.task.memory = memory;
        self
    }

    /// Sets the times that its tasks take to start and to stop.
    pub fn times(mut self, start: Duration, stop: Duration) -> Self {
        self.task.start_time = start;
        self.task.stop_time = stop;
        self
    }
}

/// A task started with `RunTask`, which belongs to no service.
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
    /// The description of the task.
    pub task: TaskSpec,
}

impl StandaloneSpec {
    /// Creates a task of this family that runs until it is stopped.
    pub fn new(cluster: impl Into<String>, family: impl Into<String>) -> Self {
        Self {
            cluster: cluster.into(),
            family: family.into(),
            instance_id: None,
            group: None,
            task: TaskSpec::default(),
        }
    }

    /// Places it on this EC2 instance.
    pub fn on(mut self, instance_id: impl Into<String>) -> Self {
        self.instance_id = Some(instance_id.into());
        self
    }

    /// Limits its working time: it exits by itself after it.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.task.duration = Some(duration);
        self
    }
}
