//! Results of the last read of Auto Scaling groups.

use crate::aws::{HookView, LaunchTemplate};
use ecs_drain_state::{LifecycleState, Read, Seen};
use std::collections::{BTreeMap, BTreeSet};

/// One complete read of every Auto Scaling group of a scope.
#[derive(Debug)]
pub(crate) struct GroupsView {
    /// Time of the read.
    pub read: Read,
    /// Groups whose warm pool could not be read. Their members that are not shown are unknown, not
    /// absent.
    pub unread: BTreeSet<String>,
    /// Reason why a warm pool could not be read, if one was requested.
    pub pools_failed: Option<String>,
    /// Reason why the hooks of a selected group cannot be read.
    pub hooks_failed: Option<String>,
    /// Every group, by name.
    pub groups: BTreeMap<String, GroupInfo>,
    /// Every instance of a group or of its warm pool, by EC2 instance id.
    pub members: BTreeMap<String, Member>,
}

/// Facts of one group.
#[derive(Clone, Debug)]
pub(crate) struct GroupInfo {
    pub tags: BTreeMap<String, String>,
    /// Target groups that are attached to the group itself, by ARN.
    pub target_groups: Vec<String>,
    /// Classic load balancers that are attached to the group itself, by name.
    pub classic: Vec<String>,
    /// Desired capacity, with the limits that the group has for it.
    pub desired: u32,
    pub minimum: u32,
    pub maximum: u32,
    /// Launch template that the group uses, with its version as the group names it.
    pub template: Option<LaunchTemplate>,
    /// True if the group retains an instance whose termination is abandoned.
    pub retains_abandoned: bool,
    /// Lifecycle hooks of the group.
    pub hooks: Seen<Vec<HookView>>,
}

/// An instance as its group shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Name of the group.
    pub group: String,
    /// Auto Scaling's `LifecycleState`.
    pub state: String,
    /// True if the group reports it as healthy.
    pub healthy: bool,
    /// Launch template and version that it was launched from.
    pub template: Option<LaunchTemplate>,
}

/// Returns whether a lifecycle state is a wait that a terminating hook can cause.
pub(crate) fn is_waiting(state: &str) -> bool {
    matches!(LifecycleState::read(state), LifecycleState::Waiting(_))
}
