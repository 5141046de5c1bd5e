//! Requests of operators about rollouts: each is carried out on the rollout's record, and answered.

use super::Shared;
use crate::scope::{Rolls, ScopeState};
use crate::store::{Answer, ReadRollout, StoreError};
use ecs_drain_state::rollout::{Applied, Request, Rollout, Start, What, apply};
use std::collections::BTreeMap;

/// Carries out one request. Returns `None` if it must wait and be tried again.
pub(in crate::controller) async fn carry_out(
    shared: &Shared,
    scope: &ScopeState,
    request: &Request,
) -> Result<Option<Answer>, StoreError> {
    let now = shared.clock.now();
    let answer = |text: String, refused: bool| Some(Answer { text, refused, at: now });
    if scope.groups.borrow().is_none() {
        return Ok(None);
    }
    if let What::Start(start) = &request.what
        && let Some(why) = foreign(scope, start)
    {
        return Ok(answer(why, true));
    }
    let key = request.rollout_key();
    let mut keys: Vec<String> = scope.rollouts.borrow().keys().cloned().collect();
    keys.push(key.clone());
    let (mut mine, mut taken) = (None, BTreeMap::new());
    for (of, read) in shared.records.rollouts(&keys).await? {
        match read {
            ReadRollout::Rollout(rollout) if of == key => mine = Some(*rollout),
            ReadRollout::Rollout(rollout) => taken.extend(takes(&rollout)),
            ReadRollout::Newer { schema } if of == key => {
                let text =
                    format!("its record has schema {schema}, which is newer than this program");
                return Ok(answer(text, true));
            }
            ReadRollout::Unreadable { why } if of == key => {
                return Ok(answer(format!("its record cannot be read: {why}"), true));
            }
            ReadRollout::Newer { .. } | ReadRollout::Unreadable { .. } => {}
        }
    }
    match apply(request, mine.as_ref(), &taken, now) {
        Applied::Already { answer: text } => Ok(answer(text, false)),
        Applied::Refused { answer: text } => Ok(answer(text, true)),
        Applied::Created { rollout, answer: text } | Applied::Changed { rollout, answer: text } => {
            // Another write came first: the next pass reads it.
            let Some(saved) = shared.records.save_rollout(*rollout).await? else {
                return Ok(None);
            };
            scope.rollouts.borrow_mut().insert(key, Rolls::In(saved.stage.name()));
            scope.bells.groups.notify_one();
            Ok(answer(text, false))
        }
    }
}

/// Returns the old instances of an unfinished rollout, with its name.
fn takes(rollout: &Rollout) -> Vec<(String, String)> {
    if rollout.is_done() {
        return Vec::new();
    }
    let old = rollout.groups.values().flat_map(|group| group.old.keys());
    old.map(|id| (id.clone(), rollout.name.clone())).collect()
}

/// Returns the reason why a rollout does not belong to this scope. The CLI refuses this too, but
/// anyone with write access to the table can bypass the CLI.
fn foreign(scope: &ScopeState, start: &Start) -> Option<String> {
    let view = scope.groups.borrow();
    let view = view.as_ref()?;
    start.groups.iter().find_map(|(name, (cluster, old))| {
        let Some(group) = view.groups.get(name) else {
            return Some(format!("there is no group {name} in {}", scope.place()));
        };
        if !scope.config.groups.selects(name, &group.tags) {
            return Some(format!("the configuration leaves group {name} out"));
        }
        if !scope.config.clusters.matches(cluster) {
            return Some(format!("the configuration leaves cluster {cluster} out"));
        }
        let is_here = |id: &&String| view.members.get(*id).is_some_and(|one| one.group == *name);
        let other = old.iter().find(|id| !is_here(id))?;
        Some(format!("{other} is not an instance of group {name}"))
    })
}

/// Logs a request that was carried out.
pub(in crate::controller) fn say(request: &Request, answer: &Answer) {
    let done = if answer.refused { "refused" } else { "carried out" };
    tracing::info!(
        account = request.account,
        region = request.region,
        rollout = request.rollout,
        by = request.by,
        reason = request.reason,
        request = request.what.name(),
        refused = answer.refused,
        "Request {done}: {}",
        answer.text
    );
}
