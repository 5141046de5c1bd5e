//! The facts of a plan. A fact that is `None` was not read.

use crate::diagnosis::{Others, ServiceFacts, TargetFacts, TaskFacts};
use crate::policy::Policy;
use std::collections::{BTreeMap, BTreeSet};

/// Every fact of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The clusters of the leaving instances, by name.
    pub clusters: BTreeMap<String, ClusterFacts>,
    /// The chosen container instances, and others that drain already: their tasks need room, too.
    pub leaving: Vec<Leaving>,
}

/// A cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterFacts {
    /// The `ACTIVE` container instances that stay. `None` if they could not be read.
    pub others: Option<Others>,
    /// Services of the leaving tasks, as far as they could be read.
    pub services: BTreeMap<String, ServiceFacts>,
    /// Targets that are not healthy, by service. Services without a load balancer are missing.
    pub unhealthy: BTreeMap<String, usize>,
    /// Calls that AWS throttled, as IAM names them.
    pub throttled: BTreeSet<String>,
    /// Failed reads: the IAM action of each call, and its error.
    pub unreadable: BTreeMap<String, String>,
}

/// A container instance that is drained, or would be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leaving {
    /// EC2 instance id.
    pub instance_id: String,
    /// Name of its cluster.
    pub cluster: String,
    /// True if the plan is about this instance; false if it drains already.
    pub chosen: bool,
    /// True if its agent is connected.
    pub agent_connected: bool,
    /// Policy of its drain.
    pub policy: Policy,
    /// Its tasks. `None` if they could not be read. Protection counts for tasks of services.
    pub tasks: Option<Vec<TaskFacts>>,
    /// Targets that its services registered, and the time that their load balancers take.
    pub targets: Vec<TargetFacts>,
    /// Targets of the instance that belong to none of its tasks: ECS will not deregister them.
    pub strays: Vec<TargetFacts>,
    /// Targets of the group's own load balancers, which only the group deregisters.
    pub of_group: Vec<TargetFacts>,
    /// Descriptions of load balancers whose targets could not be read.
    pub unread_balancers: BTreeSet<String>,
    /// Its Auto Scaling group: `None` if it could not be read, `Some(None)` if it is in none.
    pub group: Option<Option<GroupFacts>>,
}

/// An Auto Scaling group. (Source: Auto Scaling API reference, AutoScalingGroup.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFacts {
    /// Its name.
    pub name: String,
    /// `MinSize`.
    pub minimum: u32,
    /// `DesiredCapacity`.
    pub desired: u32,
    /// Names of its suspended processes.
    pub suspended: BTreeSet<String>,
    /// Names of its terminating hooks that are not ecs-drain's.
    pub other_hooks: Vec<String>,
    /// True if this instance is protected from scale-in.
    pub protected: bool,
}
