//! Finds the container instances of EC2 instances. No API returns them directly: clusters are
//! searched, for many instances at once. If a cluster cannot be read in a search of all clusters,
//! the result names it, and the others count.

use super::round;
use super::status::sight;
use super::{Reader, workers};
use crate::aws::calls::{DESCRIBE_CONTAINER_INSTANCES, LIST_CONTAINER_INSTANCES};
use crate::aws::{AwsError, Permit, Session};
use crate::fleet::Choice;
use ecs_drain_state::sight::id;
use ecs_drain_state::{Answer, ContainerInstance, Kind, Mono, Phase};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Age of the last search of a drain's own clusters below which the drain does not ride along.
const APART: Duration = Duration::from_secs(2);

/// Searches of drains' own clusters that wait for a permit at once, at most.
const OWN: usize = 3;

/// Time by which a drain's own clusters are searched early if a call is made anyway.
const SOON: Duration = Duration::from_secs(10);

/// EC2 instances in one filter: 50 of them are 1 KB; AWS documents no limit.
const IN_A_FILTER: usize = 50;

/// Container instances in one call. (Source: ECS API reference, DescribeContainerInstances.)
const IN_A_CALL: usize = 100;

/// Container instances whose EC2 ids are cached. When there are more, the cache is emptied.
const KEPT: usize = 50_000;

pub(super) async fn sweep(reader: &Reader<'_>) {
    tokio::join!(round::go(reader), own(reader));
}

/// Searches the clusters in which drains' container instances are registered, for all drains of a
/// cluster that need it soon: fifty a call.
async fn own(reader: &Reader<'_>) {
    workers(OWN, || async {
        loop {
            let (permit, began) = reader.turn_of(Kind::Own, &LIST_CONTAINER_INSTANCES).await;
            let first = reader.fleet.pick_first(Kind::Own, began);
            let Some((first, record)) =
                first.and_then(|key| Some((key.clone(), reader.fleet.record(&key)?)))
            else {
                permit.give_back();
                continue;
            };
            let clusters: BTreeSet<String> =
                record.container_instances.iter().map(|mine| mine.cluster.clone()).collect();
            let mut keys = BTreeMap::from([(first, record.instance_id)]);
            reader.fleet.pick(Kind::Own, reader.clock.mono(), SOON, |key, slot| {
                let record = &slot.drain.record;
                if keys.len() >= IN_A_FILTER {
                    return Choice::Stop;
                }
                if !record.container_instances.iter().all(|mine| clusters.contains(&mine.cluster)) {
                    return Choice::Leave;
                }
                keys.insert(key.to_owned(), record.instance_id.clone());
                Choice::Take
            });
            let picked: Vec<String> = keys.keys().cloned().collect();
            ride_along(reader, &clusters, &mut keys);
            let ids: Vec<String> = keys.values().cloned().collect();
            let mut permit = Some(permit);
            let mut found = ById::new();
            let mut failed = None;
            for cluster in &clusters {
                match filtered(reader, permit.take(), began, cluster, &ids).await {
                    Ok(some) => some
                        .into_iter()
                        .for_each(|(id, one)| found.entry(id).or_default().push(one)),
                    Err(error) => failed = Some(error),
                }
            }
            if let Some(error) = failed {
                reader.failed(Kind::Own, &picked, began, &error);
                continue;
            }
            let read = reader.read(began);
            for (key, id) in &keys {
                reader.fleet.answer(
                    key,
                    read,
                    Answer::Own { found: found.get(id).cloned().unwrap_or_default() },
                );
            }
            reader.ended(Kind::Own, &picked);
        }
    })
    .await;
}

/// Fills the call with drains that will need the same search soon.
fn ride_along(
    reader: &Reader<'_>,
    clusters: &BTreeSet<String>,
    keys: &mut BTreeMap<String, String>,
) {
    let slots = reader.fleet.slots();
    for phases in [&[Phase::Verifying, Phase::Completing][..], &[Phase::Waiting][..]] {
        for (key, slot) in slots.iter() {
            if keys.len() >= IN_A_FILTER {
                return;
            }
            let record = &slot.drain.record;
            let lately = slot
                .drain
                .facts
                .search
                .own
                .is_some_and(|read| reader.clock.mono().since(read.began) < APART);
            let near = phases.contains(&record.phase()) && !lately;
            if near
                && record.container_instances.iter().all(|mine| clusters.contains(&mine.cluster))
            {
                keys.entry(key.clone()).or_insert_with(|| record.instance_id.clone());
            }
        }
    }
}

/// Container instances that were found, by EC2 instance id.
type ById = BTreeMap<String, Vec<ContainerInstance>>;

/// Finds these EC2 instances in a cluster: with filters, or by listing the whole cluster if that
/// takes fewer calls.
pub(super) async fn one_cluster(
    reader: &Reader<'_>,
    permit: Permit,
    due: Mono,
    cluster: &str,
    ids: &[String],
    size: Option<u32>,
) -> Result<Vec<(String, ContainerInstance)>, AwsError> {
    let filters = ids.len().div_ceil(IN_A_FILTER);
    let pages = size.map(|size| (size as usize).div_ceil(IN_A_CALL));
    if pages.is_some_and(|pages| pages.max(1) < filters) {
        let arns = reader.session.ecs.registered(permit, cluster, &[]).await?;
        return matched(reader, due, cluster, arns.into_iter().collect(), ids).await;
    }
    let mut permit = Some(permit);
    let mut found = Vec::new();
    for some in ids.chunks(IN_A_FILTER) {
        found.extend(filtered(reader, permit.take(), due, cluster, some).await?);
    }
    Ok(found)
}

/// Returns the container instances of at most fifty EC2 instances in a cluster.
async fn filtered(
    reader: &Reader<'_>,
    permit: Option<Permit>,
    due: Mono,
    cluster: &str,
    ids: &[String],
) -> Result<Vec<(String, ContainerInstance)>, AwsError> {
    let permit = match permit {
        Some(permit) => permit,
        None => reader.turn(&LIST_CONTAINER_INSTANCES, due).await.0,
    };
    let arns = reader.session.ecs.registered(permit, cluster, ids).await?;
    matched(reader, due, cluster, arns.into_iter().collect(), ids).await
}

/// Matches each container instance to its EC2 instance. A filter only narrows the answer; it is no
/// proof.
async fn matched(
    reader: &Reader<'_>,
    due: Mono,
    cluster: &str,
    arns: BTreeSet<String>,
    ids: &[String],
) -> Result<Vec<(String, ContainerInstance)>, AwsError> {
    let known = |arn: &String| reader.caches.ec2.borrow().get(id(arn)).cloned();
    let new: Vec<String> = arns.iter().filter(|arn| known(arn).is_none()).cloned().collect();
    for batch in new.chunks(IN_A_CALL) {
        let (permit, began) = reader.turn(&DESCRIBE_CONTAINER_INSTANCES, due).await;
        let described = reader.session.ecs.container_instances(permit, cluster, batch).await?;
        if let Some((arn, reason)) = described.failed.first() {
            return Err(AwsError::incomplete(&DESCRIBE_CONTAINER_INSTANCES, arn, reason));
        }
        let views = || described.found.iter();
        reader
            .searches
            .saw(reader.read(began), views().map(|view| (view.arn.clone(), sight(view))));
        let mut all = reader.caches.ec2.borrow_mut();
        if all.len() > KEPT {
            all.clear();
        }
        all.extend(
            views()
                .filter_map(|view| Some((id(&view.arn).to_owned(), view.ec2_instance_id.clone()?))),
        );
    }
    let wanted: BTreeSet<&String> = ids.iter().collect();
    let pairs = arns.into_iter().filter_map(|arn| Some((known(&arn)?, arn)));
    Ok(pairs
        .filter(|(id, _)| wanted.contains(id))
        .map(|(id, arn)| (id, container_instance(cluster, arn)))
        .collect())
}

fn container_instance(cluster: &str, arn: String) -> ContainerInstance {
    ContainerInstance {
        cluster: cluster.to_owned(),
        arn,
        draining_is_ours: false,
        deregistered_at: None,
        drained_for_seconds: 0,
        gone_for_seconds: 0,
    }
}

/// Searches every cluster once for these EC2 instances, for a command.
///
/// # Errors
/// Returns an error if any cluster could not be read completely: an instance is nowhere only after
/// complete reads.
pub async fn search(session: &Session, ids: &[String]) -> Result<ById, AwsError> {
    let mut found: ById = ids.iter().map(|id| (id.clone(), Vec::new())).collect();
    for cluster in session.ecs.list_clusters().await? {
        let name = cluster.rsplit('/').next().unwrap_or(&cluster);
        let arns = session.ecs.list_container_instances(name, ids).await?;
        if arns.is_empty() {
            continue;
        }
        let described = session.ecs.describe_container_instances(name, &arns).await?;
        if let Some((arn, reason)) = described.failed.into_iter().next() {
            return Err(AwsError::incomplete(&DESCRIBE_CONTAINER_INSTANCES, &arn, &reason));
        }
        for view in described.found.into_iter().filter(|view| !view.status.is_gone()) {
            if let Some(list) = view.ec2_instance_id.as_ref().and_then(|id| found.get_mut(id)) {
                list.push(container_instance(name, view.arn));
            }
        }
    }
    Ok(found)
}
