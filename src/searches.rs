//! Searches for instances that have no drain yet: who wants one, and the newest answers.

use ecs_drain_state::needs::Class;
use ecs_drain_state::{ContainerInstance, Mono, Read};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::Notify;

/// What a search found of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// When the search was made.
    pub read: Read,
    /// The clusters that could not be read.
    pub unread: Vec<String>,
    /// Every container instance of it, in the others.
    pub found: Vec<ContainerInstance>,
}

/// Searches for instances that have no drain yet, and the newest answers.
#[derive(Default)]
pub struct Searches {
    /// From when on a search must begin, and by when it is due.
    wanted: RefCell<BTreeMap<String, (Mono, Mono)>>,
    found: RefCell<BTreeMap<String, Found>>,
    /// Those that are being searched for.
    under_way: RefCell<BTreeSet<String>>,
    /// Rung when one is asked for.
    pub bell: Notify,
    /// Rung when a search has ended.
    pub answered: Notify,
}

impl Searches {
    /// Asks for a search that begins at `since` or later.
    pub fn want(&self, instance_id: &str, since: Mono, class: Class) {
        if self.found.borrow().get(instance_id).is_none_or(|found| found.read.began < since) {
            let due = since + class.patience();
            let mut wanted = self.wanted.borrow_mut();
            let due = wanted.get(instance_id).map_or(due, |(_, known)| due.min(*known));
            wanted.insert(instance_id.to_owned(), (since, due));
            self.bell.notify_waiters();
        }
    }

    /// Returns whether a search for an instance that has no drain is asked for, or under way.
    pub fn is_wanted(&self, instance_id: &str) -> bool {
        self.wanted.borrow().contains_key(instance_id) || self.under_way.borrow().contains(instance_id)
    }

    /// Asks again for what could not be searched, unless somebody does already.
    pub fn put_back(&self, instance_id: &str, since: Mono) {
        self.under_way.borrow_mut().remove(instance_id);
        self.wanted.borrow_mut().entry(instance_id.to_owned()).or_insert((since, since));
    }

    /// Takes over what was found.
    pub fn answer(&self, instance_id: String, found: Found) {
        self.under_way.borrow_mut().remove(&instance_id);
        self.found.borrow_mut().insert(instance_id, found);
    }

    /// The newest search for an instance.
    pub fn get(&self, instance_id: &str) -> Option<Found> {
        self.found.borrow().get(instance_id).cloned()
    }

    /// Forgets an instance whose drain is done, or that need not be known any more.
    pub fn forget(&self, instance_id: &str) {
        self.wanted.borrow_mut().remove(instance_id);
        self.found.borrow_mut().remove(instance_id);
    }

    /// Forgets every instance but these.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.found.borrow_mut().retain(|id, _| keep(id));
    }

    /// Takes the instances that are to be searched for now, each with when that is due.
    pub fn take_due(&self, now: Mono) -> Vec<(String, Mono)> {
        let mut wanted = self.wanted.borrow_mut();
        let taken: Vec<_> = wanted.extract_if(.., |_, (since, _)| *since <= now).collect();
        self.under_way.borrow_mut().extend(taken.iter().map(|(id, _)| id.clone()));
        taken.into_iter().map(|(id, (_, due))| (id, due)).collect()
    }
}
