//! What the controller keeps of one account and region while it runs. All of it can be lost.

use crate::aws::{Beat, HookView, Session};
use crate::beats::Beats;
use crate::config;
use crate::fleet::Fleet;
use crate::groups::{GroupsView, Member};
use crate::health::Health;
use crate::metrics::{Metrics, Picture};
use crate::searches::Searches;
use crate::store::Pauses;
use ecs_drain_state::{Answer, Mono, Order, Phase, Record};
use jiff::Timestamp;
use std::cell::RefCell;
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
    pub searches: Searches,
    /// The unfinished drains.
    pub fleet: Fleet,
    /// The last known phase of every instance that has a record, by EC2 instance id.
    pub phases: RefCell<BTreeMap<String, Known>>,
    /// Who holds clusters, or everything. None until that was read: nothing is done before.
    pub paused: RefCell<Option<Pauses>>,
    /// How many container instances each cluster has, and until when that is believed: budgets in
    /// percent.
    pub sizes: RefCell<BTreeMap<String, (Mono, u32)>>,
    /// Clusters whose size is to be read.
    pub sizes_wanted: RefCell<BTreeSet<String>>,
    /// Records that cannot be read, with what was said of them: their drains stand still.
    pub unreadable: RefCell<BTreeMap<String, Unread>>,
    /// Since when instances have been seen waiting under a hook of ours without a drain.
    pub unopened: RefCell<BTreeMap<String, Mono>>,
    /// Told what changed, one bell for each loop.
    pub bells: Bells,
    /// Heartbeats.
    pub beats: Beats,
    /// The complete read of the groups before the newest.
    pub previous: RefCell<Option<Rc<GroupsView>>>,
    /// The look at the groups that heartbeats know.
    pub beaten: RefCell<Option<Rc<GroupsView>>>,
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
        Unread {
            what: format!("its record has schema {schema}, which is newer than this program"),
            newer: true,
        }
    }
}

/// What heartbeats and intake know of an instance's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its phase.
    pub phase: Phase,
    /// Whether its completion has been refused for so long that its hook's own result is to end the
    /// wait.
    pub refused: bool,
    /// Whether a lifecycle action is in the record.
    pub has_lifecycle: bool,
    /// Which drain of the instance it is.
    pub generation: u64,
    /// How often the record was written.
    version: u64,
    /// When that drain began.
    created_at: Timestamp,
    /// When this was learnt.
    at: Mono,
}

impl Known {
    /// What is known of a record, learnt now.
    pub fn of(record: &Record, now: Mono) -> Known {
        Known {
            phase: record.phase(),
            refused: record.is_refused_for_good(),
            has_lifecycle: record.lifecycle.is_some(),
            generation: record.generation,
            version: record.version,
            created_at: record.created_at,
            at: now,
        }
    }

    /// What is known of a drain of another controller whose part is over: for this one it has
    /// ended.
    pub fn over(record: &Record, now: Mono) -> Known {
        Known { phase: Phase::Done, ..Known::of(record, now) }
    }

    /// Returns whether the drain is Returning or Done, so that a heartbeat is a probe.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Returning | Phase::Done)
    }

    /// Returns whether this is an earlier state of the record than `other`, such as a read shows
    /// that overlapped a write. A record that was deleted counts its generations and versions anew,
    /// but began later.
    fn is_before(&self, other: &Known) -> bool {
        (self.generation, self.version) < (other.generation, other.version)
            && self.created_at <= other.created_at
    }

    /// Returns whether heartbeats make the same of both. Most writes of a record change nothing for
    /// them.
    fn beats_as(&self, other: &Known) -> bool {
        (self.phase, self.refused, self.has_lifecycle)
            == (other.phase, other.refused, other.has_lifecycle)
    }
}

/// Bells that wake the loops of a scope: each has one listener, and one that is rung while its
/// listener works is heard afterwards.
#[derive(Default)]
pub struct Bells {
    /// The groups were read: heartbeats may be due.
    pub hold: Notify,
    /// The instances whose drains have come to another phase since heartbeats last asked.
    pub phases: RefCell<BTreeSet<String>>,
    /// The groups were read, or a search ended: a drain may begin.
    pub intake: Notify,
    /// The groups should be read now: an event says that something waits.
    pub groups: Notify,
    /// A cluster's size is wanted.
    pub sizes: Notify,
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
    pub fn new(
        config: config::Scope,
        policies: config::Policies,
        session: Session,
        metrics: Metrics,
        health: Health,
    ) -> ScopeState {
        ScopeState {
            config,
            session,
            groups: RefCell::default(),
            searches: Searches::default(),
            fleet: Fleet::new(policies),
            phases: RefCell::default(),
            paused: RefCell::default(),
            sizes: RefCell::default(),
            sizes_wanted: RefCell::default(),
            unreadable: RefCell::default(),
            unopened: RefCell::default(),
            bells: Bells::default(),
            beats: Beats::default(),
            previous: RefCell::default(),
            beaten: RefCell::default(),
            metrics,
            health,
        }
    }

    /// Who holds the clusters of a drain, or everything.
    pub fn paused_on(&self, record: &Record) -> Option<String> {
        let clusters: Vec<&str> =
            record.container_instances.iter().map(|c| c.cluster.as_str()).collect();
        match self.paused.borrow().as_ref() {
            None => Some("this process, until it has read who holds what".to_owned()),
            Some(pauses) => pauses
                .on(&self.session.account, &self.session.region, &clusters)
                .map(Order::to_string),
        }
    }

    /// The same for an instance whose drain is unfinished.
    pub fn is_paused(&self, instance: &str) -> bool {
        let paused = self
            .fleet
            .with(&self.key(instance), |slot| self.paused_on(&slot.drain.record).is_some());
        paused.unwrap_or(false)
    }

    /// What it looks like now.
    pub fn picture(&self, now: Mono) -> Picture {
        let mut picture = Picture::default();
        self.note_unopened(now);
        picture.unopened = self
            .unopened
            .borrow()
            .values()
            .map(|since| now.since(*since))
            .max()
            .unwrap_or_default();
        for slot in self.fleet.slots().values() {
            picture.add(&slot.drain.record, slot.stuck);
        }
        let view = self.groups.borrow().clone();
        let waiting = view.map_or(0, |view| self.held(&view));
        let broken = self.unreadable.borrow().values().filter(|unread| !unread.newer).count();
        picture.unreadable = u32::try_from(broken).unwrap_or(u32::MAX);
        picture.waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        picture
    }

    /// Notes which instances wait under a hook of ours and have no drain. Not those whose action is
    /// over, which another hook holds; nor those whose record cannot be read, which is told of
    /// itself.
    fn note_unopened(&self, now: Mono) {
        let view = self.groups.borrow().clone();
        let has_drain = |instance: &str, hook: &str| match self.phases.borrow().get(instance) {
            Some(known) if known.phase == Phase::Done => !self.beats.is_held_again(instance, hook),
            Some(_) => true,
            None => self.unreadable.borrow().contains_key(&self.key(instance)),
        };
        let holds = |instance: &str, hook: &HookView| {
            self.beats.last(instance, &hook.name) != Some(Beat::NoActiveAction)
                && !has_drain(instance, &hook.name)
        };
        let waits = |view: &GroupsView, instance: &str, member: &Member| match self
            .our_hooks(view, &member.group)
        {
            OurHooks::One(hook) => holds(instance, hook),
            OurHooks::Several(hooks) => hooks.into_iter().any(|hook| holds(instance, hook)),
            OurHooks::None | OurHooks::Unknown => false,
        };
        let before = self.unopened.take();
        let Some(view) = view else { return };
        let now_waiting =
            self.waiting(&view).filter(|(instance, member)| waits(&view, instance, member));
        let since = |instance: &String| before.get(instance).copied().unwrap_or(now);
        *self.unopened.borrow_mut() =
            now_waiting.map(|(instance, _)| (instance.clone(), since(instance))).collect();
    }

    /// How many instances wait in groups that have a hook of ours.
    fn held(&self, view: &GroupsView) -> usize {
        let ours = |member: &Member| {
            matches!(self.our_hooks(view, &member.group), OurHooks::One(_) | OurHooks::Several(_))
        };
        self.waiting(view).filter(|(_, member)| ours(member)).count()
    }

    /// Account and region, as a person says them.
    pub fn place(&self) -> String {
        format!("account {}, region {}", self.session.account, self.session.region)
    }

    /// Account and region, as they begin every key of this scope.
    pub fn prefix(&self) -> String {
        format!("{}/{}/", self.session.account, self.session.region)
    }

    /// The key of the record of an instance.
    pub fn key(&self, instance: &str) -> String {
        ecs_drain_state::record::key(&self.session.account, &self.session.region, instance)
    }

    /// Forgets a drain whose record is gone, or no longer this controller's; whether it was known.
    pub fn drop_drain(&self, key: &str) -> bool {
        self.phases.borrow_mut().remove(key.rsplit('/').next().unwrap_or(key));
        self.unreadable.borrow_mut().remove(key);
        self.fleet.forget(key)
    }

    /// The instances of selected groups that wait under a terminating hook of any name.
    pub fn waiting<'v>(
        &'v self,
        view: &'v GroupsView,
    ) -> impl Iterator<Item = (&'v String, &'v Member)> {
        let waiting =
            view.members.iter().filter(|(_, member)| crate::groups::is_waiting(&member.state));
        waiting.filter(|(_, member)| {
            view.groups
                .get(&member.group)
                .is_some_and(|g| self.config.groups.selects(&member.group, &g.tags))
        })
    }

    /// Which of a group's hooks are ours: terminating ones, by exact name.
    pub fn our_hooks<'a>(&self, view: &'a GroupsView, group: &str) -> OurHooks<'a> {
        let Some(info) = view.groups.get(group) else { return OurHooks::Unknown };
        let Some(hooks) = info.hooks.known() else { return OurHooks::Unknown };
        let mut ours: Vec<_> =
            hooks.iter().filter(|h| h.terminating && self.config.hooks.contains(&h.name)).collect();
        match (ours.pop(), ours.is_empty()) {
            (None, _) => OurHooks::None,
            (Some(one), true) => OurHooks::One(one),
            (Some(last), false) => {
                ours.push(last);
                OurHooks::Several(ours)
            }
        }
    }

    /// Takes over a record that the table showed to a read that began then. What was known before
    /// that, and is newer, is forgotten: the record was restored, or deleted and opened anew, and
    /// the table's word counts.
    pub fn learn_read(&self, record: Record, began: Mono, now: Mono) {
        let key = record.key();
        let is_older = |known: Known| {
            known.at < began
                && (record.generation, record.version) < (known.generation, known.version)
        };
        if self.phases.borrow().get(&record.instance_id).copied().is_some_and(is_older) {
            tracing::warn!(
                key,
                "its record in the table is older than what is known of it: it is read anew"
            );
            self.phases.borrow_mut().remove(&record.instance_id);
            self.fleet.forget(&key);
        }
        self.learn(record, now);
    }

    /// Takes over a record that was read or written. One that is older than what is known changes
    /// nothing, or an old Done would end the drain that came after it. Where the drain that is
    /// known was forgotten, the table's word counts.
    pub fn learn(&self, record: Record, now: Mono) {
        let known = Known::of(&record, now);
        let before = self.phases.borrow().get(&record.instance_id).copied();
        if let Some(before) = before.filter(|before| known.is_before(before))
            && (before.phase == Phase::Done || self.fleet.slots().contains_key(&record.key()))
        {
            return;
        }
        self.phases.borrow_mut().insert(record.instance_id.clone(), known);
        if !known.is_over() {
            // Heartbeats that were accepted before have opened this drain: after its end they count
            // for nothing.
            self.beats.of(&record.instance_id, |state| state.set_over(false));
        }
        if before.is_none_or(|before| !before.beats_as(&known)) {
            self.bells.phases.borrow_mut().insert(record.instance_id.clone());
        }
        self.unreadable.borrow_mut().remove(&record.key());
        let key = record.key();
        if record.is_done() {
            self.forget(&key, &record);
            return;
        }
        let arns: Vec<String> =
            record.container_instances.iter().map(|one| one.arn.clone()).collect();
        self.fleet.learn(record, now);
        for of in arns {
            // Not what is older than what was read of it since.
            let unread = self
                .fleet
                .with(&key, |slot| slot.drain.facts.of(&of).is_none_or(|one| one.sight.is_none()));
            if let (Some(true), Some((read, sight))) = (unread, self.searches.take_sight(&of, now))
            {
                self.fleet.answer(&key, read, Answer::Status { of, sight });
            }
        }
    }

    /// Forgets what is only needed while a drain is unfinished.
    fn forget(&self, key: &str, record: &Record) {
        self.fleet.forget(key);
        self.searches.forget(&record.instance_id);
    }

    /// Forgets phases of instances that no group shows any more, and sizes of clusters in which
    /// nothing drains.
    pub fn forget_departed(&self, view: &GroupsView) {
        let slots = self.fleet.slots();
        let records = || slots.values().map(|slot| &slot.drain.record);
        let unfinished: BTreeSet<&str> =
            records().map(|record| record.instance_id.as_str()).collect();
        let clusters: BTreeSet<&str> =
            records().filter_map(|record| record.cluster.as_deref()).collect();
        let is_here = |id: &str| view.members.contains_key(id) || unfinished.contains(id);
        self.phases.borrow_mut().retain(|id, _| is_here(id));
        self.sizes.borrow_mut().retain(|cluster, _| clusters.contains(cluster.as_str()));
    }
}

#[cfg(test)]
mod tests;
