//! What a read of AWS can answer, as far as it concerns one drain.

use crate::record::{Balancer, ContainerInstance, Obligation, Target};
use crate::sight::{ContainerInstanceSight, GroupSight, Seen, TargetSight, TaskSight};

/// What ECS wants of the tasks that a list names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// `RUNNING`.
    Running,
    /// `STOPPED`; tasks that have stopped are remembered for an hour at least.
    Stopped,
}

/// What DescribeTasks said of one task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TaskAnswer {
    /// The task, and the targets that its service registers for it, or why these are unknown.
    Found(TaskSight, Seen<Vec<Obligation>>),
    /// `MISSING`.
    Missing,
}

/// The kinds of read that a drain can want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// DescribeContainerInstances.
    Status,
    /// DescribeTasks, for its known tasks.
    Tasks,
    /// ListTasks of what is wanted `RUNNING`.
    Running,
    /// ListTasks of what is wanted `STOPPED`.
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
    /// What ECS says of a container instance.
    Status {
        /// ARN of the container instance.
        of: String,
        /// What it says.
        sight: ContainerInstanceSight,
    },
    /// The complete list of one container instance's tasks of which ECS wants this: evidence.
    List {
        /// ARN of the container instance.
        of: String,
        /// Which list.
        wanted: Wanted,
        /// ARNs of the tasks.
        tasks: Vec<String>,
    },
    /// Tasks of a container instance, found in a list of the whole cluster. Pages of a list that
    /// changes are no snapshot, so this discovers, and proves nothing.
    Discovered {
        /// ARN of the container instance.
        of: String,
        /// ARNs of the tasks.
        tasks: Vec<String>,
    },
    /// Tasks by name.
    Tasks(Vec<(String, TaskAnswer)>),
    /// Targets, and what their balancer says of each.
    Targets(Vec<(Balancer, Target, TargetSight)>),
    /// Every container instance of the EC2 instance, in every cluster but those that could not be
    /// read.
    Search {
        /// The names of the clusters that could not be read.
        unread: Vec<String>,
        /// The names of the others that have it, and that the configuration leaves out: nothing may
        /// be done there.
        left_out: Vec<String>,
        /// What was found in the others.
        found: Vec<ContainerInstance>,
    },
    /// Every container instance of the EC2 instance in the clusters of those that are known.
    Own {
        /// What was found.
        found: Vec<ContainerInstance>,
    },
    /// What Auto Scaling says.
    Group(Seen<GroupSight>),
    /// Auto Scaling has accepted heartbeats after it accepted the completion.
    HeldAgain,
    /// Targets that the group's own attachments give it, and what is known of balancers: delays,
    /// kinds.
    Registrations(Vec<Obligation>),
    /// A read that failed, and what came back.
    Failed(Kind, String),
}
