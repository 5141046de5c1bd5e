//! The reads that drains need: their state for each drain, and a queue for each kind, ordered by
//! due time.

use super::{Choice, Slot, Slots, backoff};
use ecs_drain_state::{Class, Kind, Mono, Need};
use std::cell::{RefCell, RefMut};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// Number of drains in a cluster from which a status call costs next to nothing for each.
const MANY: u32 = 50;

/// Time between two such reads of one drain, for each hundred drains in all, so that they do not
/// take the whole rate; and its upper limit, since a gap of 90 s costs more.
const SPACING: Duration = Duration::from_millis(700);
const SPACED_AT_MOST: Duration = Duration::from_secs(70);

/// Shortest time between two reads of a drain's status.
const REST: Duration = Duration::from_secs(1);

/// Time by which such a read, or one that can end a drain, counts as due early. It goes before
/// reads that have waited for long.
const AHEAD: Duration = Duration::from_secs(600);

/// Start and due time of a needed read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) from: Mono,
    pub(super) due: Mono,
}

/// Facts besides its needs that a drain's reads depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    /// Number of drains in all.
    pub(super) drains: usize,
    /// Number of drains in its cluster, if the cluster is known.
    pub(super) in_cluster: Option<u32>,
    /// Time at which this process learnt of the drain. No read has waited for longer.
    pub(super) known: Mono,
}

/// State of one kind of read for one drain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reads {
    pub(super) busy: bool,
    failures: u32,
    not_before: Mono,
    pub(super) wanted: Option<Wanted>,
    /// Due time of the read under way.
    under_way: Option<Mono>,
    /// End of the last read.
    ended: Mono,
}

impl Reads {
    /// Returns the time at which a needed read is made.
    ///
    /// One call reads the status of a hundred drains of a cluster, so the cost for each falls with
    /// their number. If it is next to nothing, the read goes before others that have waited: a late
    /// status costs each drain a list.
    pub(super) fn when(&self, kind: Kind, need: Need, around: Around, now: Mono) -> Wanted {
        let patience = need.class.patience();
        let is_shared =
            kind == Kind::Status && around.in_cluster.is_some_and(|drains| drains >= MANY);
        let shows = kind == Kind::Status && matches!(need.class, Class::Show | Class::Later);
        let spacing =
            SPACING.saturating_mul(u32::try_from(around.drains / 100).unwrap_or(u32::MAX));
        let spaced =
            if is_shared && shows { self.ended + spacing.min(SPACED_AT_MOST) } else { Mono::START };
        // A read right after the last one may show the same old state.
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
            // Their due time counts from the drain's start.
            (Class::Begun | Class::Begin, _) => need.due.max(from),
            _ => need.due.max(around.known + patience).max(from),
        };
        // If the last read did not satisfy the need, others go first, except where each read gives
        // one part of what a drain needs last.
        let again = self.ended > need.from && !is_shared && need.class != Class::Last;
        let due =
            if again { due.max(self.ended + patience.min(Class::Show.patience())) } else { due };
        // A need keeps its place while its drain is decided again and again.
        let waited = self.wanted.filter(|before| before.from <= now && from <= now);
        Wanted { from, due: waited.map_or(due, |before| before.due.min(due)) }
    }

    pub(super) fn begin(&mut self) {
        self.busy = true;
        self.under_way = self.wanted.map(|wanted| wanted.due);
    }

    /// Records the end of a read. A failed one is made again, later with each failure.
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

    /// Returns the due time of the read that is needed or under way.
    pub(super) fn due(&self) -> Option<Mono> {
        self.wanted.map(|wanted| wanted.due).or(self.under_way)
    }
}

/// Needed reads of one kind.
#[derive(Debug, Default)]
struct Queue {
    /// Reads that are needed later, by the time from which they are needed.
    later: BTreeSet<(Mono, Rc<str>)>,
    /// Reads that are needed now, by due time.
    ready: BTreeSet<(Mono, Rc<str>)>,
}

impl Queue {
    /// Moves reads that are needed by now to `ready`.
    fn ripen(&mut self, kind: Kind, now: Mono, slots: &Slots) {
        let later = self.later.split_off(&(now + Duration::from_nanos(1), Rc::default()));
        for (from, key) in std::mem::replace(&mut self.later, later) {
            let wanted = slots.get(&*key).and_then(|slot| slot.reads[kind as usize].wanted);
            self.ready.insert((wanted.map_or(from, |wanted| wanted.due), key));
        }
    }
}

/// A queue for each kind of read, and a notification that is sent when one is needed.
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

    /// Returns the time from which the next read is needed, if any.
    pub(super) fn next(&self, kind: Kind) -> Option<Mono> {
        let queue = self.of(kind);
        if queue.ready.is_empty() {
            queue.later.first().map(|(from, _)| *from)
        } else {
            Some(Mono::START)
        }
    }

    /// Returns the due time of the most urgent read that is needed now.
    pub(super) fn next_due(&self, kind: Kind, now: Mono, slots: &Slots) -> Option<Mono> {
        let mut queue = self.of(kind);
        queue.ripen(kind, now, slots);
        queue.ready.first().map(|(due, _)| *due)
    }

    /// Returns the drains that `choose` takes: first those that need this read now, the most urgent
    /// first, then those that will need it within `soon`.
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
