//! Instance refreshes: all instances of a group are replaced, a few at a time, through the same
//! journeys and hooks as any.
//!
//! | minimum healthy percentage | order of a replacement |
//! | --- | --- |
//! | below 100 | terminate and launch: as many leave at once as may be missing, at least one, and others are launched meanwhile |
//! | 100 | launch before terminating: as many are launched as the maximum allows above the desired capacity, at least one; an old one leaves once a new one is in service and warm |
//!
//! A refresh without progress for an hour fails. A cancelled one starts no further replacement,
//! finishes those in progress and undoes nothing. Source: EC2 Auto Scaling guide, "How an instance
//! refresh works", "Understand the default values" and "Cancel an instance refresh"; API reference,
//! RefreshPreferences.
//!
//! Three rules are the simulator's choices: an instance that leaves counts until its hooks have
//! released it; progress is checked every ten seconds; a warm pool is left alone. Checkpoints, skip
//! matching and rollbacks are not simulated; a refresh by root volumes is
//! [`AutoScaling::replace_root_volume`].

use super::AutoScaling;
use super::state::Journey;
use crate::SimTime;
use std::collections::BTreeSet;
use std::time::Duration;

/// The interval of a refresh's checks.
const LOOKS_EVERY: Duration = Duration::from_secs(10);

/// The longest time without progress before a refresh fails. Source: EC2 Auto Scaling guide, "Start
/// an instance refresh".
const GIVES_UP_AFTER: Duration = Duration::from_secs(3600);

/// The preferences of an instance refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshSpec {
    /// `MinHealthyPercentage`, of the desired capacity.
    pub min_healthy_percentage: u32,
    /// `MaxHealthyPercentage`, of the desired capacity; it counts where the minimum is 100.
    pub max_healthy_percentage: u32,
    /// `InstanceWarmup`: the time between an instance's arrival in service and the moment at which
    /// it counts as healthy.
    pub instance_warmup: Duration,
}

impl Default for RefreshSpec {
    /// Returns 90 and 100 percent, and a warm-up of 300 s, a group's default grace for health
    /// checks.
    fn default() -> Self {
        Self {
            min_healthy_percentage: 90,
            max_healthy_percentage: 100,
            instance_warmup: Duration::from_secs(300),
        }
    }
}

/// `Status` of an instance refresh in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshStatus {
    /// Instances are being replaced.
    InProgress,
    /// No further replacement starts; those in progress are finished.
    Cancelling,
    /// All instances are replaced.
    Successful,
    /// It was cancelled.
    Cancelled,
    /// It made no progress for an hour.
    Failed,
}

impl RefreshStatus {
    /// Returns the API's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            RefreshStatus::InProgress => "InProgress",
            RefreshStatus::Cancelling => "Cancelling",
            RefreshStatus::Successful => "Successful",
            RefreshStatus::Cancelled => "Cancelled",
            RefreshStatus::Failed => "Failed",
        }
    }
}

/// A group's last instance refresh.
#[derive(Clone, Debug)]
pub(super) struct Refresh {
    spec: RefreshSpec,
    pub(super) status: RefreshStatus,
    pub(super) started_at: SimTime,
    /// Instances that are still to be replaced.
    old: BTreeSet<String>,
    /// Instances that are leaving.
    leaving: BTreeSet<String>,
    /// The number of instances that it has launched above the desired capacity.
    extra: usize,
    /// The counts at its last progress, which was at `moved_at`.
    looked: (usize, usize, usize, usize),
    moved_at: SimTime,
}

impl Refresh {
    fn is_under_way(&self) -> bool {
        matches!(self.status, RefreshStatus::InProgress | RefreshStatus::Cancelling)
    }

    /// Returns its id, which follows from its start: a group has one refresh at a time.
    pub(super) fn id(&self) -> String {
        format!("08b91cf7-8fa6-48af-b6a6-{:012x}", self.started_at.as_nanos() / 1_000_000)
    }

    /// Returns the number of instances that are still to be replaced.
    pub(super) fn left(&self) -> usize {
        self.old.len()
    }

    /// Returns the number of instances that the group has above its desired capacity because of the
    /// refresh.
    pub(super) fn surplus(&self) -> usize {
        if self.is_under_way() { self.extra } else { 0 }
    }

    /// Returns two numbers: the launches that are allowed above the desired capacity, and the old
    /// instances that may leave, while `healthy` are healthy.
    fn may(&self, desired: usize, healthy: usize) -> (usize, usize) {
        let percent = |of: u32| desired * of as usize;
        let goes_on = self.status == RefreshStatus::InProgress;
        if self.spec.min_healthy_percentage >= 100 {
            let above =
                (percent(self.spec.max_healthy_percentage) / 100).saturating_sub(desired).max(1);
            let room = above.saturating_sub(self.extra + self.leaving.len());
            let begin =
                if goes_on { room.min(self.old.len().saturating_sub(self.extra)) } else { 0 };
            (begin, healthy.saturating_sub(desired).min(self.extra))
        } else {
            let least = percent(self.spec.min_healthy_percentage).div_ceil(100);
            let batch = desired.saturating_sub(least).max(1);
            let in_hand = self.leaving.len().max(desired.saturating_sub(healthy));
            (0, if goes_on { batch.saturating_sub(in_hand) } else { 0 })
        }
    }
}

impl AutoScaling {
    /// Starts to replace every instance of a group. Returns false if it did not start: the group is
    /// being refreshed already.
    pub fn start_instance_refresh(&mut self, now: SimTime, group: &str, spec: RefreshSpec) -> bool {
        self.run_until(now);
        let counts = self.members_of(group).filter(|member| member.journey.counts());
        let old: BTreeSet<String> = counts.map(|member| member.id.clone()).collect();
        let Some(found) = self.groups.get_mut(group) else { return false };
        if found.refresh.as_ref().is_some_and(Refresh::is_under_way) {
            return false;
        }
        found.refresh = Some(Refresh {
            spec,
            status: RefreshStatus::InProgress,
            started_at: now,
            old,
            leaving: BTreeSet::new(),
            extra: 0,
            looked: (0, 0, 0, 0),
            moved_at: now,
        });
        self.wake_at(group, now);
        self.run_until(now);
        true
    }

    /// Cancels a group's instance refresh. Returns false if there was none to cancel.
    pub fn cancel_instance_refresh(&mut self, now: SimTime, group: &str) -> bool {
        self.run_until(now);
        let refresh = self.groups.get_mut(group).and_then(|group| group.refresh.as_mut());
        let Some(refresh) = refresh.filter(|refresh| refresh.status == RefreshStatus::InProgress)
        else {
            return false;
        };
        refresh.status = RefreshStatus::Cancelling;
        true
    }

    /// Returns the status of a group's last instance refresh.
    pub fn instance_refresh(&self, group: &str) -> Option<RefreshStatus> {
        self.groups.get(group)?.refresh.as_ref().map(|refresh| refresh.status)
    }

    /// Checks the progress of a refresh and continues it.
    pub(super) fn go_on_refreshing(&mut self, now: SimTime, name: &str) {
        let Some(group) = self.groups.get_mut(name) else { return };
        let Some(mut refresh) = group.refresh.take_if(|refresh| refresh.is_under_way()) else {
            return;
        };
        let desired = group.spec.desired as usize;
        let counts =
            |id: &String| self.members.get(id).is_some_and(|member| member.journey.counts());
        refresh.old.retain(counts);
        refresh.leaving.retain(|id| self.members.contains_key(id));
        let healthy = self.healthy(now, name, &refresh);
        let (begin, leave) = refresh.may(desired, healthy);
        let chosen: Vec<String> =
            refresh.old.iter().filter(|id| self.may_leave(id)).take(leave).cloned().collect();
        for id in &chosen {
            self.begin(now, id, Journey::Out, "an instance refresh");
            self.reschedule(id);
            refresh.old.remove(id);
            refresh.leaving.insert(id.clone());
        }
        refresh.extra = (refresh.extra + begin).saturating_sub(chosen.len());
        refresh.judge(now, desired, healthy);
        let goes_on = refresh.is_under_way();
        if let Some(group) = self.groups.get_mut(name) {
            group.refresh = Some(refresh);
        }
        self.reconcile(now, name);
        if goes_on {
            self.wake_at(name, now + LOOKS_EVERY);
        }
    }

    /// Counts healthy instances; a new one is healthy once it is warm.
    fn healthy(&self, now: SimTime, name: &str, refresh: &Refresh) -> usize {
        let warm_since = |arrived: SimTime| arrived + refresh.spec.instance_warmup;
        let serving = self.members_of(name).filter(|member| member.in_service() && !member.dead);
        serving
            .filter(|member| {
                refresh.old.contains(&member.id) || now >= warm_since(member.arrived_at)
            })
            .count()
    }

    fn may_leave(&self, id: &str) -> bool {
        self.members.get(id).is_some_and(|member| member.in_service() && !member.protected)
    }
}

#[cfg(test)]
mod tests;

impl Refresh {
    /// Ends the refresh if it is successful, cancelled or has failed.
    fn judge(&mut self, now: SimTime, desired: usize, healthy: usize) {
        let looks = (self.old.len(), self.leaving.len(), self.extra, healthy);
        // An instance that waits under its hooks counts as progress, however long the wait is.
        if self.looked != looks || !self.leaving.is_empty() {
            (self.looked, self.moved_at) = (looks, now);
        }
        let nothing_in_hand = self.leaving.is_empty() && self.extra == 0;
        self.status = match self.status {
            RefreshStatus::InProgress
                if nothing_in_hand && self.old.is_empty() && healthy >= desired =>
            {
                RefreshStatus::Successful
            }
            RefreshStatus::Cancelling if nothing_in_hand => RefreshStatus::Cancelled,
            RefreshStatus::InProgress | RefreshStatus::Cancelling
                if now >= self.moved_at + GIVES_UP_AFTER =>
            {
                RefreshStatus::Failed
            }
            was @ (RefreshStatus::InProgress
            | RefreshStatus::Cancelling
            | RefreshStatus::Successful
            | RefreshStatus::Cancelled
            | RefreshStatus::Failed) => was,
        };
    }
}
