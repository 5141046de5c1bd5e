//! Why a drain exists, how it is done, what comes after it, and who ordered what.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a drain exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// An Auto Scaling group waits to terminate the instance under our hook.
    LifecycleHook,
    /// An operator asked for it.
    Operator,
    /// A spot interruption warning.
    SpotInterruption,
    /// A rebalance recommendation.
    Rebalance,
}

impl Origin {
    /// The origin's name in the table, the CLI and the docs.
    pub const fn name(self) -> &'static str {
        match self {
            Origin::LifecycleHook => "lifecycle-hook",
            Origin::Operator => "operator",
            Origin::SpotInterruption => "spot-interruption",
            Origin::Rebalance => "rebalance",
        }
    }
}

/// How an instance is taken out of service.
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
    /// The strategy's name in configuration, table and docs.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Drain => "drain",
            Strategy::Deregister => "deregister",
        }
    }
}

/// What an operator ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Who, as the CLI found it out: an IAM identity, or a user of a machine. It is not proof.
    pub by: String,
    /// Why, if they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was asked for.
    pub at: Timestamp,
}

/// `Ada (kernel update)`.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{} ({reason})", self.by),
            None => f.write_str(&self.by),
        }
    }
}

/// What comes after a drain that no lifecycle action asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// The Auto Scaling group terminates the instance, and replaces it: its desired capacity stays.
    Terminate,
    /// The Auto Scaling group terminates the instance and lowers its desired capacity by one.
    TerminateAndShrink,
    /// The instance stays, drained.
    Keep,
    /// Nothing is left to be done by us: what announced the drain ends the instance (a spot
    /// interruption).
    Leave,
}

impl Then {
    /// As it stands in the table and the docs.
    pub const fn name(self) -> &'static str {
        match self {
            Then::Terminate => "terminate",
            Then::TerminateAndShrink => "terminate-and-shrink",
            Then::Keep => "keep",
            Then::Leave => "leave",
        }
    }
}
