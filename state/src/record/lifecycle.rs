//! The lifecycle action that a drain is to complete, and the intent to complete it.

use crate::phase::Outcome;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a termination-hook wait will become when it is completed.
/// (Source: Amazon EC2 Auto Scaling user guide, lifecycle states; warm pools; replace root volume.)
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
    /// Whether the instance goes on living after the wait, so that our `DRAINING` must be undone.
    pub const fn lives_on(self) -> bool {
        matches!(self, WaitKind::ReturnsToWarmPool | WaitKind::ReplacesRootVolume)
    }
}

/// The lifecycle action that a drain is to complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Name of the Auto Scaling group.
    pub group: String,
    /// Name of our terminating hook.
    pub hook: String,
    /// What the wait becomes when it is completed.
    pub kind: WaitKind,
    /// The hook's heartbeat timeout, seconds.
    pub heartbeat_timeout_seconds: u32,
    /// The hook's global timeout, seconds.
    pub global_timeout_seconds: u32,
    /// What Auto Scaling does by itself when the time runs out.
    pub default_result: ActionResult,
    /// Names of the group's other terminating hooks, which can hold the instance after ours is
    /// completed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_hooks: Vec<String>,
    /// Whether the group keeps an instance whose termination is abandoned (`TerminateHookAbandon:
    /// retain`).
    #[serde(default)]
    pub retains_abandoned: bool,
}

impl Lifecycle {
    /// Whether the group may keep the instance once its action is abandoned. There is no such state
    /// for a new root volume. (Source: Auto Scaling API reference, `LifecycleState`.)
    pub const fn may_be_retained(&self) -> bool {
        self.retains_abandoned && !matches!(self.kind, WaitKind::ReplacesRootVolume)
    }
}

/// What Auto Scaling is told, or does by itself: `CONTINUE` or `ABANDON`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ActionResult {
    /// Go on; other hooks of the group still decide for themselves.
    #[serde(rename = "CONTINUE")]
    Continue,
    /// Go on at once, skipping the other hooks; a group with `TerminateHookAbandon: retain` keeps
    /// the instance.
    #[serde(rename = "ABANDON")]
    Abandon,
}

impl ActionResult {
    /// As Auto Scaling spells it.
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

/// What we are about to tell Auto Scaling. It is permission, not evidence: for [`Outcome::Drained`]
/// each call also needs a look of the same pass that shows everything still gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// `CONTINUE` or `ABANDON`.
    pub result: ActionResult,
    /// What the drain's outcome will be.
    pub outcome: Outcome,
    /// Why, in a sentence.
    pub reason: String,
    /// When it was decided.
    pub at: Timestamp,
}
