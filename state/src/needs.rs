//! What a drain wants read next: for each kind of read, from when, and how urgently. Nothing is
//! read that no drain wants, so this is where the number of calls is decided.

use crate::facts::Kind;
use crate::time::Mono;
use std::time::Duration;

/// How urgent a read is. The order of reads is by the moment from which they are wanted plus the
/// patience of their class, so that none starves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// An instance that is taken away in two minutes.
    Spot,
    /// Nothing else is missing. What was read before grows old meanwhile: a drain that has come so
    /// far goes on before others follow, or a wave of them would read everything again and again.
    Last,
    /// It can finish a drain.
    Finish,
    /// It goes on with a drain that was begun: before others of its age begin.
    Begun,
    /// It can begin one.
    Begin,
    /// It shows how far one is, or is needed soon.
    Show,
    /// It saves time later, or shows that nothing has changed: it takes what the others leave.
    Later,
}

impl Class {
    /// How long such a read may wait behind others that are due later.
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

/// One read that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Need {
    /// The read must not begin before this.
    pub from: Mono,
    /// How urgent it is.
    pub class: Class,
    /// The moment by which it should have begun: reads go in this order.
    pub due: Mono,
}

/// How much older than a read that is to begin a drain, or to go on with it, its drain counts at
/// most.
const OLDER: Duration = Duration::from_secs(600);

/// What a drain wants read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Needs([Option<Need>; Kind::ALL.len()]);

impl Needs {
    /// What is wanted of this kind.
    pub fn of(&self, kind: Kind) -> Option<Need> {
        self.0[kind as usize]
    }

    /// Adds a need; of two of one kind the one that is due first stays.
    pub fn want(&mut self, kind: Kind, from: Mono, class: Class) {
        self.put(kind, Need { from, class, due: from + class.patience() });
    }

    fn put(&mut self, kind: Kind, need: Need) {
        let slot = &mut self.0[kind as usize];
        *slot = Some(slot.map_or(need, |known| if need.due < known.due { need } else { known }));
    }

    /// The same for a drain that began at this moment: what it needs to be begun goes before what
    /// younger ones need. So at the limits one drain after the other gets going, and not all of
    /// them at the end.
    pub fn of_one_since(mut self, began: Mono) -> Needs {
        let begins = |need: &&mut Need| matches!(need.class, Class::Begun | Class::Begin);
        for need in self.0.iter_mut().flatten().filter(begins) {
            need.due = began.max(need.from.before(OLDER)) + need.class.patience();
        }
        self
    }

    /// The same, at least as urgent as this.
    pub fn at_least(mut self, class: Class) -> Needs {
        for need in self.0.iter_mut().flatten() {
            need.class = need.class.min(class);
            need.due = need.due.min(need.from + need.class.patience());
        }
        self
    }

    /// What either wants.
    pub fn and(mut self, other: Needs) -> Needs {
        for (kind, need) in other.iter() {
            self.put(kind, need);
        }
        self
    }

    /// Everything that is wanted.
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

    /// Of drains of one age those that were begun go on first, and an old one goes before a young
    /// one. One that is begun again and again does not stay old for ever.
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
            // It counts from when the drain began, whether it was read before or is to be read
            // later.
            (Class::Begun, 900, 1000, 1120),
            (Class::Begun, 1300, 1000, 1120),
            (Class::Begin, 1300, 1000, 1180),
            // Ten minutes at most.
            (Class::Begun, 5000, 1000, 4520),
            // What shows or ends one counts from when it is wanted.
            (Class::Show, 1300, 1000, 1660),
            (Class::Later, 1300, 1000, 8500),
            (Class::Finish, 1300, 1000, 1450),
            (Class::Last, 1300, 1000, 1300),
        ] {
            assert_eq!(due(class, from, began), Some(at(expected)), "{class:?} from {from}");
        }
    }
}
