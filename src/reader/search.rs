//! Which container instances are one EC2 instance? No API says so directly: every cluster is asked, for all who want to
//! know at once. A cluster that cannot be read is named, and concerns only itself.

use super::{Reader, workers};
use crate::aws::calls::{DESCRIBE_CLUSTERS, DESCRIBE_CONTAINER_INSTANCES, LIST_CLUSTERS, LIST_CONTAINER_INSTANCES};
use crate::aws::{AwsError, Permit, Session};
use crate::fleet::Choice;
use ecs_drain_state::{Answer, ContainerInstance, Kind, Mono, Phase, Read};
use futures_util::stream::{self, StreamExt};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::Notify;

/// How far apart two searches of one worker are, at least: whoever wants one meanwhile joins the next.
const APART: Duration = Duration::from_secs(2);

/// How many searches go on at once: a long one must not keep an instance waiting that is taken away in two minutes.
const SEARCHES: usize = 2;

/// How many searches of drains' own clusters wait for their turn at once, at most.
const OWN: usize = 3;

/// How much sooner than wanted a drain's own clusters are searched where a call is made anyway.
const SOON: Duration = Duration::from_secs(10);

/// How many clusters are asked at once.
const AT_ONCE: usize = 4;

/// EC2 instances in one filter: 50 of them are 1 KB; AWS documents no limit.
const IN_A_FILTER: usize = 50;

/// Names of clusters, or container instances, in one call. (Source: ECS API reference, DescribeClusters.)
const IN_A_CALL: usize = 100;

/// How many container instances' EC2 ids are kept; beyond that all are read again in time.
const KEPT: usize = 50_000;

/// What a search found of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// When the search was made.
    pub read: Read,
    /// The clusters that could not be read.
    pub unread: Vec<String>,
    /// Every container instance of it, in the others.
    pub found: Vec<ContainerInstance>,
}

/// Searches for instances that have no drain yet, and the newest answers.
#[derive(Default)]
pub struct Searches {
    wanted: RefCell<BTreeMap<String, Mono>>,
    found: RefCell<BTreeMap<String, Found>>,
    /// Which EC2 instance each container instance is: that never changes.
    ec2: RefCell<BTreeMap<String, String>>,
    bell: Notify,
    /// Rung when a search has ended.
    pub answered: Notify,
}

impl Searches {
    /// Asks for a search that begins at `since` or later.
    pub fn want(&self, instance_id: &str, since: Mono) {
        if self.found.borrow().get(instance_id).is_none_or(|found| found.read.began < since) {
            self.wanted.borrow_mut().insert(instance_id.to_owned(), since);
            self.bell.notify_one();
        }
    }

    /// The newest search for an instance.
    pub fn get(&self, instance_id: &str) -> Option<Found> {
        self.found.borrow().get(instance_id).cloned()
    }

    /// Forgets an instance whose drain is done, or that need not be known any more.
    pub fn forget(&self, instance_id: &str) {
        self.wanted.borrow_mut().remove(instance_id);
        self.found.borrow_mut().remove(instance_id);
    }

    /// Forgets every instance but these.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.found.borrow_mut().retain(|id, _| keep(id));
    }

    fn due(&self, now: Mono) -> Vec<String> {
        self.wanted.borrow().iter().filter(|(_, since)| **since <= now).map(|(id, _)| id.clone()).collect()
    }
}

pub(super) async fn sweep(reader: &Reader<'_>) {
    tokio::join!(everywhere(reader), own(reader));
}

/// Searches the clusters in which drains' container instances are registered, for all drains of a cluster that want it
/// soon: fifty a call.
async fn own(reader: &Reader<'_>) {
    workers(OWN, || async {
        loop {
            reader.wanted(Kind::Own).await;
            let Some(first) = reader.fleet.pick_first(Kind::Own, reader.clock.mono()) else {
                tokio::time::sleep(super::IDLE).await;
                continue;
            };
            let Some(record) = reader.fleet.record(&first) else { continue };
            let clusters: BTreeSet<String> =
                record.container_instances.iter().map(|mine| mine.cluster.clone()).collect();
            let mut keys = BTreeMap::from([(first, record.instance_id)]);
            let (permit, began) = reader.turn(&LIST_CONTAINER_INSTANCES).await;
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
                match filtered(reader, permit.take(), cluster, &ids).await {
                    Ok(some) => some.into_iter().for_each(|(id, one)| found.entry(id).or_default().push(one)),
                    Err(error) => failed = Some(error),
                }
            }
            if let Some(error) = failed {
                reader.failed(Kind::Own, &picked, began, &error);
                continue;
            }
            let read = reader.read(began);
            for (key, id) in &keys {
                reader.fleet.answer(key, read, Answer::Own { found: found.get(id).cloned().unwrap_or_default() });
            }
            reader.ended(Kind::Own, &picked);
        }
    })
    .await;
}

/// Fills the call with other drains that will want the same before long.
fn ride_along(reader: &Reader<'_>, clusters: &BTreeSet<String>, keys: &mut BTreeMap<String, String>) {
    let slots = reader.fleet.slots();
    for phases in [&[Phase::Verifying, Phase::Completing][..], &[Phase::Waiting][..]] {
        for (key, slot) in slots.iter() {
            if keys.len() >= IN_A_FILTER {
                return;
            }
            let record = &slot.drain.record;
            let lately = slot.drain.facts.search.own.is_some_and(|read| reader.clock.mono().since(read.began) < APART);
            let near = phases.contains(&record.phase) && !lately;
            if near && record.container_instances.iter().all(|mine| clusters.contains(&mine.cluster)) {
                keys.entry(key.clone()).or_insert_with(|| record.instance_id.clone());
            }
        }
    }
}

async fn everywhere(reader: &Reader<'_>) {
    workers(SEARCHES, || async {
        loop {
            wait(reader).await;
            let now = reader.clock.mono();
            let keys = reader.fleet.pick(Kind::Sweep, now, Duration::ZERO, |_, _| Choice::Take);
            let fresh = reader.searches.due(now);
            for id in &fresh {
                reader.searches.wanted.borrow_mut().remove(id);
            }
            let of_drains = keys.iter().filter_map(|key| reader.fleet.record(key).map(|record| record.instance_id));
            let ids: BTreeSet<String> = of_drains.chain(fresh.iter().cloned()).collect();
            if ids.is_empty() {
                continue;
            }
            match every_cluster(reader, &ids).await {
                Ok((read, unread, mut found)) => {
                    for key in &keys {
                        let Some(record) = reader.fleet.record(key) else { continue };
                        let found = found.get(&record.instance_id).cloned().unwrap_or_default();
                        reader.fleet.answer(key, read, Answer::Search { unread: unread.clone(), found });
                    }
                    reader.ended(Kind::Sweep, &keys);
                    for id in fresh {
                        let found = found.remove(&id).unwrap_or_default();
                        let answer = Found { read, unread: unread.clone(), found };
                        reader.searches.found.borrow_mut().insert(id, answer);
                    }
                    reader.searches.answered.notify_waiters();
                }
                Err(error) => {
                    tracing::error!(%error, "the clusters cannot be searched; where instances are is not known");
                    reader.failed(Kind::Sweep, &keys, now, &error);
                    let again = reader.clock.mono() + APART * 3;
                    let mut wanted = reader.searches.wanted.borrow_mut();
                    for id in fresh {
                        wanted.entry(id).or_insert(again);
                    }
                }
            }
            tokio::time::sleep(APART).await;
        }
    })
    .await;
}

/// Waits until somebody wants a search, and this replica leads.
async fn wait(reader: &Reader<'_>) {
    loop {
        let now = reader.clock.mono();
        let wanted =
            !reader.searches.due(now).is_empty() || reader.fleet.next(Kind::Sweep).is_some_and(|next| next <= now);
        if wanted && reader.leadership.leads() {
            return;
        }
        tokio::select! {
            biased;
            () = reader.searches.bell.notified() => {}
            () = tokio::time::sleep(super::TICK) => {}
        }
    }
}

/// What was found, by EC2 instance id.
type ById = BTreeMap<String, Vec<ContainerInstance>>;

/// Searches every cluster for these instances.
///
/// # Errors
/// When not even the clusters could be listed.
async fn every_cluster(reader: &Reader<'_>, ids: &BTreeSet<String>) -> Result<(Read, Vec<String>, ById), AwsError> {
    let (permit, began) = reader.turn(&LIST_CLUSTERS).await;
    let clusters = reader.session.ecs.clusters(permit).await?;
    let mut sizes = BTreeMap::new();
    // Worth asking only where filters would take more than one call a cluster, or many clusters may be empty.
    if ids.len() > IN_A_FILTER || clusters.len() > IN_A_FILTER {
        for batch in clusters.chunks(IN_A_CALL) {
            let (permit, _) = reader.turn(&DESCRIBE_CLUSTERS).await;
            match reader.session.ecs.cluster_sizes(permit, batch).await {
                Ok(some) => sizes.extend(some),
                Err(error) => tracing::debug!(%error, "how large clusters are is not known"),
            }
        }
    }
    let ids: Vec<String> = ids.iter().cloned().collect();
    let sizes = &sizes;
    let asked = stream::iter(&clusters)
        .map(|cluster| {
            let ids = &ids;
            async move { (cluster, one_cluster(reader, cluster, ids, sizes.get(cluster).copied()).await) }
        })
        .buffer_unordered(AT_ONCE);
    let answers: Vec<_> = asked.collect().await;
    let (mut unread, mut found) = (Vec::new(), ById::new());
    for (cluster, answer) in answers {
        match answer {
            Ok(some) => some.into_iter().for_each(|(id, one)| found.entry(id).or_default().push(one)),
            Err(error) => {
                tracing::warn!(cluster, %error, "a cluster cannot be searched");
                unread.push(cluster.clone());
            }
        }
    }
    found.values_mut().for_each(|all| all.sort());
    unread.sort();
    Ok((reader.read(began), unread, found))
}

async fn one_cluster(
    reader: &Reader<'_>,
    cluster: &str,
    ids: &[String],
    size: Option<u32>,
) -> Result<Vec<(String, ContainerInstance)>, AwsError> {
    let ecs = &reader.session.ecs;
    let filters = ids.len().div_ceil(IN_A_FILTER);
    let pages = size.map(|size| (size as usize).div_ceil(IN_A_CALL));
    let mut arns = BTreeSet::new();
    if size == Some(0) {
        // Most clusters of many accounts run on Fargate alone.
        return Ok(Vec::new());
    }
    if pages.is_some_and(|pages| pages.max(1) < filters) {
        let (permit, _) = reader.turn(&LIST_CONTAINER_INSTANCES).await;
        arns.extend(ecs.registered(permit, cluster, &[]).await?);
    } else {
        let mut found = Vec::new();
        for some in ids.chunks(IN_A_FILTER) {
            found.extend(filtered(reader, None, cluster, some).await?);
        }
        return Ok(found);
    }
    matched(reader, cluster, arns, ids).await
}

/// The container instances of at most fifty EC2 instances in a cluster.
async fn filtered(
    reader: &Reader<'_>,
    permit: Option<Permit>,
    cluster: &str,
    ids: &[String],
) -> Result<Vec<(String, ContainerInstance)>, AwsError> {
    let permit = match permit {
        Some(permit) => permit,
        None => reader.turn(&LIST_CONTAINER_INSTANCES).await.0,
    };
    let arns = reader.session.ecs.registered(permit, cluster, ids).await?;
    matched(reader, cluster, arns.into_iter().collect(), ids).await
}

/// A filter narrows the answer, it does not prove it: which EC2 instance each container instance is, is matched here.
async fn matched(
    reader: &Reader<'_>,
    cluster: &str,
    arns: BTreeSet<String>,
    ids: &[String],
) -> Result<Vec<(String, ContainerInstance)>, AwsError> {
    let known = |arn: &String| reader.searches.ec2.borrow().get(arn).cloned();
    let new: Vec<String> = arns.iter().filter(|arn| known(arn).is_none()).cloned().collect();
    for batch in new.chunks(IN_A_CALL) {
        let (permit, _) = reader.turn(&DESCRIBE_CONTAINER_INSTANCES).await;
        let described = reader.session.ecs.container_instances(permit, cluster, batch).await?;
        if let Some((arn, reason)) = described.failed.into_iter().next() {
            return Err(AwsError::incomplete(&DESCRIBE_CONTAINER_INSTANCES, &arn, &reason));
        }
        let mut all = reader.searches.ec2.borrow_mut();
        if all.len() > KEPT {
            all.clear();
        }
        let views = described.found.into_iter();
        all.extend(views.filter_map(|view| Some((view.arn, view.ec2_instance_id?))));
    }
    let wanted: BTreeSet<&String> = ids.iter().collect();
    let pairs = arns.into_iter().filter_map(|arn| Some((known(&arn)?, arn)));
    Ok(pairs.filter(|(id, _)| wanted.contains(id)).map(|(id, arn)| (id, container_instance(cluster, arn))).collect())
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

/// Searches every cluster once for these EC2 instances, for a person who asks.
///
/// # Errors
/// As soon as one cluster could not be read completely: an instance is "nowhere" only after complete reads.
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
