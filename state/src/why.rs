//! The reason of a decision. One closed list feeds the record's message, the log, the CLI and the
//! tests, so that they cannot disagree.

mod moment;

use crate::budget::{DO_NOT_DISRUPT, DoNotDisrupt, Scope};
use crate::phase::Outcome;
use crate::record::later;
use jiff::{SignedDuration, Timestamp};
use moment::{CONTAINERS, FIRST_CHECK, HELD, LISTING, NETWORK, RELEASE, SECOND_CHECK, WINDOW};
use std::fmt;
use std::time::Duration;

pub use moment::as_of;
pub(crate) use moment::{PAST, UNTIL};

/// Reason why a drain is where it is, or what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The instance was seen waiting; nothing was done to it yet.
    Seen,
    /// The drain waits in the queue: a budget has no room for it, or one of its services is not
    /// steady.
    WaitsForTurn {
        /// The budget.
        scope: Scope,
        /// Number of drains that run under it, or of tasks.
        running: u32,
        /// Number that may run at once.
        limit: u32,
        /// Number of waiting drains that come first.
        ahead: u32,
    },
    /// A closed window: no drain of its reason begins now.
    WindowClosed {
        /// Name of the window.
        window: String,
        /// Moment from which no window is closed.
        until: Timestamp,
    },
    /// An operator paused it: heartbeats continue, all else waits. The text names the operator.
    Paused(String),
    /// In no cluster, according to complete reads of every cluster; it may still register.
    NotInCluster {
        /// Time until it is released.
        left: Duration,
    },
    /// In no cluster, and the policy says to hold it.
    HeldNotInCluster,
    /// ECS was asked to place nothing more on the instance, and has not confirmed it.
    AskedToDrain,
    /// Strategy `deregister`: standalone tasks must end before ECS forgets the instance.
    BeforeDeregistration {
        /// The tasks that are left.
        tasks: Left,
    },
    /// Strategy `deregister`: ECS was asked to forget the container instance, and has not confirmed
    /// it.
    AskedToDeregister,
    /// Strategy `deregister`: its tasks are listed once more, late enough that none is left out.
    ListsOnceMore {
        /// Time until then.
        left: Duration,
    },
    /// Tasks that matter still run.
    TasksLeft(Left),
    /// Containers of a deregistered instance may still run although ECS shows their tasks stopped.
    LongestDelay {
        /// Time that they are still given.
        left: Duration,
    },
    /// Targets are still registered.
    TargetsLeft(Left),
    /// Everything is gone; a network load balancer can send new connections for a while yet.
    NetworkSettling {
        /// Time until it no longer can.
        left: Duration,
    },
    /// Everything is gone; the first read of the proof must be late enough after the moment when
    /// ECS stopped placing tasks.
    Settling {
        /// Time until that read.
        left: Duration,
    },
    /// Everything was seen gone once; the second read follows.
    SecondLook {
        /// Time until that read.
        left: Duration,
    },
    /// Every cluster is searched once more for a second container instance of the EC2 instance.
    LookingForRegistrations,
    /// The intent is saved; the lifecycle action is completed.
    Completing(Outcome),
    /// Drained; its group was asked to terminate it.
    TerminationAsked,
    /// Its group terminates it, and the ecs-drain hook will hold it for a moment.
    Terminating,
    /// Drained; the interruption that began the drain ends the instance.
    WaitsForItsEnd,
    /// Its group retains it after an `ABANDON` by ecs-drain, until someone terminates it.
    Retained,
    /// Something that the decision needs could not be read. The text names it.
    Unknown(String),
    /// Someone made the container instance `ACTIVE` again.
    ActiveAgain,
    /// The deadline has passed, and the policy says to hold.
    HeldPastDeadline(Box<Why>),
    /// The instance lives on; its `DRAINING` is undone once it is back in service. The text is its
    /// state.
    WaitingForReturn(String),
    /// It is back, or its drain was cancelled, and ECS was asked to place tasks on it again.
    AskedToReturn,
    /// Nothing is left to do.
    Done(Outcome),
}

/// Tasks or targets that are left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Number of them.
    pub count: usize,
    /// Description of the first of them.
    pub first: String,
}

/// End of a reason that holds until something was read for the first time.
const NOT_YET: &str = " yet";

impl Why {
    /// Returns its name, one word from a closed list, for metrics and filters.
    pub fn name(&self) -> &'static str {
        match self {
            Why::Seen => "Seen",
            Why::WaitsForTurn { .. } => "WaitsForTurn",
            Why::WindowClosed { .. } => "WindowClosed",
            Why::Paused(_) => "Paused",
            Why::NotInCluster { .. } => "NotInCluster",
            Why::HeldNotInCluster => "HeldNotInCluster",
            Why::AskedToDrain => "AskedToDrain",
            Why::BeforeDeregistration { .. } => "BeforeDeregistration",
            Why::ListsOnceMore { .. } => "ListsOnceMore",
            Why::AskedToDeregister => "AskedToDeregister",
            Why::TasksLeft(_) => "TasksLeft",
            Why::LongestDelay { .. } => "LongestDelay",
            Why::TargetsLeft(_) => "TargetsLeft",
            Why::NetworkSettling { .. } => "NetworkSettling",
            Why::Settling { .. } => "Settling",
            Why::SecondLook { .. } => "SecondLook",
            Why::LookingForRegistrations => "LookingForRegistrations",
            Why::Completing(_) => "Completing",
            Why::TerminationAsked => "TerminationAsked",
            Why::Terminating => "Terminating",
            Why::WaitsForItsEnd => "WaitsForItsEnd",
            Why::Retained => "Retained",
            Why::Unknown(_) => "Unknown",
            Why::ActiveAgain => "ActiveAgain",
            Why::HeldPastDeadline(_) => "HeldPastDeadline",
            Why::WaitingForReturn(_) => "WaitingForReturn",
            Why::AskedToReturn => "AskedToReturn",
            Why::Done(_) => "Done",
        }
    }
}

impl Why {
    /// Returns whether this reason can last for long, because a person must act, other drains come
    /// first, or a window is closed. Then the record shows it at once.
    pub fn lasts(&self) -> bool {
        Why::name_lasts(self.name())
    }

    /// Returns whether something was not read yet, and no read has failed.
    pub(crate) fn waits_for_first_read(&self) -> bool {
        Why::told_waits_for_first_read(self.name(), &self.to_string())
    }

    /// Returns the same for a stored name and message.
    pub(crate) fn told_waits_for_first_read(name: &str, message: &str) -> bool {
        name == "Unknown" && message.ends_with(NOT_YET)
    }

    /// Returns whether the reason of this name can last for long.
    pub(crate) fn name_lasts(name: &str) -> bool {
        ["Paused", "HeldPastDeadline", "WaitsForTurn", "WindowClosed", "WaitsForItsEnd"]
            .contains(&name)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Seen => f.write_str("detected, not started"),
            Why::WaitsForTurn { scope, running, limit, ahead } => {
                queued(f, scope, *running, *limit, *ahead)
            }
            Why::WindowClosed { window, until } => {
                write!(f, "{}: window {window:?} is closed", WINDOW.at(*until))
            }
            Why::Paused(by) => {
                write!(f, "paused by {by}; heartbeats continue")
            }
            Why::NotInCluster { left } => {
                write!(f, "in no cluster; released in {} unless it registers", Span(*left))
            }
            Why::HeldNotInCluster => f.write_str("in no cluster; held by policy (not_in_cluster)"),
            Why::AskedToDrain => f.write_str("set to DRAINING; waiting for ECS to confirm"),
            Why::BeforeDeregistration { tasks } => write!(f, "before deregistration: {tasks}"),
            Why::ListsOnceMore { left } if left.is_zero() => {
                f.write_str("its tasks are listed again before deregistration")
            }
            Why::ListsOnceMore { left } => {
                write!(f, "its tasks are listed again in {}, before deregistration", Span(*left))
            }
            Why::AskedToDeregister => f.write_str("deregistered; waiting for ECS to confirm"),
            Why::TasksLeft(left) => counted(f, left, "tasks"),
            Why::LongestDelay { left } => write!(
                f,
                "ECS reports its tasks as stopped, but containers may still run; waiting another {}",
                Span(*left)
            ),
            Why::TargetsLeft(left) => counted(f, left, "targets"),
            Why::NetworkSettling { left } => {
                write!(
                    f,
                    "no task or target left; a network load balancer may send new connections for another {}",
                    Span(*left)
                )
            }
            Why::Settling { left } if left.is_zero() => f.write_str("no task or target left; the first check is due"),
            Why::Settling { left } => write!(f, "no task or target left; the first check is in {}", Span(*left)),
            Why::SecondLook { left } if left.is_zero() => {
                f.write_str("no task or target left; the second check is due")
            }
            Why::SecondLook { left } => write!(f, "no task or target left; the second check is in {}", Span(*left)),
            Why::LookingForRegistrations => {
                f.write_str("no task or target left; every cluster is searched for a second registration")
            }
            Why::Completing(outcome) => write!(f, "completing the lifecycle action ({outcome})"),
            Why::TerminationAsked => f.write_str("drained; termination requested from its group"),
            Why::Terminating => f.write_str("drained; its group terminates it"),
            Why::WaitsForItsEnd => {
                f.write_str("drained; waiting for the announced interruption, or for its group to terminate it")
            }
            Why::Retained => f.write_str(
                "abandoned at its deadline; its group retains it (Terminating:Retained) until you terminate it",
            ),
            Why::Unknown(what) => write!(f, "not known: {what}"),
            Why::ActiveAgain => f.write_str("the container instance became ACTIVE again; draining it again"),
            Why::HeldPastDeadline(why) => write!(f, "{HELD}{why}"),
            Why::WaitingForReturn(state) => {
                write!(f, "the instance stays ({state}); waiting until it is in service again")
            }
            Why::AskedToReturn => f.write_str("asked ECS to make it ACTIVE again"),
            Why::Done(outcome) => write!(
                f,
                "{}",
                match outcome {
                    Outcome::Drained => "drained: all tasks and targets are gone",
                    Outcome::TimedOut => "released at its deadline",
                    Outcome::Abandoned => "abandoned at its deadline",
                    Outcome::Forced => "forced by an operator",
                    Outcome::NotInCluster => "released: in no cluster",
                    Outcome::Cancelled =>
                        "cancelled: the DRAINING that ecs-drain set is undone where the instance is kept",
                    Outcome::InstanceGone => "the instance no longer exists",
                    Outcome::WaitLost =>
                        "the wait ended before ecs-drain released it: the hook was deleted or timed out, or another hook abandoned it",
                }
            ),
        }
    }
}

impl Why {
    /// Returns the reason as a sentence for readers who come later: with moments instead of spans.
    pub fn sentence(&self, now: Timestamp) -> String {
        let at = |left: &Duration| later(now, SignedDuration::try_from(*left).unwrap_or_default());
        match self {
            Why::NotInCluster { left } => RELEASE.at(at(left)),
            Why::ListsOnceMore { left } if !left.is_zero() => LISTING.at(at(left)),
            Why::LongestDelay { left } => CONTAINERS.at(at(left)),
            Why::NetworkSettling { left } => NETWORK.at(at(left)),
            Why::Settling { left } if !left.is_zero() => FIRST_CHECK.at(at(left)),
            Why::SecondLook { left } if !left.is_zero() => SECOND_CHECK.at(at(left)),
            Why::HeldPastDeadline(why) => {
                format!("{HELD}{}", why.sentence(now))
            }
            Why::Seen
            | Why::WaitsForTurn { .. }
            | Why::WindowClosed { .. }
            | Why::Paused(_)
            | Why::HeldNotInCluster
            | Why::AskedToDrain
            | Why::BeforeDeregistration { .. }
            | Why::AskedToDeregister
            | Why::ListsOnceMore { .. }
            | Why::TasksLeft(_)
            | Why::TargetsLeft(_)
            | Why::Settling { .. }
            | Why::SecondLook { .. }
            | Why::LookingForRegistrations
            | Why::Completing(_)
            | Why::TerminationAsked
            | Why::Terminating
            | Why::WaitsForItsEnd
            | Why::Retained
            | Why::Unknown(_)
            | Why::ActiveAgain
            | Why::WaitingForReturn(_)
            | Why::AskedToReturn
            | Why::Done(_) => self.to_string(),
        }
    }
}

/// Writes the budget that a drain waits for, with its numbers.
fn queued(
    f: &mut fmt::Formatter<'_>,
    scope: &Scope,
    running: u32,
    limit: u32,
    ahead: u32,
) -> fmt::Result {
    write!(f, "queued for {scope}: ")?;
    match scope {
        Scope::Cluster(_) | Scope::Group(_) => {
            write!(f, "{running} of {limit} allowed drains are running")?;
        }
        Scope::Service { here, desired, .. } => {
            match (desired, limit) {
                (Some(desired), _) => write!(f, "{limit} of {desired} tasks")?,
                (None, 1) => f.write_str("1 task")?,
                (None, _) => write!(f, "{limit} tasks")?,
            }
            write!(f, " may drain at once (draining: {running}, here: {here})")?;
        }
        Scope::Steady { state, .. } if state.deploys => {
            return f.write_str("a deployment of it is in progress");
        }
        Scope::Steady { state, .. } => {
            return write!(f, "{} of its {} tasks run", state.running, state.desired);
        }
        Scope::Kept { kept: DoNotDisrupt::Always, .. } => {
            return write!(f, "its owner has tagged it {DO_NOT_DISRUPT}");
        }
        Scope::Kept { kept: DoNotDisrupt::Until(until), .. } => {
            return write!(f, "its owner has tagged it {DO_NOT_DISRUPT} until {until:.0}");
        }
    }
    match ahead {
        0 => f.write_str("; next in line"),
        n => write!(f, "; {n} ahead of it"),
    }
}

/// Writes the number, then the first of them; the first alone where it is the only one.
fn counted(f: &mut fmt::Formatter<'_>, left: &Left, things: &str) -> fmt::Result {
    match left.count {
        0 | 1 => f.write_str(&left.first),
        n => write!(f, "{n} {things} left: {left}"),
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 | 1 => f.write_str(&self.first),
            n => write!(f, "{} and {} more", self.first, n - 1),
        }
    }
}

/// Formats a span for people: `45 s`, `10 min`, `2 h 5 min`.
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded up: "0 s left" while something is left would be wrong.
        let seconds = self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0);
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, s) => write!(f, "{s} s"),
            (0, m, 0) => write!(f, "{m} min"),
            (0, m, s) => write!(f, "{m} min {s} s"),
            (h, 0, _) => write!(f, "{h} h"),
            (h, m, _) => write!(f, "{h} h {m} min"),
        }
    }
}
