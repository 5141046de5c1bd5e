//! Keeps this replica's view of the table current: unfinished drains, writes of other processes,
//! and pauses.

use super::watch::WHOLE;
use super::{Shared, requests, rollouts};
use crate::blind::What;
use crate::log;
use crate::quote::chain;
use crate::scope::{ScopeState, Unread};
use crate::store::{Read, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Interval between two reads of the unfinished drains.
const EVERY: Duration = Duration::from_secs(10);

/// Interval between two reads of the pauses.
const PAUSES: Duration = Duration::from_secs(3);

/// Waits for a table of the right shape. The controller must not exit without one, because its
/// heartbeats are what holds the waiting instances.
pub(super) async fn is_fit(shared: &Shared) {
    while !shared.table_is_fit.get() {
        match shared.records.check().await {
            Ok(()) => {
                shared.table_is_fit.set(true);
                shared.health.table_is_fit();
                shared.health.blind.sees(WHOLE, What::Table);
            }
            Err(error) => {
                shared.health.blind.misses(WHOLE, What::Table, &format!("{error:#}"));
                tokio::time::sleep(EVERY).await;
            }
        }
    }
}

/// Keeps this replica's copy of the unfinished records current. A replica that does not lead does
/// so too: its heartbeats depend on which drains are done.
pub(super) async fn keep_in_step(shared: &Shared, scope: &ScopeState) {
    loop {
        if !shared.table_is_fit.get() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        let waits = pass(shared, scope).await;
        tokio::select! {
            biased;
            // A request for a drain waits until every cluster was searched.
            () = scope.searches.answered.notified(), if waits => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Reads the pauses; never returns. It has a loop of its own, so that a pause takes effect within
/// seconds, however much else must be read. A failed read keeps the last result. Until the first
/// read succeeds, no drain is decided.
pub(super) async fn watch_pauses(shared: &Shared, scope: &ScopeState) {
    loop {
        if shared.table_is_fit.get() {
            match shared.records.pauses().await {
                Ok(pauses) => {
                    shared.health.blind.sees(&scope.place(), What::Pauses);
                    let changed = scope.paused.borrow().as_ref() != Some(&pauses);
                    if changed {
                        *scope.paused.borrow_mut() = Some(pauses);
                        scope.fleet.freshen_all();
                    }
                }
                Err(error) => shared.health.blind.misses(&scope.place(), What::Pauses, &error),
            }
        }
        tokio::time::sleep(PAUSES).await;
    }
}

/// Reads the table once. Returns true if a request must wait. A failed part does not affect the
/// others.
async fn pass(shared: &Shared, scope: &ScopeState) -> bool {
    let work = match shared.records.open_work().await {
        Ok(work) => work,
        Err(error) => {
            shared.health.blind.misses(&scope.place(), What::Table, &error);
            return false;
        }
    };
    rollouts::learn(shared, scope, &work.rollouts);
    let prefix = scope.prefix();
    let listed: BTreeMap<String, u64> = work
        .records
        .into_iter()
        .filter(|u| u.key.starts_with(&prefix))
        .map(|u| (u.key, u.version))
        .collect();
    let mut changed: Vec<String> = {
        let slots = scope.fleet.slots();
        let newer = |key: &str, version: u64| {
            slots.get(key).is_none_or(|slot| slot.drain.record.version < version)
        };
        listed
            .iter()
            .filter(|(key, version)| newer(key, **version))
            .map(|(key, _)| key.clone())
            .collect()
    };
    // The index lags, so a record that it does not list is read directly.
    changed.extend(scope.fleet.slots().keys().filter(|key| !listed.contains_key(*key)).cloned());
    changed
        .extend(scope.unreadable.borrow().keys().filter(|key| !listed.contains_key(*key)).cloned());
    changed.sort();
    changed.dedup();
    match reread(shared, scope, &changed).await {
        Ok(()) => shared.health.blind.sees(&scope.place(), What::Table),
        Err(error) => shared.health.blind.misses(&scope.place(), What::Table, &error),
    }
    if !shared.leadership.leads() {
        return false;
    }
    let repeats = &shared.health.repeats;
    match requests::carry_out(shared, scope, &work.requests).await {
        Ok(all) => {
            if repeats.works("requests", &scope.place()) {
                log::scope!(info, scope, "Requests carried out again");
            }
            all
        }
        Err(error) => {
            if repeats.fails("requests", &scope.place()) {
                log::scope!(
                    error,
                    scope,
                    error = chain(&error),
                    "Requests not carried out; retrying"
                );
            }
            false
        }
    }
}

/// Reads records as they are now, and takes them over.
pub(super) async fn reread(
    shared: &Shared,
    scope: &ScopeState,
    keys: &[String],
) -> Result<(), StoreError> {
    let began = shared.clock.mono();
    let mut missing: BTreeSet<&String> = keys.iter().collect();
    for (key, read) in shared.records.get_many(keys).await? {
        missing.remove(&key);
        match read {
            // The key was free, and another controller has opened its own drain under it.
            Read::Record(record) if record.controller != shared.config.controller => {
                scope.drop_drain(&key);
            }
            Read::Record(record) => scope.learn_read(*record, began, shared.clock.mono()),
            Read::Newer { schema } => stand_still(scope, &key, Unread::newer(schema)),
            Read::Unreadable { why } => {
                stand_still(scope, &key, Unread { what: why, newer: false })
            }
        }
    }
    for key in missing {
        if scope.drop_drain(key) {
            log::instance!(
                error,
                scope,
                instance(key),
                "Record deleted; it is opened again if the instance still waits"
            );
        }
    }
    Ok(())
}

/// Returns the instance of a record's key.
pub(super) fn instance(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// Stops a drain whose record cannot be read, and logs it. The record and the instance's wait are
/// kept.
fn stand_still(scope: &ScopeState, key: &str, unread: Unread) {
    scope.fleet.forget(key);
    let instance = instance(key);
    scope.phases.borrow_mut().remove(instance);
    let known = scope.unreadable.borrow_mut().insert(key.to_owned(), unread.clone());
    let Unread { what, newer } = &unread;
    if known.as_ref() == Some(&unread) {
        // Logged already.
    } else if *newer {
        // Expected during an upgrade: the newer process continues the drain.
        log::instance!(
            warn,
            scope,
            instance,
            what,
            "Drain left to a newer ecs-drain; heartbeats continue"
        );
    } else {
        log::instance!(
            error,
            scope,
            instance,
            what,
            "Drain stopped: its record cannot be read; heartbeats continue. Repair or delete the record"
        );
    }
}
