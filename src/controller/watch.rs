//! Reports the controller's state: gauges, lines of metrics, and failing reads.

use super::Shared;
use crate::blind::{Spot, What};
use crate::metrics::cloudwatch;
use crate::scope::ScopeState;
use crate::store::Status;
use ecs_drain_state::Mono;
use std::io::Write;
use std::time::Duration;

/// Name of the place for reads that belong to no single account and region.
pub(super) const WHOLE: &str = "this controller";
/// Interval between two updates of the gauges.
const GAUGES: Duration = Duration::from_secs(5);
/// Interval between two lines of metrics for CloudWatch, whose metrics have one point a minute.
const LINE: Duration = Duration::from_secs(60);
/// Delay before the first line: after the lease can be taken, and before a newly started service is
/// stable. An alarm that is created then finds that a replica leads.
const FIRST_LINE: Duration = Duration::from_secs(15);
/// Time after which an instance that waits without a drain is reported.
const UNOPENED: Duration = Duration::from_secs(900);
/// Time after which a failing read is written to the table, and the interval between two writes.
/// Shorter failures are in the log.
const STATUS: Duration = Duration::from_secs(60);

/// Updates a scope's gauges; never returns.
pub(super) async fn gauges(shared: &Shared, scope: &ScopeState) {
    loop {
        // In a dry run no replica acts, so none counts as leader.
        shared.metrics.leads(shared.leadership.leads() && !shared.config.dry_run);
        let now = shared.clock.mono();
        shared.metrics.picture(&scope.session.account, &scope.session.region, scope.picture(now));
        watch(scope, now);
        tokio::time::sleep(GAUGES).await;
    }
}

/// Reports an incomplete search, and instances without a drain.
fn watch(scope: &ScopeState, now: Mono) {
    let (blind, place) = (&scope.health.blind, scope.place());
    // A failed search matters only while an instance is searched or drained.
    let is_wanted = !scope.searches.is_idle() || !scope.fleet.slots().is_empty();
    match scope.searches.failed.borrow().as_ref().filter(|_| is_wanted) {
        Some(why) => blind.misses(&place, What::Search, why),
        None => blind.sees(&place, What::Search),
    }
    let unopened = scope.unopened.borrow();
    let long: Vec<&str> = unopened
        .iter()
        .filter(|(_, since)| now.since(**since) >= UNOPENED)
        .map(|(id, _)| id.as_str())
        .collect();
    match long.split_first() {
        None => blind.sees(&place, What::Unopened),
        Some((first, [])) => blind.misses(&place, What::Unopened, first),
        Some((first, more)) => {
            blind.misses(&place, What::Unopened, &format!("{first} and {} more", more.len()))
        }
    }
}

/// Passes failing reads to the metrics, and to the table; never returns.
pub(super) async fn blind(shared: &Shared) {
    let mut written = None;
    loop {
        let spots = shared.health.blind.spots();
        shared.metrics.blind(spots.clone());
        let now = shared.clock.mono();
        let long: Vec<Spot> =
            spots.into_iter().filter(|(_, lasts)| *lasts >= STATUS).map(|(spot, _)| spot).collect();
        let is_due = written.is_none_or(|at| now.since(at) >= STATUS);
        if !long.is_empty() && is_due && shared.leadership.leads() {
            written = Some(now);
            let status = Status { at: shared.clock.now(), blind: long };
            if let Err(error) = shared.records.set_status(&status).await {
                tracing::debug!(%error, "Status not written");
            }
        }
        tokio::time::sleep(GAUGES).await;
    }
}

/// Writes metrics for CloudWatch to standard output, if the configuration enables them.
pub(super) async fn lines(shared: &Shared) {
    if !shared.config.cloudwatch_metrics {
        return std::future::pending().await;
    }
    let mut lines = cloudwatch::Lines::default();
    let mut wait = FIRST_LINE;
    loop {
        tokio::time::sleep(wait).await;
        wait = LINE;
        let line = lines.next(&shared.metrics, &shared.config.controller, shared.clock.now());
        // A closed standard output must not stop the drains.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
