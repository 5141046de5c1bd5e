//! The drains of one account and region, as this process knows them: each has a slot, which always
//! shows the last committed record. What arrives while a slot is busy waits in it. All of it can be
//! lost.
//!
//! A slot is wanted by three: the controller's turns decide it, the reader reads what it needs, and
//! `act` carries out what was decided. Each has its queue here, so that none has to look through
//! ten thousand drains to find the next.

mod reads;
mod todo;

pub use todo::Work;

use crate::config::Policies;
use ecs_drain_state::sight::id;
use ecs_drain_state::{
    Action, Answer, Drain, Kind, Mono, Needs, Note, Phase, Policy, Read, Record,
};
use reads::{Around, Queues, Reads, Wanted};
use std::cell::{Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// How soon a failed read is tried again; it doubles with each failure in a row.
const AGAIN: Duration = Duration::from_secs(5);

/// The longest time between two tries of a read that fails.
const AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// Slots by the record's key. A slot is large: a map of boxes has no half empty nodes of them.
pub type Slots = BTreeMap<String, Box<Slot>>;

/// One drain, and what this process is doing about it.
#[derive(Debug)]
pub struct Slot {
    /// The record's key.
    key: Rc<str>,
    /// The drain.
    pub drain: Drain,
    /// The rules for it.
    pub policy: Policy,
    /// What was decided and saved, and is to be done; each is sent once.
    pub actions: Vec<Action>,
    /// Whether a call that changes something is under way for it.
    pub acting: bool,
    /// Whether its record is being written.
    pub committing: bool,
    /// How many writes of its record failed in a row, and until when it is left alone for that.
    unwritten: (u32, Mono),
    /// What would have been done in a dry run, as was said in the log.
    pub would: Vec<Action>,
    dispatch: todo::Dispatch,
    /// Why it was where it was when it was last decided, as was said in the log.
    pub why: String,
    /// Whether it is stuck: without progress for `stuck_after`.
    pub stuck: bool,
    /// When it was last said that it is stuck.
    pub stuck_said: Option<Mono>,
    /// Why it does not move, as far as was found out.
    pub causes: Vec<Note>,
    /// When that was last asked.
    pub diagnosed: Option<Mono>,
    /// When its record was last written or read from the table.
    pub known_at: Mono,
    /// When this process first knew of it.
    since: Mono,
    reads: [Reads; Kind::ALL.len()],
    wake: Option<Mono>,
}

/// What becomes of a drain that is offered for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It is taken.
    Take,
    /// It stays in the queue.
    Leave,
    /// It stays, and no other is offered.
    Stop,
}

/// The drains of one account and region.
pub struct Fleet {
    policies: Policies,
    slots: RefCell<Slots>,
    /// How many of them are in each cluster.
    clusters: RefCell<BTreeMap<String, u32>>,
    /// Which drain a container instance is of, by the last part of its ARN: events name these.
    on: RefCell<BTreeMap<String, Rc<str>>>,
    queues: Queues,
    /// Slots in which something is new.
    fresh: RefCell<BTreeSet<String>>,
    /// When slots are to be decided although nothing is new.
    wakes: RefCell<BTreeSet<(Mono, Rc<str>)>>,
    /// Slots in which something is to be done.
    todo: todo::Todo,
    /// Rung when a slot is to be decided.
    pub turn: Notify,
    /// Rung when something is to be done.
    pub act: Notify,
}

impl Fleet {
    /// No drain is known.
    pub fn new(policies: Policies) -> Fleet {
        Fleet {
            policies,
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

    /// Every slot, by the record's key.
    pub fn slots(&self) -> Ref<'_, Slots> {
        self.slots.borrow()
    }

    /// Does something with one slot; None if there is no such drain.
    pub fn with<T>(&self, key: &str, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        self.slots.borrow_mut().get_mut(key).map(|slot| change(slot))
    }

    /// Its record, as it was last committed.
    pub fn record(&self, key: &str) -> Option<Record> {
        self.slots.borrow().get(key).map(|slot| slot.drain.record.clone())
    }

    /// The drain of a container instance, by its ARN.
    pub fn of_container_instance(&self, arn: &str) -> Option<Rc<str>> {
        self.on.borrow().get(id(arn)).cloned()
    }

    /// Takes over an unfinished record that was written, or read from the table. One that is older
    /// than what is known, as a read that overlapped a write shows it, changes nothing.
    pub fn learn(&self, record: Record, now: Mono) {
        let key = record.key();
        let policy = self.policies.for_drain(record.cluster.as_deref(), record.group());
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
                        // What was decided was decided on another version.
                        slot.actions.clear();
                        self.todo.list(slot, now);
                    }
                    slot.unwritten = (0, Mono::START);
                    slot.drain.take(record, now);
                    (slot.policy, slot.known_at) = (policy, now);
                }
                None => {
                    self.comes(&record);
                    slots.insert(key.clone(), Box::new(Slot::new(record, policy, now)));
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
    pub fn forget(&self, key: &str) -> bool {
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

    /// Has a slot decided soon: something is new.
    pub fn freshen(&self, key: &str) {
        self.fresh.borrow_mut().insert(key.to_owned());
        self.turn.notify_one();
    }

    /// Has every slot decided soon.
    pub fn freshen_all(&self) {
        self.fresh.borrow_mut().extend(self.slots.borrow().keys().cloned());
        self.turn.notify_one();
    }

    /// Slots that are to be decided now, so many at most. Those that are busy are freshened once
    /// they are not.
    pub fn due(&self, now: Mono, most: usize) -> Vec<String> {
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

    /// A record could not be written: its drain is left alone for a while, the longer the more
    /// often that failed.
    pub fn not_written(&self, key: &str, now: Mono) {
        self.with(key, |slot| {
            let failures = slot.unwritten.0.saturating_add(1);
            let jitter = Duration::from_millis(fastrand::u64(..2000));
            let at = now + backoff(failures) + jitter;
            slot.unwritten = (failures, at);
            self.wake_at(slot, at);
        });
    }

    /// When the next slot is to be decided although nothing is new.
    pub fn next_wake(&self) -> Option<Mono> {
        self.wakes.borrow().first().map(|(at, _)| *at)
    }

    /// Takes over what a decision said beside its record: what is to be read, and when to decide
    /// again.
    pub fn plan(&self, key: &str, needs: Needs, wake: Mono, now: Mono) {
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

    /// Has a slot decided at this moment, although nothing is new.
    fn wake_at(&self, slot: &mut Slot, wake: Mono) {
        let mut wakes = self.wakes.borrow_mut();
        if let Some(before) = slot.wake.replace(wake) {
            wakes.remove(&(before, slot.key.clone()));
        }
        wakes.insert((wake, slot.key.clone()));
    }

    /// Takes over what is to be done for a drain. An order to terminate stands until it was sent:
    /// its moment is in the record, and it is not given again before there was time to see what
    /// came of it.
    pub fn order(&self, key: &str, mut actions: Vec<Action>, now: Mono) {
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

    /// The first drain, by since when it waits, for which `choose` finds an action of this kind
    /// that may be sent now.
    pub fn first_to_do<T>(
        &self,
        work: Work,
        now: Mono,
        choose: impl FnMut(&str, &Slot, &Action) -> Option<T>,
    ) -> Option<T> {
        let slots = self.slots.borrow();
        self.todo.first(work, now, |key| slots.get(key).map(|slot| &**slot), choose)
    }

    /// An action is sent now.
    pub fn begin_action(&self, key: &str, action: &Action, now: Mono) {
        self.with(key, |slot| {
            slot.acting = true;
            slot.dispatch.begin(action, now);
            self.todo.list(slot, now);
        });
    }

    /// It has ended. What failed is tried again later, the later the more often it failed.
    pub fn end_action(&self, key: &str, action: &Action, now: Mono, failed: bool) {
        self.with(key, |slot| {
            slot.acting = false;
            slot.actions.retain(|other| other != action);
            slot.dispatch.end(action, now, failed);
            self.todo.list(slot, now);
        });
        self.freshen(key);
    }

    /// When the next read of a kind is wanted; None while none is.
    pub fn next(&self, kind: Kind) -> Option<Mono> {
        self.queues.next(kind)
    }

    /// When the read of a kind that is the most urgent is due, of those that are wanted now.
    pub fn next_due(&self, kind: Kind, now: Mono) -> Option<Mono> {
        self.queues.next_due(kind, now, &self.slots.borrow())
    }

    /// The bell of a kind of read.
    pub fn bell(&self, kind: Kind) -> &Notify {
        self.queues.bell(kind)
    }

    /// Takes drains that want this kind of read now out of its queue, the most urgent first; then,
    /// up to `soon` from now, those that will want it. `choose` says of each whether it is taken.
    pub fn pick(
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

    /// Takes the most urgent drain that wants this kind of read now.
    pub fn pick_first(&self, kind: Kind, now: Mono) -> Option<String> {
        let mut any = false;
        let first = |_: &str, _: &Slot| {
            if std::mem::replace(&mut any, true) { Choice::Stop } else { Choice::Take }
        };
        self.pick(kind, now, Duration::ZERO, first).pop()
    }

    /// Has something read soon that an event says has changed, if the drain wants it at all; not
    /// sooner than `apart` after it was read last.
    pub fn nudge(&self, key: &str, kind: Kind, now: Mono, apart: Duration) {
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

    /// Takes a drain out of the queue: the read is about to be made.
    fn begin_read(&self, kind: Kind, key: &str) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(key) else { return };
        let reads = &mut slot.reads[kind as usize];
        reads.begin();
        self.queues.remove(kind, &slot.key, reads.wanted.take());
    }

    /// A read has ended for this drain.
    pub fn end_read(&self, kind: Kind, key: &str, now: Mono, failed: bool) {
        self.with(key, |slot| {
            slot.reads[kind as usize].end(now, failed);
        });
        self.freshen(key);
    }

    /// Hands an answer to a drain.
    pub fn answer(&self, key: &str, read: Read, answer: Answer) {
        self.with(key, |slot| slot.drain.heed(&slot.policy, read, answer));
        self.freshen(key);
    }

    /// Forgets what was read of a drain, and every back-off: somebody asks to begin anew.
    pub fn read_anew(&self, key: &str, now: Mono) {
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
    /// By when a read of this kind that is wanted, or under way, is due.
    pub fn due(&self, kind: Kind) -> Option<Mono> {
        self.reads[kind as usize].due()
    }

    /// Whether the last read of this kind failed.
    pub fn fails(&self, kind: Kind) -> bool {
        self.reads[kind as usize].fails()
    }

    /// Whether it is left alone for now.
    fn is_busy(&self, now: Mono) -> bool {
        self.committing || self.acting || now < self.unwritten.1
    }

    fn new(record: Record, policy: Policy, now: Mono) -> Slot {
        Slot {
            key: record.key().into(),
            why: record.shown.why.clone(),
            drain: Drain::new(record, now),
            policy,
            actions: Vec::new(),
            acting: false,
            committing: false,
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

/// How long after so many failures in a row something is tried again.
fn backoff(failures: u32) -> Duration {
    AGAIN.saturating_mul(1 << failures.saturating_sub(1).min(5)).min(AGAIN_AT_MOST)
}

#[cfg(test)]
pub(crate) mod tests;
