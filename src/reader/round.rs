//! The round: searches cluster after cluster for all instances that drains and requests look for.
//! An instance that is due joins at the next cluster, and leaves when every cluster was searched.
//! An instance that can wait joins when a round begins.

use super::Reader;
use super::search::one_cluster;
use crate::aws::calls::{DESCRIBE_CLUSTERS, LIST_CLUSTERS, LIST_CONTAINER_INSTANCES};
use crate::fleet::Choice;
use crate::searches::Found;
use ecs_drain_state::{Answer, ContainerInstance, Kind, Mono, Read};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Clusters that are searched at once.
const AT_ONCE: usize = 4;

/// Pause after a round, as a multiple of its duration, before a round begins for drains that can
/// wait. One round can then serve many of them.
const REST: u32 = 3;

/// Delay before clusters are listed again after a failure.
const AGAIN: Duration = Duration::from_secs(6);

/// Names of clusters in one call. (Source: ECS API reference, DescribeClusters.)
const IN_A_CALL: usize = 100;

/// Origin of a search.
#[derive(Debug)]
enum Who {
    /// The drain with this key.
    Drain(String),
    /// A request or an event, before there is a drain.
    Search,
}

/// One instance in the round.
#[derive(Debug)]
struct Rider {
    /// Serial number. A rider that joins during a call is not part of it, even in the same instant.
    number: u64,
    who: Who,
    instance: String,
    joined: Mono,
    due: Mono,
    /// True once the clusters were listed since it joined.
    counted: bool,
    /// Clusters that were searched since it joined, by their numbers.
    seen: Vec<bool>,
    found: Vec<ContainerInstance>,
    unread: Vec<String>,
}

impl Rider {
    fn has_seen(&self, number: usize) -> bool {
        self.seen.get(number).copied().unwrap_or(false)
    }

    fn see(&mut self, number: usize) {
        if self.seen.len() <= number {
            self.seen.resize(number + 1, false);
        }
        if let Some(seen) = self.seen.get_mut(number) {
            *seen = true;
        }
    }
}

/// State of the round, and its riders.
#[derive(Debug, Default)]
pub(super) struct Round(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    /// Number of every cluster that was ever listed.
    numbers: BTreeMap<String, usize>,
    /// Clusters of the newest list.
    clusters: Vec<(String, usize)>,
    /// Number of container instances of each cluster, if known. It decides how the cluster is
    /// searched.
    sizes: BTreeMap<String, u32>,
    riders: Vec<Rider>,
    /// Number of riders so far.
    came: u64,
    /// Clusters that are being searched.
    asked: BTreeSet<usize>,
    lists: bool,
    began: Mono,
    rests_until: Mono,
}

/// Next step of the round.
enum Step {
    /// List the clusters.
    List,
    /// Search a cluster.
    Ask(String, usize),
    /// Wait until another step has ended, or a rider joins.
    Wait,
}

impl State {
    fn next(&mut self) -> Step {
        // Riders that wait for the list of clusters are included in the searches below.
        let counted = self.riders.iter().filter(|rider| rider.counted);
        let needs = counted.flat_map(|rider| {
            let mut missing = self.clusters.iter().filter(|(_, number)| !rider.has_seen(*number));
            missing
                .find(|(_, number)| !self.asked.contains(number))
                .map(|cluster| (rider.due, cluster))
        });
        if let Some((_, (cluster, number))) = needs.min_by_key(|(due, (_, number))| (*due, *number))
        {
            let (cluster, number) = (cluster.clone(), *number);
            self.asked.insert(number);
            return Step::Ask(cluster, number);
        }
        if !self.lists && self.riders.iter().any(|rider| !rider.counted) {
            self.lists = true;
            return Step::List;
        }
        Step::Wait
    }

    /// Returns the time by which a cluster's search is due.
    fn due(&self, number: usize) -> Mono {
        let needs = self.riders.iter().filter(|rider| !rider.has_seen(number));
        needs.map(|rider| rider.due).min().unwrap_or(Mono::NEVER)
    }

    /// Returns the time by which the list of clusters is due: now, or earlier for an urgent rider.
    fn list_due(&self, now: Mono) -> Mono {
        let uncounted = self.riders.iter().filter(|rider| !rider.counted);
        uncounted.map(|rider| rider.due).min().map_or(now, |due| due.min(now))
    }

    /// Returns the instances for which this cluster must be searched.
    fn asking(&self, number: usize) -> BTreeSet<String> {
        let asking = self.riders.iter().filter(|rider| !rider.has_seen(number));
        asking.map(|rider| rider.instance.clone()).collect()
    }

    /// Removes and returns the riders for which every cluster was searched.
    fn arrived(&mut self, now: Mono) -> Vec<Rider> {
        let clusters = &self.clusters;
        let done = |rider: &mut Rider| {
            rider.counted && clusters.iter().all(|(_, number)| rider.has_seen(*number))
        };
        let arrived: Vec<Rider> = self.riders.extract_if(.., done).collect();
        if !arrived.is_empty() && self.riders.is_empty() {
            self.rests_until = now + now.since(self.began) * REST;
        }
        arrived
    }
}

/// Runs the round; never returns.
pub(super) async fn go(reader: &Reader<'_>) {
    super::workers(AT_ONCE, || async {
        loop {
            board(reader);
            let step = reader.caches.round.0.borrow_mut().next();
            match step {
                Step::List => list(reader).await,
                Step::Ask(cluster, number) => ask(reader, &cluster, number).await,
                Step::Wait => {
                    tokio::select! {
                        biased;
                        () = reader.searches.bell.notified() => {}
                        () = tokio::time::sleep(super::TICK) => {}
                    }
                    continue;
                }
            }
            // Others may have waited for the step that has just ended.
            reader.searches.bell.notify_waiters();
        }
    })
    .await;
}

/// Adds drains and searches to the round. Drains that can wait join only when the round is empty,
/// and not soon after the last one.
fn board(reader: &Reader<'_>) {
    if !reader.leadership.leads() {
        return;
    }
    let now = reader.clock.mono();
    let mut state = reader.caches.round.0.borrow_mut();
    let fresh = reader.searches.take_due(now);
    let begins = state.riders.is_empty();
    let overdue = |due: Option<Mono>| due.is_some_and(|due| due <= now);
    let all = begins
        && (!fresh.is_empty()
            || now >= state.rests_until
            || overdue(reader.fleet.next_due(Kind::Sweep, now)));
    let drains = reader.fleet.pick(Kind::Sweep, now, Duration::ZERO, |_, slot| {
        match all || overdue(slot.due(Kind::Sweep)) {
            true => Choice::Take,
            false => Choice::Stop,
        }
    });
    let of_drains = drains.into_iter().filter_map(|key| {
        let slots = reader.fleet.slots();
        let slot = slots.get(&key)?;
        let (instance, due) =
            (slot.drain.record.instance_id.clone(), slot.due(Kind::Sweep).unwrap_or(now));
        drop(slots);
        Some((Who::Drain(key), instance, due))
    });
    let fresh = fresh.into_iter().map(|(instance, due)| (Who::Search, instance, due));
    for (who, instance, due) in of_drains.chain(fresh) {
        let (found, unread) = (Vec::new(), Vec::new());
        let number = state.came;
        state.came += 1;
        state.riders.push(Rider {
            number,
            who,
            instance,
            joined: now,
            due,
            counted: false,
            seen: Vec::new(),
            found,
            unread,
        });
    }
    if begins {
        state.began = now;
    }
}

/// Lists the clusters for riders that joined since the last list. Empty clusters are skipped: many
/// accounts have more clusters that run on Fargate only.
async fn list(reader: &Reader<'_>) {
    let due = reader.caches.round.0.borrow().list_due(reader.clock.mono());
    let (permit, began) = reader.turn(&LIST_CLUSTERS, due).await;
    let came = reader.caches.round.0.borrow().came;
    let clusters = match reader.session.ecs.clusters(permit).await {
        Ok(clusters) => clusters,
        Err(error) => {
            tracing::debug!(%error, "Clusters not searched");
            *reader.searches.failed.borrow_mut() = Some(error.to_string());
            let mut state = reader.caches.round.0.borrow_mut();
            state.lists = false;
            let left: Vec<Rider> = state
                .riders
                .extract_if(.., |rider| !rider.counted && rider.number < came)
                .collect();
            drop(state);
            for rider in left {
                match &rider.who {
                    Who::Drain(key) => reader.failed(Kind::Sweep, [key], began, &error),
                    Who::Search => reader.searches.put_back(
                        &rider.instance,
                        reader.clock.mono() + AGAIN,
                        rider.due,
                    ),
                }
            }
            return;
        }
    };
    let mut sizes = BTreeMap::new();
    if clusters.len() > 1 {
        for batch in clusters.chunks(IN_A_CALL) {
            let (permit, _) = reader.turn(&DESCRIBE_CLUSTERS, due).await;
            match reader.session.ecs.cluster_sizes(permit, batch).await {
                Ok(some) => sizes.extend(some),
                Err(error) => tracing::debug!(%error, "Cluster sizes not read"),
            }
        }
    }
    let arrived = {
        let mut state = reader.caches.round.0.borrow_mut();
        let State { numbers, riders, .. } = &mut *state;
        let numbered = |name: String| {
            let new = numbers.len();
            let number = *numbers.entry(name.clone()).or_insert(new);
            (name, number)
        };
        let clusters: Vec<(String, usize)> = clusters.into_iter().map(numbered).collect();
        let empty = clusters.iter().filter(|(name, _)| sizes.get(name) == Some(&0));
        let empty: Vec<usize> = empty.map(|(_, number)| *number).collect();
        for rider in riders.iter_mut().filter(|rider| rider.number < came) {
            rider.counted = true;
            empty.iter().for_each(|number| rider.see(*number));
        }
        (state.clusters, state.sizes, state.lists) = (clusters, sizes, false);
        state.arrived(reader.clock.mono())
    };
    tell(reader, arrived);
}

/// Searches one cluster for every rider that needs it.
async fn ask(reader: &Reader<'_>, cluster: &str, number: usize) {
    let (permit, due) = loop {
        let due = reader.caches.round.0.borrow().due(number);
        // A rider that joins meanwhile is included, and may be urgent.
        let hurry = async {
            while reader.caches.round.0.borrow().due(number) >= due {
                reader.searches.bell.notified().await;
                board(reader);
            }
        };
        tokio::select! {
            biased;
            (permit, _) = reader.turn(&LIST_CONTAINER_INSTANCES, due) => break (permit, due),
            () = hurry => {}
        }
    };
    let (ids, size, came) = {
        let state = reader.caches.round.0.borrow();
        (state.asking(number), state.sizes.get(cluster).copied(), state.came)
    };
    if ids.is_empty() {
        permit.give_back();
        reader.caches.round.0.borrow_mut().asked.remove(&number);
        return;
    }
    let ids: Vec<String> = ids.into_iter().collect();
    let answer = one_cluster(reader, permit, due, cluster, &ids, size).await;
    let mut found: BTreeMap<String, Vec<ContainerInstance>> = BTreeMap::new();
    let failed = match answer {
        Ok(some) => {
            some.into_iter().for_each(|(id, one)| found.entry(id).or_default().push(one));
            false
        }
        Err(error) => {
            tracing::debug!(cluster, %error, "Cluster not searched");
            *reader.searches.failed.borrow_mut() = Some(error.to_string());
            true
        }
    };
    let arrived = {
        let mut state = reader.caches.round.0.borrow_mut();
        state.asked.remove(&number);
        for rider in state.riders.iter_mut().filter(|rider| rider.number < came) {
            if rider.has_seen(number) {
                continue;
            }
            rider.see(number);
            if failed {
                rider.unread.push(cluster.to_owned());
            }
            rider.found.extend(found.get(&rider.instance).into_iter().flatten().cloned());
        }
        state.arrived(reader.clock.mono())
    };
    tell(reader, arrived);
}

/// Passes the results to the riders for which every cluster was searched.
fn tell(reader: &Reader<'_>, arrived: Vec<Rider>) {
    if arrived.is_empty() {
        return;
    }
    for Rider { who, instance, joined, mut found, mut unread, .. } in arrived {
        found.sort();
        unread.sort();
        if unread.is_empty() {
            *reader.searches.failed.borrow_mut() = None;
        }
        let read = Read { began: joined, ended: reader.clock.mono() };
        match who {
            Who::Drain(key) => {
                // Clusters that the drain knows were selected when it began. It keeps them to its
                // end, even if the configuration has changed.
                let mine = reader
                    .fleet
                    .record(&key)
                    .map(|record| record.container_instances)
                    .unwrap_or_default();
                let may_be = |one: &ContainerInstance| {
                    reader.clusters.matches(&one.cluster)
                        || mine.iter().any(|mine| mine.arn == one.arn)
                };
                let (found, left_out): (Vec<_>, Vec<_>) = found.into_iter().partition(may_be);
                let left_out = left_out.into_iter().map(|one| one.cluster).collect();
                reader.fleet.answer(&key, read, Answer::Search { unread, left_out, found });
                reader.ended(Kind::Sweep, [&key]);
            }
            Who::Search => reader.searches.answer(instance, Found { read, unread, found }),
        }
    }
    reader.searches.answered.notify_waiters();
}
