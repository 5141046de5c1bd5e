//! The state machine that moves instances along their journeys.

use super::activity::Status;
use super::state::{Journey, Stage};
use super::{AutoScaling, Effect};
use crate::SimTime;
use std::collections::BTreeSet;
use std::time::Duration;

/// The time that an instance stays `RootVolumeReplaced` before it boots. The simulator's choice.
const ROOT_VOLUME_REPLACED: Duration = Duration::from_secs(5);

impl AutoScaling {
    /// Applies everything that is due by `now`, in the order of time, each change at its own time.
    pub(super) fn run_until(&mut self, now: SimTime) {
        loop {
            let due = |set: &BTreeSet<(SimTime, String)>| {
                set.first().map(|(at, _)| *at).filter(|at| *at <= now)
            };
            let (member, group) = (due(&self.agenda), due(&self.wakes));
            let member_first =
                member.is_some_and(|member| group.is_none_or(|group| member <= group));
            if member_first && let Some((at, id)) = self.agenda.pop_first() {
                if let Some(member) = self.members.get_mut(&id) {
                    member.scheduled = None;
                }
                self.step(at, &id);
                self.reschedule(&id);
            } else if group.is_some()
                && let Some((at, name)) = self.wakes.pop_first()
            {
                if let Some(group) = self.groups.get_mut(&name) {
                    group.wake = None;
                }
                self.reconcile(at, &name);
                self.go_on_refreshing(at, &name);
            } else {
                return;
            }
        }
    }

    /// Sets the time of the next check of a group to `at`, unless an earlier one is set.
    pub(super) fn wake_at(&mut self, name: &str, at: SimTime) {
        let Some(group) = self.groups.get_mut(name) else { return };
        if let Some(earlier) = group.wake {
            if earlier <= at {
                return;
            }
            self.wakes.remove(&(earlier, name.to_owned()));
        }
        group.wake = Some(at);
        self.wakes.insert((at, name.to_owned()));
    }

    /// Writes the time of a member's next change into the agenda. Must be called after every change
    /// to a member.
    pub(super) fn reschedule(&mut self, id: &str) {
        let Some(member) = self.members.get_mut(id) else { return };
        let due = member.due();
        if due == member.scheduled {
            return;
        }
        if let Some(at) = member.scheduled {
            self.agenda.remove(&(at, id.to_owned()));
        }
        member.scheduled = due;
        if let Some(at) = due {
            self.agenda.insert((at, id.to_owned()));
        }
    }

    /// Applies one member's change that is due.
    fn step(&mut self, now: SimTime, id: &str) {
        let Some(member) = self.members.get_mut(id) else { return };
        if member.death_noticed_at.is_some_and(|at| at <= now) {
            member.death_noticed_at = None;
            self.notice_death(now, id);
        } else if member.stage_ends.is_some_and(|at| at <= now) {
            member.stage_ends = None;
            self.end_stage(now, id);
        } else {
            self.expire_actions(now, id);
        }
    }

    /// Starts a journey. `cause` is its reason, in the words of a scaling activity.
    pub(super) fn begin(&mut self, now: SimTime, id: &str, journey: Journey, cause: &str) {
        self.overtake_actions(now, id);
        let Some(member) = self.members.get_mut(id) else { return };
        let Some(group) = self.groups.get(&member.group) else { return };
        member.origin = member.journey.origin_of(journey);
        member.journey = journey;
        member.stage = Stage::Begun;
        member.stage_ends = Some(now + journey.time_to_begin(group.spec.launch_time));
        let leaves =
            matches!(journey, Journey::Out | Journey::BackToPool) && member.joined_balancers;
        if leaves {
            member.joined_balancers = false;
            member.leaving_balancers = true;
            self.effects.push(Effect::LeaveBalancers {
                group: member.group.clone(),
                instance_id: id.to_owned(),
                target_group_arns: group.spec.target_group_arns.clone(),
                classic_names: group.spec.classic_names.clone(),
            });
        }
        let (description, verb) = match journey {
            Journey::IntoService | Journey::IntoPool => {
                ("Launching a new EC2 instance", "was started")
            }
            Journey::Out | Journey::OutOfPool => {
                ("Terminating EC2 instance", "was taken out of service")
            }
            Journey::BackToPool => {
                ("Moving EC2 instance to the warm pool", "was taken out of service")
            }
            Journey::RootVolume => {
                ("Replacing the root volume of EC2 instance", "was taken out of service")
            }
        };
        let at = crate::wire::query::timestamp(self.start, now);
        let cause = format!("At {at} instance {id} {verb} in response to {cause}.");
        self.open_activity(now, id, format!("{description}: {id}"), cause);
        if leaves {
            self.report(now, id, Status::WaitingForBalancers);
        }
    }

    /// Continues a journey after the group's own balancers have drained the instance.
    pub(super) fn left_balancers(&mut self, now: SimTime, id: &str) {
        let Some(member) = self.members.get_mut(id) else { return };
        if !std::mem::take(&mut member.leaving_balancers) {
            return;
        }
        if member.stage == Stage::Begun && member.stage_ends.is_none() {
            self.end_beginning(now, id);
        }
        self.reschedule(id);
    }

    fn end_stage(&mut self, now: SimTime, id: &str) {
        let Some(member) = self.members.get_mut(id) else { return };
        match member.stage {
            // Hooks start only after the group's own balancers have drained the instance.
            Stage::Begun if member.leaving_balancers => {}
            Stage::Begun => self.end_beginning(now, id),
            Stage::Proceed | Stage::Unheld => self.arrive(now, id),
            // The only arrival that continues by itself: the instance boots from its new root
            // volume.
            Stage::Arrived => {
                self.begin(now, id, Journey::IntoService, "a root volume replacement")
            }
            Stage::Wait | Stage::Retained => {}
        }
    }

    fn end_beginning(&mut self, now: SimTime, id: &str) {
        let held = self.open_actions(now, id);
        let Some(member) = self.members.get_mut(id) else { return };
        if member.journey == Journey::IntoService {
            self.effects
                .push(Effect::Launched { group: member.group.clone(), instance_id: id.to_owned() });
        }
        if held {
            member.stage = Stage::Wait;
            self.report(now, id, Status::MidLifecycleAction);
        } else {
            member.stage = Stage::Unheld;
            member.stage_ends = Some(now + member.journey.time_unheld());
        }
    }

    /// Ends a wait after all its actions have ended; `abandoned`: one of them ended with ABANDON.
    ///
    /// A terminating instance is terminated either way, unless its group retains abandoned ones. A
    /// launching instance that is abandoned is terminated and replaced. Source: Auto Scaling API
    /// reference, CompleteLifecycleAction and RetentionTriggers. Three rules are the simulator's
    /// choices: only instances of the group itself are retained; an abandoned return to the warm
    /// pool ends in termination; an abandoned root volume replacement continues.
    pub(super) fn end_wait(&mut self, now: SimTime, id: &str, abandoned: bool) {
        let Some(member) = self.members.get_mut(id) else { return };
        let retains = self
            .groups
            .get(&member.group)
            .is_some_and(|group| group.spec.terminate_hook_abandon_retain);
        let group = member.group.clone();
        let journey = match member.journey {
            Journey::Out if abandoned && retains => {
                member.stage = Stage::Retained;
                self.report(now, id, Status::Cancelled);
                return;
            }
            Journey::IntoService if abandoned => Journey::Out,
            Journey::IntoPool | Journey::BackToPool if abandoned => Journey::OutOfPool,
            other @ (Journey::IntoService
            | Journey::Out
            | Journey::IntoPool
            | Journey::BackToPool
            | Journey::OutOfPool
            | Journey::RootVolume) => other,
        };
        let turned = member.journey != journey;
        member.journey = journey;
        member.stage = Stage::Proceed;
        member.stage_ends = Some(now + journey.time_to_proceed());
        self.report(now, id, Status::InProgress);
        if turned {
            self.reconcile(now, &group);
        }
    }

    fn arrive(&mut self, now: SimTime, id: &str) {
        self.report(now, id, Status::Successful);
        let Some(member) = self.members.get_mut(id) else { return };
        member.stage = Stage::Arrived;
        member.arrived_at = now;
        member.actions.clear();
        let group = member.group.clone();
        let instance_id = id.to_owned();
        match member.journey {
            Journey::IntoService => self.join_balancers(id),
            Journey::IntoPool => {}
            Journey::BackToPool => self.effects.push(Effect::Stopped { group, instance_id }),
            Journey::RootVolume => {
                member.stage_ends = Some(now + ROOT_VOLUME_REPLACED);
                if let Some(group) = self.groups.get(&group) {
                    member.image = group.spec.image();
                }
                self.effects.push(Effect::RootVolumeReplaced { group, instance_id });
            }
            Journey::Out | Journey::OutOfPool => {
                self.members.remove(id);
                if let Some(group) = self.groups.get_mut(&group) {
                    group.members.remove(id);
                }
                self.effects.push(Effect::Terminated { group, instance_id });
            }
        }
    }

    /// Registers an instance in service with the balancers attached to its group.
    pub(super) fn join_balancers(&mut self, id: &str) {
        let Some(member) = self.members.get_mut(id) else { return };
        let Some(group) = self.groups.get(&member.group) else { return };
        if group.spec.has_balancers() && !member.joined_balancers {
            member.joined_balancers = true;
            self.effects.push(Effect::JoinBalancers {
                group: member.group.clone(),
                instance_id: id.to_owned(),
                target_group_arns: group.spec.target_group_arns.clone(),
                classic_names: group.spec.classic_names.clone(),
            });
        }
    }

    /// Applies a health check that finds the EC2 instance gone: the instance is unhealthy and is
    /// replaced. An instance that is already leaving continues its journey.
    fn notice_death(&mut self, now: SimTime, id: &str) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.healthy = false;
        let group = member.group.clone();
        let journey = match member.journey {
            Journey::IntoService | Journey::RootVolume => Journey::Out,
            Journey::IntoPool | Journey::BackToPool => Journey::OutOfPool,
            Journey::Out | Journey::OutOfPool => return,
        };
        self.begin(
            now,
            id,
            journey,
            "an EC2 health check indicating it has been terminated or stopped",
        );
        self.reconcile(now, &group);
    }
}
