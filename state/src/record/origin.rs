//! Reason for a drain, strategy, action after it, and orders.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Reason why a drain exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// An Auto Scaling group waits to terminate the instance under the ecs-drain hook.
    LifecycleHook,
    /// An operator requested it.
    Operator,
    /// A spot interruption warning.
    SpotInterruption,
    /// A rebalance recommendation.
    Rebalance,
}

impl Origin {
    /// Returns the origin's name in the table, the CLI and the docs.
    pub const fn name(self) -> &'static str {
        match self {
            Origin::LifecycleHook => "lifecycle-hook",
            Origin::Operator => "operator",
            Origin::SpotInterruption => "spot-interruption",
            Origin::Rebalance => "rebalance",
        }
    }
}

/// Method by which an instance is taken out of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Set the container instance to `DRAINING` and let ECS move its service tasks.
    #[default]
    Drain,
    /// As `drain`, then deregister the container instance with force once standalone tasks are
    /// gone.
    Deregister,
}

impl Strategy {
    /// Returns the strategy's name in configuration, table and docs.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Drain => "drain",
            Strategy::Deregister => "deregister",
        }
    }
}

/// An operator's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The operator, as the CLI determined it: an IAM identity, or a user of a machine. It is not
    /// proof.
    pub by: String,
    /// The operator's reason, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Time of the request.
    pub at: Timestamp,
}

/// Formats the person, with the reason if there is one: `Ada (kernel update)`.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{} ({reason})", self.by),
            None => f.write_str(&self.by),
        }
    }
}

/// Action after a drain that no lifecycle action began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// The Auto Scaling group terminates the instance, and replaces it: its desired capacity stays.
    Terminate,
    /// The Auto Scaling group terminates the instance and lowers its desired capacity by one.
    TerminateAndShrink,
    /// The instance stays, drained.
    Keep,
    /// ecs-drain does nothing more: the spot interruption that began the drain ends the instance.
    Leave,
}

impl Then {
    /// Returns the name in the table and the docs.
    pub const fn name(self) -> &'static str {
        match self {
            Then::Terminate => "terminate",
            Then::TerminateAndShrink => "terminate-and-shrink",
            Then::Keep => "keep",
            Then::Leave => "leave",
        }
    }
}
