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

/// The time after which a task on an instance that still takes tasks is known to the program under
/// test: its lists may be so old, and lag.
const LISTED: Duration = Duration::from_secs(400);

/// The numbers of instances and tasks that may drain at once. Every drain in progress counts; drains
/// that are exempt begin all the same.
#[derive(Clone, Debug)]
pub struct Budget {
    /// The attribute that names the cluster.
    pub cluster: &'static str,
    /// The attribute that names the Auto Scaling group.
    pub group: &'static str,
    /// The attribute with the name of the controller: each has budgets of its own.
    pub controller: &'static str,
    /// The attribute that only drains have whose instance a lifecycle action holds.
    pub lifecycle: &'static str,
    /// The attribute with the cause of a drain, and the value for drains that need no turn.
    pub exempt: (&'static str, &'static str),
    /// True if drains of lifecycle actions wait for their turn.
    pub holds_lifecycle: bool,
    /// Attributes of drains that have nothing left to do: present while an action is completed, or
    /// with this value.
    pub over: (&'static str, (&'static str, &'static str)),
    /// The limit for instances of a cluster; `None`: no limit.
    pub of_cluster: Option<usize>,
    /// The limit for instances of a group; `None`: no limit.
    pub of_group: Option<usize>,
    /// The limit for the tasks of a service; `None`: no limit.
    pub of_service: Option<usize>,
}

/// The state of all records so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Drains {
    /// The drains in progress, by key, each with the places that it takes.
    going: BTreeMap<String, Kind>,
    /// Drains whose action is about to be completed, by key.
    completing: BTreeSet<String>,
    /// The moment since which a drain is paused, by key.
    paused: BTreeMap<String, SimTime>,
    /// Instances that the program under test has asked a group to terminate, and that the group
    /// then began to terminate.
    terminated: BTreeSet<String>,
}

/// A drain in progress, and the places that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kind {
    /// Account and region, and the controller.
    whose: (String, Option<String>),
    cluster: Option<String>,
    group: Option<String>,
    lifecycle: bool,
    exempt: bool,
    /// True while its tasks are being moved.
    moves: bool,
    /// Its tasks when it began, as the program under test can have counted them.
    tasks: BTreeSet<String>,
}

impl Drains {
    /// Notes an item in the table: its drain is in progress or not, is about to end, or is paused.
    fn stands(&mut self, now: SimTime, rules: &RecordRules, key: &str, item: &Value) {
        let Some(budget) = &rules.budget else { return };
        let (is, mut kind) = (rules.read(item), budget.kind(key, item));
        let rests = is.phase == rules.returning && kind.lifecycle;
        if is.phase == rules.completing {
            self.completing.insert(key.to_owned());
        } else {
            self.completing.remove(key);
        }
        kind.moves = is.phase == rules.through[0] || is.phase == rules.through[1];
        let (kept, (then, left)) = budget.over;
        let registrations = item.get(rules.deregistered.0).and_then(|all| all["L"].as_array());
        let over = registrations.is_some_and(Vec::is_empty)
            || (is.phase == rules.completing && item.get(kept).is_some())
            || (!kind.lifecycle && budget.word(item, then).as_deref() == Some(left));
        let tasks = self.going.get(key).map(|known| known.tasks.clone());
        kind.tasks = tasks.unwrap_or_default();
        if ![rules.first, rules.last].contains(&is.phase) && !rests && !over {
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
    fn word(&self, item: &Value, name: &str) -> Option<String> {
        Some(item.get(name)?.get("S")?.as_str()?.to_owned())
    }

    fn kind(&self, key: &str, item: &Value) -> Kind {
        let (why, exempt) = self.exempt;
        let place = key.rsplit_once('/').map_or("", |(place, _)| place).to_owned();
        let lifecycle = item.get(self.lifecycle).is_some();
        Kind {
            whose: (place, self.word(item, self.controller)),
            cluster: self.word(item, self.cluster),
            group: self.word(item, self.group),
            lifecycle,
            exempt: self.word(item, why).as_deref() == Some(exempt)
                || (lifecycle && !self.holds_lifecycle),
            moves: false,
            tasks: BTreeSet::new(),
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
        let is_here = key.value.starts_with(&self.place);
        let mine = if begins && is_here { known_tasks(now, world, instance) } else { Vec::new() };
        if begins && !kind.exempt && world.autoscaling.is_healthy(instance) {
            let texts = self.beyond(budget, &key.value, &kind, &mine, world);
            wrong.extend(texts.into_iter().map(|text| ("more than the budget", text)));
        }
        let again = was.as_ref().is_some_and(|was| was.generation < is.generation);
        if again && kind.lifecycle && is_here && !self.may_be_held(now, world, instance) {
            wrong.push(("opened again", "no action of ours holds it".to_owned()));
        }
        self.drains.stands(now, rules, &key.value, after);
        if let (true, Some(going)) = (begins, self.drains.going.get_mut(&key.value)) {
            going.tasks = mine.into_iter().map(|(_, task)| task).collect();
        }
        for (checker, text) in wrong {
            self.violated(now, checker, instance, text);
        }
    }

    /// Returns the budgets that a drain with these tasks exceeds when it begins.
    fn beyond(
        &self,
        budget: &Budget,
        key: &str,
        kind: &Kind,
        mine: &[(String, String)],
        world: &World,
    ) -> Vec<String> {
        let mut beyond = Vec::new();
        let others = || {
            let all = self.drains.going.iter();
            all.filter(|(other, of)| **other != key && of.whose == kind.whose)
        };
        let cluster = kind.cluster.as_deref().unwrap_or("no cluster");
        let in_cluster = others().filter(|(_, of)| of.cluster == kind.cluster).count();
        if budget.of_cluster.is_some_and(|limit| in_cluster >= limit) {
            beyond.push(format!("{in_cluster} go on in {cluster} already"));
        }
        let in_group = others().filter(|(_, of)| of.group == kind.group).count();
        if let (Some(group), Some(limit)) = (&kind.group, budget.of_group)
            && in_group >= limit
        {
            beyond.push(format!("{in_group} go on in {group} already"));
        }
        let Some(limit) = budget.of_service else { return beyond };
        let services: BTreeSet<&String> = mine.iter().map(|(service, _)| service).collect();
        for service in services {
            let here = mine.iter().filter(|(of, _)| of == service).count();
            let drain: usize = others()
                .filter(|(_, of)| of.moves)
                .map(|(other, of)| {
                    let running = service_tasks(world, last(other)).into_iter();
                    running.filter(|(name, id)| name == service && of.tasks.contains(id)).count()
                })
                .sum();
            if drain > 0 && drain + here > limit {
                beyond.push(format!("{drain} tasks of {service} drain already, and it has {here}"));
            }
        }
        beyond
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

/// Returns the tasks of replica services that truly run on an instance: cluster and service, and the
/// task.
fn service_tasks(world: &World, instance: &str) -> Vec<(String, String)> {
    let running = world.ecs.containers_running(instance).into_iter();
    let of_services = running.filter(|one| !one.daemon && !one.orphaned);
    of_services
        .filter_map(|one| Some((format!("{}/{}", one.cluster, one.service?), one.task)))
        .collect()
}

/// Returns those that have run for so long that the program under test knows them.
fn known_tasks(now: SimTime, world: &World, instance: &str) -> Vec<(String, String)> {
    let known = |task: &str, cluster: &str| {
        let started = world.ecs.task_started(cluster, task);
        started.is_some_and(|at| at + LISTED <= now)
    };
    let mut tasks = service_tasks(world, instance);
    tasks.retain(|(service, task)| {
        service.split_once('/').is_some_and(|(cluster, _)| known(task, cluster))
    });
    tasks
}

impl RecordRules {
    /// Adds the judgement of budgets.
    pub fn with_budget(self, budget: Budget) -> RecordRules {
        RecordRules { budget: Some(budget), ..self }
    }
}
