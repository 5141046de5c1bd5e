//! Makes the reads that drains want, and turns the answers into their facts.
//!
//! Each kind of read has workers of its own. They wait until a drain wants it, wait for their turn
//! at the request rate, take the most urgent drains that fit into one call, and hand the answer to
//! the drains that it concerns. (A balancer is chosen before that turn.) One call serves every
//! drain that it can: 100 container instances, 100 tasks, one target group. Of the calls that share
//! a rate those go first that are due first, whatever kind they are of; workers bound how many of a
//! kind wait there.
//!
//! | module | kind of read |
//! | --- | --- |
//! | `status` | what ECS says of container instances |
//! | `tasks` | tasks by name, with the targets that their services register |
//! | `lists` | the tasks of a container instance, or of a cluster where that is fewer calls |
//! | `targets` | target groups and classic load balancers |
//! | `services`, `balancers` | what is kept of services, and of how balancers drain |
//! | `round` | which clusters know an EC2 instance: all of them, one after the other |
//! | [`search`] | which container instances an EC2 instance is, in its drain's clusters or in one of the round |
//! | `groups` | Auto Scaling groups, for all drains at once |
//! | `diagnosis` | why drains do not move |

mod balancers;
mod diagnosis;
mod groups;
mod lists;
mod round;
mod search;
mod services;
mod status;
mod targets;
mod tasks;
#[cfg(test)]
mod tests;

pub use diagnosis::{DiagnosisCache, Stuck, StuckTask, diagnose};
pub use groups::{GroupsCache, absent, attachments, read_groups, sight};
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

/// How often a worker looks whether there is work, although nobody rang.
const TICK: Duration = Duration::from_secs(1);

/// How long a worker rests that found nothing to do after all.
const IDLE: Duration = Duration::from_millis(50);

/// What one account and region keeps between reads. Losing it costs calls, nothing else.
#[derive(Default)]
pub struct Caches {
    services: ServiceCache,
    balancers: BalancerCache,
    owners: targets::Owners,
    lists: lists::Clusters,
    /// Which EC2 instance each container instance is, by the id in its ARN: that never changes.
    ec2: RefCell<BTreeMap<String, String>>,
    round: round::Round,
    /// Task definitions.
    pub diagnosis: DiagnosisCache,
}

impl Caches {
    /// Forgets what has not been used for long.
    pub fn prune(&self, now: Mono) {
        self.services.prune(now);
        self.balancers.prune(now);
        self.owners.prune(now);
    }
}

/// What the sweeps of one account and region share.
pub struct Reader<'a> {
    /// How AWS is reached.
    pub session: &'a Session,
    /// The clock.
    pub clock: &'a Clock,
    /// The clusters that the configuration names.
    pub clusters: &'a Patterns,
    /// The drains.
    pub fleet: &'a Fleet,
    /// Searches for container instances.
    pub searches: &'a Searches,
    /// What is kept between reads.
    pub caches: &'a Caches,
    /// Only a replica that leads reads for drains.
    pub leadership: &'a Leadership,
}

impl Reader<'_> {
    /// Reads for ever.
    pub async fn run(&self) {
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

    /// Waits until a drain wants this kind of read, and this replica leads.
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

    /// Waits for the turn of a call that is due at this moment; gives the moment from which its
    /// answer counts.
    async fn turn(&self, call: &'static Call, due: Mono) -> (crate::aws::Permit, Mono) {
        let permit = self.session.permit_by(call, self.clock.instant(due)).await;
        (permit, self.clock.mono())
    }

    /// Waits until a drain wants this kind of read and it is this call's turn; gives the moment
    /// from which its answer counts. What becomes more urgent meanwhile moves the call ahead. Which
    /// drains are read is chosen afterwards.
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
            // The read that was so urgent may have been made with another call meanwhile: what is
            // left waits for its own turn.
            if self.fleet.next_due(kind, began).is_some_and(|next| next <= due) {
                return (permit, began);
            }
            permit.give_back();
        }
    }

    /// Waits until a drain wants this kind of read more urgently.
    async fn more_urgent(&self, kind: Kind, due: Mono) {
        loop {
            drop(tokio::time::timeout(TICK, self.fleet.bell(kind).notified()).await);
            if self.fleet.next_due(kind, self.clock.mono()).is_some_and(|next| next < due) {
                return;
            }
        }
    }

    /// The read that began then and ends now.
    fn read(&self, began: Mono) -> Read {
        Read { began, ended: self.clock.mono() }
    }

    /// A read failed for these drains.
    fn failed<'k>(
        &self,
        kind: Kind,
        keys: impl IntoIterator<Item = &'k String>,
        began: Mono,
        error: &AwsError,
    ) {
        let read = self.read(began);
        tracing::debug!(%error, "a read failed; it is made again");
        for key in keys {
            self.fleet.answer(key, read, Answer::Failed(kind, error.to_string()));
            self.fleet.end_read(kind, key, read.ended, true);
        }
    }

    /// A read has ended for these drains.
    fn ended<'k>(&self, kind: Kind, keys: impl IntoIterator<Item = &'k String>) {
        self.end(kind, keys, &BTreeSet::new());
    }

    /// The same; of some of them something was not said, and is asked for again later, as after a
    /// failure.
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

/// Runs so many workers of a sweep.
async fn workers<F: Future<Output = ()>>(count: usize, worker: impl Fn() -> F) {
    join_all((0..count).map(|_| worker())).await;
}

/// By how much a read goes before others that are due in the same moment, as those of a wave are:
/// what drains want last of these comes first, so that one drain after the other gets going, and
/// not all of them at the end.
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
