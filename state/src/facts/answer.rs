//! Answers of AWS, as far as they concern one drain.

use crate::record::{Balancer, ContainerInstance, Obligation, Target};
use crate::sight::{ContainerInstanceSight, GroupSight, Seen, TargetSight, TaskSight};

/// The desired status by which `ListTasks` selects tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// `RUNNING`.
    Running,
    /// `STOPPED`. ECS lists stopped tasks for an hour at least.
    Stopped,
}

/// DescribeTasks's answer for one task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TaskAnswer {
    /// The task, and the targets that its service registers for it, or the reason why these are
    /// unknown.
    Found(TaskSight, Seen<Vec<Obligation>>),
    /// `MISSING`.
    Missing,
}

/// The kinds of read that a drain can need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// DescribeContainerInstances.
    Status,
    /// DescribeTasks, for its known tasks.
    Tasks,
    /// ListTasks with the desired status `RUNNING`.
    Running,
    /// ListTasks with the desired status `STOPPED`.
    Stopped,
    /// DescribeTargetHealth, or DescribeLoadBalancers.
    Targets,
    /// A search of its own clusters.
    Own,
    /// A search of every cluster.
    Sweep,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 7] = [
        Kind::Status,
        Kind::Tasks,
        Kind::Running,
        Kind::Stopped,
        Kind::Targets,
        Kind::Own,
        Kind::Sweep,
    ];
}

/// One answer of AWS, as far as it concerns one drain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The state of a container instance.
    Status {
        /// ARN of the container instance.
        of: String,
        /// ECS's description of it.
        sight: ContainerInstanceSight,
    },
    /// The complete list of one container instance's tasks with one desired status. It is evidence.
    List {
        /// ARN of the container instance.
        of: String,
        /// Desired status of the listed tasks.
        wanted: Wanted,
        /// ARNs of the tasks.
        tasks: Vec<String>,
    },
    /// Tasks of a container instance, found in a list of the whole cluster. Pages of a list that
    /// changes are no snapshot, so this answer discovers tasks and proves nothing.
    Discovered {
        /// ARN of the container instance.
        of: String,
        /// ARNs of the tasks.
        tasks: Vec<String>,
    },
    /// Descriptions of tasks, by ARN.
    Tasks(Vec<(String, TaskAnswer)>),
    /// Targets, each with its balancer's answer.
    Targets(Vec<(Balancer, Target, TargetSight)>),
    /// Every container instance of the EC2 instance, in every cluster but those that could not be
    /// read.
    Search {
        /// Names of the clusters that could not be read.
        unread: Vec<String>,
        /// Names of the other clusters that have it although the configuration leaves them out:
        /// ecs-drain may do nothing there.
        left_out: Vec<String>,
        /// Container instances in all other clusters.
        found: Vec<ContainerInstance>,
    },
    /// Every container instance of the EC2 instance in the clusters that the drain knows of.
    Own {
        /// The container instances.
        found: Vec<ContainerInstance>,
    },
    /// Auto Scaling's answer, or the reason why it is not known.
    Group(Seen<GroupSight>),
    /// Auto Scaling accepted heartbeats after it accepted the completion.
    HeldAgain,
    /// Targets from the group's own attachments, and newly known properties of balancers: delays,
    /// kinds.
    Registrations(Vec<Obligation>),
    /// A read that failed, with its message.
    Failed(Kind, String),
}
