//! The table, as this replica knows it: which drains are unfinished, did someone else write them, who holds what.

use super::{ScopeState, Shared, Unread, requests};
use crate::store::{Read, StoreError};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often the table is asked which drains are unfinished.
const EVERY: Duration = Duration::from_secs(10);

/// Waits for a table in its right shape. A controller without one still holds what waits: it must not exit, because
/// nobody else would.
pub(super) async fn is_fit(shared: &Shared) {
    while !shared.table_is_fit.get() {
        match shared.records.check().await {
            Ok(()) => {
                shared.table_is_fit.set(true);
                shared.health.table_is_fit();
            }
            Err(error) => {
                tracing::error!(%error, "no drain begins or goes on without the table; instances are held meanwhile");
                tokio::time::sleep(EVERY).await;
            }
        }
    }
}

/// Keeps this replica's copy of the unfinished records in step with the table. A replica that does not lead does it
/// too: holding wants to know which drains are being completed.
pub(super) async fn keep_in_step(shared: &Shared, scope: &ScopeState) {
    loop {
        if !shared.table_is_fit.get() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        if let Err(error) = pass(shared, scope).await {
            tracing::error!(%error, "cannot read the table; instances are held meanwhile");
        }
        tokio::select! {
            biased;
            () = scope.bells.table.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn pass(shared: &Shared, scope: &ScopeState) -> Result<(), StoreError> {
    // Who holds what comes first: nothing is done before it is known. What cannot be read holds everything.
    let brake = shared.records.brake().await;
    if let Ok(brake) = &brake {
        *scope.brake.borrow_mut() = Some(brake.clone());
    }
    let prefix = scope.prefix();
    let work = shared.records.open_work().await?;
    let listed: BTreeMap<String, u64> =
        work.records.into_iter().filter(|u| u.key.starts_with(&prefix)).map(|u| (u.key, u.version)).collect();
    let mut changed: Vec<String> = {
        let drains = scope.drains.borrow();
        let newer = |key: &str, version: u64| drains.get(key).is_none_or(|d| d.record.version < version);
        listed.iter().filter(|(key, version)| newer(key, **version)).map(|(key, _)| key.clone()).collect()
    };
    // The index lags: what it does not show (any more) is read itself.
    changed.extend(scope.drains.borrow().keys().filter(|key| !listed.contains_key(*key)).cloned());
    changed.extend(scope.unreadable.borrow().keys().filter(|key| !listed.contains_key(*key)).cloned());
    for key in changed {
        reread(shared, scope, &key).await?;
    }
    brake?;
    if shared.leads() {
        requests::carry_out(shared, scope, &work.requests).await?;
    }
    Ok(())
}

/// Reads one record as it is now, and takes it over.
pub(super) async fn reread(shared: &Shared, scope: &ScopeState, key: &str) -> Result<(), StoreError> {
    match shared.records.get(key).await? {
        Some(Read::Record(record)) => {
            scope.learn(*record, shared.clock.mono());
            scope.bells.pass.notify_one();
        }
        Some(Read::Newer { schema }) => {
            stand_still(scope, key, Unread::newer(schema));
        }
        Some(Read::Unreadable { why }) => stand_still(scope, key, Unread { what: why, newer: false }),
        None => {
            if scope.drains.borrow_mut().remove(key).is_some() {
                tracing::error!(key, "its record was deleted; it is opened again if the instance still waits");
            }
            scope.unreadable.borrow_mut().remove(key);
            let instance = key.rsplit('/').next().unwrap_or(key);
            scope.phases.borrow_mut().remove(instance);
        }
    }
    Ok(())
}

/// A record that cannot be read stops that one drain, loudly, and loses nothing.
fn stand_still(scope: &ScopeState, key: &str, unread: Unread) {
    scope.drains.borrow_mut().remove(key);
    let instance = key.rsplit('/').next().unwrap_or(key);
    scope.phases.borrow_mut().remove(instance);
    let known = scope.unreadable.borrow_mut().insert(key.to_owned(), unread.clone());
    let Unread { what, newer } = &unread;
    if known.as_ref() == Some(&unread) {
        // Said already.
    } else if *newer {
        // During an upgrade this is as it should be: the newer process goes on with it.
        tracing::warn!(
            key,
            what,
            "this process leaves this drain alone; its instance is held. A newer one goes on with it"
        );
    } else {
        tracing::error!(key, what, "this drain stands still; its instance is held. Repair or delete the record");
    }
}
