//! The reads that drains want: how they go for each drain, and a queue for each kind, in the order
//! in which they are due.

use super::{Choice, Slot, Slots, backoff};
use ecs_drain_state::{Class, Kind, Mono, Need};
use std::cell::{RefCell, RefMut};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// How many drains of a cluster share the call that reads their status, for it to cost next to
/// nothing.
const MANY: u32 = 50;

/// How far apart they are for each hundred drains of all, lest they take the whole rate; and at
/// most, since a gap of 90 s costs more.
const SPACING: Duration = Duration::from_millis(700);
const SPACED_AT_MOST: Duration = Duration::from_secs(70);

/// From one read of a drain's status to the next, at least.
const REST: Duration = Duration::from_secs(1);

/// How much sooner such a call is due than it is wanted, and so is one that can end a drain: before
/// what has waited for long.
const AHEAD: Duration = Duration::from_secs(600);

/// From when a read is wanted, and when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) from: Mono,
    pub(super) due: Mono,
}

/// What a drain's reads depend on beside its needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    /// How many drains there are in all.
    pub(super) drains: usize,
    /// In its cluster, where that is known.
    pub(super) in_cluster: Option<u32>,
    /// When this process first knew of it: nothing has waited for longer.
    pub(super) known: Mono,
}

/// How reads of one kind go for one drain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reads {
    pub(super) busy: bool,
    failures: u32,
    not_before: Mono,
    pub(super) wanted: Option<Wanted>,
    /// By when the read under way was due.
    under_way: Option<Mono>,
    /// When the last read ended.
    ended: Mono,
}

impl Reads {
    /// When a read that a drain needs is made.
    ///
    /// One call reads the status of a hundred drains of a cluster: the more there are, the less it
    /// is for each. Where it is next to nothing, it goes before what others have waited for: a
    /// status that is late costs each of them a list.
    pub(super) fn when(&self, kind: Kind, need: Need, around: Around, now: Mono) -> Wanted {
        let patience = need.class.patience();
        let is_shared =
            kind == Kind::Status && around.in_cluster.is_some_and(|drains| drains >= MANY);
        let shows = kind == Kind::Status && matches!(need.class, Class::Show | Class::Later);
        let spacing =
            SPACING.saturating_mul(u32::try_from(around.drains / 100).unwrap_or(u32::MAX));
        let spaced =
            if is_shared && shows { self.ended + spacing.min(SPACED_AT_MOST) } else { Mono::START };
        // One that showed a time before the last one says nothing, and the next can be as old.
        let rested = if kind == Kind::Status && self.ended > Mono::START {
            self.ended + REST
        } else {
            Mono::START
        };
        let from = need.from.max(self.not_before).max(spaced).max(rested);
        let due = match (need.class, around.in_cluster) {
            (Class::Spot | Class::Last, _) => from.before(AHEAD),
            _ if is_shared => from.before(AHEAD),
            (Class::Show | Class::Later, Some(drains)) if shows => from + patience / drains.max(1),
            // These count from when the drain began.
            (Class::Begun | Class::Begin, _) => need.due.max(from),
            _ => need.due.max(around.known + patience).max(from),
        };
        // What the last read did not give, others go before; but not where each read gives a part
        // of what a drain lacks last.
        let again = self.ended > need.from && !is_shared && need.class != Class::Last;
        let due =
            if again { due.max(self.ended + patience.min(Class::Show.patience())) } else { due };
        // What has been wanted for a while has waited for as long, although it is decided anew
        // again and again.
        let waited = self.wanted.filter(|before| before.from <= now && from <= now);
        Wanted { from, due: waited.map_or(due, |before| before.due.min(due)) }
    }

    pub(super) fn begin(&mut self) {
        self.busy = true;
        self.under_way = self.wanted.map(|wanted| wanted.due);
    }

    /// One that failed is made again later, the later the more often it failed.
    pub(super) fn end(&mut self, now: Mono, failed: bool) {
        (self.busy, self.ended) = (false, now);
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        self.not_before = if failed { now + backoff(self.failures) } else { Mono::START };
    }

    pub(super) fn fails(&self) -> bool {
        self.failures > 0
    }

    pub(super) fn forget_failures(&mut self) {
        (self.failures, self.not_before) = (0, Mono::START);
    }

    /// By when the read that is wanted, or under way, is due.
    pub(super) fn due(&self) -> Option<Mono> {
        self.wanted.map(|wanted| wanted.due).or(self.under_way)
    }
}

/// The reads of one kind that are wanted.
#[derive(Debug, Default)]
struct Queue {
    /// By the moment from which they are wanted.
    later: BTreeSet<(Mono, Rc<str>)>,
    /// Those that are wanted now, by when they are due.
    ready: BTreeSet<(Mono, Rc<str>)>,
}

impl Queue {
    /// Moves what is wanted by now.
    fn ripen(&mut self, kind: Kind, now: Mono, slots: &Slots) {
        let later = self.later.split_off(&(now + Duration::from_nanos(1), Rc::default()));
        for (from, key) in std::mem::replace(&mut self.later, later) {
            let wanted = slots.get(&*key).and_then(|slot| slot.reads[kind as usize].wanted);
            self.ready.insert((wanted.map_or(from, |wanted| wanted.due), key));
        }
    }
}

/// A queue for each kind of read, and a bell that is rung when one is wanted.
#[derive(Default)]
pub(super) struct Queues([(RefCell<Queue>, Notify); Kind::ALL.len()]);

impl Queues {
    fn of(&self, kind: Kind) -> RefMut<'_, Queue> {
        self.0[kind as usize].0.borrow_mut()
    }

    pub(super) fn bell(&self, kind: Kind) -> &Notify {
        &self.0[kind as usize].1
    }

    pub(super) fn put(&self, kind: Kind, key: &Rc<str>, from: Mono) {
        self.of(kind).later.insert((from, key.clone()));
        self.bell(kind).notify_waiters();
    }

    pub(super) fn remove(&self, kind: Kind, key: &Rc<str>, wanted: Option<Wanted>) {
        let Some(Wanted { from, due }) = wanted else { return };
        let mut queue = self.of(kind);
        if !queue.later.remove(&(from, key.clone())) {
            queue.ready.remove(&(due, key.clone()));
        }
    }

    /// When the next is wanted; None while none is.
    pub(super) fn next(&self, kind: Kind) -> Option<Mono> {
        let queue = self.of(kind);
        if queue.ready.is_empty() {
            queue.later.first().map(|(from, _)| *from)
        } else {
            Some(Mono::START)
        }
    }

    /// When the most urgent of those that are wanted now is due.
    pub(super) fn next_due(&self, kind: Kind, now: Mono, slots: &Slots) -> Option<Mono> {
        let mut queue = self.of(kind);
        queue.ripen(kind, now, slots);
        queue.ready.first().map(|(due, _)| *due)
    }

    /// The drains that `choose` takes, of those that want this read now, the most urgent first, and
    /// then of those that will, up to `soon` from now.
    pub(super) fn pick(
        &self,
        kind: Kind,
        now: Mono,
        soon: Duration,
        slots: &Slots,
        mut choose: impl FnMut(&str, &Slot) -> Choice,
    ) -> Vec<String> {
        let mut queue = self.of(kind);
        queue.ripen(kind, now, slots);
        let soon = queue.later.range(..(now + soon, Rc::default()));
        let mut taken = Vec::new();
        for (_, key) in queue.ready.iter().chain(soon) {
            let Some(slot) = slots.get(key.as_ref()) else { continue };
            match choose(key, slot) {
                Choice::Take => taken.push(key.as_ref().to_owned()),
                Choice::Leave => {}
                Choice::Stop => break,
            }
        }
        taken
    }
}
