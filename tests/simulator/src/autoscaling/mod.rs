//! EC2 Auto Scaling: groups, their instances, lifecycle hooks and warm pools.
//!
//! An instance is always on one *journey* (into service, out, back to the warm pool, …), and each
//! journey has the same stages: it begins, waits for its hooks, proceeds, and arrives. AWS's
//! lifecycle states are the names of these pairs; see [`state`]. The state machine is in
//! `lifecycle`, the lifecycle actions of a wait in `hooks`, the desired capacity in `capacity`, and
//! the notifications in `notices`.
//!
//! [`AutoScaling::advance`] returns the consequences for the rest of the world as [`Effect`]s.

mod activity;
mod capacity;
mod hooks;
mod lifecycle;
mod member;
mod notices;
mod read_api;
mod refresh;
mod spec;
pub mod state;
#[cfg(test)]
mod tests;
mod write_api;

use crate::SimTime;
use crate::events::Notice;
use crate::wire::ApiError;
use activity::Activity;
use jiff::Timestamp;
use member::Member;
use refresh::Refresh;
use state::{Journey, Stage};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) use read_api::INSTANCE_TYPE;

pub use hooks::{Completion, How, LifecycleResult, PendingAction, Transition};
pub use refresh::{RefreshSpec, RefreshStatus};
pub(crate) use spec::Image;
pub use spec::{GroupSpec, HookSpec, WarmPoolSpec};

/// A consequence of Auto Scaling's work for the rest of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An instance runs: it was launched, left the warm pool, or has a new root volume. The same
    /// instance can be launched in this sense more than once.
    Launched {
        /// The group.
        group: String,
        /// The instance.
        instance_id: String,
    },
    /// An instance was terminated and left its group.
    Terminated {
        /// The group.
        group: String,
        /// The instance.
        instance_id: String,
    },
    /// An instance was stopped and rests in the warm pool.
    Stopped {
        /// The group.
        group: String,
        /// The instance.
        instance_id: String,
    },
    /// An instance lost its root volume and boots from a new one; everything that ran on it has
    /// ended.
    RootVolumeReplaced {
        /// The group.
        group: String,
        /// The instance.
        instance_id: String,
    },
    /// An instance came into service: the group registers it with the group's own balancers.
    JoinBalancers {
        /// The group.
        group: String,
        /// The instance.
        instance_id: String,
        /// The group's target groups.
        target_group_arns: Vec<String>,
        /// The group's classic load balancers.
        classic_names: Vec<String>,
    },
    /// An instance is leaving: the group deregisters it from the group's own balancers and waits
    /// for [`AutoScaling::balancers_left`] before any hook starts. Source: EC2 Auto Scaling guide,
    /// "Lifecycle hooks overview".
    LeaveBalancers {
        /// The group.
        group: String,
        /// The instance.
        instance_id: String,
        /// The group's target groups.
        target_group_arns: Vec<String>,
        /// The group's classic load balancers.
        classic_names: Vec<String>,
    },
    /// A lifecycle action reached a timeout; its hook's default result was applied.
    HookTimedOut {
        /// The group.
        group: String,
        /// The hook.
        hook: String,
        /// The instance.
        instance_id: String,
        /// The hook's default result.
        result: LifecycleResult,
    },
}

/// An instance of a group, as a test reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInstance {
    /// The EC2 instance id.
    pub instance_id: String,
    /// The availability zone.
    pub availability_zone: String,
    /// AWS's name of the lifecycle state.
    pub lifecycle_state: String,
    /// Auto Scaling's opinion of its health.
    pub healthy: bool,
    /// True if it belongs to the warm pool, where DescribeAutoScalingGroups does not show it.
    pub in_warm_pool: bool,
}

#[derive(Clone, Debug)]
struct Group {
    spec: GroupSpec,
    arn: String,
    hooks: BTreeMap<String, HookSpec>,
    members: BTreeSet<String>,
    activities: Vec<Activity>,
    launches: usize,
    /// True while EC2 has no capacity for its launches.
    out_of_capacity: bool,
    refresh: Option<Refresh>,
    /// The time of its entry in `wakes`.
    wake: Option<SimTime>,
}

/// All Auto Scaling groups of one account and region.
#[derive(Clone, Debug)]
pub struct AutoScaling {
    /// The largest page of a paged answer; AWS's own limits are 50 and 100.
    pub page_size: usize,
    /// True if DescribeAutoScalingInstances lists members of warm pools. AWS's documents do not
    /// say.
    pub instances_list_warm_pool: bool,
    region: String,
    start: Timestamp,
    rng: fastrand::Rng,
    groups: BTreeMap<String, Group>,
    members: BTreeMap<String, Member>,
    /// The time of each member's next change by itself; at most one entry for each.
    agenda: BTreeSet<(SimTime, String)>,
    /// The time of each group's next check; at most one entry for each.
    wakes: BTreeSet<(SimTime, String)>,
    effects: Vec<Effect>,
    /// Notices that no one has taken yet.
    notices: Vec<Notice>,
    completions: Vec<Completion>,
}

impl AutoScaling {
    /// Creates a region without groups. `start` is the wall time of the world's beginning; all ids
    /// and tokens follow from the seed.
    pub fn new(region: &str, start: Timestamp, seed: u64) -> Self {
        Self {
            page_size: 100,
            instances_list_warm_pool: true,
            region: region.to_owned(),
            start,
            rng: fastrand::Rng::with_seed(seed),
            groups: BTreeMap::new(),
            members: BTreeMap::new(),
            agenda: BTreeSet::new(),
            wakes: BTreeSet::new(),
            effects: Vec::new(),
            notices: Vec::new(),
            completions: Vec::new(),
        }
    }

    /// Creates a group whose desired instances are in service already, and whose warm pool is
    /// filled.
    ///
    /// The next [`advance`](Self::advance) reports them as [`Effect::Launched`].
    pub fn add_group(&mut self, mut spec: GroupSpec) {
        let name = spec.name.clone();
        let hooks = std::mem::take(&mut spec.hooks)
            .into_iter()
            .map(|hook| (hook.name.clone(), hook))
            .collect();
        let fixed = spec.instance_ids.take().unwrap_or_default();
        let pooled = spec.warm_pool.as_ref().map_or(0, |pool| pool.min_size);
        let wanted = spec.desired;
        let arn = format!(
            "arn:aws:autoscaling:{}:{}:autoScalingGroup:{}:autoScalingGroupName/{name}",
            self.region,
            crate::ACCOUNT,
            crate::ids::uuid(&mut self.rng)
        );
        let group = Group {
            spec,
            arn,
            hooks,
            members: BTreeSet::new(),
            activities: Vec::new(),
            launches: 0,
            out_of_capacity: false,
            refresh: None,
            wake: None,
        };
        self.groups.insert(name.clone(), group);
        let mut fixed = fixed.into_iter();
        for _ in 0..wanted {
            let id = self.new_member(
                SimTime::ZERO,
                &name,
                fixed.next(),
                Journey::IntoService,
                Stage::Arrived,
            );
            self.effects.push(Effect::Launched { group: name.clone(), instance_id: id.clone() });
            self.join_balancers(&id);
        }
        for _ in 0..pooled {
            self.new_member(SimTime::ZERO, &name, fixed.next(), Journey::IntoPool, Stage::Arrived);
        }
    }

    /// Adds a lifecycle hook to a group, or changes it. Open actions keep the times that they began
    /// with: AWS does not document this case. An unknown group is ignored.
    pub fn put_hook(&mut self, group: &str, hook: HookSpec) {
        if let Some(group) = self.groups.get_mut(group) {
            group.hooks.insert(hook.name.clone(), hook);
            self.notices.push(notices::test_notification(&group.spec.name, &group.arn));
        }
    }

    /// Adds a tag to a group, or changes it; `None` deletes it. An unknown group is ignored.
    pub fn put_tag(&mut self, group: &str, key: &str, value: Option<&str>) {
        let Some(group) = self.groups.get_mut(group) else { return };
        match value {
            Some(value) => group.spec.tags.insert(key.to_owned(), value.to_owned()),
            None => group.spec.tags.remove(key),
        };
    }

    /// Takes the notices since the last call, in order.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Applies everything that is due, each change at its own time, and returns the consequences.
    pub fn advance(&mut self, now: SimTime) -> Vec<Effect> {
        self.run_until(now);
        std::mem::take(&mut self.effects)
    }

    /// Returns the next moment at which something changes by itself: `now` while effects have not
    /// been taken.
    pub fn next_event(&self, now: SimTime) -> Option<SimTime> {
        if !self.effects.is_empty() {
            return Some(now);
        }
        let next = [self.agenda.first(), self.wakes.first()]
            .into_iter()
            .flatten()
            .map(|(at, _)| *at)
            .min();
        next.map(|at| at.max(now))
    }

    /// Returns the instances of a group and its warm pool, by id.
    pub fn instances(&self, group: &str) -> Vec<GroupInstance> {
        self.members_of(group)
            .map(|member| GroupInstance {
                instance_id: member.id.clone(),
                availability_zone: member.zone.clone(),
                lifecycle_state: member.state_name().to_owned(),
                healthy: member.healthy,
                in_warm_pool: member.journey.in_warm_pool(),
            })
            .collect()
    }

    /// Returns whether its group calls an instance healthy, or has never known it.
    pub fn is_healthy(&self, instance_id: &str) -> bool {
        self.members.get(instance_id).is_none_or(|member| member.healthy)
    }

    /// Returns the group that an instance belongs to.
    pub fn group_of(&self, instance_id: &str) -> Option<&str> {
        self.members.get(instance_id).map(|member| member.group.as_str())
    }

    /// Returns a group as it was described, with its present sizes.
    pub fn group(&self, name: &str) -> Option<&GroupSpec> {
        self.groups.get(name).map(|group| &group.spec)
    }

    /// Returns the names of all groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// Returns an instance's availability zone.
    pub fn zone_of(&self, instance_id: &str) -> Option<&str> {
        self.members.get(instance_id).map(|member| member.zone.as_str())
    }

    /// Returns the software that an instance was launched with; `None` once it has left its group,
    /// or its EC2 instance is terminated.
    pub(crate) fn image_of(&self, instance_id: &str) -> Option<&Image> {
        let member = self.members.get(instance_id).filter(|member| !member.dead);
        member.map(|member| &member.image)
    }

    /// Returns an instance's lifecycle state in AWS's words; `None` once it has left its group.
    pub fn lifecycle_state(&self, instance_id: &str) -> Option<String> {
        self.members.get(instance_id).map(|member| member.state_name().to_owned())
    }

    /// Protects an instance from scale-in. The protection does not apply to
    /// TerminateInstanceInAutoScalingGroup or health replacement. Source: EC2 Auto Scaling guide,
    /// "Instance scale-in protection".
    pub fn protect(&mut self, instance_id: &str, protected: bool) {
        if let Some(member) = self.members.get_mut(instance_id) {
            member.protected = protected;
        }
    }

    /// Terminates an instance through its group, as TerminateInstanceInAutoScalingGroup does: it
    /// waits under the group's hooks and is replaced, unless the desired capacity is decremented.
    pub fn terminate(
        &mut self,
        now: SimTime,
        instance_id: &str,
        decrement: bool,
    ) -> Result<(), ApiError> {
        self.run_until(now);
        self.begin_termination(now, instance_id, decrement)
    }

    /// Sets a group's desired capacity, within its limits.
    pub fn set_desired(&mut self, now: SimTime, group: &str, desired: u32) -> Result<(), ApiError> {
        self.run_until(now);
        self.change_desired(now, group, desired)
    }

    /// Records that the EC2 instance was terminated without Auto Scaling: by EC2, by Spot, by its
    /// own shutdown. After one to two minutes the group marks it unhealthy, and then runs its
    /// terminating hooks for the dead instance. Source: EC2 Auto Scaling guide, "Gracefully handle
    /// instance termination"; getsocial-rnd/ecs-drain-lambda#6.
    pub fn ec2_terminated(&mut self, now: SimTime, instance_id: &str) {
        self.run_until(now);
        let notice = SimTime::from_secs(self.rng.u64(60..=120));
        if let Some(member) = self.members.get_mut(instance_id)
            && !member.dead
        {
            member.dead = true;
            member.death_noticed_at = Some(now + notice);
        }
        self.reschedule(instance_id);
    }

    /// Records that the group's own balancers have drained a leaving instance: its hooks start now.
    pub fn balancers_left(&mut self, now: SimTime, instance_id: &str) {
        self.run_until(now);
        self.left_balancers(now, instance_id);
    }

    /// Starts a replacement of the root volume of an instance in service, as an instance refresh
    /// with the strategy `ReplaceRootVolume` does: it keeps its id and comes back through the
    /// launching hooks. Returns false if it did not start. Source: EC2 Auto Scaling guide, "Replace
    /// root volume".
    pub fn replace_root_volume(&mut self, now: SimTime, instance_id: &str) -> bool {
        self.run_until(now);
        let in_service = self.members.get(instance_id).is_some_and(Member::in_service);
        if in_service {
            self.begin(now, instance_id, Journey::RootVolume, "an instance refresh");
            self.reschedule(instance_id);
        }
        in_service
    }

    /// Starts an instance that rests in the warm pool: the desired capacity grows by one, and the
    /// instance comes into service through the launching hooks. Returns false if it did not start.
    pub fn start_from_pool(&mut self, now: SimTime, instance_id: &str) -> bool {
        self.run_until(now);
        self.start_pooled(now, instance_id)
    }

    /// Sends an instance in service back to the warm pool, as a scale-in does in a group that reuses
    /// instances: it leaves through the *terminating* hooks, as `Warmed:Pending:Wait`. Returns
    /// false if it did not start. Source: EC2 Auto Scaling guide, "Warm pool instance lifecycle".
    pub fn return_to_pool(&mut self, now: SimTime, instance_id: &str) -> bool {
        self.run_until(now);
        self.pool(now, instance_id)
    }

    /// Deletes a group by force: its instances are terminated without a wait under any hook. AWS's
    /// documents say that hooks do not apply; one published capture saw them apply.
    pub fn delete_group(&mut self, now: SimTime, name: &str) {
        self.run_until(now);
        let Some(group) = self.groups.remove(name) else { return };
        if let Some(at) = group.wake {
            self.wakes.remove(&(at, name.to_owned()));
        }
        for id in group.members {
            if let Some(member) = self.members.remove(&id) {
                if let Some(at) = member.scheduled {
                    self.agenda.remove(&(at, id.clone()));
                }
                self.effects.push(Effect::Terminated { group: name.to_owned(), instance_id: id });
            }
        }
    }

    /// Returns all ends of lifecycle actions so far, in order.
    pub fn completions(&self) -> &[Completion] {
        &self.completions
    }

    fn members_of(&self, group: &str) -> impl Iterator<Item = &Member> {
        self.groups
            .get(group)
            .into_iter()
            .flat_map(|group| &group.members)
            .filter_map(|id| self.members.get(id))
    }

    fn require_group(&self, name: &str) -> Result<&Group, ApiError> {
        self.groups.get(name).ok_or_else(|| no_such_group(name))
    }
}

fn no_such_group(name: &str) -> ApiError {
    ApiError::validation_error(format!("AutoScalingGroup name not found - no such group: {name}"))
}
