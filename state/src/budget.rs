//! Whose turn it is: how many drains of a cluster go on at once.
//!
//! An operator's and a rebalance recommendation's drains keep to a budget; those of lifecycle
//! actions only where the policy gives them one, because their instances are leaving anyway; a spot
//! interruption never waits.

#[cfg(test)]
mod tests;

use crate::decide::Turn;
use crate::phase::Phase;
use crate::policy::{Concurrency, Policy};
use crate::record::{Origin, Record};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Which budget a drain keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Lifecycle,
    Asked,
}

/// The drains that share one budget.
#[derive(Clone, Debug, Default)]
struct Place {
    running: u32,
    /// Those that wait, in the order in which they were asked for.
    waiting: Vec<(Timestamp, String)>,
}

/// All drains of an account and region, counted.
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
            // One that is paused before it began does not keep the others from beginning.
            if record.phase() == Phase::Pending && record.orders.pause.is_none() {
                place.waiting.push((record.created_at, record.key()));
            } else if goes_on(record) {
                place.running += 1;
            }
        }
        budgets.places.values_mut().for_each(|place| place.waiting.sort());
        budgets
    }

    /// Returns whether a drain's turn has come; `registered` is how many container instances its
    /// cluster has. It comes when fewer than the limit go on and none that was asked for earlier
    /// waits for the same place.
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
        // The first of those that wait have their turn, and begin in a moment.
        let begin = limit.saturating_sub(place.running).min(ahead);
        let (running, ahead) = (place.running.saturating_add(begin), ahead - begin);
        if running.saturating_add(ahead) < limit {
            Turn::Now
        } else {
            Turn::Wait { running, limit, ahead }
        }
    }

    /// Counts a drain that waited as one that goes on: its turn was granted, and is not in its
    /// record yet.
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

    /// Returns whether a drain's turn depends on how many container instances its cluster has.
    pub fn needs_size(record: &Record, policy: &Policy) -> bool {
        let limit = kind(record).and_then(|kind| limit(policy, kind));
        record.phase() == Phase::Pending && matches!(limit, Some(Concurrency::Percent(_)))
    }
}

/// Whether a drain takes a place. One that rests in a warm pool, or is kept by its group for a
/// look, has nothing left to do; one that was cancelled takes its place until its instance can run
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
