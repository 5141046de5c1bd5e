//! Who still sends traffic: one unfiltered look per target group and pass, however many instances share it.

use super::{Caches, NETWORK_LOOKS_APART, Subject, needs_targets};
use crate::aws::{Desired, Session, TargetHealthView};
use crate::controller::Clock;
use ecs_drain_state::{Balancer, Mono, Obligation, Observation, Record, Seen, Target, TargetSight};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Said of targets while tasks are left: their state decides nothing yet.
pub(super) const NOT_NEEDED: &str = "the load balancers are looked at once no task is left";

/// How long a delay, and a target group's kind, are believed. The delay is shown, and is a floor for strategy
/// `deregister`; a kind never changes.
const ATTRIBUTES_LAST: Mono = Mono::from_secs(3600);

/// How soon a balancer that did not say is asked again.
const UNKNOWN_LASTS: Mono = Mono::from_secs(60);

/// What was read of balancers.
#[derive(Default)]
pub struct BalancerCache {
    /// With the moment until which they are believed.
    attributes: RefCell<BTreeMap<Balancer, (Mono, Attributes)>>,
    /// When the balancers of a drain were last looked at, by the record's key.
    looked: RefCell<BTreeMap<String, Mono>>,
}

/// What rarely changes of a balancer; None where it is not known.
#[derive(Clone, Copy, Default)]
struct Attributes {
    delay_seconds: Option<u32>,
    network: Option<bool>,
}

impl BalancerCache {
    /// Whether the last look at a drain's balancers is old.
    pub(super) fn is_due(&self, key: &str, now: Mono) -> bool {
        self.looked.borrow().get(key).is_none_or(|last| now >= *last + NETWORK_LOOKS_APART)
    }

    /// Forgets a drain that is done.
    pub fn forget(&self, key: &str) {
        self.looked.borrow_mut().remove(key);
    }
}

/// What one look at every needed balancer says.
#[derive(Default)]
struct Looks {
    target_groups: BTreeMap<String, Seen<Option<Vec<TargetHealthView>>>>,
    classic: BTreeMap<String, Seen<Option<Vec<String>>>>,
    /// Descriptions of instances that a classic load balancer still lists.
    words: BTreeMap<(String, String), String>,
}

/// Fills the targets of every observation whose decision may need them.
pub(super) async fn look(
    session: &Session,
    clock: &Clock,
    caches: &Caches,
    subjects: &[Subject<'_>],
    observations: &mut [Observation],
) {
    let needed: Vec<usize> = (0..subjects.len())
        .filter(|i| needs_targets(subjects[*i].record, subjects[*i].policy, &observations[*i], caches))
        .collect();
    let balancers: BTreeSet<&Balancer> =
        needed.iter().flat_map(|i| subjects[*i].record.obligations.iter().map(|o| &o.balancer)).collect();
    let looks = read(session, &needed, subjects, &balancers).await;
    for index in needed {
        let record = subjects[index].record;
        caches.balancers.looked.borrow_mut().insert(record.key(), observations[index].begun);
        let mut targets = Vec::with_capacity(record.obligations.len());
        let mut unknown = None;
        for obligation in &record.obligations {
            match cut(session, record, obligation, &looks).await {
                Seen::Yes(sight) => targets.push(sight),
                Seen::Unknown(why) => unknown = Some(why),
            }
        }
        observations[index].targets = unknown.map_or(Seen::Yes(targets), Seen::Unknown);
    }
    fill_attributes(session, clock, caches, observations).await;
}

async fn read(session: &Session, needed: &[usize], subjects: &[Subject<'_>], balancers: &BTreeSet<&Balancer>) -> Looks {
    let mut looks = Looks::default();
    let mut names = Vec::new();
    for balancer in balancers {
        match balancer {
            Balancer::TargetGroup(arn) => {
                let health = match session.elbv2.target_health(arn).await {
                    Ok(health) => Seen::Yes(health),
                    Err(error) => Seen::Unknown(error.to_string()),
                };
                looks.target_groups.insert(arn.clone(), health);
            }
            Balancer::ClassicLoadBalancer(name) => names.push(name.clone()),
        }
    }
    if names.is_empty() {
        return looks;
    }
    match session.elb.members(&names).await {
        Ok(members) => {
            for (name, members) in members {
                words(session, &mut looks, &name, members.as_deref(), needed, subjects).await;
                looks.classic.insert(name, Seen::Yes(members));
            }
        }
        Err(error) => {
            looks.classic = names.into_iter().map(|name| (name, Seen::Unknown(error.to_string()))).collect();
        }
    }
    looks
}

/// What a classic load balancer says of those of our instances that it still lists; for display alone, so a failure
/// only leaves the words out.
async fn words(
    session: &Session,
    looks: &mut Looks,
    name: &str,
    members: Option<&[String]>,
    needed: &[usize],
    subjects: &[Subject<'_>],
) {
    let ours: Vec<String> = members
        .into_iter()
        .flatten()
        .filter(|id| needed.iter().any(|i| subjects[*i].record.instance_id == **id))
        .cloned()
        .collect();
    if ours.is_empty() {
        return;
    }
    match session.elb.instance_health(name, &ours).await {
        Ok(states) => {
            for (id, state, description) in states {
                looks.words.insert((name.to_owned(), id), format!("{state} ({description})"));
            }
        }
        Err(error) => tracing::debug!(%error, "no words for a classic load balancer's instances"),
    }
}

/// What one look says of one obligation.
async fn cut(session: &Session, record: &Record, obligation: &Obligation, looks: &Looks) -> Seen<TargetSight> {
    match (&obligation.balancer, &obligation.target) {
        (Balancer::TargetGroup(arn), target) => {
            let health = match looks.target_groups.get(arn) {
                Some(Seen::Yes(Some(health))) => health,
                // TargetGroupNotFound: nothing can be routed through a group that does not exist.
                Some(Seen::Yes(None)) => return Seen::Yes(TargetSight::Gone),
                Some(Seen::Unknown(why)) => return Seen::Unknown(why.clone()),
                None => return Seen::Unknown(format!("target group {arn} was not read")),
            };
            let (Target::Instance(id) | Target::Ip(id)) = target;
            // Every port counts: dynamic host ports make several targets of one instance.
            let mine: Vec<_> = health.iter().filter(|t| t.id == *id && !is_not_registered(t)).collect();
            let Some(worst) = mine.iter().find(|t| !t.state.starts_with("draining")).or(mine.first()) else {
                return Seen::Yes(TargetSight::Gone);
            };
            if let (Target::Ip(ip), false) = (target, worst.state.contains("draining")) {
                match owned_elsewhere(session, record, ip).await {
                    Ok(true) => return Seen::Yes(TargetSight::Gone),
                    Ok(false) => {}
                    Err(why) => return Seen::Unknown(why),
                }
            }
            Seen::Yes(present(worst))
        }
        (Balancer::ClassicLoadBalancer(name), Target::Instance(id) | Target::Ip(id)) => match looks.classic.get(name) {
            Some(Seen::Yes(Some(members))) if members.contains(id) => {
                let state = looks.words.get(&(name.clone(), id.clone())).cloned();
                let state = state.unwrap_or_else(|| "still listed".to_owned());
                let draining = state.contains("deregistration currently in progress");
                Seen::Yes(TargetSight::Present { state, draining, instance_dead: false })
            }
            Some(Seen::Yes(_)) => Seen::Yes(TargetSight::Gone),
            Some(Seen::Unknown(why)) => Seen::Unknown(why.clone()),
            None => Seen::Unknown(format!("classic load balancer {name} was not read")),
        },
    }
}

/// `unused` has four meanings; this is the only one that proves a deregistration.
/// (Source: ELBv2 API reference, `TargetHealth.Reason`.)
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

/// Addresses are used again: one that a running task on another instance owns now is not ours any more.
async fn owned_elsewhere(session: &Session, record: &Record, ip: &str) -> Result<bool, String> {
    for cluster in record.container_instances.iter().map(|c| c.cluster.as_str()).collect::<BTreeSet<_>>() {
        let arns = session.ecs.list_tasks(cluster, None, Desired::Running).await.map_err(|e| e.to_string())?;
        let described = session.ecs.describe_tasks(cluster, &arns).await.map_err(|e| e.to_string())?;
        let owner = described.found.iter().find(|t| t.last_status == "RUNNING" && t.ips.iter().any(|own| own == ip));
        if let Some(owner) = owner {
            let here = owner.container_instance.as_ref();
            return Ok(here.is_none_or(|arn| !record.container_instances.iter().any(|c| c.arn == *arn)));
        }
    }
    Ok(false)
}

/// Adds how long each balancer drains, and of what kind it is. Unknown is no harm here: the default is assumed, and that
/// it is a network load balancer.
async fn fill_attributes(session: &Session, clock: &Clock, caches: &Caches, observations: &mut [Observation]) {
    let now = clock.mono();
    for observation in observations {
        let Seen::Yes(obligations) = &mut observation.obligations else { continue };
        for obligation in obligations {
            let known = caches.balancers.attributes.borrow().get(&obligation.balancer).copied();
            let attributes = match known {
                Some((until, attributes)) if now < until => attributes,
                _ => {
                    let (attributes, lasts) = attributes(session, &obligation.balancer).await;
                    let kept = (now + lasts, attributes);
                    caches.balancers.attributes.borrow_mut().insert(obligation.balancer.clone(), kept);
                    attributes
                }
            };
            obligation.delay_seconds = attributes.delay_seconds;
            obligation.network = attributes.network;
        }
    }
}

/// What a balancer says of itself, and how long that is believed.
async fn attributes(session: &Session, balancer: &Balancer) -> (Attributes, Mono) {
    let (delay, network) = match balancer {
        Balancer::TargetGroup(arn) => {
            (session.elbv2.deregistration_delay(arn).await, session.elbv2.is_network(arn).await)
        }
        Balancer::ClassicLoadBalancer(name) => (session.elb.draining_timeout(name).await, Ok(Some(false))),
    };
    let lasts = if delay.is_ok() && network.is_ok() { ATTRIBUTES_LAST } else { UNKNOWN_LASTS };
    for error in delay.as_ref().err().into_iter().chain(network.as_ref().err()) {
        tracing::debug!(%error, "how long a balancer drains, or of what kind it is, is not known");
    }
    (Attributes { delay_seconds: delay.ok().flatten(), network: network.ok().flatten() }, lasts)
}
