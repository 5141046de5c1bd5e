//! What Auto Scaling showed of its groups when they were last read.

use crate::aws::HookView;
use ecs_drain_state::{LifecycleState, Read, Seen};
use std::collections::{BTreeMap, BTreeSet};

/// One complete read of every Auto Scaling group of a scope.
#[derive(Debug)]
pub struct GroupsView {
    /// When it was made.
    pub read: Read,
    /// Groups whose warm pool could not be read: nothing is said of their members that are not
    /// shown.
    pub unread: BTreeSet<String>,
    /// Why some warm pool could not be read, if it was asked for.
    pub pools_failed: Option<String>,
    /// Why the hooks of some selected group cannot be read.
    pub hooks_failed: Option<String>,
    /// Every group, by name.
    pub groups: BTreeMap<String, GroupInfo>,
    /// Every instance of a group or of its warm pool, by EC2 instance id.
    pub members: BTreeMap<String, Member>,
}

/// What is known of one group.
#[derive(Clone, Debug)]
pub struct GroupInfo {
    /// The group's tags.
    pub tags: BTreeMap<String, String>,
    /// Target groups that are attached to the group itself, by ARN.
    pub target_groups: Vec<String>,
    /// Classic load balancers that are attached to the group itself, by name.
    pub classic: Vec<String>,
    /// Whether it keeps an instance whose termination is abandoned.
    pub retains_abandoned: bool,
    /// Its lifecycle hooks.
    pub hooks: Seen<Vec<HookView>>,
}

/// An instance as its group shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of the group.
    pub group: String,
    /// Auto Scaling's `LifecycleState`.
    pub state: String,
    /// Whether the group calls it healthy.
    pub healthy: bool,
}

/// Returns whether a group's word is a wait that a terminating hook holds.
pub fn is_waiting(state: &str) -> bool {
    matches!(LifecycleState::read(state), LifecycleState::Waiting(_))
}
