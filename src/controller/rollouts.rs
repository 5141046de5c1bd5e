//! Carries out rollouts: reads what a decision needs, saves the decision, and acts on it.
//!
//! # Rely and guarantee
//!
//! - A rollout is decided only by the leader, on a record that was read in the same pass, and on
//!   reads that began after the record's last change and after the last action ended.
//! - A decision is saved before its actions. Each action can be sent again: a drain is opened once
//!   for a rollout, and the desired capacity is changed only from the value that was decided on.
//! - Everything in memory can be lost; the soak of replacements then begins again.

pub(super) mod asked;
mod sight;

use super::{Shared, Stop, requests};
use crate::aws::{AwsError, ErrorClass};
use crate::groups::GroupsView;
use crate::intake::{Asked, Opened, open_asked};
use crate::log;
use crate::quote::chain;
use crate::scope::{Rolls, ScopeState};
use crate::store::{ReadRollout, StoreError, UnfinishedKey};
use ecs_drain_state::request::{self, Request};
use ecs_drain_state::rollout::{Action, CapacityAnswer, Rollout, Stage, decide};
use ecs_drain_state::{Origin, Then};
use sight::{Clusters, Memory};
use std::collections::BTreeMap;

/// Takes over the keys of unfinished rollouts, as the index shows them.
pub(super) fn learn(shared: &Shared, scope: &ScopeState, listed: &[UnfinishedKey]) {
    let prefix = prefix(shared, scope);
    let here = listed.iter().filter(|one| one.key.starts_with(&prefix));
    let mut known = scope.rollouts.borrow_mut();
    for one in here {
        known.entry(one.key.clone()).or_insert(Rolls::Unread);
    }
}

/// Returns the prefix of the keys of a scope's rollouts.
fn prefix(shared: &Shared, scope: &ScopeState) -> String {
    let (account, region) = (&scope.session.account, &scope.session.region);
    ecs_drain_state::rollout::key(&shared.config.controller, account, region, "")
}

/// Decides each unfinished rollout after each read of the groups; never returns.
pub(super) async fn roll(shared: &Shared, scope: &ScopeState, stop: &Stop) {
    let mut memories = BTreeMap::new();
    loop {
        scope.bells.rollouts.notified().await;
        let view = scope.groups.borrow().clone();
        let Some(view) = view else { continue };
        if shared.config.dry_run || !shared.leadership.leads() || stop.is_now() {
            memories.clear();
            continue;
        }
        let passed = pass(shared, scope, stop, &view, &mut memories).await;
        let repeats = &shared.health.repeats;
        match passed {
            Ok(()) if repeats.works("rollouts", &scope.place()) => {
                log::scope!(info, scope, "Rollouts carried out again");
            }
            Err(error) if repeats.fails("rollouts", &scope.place()) => {
                let error = chain(&error);
                log::scope!(error, scope, error, "Rollouts not carried out; retrying");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Decides every rollout once.
async fn pass(
    shared: &Shared,
    scope: &ScopeState,
    stop: &Stop,
    view: &GroupsView,
    memories: &mut BTreeMap<String, Memory>,
) -> Result<(), StoreError> {
    let keys: Vec<String> = scope.rollouts.borrow().keys().cloned().collect();
    memories.retain(|key, _| keys.contains(key));
    if keys.is_empty() {
        return Ok(());
    }
    let mut read: BTreeMap<_, _> = shared.records.rollouts(&keys).await?.into_iter().collect();
    let mut clusters = Clusters::default();
    let mut failed = None;
    let found = |key: &str, rolls: Rolls| scope.rollouts.borrow_mut().insert(key.to_owned(), rolls);
    for key in keys {
        let rollout = match read.remove(&key) {
            Some(ReadRollout::Rollout(rollout)) if !rollout.is_done() => *rollout,
            // The index lags, or the item was deleted.
            Some(ReadRollout::Rollout(_)) | None => {
                scope.rollouts.borrow_mut().remove(&key);
                continue;
            }
            Some(ReadRollout::Newer { schema }) => {
                let why = format!("its record has schema {schema}, newer than this program");
                found(&key, Rolls::Newer);
                stands_still(shared, scope, &key, &why);
                continue;
            }
            Some(ReadRollout::Unreadable { why }) => {
                found(&key, Rolls::Unreadable);
                stands_still(shared, scope, &key, &why);
                continue;
            }
        };
        found(&key, Rolls::In(rollout.stage.name()));
        let memory = memories.entry(key).or_default();
        // One that fails does not hold the others up.
        if let Err(error) = one(shared, scope, stop, view, rollout, memory, &mut clusters).await {
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

fn stands_still(shared: &Shared, scope: &ScopeState, key: &str, why: &str) {
    if shared.health.repeats.fails("rollout", key) {
        log::scope!(
            error,
            scope,
            key,
            why,
            "Rollout not continued: its record cannot be read. Repair or delete the record"
        );
    }
}

/// Decides one rollout, saves the decision and acts on it.
async fn one(
    shared: &Shared,
    scope: &ScopeState,
    stop: &Stop,
    view: &GroupsView,
    rollout: Rollout,
    memory: &mut Memory,
    clusters: &mut Clusters,
) -> Result<(), StoreError> {
    memory.recognize(&rollout, shared.clock.mono());
    if view.read.began < memory.changed {
        scope.bells.groups.notify_one();
        return Ok(());
    }
    let sight = sight::read(shared, scope, view, &rollout, memory, clusters).await?;
    let now = shared.clock.now();
    let decision = decide(&rollout, &sight, now);
    let acts = !decision.actions.is_empty();
    let rollout = if decision.save {
        let mut next = decision.rollout;
        next.updated_at = now;
        say(scope, &rollout, &next);
        let Some(saved) = shared.records.save_rollout(next).await? else {
            // An operator's request was carried out meanwhile: the next pass sees it.
            memory.changed = shared.clock.mono();
            return Ok(());
        };
        memory.saved(&saved, shared.clock.mono());
        saved
    } else {
        decision.rollout
    };
    if rollout.is_done() {
        scope.rollouts.borrow_mut().remove(&rollout.key());
    } else {
        scope.rollouts.borrow_mut().insert(rollout.key(), Rolls::In(rollout.stage.name()));
    }
    for action in decision.actions {
        let held = sight::held(scope, &rollout, shared.clock.now());
        if held.is_some() || !shared.leadership.leads() || stop.is_now() {
            break;
        }
        act(shared, scope, &rollout, memory, action).await?;
        memory.changed = shared.clock.mono();
    }
    if decision.save || acts {
        scope.bells.groups.notify_one();
    }
    Ok(())
}

/// Logs a rollout whose stage or reason has changed.
fn say(scope: &ScopeState, before: &Rollout, after: &Rollout) {
    if (before.stage.name(), &before.why) == (after.stage.name(), &after.why) {
        return;
    }
    let progress = after.progress();
    let (left, of) = (progress.left, progress.total);
    let (name, stage, message) = (&after.name, after.stage.name(), &after.message);
    if matches!(after.stage, Stage::Stopped { .. }) {
        log::scope!(warn, scope, rollout = name, stage, left, of, "Rollout stopped: {message}");
    } else {
        log::scope!(info, scope, rollout = name, stage, left, of, "Rollout changed: {message}");
    }
}

async fn act(
    shared: &Shared,
    scope: &ScopeState,
    rollout: &Rollout,
    memory: &mut Memory,
    action: Action,
) -> Result<(), StoreError> {
    match action {
        Action::SetDesired { group, from, to } => {
            match set_desired(shared, scope, &group, from, to).await {
                Ok(Some(answer)) => drop(memory.answers.insert(group, answer)),
                // The lease has ended.
                Ok(None) => {}
                Err(error) => {
                    let name = &rollout.name;
                    let error = chain(&error);
                    log::scope!(
                        warn,
                        scope,
                        rollout = name,
                        group,
                        error,
                        "Desired capacity perhaps not changed; the group is read again"
                    );
                }
            }
            Ok(())
        }
        Action::Drain { instance, then } => {
            drain(shared, scope, rollout, memory, instance, then).await
        }
        Action::Cancel { instance } => cancel(shared, scope, rollout, memory, &instance).await,
    }
}

/// Changes the desired capacity of a group that shows `from` at this moment. Returns `None` if the
/// call was not made, and may be made later.
///
/// # Errors
/// Returns an error if it is not known whether the change was applied.
async fn set_desired(
    shared: &Shared,
    scope: &ScopeState,
    group: &str,
    from: u32,
    to: u32,
) -> Result<Option<CapacityAnswer>, AwsError> {
    let autoscaling = &scope.session.urgent;
    let views = autoscaling.groups(Some(&[group.to_owned()]), false).await?;
    let shown = views.first().filter(|view| !view.deleting).map(|view| view.desired);
    if shown == Some(to) {
        // The answer to an earlier call was lost.
        return Ok(Some(CapacityAnswer::Accepted));
    }
    if shown != Some(from) {
        return Ok(Some(CapacityAnswer::NotSent));
    }
    if !shared.leadership.leads() {
        return Ok(None);
    }
    match autoscaling.set_desired(group, to).await {
        Ok(()) => {
            log::scope!(info, scope, group, from, to, "Desired capacity changed");
            Ok(Some(CapacityAnswer::Accepted))
        }
        Err(error) if matches!(error.class, ErrorClass::Invalid | ErrorClass::Denied) => {
            Ok(Some(CapacityAnswer::Refused(error.to_string())))
        }
        Err(error) => Err(error),
    }
}

/// Opens the drain of an instance, once every cluster was searched for it.
async fn drain(
    shared: &Shared,
    scope: &ScopeState,
    rollout: &Rollout,
    memory: &mut Memory,
    instance: String,
    then: Then,
) -> Result<(), StoreError> {
    let Some(container_instances) = requests::find(shared, scope, &instance) else {
        return Ok(());
    };
    let asked = Asked {
        instance_id: instance.clone(),
        origin: Origin::Operator,
        then,
        requested: Some(rollout.order()),
        request: Some(rollout.request_id()),
        container_instances,
    };
    match open_asked(&shared.config, scope, &shared.records, &shared.clock, asked).await? {
        Opened::Refused(why) => {
            scope.searches.forget(&instance);
            memory.refused.insert(instance, why);
        }
        // A drain of another origin ends in its own time, and the instance leaves with it.
        Opened::Begins(_) | Opened::UnderWay(_) | Opened::Already(_) | Opened::NotNow => {
            memory.refused.remove(&instance);
        }
    }
    Ok(())
}

/// Cancels the drain of an instance, as an operator's request would.
async fn cancel(
    shared: &Shared,
    scope: &ScopeState,
    rollout: &Rollout,
    memory: &Memory,
    instance: &str,
) -> Result<(), StoreError> {
    let Some(generation) = memory.generations.get(instance) else { return Ok(()) };
    let order = rollout.order();
    let request = Request {
        id: format!("{}-undo", rollout.request_id()),
        controller: rollout.controller.clone(),
        account: rollout.account.clone(),
        region: rollout.region.clone(),
        instance_id: instance.to_owned(),
        cluster: None,
        generation: *generation,
        what: request::What::Cancel,
        by: order.by,
        reason: order.reason,
        at: shared.clock.now(),
        schema: request::SCHEMA,
    };
    if let Some(answer) = requests::one(shared, scope, &request).await?.filter(|one| one.refused) {
        let (name, why) = (&rollout.name, answer.text);
        log::scope!(info, scope, rollout = name, instance, why, "Drain not cancelled");
    }
    Ok(())
}
