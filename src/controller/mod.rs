//! The controller: loops that read the world and act until it is as it should be.
//!
//! | loop | runs | needs the lease |
//! | --- | --- | --- |
//! | groups | every `poll.groups`: reads every Auto Scaling group, and passes the result to the drains | no |
//! | heartbeats | when one is due | no |
//! | lease | every 3 s | it is the lease |
//! | table | every 10 s, and after a search while a request waits: reads unfinished drains, and writes of other processes | no |
//! | pauses | every 3 s: reads the pauses that operators set | no |
//! | requests | with the table: carries out operators' requests | yes |
//! | events | one long poll after another, if a scope has a queue | yes |
//! | intake | after each read of the groups, each search, and the first heartbeat of a wait: opens records | yes |
//! | turns | when a drain has something new, or its time has come: decides and commits | yes |
//! | reader, act | when a drain needs a read, or has an action to do | yes |
//! | causes | every 5 s: finds out why drains without progress do not move | yes |
//! | rollouts | after each read of the groups, while a rollout is unfinished: decides and acts | yes |
//! | sizes, gauges | when a budget needs the size of a cluster or the state of a service; every 5 s | no |
//!
//! Everything runs in one future on one thread. Dropping that future is a crash: no code cleans up
//! on drop.

mod events;
mod reach;
mod requests;
mod rollouts;
mod sizes;
mod table;
mod turns;
mod watch;

use crate::act::Actor;
use crate::aws::{AwsError, Environment};
use crate::blind::What;
use crate::clock::{Clock, Leadership};
use crate::config::Config;
use crate::groups::GroupsView;
use crate::health::Health;
use crate::heartbeat::beat;
use crate::http::Server;
use crate::intake::Intake;
use crate::log;
use crate::metrics::Metrics;
use crate::quote::chain;
use crate::reader::{self, Caches, GroupsCache, Reader, read_groups};
use crate::records::Records;
use crate::scope::ScopeState;
use crate::store::lease::RENEW_EVERY;
use crate::store::{Ids, Lease, Store};
use backon::{BackoffBuilder, ExponentialBuilder};
use ecs_drain_state::{Answer, Mono, Record};
use futures_util::future::{Either, LocalBoxFuture, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

/// Shortest time between two reads of the groups, however many events arrive.
const NUDGED: Duration = Duration::from_secs(2);
/// Time limit for releasing the lease.
const RELEASE: Duration = Duration::from_secs(3);

/// Reason why the controller cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No setting gives the region of the table.
    #[error("the table's region is not known: set `region` under [table], or AWS_REGION")]
    NoRegion,
    /// The `listen` address cannot be bound.
    #[error("cannot listen on {address} (`listen`): {source}")]
    Listen {
        address: std::net::SocketAddr,
        #[source]
        source: std::io::Error,
    },
    /// Two entries of the configuration lead to one place. Each would act on the other's drains.
    #[error("two [[scope]] entries lead to account {account}, region {region}: leave one of them")]
    SameScope {
        /// Id of the account.
        account: String,
        region: String,
    },
    /// No account and region could be reached, and waiting would not help.
    #[error("cannot work in region {region}")]
    Scope {
        /// Region of the first scope that failed.
        region: String,
        #[source]
        source: Box<AwsError>,
    },
}

/// State that all loops share.
struct Shared {
    config: Config,
    clock: Clock,
    records: Records,
    leadership: Leadership,
    /// True once the table was found in the right shape. Until then the controller only sends
    /// heartbeats.
    table_is_fit: Cell<bool>,
    metrics: Metrics,
    health: Health,
}

/// Runs until `shutdown`. Then no new turn starts, work in hand may finish within
/// [`Config::shutdown`], and the lease is released.
///
/// # Errors
/// Returns an error if the controller cannot start: no scope can be reached and a retry would not
/// help, or no setting gives the table's region. If the table is missing or has another shape, the
/// controller waits for it, and sends heartbeats for every instance under an ecs-drain hook
/// meanwhile.
pub(crate) async fn run(
    config: Config,
    environment: Environment,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    run_with_ids(config, environment, Ids::random(), shutdown).await
}

/// Runs as [`run`] does, with a given source of the ids that name writes. A simulation uses it to
/// get the same ids in each run.
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
    let server =
        Server::listen(address, health.clone(), environment.metrics.clone(), clock.clone()).await;
    let server = server.map_err(|source| RunError::Listen { address, source })?;
    tracing::info!(address = %server.address, "HTTP server started");
    // It answers from the start, and until the work in hand is finished.
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
        tracing::info!("Dry run started; nothing is changed in AWS or in the table");
        (Records::Memory(Default::default()), None)
    } else {
        let sdk = environment.load(config.table.region.as_deref()).await;
        if sdk.region().is_none() {
            return Err(RunError::NoRegion);
        }
        let store =
            Store::counted(&sdk, &config.table.name, &config.controller, &environment.metrics)
                .with_ids(ids);
        let store =
            environment.record_schema.map_or(store.clone(), |schema| store.with_schema(schema));
        let lease = Lease::new(&store);
        (Records::Table(store), Some(lease))
    };
    let places = reach::Places::default();
    let (reached, missing) = reach::at_start(&config, &environment, &health, &places).await?;
    health.missing(missing.len());
    let leadership = Leadership::none(clock.clone());
    if lease.is_none() {
        leadership.set(Some(Mono::NEVER));
    }
    let table_is_fit = Cell::new(lease.is_none());
    if table_is_fit.get() {
        health.table_is_fit();
    }
    let metrics = environment.metrics.clone();
    let shared = Shared { leadership, table_is_fit, config, clock, records, metrics, health };
    let lease = lease.map(tokio::sync::Mutex::new);
    tracing::info!(
        scopes = reached.len(),
        controller = shared.config.controller,
        "Controller started"
    );

    let stop = Stop::default();
    {
        let loops = async {
            let mut all = FuturesUnordered::new();
            for scope in &reached {
                all.push(Either::Left(run_scope(&shared, scope, &stop)));
            }
            for scope in missing {
                all.push(Either::Right(reach::later(&shared, &environment, &places, scope, &stop)));
            }
            // Boxed for the same reason as in `run_scope`.
            let others: [LocalBoxFuture<'_, ()>; 3] = [
                Box::pin(lease_loop(&shared, lease.as_ref())),
                Box::pin(watch::lines(&shared)),
                Box::pin(watch::blind(&shared)),
            ];
            // None of the loops ends before the shutdown.
            select(
                pin!(async { while all.next().await.is_some() {} }),
                futures_util::future::join_all(others),
            )
            .await;
        };
        let mut loops = pin!(loops);
        if let Either::Left(((), _)) = select(loops.as_mut(), pin!(shutdown)).await {
            return Ok(());
        }
        tracing::info!("Shutdown started; finishing the work in hand");
        stop.now();
        for scope in &reached {
            scope.fleet.turn.notify_one();
        }
        if tokio::time::timeout(shared.config.shutdown, loops).await.is_err() {
            tracing::warn!("Shutdown timed out; the next process continues the work in hand");
        }
        // The loops are dropped here, so none of them can take the lease while it is released.
    }
    if let Some(lease) = lease {
        match tokio::time::timeout(RELEASE, lease.into_inner().release()).await {
            Ok(Ok(())) => tracing::info!("Lease released"),
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "Lease not released; it expires by itself")
            }
            Err(_) => tracing::warn!("Lease not released in time; it expires by itself"),
        }
    }
    Ok(())
}

/// Signal that the process must stop.
#[derive(Default)]
pub(crate) struct Stop {
    stopping: Cell<bool>,
    bell: tokio::sync::Notify,
}

impl Stop {
    fn now(&self) {
        self.stopping.set(true);
        self.bell.notify_waiters();
    }

    fn is_now(&self) -> bool {
        self.stopping.get()
    }

    /// Waits for this long, or until the process must stop. Returns true if it must stop.
    async fn or_after(&self, wait: Duration) -> bool {
        let rung = self.bell.notified();
        if self.is_now() {
            return true;
        }
        let _ = tokio::time::timeout(wait, rung).await;
        self.is_now()
    }
}

/// Runs every loop of one scope. At the shutdown the turns end by themselves, and the other loops
/// are dropped with them.
async fn run_scope(shared: &Shared, scope: &ScopeState, stop: &Stop) {
    let (reports, incoming) = tokio::sync::mpsc::unbounded_channel();
    let paused = |record: &Record| scope.paused_on(record).is_some();
    let confirm = |key: String| -> LocalBoxFuture<'_, ()> {
        Box::pin(async move {
            let read = table::reread(shared, scope, std::slice::from_ref(&key)).await;
            if let Some(error) = shared.health.repeats.reports("reread", &key, &read) {
                log::instance!(
                    error,
                    scope,
                    table::instance(&key),
                    error = chain(error),
                    "Record not read again; this drain waits"
                );
            }
            if read.is_err() {
                scope.fleet.not_written(&key, shared.clock.mono());
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
    };
    let actor = Actor {
        session: &scope.session,
        clock: &shared.clock,
        fleet: &scope.fleet,
        leadership: &shared.leadership,
        paused: &paused,
        confirm: &confirm,
        reports,
    };
    let caches = Caches::default();
    let reader = Reader {
        session: &scope.session,
        clock: &shared.clock,
        clusters: &scope.config.clusters,
        fleet: &scope.fleet,
        searches: &scope.searches,
        caches: &caches,
        leadership: &shared.leadership,
    };
    let acting = async {
        if shared.config.dry_run { std::future::pending().await } else { actor.run().await }
    };
    // Boxed: together these futures would exceed a thread's stack.
    let others: [LocalBoxFuture<'_, ()>; 12] = [
        Box::pin(groups_loop(shared, scope, &caches)),
        Box::pin(beat(scope, &shared.clock, &shared.leadership, shared.config.dry_run)),
        Box::pin(table::keep_in_step(shared, scope)),
        Box::pin(table::watch_pauses(shared, scope)),
        Box::pin(intake_loop(shared, scope, stop)),
        Box::pin(reader.run()),
        Box::pin(acting),
        Box::pin(sizes::read_sizes(shared, scope)),
        Box::pin(turns::find_causes(shared, scope, &caches)),
        Box::pin(watch::gauges(shared, scope)),
        Box::pin(events::events(shared, scope, stop)),
        Box::pin(rollouts::roll(shared, scope, stop)),
    ];
    let turns = Box::pin(turns::turns(shared, scope, incoming, stop));
    select(turns, futures_util::future::join_all(others)).await;
}

async fn groups_loop(shared: &Shared, scope: &ScopeState, caches: &Caches) {
    let mut cache = GroupsCache::default();
    let mut backoff = backoff();
    loop {
        // The group of an unfinished drain is always read, even if the configuration no longer
        // selects it.
        let draining: BTreeSet<String> = {
            let slots = scope.fleet.slots();
            slots.values().filter_map(|slot| slot.drain.record.group().map(str::to_owned)).collect()
        };
        let selects = |name: &str, tags: &BTreeMap<String, String>| {
            scope.config.groups.selects(name, tags) || draining.contains(name)
        };
        let mut is_early = false;
        let early = |view: Rc<GroupsView>| {
            is_early = true;
            let before = scope.take_groups(&view);
            *scope.previous.borrow_mut() = before;
            scope.health.looked_at_groups(&scope.prefix(), true);
            scope.bells.hold.notify_one();
            scope.bells.intake.notify_one();
        };
        let looked = read_groups(
            &scope.session,
            &shared.clock,
            &mut cache,
            &scope.config.hooks,
            selects,
            early,
        )
        .await;
        let wait = match looked {
            Ok(view) => {
                scope.forget_departed(&view);
                scope.searches.retain(|id| {
                    view.members.contains_key(id) || scope.phases.borrow().contains_key(id)
                });
                caches.prune(shared.clock.mono());
                let before = scope.take_groups(&view);
                // If `early` has run, it has already kept the view before this read.
                if !is_early {
                    *scope.previous.borrow_mut() = before;
                }
                scope.health.looked_at_groups(&scope.prefix(), true);
                let blind = &scope.health.blind;
                for (what, failed) in
                    [(What::Groups, &view.pools_failed), (What::Hooks, &view.hooks_failed)]
                {
                    match failed {
                        Some(why) => blind.misses(&scope.place(), what, why),
                        None => blind.sees(&scope.place(), what),
                    }
                }
                scope.bells.hold.notify_one();
                scope.bells.intake.notify_one();
                scope.bells.rollouts.notify_one();
                tell_drains(shared, scope, &view, selects).await;
                backoff = self::backoff();
                shared.config.poll.groups
            }
            Err(error) => {
                scope.health.blind.misses(&scope.place(), What::Groups, &error);
                scope.bells.hold.notify_one();
                scope.health.looked_at_groups(&scope.prefix(), false);
                backoff.next().unwrap_or(shared.config.poll.groups)
            }
        };
        // An event can bring the next read forward, down to `NUDGED` after the last one.
        tokio::time::sleep(wait.min(NUDGED)).await;
        tokio::select! {
            biased;
            () = scope.bells.groups.notified() => {}
            () = tokio::time::sleep(wait.saturating_sub(NUDGED)) => {}
        }
    }
}

/// Passes to every drain what the groups show of its instance. An instance is absent only if Auto
/// Scaling also finds nothing under its id. `selects` chooses the groups whose warm pools were
/// read.
async fn tell_drains(
    shared: &Shared,
    scope: &ScopeState,
    view: &GroupsView,
    selects: impl Fn(&str, &BTreeMap<String, String>) -> bool,
) {
    // A drain that became known while the groups were read gets its group from the next read.
    let was_read = |record: &Record| {
        let group = record.group().and_then(|name| Some((name, view.groups.get(name)?)));
        group.is_none_or(|(name, info)| selects(name, &info.tags))
    };
    let mut keys = Vec::new();
    let mut gone = BTreeSet::new();
    for (key, slot) in scope.fleet.slots().iter().filter(|(_, slot)| was_read(&slot.drain.record)) {
        let instance = &slot.drain.record.instance_id;
        keys.push(key.clone());
        if !view.members.contains_key(instance) {
            gone.insert(instance.clone());
        }
    }
    let gone: Vec<String> = gone.into_iter().collect();
    let asked = reader::absent(&scope.session, &gone).await;
    let now = shared.clock.now();
    for key in keys {
        let sight = scope.fleet.with(&key, |slot| {
            let record = &slot.drain.record;
            let sight = reader::sight(view, &asked, record, &scope.config.hooks);
            let attached = reader::attachments(view, record, now);
            let known = &slot.drain.facts.targets;
            let new = attached
                .iter()
                .any(|one| !known.iter().any(|target| target.obligation.is_same(one)));
            if new {
                slot.drain.heed(&slot.policy, view.read, Answer::Registrations(attached));
            }
            sight
        });
        if let Some(sight) = sight {
            scope.fleet.answer(&key, view.read, Answer::Group(sight));
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
                    match view.held {
                        true => tracing::info!(holder = view.holder, "Leadership gained"),
                        false => tracing::info!(holder = view.holder, "Leader changed"),
                    }
                    holder.clone_from(&view.holder);
                }
                shared.leadership.set(view.until.filter(|_| view.held));
                shared.health.blind.sees(watch::WHOLE, What::Lease);
            }
            // A lease that was won lasts until its time is over, even if a renewal fails.
            Err(error) => shared.health.blind.misses(watch::WHOLE, What::Lease, &error),
        }
        tokio::time::sleep(RENEW_EVERY).await;
    }
}

async fn intake_loop(shared: &Shared, scope: &ScopeState, stop: &Stop) {
    let intake = Intake::default();
    // Created before the pass, so that a search that ends during the pass is not missed.
    let mut answered = pin!(scope.searches.answered.notified());
    loop {
        tokio::select! {
            biased;
            () = scope.bells.intake.notified() => {}
            () = answered.as_mut() => {}
        }
        answered.set(scope.searches.answered.notified());
        answered.as_mut().enable();
        if shared.leadership.leads() && !stop.is_now() {
            intake.pass(&shared.config, scope, &shared.records, &shared.clock).await;
            // A new drain gets the last read of the groups at once.
            let view = scope.groups.borrow().clone();
            if let Some(view) = view {
                tell_new_drains(shared, scope, &view);
            }
        }
    }
}

/// Passes the last read of the groups to drains that have just begun.
fn tell_new_drains(shared: &Shared, scope: &ScopeState, view: &GroupsView) {
    let new: Vec<Record> = {
        let slots = scope.fleet.slots();
        let new = slots.values().filter(|slot| slot.drain.facts.group.sight.is_none());
        new.map(|slot| slot.drain.record.clone())
            .filter(|record| view.members.contains_key(&record.instance_id))
            .collect()
    };
    for record in new {
        let sight = reader::sight(
            view,
            &ecs_drain_state::Seen::Yes(BTreeMap::new()),
            &record,
            &scope.config.hooks,
        );
        let attached = reader::attachments(view, &record, shared.clock.now());
        scope.fleet.answer(&record.key(), view.read, Answer::Registrations(attached));
        scope.fleet.answer(&record.key(), view.read, Answer::Group(sight));
    }
}

/// Returns the delays after failures in a row: doubling from 1 s to 60 s, with jitter, without end.
fn backoff() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(Duration::from_secs(60))
        .with_jitter()
        .without_max_times()
        .build()
}
