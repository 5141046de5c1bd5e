//! The lifecycle action that a drain is to complete, and the intent to complete it.

use crate::phase::Outcome;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Kind of a termination hook's wait, by the state that follows its completion. (Source: Amazon EC2
/// Auto Scaling user guide, lifecycle states; warm pools; replace root volume.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitKind {
    /// `Terminating:Wait`: the instance is terminated.
    Terminating,
    /// `Warmed:Terminating:Wait`: a member of the warm pool is terminated.
    WarmedTerminating,
    /// `Warmed:Pending:Wait`: the instance goes back to the warm pool and may be used again.
    ReturnsToWarmPool,
    /// `ReplacingRootVolume:Wait`: the instance gets a new root volume and comes back.
    ReplacesRootVolume,
}

impl WaitKind {
    /// Returns whether the instance lives on after the wait, so that the `DRAINING` set by
    /// ecs-drain must be undone.
    pub const fn lives_on(self) -> bool {
        matches!(self, WaitKind::ReturnsToWarmPool | WaitKind::ReplacesRootVolume)
    }
}

/// The lifecycle action that a drain is to complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Name of the Auto Scaling group.
    pub group: String,
    /// Name of the ecs-drain hook.
    pub hook: String,
    /// Kind of the wait.
    pub kind: WaitKind,
    /// The hook's heartbeat timeout, seconds.
    pub heartbeat_timeout_seconds: u32,
    /// The hook's global timeout, seconds.
    pub global_timeout_seconds: u32,
    /// The hook's default result: Auto Scaling applies it when a timeout ends.
    pub default_result: ActionResult,
    /// Names of the group's other terminating hooks, which can hold the instance after the
    /// ecs-drain hook is completed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_hooks: Vec<String>,
    /// True if the group retains an instance whose termination is abandoned (`TerminateHookAbandon:
    /// retain`).
    #[serde(default)]
    pub retains_abandoned: bool,
}

impl Lifecycle {
    /// Returns whether the group may retain the instance once its action is abandoned. There is no
    /// such state for a new root volume. (Source: Auto Scaling API reference, `LifecycleState`.)
    pub const fn may_be_retained(&self) -> bool {
        self.retains_abandoned && !matches!(self.kind, WaitKind::ReplacesRootVolume)
    }
}

/// Result of a lifecycle action, by a call or by default: `CONTINUE` or `ABANDON`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ActionResult {
    /// The termination continues; other hooks of the group still decide for themselves.
    #[serde(rename = "CONTINUE")]
    Continue,
    /// The termination continues at once and skips the other hooks; a group with
    /// `TerminateHookAbandon: retain` keeps the instance.
    #[serde(rename = "ABANDON")]
    Abandon,
}

impl ActionResult {
    /// Returns the result as Auto Scaling spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ActionResult::Continue => "CONTINUE",
            ActionResult::Abandon => "ABANDON",
        }
    }
}

impl fmt::Display for ActionResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The decision to complete the lifecycle action, saved before the call. It is not evidence: for
/// [`Outcome::Drained`] each call also needs the proof to hold at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// `CONTINUE` or `ABANDON`.
    pub result: ActionResult,
    /// Outcome that the drain will have.
    pub outcome: Outcome,
    /// Reason, in a sentence.
    pub reason: String,
    /// Time of the decision.
    pub at: Timestamp,
}
