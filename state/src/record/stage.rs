//! Where a drain stands, with what only that stage has.

use super::Intent;
use crate::phase::{Outcome, Phase};
use jiff::Timestamp;

/// Where a drain stands. Each stage is one [`Phase`], and holds what there is in that phase alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// See [`Phase::Pending`].
    Pending,
    /// See [`Phase::Deregistering`].
    Deregistering,
    /// See [`Phase::Waiting`].
    Waiting,
    /// See [`Phase::Verifying`].
    Verifying,
    /// See [`Phase::Completing`].
    Completing {
        /// What we are about to tell Auto Scaling, and why; written before it is told.
        intent: Intent,
        /// Since when Auto Scaling has refused that for want of a permission, if it does.
        refused_since: Option<Timestamp>,
    },
    /// See [`Phase::Returning`].
    Returning {
        /// What Auto Scaling was told, if it was.
        intent: Option<Intent>,
    },
    /// See [`Phase::Done`].
    Done {
        /// How the drain ended.
        outcome: Outcome,
        /// What Auto Scaling was told, or was about to be.
        intent: Option<Intent>,
        /// When the record may be deleted, in seconds since 1970 (DynamoDB's TTL).
        expires_at: i64,
    },
}

impl Stage {
    /// The phase.
    pub const fn phase(&self) -> Phase {
        match self {
            Stage::Pending => Phase::Pending,
            Stage::Deregistering => Phase::Deregistering,
            Stage::Waiting => Phase::Waiting,
            Stage::Verifying => Phase::Verifying,
            Stage::Completing { .. } => Phase::Completing,
            Stage::Returning { .. } => Phase::Returning,
            Stage::Done { .. } => Phase::Done,
        }
    }

    /// What Auto Scaling is to be told, or was.
    pub const fn intent(&self) -> Option<&Intent> {
        match self {
            Stage::Completing { intent, .. } => Some(intent),
            Stage::Returning { intent } | Stage::Done { intent, .. } => intent.as_ref(),
            Stage::Pending | Stage::Deregistering | Stage::Waiting | Stage::Verifying => None,
        }
    }
}
