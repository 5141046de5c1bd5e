//! Lists tasks: by container instance, which is evidence, or of a whole cluster if that takes fewer
//! calls, to discover the tasks of its instances.

use super::tasks::{IN_A_CALL, discover};
use super::{Reader, workers};
use crate::aws::calls::{DESCRIBE_CLUSTERS, LIST_TASKS};
use crate::aws::{Desired, Permit};
use crate::fleet::{Choice, Slot};
use ecs_drain_state::facts::InstanceFacts;
use ecs_drain_state::sight::id;
use ecs_drain_state::{Answer, Kind, Mono, Wanted};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Calls of either list that wait for a permit at once, at most.
const WORKERS: usize = 3;

/// Time for which a cluster's number of tasks is used. It only decides which way of listing takes
/// fewer calls.
const SIZES_LAST: Duration = Duration::from_secs(60);

/// Time by which a drain's tasks are discovered early if the whole cluster is listed anyway.
const SOON: Duration = Duration::from_secs(3);

/// Cached facts about clusters.
#[derive(Default)]
pub(super) struct Clusters {
    /// Number of each cluster's tasks, with the time of the read.
    sizes: RefCell<BTreeMap<String, (Mono, usize)>>,
    /// Clusters whose tasks are all being listed.
    listed: RefCell<BTreeSet<String>>,
}

/// One list that a drain needs.
struct Wish {
    key: String,
    cluster: String,
    arn: String,
    /// True if nothing is known of its tasks yet.
    discovers: bool,
    /// Time by which it is due.
    due: Mono,
}

pub(super) async fn sweep(reader: &Reader<'_>) {
    tokio::join!(one(reader, Kind::Running), one(reader, Kind::Stopped));
}

async fn one(reader: &Reader<'_>, kind: Kind) {
    workers(WORKERS, || async {
        loop {
            let (permit, began) = reader.turn_of(kind, &LIST_TASKS).await;
            let Some(wish) = first(reader, kind) else {
                permit.give_back();
                tokio::time::sleep(super::IDLE).await;
                continue;
            };
            if !wish.discovers || kind != Kind::Running {
                list(reader, kind, (permit, began), wish).await;
                continue;
            }
            let cluster = wish.cluster.clone();
            reader.caches.lists.listed.borrow_mut().insert(cluster.clone());
            let cheaper = is_cheaper(reader, &cluster).await;
            if cheaper {
                whole_cluster(reader, permit, wish).await;
                reader.caches.lists.listed.borrow_mut().remove(&cluster);
            } else {
                reader.caches.lists.listed.borrow_mut().remove(&cluster);
                list(reader, kind, (permit, began), wish).await;
            }
        }
    })
    .await;
}

async fn list(reader: &Reader<'_>, kind: Kind, (permit, began): (Permit, Mono), wish: Wish) {
    let (desired, wanted) = match kind {
        Kind::Stopped => (Desired::Stopped, Wanted::Stopped),
        Kind::Running | Kind::Status | Kind::Tasks | Kind::Targets | Kind::Own | Kind::Sweep => {
            (Desired::Running, Wanted::Running)
        }
    };
    match reader.session.ecs.tasks_of(permit, &wish.cluster, Some(&wish.arn), desired).await {
        Ok(tasks) => {
            reader.fleet.answer(
                &wish.key,
                reader.read(began),
                Answer::List { of: wish.arn, wanted, tasks },
            );
            reader.ended(kind, [&wish.key]);
        }
        Err(error) => reader.failed(kind, [&wish.key], began, &error),
    }
}

/// Returns the container instance of the most urgent drain with the oldest list.
fn first(reader: &Reader<'_>, kind: Kind) -> Option<Wish> {
    let mut first = None;
    let listed = reader.caches.lists.listed.borrow();
    let taken = reader.fleet.pick(kind, reader.clock.mono(), Duration::ZERO, |key, slot| {
        if first.is_some() {
            return Choice::Stop;
        }
        let wish = wish(kind, key, slot);
        // A list of its whole cluster is under way. If the drain still needs to discover
        // afterwards, it shares the next one.
        if wish.as_ref().is_some_and(|wish| wish.discovers && listed.contains(&wish.cluster)) {
            return Choice::Leave;
        }
        first = Some(wish);
        Choice::Take
    });
    drop(listed);
    let wish = first?;
    if wish.is_none() {
        reader.ended(kind, &taken);
    }
    wish
}

fn wish(kind: Kind, key: &str, slot: &Slot) -> Option<Wish> {
    let (facts, record) = (&slot.drain.facts, &slot.drain.record);
    let there = facts.instances.iter().filter(|one| !one.is_gone());
    // The one with the oldest list, so that each has its turn.
    let read = |one: &InstanceFacts| {
        let list = if kind == Kind::Stopped { one.stopped } else { one.discovered };
        list.map_or(Mono::START, |read| read.began)
    };
    let one = there.min_by_key(|one| read(one))?;
    let mine = record.container_instances.iter().find(|mine| id(&mine.arn) == id(&one.arn))?;
    Some(Wish {
        key: key.to_owned(),
        cluster: mine.cluster.clone(),
        arn: mine.arn.clone(),
        discovers: one.discovered.is_none(),
        due: slot.due(kind).unwrap_or_default(),
    })
}

/// Returns the drains of a cluster that need to discover their tasks, now or soon. `take` removes
/// them from the queue.
fn discovering(reader: &Reader<'_>, cluster: &str, take: bool) -> Vec<Wish> {
    let mut wishes = Vec::new();
    reader.fleet.pick(Kind::Running, reader.clock.mono(), SOON, |key, slot| {
        match wish(Kind::Running, key, slot)
            .filter(|wish| wish.discovers && wish.cluster == cluster)
        {
            Some(wish) => {
                wishes.push(wish);
                if take { Choice::Take } else { Choice::Leave }
            }
            None => Choice::Leave,
        }
    });
    wishes
}

/// Checks whether listing and describing the whole cluster takes fewer calls than listing its
/// drains' container instances one by one.
async fn is_cheaper(reader: &Reader<'_>, cluster: &str) -> bool {
    let drains = discovering(reader, cluster, false).len() + 1;
    if drains < 4 {
        return false;
    }
    let now = reader.clock.mono();
    let known = reader.caches.lists.sizes.borrow().get(cluster).copied();
    let tasks = match known.filter(|(read, _)| now < *read + SIZES_LAST) {
        Some((_, tasks)) => tasks,
        None => {
            let (permit, _) = reader.turn(&DESCRIBE_CLUSTERS, reader.clock.mono()).await;
            let Ok(tasks) = reader.session.ecs.running_tasks(permit, cluster).await else {
                return false;
            };
            reader.caches.lists.sizes.borrow_mut().insert(cluster.to_owned(), (now, tasks));
            tasks
        }
    };
    // One page is added for tasks that have started since.
    2 * (tasks / IN_A_CALL + 1) < drains
}

async fn whole_cluster(reader: &Reader<'_>, permit: Permit, wish: Wish) {
    let (cluster, due) = (wish.cluster.clone(), wish.due);
    let began = reader.clock.mono();
    let mut wishes = discovering(reader, &cluster, true);
    wishes.push(wish);
    let keys: Vec<String> = wishes.iter().map(|wish| wish.key.clone()).collect();
    let tasks = match reader.session.ecs.tasks_of(permit, &cluster, None, Desired::Running).await {
        Ok(arns) => discover(reader, &cluster, &arns, due).await,
        Err(error) => Err(error),
    };
    let mut tasks = match tasks {
        Ok(tasks) => tasks,
        Err(error) => return reader.failed(Kind::Running, &keys, began, &error),
    };
    let read = reader.read(began);
    for wish in wishes {
        let found = tasks.remove(id(&wish.arn)).unwrap_or_default();
        let arns = found.iter().map(|(arn, _)| arn.clone()).collect();
        reader.fleet.answer(&wish.key, read, Answer::Discovered { of: wish.arn, tasks: arns });
        reader.fleet.answer(&wish.key, read, Answer::Tasks(found));
    }
    reader.ended(Kind::Running, &keys);
}
