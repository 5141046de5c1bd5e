//! The drains of one account and region in this process. Each has a slot, which always shows the
//! last committed record. Results that arrive while a slot is busy wait in it. All of it can be
//! lost.
//!
//! Three consumers use a slot: the controller's turns decide it, the reader makes the reads that it
//! needs, and `act` sends its actions. Each has a queue here, so that none has to search ten
//! thousand drains for the next one.

mod policies;
mod reads;
mod todo;

pub(crate) use todo::Work;

use crate::config::Policies;
use ecs_drain_state::sight::id;
use ecs_drain_state::{
    Action, Answer, Drain, Kind, Mono, Needs, Note, Phase, Policy, Read, Record,
};
use policies::{Rulebook, Ruling};
use reads::{Around, Queues, Reads, Wanted};
use std::cell::{Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// Delay before a failed read is tried again. It doubles with each failure.
const AGAIN: Duration = Duration::from_secs(5);

/// Longest delay between two tries of a failing read.
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// Slots by the record's key. They are boxed because a slot is large, and a map's nodes are half
/// empty.
pub(crate) type Slots = BTreeMap<String, Box<Slot>>;

/// One drain, and the work under way for it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Key of the record.
    key: Rc<str>,
    pub drain: Drain,
    /// Policy for the drain.
    pub policy: Policy,
    /// Tags of its group that do not count; `None` if the tags were not read.
    pub bad_tags: Option<Rc<[String]>>,
    /// Actions that were decided and saved and must be sent, once each.
    pub actions: Vec<Action>,
    /// True while a mutating call for it is under way.
    pub acting: bool,
    /// True while its record is being written.
    pub committing: bool,
    /// True if that record is the one with which the drain begins.
    pub begins: bool,
    /// Number of failed writes of its record in a row, and the time until which the slot is left
    /// alone.
    unwritten: (u32, Mono),
    /// Actions that a dry run has logged.
    pub would: Vec<Action>,
    dispatch: todo::Dispatch,
    /// Reason that was logged last.
    pub why: String,
    /// True if it is stuck: without progress for `stuck_after`.
    pub stuck: bool,
    /// Time of the last log line that reported it as stuck.
    pub stuck_said: Option<Mono>,
    /// Causes that the last diagnosis found.
    pub causes: Vec<Note>,
    /// Time of the last diagnosis.
    pub diagnosed: Option<Mono>,
    /// Time at which its record was last written or read from the table.
    pub known_at: Mono,
    /// Time at which this process learnt of it.
    since: Mono,
    reads: [Reads; Kind::ALL.len()],
    wake: Option<Mono>,
}

/// Answer to a drain that is offered for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Takes it.
    Take,
    /// Leaves it in the queue.
    Leave,
    /// Leaves it, and ends the selection.
    Stop,
}

/// The drains of one account and region.
pub(crate) struct Fleet {
    rulebook: Rulebook,
    slots: RefCell<Slots>,
    /// Number of drains in each cluster.
    clusters: RefCell<BTreeMap<String, u32>>,
    /// Drain of each container instance, by the last part of its ARN. Events name container
    /// instances.
    on: RefCell<BTreeMap<String, Rc<str>>>,
    queues: Queues,
    /// Slots with something new.
    fresh: RefCell<BTreeSet<String>>,
    /// Times at which slots must be decided even if nothing is new.
    wakes: RefCell<BTreeSet<(Mono, Rc<str>)>>,
    /// Slots with actions to send.
    todo: todo::Todo,
    /// Notified when a slot must be decided.
    pub turn: Notify,
    /// Notified when an action must be sent.
    pub act: Notify,
}

impl Fleet {
    /// Creates a fleet without drains.
    pub(crate) fn new(policies: Policies) -> Fleet {
        Fleet {
            rulebook: Rulebook::new(policies),
            slots: RefCell::default(),
            clusters: RefCell::default(),
            on: RefCell::default(),
            queues: Queues::default(),
            fresh: RefCell::default(),
            wakes: RefCell::default(),
            todo: todo::Todo::default(),
            turn: Notify::new(),
            act: Notify::new(),
        }
    }

    /// Returns every slot, by the record's key.
    pub(crate) fn slots(&self) -> Ref<'_, Slots> {
        self.slots.borrow()
    }

    /// Applies `change` to a slot. Returns `None` if there is no such drain.
    pub(crate) fn with<T>(&self, key: &str, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        self.slots.borrow_mut().get_mut(key).map(|slot| change(slot))
    }

    /// Returns a drain's record as it was last committed.
    pub(crate) fn record(&self, key: &str) -> Option<Record> {
        self.slots.borrow().get(key).map(|slot| slot.drain.record.clone())
    }

    /// Returns the drain of a container instance, by its ARN.
    pub(crate) fn of_container_instance(&self, arn: &str) -> Option<Rc<str>> {
        self.on.borrow().get(id(arn)).cloned()
    }

    /// Takes over an unfinished record that was written, or read from the table. A record older
    /// than the known one, for example from a read that overlapped a write, changes nothing.
    pub(crate) fn learn(&self, record: Record, now: Mono) {
        let key = record.key();
        let ruling = self.rulebook.ruling(record.cluster.as_deref(), record.group());
        {
            let mut slots = self.slots.borrow_mut();
            match slots.get_mut(&key) {
                Some(slot) => {
                    let known = &slot.drain.record;
                    if (record.generation, record.version) < (known.generation, known.version) {
                        return;
                    }
                    if record.cluster != known.cluster {
                        self.leaves(known);
                        self.comes(&record);
                    }
                    if record.version != known.version {
                        // These actions were decided on another version.
                        slot.actions.clear();
                        self.todo.list(slot, now);
                    }
                    slot.unwritten = (0, Mono::START);
                    slot.drain.take(record, now);
                    (slot.policy, slot.bad_tags) = (ruling.policy, ruling.bad_tags);
                    slot.known_at = now;
                }
                None => {
                    self.comes(&record);
                    slots.insert(key.clone(), Box::new(Slot::new(record, ruling, now)));
                }
            }
            if let Some(slot) = slots.get(&key) {
                let mine = slot.drain.record.container_instances.iter();
                self.on
                    .borrow_mut()
                    .extend(mine.map(|one| (id(&one.arn).to_owned(), slot.key.clone())));
            }
        }
        self.freshen(&key);
    }

    fn comes(&self, record: &Record) {
        if let Some(cluster) = &record.cluster {
            *self.clusters.borrow_mut().entry(cluster.clone()).or_default() += 1;
        }
    }

    fn leaves(&self, record: &Record) {
        let Some(cluster) = &record.cluster else { return };
        let mut clusters = self.clusters.borrow_mut();
        if let Some(count) = clusters.get_mut(cluster) {
            *count -= 1;
            if *count == 0 {
                clusters.remove(cluster);
            }
        }
    }

    /// Forgets a drain that is done, or whose record is gone.
    pub(crate) fn forget(&self, key: &str) -> bool {
        let Some(mut slot) = self.slots.borrow_mut().remove(key) else { return false };
        self.leaves(&slot.drain.record);
        for mine in &slot.drain.record.container_instances {
            self.on.borrow_mut().remove(id(&mine.arn));
        }
        slot.actions.clear();
        self.todo.list(&mut slot, Mono::START);
        for kind in Kind::ALL {
            self.queues.remove(kind, &slot.key, slot.reads[kind as usize].wanted);
        }
        if let Some(wake) = slot.wake {
            self.wakes.borrow_mut().remove(&(wake, slot.key.clone()));
        }
        self.fresh.borrow_mut().remove(key);
        true
    }

    /// Makes a slot be decided soon, because something is new.
    pub(crate) fn freshen(&self, key: &str) {
        self.fresh.borrow_mut().insert(key.to_owned());
        self.turn.notify_one();
    }

    /// Makes every slot be decided soon.
    pub(crate) fn freshen_all(&self) {
        self.fresh.borrow_mut().extend(self.slots.borrow().keys().cloned());
        self.turn.notify_one();
    }

    /// Returns slots that must be decided now, up to `most`. Busy ones are marked again once they
    /// are free.
    pub(crate) fn due(&self, now: Mono, most: usize) -> Vec<String> {
        let mut fresh = self.fresh.borrow_mut();
        {
            let mut wakes = self.wakes.borrow_mut();
            let later = wakes.split_off(&(now + Duration::from_nanos(1), Rc::default()));
            fresh.extend(
                std::mem::replace(&mut *wakes, later)
                    .into_iter()
                    .map(|(_, key)| key.as_ref().to_owned()),
            );
        }
        let slots = self.slots.borrow();
        let mut due = Vec::new();
        while due.len() < most
            && let Some(key) = fresh.pop_first()
        {
            if slots.get(&key).is_some_and(|slot| !slot.is_busy(now)) {
                due.push(key);
            }
        }
        due
    }

    /// Records that a drain's record could not be written. The drain is left alone for a while,
    /// longer with each failure in a row.
    pub(crate) fn not_written(&self, key: &str, now: Mono) {
        self.with(key, |slot| {
            let failures = slot.unwritten.0.saturating_add(1);
            let jitter = Duration::from_millis(fastrand::u64(..2000));
            let at = now + backoff(failures) + jitter;
            slot.unwritten = (failures, at);
            self.wake_at(slot, at);
        });
    }

    /// Returns the time at which the next slot must be decided even if nothing is new.
    pub(crate) fn next_wake(&self) -> Option<Mono> {
        self.wakes.borrow().first().map(|(at, _)| *at)
    }

    /// Takes over a decision's needs, and the time of the next decision.
    pub(crate) fn plan(&self, key: &str, needs: Needs, wake: Mono, now: Mono) {
        let mut slots = self.slots.borrow_mut();
        let drains = slots.len();
        let Some(slot) = slots.get_mut(key) else { return };
        self.wake_at(slot, wake);
        let in_cluster = slot.drain.record.cluster.as_ref();
        let in_cluster =
            in_cluster.and_then(|cluster| self.clusters.borrow().get(cluster).copied());
        let around = Around { drains, in_cluster, known: slot.since };
        for kind in Kind::ALL {
            let reads = &mut slot.reads[kind as usize];
            let wanted = needs.of(kind).filter(|_| !reads.busy);
            let wanted = wanted.map(|need| reads.when(kind, need, around, now));
            let before = std::mem::replace(&mut reads.wanted, wanted);
            if wanted == before {
                continue;
            }
            self.queues.remove(kind, &slot.key, before);
            if let Some(Wanted { from, .. }) = wanted {
                self.queues.put(kind, &slot.key, from);
            }
        }
    }

    /// Makes a slot be decided at this time, even if nothing is new.
    fn wake_at(&self, slot: &mut Slot, wake: Mono) {
        let mut wakes = self.wakes.borrow_mut();
        if let Some(before) = slot.wake.replace(wake) {
            wakes.remove(&(before, slot.key.clone()));
        }
        wakes.insert((wake, slot.key.clone()));
    }

    /// Takes over a drain's actions. A termination stays until it was sent: its time is in the
    /// record, and `decide` does not repeat it until its effect can be seen.
    pub(crate) fn order(&self, key: &str, mut actions: Vec<Action>, now: Mono) {
        self.with(key, |slot| {
            slot.dispatch.forget_old(&slot.drain.facts, now);
            let unsent =
                slot.actions.drain(..).filter(|action| matches!(action, Action::Terminate { .. }));
            actions
                .extend(unsent.filter(|_| slot.drain.record.phase() == Phase::Completing).take(1));
            actions.dedup();
            slot.actions = actions;
            self.todo.list(slot, now);
            if !slot.actions.is_empty() {
                self.act.notify_waiters();
            }
        });
    }

    /// Returns the longest-waiting drain for which `choose` finds an action of this kind that may
    /// be sent now.
    pub(crate) fn first_to_do<T>(
        &self,
        work: Work,
        now: Mono,
        choose: impl FnMut(&str, &Slot, &Action) -> Option<T>,
    ) -> Option<T> {
        let slots = self.slots.borrow();
        self.todo.first(work, now, |key| slots.get(key).map(|slot| &**slot), choose)
    }

    /// Records that an action is sent now.
    pub(crate) fn begin_action(&self, key: &str, action: &Action, now: Mono) {
        self.with(key, |slot| {
            slot.acting = true;
            slot.dispatch.begin(action, now);
            self.todo.list(slot, now);
        });
    }

    /// Records that an action has ended. A failed one is tried again, later with each failure.
    pub(crate) fn end_action(&self, key: &str, action: &Action, now: Mono, failed: bool) {
        self.with(key, |slot| {
            slot.acting = false;
            slot.actions.retain(|other| other != action);
            slot.dispatch.end(action, now, failed);
            self.todo.list(slot, now);
        });
        self.freshen(key);
    }

    /// Returns the time from which the next read of a kind is needed, if any.
    pub(crate) fn next(&self, kind: Kind) -> Option<Mono> {
        self.queues.next(kind)
    }

    /// Returns the due time of the most urgent read of a kind that is needed now.
    pub(crate) fn next_due(&self, kind: Kind, now: Mono) -> Option<Mono> {
        self.queues.next_due(kind, now, &self.slots.borrow())
    }

    /// Returns the notification of a kind of read.
    pub(crate) fn bell(&self, kind: Kind) -> &Notify {
        self.queues.bell(kind)
    }

    /// Takes drains out of a queue: first those that need this kind of read now, the most urgent
    /// first, then those that will need it within `soon`. `choose` decides on each.
    pub(crate) fn pick(
        &self,
        kind: Kind,
        now: Mono,
        soon: Duration,
        choose: impl FnMut(&str, &Slot) -> Choice,
    ) -> Vec<String> {
        let taken = self.queues.pick(kind, now, soon, &self.slots.borrow(), choose);
        for key in &taken {
            self.begin_read(kind, key);
        }
        taken
    }

    /// Takes the most urgent drain that needs this kind of read now.
    pub(crate) fn pick_first(&self, kind: Kind, now: Mono) -> Option<String> {
        let mut any = false;
        let first = |_: &str, _: &Slot| {
            if std::mem::replace(&mut any, true) { Choice::Stop } else { Choice::Take }
        };
        self.pick(kind, now, Duration::ZERO, first).pop()
    }

    /// Brings a read forward, if the drain needs it, because an event reported a change. The read
    /// comes no sooner than `apart` after the last one.
    pub(crate) fn nudge(&self, key: &str, kind: Kind, now: Mono, apart: Duration) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else { return };
        let facts = &slot.drain.facts;
        let last = match kind {
            Kind::Tasks => facts
                .tasks
                .values()
                .filter_map(|task| task.sight.as_ref().map(|(read, _)| read.ended))
                .max(),
            Kind::Status
            | Kind::Running
            | Kind::Stopped
            | Kind::Targets
            | Kind::Own
            | Kind::Sweep => facts
                .instances
                .iter()
                .filter_map(|one| one.sight.as_ref().map(|(read, _)| read.ended))
                .max(),
        };
        let reads = &mut slot.reads[kind as usize];
        if reads.busy || reads.fails() {
            return;
        }
        let Some(Wanted { from, due }) = reads.wanted else { return };
        let soonest = last.map_or(now, |last| now.max(last + apart));
        if soonest >= from {
            return;
        }
        self.queues.remove(kind, &slot.key, reads.wanted);
        reads.wanted = Some(Wanted { from: soonest, due: due.min(soonest + due.since(from)) });
        self.queues.put(kind, &slot.key, soonest);
    }

    /// Takes a drain out of the queue, because the read is about to be made.
    fn begin_read(&self, kind: Kind, key: &str) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else { return };
        let reads = &mut slot.reads[kind as usize];
        reads.begin();
        self.queues.remove(kind, &slot.key, reads.wanted.take());
    }

    /// Records that a read has ended for this drain.
    pub(crate) fn end_read(&self, kind: Kind, key: &str, now: Mono, failed: bool) {
        self.with(key, |slot| {
            slot.reads[kind as usize].end(now, failed);
        });
        self.freshen(key);
    }

    /// Passes an answer to a drain.
    pub(crate) fn answer(&self, key: &str, read: Read, answer: Answer) {
        self.with(key, |slot| slot.drain.heed(&slot.policy, read, answer));
        self.freshen(key);
    }

    /// Drops a drain's facts and back-offs, because an operator requested a retry.
    pub(crate) fn read_anew(&self, key: &str, now: Mono) {
        self.with(key, |slot| {
            slot.drain = Drain::new(slot.drain.record.clone(), now);
            slot.reads.iter_mut().for_each(Reads::forget_failures);
            slot.dispatch.forget_failures();
            slot.diagnosed = None;
            self.todo.list(slot, now);
        });
        self.freshen(key);
    }
}

impl Slot {
    /// Returns the due time of a read of this kind that is needed or under way.
    pub(crate) fn due(&self, kind: Kind) -> Option<Mono> {
        self.reads[kind as usize].due()
    }

    /// Returns whether the last read of this kind failed.
    pub(crate) fn fails(&self, kind: Kind) -> bool {
        self.reads[kind as usize].fails()
    }

    /// Returns whether the slot must be left alone for now.
    fn is_busy(&self, now: Mono) -> bool {
        self.committing || self.acting || now < self.unwritten.1
    }

    fn new(record: Record, ruling: Ruling, now: Mono) -> Slot {
        Slot {
            key: record.key().into(),
            why: record.shown.why.clone(),
            drain: Drain::new(record, now),
            policy: ruling.policy,
            bad_tags: ruling.bad_tags,
            actions: Vec::new(),
            acting: false,
            committing: false,
            begins: false,
            unwritten: (0, Mono::START),
            would: Vec::new(),
            dispatch: todo::Dispatch::default(),
            stuck: false,
            stuck_said: None,
            causes: Vec::new(),
            diagnosed: None,
            known_at: now,
            since: now,
            reads: Default::default(),
            wake: None,
        }
    }
}

/// Returns the delay after this many failures in a row.
fn backoff(failures: u32) -> Duration {
    AGAIN.saturating_mul(1 << failures.saturating_sub(1).min(5)).min(AGAIN_AT_MOST)
}

#[cfg(test)]
pub(crate) mod tests;
