//! What is known of heartbeats. Memory only: after a restart one is sent at once.

use crate::aws::Beat;
use ecs_drain_state::Mono;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// One instance under one hook.
pub type Key = (String, String);

/// What is known of heartbeats, by instance and hook.
#[derive(Default)]
pub struct Beats(pub RefCell<BTreeMap<Key, State>>);

/// What is known of the heartbeats for one instance under one hook.
#[derive(Clone, Debug)]
pub struct State {
    /// Name of the group.
    pub group: String,
    /// The hook's heartbeat timeout.
    pub timeout: Duration,
    /// Whether its drain is Done, so that a heartbeat is a probe.
    pub done: bool,
    /// When the next one is due.
    pub due: Mono,
    /// When the wait ends by itself, if the last heartbeat was applied: by this they are sent.
    pub expires: Mono,
    /// What the last one was answered.
    pub last: Option<Beat>,
    /// How many in a row succeeded while the record was Done.
    pub accepted_when_done: u32,
    /// Whether the last one failed.
    pub failing: bool,
    /// Whether a drain may begin: one was sent, or the wait was seen to begin.
    pub tried: bool,
    /// Whether one is under way.
    pub flying: bool,
}

impl Beats {
    /// What the last heartbeat for this instance under this hook was answered.
    pub fn last(&self, instance: &str, hook: &str) -> Option<Beat> {
        self.0.borrow().get(&(instance.to_owned(), hook.to_owned())).and_then(|s| s.last)
    }

    /// Returns whether an action of this hook can hold the instance: the last heartbeat that was answered was accepted, or
    /// none that was tried has been answered. Not before the first one was tried, or the wait was seen to begin.
    pub fn may_hold(&self, instance: &str, hook: &str) -> bool {
        let states = self.0.borrow();
        let state = states.get(&(instance.to_owned(), hook.to_owned()));
        state.is_some_and(|state| match state.last {
            Some(Beat::Accepted) => true,
            Some(Beat::NoActiveAction) => false,
            None => state.tried,
        })
    }

    /// Returns whether two heartbeats in a row succeeded although the record is Done: the hook holds the instance again.
    pub fn is_held_again(&self, instance: &str, hook: &str) -> bool {
        self.0.borrow().get(&(instance.to_owned(), hook.to_owned())).is_some_and(|s| s.accepted_when_done >= 2)
    }

    /// When the next one is due, of those that are not under way.
    pub fn next_due(&self) -> Option<Mono> {
        self.0.borrow().values().filter(|state| !state.flying).map(|state| state.due).min()
    }

    /// The one that is due and whose wait would end first.
    pub fn first(&self, now: Mono) -> Option<Key> {
        let states = self.0.borrow();
        let due = states.iter().filter(|(_, state)| !state.flying && state.due <= now);
        due.min_by_key(|(_, state)| state.expires).map(|(key, _)| key.clone())
    }
}
