//! The beginning of a record: opened, adopted by a lifecycle action, opened again. The deadline is
//! set with it.

use super::{
    ContainerInstance, Event, Lifecycle, Order, Orders, Origin, Record, Shown, Stage, Strategy,
    Then, later,
};
use crate::phase::Phase;
use crate::why::Why;
use jiff::{SignedDuration, Timestamp};

/// Input to open a drain.
#[derive(Clone, Debug)]
pub struct Opening {
    /// AWS account, 12 digits.
    pub account: String,
    /// AWS region, such as `eu-west-1`.
    pub region: String,
    /// EC2 instance id, such as `i-0123456789abcdef0`.
    pub instance_id: String,
    /// Name of the controller that owns the drain.
    pub controller: String,
    /// Reason why the drain exists.
    pub origin: Origin,
    /// Method by which the instance is taken out of service.
    pub strategy: Strategy,
    /// The lifecycle action to complete. `None` if no ecs-drain hook holds the instance.
    pub lifecycle: Option<Lifecycle>,
    /// Name of the Auto Scaling group that the instance is in.
    pub group: Option<String>,
    /// Action after the drain, if there is no lifecycle action.
    pub then: Option<Then>,
    /// Order that requested the drain.
    pub requested: Option<Order>,
    /// Container instances that were found.
    pub container_instances: Vec<ContainerInstance>,
    /// The policy's deadline, counted from now. It applies to lifecycle actions alone.
    pub deadline: Option<SignedDuration>,
    /// Shortest time between a deadline and the hook's global timeout: see [`latest_deadline`].
    pub margin: SignedDuration,
}

impl Record {
    /// Creates a new drain, in `Pending`. It is not yet stored: `version` is 0.
    pub fn open(opening: Opening, now: Timestamp) -> Record {
        let what =
            format!("{}; {}", why_opened(&opening), where_registered(&opening.container_instances));
        let mut record = Record {
            cluster: opening.container_instances.first().map(|c| c.cluster.clone()),
            deadline: None,
            global_limit: None,
            account: opening.account,
            region: opening.region,
            instance_id: opening.instance_id,
            controller: opening.controller,
            generation: 1,
            version: 0,
            write_id: String::new(),
            origin: opening.origin,
            strategy: opening.strategy,
            lifecycle: None,
            group: opening.group,
            then: opening.then,
            requested: opening.requested,
            container_instances: opening.container_instances,
            stage: Stage::Pending,
            phase_since: now,
            created_at: now,
            updated_at: now,
            termination_asked_at: None,
            retained_at: None,
            orders: Orders::default(),
            services: None,
            stopped_tasks: Vec::new(),
            obligations: Vec::new(),
            attempts: 0,
            last_error: None,
            history: vec![Event { at: now, phase: Phase::Pending, what }],
            shown: Shown::default(),
        };
        record.explain(&Why::Seen, now);
        if let Some(lifecycle) = opening.lifecycle {
            record.take_lifecycle(lifecycle, opening.deadline, opening.margin, now);
        }
        record
    }

    /// Returns the record once a lifecycle action holds the instance of a drain that began without
    /// one. Hook, deadline and ending become the lifecycle action's; the origin stays.
    pub fn adopt(
        &self,
        lifecycle: Lifecycle,
        deadline: Option<SignedDuration>,
        margin: SignedDuration,
        now: Timestamp,
    ) -> Record {
        let mut next = self.clone();
        next.note(
            now,
            format!(
                "group {} terminates it; hook {} keeps it waiting for this drain",
                lifecycle.group, lifecycle.hook
            ),
        );
        next.take_lifecycle(lifecycle, deadline, margin, now);
        next
    }

    /// Returns the record once Spot interruption announced for the instance of an unfinished
    /// drain. From then on it is a drain of a spot interruption: it does not wait in the queue, and
    /// is as urgent as one that begins with the interruption.
    pub fn interrupted(&self, now: Timestamp) -> Record {
        let mut next = self.clone();
        next.note(
            now,
            format!("Spot interruption announced; the drain's origin was {}", self.origin.name()),
        );
        next.origin = Origin::SpotInterruption;
        next
    }

    fn take_lifecycle(
        &mut self,
        lifecycle: Lifecycle,
        deadline: Option<SignedDuration>,
        margin: SignedDuration,
        now: Timestamp,
    ) {
        let limit =
            later(now, SignedDuration::from_secs(i64::from(lifecycle.global_timeout_seconds)));
        self.global_limit = Some(limit);
        self.group = Some(lifecycle.group.clone());
        self.lifecycle = Some(lifecycle);
        self.deadline = None;
        if let Some(wanted) = deadline.map(|d| later(now, d)) {
            self.set_deadline(wanted, margin, now);
        }
    }

    /// Sets the deadline, cut to the last moment that the hook's global timeout leaves. If it is
    /// cut, the history says so.
    pub fn set_deadline(&mut self, wanted: Timestamp, margin: SignedDuration, now: Timestamp) {
        let latest = self.global_limit.map(|limit| latest_deadline(limit, margin, now));
        let cut = latest.is_some_and(|latest| wanted > latest);
        self.deadline = Some(latest.filter(|_| cut).unwrap_or(wanted));
        if let (true, Some(deadline), Some(limit)) = (cut, self.deadline, self.global_limit) {
            self.note(
                now,
                format!(
                    "its deadline is cut from {wanted:.0} to {deadline:.0}: the hook itself ends the wait at {limit:.0}; a longer \
                     heartbeat timeout gives it up to 48 h"
                ),
            );
        }
    }

    /// Returns the next generation over a finished record, if the same instance waits again.
    pub fn reopen(&self, opening: Opening, now: Timestamp) -> Record {
        let mut next = Record::open(opening, now);
        // The instance was kept drained, or waits again before it was made ACTIVE: the DRAINING
        // that ecs-drain set must still be undone.
        for mine in &mut next.container_instances {
            let before = self.container_instances.iter().find(|c| c.arn == mine.arn);
            mine.draining_is_ours = before.is_some_and(|c| c.draining_is_ours);
        }
        next.orders.requests.clone_from(&self.orders.requests);
        next.generation = self.generation.saturating_add(1);
        next.version = self.version;
        next.write_id.clone_from(&self.write_id);
        next
    }
}

/// Returns the last moment that a deadline can have under a hook: the global timeout less a margin
/// for the last call. The margin is at most half of the time that is left.
pub fn latest_deadline(limit: Timestamp, margin: SignedDuration, now: Timestamp) -> Timestamp {
    later(limit, -margin.min(limit.duration_since(now) / 2).max(SignedDuration::ZERO))
}

fn why_opened(opening: &Opening) -> String {
    let asked = |order: &Option<Order>| {
        order.as_ref().map_or_else(String::new, |order| format!(" by {order}"))
    };
    match (&opening.lifecycle, opening.origin) {
        (Some(lifecycle), _) => {
            format!("waiting under hook {} of group {}", lifecycle.hook, lifecycle.group)
        }
        (None, Origin::Operator) => format!("requested{}", asked(&opening.requested)),
        (None, Origin::SpotInterruption) => "Spot interruption announced".to_owned(),
        (None, Origin::Rebalance) => "rebalance recommended".to_owned(),
        (None, Origin::LifecycleHook) => "seen waiting".to_owned(),
    }
}

fn where_registered(container_instances: &[ContainerInstance]) -> String {
    match container_instances {
        [] => "in no cluster yet".to_owned(),
        [one] => format!("container instance of cluster {}", one.cluster),
        many => format!("{} container instances", many.len()),
    }
}
