//! Reads the status of container instances: a hundred a call, of one cluster.

use super::{Reader, workers};
use crate::aws::calls::DESCRIBE_CONTAINER_INSTANCES;
use crate::aws::{ContainerInstanceView, Described};
use crate::fleet::{Choice, Slot};
use ecs_drain_state::sight::id;
use ecs_drain_state::{Answer, ContainerInstanceSight, Kind, Mono, Phase, Read};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Calls that wait for a permit at once, at most.
const WORKERS: usize = 4;

/// Container instances in one call. (Source: ECS API reference, DescribeContainerInstances.)
const IN_A_CALL: usize = 100;

/// Time by which a status is read early if a call is made anyway: a call for a hundred costs no
/// more than a call for one.
const SOON: Duration = Duration::from_secs(60);

/// Age from which the status of a drain that is about to be completed is read along.
const RIDES_AFTER: Duration = Duration::from_secs(4);

/// One container instance of one drain.
struct Item {
    key: String,
    arn: String,
}

pub(super) async fn sweep(reader: &Reader<'_>) {
    workers(WORKERS, || async {
        loop {
            let (permit, began) = reader.turn_of(Kind::Status, &DESCRIBE_CONTAINER_INSTANCES).await;
            let Some((cluster, mut batch)) = first(reader) else {
                permit.give_back();
                continue;
            };
            let mut keys: BTreeSet<String> = batch.iter().map(|item| item.key.clone()).collect();
            fill(reader, &cluster, Duration::ZERO, &mut keys, &mut batch);
            ride_along(reader, &cluster, &keys, &mut batch);
            fill(reader, &cluster, SOON, &mut keys, &mut batch);
            let arns: BTreeSet<String> = batch.iter().map(|item| item.arn.clone()).collect();
            let arns: Vec<String> = arns.into_iter().collect();
            match reader.session.ecs.container_instances(permit, &cluster, &arns).await {
                Ok(described) => {
                    let failed = hand_out(reader, reader.read(began), &batch, &described);
                    reader.end(Kind::Status, &keys, &failed);
                }
                Err(error) => reader.failed(Kind::Status, &keys, began, &error),
            }
        }
    })
    .await;
}

/// Returns the most urgent drain, and the cluster of its container instance with the oldest status.
fn first(reader: &Reader<'_>) -> Option<(String, Vec<Item>)> {
    let key = reader.fleet.pick_first(Kind::Status, reader.clock.mono())?;
    let mut batch = Vec::new();
    let cluster = reader.fleet.with(&key, |slot| {
        let facts = &slot.drain.facts;
        let read = |arn: &str| {
            facts.of(arn).and_then(|one| Some(one.sight.as_ref()?.0.began)).unwrap_or(Mono::START)
        };
        let oldest =
            slot.drain.record.container_instances.iter().min_by_key(|mine| read(&mine.arn))?;
        batch.extend(items(&key, slot, &oldest.cluster).take(IN_A_CALL));
        Some(oldest.cluster.clone())
    });
    match cluster.flatten() {
        Some(cluster) => Some((cluster, batch)),
        // A drain without a container instance has no status.
        None => {
            reader.ended(Kind::Status, [&key]);
            None
        }
    }
}

/// Fills the call with drains of the cluster that need a status within `soon`.
fn fill(
    reader: &Reader<'_>,
    cluster: &str,
    soon: Duration,
    keys: &mut BTreeSet<String>,
    batch: &mut Vec<Item>,
) {
    let ride: BTreeSet<String> = batch.iter().map(|item| item.key.clone()).collect();
    let taken = reader.fleet.pick(Kind::Status, reader.clock.mono(), soon, |key, slot| {
        if batch.len() >= IN_A_CALL {
            return Choice::Stop;
        }
        if ride.contains(key) || (!soon.is_zero() && slot.fails(Kind::Status)) {
            return Choice::Leave;
        }
        let before = batch.len();
        batch.extend(items(key, slot, cluster));
        if batch.len() > IN_A_CALL {
            batch.truncate(before);
        }
        if batch.len() > before { Choice::Take } else { Choice::Leave }
    });
    keys.extend(taken);
}

/// Fills the rest of the call with drains of the cluster that are about to be completed.
fn ride_along(reader: &Reader<'_>, cluster: &str, keys: &BTreeSet<String>, batch: &mut Vec<Item>) {
    let now = reader.clock.mono();
    for (key, slot) in reader.fleet.slots().iter() {
        if batch.len() >= IN_A_CALL {
            return;
        }
        let near = matches!(slot.drain.record.phase(), Phase::Verifying | Phase::Completing);
        let old = |read: &Read| now.since(read.ended) >= RIDES_AFTER;
        let old = slot
            .drain
            .facts
            .instances
            .iter()
            .any(|one| one.sight.as_ref().is_none_or(|(read, _)| old(read)));
        if near && old && !keys.contains(key) {
            let before = batch.len();
            batch.extend(items(key, slot, cluster));
            if batch.len() > IN_A_CALL {
                batch.truncate(before);
            }
        }
    }
}

fn items<'a>(key: &'a str, slot: &'a Slot, cluster: &'a str) -> impl Iterator<Item = Item> + 'a {
    let mine =
        slot.drain.record.container_instances.iter().filter(move |mine| mine.cluster == cluster);
    mine.map(move |mine| Item { key: key.to_owned(), arn: mine.arn.clone() })
}

/// Passes the answers to the drains. Returns the drains with an incomplete answer.
fn hand_out(
    reader: &Reader<'_>,
    read: Read,
    batch: &[Item],
    described: &Described<ContainerInstanceView>,
) -> BTreeSet<String> {
    let mut without = BTreeSet::new();
    let found: BTreeMap<&str, &ContainerInstanceView> =
        described.found.iter().map(|view| (id(&view.arn), view)).collect();
    for item in batch {
        let found = found.get(id(&item.arn)).copied();
        let failed = described.failed.iter().find(|(arn, _)| *arn == item.arn);
        let answer = match (found, failed) {
            (Some(view), _) => Answer::Status { of: item.arn.clone(), sight: sight(view) },
            (None, Some((arn, reason))) => Answer::Failed(
                Kind::Status,
                format!("ecs:DescribeContainerInstances said of {arn}: {reason}"),
            ),
            (None, None) if described.missing.contains(&item.arn) => {
                Answer::Status { of: item.arn.clone(), sight: ContainerInstanceSight::MISSING }
            }
            (None, None) => {
                let why = format!("ecs:DescribeContainerInstances said nothing of {}", item.arn);
                Answer::Failed(Kind::Status, why)
            }
        };
        if matches!(answer, Answer::Failed(..)) {
            without.insert(item.key.clone());
        }
        reader.fleet.answer(&item.key, read, answer);
    }
    without
}

pub(super) fn sight(view: &ContainerInstanceView) -> ContainerInstanceSight {
    ContainerInstanceSight {
        status: view.status.clone(),
        agent_connected: view.agent_connected,
        live: view.running.saturating_add(view.pending),
        version: view.version,
    }
}
