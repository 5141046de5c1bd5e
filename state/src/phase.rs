//! The phases of a drain, the legal moves between them, and its outcomes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Phase of a drain. Each comment states a fact that is *true of the world* in that phase, not a
/// mere request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// ecs-drain has seen the instance, and has done nothing to it.
    Pending,
    /// The targets that must be seen gone are in the record; ECS is asked to place nothing more.
    Deregistering,
    /// ECS has shown that no new task can start on the instance; tasks are waited for.
    Waiting,
    /// No task that matters is left; every target is checked twice.
    Verifying,
    /// The intent to complete is in the record; the lifecycle action is completed until it is over.
    Completing,
    /// The instance lives on (warm pool, new root volume, a cancelled drain): the `DRAINING` that
    /// ecs-drain set is undone.
    Returning,
    /// Nothing is left to do. [`Outcome`] names the end.
    Done,
}

impl Phase {
    /// Every phase, in the order in which a drain meets them.
    pub const ALL: [Phase; 7] = [
        Phase::Pending,
        Phase::Deregistering,
        Phase::Waiting,
        Phase::Verifying,
        Phase::Completing,
        Phase::Returning,
        Phase::Done,
    ];

    /// Returns whether a move is legal: the one table of legal moves.
    ///
    /// `Done → Pending` opens a new generation. Every unfinished phase may end, because the
    /// instance can vanish, and the wait can be lost, at any moment. A cancelled drain goes through
    /// Returning. So does a drain whose wait was lost before it began, if the drain before it has
    /// set a `DRAINING` that is still to be undone.
    pub const fn may_become(self, next: Phase) -> bool {
        use Phase::*;
        match self {
            Pending => matches!(next, Deregistering | Completing | Returning | Done),
            Deregistering => matches!(next, Waiting | Completing | Returning | Done),
            Waiting => matches!(next, Deregistering | Verifying | Completing | Returning | Done),
            Verifying => matches!(next, Deregistering | Waiting | Completing | Returning | Done),
            Completing => matches!(next, Deregistering | Waiting | Returning | Done),
            Returning => matches!(next, Done),
            Done => matches!(next, Pending),
        }
    }

    /// Returns the next phase, if the move is legal.
    ///
    /// # Errors
    /// Returns both phases if the table does not allow the move. That is a defect in `decide`,
    /// never a state of the world.
    pub const fn step(self, next: Phase) -> Result<Phase, IllegalMove> {
        if self.may_become(next) { Ok(next) } else { Err(IllegalMove { from: self, to: next }) }
    }

    /// Returns the phase's name, as the table, the CLI, the log and the docs show it.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Deregistering => "Deregistering",
            Phase::Waiting => "Waiting",
            Phase::Verifying => "Verifying",
            Phase::Completing => "Completing",
            Phase::Returning => "Returning",
            Phase::Done => "Done",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A move that [`Phase::may_become`] does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IllegalMove {
    /// Phase that the drain is in.
    pub from: Phase,
    /// Phase that was requested.
    pub to: Phase,
}

impl fmt::Display for IllegalMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a drain cannot go from {} to {}", self.from, self.to)
    }
}

impl std::error::Error for IllegalMove {}

/// Outcome: the way in which a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Every task and every target was seen gone; then the lifecycle action was completed.
    Drained,
    /// The deadline passed and the policy says `continue`.
    TimedOut,
    /// The deadline passed and the policy says `abandon`.
    Abandoned,
    /// An operator ordered the end.
    Forced,
    /// The instance is in no cluster of the scope, and the policy says to complete.
    NotInCluster,
    /// An operator cancelled it.
    Cancelled,
    /// The instance no longer exists.
    InstanceGone,
    /// The lifecycle action ended, but not by ecs-drain: its hook was deleted or timed out, or
    /// another hook abandoned it.
    WaitLost,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 8] = [
        Outcome::Drained,
        Outcome::TimedOut,
        Outcome::Abandoned,
        Outcome::Forced,
        Outcome::NotInCluster,
        Outcome::Cancelled,
        Outcome::InstanceGone,
        Outcome::WaitLost,
    ];

    /// Returns the outcome's name, as the table, the CLI, the log and the docs show it.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Drained => "Drained",
            Outcome::TimedOut => "TimedOut",
            Outcome::Abandoned => "Abandoned",
            Outcome::Forced => "Forced",
            Outcome::NotInCluster => "NotInCluster",
            Outcome::Cancelled => "Cancelled",
            Outcome::InstanceGone => "InstanceGone",
            Outcome::WaitLost => "WaitLost",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table of legal moves, so that a change of it is a change of this picture.
    #[test]
    fn legal_moves() {
        let mut table = String::new();
        for from in Phase::ALL {
            let to: Vec<_> =
                Phase::ALL.into_iter().filter(|to| from.may_become(*to)).map(Phase::name).collect();
            table.push_str(&format!("{from:<13} → {}\n", to.join(", ")));
        }
        assert_eq!(
            table,
            "\
Pending       → Deregistering, Completing, Returning, Done
Deregistering → Waiting, Completing, Returning, Done
Waiting       → Deregistering, Verifying, Completing, Returning, Done
Verifying     → Deregistering, Waiting, Completing, Returning, Done
Completing    → Deregistering, Waiting, Returning, Done
Returning     → Done
Done          → Pending
"
        );
    }

    #[test]
    fn an_illegal_move_names_both_phases() {
        let error = Phase::Pending.step(Phase::Verifying).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some("a drain cannot go from Pending to Verifying"));
    }
}
