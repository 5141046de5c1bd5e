//! The controller: loops that keep looking until the world is as it should be.
//!
//! | loop | how often | needs the lease |
//! | --- | --- | --- |
//! | groups | every `poll.groups`: reads every Auto Scaling group | no |
//! | hold | when a heartbeat is due | no |
//! | lease | every 3 s | it is the lease |
//! | table | every 10 s: which drains are unfinished, did someone else write them, who holds what | no |
//! | requests | with the table: what operators asked for | yes |
//! | events | where a scope has a queue: a long poll after another | yes |
//! | intake | after each look at the groups: opens records | yes |
//! | search | when a drain wants it: every cluster, for all who want it at once | no |
//! | passes | per cluster, as soon as one of its drains wants to be looked at | yes |
//!
//! Everything runs in one future on one thread: dropping it is a crash, and nothing is cleaned up on drop.

mod budget;
mod clock;
mod events;
mod pass;
mod records;
mod requests;
mod scope;
mod table;

pub use clock::Clock;
pub use records::Records;
pub use scope::{Bells, Drain, Known, OurHooks, ScopeState, Unread};

use crate::aws::{AwsError, Environment};
use crate::config::{self, Config};
use crate::health::Health;
use crate::hold::hold;
use crate::http::Server;
use crate::intake::Intake;
use crate::metrics::{Metrics, cloudwatch};
use crate::observe::{read_groups, search};
use crate::store::lease::RENEW_EVERY;
use crate::store::{Ids, Lease, Store};
use backon::{BackoffBuilder, ExponentialBuilder};
use clock::Pulse;
use ecs_drain_state::Mono;
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::time::Duration;

/// How far apart two looks at the groups are, at least, however many events come.
const NUDGED: Duration = Duration::from_secs(2);
/// How far apart searches of every cluster are, at least.
const SEARCH: Duration = Duration::from_secs(5);
/// How often gauges are taken.
const GAUGES: Duration = Duration::from_secs(5);
/// How often a line of metrics is written for CloudWatch, whose metrics have a point a minute.
const LINE: Duration = Duration::from_secs(60);
/// How soon an account and region that could not be reached is tried again.
const RECONNECT: Duration = Duration::from_secs(30);

/// Why the controller could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nobody says in which region the table is.
    #[error("the table's region is not known: set `region` under [table], or AWS_REGION")]
    NoRegion,
    /// The address cannot be had.
    #[error("cannot listen on {address} (`listen`): {source}")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No account and region could be reached, and waiting would not help.
    #[error("cannot work in region {region}")]
    Scope {
        /// The region of the first scope that failed.
        region: String,
        /// What was answered.
        #[source]
        source: Box<AwsError>,
    },
}

/// What all loops share.
struct Shared {
    config: Config,
    clock: Clock,
    pulse: Pulse,
    records: Records,
    /// Until when this replica may act; it is asked right before each act. Nothing: it does not lead.
    leads_until: Cell<Option<Mono>>,
    /// Whether the table was found, in its right shape. Until then nothing but holding is done.
    table_is_fit: Cell<bool>,
    metrics: Metrics,
    health: Health,
}

impl Shared {
    /// Whether this replica may act now.
    fn leads(&self) -> bool {
        self.leads_until.get().is_some_and(|until| self.clock.mono() < until)
    }
}

/// Runs until `shutdown`: then no new pass begins, work in hand may finish within [`Config::shutdown`], and the lease
/// is released.
///
/// # Errors
/// When it cannot begin: no scope can be reached and trying again would not help, or nobody says in which region the
/// table is. A table that is missing, or has another shape, is waited for: what waits under our hooks is held meanwhile.
pub async fn run(config: Config, environment: Environment, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
    run_with_ids(config, environment, Ids::random(), shutdown).await
}

/// As [`run`], with the source of the ids that name writes: a simulation wants the same ones again.
///
/// # Errors
/// As [`run`].
pub async fn run_with_ids(
    config: Config,
    environment: Environment,
    ids: Ids,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let clock = Clock::start(environment.time_source.clone());
    let health = Health::new(clock.clone());
    let Some(address) = config.listen else {
        return work(config, environment, ids, clock, health, shutdown).await;
    };
    let server = Server::listen(address, health.clone(), environment.metrics.clone(), clock.clone()).await;
    let server = server.map_err(|source| RunError::Listen { address, source })?;
    tracing::info!(address = %server.address, "serving /healthz, /readyz and /metrics");
    // It answers from the first second on, and while the work in hand is finished.
    let work = work(config, environment, ids, clock, health, shutdown);
    match select(pin!(work), pin!(server.serve())).await {
        Either::Left((ended, _)) => ended,
        Either::Right((never, _)) => match never {},
    }
}

async fn work(
    config: Config,
    environment: Environment,
    ids: Ids,
    clock: Clock,
    health: Health,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let (records, lease) = if config.dry_run {
        tracing::info!("dry run: nothing is changed in AWS or in the table");
        (Records::Memory(Default::default()), None)
    } else {
        let sdk = environment.load(config.table.region.as_deref()).await;
        if sdk.region().is_none() {
            return Err(RunError::NoRegion);
        }
        let store = Store::counted(&sdk, &config.table.name, &config.controller, &environment.metrics).with_ids(ids);
        let lease = Lease::new(&store);
        (Records::Table(store), Some(lease))
    };
    let (reached, missing) = connect_all(&config, &environment, &health).await?;
    health.missing(missing.len());
    let leads_until = Cell::new(if lease.is_none() { Some(Mono::MAX) } else { None });
    let table_is_fit = Cell::new(lease.is_none());
    if table_is_fit.get() {
        health.table_is_fit();
    }
    let metrics = environment.metrics.clone();
    let pulse = Pulse::default();
    let shared = Shared { leads_until, table_is_fit, config, clock, pulse, records, metrics, health };
    let lease = lease.map(tokio::sync::Mutex::new);
    tracing::info!(scopes = reached.len(), controller = shared.config.controller, "ecs-drain runs");

    let stopping = Cell::new(false);
    let loops = async {
        let mut all = FuturesUnordered::new();
        for scope in &reached {
            all.push(Either::Left(run_scope(&shared, scope, &stopping)));
        }
        for scope in missing {
            all.push(Either::Right(reach_later(&shared, &environment, scope, &stopping)));
        }
        let lease = lease_loop(&shared, lease.as_ref());
        let lines = lines_loop(&shared);
        // None of them ends before the shutdown.
        select(pin!(async { while all.next().await.is_some() {} }), select(pin!(lease), pin!(lines))).await;
    };
    let mut loops = pin!(loops);
    if let Either::Left(((), _)) = select(loops.as_mut(), pin!(shutdown)).await {
        return Ok(());
    }
    tracing::info!("stopping: work in hand is finished first");
    stopping.set(true);
    for scope in &reached {
        scope.bells.pass.notify_one();
    }
    if tokio::time::timeout(shared.config.shutdown, loops).await.is_err() {
        tracing::warn!("work in hand did not finish in time; the next process goes on with it");
    }
    if let Some(lease) = &lease {
        match lease.lock().await.release().await {
            Ok(()) => tracing::info!("lease released"),
            Err(error) => tracing::warn!(%error, "the lease was not released; it runs out by itself"),
        }
    }
    Ok(())
}

/// Reaches every scope once. Those that fail are tried again later, unless all fail for a reason that will not pass.
async fn connect_all(
    config: &Config,
    environment: &Environment,
    health: &Health,
) -> Result<(Vec<ScopeState>, Vec<config::Scope>), RunError> {
    let mut reached = Vec::new();
    let mut missing = Vec::new();
    let mut first_error = None;
    for scope in &config.scopes {
        match crate::aws::connect(environment, &scope.region, scope.role.as_ref()).await {
            Ok(session) => {
                tracing::info!(account = session.account, region = session.region, "reached");
                reached.push(ScopeState::new(scope.clone(), session, environment.metrics.clone(), health.clone()));
            }
            Err(error) => {
                tracing::error!(region = scope.region, %error, "cannot reach this account and region");
                missing.push(scope.clone());
                if !error.class.is_transient() && first_error.is_none() {
                    first_error = Some((scope.region.clone(), error));
                }
            }
        }
    }
    match first_error {
        Some((region, error)) if reached.is_empty() => Err(RunError::Scope { region, source: Box::new(error) }),
        _ => Ok((reached, missing)),
    }
}

/// A scope that could not be reached at the start must not keep the others from working, and must not be forgotten.
async fn reach_later(shared: &Shared, environment: &Environment, scope: config::Scope, stopping: &Cell<bool>) {
    loop {
        tokio::time::sleep(RECONNECT).await;
        if stopping.get() {
            return;
        }
        match crate::aws::connect(environment, &scope.region, scope.role.as_ref()).await {
            Ok(session) => {
                tracing::info!(account = session.account, region = session.region, "reached");
                shared.health.found();
                let state = ScopeState::new(scope, session, shared.metrics.clone(), shared.health.clone());
                return run_scope(shared, &state, stopping).await;
            }
            Err(error) => tracing::error!(region = scope.region, %error, "still cannot reach this account and region"),
        }
    }
}

/// Every loop of one scope, until the shutdown: passes end by themselves, the others with them.
async fn run_scope(shared: &Shared, scope: &ScopeState, stopping: &Cell<bool>) {
    let others = async {
        tokio::join!(
            groups_loop(shared, scope),
            hold(scope, &shared.clock, shared.config.dry_run),
            table::keep_in_step(shared, scope),
            intake_loop(shared, scope, stopping),
            search_loop(shared, scope),
            gauges_loop(shared, scope),
            events::events(shared, scope, stopping),
        )
    };
    select(pin!(pass::passes(shared, scope, stopping)), pin!(others)).await;
}

async fn groups_loop(shared: &Shared, scope: &ScopeState) {
    let mut hooks = BTreeMap::new();
    let mut backoff = backoff();
    loop {
        let wait = match read_groups(&scope.session, &shared.clock, &mut hooks).await {
            Ok(view) => {
                scope.forget_departed(&view);
                *scope.groups.borrow_mut() = Some(view);
                scope.health.looked_at_groups(&scope.prefix(), true);
                scope.bells.hold.notify_one();
                scope.bells.intake.notify_one();
                backoff = self::backoff();
                shared.config.poll.groups
            }
            Err(error) => {
                tracing::error!(%error, "cannot read the Auto Scaling groups; what was seen waiting is held on");
                scope.health.looked_at_groups(&scope.prefix(), false);
                backoff.next().unwrap_or(shared.config.poll.groups)
            }
        };
        // An event can make the next look come sooner, but never at once after the last one.
        tokio::time::sleep(wait.min(NUDGED)).await;
        tokio::select! {
            biased;
            () = scope.bells.groups.notified() => {}
            () = tokio::time::sleep(wait.saturating_sub(NUDGED)) => {}
        }
    }
}

async fn lease_loop(shared: &Shared, lease: Option<&tokio::sync::Mutex<Lease>>) {
    let Some(lease) = lease else { return std::future::pending().await };
    table::is_fit(shared).await;
    let mut holder = None;
    loop {
        let answer = lease.lock().await.renew_or_take(shared.clock.mono()).await;
        match answer {
            Ok(view) => {
                if view.holder != holder {
                    tracing::info!(held = view.held, holder = view.holder, "the lease changed hands");
                    holder.clone_from(&view.holder);
                }
                shared.leads_until.set(view.until.filter(|_| view.held));
            }
            // What was won lasts until its time is over.
            Err(error) => tracing::error!(%error, "the lease could not be renewed"),
        }
        tokio::time::sleep(RENEW_EVERY).await;
    }
}

/// Takes pictures of a scope, for gauges.
async fn gauges_loop(shared: &Shared, scope: &ScopeState) {
    loop {
        // In a dry run nobody acts.
        shared.metrics.leads(shared.leads() && !shared.config.dry_run);
        shared.metrics.picture(&scope.session.account, &scope.session.region, scope.picture());
        tokio::time::sleep(GAUGES).await;
    }
}

/// Writes metrics for CloudWatch to standard output, where they are asked for.
async fn lines_loop(shared: &Shared) {
    if !shared.config.cloudwatch_metrics {
        return std::future::pending().await;
    }
    let mut lines = cloudwatch::Lines::default();
    loop {
        tokio::time::sleep(LINE).await;
        let line = lines.next(&shared.metrics, &shared.config.controller, shared.clock.now());
        // Nobody reads it: that is no reason to stop draining.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

async fn intake_loop(shared: &Shared, scope: &ScopeState, stopping: &Cell<bool>) {
    let intake = Intake::default();
    loop {
        scope.bells.intake.notified().await;
        if shared.leads() && !stopping.get() {
            intake.pass(&shared.config, scope, &shared.records, &shared.clock).await;
        }
    }
}

async fn search_loop(shared: &Shared, scope: &ScopeState) {
    let mut backoff = backoff();
    loop {
        let due = scope.lookups.due(shared.clock.mono());
        let mut wait = SEARCH;
        if !due.is_empty() {
            match search(&scope.session, &shared.clock, &due).await {
                Ok(answers) => {
                    scope.lookups.answer(answers);
                    scope.bells.intake.notify_one();
                    if scope.requests_wait.take() {
                        scope.bells.table.notify_one();
                    }
                    backoff = self::backoff();
                }
                Err(error) => {
                    tracing::error!(%error, "cannot search every cluster; nothing is said of where an instance is");
                    wait = wait.max(backoff.next().unwrap_or(SEARCH));
                }
            }
            tokio::time::sleep(wait).await;
            continue;
        }
        tokio::select! {
            biased;
            () = scope.bells.lookup.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// How long to wait after one failure more: doubling from a second to a minute, with jitter, for ever.
fn backoff() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(Duration::from_secs(60))
        .with_jitter()
        .without_max_times()
        .build()
}

/// How long to wait after so many failures in a row.
fn backoff_after(failures: u32) -> Duration {
    backoff().nth(failures.min(8) as usize).unwrap_or(Duration::from_secs(60))
}

/// When a drain that has nothing else to say is looked at again.
fn after(now: Mono, wait: Duration) -> Mono {
    now + wait
}
