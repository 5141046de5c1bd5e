//! Drains by turns: at most `max_concurrent` of a cluster at a time, each replaced by its group.
//!
//! A turn is judged as if ECS had placed the tasks of all earlier turns anywhere, so that a later
//! turn promises an end only if there is room for those, too. The new instances of earlier turns
//! are empty, and equal to those that they replace.

use super::facts::{Leaving, Snapshot};
use super::{Doubt, InstancePlan, Move, Plan, Verdict, judge, notes, takes};
use crate::diagnosis::{InstanceFacts, ServiceFacts};
use crate::record::Then;
use crate::rollout::Surge;
use crate::sight::TaskKind;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Pace at which instances leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// New instances of each group before the first turn.
    pub surge: Surge,
    /// Instances of each group that leave at once, at most, beside `max_concurrent`.
    pub wave: u32,
}

impl Default for Pace {
    /// Returns the pace of `ecs-drain drain`: no new instance comes first.
    fn default() -> Pace {
        Pace { surge: Surge::None, wave: u32::MAX }
    }
}

/// Judges the drains of the chosen instances by turns, in the order of their ids. Each of their
/// groups launches an equal instance for one that was terminated, before the next turn ends.
pub fn by_turns(snapshot: &Snapshot, pace: Pace, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    // The first drain of each cluster that may not end: others come after it.
    let mut held: BTreeMap<String, String> = BTreeMap::new();
    let mut turns = Turns::new(snapshot, pace);
    while let Some(turn) = turns.next() {
        let part = judge(&turn, Then::Terminate, now);
        let mut stops = Vec::new();
        for (id, mut one) in part.instances {
            let before = one.clusters.iter().find_map(|cluster| held.get(cluster));
            if let Some(instance) = before.filter(|instance| **instance != id) {
                one.doubts.push(Doubt::Behind { instance: instance.clone() });
            }
            if one.verdict() != Verdict::Ends {
                stops.extend(one.clusters.iter().map(|cluster| (cluster.clone(), id.clone())));
            }
            merge(plan.instances.entry(id).or_default(), one);
        }
        for (cluster, id) in stops {
            held.entry(cluster).or_insert(id);
        }
        for one in part.moves {
            add(&mut plan.moves, one);
        }
    }
    plan.takes = takes(snapshot, &plan);
    plan.notes = notes(snapshot);
    plan
}

/// Adds the answer for one of the clusters of an EC2 instance.
fn merge(known: &mut InstancePlan, one: InstancePlan) {
    known.clusters.extend(one.clusters);
    known.tasks = match (known.tasks, one.tasks) {
        (Some(known), Some(tasks)) => Some(known + tasks),
        (known, tasks) => known.or(tasks),
    };
    known.causes.extend(one.causes);
    known.doubts.extend(one.doubts);
    known.waits.extend(one.waits);
    known.takes = known.takes.max(one.takes);
}

/// Adds the tasks of a service that leave in one turn.
fn add(moves: &mut Vec<Move>, one: Move) {
    let known = moves.iter_mut().find(|m| (&m.cluster, &m.service) == (&one.cluster, &one.service));
    let Some(known) = known else {
        moves.push(one);
        return;
    };
    known.tasks += one.tasks;
    known.first += one.first;
    known.without += one.without;
    for (place, count) in one.places {
        *known.places.entry(place).or_default() += count;
    }
}

/// The turns, one snapshot after the other.
struct Turns<'a> {
    whole: &'a Snapshot,
    pace: Pace,
    /// Chosen container instances of each cluster that have not left, those that leave next last.
    waiting: BTreeMap<&'a str, Vec<&'a Leaving>>,
    /// Those that have left.
    gone: Vec<&'a Leaving>,
}

impl<'a> Turns<'a> {
    fn new(whole: &'a Snapshot, pace: Pace) -> Turns<'a> {
        let mut waiting: BTreeMap<&str, Vec<&Leaving>> = BTreeMap::new();
        for leaving in whole.leaving.iter().filter(|leaving| leaving.chosen) {
            waiting.entry(&leaving.cluster).or_default().push(leaving);
        }
        for here in waiting.values_mut() {
            here.sort_by(|one, other| other.instance_id.cmp(&one.instance_id));
        }
        Turns { whole, pace, waiting, gone: Vec::new() }
    }

    /// Returns the facts of the next turn, in which the tasks of earlier ones run elsewhere.
    fn next(&mut self) -> Option<Snapshot> {
        let mut leaving = Vec::new();
        for (cluster, here) in &mut self.waiting {
            let size = self.whole.size(cluster);
            let mut groups: BTreeMap<Option<&str>, u32> = BTreeMap::new();
            let mut turn = 0;
            while let Some(next) = here.last() {
                let of_group = groups.entry(next.group_name()).or_default();
                if turn >= next.policy.max_concurrent.of(size).max(1) || *of_group >= self.pace.wave
                {
                    break;
                }
                *of_group += 1;
                turn += 1;
                leaving.extend(here.pop());
            }
        }
        if leaving.is_empty() {
            return None;
        }
        let drains = self.whole.leaving.iter().filter(|one| !one.chosen);
        let (drains, moved) = match self.gone.is_empty() {
            true => (drains.collect(), Vec::new()),
            false => (Vec::new(), drains.chain(self.gone.iter().copied()).collect::<Vec<_>>()),
        };
        let copies = |of: &[&Leaving]| of.iter().map(|one| (*one).clone()).collect();
        let turn = Snapshot {
            clusters: self.clusters(),
            leaving: [copies(&leaving), copies(&drains)].concat(),
            moved: copies(&moved),
        };
        self.gone.extend(leaving);
        Some(turn)
    }

    /// Returns the clusters with the instances that stay or are to leave later, and new ones.
    fn clusters(&self) -> BTreeMap<String, super::ClusterFacts> {
        let mut clusters = self.whole.clusters.clone();
        for (name, facts) in &mut clusters {
            let Some(others) = &mut facts.others else { continue };
            let later = self.waiting.get(name.as_str()).into_iter().flatten();
            others.instances.extend(later.filter_map(|one| one.capacity.clone()));
            others.instances.extend(self.new_ones(name, &facts.services));
        }
        clusters
    }

    /// Returns the new instances of a cluster: at most one for each chosen one of its group.
    fn new_ones(
        &self,
        cluster: &str,
        services: &BTreeMap<String, ServiceFacts>,
    ) -> Vec<InstanceFacts> {
        let mut groups: BTreeMap<&str, Vec<&Leaving>> = BTreeMap::new();
        let chosen = self.whole.leaving.iter().filter(|one| one.chosen && one.cluster == cluster);
        for one in chosen {
            let Some(name) = one.group_name() else { continue };
            groups.entry(name).or_default().push(one);
        }
        let mut new = Vec::new();
        for mut members in groups.into_values() {
            members.sort_by(|one, other| one.instance_id.cmp(&other.instance_id));
            let Some(group) = members.first().and_then(|one| one.group.as_ref()?.as_ref()) else {
                continue;
            };
            if group.suspended.contains("Launch") {
                continue;
            }
            let old = u32::try_from(members.len()).unwrap_or(u32::MAX);
            let room = group.maximum.saturating_sub(group.desired);
            let surge = usize::try_from(self.pace.surge.of(old, room)).unwrap_or(usize::MAX);
            let gone: BTreeSet<&str> =
                self.gone.iter().map(|one| one.instance_id.as_str()).collect();
            let left = members.iter().filter(|one| gone.contains(one.instance_id.as_str())).count();
            let count = left.saturating_add(surge);
            new.extend(members.iter().take(count).filter_map(|old| equal(old, services)));
        }
        new
    }
}

/// Returns a new instance that is equal to an old one, without tasks of replica services.
fn equal(old: &Leaving, services: &BTreeMap<String, ServiceFacts>) -> Option<InstanceFacts> {
    let mut new = old.capacity.clone()?;
    new.arn = format!("new/{}", old.instance_id);
    new.ec2_instance_id = format!("a new instance of {}", old.group_name()?);
    new.agent_connected = true;
    for task in old.tasks.iter().flatten() {
        let TaskKind::Replica(name) = &task.kind else { continue };
        let Some(need) = services.get(name).and_then(|service| service.need.as_ref()) else {
            continue;
        };
        let plus = |free: Option<i64>, need: Option<u32>| Some(free? + i64::from(need?));
        new.cpu = plus(new.cpu, need.cpu).or(new.cpu);
        new.memory = plus(new.memory, need.memory).or(new.memory);
        new.gpus = new.gpus.map(|gpus| gpus + need.gpus);
        if let Some(ports) = &mut new.ports_taken {
            ports.retain(|port| !need.ports.contains(port));
        }
    }
    Some(new)
}
