//! Makes the reads that drains need, and turns the answers into their facts.
//!
//! Each kind of read has its own workers. A worker waits until a drain needs the read, waits for a
//! permit at the request rate, and takes the most urgent drains that fit into one call. It passes
//! the answer to every drain that it concerns. (A balancer is chosen before the wait for a permit.)
//! One call serves as many drains as it can: 100 container instances, 100 tasks, one target group.
//! Calls that share a rate are made in the order in which they are due, whatever their kind; the
//! number of workers limits how many of a kind wait there.
//!
//! | module | kind of read |
//! | --- | --- |
//! | `status` | container instances |
//! | `tasks` | tasks by name, with the targets that their services register |
//! | `lists` | the tasks of a container instance, or of a cluster if that takes fewer calls |
//! | `targets` | target groups and classic load balancers |
//! | `services`, `balancers` | cached services, and attributes of balancers |
//! | `round` | searches for EC2 instances in all clusters, one cluster after the other |
//! | [`mod@search`] | container instances of an EC2 instance, in its drain's clusters or in one of the round |
//! | `groups` | Auto Scaling groups, for all drains at once |
//! | `diagnosis` | causes for drains that do not move |
//! | `plan` | everything that decides whether drains would end by themselves |
//! | [`rollout`] | container instances and services of a rollout's clusters |

mod balancers;
mod diagnosis;
mod groups;
mod lists;
mod plan;
pub(crate) mod rollout;
mod round;
mod search;
mod services;
mod status;
mod targets;
mod tasks;
#[cfg(test)]
mod tests;

pub(crate) use diagnosis::{DiagnosisCache, Stuck, diagnose};
pub(crate) use groups::{GroupsCache, absent, attachments, read_groups, sight};
pub use plan::{Candidate, survey};
pub use search::search;

use crate::aws::{AwsError, Call, Session};
use crate::clock::{Clock, Leadership};
use crate::config::Patterns;
use crate::fleet::Fleet;
use crate::searches::Searches;
use balancers::BalancerCache;
use ecs_drain_state::{Answer, Kind, Mono, Read};
use futures_util::future::{LocalBoxFuture, join_all};
use services::ServiceCache;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Interval at which a worker checks for work without being notified.
const TICK: Duration = Duration::from_secs(1);

/// Pause of a worker that found nothing to do after all.
const IDLE: Duration = Duration::from_millis(50);

/// Caches of one account and region. Losing them costs only calls.
#[derive(Default)]
pub(crate) struct Caches {
    services: ServiceCache,
    balancers: BalancerCache,
    owners: targets::Owners,
    lists: lists::Clusters,
    /// EC2 instance of each container instance, by the id in its ARN. It never changes.
    ec2: RefCell<BTreeMap<String, String>>,
    round: round::Round,
    /// Task definitions.
    pub diagnosis: DiagnosisCache,
}

impl Caches {
    /// Drops entries that have not been used for long.
    pub(crate) fn prune(&self, now: Mono) {
        self.services.prune(now);
        self.balancers.prune(now);
        self.owners.prune(now);
    }
}

/// State that the workers of one account and region share.
pub(crate) struct Reader<'a> {
    pub session: &'a Session,
    pub clock: &'a Clock,
    /// Clusters that the configuration names.
    pub clusters: &'a Patterns,
    pub fleet: &'a Fleet,
    pub searches: &'a Searches,
    pub caches: &'a Caches,
    /// Lease of this replica. It must lead to read for drains.
    pub leadership: &'a Leadership,
}

impl Reader<'_> {
    /// Runs the workers; never returns.
    pub(crate) async fn run(&self) {
        let sweeps: [LocalBoxFuture<'_, ()>; 6] = [
            Box::pin(status::sweep(self)),
            Box::pin(tasks::sweep(self)),
            Box::pin(lists::sweep(self)),
            Box::pin(targets::sweep(self)),
            Box::pin(search::sweep(self)),
            Box::pin(balancers::fill(self)),
        ];
        join_all(sweeps).await;
    }

    /// Waits until a drain needs this kind of read, and this replica leads.
    async fn wanted(&self, kind: Kind) {
        loop {
            let now = self.clock.mono();
            let next = if self.leadership.leads() { self.fleet.next(kind) } else { None };
            if next.is_some_and(|next| next <= now) {
                return;
            }
            let wait =
                next.map_or(TICK, |next| next.since(now)).clamp(Duration::from_millis(10), TICK);
            tokio::select! {
                biased;
                () = self.fleet.bell(kind).notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Waits for the permit of a call that is due at this time. Returns it, and the time from which
    /// the answer counts.
    async fn turn(&self, call: &'static Call, due: Mono) -> (crate::aws::Permit, Mono) {
        let permit = self.session.permit_by(call, self.clock.instant(due)).await;
        (permit, self.clock.mono())
    }

    /// Waits until a drain needs this kind of read, and for the call's permit. Returns the permit,
    /// and the time from which the answer counts. A more urgent need moves the call ahead. The
    /// drains are chosen afterwards.
    async fn turn_of(&self, kind: Kind, call: &'static Call) -> (crate::aws::Permit, Mono) {
        loop {
            self.wanted(kind).await;
            let Some(due) = self.fleet.next_due(kind, self.clock.mono()) else {
                tokio::time::sleep(IDLE).await;
                continue;
            };
            let (permit, began) = tokio::select! {
                biased;
                turn = self.turn(call, due.before(ahead(kind))) => turn,
                () = self.more_urgent(kind, due) => continue,
            };
            // The urgent read may have been made with another call meanwhile. If the rest is less
            // urgent, it waits for its own turn.
            if self.fleet.next_due(kind, began).is_some_and(|next| next <= due) {
                return (permit, began);
            }
            permit.give_back();
        }
    }

    /// Waits until a drain needs this kind of read more urgently.
    async fn more_urgent(&self, kind: Kind, due: Mono) {
        loop {
            drop(tokio::time::timeout(TICK, self.fleet.bell(kind).notified()).await);
            if self.fleet.next_due(kind, self.clock.mono()).is_some_and(|next| next < due) {
                return;
            }
        }
    }

    /// Returns the read that began at this time and ends now.
    fn read(&self, began: Mono) -> Read {
        Read { began, ended: self.clock.mono() }
    }

    /// Records a failed read for these drains.
    fn failed<'k>(
        &self,
        kind: Kind,
        keys: impl IntoIterator<Item = &'k String>,
        began: Mono,
        error: &AwsError,
    ) {
        let read = self.read(began);
        tracing::debug!(%error, "Read failed; retrying");
        for key in keys {
            self.fleet.answer(key, read, Answer::Failed(kind, error.to_string()));
            self.fleet.end_read(kind, key, read.ended, true);
        }
    }

    /// Records the end of a read for these drains.
    fn ended<'k>(&self, kind: Kind, keys: impl IntoIterator<Item = &'k String>) {
        self.end(kind, keys, &BTreeSet::new());
    }

    /// Records the end of a read for these drains. Those in `failed` got an incomplete answer;
    /// their next read waits as after a failure.
    fn end<'k>(
        &self,
        kind: Kind,
        keys: impl IntoIterator<Item = &'k String>,
        without: &BTreeSet<String>,
    ) {
        let now = self.clock.mono();
        for key in keys {
            self.fleet.end_read(kind, key, now, without.contains(key));
        }
    }
}

/// Runs this many workers.
async fn workers<F: Future<Output = ()>>(count: usize, worker: impl Fn() -> F) {
    join_all((0..count).map(|_| worker())).await;
}

/// Returns the time by which a read goes before others that are due at the same moment. In a wave
/// of drains the read that a drain needs last comes first, so that drains start one after the other
/// instead of all at the end.
fn ahead(kind: Kind) -> Duration {
    Duration::from_millis(match kind {
        Kind::Sweep => 0,
        Kind::Running => 1,
        Kind::Tasks => 2,
        Kind::Targets => 3,
        Kind::Stopped => 4,
        Kind::Own => 5,
        Kind::Status => 6,
    })
}
