//! Whose turn it is: how many drains of a cluster go on at once.
//!
//! An operator's and a rebalance recommendation's drains keep to a budget; those of lifecycle actions only where the
//! policy gives them one, because their instances are leaving anyway; a spot interruption never waits.

use super::pass::Look;
use super::{ScopeState, Shared};
use ecs_drain_state::{Concurrency, Mono, Origin, Phase, Policy, Record, Turn};
use std::time::Duration;

/// How long a cluster's size is believed.
const SIZES_LAST: Duration = Duration::from_secs(60);

/// Which budget a drain keeps to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lifecycle,
    Asked,
}

/// The turn of each of these drains, all of one cluster.
pub(super) async fn turns(shared: &Shared, scope: &ScopeState, looks: &[Look]) -> Vec<Turn> {
    let mut turns = Vec::with_capacity(looks.len());
    for look in looks {
        let record = &look.drain.record;
        let budget = match (record.phase, kind(record)) {
            (Phase::Pending, Some(kind)) => limit(&look.policy, kind).map(|limit| (kind, limit)),
            _ => None,
        };
        turns.push(match budget {
            None => Turn::Now,
            Some((kind, budget)) => turn(scope, record, kind, size_of(shared, scope, record, budget).await),
        });
    }
    turns
}

fn kind(record: &Record) -> Option<Kind> {
    match (&record.lifecycle, record.origin) {
        (Some(_), _) => Some(Kind::Lifecycle),
        (None, Origin::SpotInterruption) => None,
        (None, Origin::Operator | Origin::Rebalance | Origin::LifecycleHook) => Some(Kind::Asked),
    }
}

fn limit(policy: &Policy, kind: Kind) -> Option<Concurrency> {
    match kind {
        Kind::Lifecycle => policy.max_concurrent_lifecycle,
        Kind::Asked => Some(policy.max_concurrent),
    }
}

/// A drain's turn comes when fewer than the limit go on and none that was asked for earlier waits for the same place.
fn turn(scope: &ScopeState, record: &Record, of: Kind, limit: u32) -> Turn {
    let drains = scope.drains.borrow();
    let others = || {
        let same = drains.values().map(|drain| &drain.record).filter(|other| other.key() != record.key());
        same.filter(|other| other.cluster == record.cluster && kind(other) == Some(of))
    };
    let goes_on = |phase: Phase| !matches!(phase, Phase::Pending | Phase::Done);
    let running = count(others().filter(|other| goes_on(other.phase)));
    // One that is held does not keep the others from beginning.
    let waiting = others().filter(|other| other.phase == Phase::Pending && other.held.is_none());
    let place = (record.created_at, record.key());
    let ahead = count(waiting.filter(|other| (other.created_at, other.key()) < place));
    if running.saturating_add(ahead) < limit { Turn::Now } else { Turn::Wait { running, limit, ahead } }
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

/// The budget as a number. A cluster whose size cannot be read counts as a small one.
async fn size_of(shared: &Shared, scope: &ScopeState, record: &Record, budget: Concurrency) -> u32 {
    let Concurrency::Percent(_) = budget else { return budget.of(0) };
    let Some(cluster) = record.cluster.clone() else { return budget.of(0) };
    let now: Mono = shared.clock.mono();
    let known = scope.sizes.borrow().get(&cluster).copied();
    let size = match known {
        Some((until, size)) if now < until => size,
        _ => match scope.session.ecs.registered_container_instances(&cluster).await {
            Ok(size) => {
                scope.sizes.borrow_mut().insert(cluster, (now + SIZES_LAST, size));
                size
            }
            Err(error) => {
                tracing::error!(%error, "the size of a cluster is not known; one drain at once goes on in it");
                0
            }
        },
    };
    budget.of(size)
}
