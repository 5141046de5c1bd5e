//! Earlier states of the world, from which lagging reads are answered.

use std::collections::VecDeque;
use std::time::Duration;

use super::World;
use crate::SimTime;

/// The shortest time between two kept states.
const GRAIN: Duration = Duration::from_secs(1);

/// The longest lag of a read.
const REACH: Duration = Duration::from_secs(120);

/// Earlier states of the world, oldest first, each with the moment since which it was so.
#[derive(Debug, Default)]
pub(super) struct Past {
    states: VecDeque<(SimTime, World)>,
    changed: SimTime,
}

impl Past {
    /// Notes that the world changes at this moment.
    pub(super) fn changed(&mut self, at: SimTime) {
        self.changed = at;
    }

    /// Keeps the present state, if it is new. Must be called before the world changes and before
    /// time passes.
    pub(super) fn remember(&mut self, now: SimTime, world: &World) {
        let newest = self.states.back().map(|(at, _)| *at);
        let new = newest.is_none_or(|at| self.changed > at && now >= at + GRAIN);
        if new {
            self.states.push_back((self.changed, world.clone()));
        }
        // The last state before the reach is the state of the world at its far end.
        while self.states.get(1).is_some_and(|(at, _)| *at + REACH < now) {
            self.states.pop_front();
        }
    }

    /// Forgets all states: no fault needs them now.
    pub(super) fn forget(&mut self) {
        self.states.clear();
    }

    /// Returns the world at that moment, or the oldest known one; `None` if the world has not
    /// changed since.
    pub(super) fn at(&mut self, then: SimTime) -> Option<&mut World> {
        if self.changed <= then {
            return None;
        }
        let index = self.states.iter().rposition(|(at, _)| *at <= then).unwrap_or(0);
        self.states.get_mut(index).map(|(_, world)| world)
    }
}
