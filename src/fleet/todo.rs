//! What is to be done, by kind and by when it may be sent: who looks for the next does not look
//! through all drains.

use super::{Slot, backoff};
use ecs_drain_state::facts::Facts;
use ecs_drain_state::{Action, Mono};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// How soon what was done is done again where nothing came of it.
const SENT: Duration = Duration::from_secs(10);

/// The same for a container instance's state, where it is not read before: at hundreds of clusters
/// that takes minutes.
const CHANGED: Duration = Duration::from_secs(120);

/// A kind of action. Each has workers of its own, so that many of one kind do not hold up the
/// others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// A container instance's state is set.
    States,
    /// A task is stopped, or a container instance deregistered.
    Tasks,
    /// A group is asked to terminate an instance.
    Terminations,
    /// A lifecycle action is completed.
    Completions,
}

impl Work {
    /// All of them.
    pub const ALL: [Work; 4] = [Work::States, Work::Tasks, Work::Terminations, Work::Completions];

    /// The kind of this action.
    pub const fn of(action: &Action) -> Work {
        match action {
            Action::SetDraining { .. } | Action::SetActive { .. } => Work::States,
            Action::StopTask { .. } | Action::Deregister { .. } => Work::Tasks,
            Action::Terminate { .. } => Work::Terminations,
            Action::Complete(_) => Work::Completions,
        }
    }
}

/// Drains in which something is to be done.
#[derive(Debug, Default)]
pub(super) struct Todo(RefCell<BTreeSet<(Work, Mono, Rc<str>)>>);

/// What one drain has to do, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    /// Since when something is to be done.
    since: Option<Mono>,
    /// How many actions failed in a row.
    failures: u32,
    /// When an action may be sent again at the soonest.
    not_before: Mono,
    /// What was sent lately, and when: it is not sent again before there was time to see what came
    /// of it.
    sent: Vec<(Action, Mono)>,
    /// Where it stands in the list.
    listed: Vec<(Work, Mono)>,
}

impl Dispatch {
    /// When an action may be sent.
    fn from(&self, action: &Action) -> Mono {
        let lasts = if Work::of(action) == Work::States { CHANGED } else { SENT };
        let sent = self.sent.iter().find(|(sent, _)| sent == action).map(|(_, at)| *at + lasts);
        sent.or(self.since).unwrap_or(Mono::START).max(self.not_before)
    }

    pub(super) fn forget_failures(&mut self) {
        (self.failures, self.not_before) = (0, Mono::START);
    }

    /// Forgets what may be done again: its time is over, or a read that began late enough shows
    /// that nothing came of it.
    pub(super) fn forget_old(&mut self, facts: &Facts, now: Mono) {
        self.sent.retain(|(action, at)| match action {
            Action::SetDraining { container_instance, .. }
            | Action::SetActive { container_instance, .. } => {
                let read = facts
                    .of(container_instance)
                    .and_then(|one| one.sight.as_ref())
                    .map(|(read, _)| *read);
                now < *at + CHANGED && read.is_none_or(|read| read.began < *at + SENT)
            }
            Action::StopTask { .. }
            | Action::Deregister { .. }
            | Action::Terminate { .. }
            | Action::Complete(_) => now < *at + SENT,
        });
    }

    pub(super) fn begin(&mut self, action: &Action, now: Mono) {
        self.sent.push((action.clone(), now));
    }

    /// What failed is tried again later, the later the more often it failed.
    pub(super) fn end(&mut self, action: &Action, now: Mono, failed: bool) {
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        if failed {
            self.sent.retain(|(sent, _)| sent != action);
            let jitter = Duration::from_millis(fastrand::u64(..1000));
            self.not_before = now + backoff(self.failures) + jitter;
        }
    }
}

impl Todo {
    /// Puts a slot where its actions and what was sent of them say.
    pub(super) fn list(&self, slot: &mut Slot, now: Mono) {
        let mut todo = self.0.borrow_mut();
        for (work, at) in slot.dispatch.listed.drain(..) {
            todo.remove(&(work, at, slot.key.clone()));
        }
        slot.dispatch.since =
            if slot.actions.is_empty() { None } else { slot.dispatch.since.or(Some(now)) };
        for work in Work::ALL {
            let mine = slot.actions.iter().filter(|action| Work::of(action) == work);
            if let Some(at) = mine.map(|action| slot.dispatch.from(action)).min() {
                slot.dispatch.listed.push((work, at));
                todo.insert((work, at, slot.key.clone()));
            }
        }
    }

    /// The first drain that has such work now, and nothing under way, for which `choose` finds an
    /// action.
    pub(super) fn first<'s, T>(
        &self,
        work: Work,
        now: Mono,
        slot: impl Fn(&str) -> Option<&'s Slot>,
        mut choose: impl FnMut(&str, &Slot, &Action) -> Option<T>,
    ) -> Option<T> {
        let todo = self.0.borrow();
        let from = (work, Mono::START, Rc::default());
        for (_, _, key) in todo.range(from..).take_while(|(of, at, _)| *of == work && *at <= now) {
            let Some(slot) = slot(key).filter(|slot| !slot.acting && !slot.committing) else {
                continue;
            };
            let mut mine =
                slot.actions.iter().filter(|a| Work::of(a) == work && slot.dispatch.from(a) <= now);
            if let Some(chosen) = mine.find_map(|action| choose(key, slot, action)) {
                return Some(chosen);
            }
        }
        None
    }
}
