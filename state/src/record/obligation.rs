//! The targets that must be seen gone before a drain's completion.

use super::later;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A target that must be seen gone before completion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Obligation {
    /// The balancer that sends the traffic.
    pub balancer: Balancer,
    /// The target that it sends the traffic to.
    pub target: Target,
    /// Deregistration delay of the balancer, seconds. `None` if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<u32>,
    /// True if it is in a network load balancer's target group, which can be sent new connections
    /// for a while after the deregistration. `None` if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<bool>,
    /// Time at which it was first seen to drain, or to be gone. `None` while it is in service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining_since: Option<Timestamp>,
    /// Time for which it has been watched leaving, seconds, by the monotonic clocks of all
    /// processes that watched, one after the other. Settle times are measured by it, so that a jump
    /// of the wall clock cannot shorten one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_for_seconds: u32,
    /// True if the Auto Scaling group's own attachment to the balancer is the only reason for it.
    /// The group deregisters the instance there when it terminates it, and not before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_group_alone: bool,
    /// Time at which this obligation was noted.
    pub noted_at: Timestamp,
}

/// Returns whether a span is zero, so that it is not written.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
pub(super) fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

impl Obligation {
    /// Creates an obligation of which nothing else is known yet.
    pub fn new(balancer: Balancer, target: Target, noted_at: Timestamp) -> Obligation {
        Obligation {
            balancer,
            target,
            delay_seconds: None,
            network: None,
            draining_since: None,
            left_for_seconds: 0,
            of_group_alone: false,
            noted_at,
        }
    }

    /// Returns whether both name the same target of the same balancer; delay and time do not count.
    pub fn is_same(&self, other: &Obligation) -> bool {
        self.balancer == other.balancer && self.target == other.target
    }

    /// Returns whether it gets a settle time, because a network load balancer can be behind it: its
    /// target group is one's, or of unknown kind.
    pub fn settles(&self) -> bool {
        matches!(self.balancer, Balancer::TargetGroup(_)) && self.network != Some(false)
    }

    /// Returns the time by which the balancer will have drained it at the latest, once it was seen
    /// to drain and its delay is known.
    pub fn drained_by(&self) -> Option<Timestamp> {
        let delay = SignedDuration::from_secs(i64::from(self.delay_seconds?));
        Some(later(self.draining_since?, delay))
    }
}

impl fmt::Display for Obligation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.target, self.balancer)
    }
}

/// A load balancer's part that sends traffic to an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balancer {
    /// A target group of an Application or Network Load Balancer, by ARN.
    TargetGroup(String),
    /// A classic load balancer, by name.
    ClassicLoadBalancer(String),
}

impl fmt::Display for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID: the name is enough
            // for people.
            Balancer::TargetGroup(arn) => {
                write!(f, "target group {}", arn.split('/').nth(1).unwrap_or(arn))
            }
            Balancer::ClassicLoadBalancer(name) => write!(f, "classic load balancer {name}"),
        }
    }
}

/// The instance as a balancer names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The EC2 instance itself, on any port: dynamic host ports make several targets of one
    /// instance.
    Instance(String),
    /// The address of a task's own network interface, on any port.
    Ip(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Instance(id) | Target::Ip(id) => f.write_str(id),
        }
    }
}
