//! The reads that a drain needs next: kind, earliest time and urgency. ecs-drain reads nothing that
//! no drain needs, so this is where the number of calls is decided.

use crate::facts::Kind;
use crate::time::Mono;
use std::time::Duration;

/// Urgency of a read. Reads are ordered by the moment from which they are needed plus the patience
/// of their class, so that none starves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The instance is taken away in two minutes.
    Spot,
    /// No other evidence is missing. The other evidence becomes too old meanwhile, so a drain that
    /// is this far goes first. Otherwise a wave of drains would read everything again and again.
    Last,
    /// The read can finish a drain.
    Finish,
    /// The read continues a drain that was begun: it goes before drains of the same age that were
    /// not.
    Begun,
    /// The read can begin a drain.
    Begin,
    /// The read shows the progress of a drain, or is needed soon.
    Show,
    /// The read saves time later, or shows that nothing has changed: it uses the capacity that the
    /// others leave.
    Later,
}

impl Class {
    /// Returns the time that such a read may wait behind others that are due later.
    pub const fn patience(self) -> Duration {
        match self {
            Class::Spot | Class::Last => Duration::ZERO,
            Class::Finish => Duration::from_secs(150),
            Class::Begun => Duration::from_secs(120),
            Class::Begin => Duration::from_secs(180),
            Class::Show => Duration::from_secs(360),
            Class::Later => Duration::from_secs(2 * 3600),
        }
    }
}

/// One read that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Need {
    /// Earliest beginning of the read.
    pub from: Mono,
    /// Urgency of the read.
    pub class: Class,
    /// Moment by which the read should have begun: reads are made in this order.
    pub due: Mono,
}

/// Longest time by which the age of a drain can make a read due earlier, for reads that begin or
/// continue a drain.
const OLDER: Duration = Duration::from_secs(600);

/// The reads that a drain needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Needs([Option<Need>; Kind::ALL.len()]);

impl Needs {
    /// Returns the need of this kind.
    pub fn of(&self, kind: Kind) -> Option<Need> {
        self.0[kind as usize]
    }

    /// Adds a need. Of two needs of one kind the one that is due first stays.
    pub fn want(&mut self, kind: Kind, from: Mono, class: Class) {
        self.put(kind, Need { from, class, due: from + class.patience() });
    }

    fn put(&mut self, kind: Kind, need: Need) {
        let slot = &mut self.0[kind as usize];
        *slot = Some(slot.map_or(need, |known| if need.due < known.due { need } else { known }));
    }

    /// Returns the needs of a drain that began at this moment: reads that begin or continue it go
    /// before those of younger drains. So at the rate limits drains start one after the other, and
    /// not all of them at the end.
    pub fn of_one_since(mut self, began: Mono) -> Needs {
        let begins = |need: &&mut Need| matches!(need.class, Class::Begun | Class::Begin);
        for need in self.0.iter_mut().flatten().filter(begins) {
            need.due = began.max(need.from.before(OLDER)) + need.class.patience();
        }
        self
    }

    /// Returns the needs with at least this urgency.
    pub fn at_least(mut self, class: Class) -> Needs {
        for need in self.0.iter_mut().flatten() {
            need.class = need.class.min(class);
            need.due = need.due.min(need.from + need.class.patience());
        }
        self
    }

    /// Returns the needs of both; of two of one kind the one that is due first.
    pub fn and(mut self, other: Needs) -> Needs {
        for (kind, need) in other.iter() {
            self.put(kind, need);
        }
        self
    }

    /// Returns every need.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, Need)> + '_ {
        Kind::ALL.into_iter().filter_map(|kind| Some((kind, self.of(kind)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Mono {
        Mono::at(Duration::from_secs(second))
    }

    /// Of drains of one age those that were begun go first, and an old one goes before a young one.
    /// A drain that is begun again and again does not stay old for ever.
    #[test]
    fn one_drain_after_the_other() {
        let due = |class: Class, from: u64, began: u64| {
            let mut needs = Needs::default();
            needs.want(Kind::Tasks, at(from), class);
            needs.of_one_since(at(began)).of(Kind::Tasks).map(|need| need.due)
        };
        for (class, from, began, expected) in [
            (Class::Begin, 1000, 1000, 1180),
            (Class::Begun, 1000, 1000, 1120),
            // It counts from when the drain began, for reads of before and of later.
            (Class::Begun, 900, 1000, 1120),
            (Class::Begun, 1300, 1000, 1120),
            (Class::Begin, 1300, 1000, 1180),
            // Ten minutes at most.
            (Class::Begun, 5000, 1000, 4520),
            // Reads that show or end a drain count from when they are needed.
            (Class::Show, 1300, 1000, 1660),
            (Class::Later, 1300, 1000, 8500),
            (Class::Finish, 1300, 1000, 1450),
            (Class::Last, 1300, 1000, 1300),
        ] {
            assert_eq!(due(class, from, began), Some(at(expected)), "{class:?} from {from}");
        }
    }
}
