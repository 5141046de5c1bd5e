//! Counts of the places in each budget: taken, kept, and waited for.

use super::{Load, Scope, Sizes, limit};
use crate::decide::Turn;
use crate::policy::{Concurrency, Policy};
use std::collections::{BTreeMap, BTreeSet};

/// One budget's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place<'a> {
    Cluster(Option<&'a str>),
    Group(&'a str),
    /// Names of cluster and service.
    Service(&'a str, &'a str),
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Running drains, or their tasks.
    taken: u32,
    /// Those that a waiting drain keeps for itself.
    kept: u32,
    /// Drains that wait for this place.
    waiting: u32,
}

/// Counts by object.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts<'a> {
    places: BTreeMap<Place<'a>, Count>,
    /// Clusters in which tasks drain that are not known yet: no service of them has room.
    pub(super) uncounted: BTreeSet<Option<&'a str>>,
}

impl<'a> Load<'a> {
    /// Returns each object with the number that the drain takes of it.
    fn places(&self) -> impl Iterator<Item = (Place<'a>, u32)> {
        let services =
            self.services.iter().map(|((cluster, name), n)| (Place::Service(cluster, name), *n));
        [(Place::Cluster(self.cluster), 1)]
            .into_iter()
            .chain(self.group.map(|group| (Place::Group(group), 1)))
            .chain(services)
    }
}

impl<'a> Counts<'a> {
    /// Counts a drain that runs, or is about to.
    pub(super) fn take(&mut self, load: &Load<'a>) {
        for (place, n) in load.places() {
            self.places.entry(place).or_default().taken += n;
        }
    }

    /// Keeps room for a drain that waits for these other places.
    pub(super) fn keep(&mut self, load: &Load<'a>, full: &[Place<'a>]) {
        for (place, n) in load.places().filter(|(place, _)| !full.contains(place)) {
            self.places.entry(place).or_default().kept += n;
        }
    }

    /// Counts a drain that waits for this place.
    pub(super) fn queue(&mut self, place: Place<'a>) {
        self.places.entry(place).or_default().waiting += 1;
    }

    /// Returns the places without room for the drain, each with its limit. A place has none while
    /// an earlier drain waits for it.
    pub(super) fn full(
        &self,
        load: &Load<'a>,
        policy: &Policy,
        sizes: &impl Sizes,
    ) -> Vec<(Place<'a>, u32)> {
        let full = |(place, n): (Place<'a>, u32)| {
            let limit = limit(policy, place, sizes)?;
            let Count { taken, kept, waiting } =
                self.places.get(&place).copied().unwrap_or_default();
            let used = taken.saturating_add(kept);
            // A drain with more tasks than the limit could never begin, so it may do so alone.
            let room = used == 0 || used.saturating_add(n) <= limit;
            let unknown = matches!(place, Place::Service(cluster, _) if self.uncounted.contains(&Some(cluster)));
            (waiting > 0 || unknown || !room).then_some((place, limit))
        };
        load.places().filter_map(full).collect()
    }

    /// Returns the turn of a drain that waits for this place.
    pub(super) fn wait(
        &self,
        place: Place<'a>,
        limit: u32,
        load: &Load<'a>,
        policy: &Policy,
        sizes: &impl Sizes,
    ) -> Turn {
        let Count { taken, kept, waiting } = self.places.get(&place).copied().unwrap_or_default();
        let scope = match place {
            Place::Cluster(name) => Scope::Cluster(name.unwrap_or("-").to_owned()),
            Place::Group(name) => Scope::Group(name.to_owned()),
            Place::Service(cluster, service) => {
                let share = matches!(policy.max_concurrent_service, Some(Concurrency::Percent(_)));
                Scope::Service {
                    service: service.to_owned(),
                    here: load.services.get(&(cluster, service)).copied().unwrap_or_default(),
                    desired: share
                        .then(|| sizes.service(cluster, service))
                        .flatten()
                        .map(|state| state.desired),
                }
            }
        };
        // The drain that keeps room for itself waits too, and comes first.
        Turn::Wait { scope, running: taken, limit, ahead: waiting + u32::from(kept > 0) }
    }
}
