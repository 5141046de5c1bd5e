//! Rules about more than one write: the number of drains in progress, the peace of paused ones, and
//! drains that are opened again without need.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::records::{RecordKey, RecordRules};
use super::{Checkers, last};
use crate::SimTime;
use crate::cloud::World;

/// The time for which a replica may act without knowing that a drain is paused: it reads the table
/// every minute.
const NOTICED: Duration = Duration::from_secs(120);

/// The number of drains of a cluster that may be in progress at once: those of lifecycle actions,
/// and all others.
#[derive(Clone, Debug)]
pub struct Budget {
    /// The attribute that names the cluster.
    pub cluster: &'static str,
    /// The attribute with the name of the controller: each has a budget of its own.
    pub controller: &'static str,
    /// The attribute that only drains have whose instance a lifecycle action holds.
    pub lifecycle: &'static str,
    /// The attribute with the cause of a drain, and the value for drains that need no turn.
    pub exempt: (&'static str, &'static str),
    /// The limit for drains of lifecycle actions; `None`: no limit.
    pub of_lifecycle: Option<usize>,
    /// The limit for the others; `None`: no limit.
    pub of_others: Option<usize>,
}

/// The state of all records so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Drains {
    /// The drains in progress, by key, each with the budget that it counts towards.
    going: BTreeMap<String, Kind>,
    /// Drains whose action is about to be completed, by key.
    completing: BTreeSet<String>,
    /// The moment since which a drain is paused, by key.
    paused: BTreeMap<String, SimTime>,
    /// Instances that the program under test has asked a group to terminate, and that the group
    /// then began to terminate.
    terminated: BTreeSet<String>,
}

/// The drains of one kind in one cluster share a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kind {
    /// Account and region.
    place: String,
    controller: Option<String>,
    cluster: Option<String>,
    lifecycle: bool,
    exempt: bool,
}

impl Drains {
    /// Notes an item in the table: its drain is in progress or not, is about to end, or is paused.
    fn stands(&mut self, now: SimTime, rules: &RecordRules, key: &str, item: &Value) {
        let Some(budget) = &rules.budget else { return };
        let (is, kind) = (rules.read(item), budget.kind(key, item));
        let rests = is.phase == rules.returning && kind.lifecycle;
        if is.phase == rules.completing {
            self.completing.insert(key.to_owned());
        } else {
            self.completing.remove(key);
        }
        if ![rules.first, rules.last].contains(&is.phase) && !rests {
            self.going.insert(key.to_owned(), kind);
        } else {
            self.going.remove(key);
        }
        if item.get(rules.paused).is_some() {
            self.paused.entry(key.to_owned()).or_insert(now);
        } else {
            self.paused.remove(key);
        }
    }
}

impl Budget {
    fn kind(&self, key: &str, item: &Value) -> Kind {
        let word = |name: &str| item.get(name)?.get("S")?.as_str();
        let (why, exempt) = self.exempt;
        let lifecycle = item.get(self.lifecycle).is_some();
        let controller = word(self.controller).map(str::to_owned);
        Kind {
            place: key.rsplit_once('/').map_or("", |(place, _)| place).to_owned(),
            controller,
            cluster: word(self.cluster).map(str::to_owned),
            lifecycle,
            exempt: word(why) == Some(exempt),
        }
    }

    fn limit(&self, kind: &Kind) -> Option<usize> {
        match (kind.exempt, kind.lifecycle) {
            (true, _) => None,
            (false, true) => self.of_lifecycle,
            (false, false) => self.of_others,
        }
    }
}

impl Checkers {
    /// Judges a write of a record against the other records.
    pub(super) fn among_drains(
        &mut self,
        now: SimTime,
        key: &RecordKey,
        before: Option<&Value>,
        after: &Value,
        world: &World,
    ) {
        let Some(rules) = &self.record_rules else { return };
        let Some(budget) = &rules.budget else { return };
        let (was, is, kind) = (
            before.map(|item| rules.read(item)),
            rules.read(after),
            budget.kind(&key.value, after),
        );
        let instance = last(&key.value);
        let mut wrong = Vec::new();
        let begins = rules.through.contains(&is.phase)
            && was.as_ref().is_some_and(|was| was.phase == rules.first);
        let others = self
            .drains
            .going
            .iter()
            .filter(|(other, of)| **other != key.value && **of == kind)
            .count();
        if begins && budget.limit(&kind).is_some_and(|limit| others >= limit) {
            let cluster = kind.cluster.as_deref().unwrap_or("no cluster");
            wrong.push((
                "more than the budget",
                format!("{others} of its kind go on in {cluster} already"),
            ));
        }
        let again = was.as_ref().is_some_and(|was| was.generation < is.generation);
        let is_here = key.value.starts_with(&self.place);
        if again && kind.lifecycle && is_here && !self.may_be_held(now, world, instance) {
            wrong.push(("opened again", "no action of ours holds it".to_owned()));
        }
        self.drains.stands(now, rules, &key.value, after);
        for (checker, text) in wrong {
            self.violated(now, checker, instance, text);
        }
    }

    /// Notes that the table was restored to these items: they decide which drains are in progress,
    /// and which are paused.
    pub(crate) fn restored(&mut self, now: SimTime, items: &[Value]) {
        let Some(rules) = &self.record_rules else { return };
        let terminated = std::mem::take(&mut self.drains.terminated);
        self.drains = Drains { terminated, ..Drains::default() };
        for item in items {
            if let Some(key) = rules.record_key(item) {
                self.drains.stands(now, rules, key, item);
            }
        }
    }

    /// Returns true if one of the program's hooks holds the instance, or did so until a moment ago,
    /// as far as the program can know.
    fn may_be_held(&self, now: SimTime, world: &World, instance: &str) -> bool {
        let group = world.autoscaling.group_of(instance);
        let ours = |group| {
            self.our_hooks
                .iter()
                .any(|hook| world.autoscaling.active_action(now, group, hook, instance))
        };
        let unnoticed =
            |at: &Option<SimTime>| at.is_some_and(|at| now < at + self.ends_unnoticed_for);
        group.is_some_and(ours) || self.ended.get(instance).is_some_and(unnoticed)
    }

    /// Returns true if the program under test tries to complete the action that holds this
    /// instance.
    pub(super) fn is_being_completed(&self, instance: &str) -> bool {
        self.drains.completing.contains(&format!("{}{instance}", self.place))
    }

    /// Judges a call that changes something of this instance.
    pub(super) fn acts_on(&mut self, now: SimTime, operation: &str, instance: &str, key: &str) {
        let since = self.drains.paused.get(key).copied();
        if let Some(since) = since.filter(|since| now.saturating_sub(*since) > NOTICED) {
            let text = format!(
                "{operation}, although it has been paused for {:?}",
                now.saturating_sub(since)
            );
            self.violated(now, "paused, and touched", instance, text);
        }
    }

    /// Judges a request to a group to terminate an instance. `again`: it decrements the desired
    /// capacity while the group terminates the instance already.
    pub(super) fn shrinks_once(&mut self, now: SimTime, instance: &str, begins: bool, again: bool) {
        if again && self.drains.terminated.contains(instance) {
            let text = "asked once more, while the first request is being carried out".to_owned();
            self.violated(now, "terminated twice", instance, text);
        }
        if begins {
            self.drains.terminated.insert(instance.to_owned());
        }
    }
}

impl RecordRules {
    /// Adds the judgement of budgets.
    pub fn with_budget(self, budget: Budget) -> RecordRules {
        RecordRules { budget: Some(budget), ..self }
    }
}
