//! Requests of operators: each is read, carried out on its instance's record, and answered. A
//! request that is read twice has no effect the second time; a request older than 15 minutes is
//! refused.

use super::{Shared, rollouts};
use crate::intake::{Asked, Opened, margin, open_asked};
use crate::log;
use crate::scope::ScopeState;
use crate::store::{Answer, Read, ReadRequest, Saved, StoreError};
use ecs_drain_state::needs::Class;
use ecs_drain_state::request::{Applied, Circumstances, Request, What, apply, other_cluster};
use ecs_drain_state::{ContainerInstance, Origin, Record};
use std::time::Duration;

/// Time from the end of a search of every cluster for which its result may open a drain.
const SEARCH_LASTS: Duration = Duration::from_secs(60);

/// Carries out the requests of this scope. Returns true if one must wait. A failed request does not
/// block those after it.
///
/// # Errors
/// Returns the first failure, once all requests were tried.
pub(super) async fn carry_out(
    shared: &Shared,
    scope: &ScopeState,
    keys: &[String],
) -> Result<bool, StoreError> {
    let (mut failed, mut waits) = (None, false);
    for (key, read) in shared.records.requests(keys).await? {
        // Each failure can take seconds, and the lease may run out meanwhile. The next leader
        // carries out the rest.
        if !shared.leadership.leads() {
            break;
        }
        match carry_out_one(shared, scope, &key, read).await {
            Ok(done) => waits |= !done,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(waits), Err)
}

/// Carries out and answers one request. Returns false if it must wait.
async fn carry_out_one(
    shared: &Shared,
    scope: &ScopeState,
    key: &str,
    read: ReadRequest,
) -> Result<bool, StoreError> {
    match read {
        ReadRequest::Request(request) => {
            let here =
                request.account == scope.session.account && request.region == scope.session.region;
            if here {
                let Some(answer) = one(shared, scope, &request).await? else { return Ok(false) };
                say(&request, &answer);
                shared.records.answer(key, &answer).await?;
            }
        }
        ReadRequest::Rollout(request) => {
            let here =
                request.account == scope.session.account && request.region == scope.session.region;
            if here {
                let answer = rollouts::asked::carry_out(shared, scope, &request).await?;
                let Some(answer) = answer else { return Ok(false) };
                rollouts::asked::say(&request, &answer);
                shared.records.answer(key, &answer).await?;
            }
        }
        ReadRequest::Unreadable { why } => {
            log::scope!(error, scope, key, why, "Request not read; nothing was changed");
            let answer = Answer { text: why, refused: true, at: shared.clock.now() };
            shared.records.answer(key, &answer).await?;
        }
    }
    Ok(true)
}

/// Carries out one request. Returns `None` if it must wait and be tried again.
///
/// It runs only while no call of the drain is under way, and blocks new ones meanwhile, so that the
/// answer is true.
pub(super) async fn one(
    shared: &Shared,
    scope: &ScopeState,
    request: &Request,
) -> Result<Option<Answer>, StoreError> {
    let key = scope.key(&request.instance_id);
    let busy =
        scope.fleet.with(&key, |slot| slot.acting || std::mem::replace(&mut slot.committing, true));
    if busy == Some(true) {
        return Ok(None);
    }
    let answer = one_alone(shared, scope, &key, request).await;
    // A drain that began meanwhile manages its own flag.
    if busy == Some(false) {
        scope.fleet.with(&key, |slot| slot.committing = false);
        scope.fleet.freshen(&key);
    }
    answer
}

async fn one_alone(
    shared: &Shared,
    scope: &ScopeState,
    key: &str,
    request: &Request,
) -> Result<Option<Answer>, StoreError> {
    let now = shared.clock.now();
    let answer = |text: String, refused: bool| Some(Answer { text, refused, at: now });
    let record: Option<Record> = match shared.records.get(key).await? {
        None => None,
        Some(Read::Record(record)) => Some(*record),
        Some(Read::Newer { schema }) => {
            return Ok(answer(
                format!("its record has schema {schema}, which is newer than this program"),
                true,
            ));
        }
        Some(Read::Unreadable { why }) => {
            return Ok(answer(format!("its record cannot be read: {why}"), true));
        }
    };
    // The CLI refuses this too, but anyone with write access to the table can bypass the CLI. A
    // finished record belongs to no controller.
    if let Some(theirs) =
        record.as_ref().filter(|r| !r.is_done() && r.controller != shared.config.controller)
    {
        let theirs = &theirs.controller;
        return Ok(answer(
            format!("its unfinished drain is one of controller {theirs:?}: ask that one"),
            true,
        ));
    }
    let policy = record.as_ref().map(|r| scope.fleet.policy(r.cluster.as_deref(), r.group()));
    let margin = margin(&policy.unwrap_or_else(|| shared.config.policies.default_policy().clone()));
    let paused = record.as_ref().and_then(|record| scope.paused_on(record));
    match apply(request, record.as_ref(), &Circumstances { margin, paused: paused.as_deref(), now })
    {
        Applied::Already { answer: text } => Ok(answer(text, false)),
        Applied::Refused { answer: text } => Ok(answer(text, true)),
        Applied::Changed { record, answer: text } => {
            let mut next = *record;
            next.updated_at = now;
            match shared.records.save(next).await? {
                Saved::LostRace => Ok(None),
                Saved::Saved(saved) => {
                    let again = request.what == What::Retry;
                    scope.learn(*saved, shared.clock.mono());
                    look_now(shared, scope, key, again);
                    Ok(answer(text, false))
                }
            }
        }
        Applied::Open => open(shared, scope, request).await,
    }
}

/// Opens the requested drain, once every cluster was searched for its instance.
async fn open(
    shared: &Shared,
    scope: &ScopeState,
    request: &Request,
) -> Result<Option<Answer>, StoreError> {
    let answer =
        |text: String, refused: bool| Some(Answer { text, refused, at: shared.clock.now() });
    let What::Drain { then } = request.what else { return Ok(None) };
    let Some(found) = find(shared, scope, &request.instance_id) else { return Ok(None) };
    if let Some(why) = other_cluster(request, &found) {
        return Ok(answer(why, true));
    }
    let asked = Asked {
        instance_id: request.instance_id.clone(),
        origin: Origin::Operator,
        then,
        requested: Some(request.order()),
        request: Some(request.id.clone()),
        container_instances: found,
    };
    match open_asked(&shared.config, scope, &shared.records, &shared.clock, asked).await? {
        Opened::Begins(record) => {
            Ok(answer(format!("drain accepted (generation {})", record.generation), false))
        }
        Opened::UnderWay(record) => {
            Ok(answer(format!("a drain is under way already: {}", record.phase()), true))
        }
        Opened::Already(record) => {
            Ok(answer(format!("that drain is over: {}", record.shown.message), false))
        }
        Opened::Refused(why) => {
            scope.searches.forget(&request.instance_id);
            Ok(answer(why, true))
        }
        Opened::NotNow => Ok(None),
    }
}

/// Returns the container instances that a search of every cluster has just found for an instance.
/// Otherwise requests such a search, and returns `None`.
pub(super) fn find(
    shared: &Shared,
    scope: &ScopeState,
    instance: &str,
) -> Option<Vec<ContainerInstance>> {
    scope.groups.borrow().as_ref()?;
    let now = shared.clock.mono();
    // Measured from the end of the search, because a search of hundreds of clusters can take
    // minutes.
    let lookup =
        scope.searches.get(instance).filter(|search| now < search.read.ended + SEARCH_LASTS);
    let lookup = lookup.filter(|search| !search.found.is_empty() || search.unread.is_empty());
    if lookup.is_none() {
        scope.searches.want(instance, now, Class::Begin);
    }
    Some(lookup?.found)
}

/// Makes the drain be decided and its group read at once. `afresh` also drops its back-off and its
/// facts.
fn look_now(shared: &Shared, scope: &ScopeState, key: &str, afresh: bool) {
    if afresh {
        scope.fleet.read_anew(key, shared.clock.mono());
    } else {
        scope.fleet.freshen(key);
    }
    scope.bells.groups.notify_one();
}

fn say(request: &Request, answer: &Answer) {
    let done = if answer.refused { "refused" } else { "carried out" };
    tracing::info!(
        account = request.account,
        region = request.region,
        cluster = request.cluster,
        instance = request.instance_id,
        by = request.by,
        reason = request.reason,
        request = request.what.name(),
        refused = answer.refused,
        "Request {done}: {}",
        answer.text
    );
}
