//! The phase of a drain, with the data of that phase alone.

use super::Intent;
use crate::phase::{Outcome, Phase};
use jiff::Timestamp;

/// Phase of a drain with its data. Each stage is one [`Phase`], and holds the values that exist in
/// that phase alone.
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
        /// The result for Auto Scaling and its reason; written before the call is sent.
        intent: Intent,
        /// Time since which Auto Scaling has refused the call for a missing permission, if it does.
        refused_since: Option<Timestamp>,
    },
    /// See [`Phase::Returning`].
    Returning {
        /// The intent of the completion, if there was one.
        intent: Option<Intent>,
    },
    /// See [`Phase::Done`].
    Done {
        /// Outcome of the drain.
        outcome: Outcome,
        /// The intent of the completion, sent or not.
        intent: Option<Intent>,
        /// Time from which the record may be deleted, in seconds since 1970 (DynamoDB's TTL).
        expires_at: i64,
    },
}

impl Stage {
    /// Returns the phase.
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

    /// Returns the intent of the completion, before and after the call.
    pub const fn intent(&self) -> Option<&Intent> {
        match self {
            Stage::Completing { intent, .. } => Some(intent),
            Stage::Returning { intent } | Stage::Done { intent, .. } => intent.as_ref(),
            Stage::Pending | Stage::Deregistering | Stage::Waiting | Stage::Verifying => None,
        }
    }
}
