//! Attributes of target groups and classic load balancers that rarely change: the deregistration
//! delay, and the kind of load balancer. An unknown attribute does no harm: the default delay and a
//! network load balancer are assumed.

use super::Reader;
use crate::aws::calls::{
    DESCRIBE_LOAD_BALANCER_ATTRIBUTES, DESCRIBE_TARGET_GROUP_ATTRIBUTES, DESCRIBE_TARGET_GROUPS,
};
use ecs_drain_state::{Answer, Balancer, Class, Mono, Obligation};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// Time for which attributes are used. The delay is shown, and is a floor for strategy
/// `deregister`; a kind never changes.
const LAST: Duration = Duration::from_secs(3600);

/// Delay before an incomplete answer is asked for again. It doubles with each one in a row, up to
/// [`LAST`].
const UNKNOWN_LASTS: Duration = Duration::from_secs(120);

/// Interval at which the drains are checked for balancers that are not known here.
const EVERY: Duration = Duration::from_secs(2);

/// Target groups in one call. (Source: ELBv2 API reference, DescribeTargetGroups.)
const IN_A_CALL: usize = 20;

/// Attributes of a balancer; `None` if unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Attributes {
    delay_seconds: Option<u32>,
    network: Option<bool>,
}

/// Last answer about a balancer.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    attributes: Attributes,
    /// Time until which the answer is used.
    until: Mono,
    /// Number of incomplete answers in a row.
    failures: u32,
}

/// Last answers about balancers.
#[derive(Default)]
pub(super) struct BalancerCache(RefCell<BTreeMap<Balancer, Known>>);

impl BalancerCache {
    /// Adds the attributes of its balancer to a registration.
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

    /// Takes over the attributes that were read. Those that were not keep their old values.
    fn learn(&self, balancer: &Balancer, delay: Option<u32>, network: Option<bool>) {
        let mut all = self.0.borrow_mut();
        let known = &mut all.entry(balancer.clone()).or_default().attributes;
        known.delay_seconds = delay.or(known.delay_seconds);
        known.network = network.or(known.network);
    }

    /// Records that every read of a balancer was tried. The next one waits, longer with each
    /// incomplete answer in a row.
    fn asked(&self, balancer: &Balancer, complete: bool, now: Mono) {
        let mut all = self.0.borrow_mut();
        let known = all.entry(balancer.clone()).or_default();
        known.failures = if complete { 0 } else { known.failures.saturating_add(1) };
        known.until = now + lasts(known.failures);
    }
}

/// Returns the time for which an answer is used after this many incomplete answers in a row.
fn lasts(failures: u32) -> Duration {
    match failures {
        0 => LAST,
        failures => UNKNOWN_LASTS.saturating_mul(1 << (failures - 1).min(5)).min(LAST),
    }
}

/// Reads the unknown attributes of the balancers of unfinished drains, and passes them to these
/// drains; never returns.
///
/// Most attributes are for display only. These reads share their rate with the reads that end
/// drains, and have the patience of [`Class::Begun`].
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

/// Collects the balancers of unfinished drains with unknown or expired attributes, each with the
/// time since when.
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

/// Reads the kinds of target groups, twenty a call.
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
            Err(error) => tracing::debug!(%error, "Target group types not read"),
        }
    }
}

/// Reads the deregistration delay of one balancer.
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
        tracing::debug!(%error, "Deregistration delay not read");
        None
    });
    let cache = &reader.caches.balancers;
    cache.learn(balancer, delay, network);
    // A delay that was read before may have changed, so only the one that was read now counts.
    let complete = delay.is_some() && cache.get(balancer).attributes.network.is_some();
    cache.asked(balancer, complete, reader.clock.mono());
    tell(reader, balancer);
}

/// Passes a balancer's attributes to every drain that has a target there.
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

    /// Two minutes, doubled each time, up to an hour.
    #[test]
    fn incomplete_answers_of_a_balancer_are_repeated_ever_later() {
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
