//! Queue of actions, by kind and by the time from which they may be sent, so that a worker does not
//! search all drains for the next one.

use super::{Slot, backoff};
use ecs_drain_state::facts::Facts;
use ecs_drain_state::{Action, Mono};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// Time after which an action without effect may be sent again.
const SENT: Duration = Duration::from_secs(10);

/// The same for a container instance's state, if it was not read before. With hundreds of clusters
/// that read takes minutes.
const CHANGED: Duration = Duration::from_secs(120);

/// Kind of action. Each has its own workers, so that many actions of one kind do not delay the
/// others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// Set a container instance's state.
    States,
    /// Stop a task, or deregister a container instance.
    Tasks,
    /// Ask a group to terminate an instance.
    Terminations,
    /// Complete a lifecycle action.
    Completions,
}

impl Work {
    pub(crate) const ALL: [Work; 4] =
        [Work::States, Work::Tasks, Work::Terminations, Work::Completions];

    /// Returns the kind of an action.
    pub(crate) const fn of(action: &Action) -> Work {
        match action {
            Action::SetDraining { .. } | Action::SetActive { .. } => Work::States,
            Action::StopTask { .. } | Action::Deregister { .. } => Work::Tasks,
            Action::Terminate { .. } => Work::Terminations,
            Action::Complete(_) => Work::Completions,
        }
    }
}

/// Drains with actions to send.
#[derive(Debug, Default)]
pub(super) struct Todo(RefCell<BTreeSet<(Work, Mono, Rc<str>)>>);

/// One drain's actions and their results.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    /// Time since which it has actions.
    since: Option<Mono>,
    /// Number of failed actions in a row.
    failures: u32,
    /// Earliest time of the next send.
    not_before: Mono,
    /// Actions that were sent recently, with their times. They are not sent again until their
    /// effect can be seen.
    sent: Vec<(Action, Mono)>,
    /// Its entries in the list.
    listed: Vec<(Work, Mono)>,
}

impl Dispatch {
    /// Returns the time from which an action may be sent.
    fn from(&self, action: &Action) -> Mono {
        let lasts = if Work::of(action) == Work::States { CHANGED } else { SENT };
        let sent = self.sent.iter().find(|(sent, _)| sent == action).map(|(_, at)| *at + lasts);
        sent.or(self.since).unwrap_or(Mono::START).max(self.not_before)
    }

    pub(super) fn forget_failures(&mut self) {
        (self.failures, self.not_before) = (0, Mono::START);
    }

    /// Forgets sent actions that may be sent again: their time is over, or a read that began late
    /// enough shows that they had no effect.
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

    /// Records the end of an action. A failed one is tried again, later with each failure.
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
    /// Updates a slot's entries in the queue.
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

    /// Returns the first drain with an action of this kind, and no call under way, for which
    /// `choose` returns a result.
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
