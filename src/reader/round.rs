//! The round: one cluster after the other is asked, for all drains and searches that look for an
//! instance. One that comes meanwhile and is due is asked for from the next cluster on, and stays
//! until every cluster was asked; one that can wait comes when a round begins.

use super::Reader;
use super::search::one_cluster;
use crate::aws::calls::{DESCRIBE_CLUSTERS, LIST_CLUSTERS, LIST_CONTAINER_INSTANCES};
use crate::fleet::Choice;
use crate::searches::Found;
use ecs_drain_state::{Answer, ContainerInstance, Kind, Mono, Read};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many clusters are asked at once.
const AT_ONCE: usize = 4;

/// How much longer than a round took none is begun for drains that can wait: one can serve many of
/// them.
const REST: u32 = 3;

/// How soon clusters are listed again where that failed.
const AGAIN: Duration = Duration::from_secs(6);

/// Names of clusters in one call. (Source: ECS API reference, DescribeClusters.)
const IN_A_CALL: usize = 100;

/// Who looks for an instance.
#[derive(Debug)]
enum Who {
    /// The drain with this key.
    Drain(String),
    /// Somebody who asks for it before there is a drain.
    Search,
}

/// One who looks for an instance.
#[derive(Debug)]
struct Rider {
    /// How many came before: who comes while a call is under way is not part of it, even in the
    /// same moment.
    number: u64,
    who: Who,
    instance: String,
    joined: Mono,
    due: Mono,
    /// Whether the clusters were listed since.
    counted: bool,
    /// The clusters that were asked since, by their numbers.
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

/// Where the round is, and who is part of it.
#[derive(Debug, Default)]
pub(super) struct Round(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    /// Every cluster that was ever listed has a number.
    numbers: BTreeMap<String, usize>,
    /// The clusters of the newest list.
    clusters: Vec<(String, usize)>,
    /// How many container instances each has, where that is known: it decides how it is asked.
    sizes: BTreeMap<String, u32>,
    riders: Vec<Rider>,
    /// How many have come.
    came: u64,
    /// The clusters that are being asked.
    asked: BTreeSet<usize>,
    lists: bool,
    began: Mono,
    rests_until: Mono,
}

/// What is done next.
enum Step {
    /// The clusters are listed.
    List,
    /// A cluster is asked.
    Ask(String, usize),
    /// Nothing, before something else has ended or somebody comes.
    Wait,
}

impl State {
    fn next(&mut self) -> Step {
        // Those for whom the clusters have not been listed yet are asked for with the others.
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

    /// By when a cluster is to be asked.
    fn due(&self, number: usize) -> Mono {
        let needs = self.riders.iter().filter(|rider| !rider.has_seen(number));
        needs.map(|rider| rider.due).min().unwrap_or(Mono::NEVER)
    }

    /// By when the clusters are to be listed: now, or sooner for somebody who is in a hurry.
    fn list_due(&self, now: Mono) -> Mono {
        let uncounted = self.riders.iter().filter(|rider| !rider.counted);
        uncounted.map(|rider| rider.due).min().map_or(now, |due| due.min(now))
    }

    /// The instances for which this cluster must be asked.
    fn asking(&self, number: usize) -> BTreeSet<String> {
        let asking = self.riders.iter().filter(|rider| !rider.has_seen(number));
        asking.map(|rider| rider.instance.clone()).collect()
    }

    /// Takes those out for whom every cluster was asked.
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

/// Goes round for ever.
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
            // Others can have waited for what has just ended.
            reader.searches.bell.notify_waiters();
        }
    })
    .await;
}

/// Takes in who wants to know. Drains that can wait come when nobody is on the way, and not soon
/// after the last round.
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

/// Lists the clusters for those who came since that was done last. An empty one need not be asked:
/// many accounts have more clusters that run on Fargate alone.
async fn list(reader: &Reader<'_>) {
    let due = reader.caches.round.0.borrow().list_due(reader.clock.mono());
    let (permit, began) = reader.turn(&LIST_CLUSTERS, due).await;
    let came = reader.caches.round.0.borrow().came;
    let clusters = match reader.session.ecs.clusters(permit).await {
        Ok(clusters) => clusters,
        Err(error) => {
            tracing::debug!(%error, "the clusters cannot be searched; where instances are is not known");
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
                Err(error) => tracing::debug!(%error, "how large clusters are is not known"),
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

/// Asks one cluster for all who need it.
async fn ask(reader: &Reader<'_>, cluster: &str, number: usize) {
    let (permit, due) = loop {
        let due = reader.caches.round.0.borrow().due(number);
        // Who comes meanwhile is asked for too, and can be in a hurry.
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
            tracing::debug!(cluster, %error, "a cluster cannot be searched");
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

/// Tells those for whom every cluster was asked what was found.
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
                // What its drain knows was allowed when it began, and is carried to its end.
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
