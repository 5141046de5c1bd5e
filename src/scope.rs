//! The controller's memory of one account and region. All of it can be lost.

use crate::aws::{Beat, HookView, Session};
use crate::beats::Beats;
use crate::config;
use crate::fleet::Fleet;
use crate::groups::{GroupsView, Member};
use crate::health::Health;
use crate::log;
use crate::metrics::{Metrics, Picture};
use crate::searches::Searches;
use crate::sizes::Sizes;
use crate::store::Pauses;
use ecs_drain_state::{Answer, Mono, Order, Phase, Record};
use jiff::Timestamp;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use tokio::sync::Notify;

/// One account and region.
pub(crate) struct ScopeState {
    pub config: config::Scope,
    pub session: Session,
    /// Newest complete read of the groups.
    pub groups: RefCell<Option<Rc<GroupsView>>>,
    pub searches: Searches,
    /// The unfinished drains.
    pub fleet: Fleet,
    /// Last known phase of every instance that has a record, by EC2 instance id.
    pub phases: RefCell<BTreeMap<String, Known>>,
    /// Pauses of clusters, or of everything. `None` until the first read; no drain is decided
    /// before.
    pub paused: RefCell<Option<Pauses>>,
    /// Numbers that budgets need.
    pub sizes: Sizes,
    /// The unfinished rollouts by key, as they were last read.
    pub rollouts: RefCell<BTreeMap<String, Rolls>>,
    /// Records that cannot be read, with the reason. Their drains stop.
    pub unreadable: RefCell<BTreeMap<String, Unread>>,
    /// Instances that wait under an ecs-drain hook without a drain, with the time since when.
    pub unopened: RefCell<BTreeMap<String, Mono>>,
    /// Notifications, one for each loop.
    pub bells: Bells,
    pub beats: Beats,
    /// The complete read of the groups before the newest.
    pub previous: RefCell<Option<Rc<GroupsView>>>,
    /// The read of the groups that the heartbeats' states were built from.
    pub beaten: RefCell<Option<Rc<GroupsView>>>,
    pub metrics: Metrics,
    pub health: Health,
}

/// An unfinished rollout, as it was last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rolls {
    /// It was listed, and not read yet.
    Unread,
    /// It is in the stage of this name.
    In(&'static str),
    /// Its record cannot be read. It stands still.
    Unreadable,
    /// A newer program wrote its record, and continues it.
    Newer,
}

/// A record that this process does not act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// Reason.
    pub what: String,
    /// True if a newer program wrote it, which continues the drain.
    pub newer: bool,
}

impl Unread {
    /// Creates the entry for a record of a newer schema.
    pub(crate) fn newer(schema: u64) -> Unread {
        Unread {
            what: format!("its record has schema {schema}, which is newer than this program"),
            newer: true,
        }
    }
}

/// Facts of an instance's record that heartbeats and intake use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub phase: Phase,
    /// True if its completion has been denied for so long that heartbeats end, and the hook's
    /// default result ends the wait.
    pub refused: bool,
    /// True if the record has a lifecycle action.
    pub has_lifecycle: bool,
    /// Number of the instance's drain.
    pub generation: u64,
    /// Number of writes of the record.
    version: u64,
    /// Start of the drain.
    created_at: Timestamp,
    /// Time at which this process learnt of it.
    at: Mono,
}

impl Known {
    /// Reads these facts from a record.
    pub(crate) fn of(record: &Record, now: Mono) -> Known {
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

    /// Creates the entry for another controller's drain whose part is over. For this controller it
    /// has ended.
    pub(crate) fn over(record: &Record, now: Mono) -> Known {
        Known { phase: Phase::Done, ..Known::of(record, now) }
    }

    /// Returns whether the drain is Returning or Done, so that a heartbeat is a probe.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Returning | Phase::Done)
    }

    /// Returns whether this is an earlier state of the record than `other`, for example from a read
    /// that overlapped a write. A record that was deleted and created again restarts its
    /// generations and versions, but has a later start.
    fn is_before(&self, other: &Known) -> bool {
        (self.generation, self.version) < (other.generation, other.version)
            && self.created_at <= other.created_at
    }

    /// Returns whether both mean the same to heartbeats. Most writes of a record change nothing for
    /// them.
    fn beats_as(&self, other: &Known) -> bool {
        (self.phase, self.refused, self.has_lifecycle)
            == (other.phase, other.refused, other.has_lifecycle)
    }
}

/// Notifications that wake the loops of a scope. Each has one listener; one that is sent while the
/// listener works is received afterwards.
#[derive(Default)]
pub(crate) struct Bells {
    /// The groups were read: heartbeats may be due.
    pub hold: Notify,
    /// Instances whose drains changed their phase since heartbeats last checked.
    pub phases: RefCell<BTreeSet<String>>,
    /// The groups were read, or a search ended: a drain may begin.
    pub intake: Notify,
    /// The groups should be read now: an event reported a wait.
    pub groups: Notify,
    /// A number that budgets need must be read.
    pub sizes: Notify,
    /// The groups were read: rollouts can be decided.
    pub rollouts: Notify,
}

/// The ecs-drain hooks of a group.
pub(crate) enum OurHooks<'a> {
    /// Exactly one, as Auto Scaling describes it.
    One(&'a HookView),
    /// Several: a mistake in the configuration. All get heartbeats, none is completed.
    Several(Vec<&'a HookView>),
    /// The group was read and has none.
    None,
    /// The group's hooks could not be read.
    Unknown,
}

impl ScopeState {
    /// Creates a scope without facts.
    pub(crate) fn new(
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
            sizes: Sizes::default(),
            rollouts: RefCell::default(),
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

    /// Returns the operator and reason of a pause that covers the drain's clusters, or everything.
    pub(crate) fn paused_on(&self, record: &Record) -> Option<String> {
        let clusters: Vec<&str> =
            record.container_instances.iter().map(|c| c.cluster.as_str()).collect();
        match self.paused.borrow().as_ref() {
            None => Some("this process, until it has read who holds what".to_owned()),
            Some(pauses) => pauses
                .on(&self.session.account, &self.session.region, &clusters)
                .map(Order::to_string),
        }
    }

    /// Returns whether a pause covers the unfinished drain of an instance.
    pub(crate) fn is_paused(&self, instance: &str) -> bool {
        let paused = self
            .fleet
            .with(&self.key(instance), |slot| self.paused_on(&slot.drain.record).is_some());
        paused.unwrap_or(false)
    }

    /// Builds the gauges of this scope.
    pub(crate) fn picture(&self, now: Mono) -> Picture {
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
        let rollouts = self.rollouts.borrow();
        for rolls in rollouts.values() {
            if let Rolls::In(stage) = rolls {
                *picture.rollouts.entry(stage).or_default() += 1;
            }
        }
        let broken = self.unreadable.borrow().values().filter(|unread| !unread.newer).count()
            + rollouts.values().filter(|rolls| **rolls == Rolls::Unreadable).count();
        picture.unreadable = u32::try_from(broken).unwrap_or(u32::MAX);
        picture.waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        picture
    }

    /// Updates the list of instances that wait under an ecs-drain hook and have no drain. It omits
    /// instances whose lifecycle action is over, which another hook holds, and instances with an
    /// unreadable record, which is reported separately.
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

    /// Returns the number of instances that wait in groups with an ecs-drain hook.
    fn held(&self, view: &GroupsView) -> usize {
        let ours = |member: &Member| {
            matches!(self.our_hooks(view, &member.group), OurHooks::One(_) | OurHooks::Several(_))
        };
        self.waiting(view).filter(|(_, member)| ours(member)).count()
    }

    /// Returns account and region in words, for logs.
    pub(crate) fn place(&self) -> String {
        format!("account {}, region {}", self.session.account, self.session.region)
    }

    /// Returns account and region as the prefix of every key of this scope.
    pub(crate) fn prefix(&self) -> String {
        format!("{}/{}/", self.session.account, self.session.region)
    }

    /// Returns the key of an instance's record.
    pub(crate) fn key(&self, instance: &str) -> String {
        ecs_drain_state::record::key(&self.session.account, &self.session.region, instance)
    }

    /// Forgets a drain whose record is gone or belongs to another controller. Returns whether it
    /// was known.
    pub(crate) fn drop_drain(&self, key: &str) -> bool {
        self.phases.borrow_mut().remove(key.rsplit('/').next().unwrap_or(key));
        self.unreadable.borrow_mut().remove(key);
        self.fleet.forget(key)
    }

    /// Returns the instances of selected groups that wait under a terminating hook of any name.
    pub(crate) fn waiting<'v>(
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

    /// Has the numbers read that budgets have requested, if there are any.
    pub(crate) fn read_sizes(&self) {
        if self.sizes.is_wanting() {
            self.bells.sizes.notify_one();
        }
    }

    /// Takes over a read of the groups, and their tags. Returns the read before it.
    pub(crate) fn take_groups(&self, view: &Rc<GroupsView>) -> Option<Rc<GroupsView>> {
        let tags = view.groups.iter().map(|(name, info)| (name, &info.tags));
        for (group, bad) in self.fleet.take_tags(tags, &self.config.groups.tags, view.read.ended) {
            // Groups that are none of this controller's may have tags of another one.
            let selected = view
                .groups
                .get(&group)
                .is_some_and(|info| self.config.groups.selects(&group, &info.tags));
            if bad.is_empty() {
                log::scope!(info, self, group, "Tags of the group all count again");
            } else if selected {
                log::scope!(
                    warn,
                    self,
                    group,
                    tags = bad.join("; "),
                    "Tags of the group do not count"
                );
            }
        }
        self.groups.borrow_mut().replace(view.clone())
    }

    /// Returns the ecs-drain hooks of a group: terminating ones whose exact name is configured.
    pub(crate) fn our_hooks<'a>(&self, view: &'a GroupsView, group: &str) -> OurHooks<'a> {
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

    /// Takes over a record from a read that began at this time. If the process knew a newer version
    /// before the read began, the record was restored, or deleted and opened again. The known
    /// version is then forgotten, because the table counts.
    pub(crate) fn learn_read(&self, record: Record, began: Mono, now: Mono) {
        let key = record.key();
        let is_older = |known: Known| {
            known.at < began
                && (record.generation, record.version) < (known.generation, known.version)
        };
        if self.phases.borrow().get(&record.instance_id).copied().is_some_and(is_older) {
            log::drain!(
                warn,
                record,
                "Record in the table is older than the known one; reading it again"
            );
            self.phases.borrow_mut().remove(&record.instance_id);
            self.fleet.forget(&key);
        }
        self.learn(record, now);
    }

    /// Takes over a record that was read or written. A record older than the known one changes
    /// nothing; otherwise an old Done would end the next drain. If the known drain was forgotten,
    /// the record in the table counts.
    pub(crate) fn learn(&self, record: Record, now: Mono) {
        let known = Known::of(&record, now);
        let before = self.phases.borrow().get(&record.instance_id).copied();
        if let Some(before) = before.filter(|before| known.is_before(before))
            && (before.phase == Phase::Done || self.fleet.slots().contains_key(&record.key()))
        {
            return;
        }
        self.phases.borrow_mut().insert(record.instance_id.clone(), known);
        if !known.is_over() {
            // Accepted heartbeats from before have opened this drain. After its end they must not
            // open another.
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
            // A search's sight may be older than one that was read for the drain since.
            let unread = self
                .fleet
                .with(&key, |slot| slot.drain.facts.of(&of).is_none_or(|one| one.sight.is_none()));
            if let (Some(true), Some((read, sight))) = (unread, self.searches.take_sight(&of, now))
            {
                self.fleet.answer(&key, read, Answer::Status { of, sight });
            }
        }
    }

    /// Forgets data that only an unfinished drain needs.
    fn forget(&self, key: &str, record: &Record) {
        self.fleet.forget(key);
        self.searches.forget(&record.instance_id);
    }

    /// Forgets phases of instances that are in no group any more, and sizes of clusters without
    /// drains.
    pub(crate) fn forget_departed(&self, view: &GroupsView) {
        let slots = self.fleet.slots();
        let records = || slots.values().map(|slot| &slot.drain.record);
        let unfinished: BTreeSet<&str> =
            records().map(|record| record.instance_id.as_str()).collect();
        let clusters: BTreeSet<&str> =
            records().filter_map(|record| record.cluster.as_deref()).collect();
        let is_here = |id: &str| view.members.contains_key(id) || unfinished.contains(id);
        self.phases.borrow_mut().retain(|id, _| is_here(id));
        self.sizes.retain(|cluster| clusters.contains(cluster));
    }
}

#[cfg(test)]
mod tests;
