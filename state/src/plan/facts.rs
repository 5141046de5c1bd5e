//! The facts of a plan. A fact that is `None` was not read.

use crate::budget::DoNotDisrupt;
use crate::diagnosis::{InstanceFacts, Others, ServiceFacts, TargetFacts, TaskFacts};
use crate::policy::Policy;
use std::collections::{BTreeMap, BTreeSet};

/// Every fact of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The clusters of the leaving instances, by name.
    pub clusters: BTreeMap<String, ClusterFacts>,
    /// The chosen container instances, and others that drain already: their tasks need room, too.
    pub leaving: Vec<Leaving>,
    /// Instances of earlier turns: their tasks run elsewhere, and it is not known where.
    pub moved: Vec<Leaving>,
}

impl Snapshot {
    /// Returns the number of container instances of a cluster that are `ACTIVE` or leave.
    pub(super) fn size(&self, cluster: &str) -> u32 {
        let others = self.clusters.get(cluster).and_then(|facts| facts.others.as_ref());
        let stay = others.map_or(0, |others| others.instances.len());
        let leave = self.leaving.iter().filter(|leaving| leaving.cluster == cluster).count();
        u32::try_from(stay + leave).unwrap_or(u32::MAX)
    }
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
    /// Tags `ecs-drain:do-not-disrupt` of services, as far as policies heed them. A service without
    /// one is missing.
    pub kept: BTreeMap<String, DoNotDisrupt>,
    /// Mistakes in such tags, which do not count.
    pub bad_tags: BTreeSet<String>,
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
    /// Its free resources. `None` if they could not be read, or if ECS places no tasks on it.
    pub capacity: Option<InstanceFacts>,
    /// Its Auto Scaling group: `None` if it could not be read, `Some(None)` if it is in none.
    pub group: Option<Option<GroupFacts>>,
}

impl Leaving {
    /// Returns the name of its Auto Scaling group, if it is known to have one.
    pub(super) fn group_name(&self) -> Option<&str> {
        Some(&self.group.as_ref()?.as_ref()?.name)
    }
}

/// An Auto Scaling group. (Source: Auto Scaling API reference, AutoScalingGroup.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFacts {
    /// Its name.
    pub name: String,
    /// `MinSize`.
    pub minimum: u32,
    /// `MaxSize`.
    pub maximum: u32,
    /// `DesiredCapacity`.
    pub desired: u32,
    /// Names of its suspended processes.
    pub suspended: BTreeSet<String>,
    /// Names of its terminating hooks that are not ecs-drain's.
    pub other_hooks: Vec<String>,
    /// True if this instance is protected from scale-in.
    pub protected: bool,
}
