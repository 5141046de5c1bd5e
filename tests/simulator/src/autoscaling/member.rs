//! One instance of a group.

use super::hooks::Action;
use super::spec::Image;
use super::state::{self, Journey, Stage};
use crate::SimTime;

/// An instance that belongs to a group or its warm pool.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) group: String,
    pub(super) zone: String,
    pub(super) image: Image,
    pub(super) journey: Journey,
    pub(super) stage: Stage,
    /// Its origin: a lifecycle event's `Origin`.
    pub(super) origin: &'static str,
    pub(super) launched_at: SimTime,
    /// The moment at which its last journey ended.
    pub(super) arrived_at: SimTime,
    /// The moment at which the present stage ends by itself. `None` during a wait: a wait ends with
    /// its actions.
    pub(super) stage_ends: Option<SimTime>,
    pub(super) actions: Vec<Action>,
    /// True while it is registered with the balancers attached to the group.
    pub(super) joined_balancers: bool,
    /// True while those balancers drain it.
    pub(super) leaving_balancers: bool,
    pub(super) healthy: bool,
    pub(super) protected: bool,
    /// True once the EC2 instance is terminated.
    pub(super) dead: bool,
    pub(super) death_noticed_at: Option<SimTime>,
    /// The scaling activity that moves it, as an index into its group's.
    pub(super) activity: Option<usize>,
    /// The time of its entry in the agenda.
    pub(super) scheduled: Option<SimTime>,
}

impl Member {
    /// Returns AWS's name of its lifecycle state.
    pub(super) fn state_name(&self) -> &'static str {
        state::name(self.journey, self.stage)
    }

    pub(super) fn in_service(&self) -> bool {
        self.journey == Journey::IntoService && self.stage == Stage::Arrived
    }

    /// Returns true if it rests in the warm pool, ready to be started.
    pub(super) fn pooled(&self) -> bool {
        matches!(self.journey, Journey::IntoPool | Journey::BackToPool)
            && self.stage == Stage::Arrived
            && !self.dead
    }

    /// Returns the moment of its next change by itself.
    pub(super) fn due(&self) -> Option<SimTime> {
        let expiry = self.open_actions().map(|action| action.expires_at).min();
        [self.stage_ends, self.death_noticed_at, expiry].into_iter().flatten().min()
    }

    pub(super) fn open_actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.iter().filter(|action| action.result.is_none())
    }
}
