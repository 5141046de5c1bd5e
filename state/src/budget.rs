//! The queue of drains: the number of drains of a cluster that run at once.
//!
//! Drains of an operator or a rebalance recommendation keep to a budget. Drains of lifecycle
//! actions do so only if the policy sets one for them, because their instances are leaving anyway.
//! A drain of a spot interruption never waits.

#[cfg(test)]
mod tests;

use crate::decide::Turn;
use crate::phase::Phase;
use crate::policy::{Concurrency, Policy};
use crate::record::{Origin, Record};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The budget that a drain keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Lifecycle,
    Asked,
}

/// The drains that share one budget.
#[derive(Clone, Debug, Default)]
struct Place {
    running: u32,
    /// Waiting drains, in the order of their requests.
    waiting: Vec<(Timestamp, String)>,
}

/// Counts of all drains of an account and region.
#[derive(Clone, Debug, Default)]
pub struct Budgets {
    places: BTreeMap<(Option<String>, Kind), Place>,
}

impl Budgets {
    /// Counts these drains.
    pub fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Budgets {
        let mut budgets = Budgets::default();
        for record in records {
            let Some(kind) = kind(record) else { continue };
            let place = budgets.places.entry((record.cluster.clone(), kind)).or_default();
            // A drain that is paused before it began does not block the queue.
            if record.phase() == Phase::Pending && record.orders.pause.is_none() {
                place.waiting.push((record.created_at, record.key()));
            } else if goes_on(record) {
                place.running += 1;
            }
        }
        budgets.places.values_mut().for_each(|place| place.waiting.sort());
        budgets
    }

    /// Returns a drain's place in the queue; `registered` is the number of container instances of
    /// its cluster. The drain may begin once fewer than the limit run and no earlier one waits for
    /// the same place.
    pub fn turn(&self, record: &Record, policy: &Policy, registered: u32) -> Turn {
        let budget = kind(record)
            .filter(|_| record.phase() == Phase::Pending)
            .and_then(|kind| Some((kind, limit(policy, kind)?)));
        let Some((kind, budget)) = budget else { return Turn::Now };
        let (limit, place) =
            (budget.of(registered), self.places.get(&(record.cluster.clone(), kind)));
        let Some(place) = place else { return Turn::Now };
        let mine = (record.created_at, record.key());
        let ahead = place.waiting.partition_point(|other| *other < mine);
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        // The first of the waiting drains have their turn, and begin in a moment.
        let begin = limit.saturating_sub(place.running).min(ahead);
        let (running, ahead) = (place.running.saturating_add(begin), ahead - begin);
        if running.saturating_add(ahead) < limit {
            Turn::Now
        } else {
            Turn::Wait { running, limit, ahead }
        }
    }

    /// Counts a waiting drain as running: its turn was granted, and its record does not show it
    /// yet.
    pub fn grant(&mut self, record: &Record) {
        let Some(kind) = kind(record) else { return };
        let place = self.places.entry((record.cluster.clone(), kind)).or_default();
        if let Ok(index) = place.waiting.binary_search(&(record.created_at, record.key())) {
            place.waiting.remove(index);
            place.running += 1;
        }
    }

    /// Returns whether a budget limits when this drain begins.
    pub fn limit(record: &Record, policy: &Policy) -> bool {
        record.phase() == Phase::Pending
            && kind(record).is_some_and(|kind| limit(policy, kind).is_some())
    }

    /// Returns whether a drain's place in the queue depends on the number of container instances of
    /// its cluster.
    pub fn needs_size(record: &Record, policy: &Policy) -> bool {
        let limit = kind(record).and_then(|kind| limit(policy, kind));
        record.phase() == Phase::Pending && matches!(limit, Some(Concurrency::Percent(_)))
    }
}

/// Returns whether a drain counts as running. A drain that rests in a warm pool, or whose instance
/// its group retains, has nothing left to do. A cancelled drain counts until its instance can run
/// tasks again.
fn goes_on(record: &Record) -> bool {
    match record.phase() {
        Phase::Deregistering | Phase::Waiting | Phase::Verifying => true,
        Phase::Completing => record.retained_at.is_none(),
        Phase::Returning => record.lifecycle.is_none(),
        Phase::Pending | Phase::Done => false,
    }
}

fn kind(record: &Record) -> Option<Kind> {
    match (&record.lifecycle, record.origin) {
        (_, Origin::SpotInterruption) => None,
        (Some(_), _) => Some(Kind::Lifecycle),
        (None, Origin::Operator | Origin::Rebalance | Origin::LifecycleHook) => Some(Kind::Asked),
    }
}

fn limit(policy: &Policy, kind: Kind) -> Option<Concurrency> {
    match kind {
        Kind::Lifecycle => policy.max_concurrent_lifecycle,
        Kind::Asked => Some(policy.max_concurrent),
    }
}
