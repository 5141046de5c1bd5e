//! The reads that a decision about a rollout needs, in the words of this crate.

use super::select::Traits;
use crate::phase::Outcome;
use crate::record::{Record, Then};
use crate::sight::ContainerInstanceStatus;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// The newest reads. All of them began after the rollout was last written, and after its last
/// action ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// Every Auto Scaling group that exists, by name.
    pub groups: BTreeMap<String, GroupSight>,
    /// Every instance of those groups, by EC2 instance id.
    pub members: BTreeMap<String, MemberSight>,
    /// Container instances of the rollout's clusters, by EC2 instance id. One that is missing has
    /// not registered, or could not be read: neither is fit.
    pub instances: BTreeMap<String, InstanceSight>,
    /// Records of the drains of the rollout's instances, by EC2 instance id. One that is missing
    /// does not exist.
    pub drains: BTreeMap<String, DrainSight>,
    /// Services of the rollout's clusters that run fewer tasks than they should, or `None` if that,
    /// or an instance refresh of its groups, could not be read.
    pub short: Option<Vec<ShortService>>,
    /// Person who paused a cluster of the rollout, or everything, or a closed window.
    pub paused: Option<String>,
    /// Answers to changes of desired capacity since the record was written, by group.
    pub answers: BTreeMap<String, CapacityAnswer>,
    /// Reasons why ordered drains cannot begin, by EC2 instance id.
    pub refused: BTreeMap<String, String>,
}

/// An Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSight {
    /// Desired capacity.
    pub desired: u32,
    /// Maximum of the desired capacity.
    pub max: u32,
    /// Minimum of the desired capacity.
    pub min: u32,
    /// True while an instance refresh of the group runs.
    pub refreshes: bool,
}

/// An instance as its group shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSight {
    /// Name of the group.
    pub group: String,
    /// True if its lifecycle state is `InService`.
    pub in_service: bool,
    /// True while it leaves the group: it does not count for the desired capacity any more.
    pub leaves: bool,
}

/// A container instance as ECS shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InstanceSight {
    /// Properties by which it can be old.
    pub traits: Traits,
    /// Time for which reads without a gap have shown it fit: `ACTIVE`, its agent connected, and a
    /// task of each daemon service running. `None` if the last read shows that it is not.
    pub fit_for: Option<Duration>,
    /// Missing condition, if it is not fit.
    pub unfit: Option<String>,
}

impl InstanceSight {
    /// Judges a container instance: it is fit if it is `ACTIVE`, its agent is connected, and none
    /// of its cluster's daemon services is missing on it.
    pub fn judge(
        traits: Traits,
        status: &ContainerInstanceStatus,
        connected: bool,
        missing_daemons: &[String],
    ) -> InstanceSight {
        let unfit = if *status != ContainerInstanceStatus::Active {
            Some("is not ACTIVE".to_owned())
        } else if !connected {
            Some("has no connected agent".to_owned())
        } else {
            missing_daemons.first().map(|daemon| format!("runs no task of daemon service {daemon}"))
        };
        InstanceSight { traits, fit_for: None, unfit }
    }

    /// Adds the time for which it has been fit, as [`super::Spans`] keeps it.
    pub fn since(mut self, span: Option<Duration>) -> InstanceSight {
        self.fit_for = if self.unfit.is_none() { span } else { None };
        self
    }
}

/// The drain of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainSight {
    /// True if this rollout ordered it.
    pub ours: bool,
    /// Action after it.
    pub then: Option<Then>,
    /// How it ended, once it is done.
    pub outcome: Option<Outcome>,
    /// True once its group was asked to terminate the instance.
    pub asked: bool,
    /// True once a lifecycle hook holds the instance: the drain cannot be cancelled any more.
    pub held: bool,
    /// True once an operator cancelled it.
    pub cancelled: bool,
    /// Time of its last progress, if it is stuck.
    pub stuck_since: Option<Timestamp>,
    /// The reason that it shows.
    pub message: String,
}

impl DrainSight {
    /// Reads these facts from a record. `request_id` is the one of the rollout's drains.
    pub fn of(record: &Record, request_id: &str) -> DrainSight {
        DrainSight {
            ours: record.orders.requests.iter().any(|id| id == request_id),
            then: record.then,
            outcome: record.outcome(),
            asked: record.termination_asked_at.is_some(),
            held: record.lifecycle.is_some(),
            cancelled: record.orders.cancel.is_some(),
            stuck_since: record.shown.stuck_since.filter(|_| !record.is_done()),
            message: record.shown.message.clone(),
        }
    }

    /// Returns whether this rollout ordered it and it has not ended.
    pub(super) const fn runs(&self) -> bool {
        self.ours && self.outcome.is_none()
    }
}

/// A service that runs fewer tasks than its desired count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortService {
    /// Name of its cluster.
    pub cluster: String,
    /// Name of the service.
    pub service: String,
    /// Number of running tasks.
    pub running: u32,
    /// Desired count.
    pub desired: u32,
    /// Time for which reads without a gap have shown it so.
    pub short_for: Duration,
}

impl ShortService {
    /// Returns the service's name with its cluster's.
    pub fn key(&self) -> String {
        format!("{}/{}", self.cluster, self.service)
    }
}

/// Answer to a change of desired capacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CapacityAnswer {
    /// Auto Scaling accepted it.
    Accepted,
    /// It was not sent, because the group had another desired capacity by then.
    NotSent,
    /// Auto Scaling refused it; the reason.
    Refused(String),
}
