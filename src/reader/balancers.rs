//! What rarely changes of target groups and classic load balancers: how long they drain, and
//! whether they are behind a network load balancer. Unknown is no harm: the default delay is
//! assumed, and that it is a network load balancer.

use super::Reader;
use crate::aws::calls::{
    DESCRIBE_LOAD_BALANCER_ATTRIBUTES, DESCRIBE_TARGET_GROUP_ATTRIBUTES, DESCRIBE_TARGET_GROUPS,
};
use ecs_drain_state::{Answer, Balancer, Class, Mono, Obligation};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long they are believed. The delay is shown, and is a floor for strategy `deregister`; a kind
/// never changes.
const LAST: Duration = Duration::from_secs(3600);

/// How soon a balancer that did not say is asked again; it doubles with each time in a row, up to
/// [`LAST`].
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

/// What was read of a balancer.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    attributes: Attributes,
    /// Until when that is believed.
    until: Mono,
    /// How often in a row it was asked, and something stayed unknown.
    failures: u32,
}

/// What was read of balancers.
#[derive(Default)]
pub(super) struct BalancerCache(RefCell<BTreeMap<Balancer, Known>>);

impl BalancerCache {
    /// The registration with what is known of its balancer.
    pub(super) fn complete(&self, mut obligation: Obligation) -> Obligation {
        if let Some(Known { attributes, .. }) = self.0.borrow().get(&obligation.balancer) {
            (obligation.delay_seconds, obligation.network) =
                (attributes.delay_seconds, attributes.network);
        }
        obligation
    }

    pub(super) fn prune(&self, now: Mono) {
        self.0.borrow_mut().retain(|_, known| now < known.until + LAST);
    }

    fn get(&self, balancer: &Balancer) -> Known {
        self.0.borrow().get(balancer).copied().unwrap_or_default()
    }

    /// Takes over what was read. What was not stays as it was.
    fn learn(&self, balancer: &Balancer, delay: Option<u32>, network: Option<bool>) {
        let mut all = self.0.borrow_mut();
        let known = &mut all.entry(balancer.clone()).or_default().attributes;
        known.delay_seconds = delay.or(known.delay_seconds);
        known.network = network.or(known.network);
    }

    /// Everything was asked that a balancer can be asked: not again before some time is over, the
    /// longer the more often that told too little.
    fn asked(&self, balancer: &Balancer, complete: bool, now: Mono) {
        let mut all = self.0.borrow_mut();
        let known = all.entry(balancer.clone()).or_default();
        known.failures = if complete { 0 } else { known.failures.saturating_add(1) };
        known.until = now + lasts(known.failures);
    }
}

/// How long an answer is believed after so many in a row that told too little.
fn lasts(failures: u32) -> Duration {
    match failures {
        0 => LAST,
        failures => UNKNOWN_LASTS.saturating_mul(1 << (failures - 1).min(5)).min(LAST),
    }
}

/// Reads, for ever, what is not known of the balancers of unfinished drains, and tells these
/// drains.
///
/// Most of it is for show: it shares its rate with the looks that end drains, and may wait behind
/// them for as long as other reads of drains that go on.
pub(super) async fn fill(reader: &Reader<'_>) {
    let mut wanted: BTreeMap<Balancer, Mono> = BTreeMap::new();
    loop {
        tokio::time::sleep(EVERY).await;
        if !reader.leadership.leads() {
            continue;
        }
        want(reader, &mut wanted);
        kinds(reader, &wanted).await;
        for (balancer, since) in &wanted {
            delay(reader, balancer, *since + Class::Begun.patience()).await;
        }
    }
}

/// The balancers of unfinished drains of which something is not known, or not any more, each with
/// the moment since when.
fn want(reader: &Reader<'_>, wanted: &mut BTreeMap<Balancer, Mono>) {
    let now = reader.clock.mono();
    let slots = reader.fleet.slots();
    let all = slots
        .values()
        .flat_map(|slot| slot.drain.facts.targets.iter().map(|target| &target.obligation.balancer));
    let unknown = all.filter(|balancer| now >= reader.caches.balancers.get(balancer).until);
    let unknown: BTreeMap<Balancer, Mono> = unknown
        .map(|balancer| (balancer.clone(), wanted.get(balancer).copied().unwrap_or(now)))
        .collect();
    *wanted = unknown;
}

/// Reads of what kind target groups are, twenty a call.
async fn kinds(reader: &Reader<'_>, wanted: &BTreeMap<Balancer, Mono>) {
    let unknown = wanted.iter().filter_map(|(balancer, since)| match balancer {
        Balancer::TargetGroup(arn)
            if reader.caches.balancers.get(balancer).attributes.network.is_none() =>
        {
            Some((arn.clone(), *since))
        }
        Balancer::TargetGroup(_) | Balancer::ClassicLoadBalancer(_) => None,
    });
    let unknown: Vec<(String, Mono)> = unknown.collect();
    for batch in unknown.chunks(IN_A_CALL) {
        let since = batch.iter().map(|(_, since)| *since).min().unwrap_or_default();
        let arns: Vec<String> = batch.iter().map(|(arn, _)| arn.clone()).collect();
        let (permit, _) =
            reader.turn(&DESCRIBE_TARGET_GROUPS, since + Class::Begun.patience()).await;
        match reader.session.elbv2.group_kinds(permit, &arns).await {
            Ok(kinds) => {
                for (arn, network) in kinds {
                    let balancer = Balancer::TargetGroup(arn);
                    reader.caches.balancers.learn(&balancer, None, Some(network));
                    tell(reader, &balancer);
                }
            }
            Err(error) => tracing::debug!(%error, "of what kind target groups are is not known"),
        }
    }
}

/// Reads how long one balancer drains.
async fn delay(reader: &Reader<'_>, balancer: &Balancer, due: Mono) {
    let (delay, network) = match balancer {
        Balancer::TargetGroup(arn) => {
            let (permit, _) = reader.turn(&DESCRIBE_TARGET_GROUP_ATTRIBUTES, due).await;
            (reader.session.elbv2.delay(permit, arn).await, None)
        }
        Balancer::ClassicLoadBalancer(name) => {
            let (permit, _) = reader.turn(&DESCRIBE_LOAD_BALANCER_ATTRIBUTES, due).await;
            (reader.session.elb.timeout(permit, name).await, Some(false))
        }
    };
    let delay = delay.unwrap_or_else(|error| {
        tracing::debug!(%error, "how long a balancer drains is not known");
        None
    });
    let cache = &reader.caches.balancers;
    cache.learn(balancer, delay, network);
    // A delay that was read before may have changed: what counts is whether it was read now.
    let complete = delay.is_some() && cache.get(balancer).attributes.network.is_some();
    cache.asked(balancer, complete, reader.clock.mono());
    tell(reader, balancer);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Two minutes, and twice as long each time, up to an hour.
    #[test]
    fn a_balancer_that_does_not_say_is_asked_ever_less_often() {
        let cache = BalancerCache::default();
        let balancer = Balancer::TargetGroup("tg".to_owned());
        let asked = |complete: bool| {
            cache.asked(&balancer, complete, Mono::START);
            cache.get(&balancer).until.since_start().as_secs()
        };
        let pauses: Vec<u64> = (0..8).map(|_| asked(false)).collect();
        assert_eq!(pauses, [120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        assert_eq!(
            [asked(true), asked(false)],
            [3600, 120],
            "an answer is believed for an hour, and ends the pauses"
        );
    }
}
