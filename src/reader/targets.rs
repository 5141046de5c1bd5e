//! Reads targets: one unfiltered read of each target group, however many drains share it.

use super::tasks::IN_A_CALL;
use super::{Reader, workers};
use crate::aws::calls::{
    DESCRIBE_LOAD_BALANCERS, DESCRIBE_TARGET_HEALTH, DESCRIBE_TASKS, LIST_TASKS,
};
use crate::aws::{AwsError, Desired, TargetHealthView};
use crate::fleet::{Choice, Slot};
use ecs_drain_state::sight::id;
use ecs_drain_state::{Answer, Balancer, Kind, Mono, Obligation, Phase, Read, Target, TargetSight};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Calls that wait for a permit at once, at most.
const WORKERS: usize = 4;

/// Number of drains with a target at a balancer for which its next read waits one second, and the
/// longest wait. A wave of drains is served by one read then.
const DRAINS_A_SECOND: u32 = 40;
const APART: Duration = Duration::from_secs(5);

/// Time for which the owners of a cluster's addresses are used, and after which a failed read of
/// them is repeated.
const OWNERS_LAST: Duration = Duration::from_secs(30);

/// Container instance that runs the task with an address, in one cluster.
type ByAddress = BTreeMap<String, String>;

/// State of the target reads.
#[derive(Default)]
pub(super) struct Owners {
    /// Owners of addresses by cluster, with the time until which they are used; `None` if they
    /// could not be read.
    owners: RefCell<BTreeMap<String, (Mono, Option<ByAddress>)>>,
    /// Held while the owners of a cluster's addresses are read. Others that need them wait for that
    /// read.
    reading: RefCell<BTreeMap<String, Rc<Mutex<()>>>>,
    /// Balancers that are being read.
    asked: RefCell<BTreeSet<Balancer>>,
    /// Earliest time of each balancer's next read.
    next: RefCell<BTreeMap<Balancer, Mono>>,
}

impl Owners {
    pub(super) fn prune(&self, now: Mono) {
        self.next.borrow_mut().retain(|_, next| *next > now);
        self.owners.borrow_mut().retain(|_, (until, _)| *until > now);
        self.reading.borrow_mut().retain(|_, alone| Rc::strong_count(alone) > 1);
    }
}

/// Answer of a balancer; `None` if it does not exist.
enum Said {
    Targets(Option<Vec<TargetHealthView>>),
    /// Instances that it lists, and the health descriptions of drained instances, listed or not.
    Classic(Option<Vec<String>>, BTreeMap<String, String>),
}

pub(super) async fn sweep(reader: &Reader<'_>) {
    workers(WORKERS, || async {
        loop {
            reader.wanted(Kind::Targets).await;
            let (key, balancer) = match first(reader) {
                Ok(first) => first,
                Err(wait) => {
                    tokio::time::sleep(wait.clamp(super::IDLE, super::TICK)).await;
                    continue;
                }
            };
            let due = reader
                .fleet
                .with(&key, |slot| slot.due(Kind::Targets))
                .flatten()
                .unwrap_or_default();
            let (answer, began) = ask(reader, &balancer, due).await;
            reader.caches.owners.asked.borrow_mut().remove(&balancer);
            let mut keys = sharing(reader, &balancer);
            let apart = Duration::from_secs(1)
                .saturating_mul(u32::try_from(keys.len()).unwrap_or(u32::MAX));
            let next = began + (apart / DRAINS_A_SECOND).min(APART);
            reader.caches.owners.next.borrow_mut().insert(balancer.clone(), next);
            match answer {
                Ok(said) => {
                    hand_out(reader, reader.read(began), &keys, &balancer, &said).await;
                    reader.ended(Kind::Targets, [&key]);
                }
                Err(error) => {
                    keys.insert(key.clone());
                    let read = reader.read(began);
                    for other in keys.iter().filter(|other| **other != key) {
                        reader.fleet.answer(
                            other,
                            read,
                            Answer::Failed(Kind::Targets, error.to_string()),
                        );
                    }
                    reader.failed(Kind::Targets, [&key], began, &error);
                }
            }
        }
    })
    .await;
}

/// Returns the most urgent drain and its balancer with the oldest read, or the time to wait.
fn first(reader: &Reader<'_>) -> Result<(String, Balancer), Duration> {
    let now = reader.clock.mono();
    let mut asked = reader.caches.owners.asked.borrow_mut();
    let next = reader.caches.owners.next.borrow();
    let mut balancer = None;
    let mut wait = Duration::MAX;
    let mut done = false;
    let taken = reader.fleet.pick(Kind::Targets, now, Duration::ZERO, |_, slot| {
        if done {
            return Choice::Stop;
        }
        let record = &slot.drain.record;
        let mine =
            slot.drain.facts.targets.iter().filter(|target| record.waits_for(&target.obligation));
        let oldest = mine.min_by_key(|target| target.read().map_or(Mono::START, |read| read.began));
        let oldest = oldest.map(|target| target.obligation.balancer.clone());
        // Another worker reads it, and its answer serves this drain too.
        if oldest.as_ref().is_some_and(|oldest| asked.contains(oldest)) {
            return Choice::Leave;
        }
        if let Some(next) =
            oldest.as_ref().and_then(|oldest| next.get(oldest)).filter(|next| **next > now)
        {
            wait = wait.min(next.since(now));
            return Choice::Leave;
        }
        (balancer, done) = (oldest, true);
        Choice::Take
    });
    // If another worker reads it, the answer comes soon.
    let key =
        taken.into_iter().next().ok_or(if wait == Duration::MAX { super::IDLE } else { wait })?;
    match balancer {
        Some(balancer) => {
            asked.insert(balancer.clone());
            Ok((key, balancer))
        }
        None => {
            drop(asked);
            reader.ended(Kind::Targets, [&key]);
            Err(Duration::ZERO)
        }
    }
}

/// Returns every drain that has a target at this balancer.
fn sharing(reader: &Reader<'_>, balancer: &Balancer) -> BTreeSet<String> {
    let has = |slot: &Slot| {
        slot.drain.facts.targets.iter().any(|target| target.obligation.balancer == *balancer)
    };
    reader.fleet.slots().iter().filter(|(_, slot)| has(slot)).map(|(key, _)| key.clone()).collect()
}

async fn ask(
    reader: &Reader<'_>,
    balancer: &Balancer,
    due: Mono,
) -> (Result<Said, AwsError>, Mono) {
    match balancer {
        Balancer::TargetGroup(arn) => {
            let (permit, began) = reader.turn(&DESCRIBE_TARGET_HEALTH, due).await;
            (reader.session.elbv2.targets(permit, arn).await.map(Said::Targets), began)
        }
        Balancer::ClassicLoadBalancer(name) => {
            let (permit, began) = reader.turn(&DESCRIBE_LOAD_BALANCERS, due).await;
            let answer = reader.session.elb.listed(permit, std::slice::from_ref(name)).await;
            let members = match answer {
                Ok(mut members) => members.remove(name).flatten(),
                Err(error) => return (Err(error), began),
            };
            let words = words(reader, balancer, name, members.as_deref()).await;
            (words.map(|words| Said::Classic(members, words)), began)
        }
    }
}

/// Reads the health descriptions of drained instances from a classic load balancer. For an instance
/// that is listed they are for display only, so a failure only omits them. AWS does not document
/// whether an instance is listed while its connections drain; if it is not, only these descriptions
/// show that.
async fn words(
    reader: &Reader<'_>,
    balancer: &Balancer,
    name: &str,
    members: Option<&[String]>,
) -> Result<BTreeMap<String, String>, AwsError> {
    let Some(members) = members else { return Ok(BTreeMap::new()) };
    let ours: BTreeSet<String> = {
        let slots = reader.fleet.slots();
        let targets = slots
            .values()
            .flat_map(|slot| slot.drain.facts.targets.iter().map(|target| &target.obligation));
        let ids =
            targets.filter(|one| one.balancer == *balancer).filter_map(|one| match &one.target {
                Target::Instance(id) => Some(id.clone()),
                Target::Ip(_) => None,
            });
        ids.collect()
    };
    let (listed, unlisted): (Vec<String>, Vec<String>) =
        ours.into_iter().partition(|id| members.contains(id));
    let mut states =
        reader.session.elb.instance_health(name, &listed).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "Classic load balancer states not read");
            Vec::new()
        });
    states.extend(reader.session.elb.instance_health(name, &unlisted).await?);
    Ok(states
        .into_iter()
        .map(|(id, state, description)| (id, format!("{state} ({description})")))
        .collect())
}

async fn hand_out(
    reader: &Reader<'_>,
    read: Read,
    keys: &BTreeSet<String>,
    balancer: &Balancer,
    said: &Said,
) {
    let worst = match said {
        Said::Targets(Some(health)) => worst(health),
        Said::Targets(None) | Said::Classic(..) => BTreeMap::new(),
    };
    for key in keys {
        let targets: Vec<Obligation> = {
            let slots = reader.fleet.slots();
            let Some(slot) = slots.get(key) else { continue };
            let mine = slot.drain.facts.targets.iter().map(|target| &target.obligation);
            mine.filter(|one| one.balancer == *balancer).cloned().collect()
        };
        let mut sights = Vec::with_capacity(targets.len());
        for obligation in targets {
            let sight = sight(&obligation.target, said, &worst);
            let sight = match (&obligation.target, &sight) {
                (Target::Ip(ip), TargetSight::Present { draining: false, .. }) => {
                    let elsewhere = owned_elsewhere(reader, key, ip).await;
                    if elsewhere { TargetSight::Gone } else { sight }
                }
                (Target::Ip(_) | Target::Instance(_), _) => sight,
            };
            sights.push((obligation.balancer, obligation.target, sight));
        }
        reader.fleet.answer(key, read, Answer::Targets(sights));
    }
}

/// Returns the health of each target by its id. If a target has several ports, the one that is not
/// drained yet counts.
fn worst(health: &[TargetHealthView]) -> BTreeMap<&str, &TargetHealthView> {
    let mut worst: BTreeMap<&str, &TargetHealthView> = BTreeMap::new();
    for target in health.iter().filter(|target| !is_not_registered(target)) {
        let known = worst.entry(target.id.as_str()).or_insert(target);
        if known.state == "draining" {
            *known = target;
        }
    }
    worst
}

fn sight(target: &Target, said: &Said, worst: &BTreeMap<&str, &TargetHealthView>) -> TargetSight {
    let (Target::Instance(id) | Target::Ip(id)) = target;
    match said {
        // TargetGroupNotFound: a target group that does not exist routes no traffic.
        Said::Targets(None) | Said::Classic(None, _) => TargetSight::Gone,
        // Every port counts: dynamic host ports make several targets of one instance.
        Said::Targets(Some(_)) => {
            worst.get(id.as_str()).map_or(TargetSight::Gone, |target| present(target))
        }
        Said::Classic(Some(members), words) => {
            let state = words.get(id);
            let draining =
                state.is_some_and(|state| state.contains("deregistration currently in progress"));
            if !draining && !members.contains(id) {
                return TargetSight::Gone;
            }
            let state = state.cloned().unwrap_or_else(|| "still listed".to_owned());
            TargetSight::Present { state, draining, instance_dead: false }
        }
    }
}

/// Checks for the reason that proves a deregistration. `unused` has four reasons, and only this one
/// does. (Source: ELBv2 API reference, `TargetHealth.Reason`.)
fn is_not_registered(target: &TargetHealthView) -> bool {
    target.state == "unused" && target.reason.as_deref() == Some("Target.NotRegistered")
}

fn present(target: &TargetHealthView) -> TargetSight {
    let reason = target.reason.as_deref();
    let port = target.port.map(|p| format!(" on port {p}")).unwrap_or_default();
    TargetSight::Present {
        state: match reason {
            Some(reason) => format!("{} ({reason}){port}", target.state),
            None => format!("{}{port}", target.state),
        },
        draining: target.state == "draining",
        instance_dead: reason == Some("Target.InvalidState"),
    }
}

/// Checks whether a running task on another instance owns the address now: addresses are reused,
/// and then it is no longer the drain's target. It is checked only if no other target is left, with
/// one list of the cluster for all drains.
async fn owned_elsewhere(reader: &Reader<'_>, key: &str, ip: &str) -> bool {
    let asked = reader.fleet.with(key, |slot| {
        let record = &slot.drain.record;
        let due = matches!(record.phase(), Phase::Verifying | Phase::Completing);
        let clusters: BTreeSet<String> =
            record.container_instances.iter().map(|mine| mine.cluster.clone()).collect();
        let mine = record.container_instances.iter().map(|mine| id(&mine.arn).to_owned());
        let mine: BTreeSet<String> = mine.collect();
        due.then_some((clusters, mine))
    });
    let Some((clusters, mine)) = asked.flatten() else { return false };
    for cluster in clusters {
        if let Some(owner) = owner(reader, &cluster, ip).await {
            return !mine.contains(id(&owner));
        }
    }
    false
}

/// Returns the container instance of the running task that owns an address in a cluster, or `None`
/// if no task does or it is unknown.
pub(super) async fn owner(reader: &Reader<'_>, cluster: &str, ip: &str) -> Option<String> {
    let known = &reader.caches.owners.owners;
    let is_young =
        || known.borrow().get(cluster).is_some_and(|(until, _)| reader.clock.mono() < *until);
    let reading =
        reader.caches.owners.reading.borrow_mut().entry(cluster.to_owned()).or_default().clone();
    let _alone = reading.lock().await;
    if !is_young() {
        let read = match owners(reader, cluster).await {
            // A container instance that starts no tasks gets no address, so an address that
            // belonged to another one at the read is not the drain's since. The tasks of a large
            // cluster take longer to read.
            Ok((began, owners)) => {
                let ended = reader.clock.mono();
                (ended + ended.since(began).clamp(OWNERS_LAST, OWNERS_LAST * 2), Some(owners))
            }
            Err(error) => {
                tracing::debug!(%error, "Owner of an address not read; its target counts as the drain's");
                (reader.clock.mono() + OWNERS_LAST, None)
            }
        };
        known.borrow_mut().insert(cluster.to_owned(), read);
    }
    let known = known.borrow();
    known.get(cluster).and_then(|(_, owners)| owners.as_ref()?.get(ip).cloned())
}

/// Reads the owners of a cluster's addresses. Returns them with the time from which they count.
async fn owners(reader: &Reader<'_>, cluster: &str) -> Result<(Mono, ByAddress), AwsError> {
    let (permit, began) = reader.turn(&LIST_TASKS, reader.clock.mono()).await;
    let arns = reader.session.ecs.tasks_of(permit, cluster, None, Desired::Running).await?;
    let mut owners = ByAddress::new();
    for batch in arns.chunks(IN_A_CALL) {
        let (permit, _) = reader.turn(&DESCRIBE_TASKS, reader.clock.mono()).await;
        for task in reader.session.ecs.tasks(permit, cluster, batch).await?.found {
            if let (Some(on), "RUNNING") = (&task.container_instance, task.last_status.as_str()) {
                owners.extend(task.ips.iter().map(|ip| (ip.clone(), on.clone())));
            }
        }
    }
    Ok((began, owners))
}
