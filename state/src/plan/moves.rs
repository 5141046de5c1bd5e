//! The services whose tasks leave: whether ECS can give up each of those tasks.
//!
//! ECS stops an old task while more tasks than the minimum are healthy, and starts a replacement
//! while fewer tasks than the maximum exist. So some replacements must start before the last old
//! task stops (as many as the minimum exceeds the tasks that stay), and up to all of them may.

use super::Doubt;
use super::facts::{ClusterFacts, Snapshot};
use super::room::{Place, Size, Wave, is_certain, is_distinct};
use crate::diagnosis::service::{self, at_least, at_most, percents};
use crate::diagnosis::{Cause, Controller, Others, ServiceFacts, ServiceKey, events, rollout};
use crate::sight::TaskKind;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A service whose tasks leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Move {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the service.
    pub service: String,
    /// Number of tasks that leave.
    pub tasks: usize,
    /// Number of replacements that must start before ECS stops the last of them.
    pub first: usize,
    /// A possible placement: number of replacements by EC2 instance id.
    pub places: BTreeMap<String, usize>,
    /// Number of tasks for which there is no place at present.
    pub without: usize,
}

/// A service with its judgement.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) shown: Move,
    /// Number of its tasks that left in earlier turns, and run elsewhere.
    earlier: usize,
    pub(super) causes: Vec<Cause>,
    pub(super) doubts: Vec<Doubt>,
}

/// Judges every service whose tasks leave.
pub(super) fn judge(snapshot: &Snapshot, now: Timestamp) -> BTreeMap<ServiceKey, Judged> {
    let mut judged: BTreeMap<ServiceKey, Judged> = BTreeMap::new();
    for (instances, is_earlier) in [(&snapshot.leaving, false), (&snapshot.moved, true)] {
        let tasks = instances.iter().flat_map(|leaving| leaving.tasks.iter().flatten());
        for task in tasks.filter(|task| !task.stopping) {
            let TaskKind::Replica(name) = &task.kind else { continue };
            let one = judged.entry((task.cluster.clone(), name.clone())).or_default();
            *(if is_earlier { &mut one.earlier } else { &mut one.shown.tasks }) += 1;
        }
    }
    for ((cluster, name), one) in &mut judged {
        (one.shown.cluster, one.shown.service) = (cluster.clone(), name.clone());
        let facts = snapshot.clusters.get(cluster);
        match facts.and_then(|facts| Some((facts, facts.services.get(name)?))) {
            Some((facts, service)) => by_itself(one, facts, service, now),
            None => one.doubts.push(Doubt::ServiceUnread { service: name.clone() }),
        }
    }
    for (cluster, facts) in &snapshot.clusters {
        let here = judged.iter_mut().filter(|((of, _), _)| of == cluster);
        place(here.map(|((_, name), one)| (name.as_str(), one)).collect(), facts);
    }
    // Unread tasks may need the same room, and be tasks of the same services.
    let all = snapshot.leaving.iter().chain(&snapshot.moved);
    for leaving in all.filter(|leaving| leaving.tasks.is_none()) {
        for (_, one) in judged.iter_mut().filter(|((of, _), _)| *of == leaving.cluster) {
            one.doubts.push(Doubt::TasksUnread);
        }
    }
    judged
}

/// Judges a service without regard to room.
fn by_itself(one: &mut Judged, facts: &ClusterFacts, service: &ServiceFacts, now: Timestamp) {
    let name = one.shown.service.clone();
    let Some(percents) = percents(service) else {
        let Controller::Other(controller) = service.controller.clone() else { return };
        one.doubts.push(Doubt::NewController { service: name, controller });
        return;
    };
    let (desired, running, pending) = (service.desired, service.running, service.pending);
    let leaving = u64::try_from(one.shown.tasks).unwrap_or(u64::MAX);
    let stay = u64::from(running.min(desired)).saturating_sub(leaving);
    let first = at_least(service, percents).saturating_sub(stay).min(leaving);
    one.shown.first = usize::try_from(first).unwrap_or(usize::MAX);
    if first > 0 && at_most(service, percents) <= at_least(service, percents) {
        one.causes.push(Cause::ServiceCannotReplace {
            service: name.clone(),
            desired,
            minimum_percent: percents.minimum,
            maximum_percent: percents.maximum,
        });
    }
    if let Some((complaint, event)) = events::complaint(&service.events, now) {
        one.causes.push(events::cause(&name, complaint, event));
    }
    match rollout::cause(&name, service) {
        Some(cause) => one.causes.push(cause),
        None if service.rollout.in_progress => {
            one.doubts.push(Doubt::InDeployment { service: name.clone() });
        }
        None => {}
    }
    if running != desired || pending > 0 || events::is_starting(&service.events, now) {
        one.doubts.push(Doubt::Unsettled { service: name.clone(), desired, running, pending });
    }
    if let Some(targets) = facts.unhealthy.get(&name).copied().filter(|targets| *targets > 0) {
        one.doubts.push(Doubt::Unhealthy { service: name, targets });
    }
}

/// The room of a cluster, and all tasks that need it.
struct Ground<'a> {
    facts: &'a ClusterFacts,
    others: &'a Others,
    /// The instances as they are.
    free: Vec<Place<'a>>,
    /// The instances with every replacement that must start first, as far as there is room.
    filled: Vec<Place<'a>>,
    /// Tasks by service that leave, or have left in earlier turns.
    tasks: Vec<(&'a str, usize)>,
}

/// Judges the room for all replacements of a cluster.
fn place(mut services: Vec<(&str, &mut Judged)>, facts: &ClusterFacts) {
    let Some(others) = &facts.others else {
        for (name, one) in services.iter_mut().filter(|(_, one)| one.shown.first > 0) {
            one.doubts.push(Doubt::RoomUnknown { service: (*name).to_owned() });
        }
        return;
    };
    let free: Vec<Place<'_>> = others.instances.iter().filter_map(Place::new).collect();
    let mut places = free.clone();
    // The largest first: they find the fewest places.
    services.sort_by_key(|(name, _)| {
        let size = facts.services.get(*name).and_then(Size::of);
        std::cmp::Reverse(size.map(|size| (size.cpu.max(size.memory), size.cpu)))
    });
    for (name, one) in &mut services {
        fill(&mut places, facts, name, one.earlier, &mut Move::default());
    }
    for (name, one) in &mut services {
        let first = one.shown.first;
        fill(&mut places, facts, name, first, &mut one.shown);
    }
    let filled = places.clone();
    let tasks = services.iter().filter_map(|(name, one)| {
        let count = one.earlier + one.shown.tasks;
        Some((facts.services.get_key_value(*name)?.0.as_str(), count))
    });
    let ground = Ground { facts, others, free, filled, tasks: tasks.collect() };
    for (name, one) in services.iter_mut().filter(|(_, one)| one.shown.first > 0) {
        if let Some(service) = facts.services.get(*name) {
            ground.judge(name, service, one);
        }
    }
    for (name, one) in &mut services {
        let rest = one.shown.tasks - one.shown.first;
        fill(&mut places, facts, name, rest, &mut one.shown);
    }
}

/// Places this many tasks of a service.
fn fill<'a>(
    places: &mut [Place<'a>],
    facts: &'a ClusterFacts,
    name: &str,
    count: usize,
    shown: &mut Move,
) {
    let known = facts.services.get_key_value(name);
    let size = known.and_then(|(name, service)| Some((name, service, Size::of(service)?)));
    let Some((name, service, size)) = size else {
        shown.without += count;
        return;
    };
    // Room only gets less here: a place that was too small once is so for the rest.
    let mut from = 0;
    for n in 0..count {
        let fits = |place: &Place<'_>| place.allows(service) && place.fits(name, service, &size);
        match places.iter().skip(from).position(fits) {
            Some(found) => {
                from += found;
                places[from].take(name, &size);
                *shown.places.entry(places[from].id().to_owned()).or_default() += 1;
            }
            None => {
                shown.without += count - n;
                return;
            }
        }
    }
}

impl Ground<'_> {
    /// Judges the room for the replacements of a service that must start first.
    fn judge(&self, name: &str, service: &ServiceFacts, one: &mut Judged) {
        let cluster = &one.shown.cluster;
        let none = service::place(name, cluster, service, self.others);
        let open = service::not_judged(name, service, Some(self.others));
        if none.is_some() || !open.is_empty() {
            one.causes.extend(none.into_iter().chain(open));
            return;
        }
        let size = Size::of(service);
        let eligible: Vec<&Place<'_>> = size.map_or_else(Vec::new, |size| {
            let fits = |p: &&Place<'_>| p.allows(service) && p.fits(name, service, &size);
            self.free.iter().filter(fits).collect()
        });
        let (Some(size), false) = (size, eligible.is_empty()) else {
            one.doubts.push(Doubt::RoomUnknown { service: name.to_owned() });
            return;
        };
        if one.shown.without > 0
            && let Some(cause) = self.full(name, cluster, service)
        {
            one.causes.push(cause);
        } else if one.shown.without > 0
            || !self.is_certain(name, service, &size, &eligible, one.earlier + one.shown.first)
        {
            let replacements = one.shown.first;
            one.doubts.push(Doubt::TightRoom { service: name.to_owned(), replacements });
        }
    }

    /// Returns the cause if no place is left once the replacements that must start first have
    /// started.
    fn full(&self, name: &str, cluster: &str, service: &ServiceFacts) -> Option<Cause> {
        let mut service = service.clone();
        if let Some(placed) = &mut service.placed_on {
            let taken = self.filled.iter().filter(|place| place.holds(name));
            placed.extend(taken.map(|place| place.arn().to_owned()));
        }
        let instances = self.filled.iter().map(Place::facts).collect();
        service::place(name, cluster, &service, &Others { instances, more: self.others.more })
    }

    /// Returns whether the last replacement that must start first finds a place in any case. The
    /// rivals of the same service are the others that must, and those of earlier turns: with more of
    /// them it is not needed. `first` counts all of these.
    fn is_certain(
        &self,
        name: &str,
        service: &ServiceFacts,
        size: &Size<'_>,
        eligible: &[&Place<'_>],
        first: usize,
    ) -> bool {
        let (mut rivals, mut conflicts) = (Vec::new(), 0);
        for (rival, count) in &self.tasks {
            let own = *rival == name;
            let count = if own { first.saturating_sub(1) } else { *count };
            let Some(other) = self.facts.services.get(*rival).and_then(Size::of) else {
                return false;
            };
            let bars = !size.need.ports.is_disjoint(&other.need.ports)
                || (size.need.gpus > 0 && other.need.gpus > 0)
                || (own && is_distinct(service));
            conflicts += if bars { count } else { 0 };
            rivals.push(Wave { size: other, count });
        }
        is_certain(eligible, size, &rivals, conflicts)
    }
}
