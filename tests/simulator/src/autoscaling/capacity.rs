//! Capacity: the number of instances of a group, and the choice of those that a scale-in
//! terminates.

use super::member::Member;
use super::refresh::Refresh;
use super::state::{Journey, Stage};
use super::{AutoScaling, no_such_group};
use crate::wire::ApiError;
use crate::{SimTime, ids};
use std::collections::BTreeMap;
use std::time::Duration;

/// The wait between a failed launch and the next attempt. AWS repeats launches and publishes no
/// interval (source: EC2 Auto Scaling guide, "Troubleshoot instance launch failures"): 60 s are the
/// simulator's choice.
const RETRY: Duration = Duration::from_secs(60);

impl AutoScaling {
    /// Creates a member that is on this journey, at this stage. Returns its id.
    pub(super) fn new_member(
        &mut self,
        now: SimTime,
        group: &str,
        id: Option<String>,
        journey: Journey,
        stage: Stage,
    ) -> String {
        let id = id.unwrap_or_else(|| ids::instance_id(&mut self.rng));
        let (launches, image) = self.groups.get_mut(group).map_or_else(Default::default, |group| {
            group.members.insert(id.clone());
            group.launches += 1;
            (group.launches, group.spec.image())
        });
        let zone = if launches % 2 == 1 { "a" } else { "b" };
        let member = Member {
            id: id.clone(),
            group: group.to_owned(),
            zone: format!("{}{zone}", self.region),
            image,
            journey,
            stage,
            origin: "EC2",
            launched_at: now,
            arrived_at: now,
            stage_ends: None,
            actions: Vec::new(),
            joined_balancers: false,
            leaving_balancers: false,
            healthy: true,
            protected: false,
            dead: false,
            death_noticed_at: None,
            activity: None,
            scheduled: None,
        };
        self.members.insert(id.clone(), member);
        id
    }

    /// Launches or terminates instances until the number of those in service, or on the way there,
    /// is the desired capacity. Then fills the warm pool.
    pub(super) fn reconcile(&mut self, now: SimTime, name: &str) {
        let Some(group) = self.groups.get(name) else { return };
        let surplus = group.refresh.as_ref().map_or(0, Refresh::surplus);
        let desired = group.spec.desired as usize + surplus;
        let pool = group.spec.warm_pool.clone();
        let serving = self.members_of(name).filter(|member| member.journey.counts()).count();
        if serving < desired {
            self.scale_out(now, name, desired - serving);
        } else if serving > desired {
            let reuse = pool.as_ref().is_some_and(|pool| pool.reuse_on_scale_in);
            self.scale_in(now, name, serving - desired, reuse);
        }
        if let Some(pool) = pool {
            let pooled = self
                .members_of(name)
                .filter(|member| matches!(member.journey, Journey::IntoPool | Journey::BackToPool))
                .count();
            self.launch(
                now,
                name,
                Journey::IntoPool,
                (pool.min_size as usize).saturating_sub(pooled),
            );
        }
    }

    /// Starts instances of the warm pool first, and launches the rest.
    fn scale_out(&mut self, now: SimTime, name: &str, count: usize) {
        let pooled: Vec<String> = self
            .members_of(name)
            .filter(|member| member.pooled())
            .map(|member| member.id.clone())
            .take(count)
            .collect();
        let launches = count - pooled.len();
        for id in pooled {
            self.begin(
                now,
                &id,
                Journey::IntoService,
                "a difference between desired and actual capacity",
            );
            self.reschedule(&id);
        }
        self.launch(now, name, Journey::IntoService, launches);
    }

    /// Moves one instance from the warm pool into service, as a scale-out that chose it does.
    /// Returns false if it was not at rest in the pool.
    pub(super) fn start_pooled(&mut self, now: SimTime, id: &str) -> bool {
        let Some(member) = self.members.get(id).filter(|member| member.pooled()) else {
            return false;
        };
        if let Some(group) = self.groups.get_mut(&member.group) {
            group.spec.desired += 1;
        }
        self.begin(
            now,
            id,
            Journey::IntoService,
            "a difference between desired and actual capacity",
        );
        self.reschedule(id);
        true
    }

    /// Moves one instance in service back to the warm pool, as a scale-in that chose it does.
    /// Returns false if it was not in service, or its group does not reuse instances.
    pub(super) fn pool(&mut self, now: SimTime, id: &str) -> bool {
        let Some(member) =
            self.members.get(id).filter(|member| member.in_service() && !member.dead)
        else {
            return false;
        };
        let Some(group) = self.groups.get_mut(&member.group) else { return false };
        if !group.spec.warm_pool.as_ref().is_some_and(|pool| pool.reuse_on_scale_in) {
            return false;
        }
        group.spec.desired = group.spec.desired.saturating_sub(1);
        self.begin(
            now,
            id,
            Journey::BackToPool,
            "a difference between desired and actual capacity",
        );
        self.reschedule(id);
        true
    }

    /// Launches `count` instances. Where EC2 has no capacity, records one failed activity and sets
    /// the time of the next attempt.
    fn launch(&mut self, now: SimTime, name: &str, journey: Journey, count: usize) {
        if count > 0 && self.groups.get(name).is_some_and(|group| group.out_of_capacity) {
            self.fail_launch(now, name);
            self.wake_at(name, now + RETRY);
            return;
        }
        for _ in 0..count {
            let id = self.new_member(now, name, None, journey, Stage::Begun);
            self.begin(now, &id, journey, "a difference between desired and actual capacity");
            self.reschedule(&id);
        }
    }

    /// Takes away EC2's capacity for this group's launches (`InsufficientInstanceCapacity`), or
    /// restores it. Without capacity the group stays below its desired capacity; instances of its
    /// warm pool can still be started, and launches in progress continue. Returns false if there is
    /// no such group.
    pub fn set_out_of_capacity(&mut self, now: SimTime, name: &str, out: bool) -> bool {
        self.run_until(now);
        let Some(group) = self.groups.get_mut(name) else { return false };
        group.out_of_capacity = out;
        true
    }

    /// Changes the AMI and the version of the launch template of the instances that a group launches
    /// from now on. Returns false if there is no such group.
    pub fn change_image(&mut self, group: &str, ami_id: &str, template_version: u32) -> bool {
        let Some(group) = self.groups.get_mut(group) else { return false };
        group.spec.ami_id = ami_id.to_owned();
        group.spec.template_version = template_version;
        true
    }

    /// Changes the version of the ECS agent on the instances that a group launches from now on.
    /// Returns false if there is no such group.
    pub fn change_agent(&mut self, group: &str, version: &str) -> bool {
        let Some(group) = self.groups.get_mut(group) else { return false };
        group.spec.agent_version = version.to_owned();
        true
    }

    /// Lets the agents of the instances that a group launches from now on register with its cluster
    /// after this long, or never (`None`). Returns false if there is no such group.
    pub fn set_registration(&mut self, group: &str, after: Option<Duration>) -> bool {
        let Some(group) = self.groups.get_mut(group) else { return false };
        group.spec.registers = after.is_some();
        group.spec.registration_time = after.unwrap_or_default();
        true
    }

    /// Terminates `count` instances: from the zone that has most, the oldest first, never a
    /// protected one. If all are protected, none is terminated. Source: EC2 Auto Scaling guide,
    /// "Default termination policy" and "Instance scale-in protection".
    fn scale_in(&mut self, now: SimTime, name: &str, count: usize, reuse: bool) {
        let mut candidates: Vec<&Member> = self
            .members_of(name)
            .filter(|member| member.journey.counts() && !member.protected)
            .collect();
        // The last one is terminated first: in service before pending, then the oldest.
        candidates.sort_by_key(|member| {
            (member.in_service(), std::cmp::Reverse((member.launched_at, &member.id)))
        });
        let mut zones: BTreeMap<&str, Vec<&Member>> = BTreeMap::new();
        for member in candidates {
            zones.entry(&member.zone).or_default().push(member);
        }
        let mut chosen: Vec<String> = Vec::new();
        for _ in 0..count {
            let fullest = zones.values_mut().rev().max_by_key(|members| members.len());
            let Some(member) = fullest.and_then(Vec::pop) else { break };
            chosen.push(member.id.clone());
        }
        for id in chosen {
            let served =
                self.members.get(&id).is_some_and(|member| member.in_service() && !member.dead);
            let journey = if reuse && served { Journey::BackToPool } else { Journey::Out };
            self.begin(now, &id, journey, "a difference between desired and actual capacity");
            self.reschedule(&id);
        }
    }

    pub(super) fn change_desired(
        &mut self,
        now: SimTime,
        name: &str,
        desired: u32,
    ) -> Result<(), ApiError> {
        let group = self.groups.get_mut(name).ok_or_else(|| no_such_group(name))?;
        let (min, max) = (group.spec.min, group.spec.max);
        let problem = if desired > max {
            Some(format!(
                "New SetDesiredCapacity value {desired} is above max value {max} for the AutoScalingGroup."
            ))
        } else if desired < min {
            Some(format!(
                "New SetDesiredCapacity value {desired} is below min value {min} for the AutoScalingGroup."
            ))
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(ApiError::validation_error(problem));
        }
        group.spec.desired = desired;
        self.reconcile(now, name);
        Ok(())
    }

    /// Terminates an instance as TerminateInstanceInAutoScalingGroup does: asynchronously, under
    /// the group's hooks, and not for an instance of a warm pool.
    ///
    /// A retained instance ends only this way, with a new activity and new tokens, and never with a
    /// decrement, because it no longer counts. Source: EC2 Auto Scaling guide, "Manage retained
    /// instances", and published captures.
    pub(super) fn begin_termination(
        &mut self,
        now: SimTime,
        id: &str,
        decrement: bool,
    ) -> Result<(), ApiError> {
        let Some(member) = self.members.get(id) else {
            return Err(ApiError::validation_error(format!(
                "Instance Id not found - No managed instance found for instance ID: {id}"
            )));
        };
        let retained = member.stage == Stage::Retained;
        if member.journey.in_warm_pool() {
            return Err(ApiError::validation_error(format!(
                "The instance {id} is in a warm pool."
            )));
        }
        if member.journey == Journey::Out && !retained {
            return Err(ApiError::bad_request(
                "ScalingActivityInProgress",
                format!("The instance {id} is being terminated already."),
            ));
        }
        if retained && decrement {
            return Err(ApiError::validation_error(format!(
                "The instance {id} is retained and does not count towards the desired capacity."
            )));
        }
        let name = member.group.clone();
        if decrement {
            let group = self.groups.get_mut(&name).ok_or_else(|| no_such_group(&name))?;
            if group.spec.desired <= group.spec.min {
                return Err(ApiError::validation_error(format!(
                    "Currently, desiredSize equals minSize ({}). Terminating instance without replacement will violate \
                     group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower \
                     group's min size.",
                    group.spec.min
                )));
            }
            group.spec.desired -= 1;
        }
        self.begin(now, id, Journey::Out, "a user request");
        self.reschedule(id);
        self.reconcile(now, &name);
        Ok(())
    }
}
