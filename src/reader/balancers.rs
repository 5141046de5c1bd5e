//! What rarely changes of target groups and classic load balancers: how long they drain, and whether they are behind a
//! network load balancer. Unknown is no harm: the default delay is assumed, and that it is a network load balancer.

use super::Reader;
use crate::aws::calls::DESCRIBE_TARGET_GROUPS;
use ecs_drain_state::{Answer, Balancer, Mono, Obligation};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long they are believed. The delay is shown, and is a floor for strategy `deregister`; a kind never changes.
const LAST: Duration = Duration::from_secs(3600);

/// How soon a balancer that did not say is asked again.
const UNKNOWN_LASTS: Duration = Duration::from_secs(120);

/// How often it is looked whether a balancer has become known to some drain and is not known here.
const EVERY: Duration = Duration::from_secs(2);

/// Target groups in one call. (Source: ELBv2 API reference, DescribeTargetGroups.)
const IN_A_CALL: usize = 20;

/// What rarely changes of a balancer; None where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Attributes {
    delay_seconds: Option<u32>,
    network: Option<bool>,
}

/// What was read of balancers, with the moment until which it is believed.
#[derive(Default)]
pub(super) struct BalancerCache(RefCell<BTreeMap<Balancer, (Mono, Attributes)>>);

impl BalancerCache {
    /// The registration with what is known of its balancer.
    pub(super) fn complete(&self, mut obligation: Obligation) -> Obligation {
        if let Some((_, known)) = self.0.borrow().get(&obligation.balancer) {
            (obligation.delay_seconds, obligation.network) = (known.delay_seconds, known.network);
        }
        obligation
    }

    pub(super) fn prune(&self, now: Mono) {
        self.0.borrow_mut().retain(|_, (until, _)| now < *until + LAST);
    }
}

/// Reads, for ever, what is not known of the balancers of unfinished drains, and tells these drains.
pub(super) async fn fill(reader: &Reader<'_>) {
    loop {
        tokio::time::sleep(EVERY).await;
        if !reader.leadership.leads() {
            continue;
        }
        let wanted = wanted(reader);
        let groups: Vec<String> = wanted
            .iter()
            .filter_map(|balancer| match balancer {
                Balancer::TargetGroup(arn) => Some(arn.clone()),
                Balancer::ClassicLoadBalancer(_) => None,
            })
            .collect();
        for batch in groups.chunks(IN_A_CALL) {
            let (permit, _) = reader.turn(&DESCRIBE_TARGET_GROUPS, reader.clock.mono()).await;
            let kinds = reader.session.elbv2.group_kinds(permit, batch).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "of what kind target groups are is not known");
                BTreeMap::new()
            });
            for arn in batch {
                keep(reader, Balancer::TargetGroup(arn.clone()), |known| {
                    known.network = kinds.get(arn).copied().or(known.network)
                });
            }
        }
        for balancer in wanted {
            let (delay, network) = match &balancer {
                Balancer::TargetGroup(arn) => (reader.session.elbv2.deregistration_delay(arn).await, None),
                Balancer::ClassicLoadBalancer(name) => (reader.session.elb.draining_timeout(name).await, Some(false)),
            };
            let delay = delay.unwrap_or_else(|error| {
                tracing::debug!(%error, "how long a balancer drains is not known");
                None
            });
            keep(reader, balancer.clone(), |known| {
                known.delay_seconds = delay.or(known.delay_seconds);
                known.network = network.or(known.network);
            });
            tell(reader, &balancer);
        }
    }
}

/// The balancers of unfinished drains that have begun and of which something is not known, or not any more.
fn wanted(reader: &Reader<'_>) -> BTreeSet<Balancer> {
    let now = reader.clock.mono();
    let known = reader.caches.balancers.0.borrow();
    let slots = reader.fleet.slots();
    let all = slots.values().flat_map(|slot| slot.drain.facts.targets.iter().map(|target| &target.obligation.balancer));
    all.filter(|balancer| known.get(balancer).is_none_or(|(until, _)| now >= *until)).cloned().collect()
}

fn keep(reader: &Reader<'_>, balancer: Balancer, change: impl FnOnce(&mut Attributes)) {
    let mut all = reader.caches.balancers.0.borrow_mut();
    let entry = all.entry(balancer).or_insert((Mono::START, Attributes::default()));
    change(&mut entry.1);
    let lasts = if entry.1.delay_seconds.is_some() && entry.1.network.is_some() { LAST } else { UNKNOWN_LASTS };
    entry.0 = reader.clock.mono() + lasts;
}

/// Tells every drain that has a target there what is known of the balancer now.
fn tell(reader: &Reader<'_>, balancer: &Balancer) {
    let mut news = Vec::new();
    for (key, slot) in reader.fleet.slots().iter() {
        let mine = slot.drain.facts.targets.iter().map(|target| &target.obligation);
        let mine: Vec<Obligation> = mine.filter(|one| one.balancer == *balancer).cloned().collect();
        if !mine.is_empty() {
            let known = mine.into_iter().map(|one| reader.caches.balancers.complete(one)).collect();
            news.push((key.clone(), known));
        }
    }
    let read = reader.read(reader.clock.mono());
    for (key, known) in news {
        reader.fleet.answer(&key, read, Answer::Registrations(known));
    }
}
