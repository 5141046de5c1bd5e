//! Scaling activities: a group's actions and their causes, in AWS's words.

use super::AutoScaling;
use crate::SimTime;

/// A scaling activity.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    pub(super) id: String,
    pub(super) description: String,
    pub(super) cause: String,
    pub(super) started_at: SimTime,
    pub(super) ended_at: Option<SimTime>,
    pub(super) status: Status,
    /// `StatusMessage`: the reason of a failure.
    pub(super) message: Option<String>,
}

/// The status of an activity. Source: Auto Scaling API reference, Activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    WaitingForBalancers,
    MidLifecycleAction,
    Successful,
    Cancelled,
    Failed,
}

impl Status {
    /// Returns `StatusCode`.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::WaitingForBalancers => "WaitingForELBConnectionDraining",
            Self::MidLifecycleAction => "MidLifecycleAction",
            Self::Successful => "Successful",
            Self::Cancelled => "Cancelled",
            Self::Failed => "Failed",
        }
    }

    /// Returns `Progress`, in percent. A capture of a waiting terminating hook showed 60; the other
    /// values are the simulator's.
    pub(super) fn progress(self) -> u32 {
        match self {
            Self::InProgress => 30,
            Self::WaitingForBalancers => 50,
            Self::MidLifecycleAction => 60,
            Self::Successful | Self::Cancelled | Self::Failed => 100,
        }
    }

    fn is_end(self) -> bool {
        matches!(self, Self::Successful | Self::Cancelled | Self::Failed)
    }
}

impl AutoScaling {
    /// Opens an activity that moves this instance. An activity that is still open ends as
    /// cancelled.
    pub(super) fn open_activity(
        &mut self,
        now: SimTime,
        instance_id: &str,
        description: String,
        cause: String,
    ) {
        self.report(now, instance_id, Status::Cancelled);
        let id = crate::ids::uuid(&mut self.rng);
        let Some(member) = self.members.get_mut(instance_id) else { return };
        let Some(group) = self.groups.get_mut(&member.group) else { return };
        member.activity = Some(group.activities.len());
        let status = Status::InProgress;
        let message = None;
        group.activities.push(Activity {
            id,
            description,
            cause,
            started_at: now,
            ended_at: None,
            status,
            message,
        });
    }

    /// Records a launch for which EC2 had no capacity, in EC2's words (source: EC2 Auto Scaling
    /// guide, "Troubleshoot instance launch failures").
    pub(super) fn fail_launch(&mut self, now: SimTime, name: &str) {
        let id = crate::ids::uuid(&mut self.rng);
        let at = crate::wire::query::timestamp(self.start, now);
        let Some(group) = self.groups.get_mut(name) else { return };
        let (zone, kind) = (format!("{}a", self.region), super::INSTANCE_TYPE);
        let message = format!(
            "We currently do not have sufficient {kind} capacity in the Availability Zone you requested ({zone}). Our \
             system will be working on provisioning additional capacity. Launching EC2 instance failed."
        );
        group.activities.push(Activity {
            id,
            description: format!("Launching a new EC2 instance.  Status Reason: {message}"),
            cause: format!(
                "At {at} an instance was started in response to a difference between desired and actual capacity."
            ),
            started_at: now,
            ended_at: Some(now),
            status: Status::Failed,
            message: Some(message),
        });
    }

    /// Sets the status of the activity that moves this instance.
    pub(super) fn report(&mut self, now: SimTime, instance_id: &str, status: Status) {
        let Some(member) = self.members.get_mut(instance_id) else { return };
        let Some(index) = member.activity else { return };
        if status.is_end() {
            member.activity = None;
        }
        if let Some(activity) =
            self.groups.get_mut(&member.group).and_then(|group| group.activities.get_mut(index))
        {
            activity.status = status;
            activity.ended_at = status.is_end().then_some(now);
        }
    }
}
