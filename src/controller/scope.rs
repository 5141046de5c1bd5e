//! What the controller keeps of one account and region while it runs. All of it can be lost.

use crate::aws::{HookView, Session};
use crate::config;
use crate::health::Health;
use crate::hold::Beats;
use crate::metrics::{Metrics, Picture};
use crate::observe::{Caches, GroupsView, Lookups, Member};
use crate::store::Brake;
use ecs_drain_state::{Mono, Note, Order, Phase, Record, Sightings};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use tokio::sync::Notify;

/// One account and region.
pub struct ScopeState {
    /// What was configured.
    pub config: config::Scope,
    /// How AWS is reached.
    pub session: Session,
    /// The newest complete read of the groups.
    pub groups: RefCell<Option<Rc<GroupsView>>>,
    /// Searches for container instances.
    pub lookups: Lookups,
    /// What passes keep from one another.
    pub caches: Caches,
    /// The unfinished drains, by the record's key.
    pub drains: RefCell<BTreeMap<String, Drain>>,
    /// The last known phase of every instance that has a record, by EC2 instance id.
    pub phases: RefCell<BTreeMap<String, Known>>,
    /// Who holds clusters, or everything. None until that was read: nothing is done before.
    pub brake: RefCell<Option<Brake>>,
    /// Whether a request waits for a search: the table is looked at again when it has ended.
    pub requests_wait: Cell<bool>,
    /// How many container instances each cluster has, and until when that is believed: budgets in percent.
    pub sizes: RefCell<BTreeMap<String, (Mono, u32)>>,
    /// Records that cannot be read, with what was said of them: their drains stand still.
    pub unreadable: RefCell<BTreeMap<String, Unread>>,
    /// Told what changed, one bell for each loop.
    pub bells: Bells,
    /// Heartbeats.
    pub beats: Beats,
    /// Whether a first look at the groups has been made.
    pub looked: Cell<bool>,
    /// Where things are counted.
    pub metrics: Metrics,
    /// Where the loops say that they are alive.
    pub health: Health,
}

/// A record that this process does not act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Why not.
    pub what: String,
    /// Whether a newer program wrote it, which goes on with it.
    pub newer: bool,
}

impl Unread {
    /// One of a newer schema.
    pub fn newer(schema: u64) -> Unread {
        Unread { what: format!("its record has schema {schema}, which is newer than this program"), newer: true }
    }
}

/// What holding and intake know of an instance's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its phase.
    pub phase: Phase,
    /// Whether its completion is under way, so that no heartbeat may lengthen its wait.
    pub completing: bool,
    /// Whether a lifecycle action is in the record.
    pub has_lifecycle: bool,
}

impl Known {
    /// What is known of a record.
    pub fn of(record: &Record) -> Known {
        Known { phase: record.phase, completing: record.is_completing(), has_lifecycle: record.lifecycle.is_some() }
    }
}

/// Bells that wake the loops of a scope: each has one listener, and one that is rung while its listener works is heard
/// afterwards.
#[derive(Default)]
pub struct Bells {
    /// The groups were read: heartbeats may be due.
    pub hold: Notify,
    /// The groups were read, or a search ended: a drain may begin.
    pub intake: Notify,
    /// A search is wanted.
    pub lookup: Notify,
    /// The groups should be read now: an event says that something waits.
    pub groups: Notify,
    /// The table should be read now: a search has ended that a request waits for.
    pub table: Notify,
    /// A drain changed: a pass may be due.
    pub pass: Notify,
}

/// One unfinished drain, as this process knows it.
#[derive(Clone, Debug)]
pub struct Drain {
    /// The record, as it was last read or written.
    pub record: Record,
    /// What this process has seen.
    pub sightings: Sightings,
    /// When the last look ended.
    pub looked: Option<Mono>,
    /// When to look again.
    pub next: Mono,
    /// How many passes in a row failed for this drain.
    pub failures: u32,
    /// Why it was where it was at the last look, as was said in the log: the record may say so later.
    pub why: String,
    /// Whether it is stuck: without progress for `stuck_after`.
    pub stuck: bool,
    /// When it was last said that this drain is stuck.
    pub stuck_said: Option<Mono>,
    /// Why it does not move, as far as was found out.
    pub causes: Vec<Note>,
    /// When that was last asked.
    pub diagnosed: Option<Mono>,
}

impl Drain {
    /// A drain of which this process has seen nothing yet, to be looked at now.
    pub fn new(record: Record, now: Mono) -> Drain {
        Drain {
            why: record.why.clone(),
            record,
            sightings: Sightings::default(),
            looked: None,
            next: now,
            failures: 0,
            stuck: false,
            stuck_said: None,
            causes: Vec::new(),
            diagnosed: None,
        }
    }
}

/// Our hooks on a group.
pub enum OurHooks<'a> {
    /// Exactly one, as Auto Scaling describes it.
    One(&'a HookView),
    /// Several: a mistake in the configuration. All are held, none is completed.
    Several(Vec<&'a HookView>),
    /// The group was read and has none.
    None,
    /// The group's hooks could not be read.
    Unknown,
}

impl ScopeState {
    /// A scope in which nothing has been seen yet.
    pub fn new(config: config::Scope, session: Session, metrics: Metrics, health: Health) -> ScopeState {
        ScopeState {
            config,
            session,
            groups: RefCell::default(),
            lookups: Lookups::default(),
            caches: Caches::default(),
            drains: RefCell::default(),
            phases: RefCell::default(),
            brake: RefCell::default(),
            requests_wait: Cell::new(false),
            sizes: RefCell::default(),
            unreadable: RefCell::default(),
            bells: Bells::default(),
            beats: Beats::default(),
            looked: Cell::new(false),
            metrics,
            health,
        }
    }

    /// Who holds the clusters of a drain, or everything.
    pub fn brake_on(&self, record: &Record) -> Option<String> {
        let clusters: Vec<&str> = record.container_instances.iter().map(|c| c.cluster.as_str()).collect();
        match self.brake.borrow().as_ref() {
            None => Some("this process, until it has read who holds what".to_owned()),
            Some(brake) => brake.on(&self.session.account, &self.session.region, &clusters).map(Order::to_string),
        }
    }

    /// The same for an instance whose drain is unfinished.
    pub fn is_braked(&self, instance: &str) -> bool {
        let key = format!("{}{instance}", self.prefix());
        self.drains.borrow().get(&key).is_some_and(|drain| self.brake_on(&drain.record).is_some())
    }

    /// What it looks like now.
    pub fn picture(&self) -> Picture {
        let mut picture = Picture::default();
        for drain in self.drains.borrow().values() {
            picture.add(&drain.record, drain.stuck);
        }
        let view = self.groups.borrow().clone();
        let waiting = view.map_or(0, |view| self.held(&view));
        let broken = self.unreadable.borrow().values().filter(|unread| !unread.newer).count();
        picture.unreadable = u32::try_from(broken).unwrap_or(u32::MAX);
        picture.waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        picture
    }

    /// How many instances wait in groups that have a hook of ours.
    fn held(&self, view: &GroupsView) -> usize {
        let ours =
            |member: &Member| matches!(self.our_hooks(view, &member.group), OurHooks::One(_) | OurHooks::Several(_));
        self.waiting(view).iter().filter(|(_, member)| ours(member)).count()
    }

    /// Account and region, as a person says them.
    pub fn place(&self) -> String {
        format!("account {}, region {}", self.session.account, self.session.region)
    }

    /// Account and region, as they begin every key of this scope.
    pub fn prefix(&self) -> String {
        format!("{}/{}/", self.session.account, self.session.region)
    }

    /// The instances of selected groups that wait under a terminating hook of any name.
    pub fn waiting(&self, view: &GroupsView) -> Vec<(String, Member)> {
        view.members
            .iter()
            .filter(|(_, member)| crate::observe::is_waiting(&member.state))
            .filter(|(_, member)| {
                view.groups.get(&member.group).is_some_and(|g| self.config.groups.selects(&member.group, &g.tags))
            })
            .map(|(id, member)| (id.clone(), member.clone()))
            .collect()
    }

    /// Which of a group's hooks are ours: terminating ones, by exact name.
    pub fn our_hooks<'a>(&self, view: &'a GroupsView, group: &str) -> OurHooks<'a> {
        let Some(info) = view.groups.get(group) else { return OurHooks::Unknown };
        let Some(hooks) = info.hooks.known() else { return OurHooks::Unknown };
        let mut ours: Vec<_> = hooks.iter().filter(|h| h.terminating && self.config.hooks.contains(&h.name)).collect();
        match (ours.pop(), ours.is_empty()) {
            (None, _) => OurHooks::None,
            (Some(one), true) => OurHooks::One(one),
            (Some(last), false) => {
                ours.push(last);
                OurHooks::Several(ours)
            }
        }
    }

    /// Takes over a record that was read or written.
    pub fn learn(&self, record: Record, now: Mono) {
        self.phases.borrow_mut().insert(record.instance_id.clone(), Known::of(&record));
        self.unreadable.borrow_mut().remove(&record.key());
        let key = record.key();
        if record.is_done() {
            self.forget(&key, &record);
            return;
        }
        let mut drains = self.drains.borrow_mut();
        match drains.get_mut(&key) {
            // The same drain: what was seen of it stays true, whoever wrote the record.
            Some(drain) if drain.record.generation == record.generation => drain.record = record,
            _ => {
                drains.insert(key, Drain::new(record, now));
            }
        }
    }

    /// Forgets what is only needed while a drain is unfinished.
    fn forget(&self, key: &str, record: &Record) {
        self.drains.borrow_mut().remove(key);
        self.lookups.forget(&record.instance_id);
        self.caches.balancers.forget(key);
        for mine in &record.container_instances {
            self.caches.tasks.forget(&mine.arn);
        }
    }

    /// Forgets phases of instances that no group shows any more.
    pub fn forget_departed(&self, view: &GroupsView) {
        let unfinished: BTreeSet<String> =
            self.drains.borrow().values().map(|d| d.record.instance_id.clone()).collect();
        self.phases.borrow_mut().retain(|id, _| view.members.contains_key(id) || unfinished.contains(id));
    }
}
