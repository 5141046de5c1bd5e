//! Allowed durations of keys, and the reasons for them.

use crate::config::span::Limits;
use std::time::Duration;

const fn seconds(least: u64, most: u64, why_least: &'static str, why_most: &'static str) -> Limits {
    Limits {
        least: Duration::from_secs(least),
        most: Duration::from_secs(most),
        why_least,
        why_most,
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// Source: Auto Scaling API reference, `PutLifecycleHook`: the global timeout is 48 hours or 100
/// times the heartbeat timeout, whichever is smaller.
const WAITS_END: &str = "Auto Scaling ends every wait after 48 hours";
const HEARTBEAT: &str =
    "a hook's heartbeat timeout can be as short as 30 s, and the first heartbeat needs a look";
const PROOF: &str = "the proof that everything is gone must outlast reads that lag";

/// `poll.groups`
pub const POLL_GROUPS: Limits = seconds(1, 25, "", HEARTBEAT);
/// `shutdown`
pub const SHUTDOWN: Limits =
    seconds(1, 120, "", "ECS kills a container at the latest 120 s after it asked it to stop");
/// `deadline`
pub const DEADLINE: Limits = seconds(MINUTE, 48 * HOUR, "", WAITS_END);
/// `standalone_tasks.stop_after`
pub const STOP_AFTER: Limits = seconds(0, 48 * HOUR, "", WAITS_END);
/// `not_in_cluster_after`
pub const NOT_IN_CLUSTER_AFTER: Limits =
    seconds(MINUTE, 48 * HOUR, "an instance may register late with its cluster", WAITS_END);
/// `read_lag`
pub const READ_LAG: Limits = seconds(60, HOUR, PROOF, "");
/// `looks_apart`
pub const LOOKS_APART: Limits = seconds(10, HOUR, PROOF, "");
/// `stuck_after`
pub const STUCK_AFTER: Limits = seconds(MINUTE, 48 * HOUR, "", WAITS_END);
/// `agent_grace`
pub const AGENT_GRACE: Limits = seconds(
    MINUTE,
    48 * HOUR,
    "an agent is often disconnected for a moment, and tasks run on meanwhile",
    WAITS_END,
);
/// `network_settle`
pub const NETWORK_SETTLE: Limits = seconds(0, HOUR, "", "");
/// `blind_margin`
pub const BLIND_MARGIN: Limits =
    seconds(MINUTE, HOUR, "the last call needs time for its retries", "");
/// `poll` of a policy
pub const POLL: Limits = seconds(1, 5 * MINUTE, "", "");
/// `keep_finished`
pub const KEEP_FINISHED: Limits = seconds(HOUR, 365 * DAY, "", "");

/// `closed.duration`
pub const CLOSED_DURATION: Limits = seconds(MINUTE, 7 * DAY, "", "");
