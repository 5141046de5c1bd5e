//! What others are told while the controller works: gauges, lines of metrics, and what cannot be
//! read.

use super::Shared;
use crate::blind::{Spot, What};
use crate::metrics::cloudwatch;
use crate::scope::ScopeState;
use crate::store::Status;
use ecs_drain_state::Mono;
use std::io::Write;
use std::time::Duration;

/// The place of what is of no account and region.
pub(super) const WHOLE: &str = "this controller";
/// How often gauges are taken.
const GAUGES: Duration = Duration::from_secs(5);
/// How often a line of metrics is written for CloudWatch, whose metrics have a point a minute.
const LINE: Duration = Duration::from_secs(60);
/// When the first line is written: after the lease is had, and before a service that has just
/// started is stable. An alarm that is made then finds that somebody leads.
const FIRST_LINE: Duration = Duration::from_secs(15);
/// From when on an instance that waits without a drain is told of.
const UNOPENED: Duration = Duration::from_secs(900);
/// From when on the table is told what cannot be read, and how often: what lasts for a moment is in
/// the log.
const STATUS: Duration = Duration::from_secs(60);

/// Takes pictures of a scope, for gauges.
pub(super) async fn gauges(shared: &Shared, scope: &ScopeState) {
    loop {
        // In a dry run nobody acts.
        shared.metrics.leads(shared.leadership.leads() && !shared.config.dry_run);
        let now = shared.clock.mono();
        shared.metrics.picture(&scope.session.account, &scope.session.region, scope.picture(now));
        watch(scope, now);
        tokio::time::sleep(GAUGES).await;
    }
}

/// Says what the loops of a scope have left for others to see: a search that was not complete, an
/// instance without a drain.
fn watch(scope: &ScopeState, now: Mono) {
    let (blind, place) = (&scope.health.blind, scope.place());
    // What failed while somebody looked for an instance is over when nobody does.
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

/// Tells metrics, and the table, what cannot be read.
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
                tracing::debug!(%error, "it cannot be written what cannot be read");
            }
        }
        tokio::time::sleep(GAUGES).await;
    }
}

/// Writes metrics for CloudWatch to standard output, where they are asked for.
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
        // Nobody reads it: that is no reason to stop draining.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
