//! What the world was: the memory from which reads that lag are answered.

use std::collections::VecDeque;
use std::time::Duration;

use super::World;
use crate::SimTime;

/// No two states closer than this are kept.
const GRAIN: Duration = Duration::from_secs(1);

/// How far back anyone may look.
const REACH: Duration = Duration::from_secs(120);

/// Earlier states of the world, oldest first, each with the moment from which on it was so.
#[derive(Debug, Default)]
pub(super) struct Past {
    states: VecDeque<(SimTime, World)>,
    changed: SimTime,
}

impl Past {
    /// The world changes at this moment.
    pub(super) fn changed(&mut self, at: SimTime) {
        self.changed = at;
    }

    /// Before the world changes, or time passes: keeps the present state, if it is new.
    pub(super) fn remember(&mut self, now: SimTime, world: &World) {
        let newest = self.states.back().map(|(at, _)| *at);
        let new = newest.is_none_or(|at| self.changed > at && now >= at + GRAIN);
        if new {
            self.states.push_back((self.changed, world.clone()));
        }
        // The last state before the reach is what the world was at its far end.
        while self.states.get(1).is_some_and(|(at, _)| *at + REACH < now) {
            self.states.pop_front();
        }
    }

    /// Nobody looks back any more; memory begins anew when somebody does.
    pub(super) fn forget(&mut self) {
        self.states.clear();
    }

    /// The world as it was then, or at the beginning of memory; `None` if that is how it still is.
    pub(super) fn at(&mut self, then: SimTime) -> Option<&mut World> {
        if self.changed <= then {
            return None;
        }
        let index = self.states.iter().rposition(|(at, _)| *at <= then).unwrap_or(0);
        self.states.get_mut(index).map(|(_, world)| world)
    }
}
