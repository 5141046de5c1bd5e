//! A pass: one turn over one cluster. Observe all, decide each, save, act.

use super::{Drain, ScopeState, Shared, after, backoff_after, budget, table};
use crate::act::{Order, Report, act};
use crate::observe::{Stuck, Subject, observe};
use crate::store::Saved;
use ecs_drain_state::diagnosis::Cause;
use ecs_drain_state::{
    Action, Context, Decision, Mono, Note, Observation, Phase, Policy, Record, Sightings, after_completion, decide,
};
use futures_util::future::{Either, select};
use futures_util::stream::{self, FuturesUnordered, StreamExt};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;
use tracing::Instrument;

/// Drains that want to be looked at this soon are taken along: their reads are shared.
const TOGETHER: Duration = Duration::from_secs(2);
/// What was seen is unbroken only while looks follow one another: after a longer gap (this replica did not lead, or the
/// process stood still) it is forgotten, which costs looking again. Longer than any back-off. A standstill in the middle
/// of a look is no gap between two: [`Pulse`](super::clock::Pulse) finds it.
const UNBROKEN: Duration = Duration::from_secs(90);
/// How long a drain stands still before it is asked why.
const STANDS_STILL: Duration = Duration::from_secs(120);
/// How often it is asked then.
const DIAGNOSE_EVERY: Duration = Duration::from_secs(120);
/// How many records are written at once.
const AT_ONCE: usize = 16;

/// Passes over clusters, one per cluster at a time, until the shutdown and the end of those under way.
pub(super) async fn passes(shared: &Shared, scope: &ScopeState, stopping: &Cell<bool>) {
    let mut running = FuturesUnordered::new();
    let mut busy = BTreeSet::new();
    loop {
        if stopping.get() && running.is_empty() {
            return;
        }
        if shared.leads() && !stopping.get() {
            for (cluster, keys) in due(scope, shared.clock.mono(), &busy) {
                busy.insert(cluster.clone());
                let span =
                    tracing::info_span!("pass", cluster = cluster.as_deref().unwrap_or("-"), drains = keys.len());
                running.push(
                    async move {
                        let begun = shared.clock.mono();
                        pass(shared, scope, &keys).await;
                        scope.metrics.pass(shared.clock.mono().saturating_sub(begun));
                        cluster
                    }
                    .instrument(span),
                );
            }
        }
        shared.pulse.beat(shared.clock.mono());
        scope.health.passes_move(&scope.prefix());
        let wait = next(scope, shared.clock.mono(), &busy);
        let bell = pin!(scope.bells.pass.notified());
        let idle = pin!(async {
            select(bell, pin!(tokio::time::sleep(wait))).await;
        });
        if running.is_empty() {
            idle.await;
        } else if let Either::Left((Some(cluster), _)) = select(running.next(), idle).await {
            busy.remove(&cluster);
        }
    }
}

/// The clusters with a drain that wants to be looked at now, and those of their drains that are taken along.
fn due(scope: &ScopeState, now: Mono, busy: &BTreeSet<Option<String>>) -> BTreeMap<Option<String>, Vec<String>> {
    let drains = scope.drains.borrow();
    let mut clusters: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
    let is_due: BTreeSet<&Option<String>> =
        drains.values().filter(|d| d.next <= now).map(|d| &d.record.cluster).collect();
    for (key, drain) in drains.iter().filter(|(_, d)| d.next <= now + TOGETHER) {
        if is_due.contains(&drain.record.cluster) && !busy.contains(&drain.record.cluster) {
            clusters.entry(drain.record.cluster.clone()).or_default().push(key.clone());
        }
    }
    clusters
}

/// How long until the next drain of a cluster that is not being passed over wants to be looked at.
fn next(scope: &ScopeState, now: Mono, busy: &BTreeSet<Option<String>>) -> Duration {
    let drains = scope.drains.borrow();
    let next = drains.values().filter(|d| !busy.contains(&d.record.cluster)).map(|d| d.next).min();
    // The lease can come at any time, and rings no bell.
    let most = Duration::from_secs(1);
    next.map_or(most, |next| next.saturating_sub(now)).clamp(Duration::from_millis(20), most)
}

/// One turn over the given drains of one cluster.
async fn pass(shared: &Shared, scope: &ScopeState, keys: &[String]) {
    let drains: Vec<Drain> = {
        let all = scope.drains.borrow();
        keys.iter().filter_map(|key| all.get(key)).cloned().collect()
    };
    let policies: Vec<Policy> = drains.iter().map(|d| policy(shared, &d.record)).collect();
    let begun = shared.clock.mono();
    let observations = {
        let subjects: Vec<_> =
            drains.iter().zip(&policies).map(|(d, policy)| Subject { record: &d.record, policy }).collect();
        let groups = scope.groups.borrow().clone();
        let hooks = &scope.config.hooks;
        observe(&scope.session, &shared.clock, groups, &scope.lookups, &scope.caches, hooks, &subjects).await
    };
    let ended = shared.clock.mono();
    if shared.pulse.stood_still_since(begun, ended) {
        tracing::warn!(
            "this process stood still while it looked; what it saw does not belong together, and it looks again"
        );
        let mut drains = scope.drains.borrow_mut();
        for key in keys {
            if let Some(drain) = drains.get_mut(key) {
                drain.sightings = Sightings::default();
                drain.next = ended;
            }
        }
        return;
    }
    let mut looks: Vec<Look> = drains
        .into_iter()
        .zip(policies)
        .zip(observations)
        .map(|((drain, policy), seen)| fold(drain, policy, seen))
        .collect();
    diagnose(shared, scope, &mut looks).await;
    let turns = budget::turns(shared, scope, &looks).await;
    let turns: Vec<_> =
        looks.into_iter().zip(turns).map(|(look, turn)| decide_one(shared, scope, look, turn)).collect();
    let saved: Vec<_> = stream::iter(turns)
        .map(|turn| {
            let span = span(&turn.drain.record);
            save(shared, scope, turn).instrument(span)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let ready: Vec<Turn> = saved.into_iter().flatten().collect();
    carry_out(shared, scope, ready).await;
}

/// One drain as it was just seen.
pub(super) struct Look {
    pub(super) drain: Drain,
    pub(super) policy: Policy,
    pub(super) seen: Observation,
}

/// One drain that was decided.
struct Turn {
    drain: Drain,
    policy: Policy,
    decision: Decision,
}

fn policy(shared: &Shared, record: &Record) -> Policy {
    shared.config.policies.for_drain(record.cluster.as_deref(), record.group())
}

/// The span of one drain: every line that is logged of it names the instance.
fn span(record: &Record) -> tracing::Span {
    tracing::info_span!("drain", instance = record.instance_id)
}

/// Folds what was seen into the sightings.
fn fold(mut drain: Drain, policy: Policy, seen: Observation) -> Look {
    if drain.looked.is_some_and(|at| seen.begun > at + UNBROKEN) {
        drain.sightings = Sightings::default();
    }
    drain.looked = Some(seen.ended);
    drain.sightings = drain.sightings.fold(&drain.record, &seen, &policy);
    Look { drain, policy, seen }
}

/// Finds out why drains that have stood still for a while do not move, for all of them at once.
async fn diagnose(shared: &Shared, scope: &ScopeState, looks: &mut [Look]) {
    let now = shared.clock.mono();
    let mut stuck = Vec::new();
    for (index, look) in looks.iter_mut().enumerate() {
        let drain = &mut look.drain;
        let progress = drain.sightings.progress.unwrap_or(now);
        let moved = drain.diagnosed.is_some_and(|at| progress > at);
        let waits = matches!(drain.record.phase, Phase::Deregistering | Phase::Waiting | Phase::Verifying);
        if moved || !waits {
            drain.causes = Vec::new();
            drain.diagnosed = None;
        }
        let stands_still = waits && now >= progress + STANDS_STILL;
        if stands_still && drain.diagnosed.is_none_or(|at| now >= at + DIAGNOSE_EVERY) {
            stuck.push(index);
        }
    }
    if stuck.is_empty() {
        return;
    }
    let causes = {
        let subjects: Vec<_> = stuck.iter().map(|index| stuck_subject(shared, &looks[*index])).collect();
        crate::observe::diagnose(&scope.session, &shared.clock, &scope.caches, &subjects).await
    };
    for index in stuck {
        let drain = &mut looks[index].drain;
        drain.diagnosed = Some(now);
        drain.causes = causes.get(&drain.record.key()).into_iter().flatten().map(note_of).collect();
    }
}

fn stuck_subject<'a>(shared: &Shared, look: &'a Look) -> Stuck<'a> {
    let since = look.drain.sightings.agent_lost.map(|lost| lost.since);
    let ago = since.map(|since| shared.clock.mono().saturating_sub(since));
    let agent_lost_since = ago.and_then(|ago| shared.clock.now().checked_sub(ago).ok());
    Stuck {
        record: &look.drain.record,
        policy: &look.policy,
        tasks: &look.seen.tasks,
        targets: &look.seen.targets,
        agent_lost_since,
    }
}

fn note_of(cause: &Cause) -> Note {
    Note { name: cause.name().to_owned(), text: cause.to_string() }
}

/// Decides, and keeps what this process must remember until the next look.
fn decide_one(shared: &Shared, scope: &ScopeState, look: Look, turn: ecs_drain_state::Turn) -> Turn {
    let Look { mut drain, policy, seen } = look;
    let _entered = span(&drain.record).entered();
    let brake = scope.brake_on(&drain.record);
    let context = Context { sightings: &drain.sightings, turn, brake: brake.as_deref(), causes: &drain.causes };
    let decision = decide(&drain.record, &seen, &policy, &context, shared.clock.now());
    if let Some(since) = decision.lookup {
        scope.lookups.want(&drain.record.instance_id, since);
        scope.bells.lookup.notify_one();
    }
    say(&drain, &decision);
    say_stuck(&mut drain, &policy, &decision, shared.clock.mono());
    drain.stuck &= brake.is_none();
    let key = drain.record.key();
    if let Some(kept) = scope.drains.borrow_mut().get_mut(&key) {
        kept.sightings = drain.sightings.clone();
        kept.looked = drain.looked;
        decision.why.name().clone_into(&mut kept.why);
        kept.stuck = drain.stuck;
        kept.stuck_said = drain.stuck_said;
        kept.causes = drain.causes.clone();
        kept.diagnosed = drain.diagnosed;
        kept.next = after(shared.clock.mono(), decision.again);
    }
    Turn { drain, policy, decision }
}

/// Whether a decision differs from the one before.
fn changes(drain: &Drain, decision: &Decision) -> bool {
    drain.record.phase != decision.record.phase || drain.why != decision.why.name()
}

/// Logs a decision when it changes something.
fn say(drain: &Drain, decision: &Decision) {
    let (before, now) = (&drain.record, &decision.record);
    if before.phase != now.phase {
        tracing::info!(
            group = now.group(),
            hook = now.lifecycle.as_ref().map(|l| l.hook.as_str()),
            cluster = now.cluster,
            from = before.phase.name(),
            phase = now.phase.name(),
            why = decision.why.name(),
            "{}",
            decision.why
        );
    } else if changes(drain, decision) {
        tracing::info!(phase = now.phase.name(), why = decision.why.name(), "{}", decision.why);
    }
}

/// Whether somebody should look at a drain that has stood still for so long. One that waits for its turn, that somebody
/// holds, or whose instance its group keeps or uses again, stands still as it should.
fn is_stuck(record: &Record, standing_still: Duration, policy: &Policy) -> bool {
    let works = matches!(record.phase, Phase::Deregistering | Phase::Waiting | Phase::Verifying | Phase::Completing);
    works && record.held.is_none() && record.retained_at.is_none() && standing_still >= policy.stuck_after
}

/// Says, again and again, that a drain does not move.
fn say_stuck(drain: &mut Drain, policy: &Policy, decision: &Decision, now: Mono) {
    let Some(since) = drain.sightings.progress else { return };
    drain.stuck = is_stuck(&decision.record, now.saturating_sub(since), policy);
    let said = drain.stuck_said.unwrap_or(since).max(since);
    if decision.record.is_done() || now < said + policy.stuck_after {
        return;
    }
    drain.stuck_said = Some(now);
    let record = &decision.record;
    tracing::warn!(
        phase = record.phase.name(),
        why = decision.why.name(),
        standing_still = %ecs_drain_state::why::Span(now.saturating_sub(since)),
        hook_ends_it_at = record.global_limit.map(|limit| limit.to_string()),
        causes = record.causes.iter().map(|cause| cause.name.as_str()).collect::<Vec<_>>().join(","),
        "stuck: {}",
        record.message
    );
}

/// Writes the record if it must be written. None when it must not be acted on: the race was lost, or the table did not
/// take it.
async fn save(shared: &Shared, scope: &ScopeState, mut turn: Turn) -> Option<Turn> {
    if !turn.decision.save {
        return Some(turn);
    }
    let saved = write(shared, scope, turn.decision.record.clone()).await?;
    turn.decision.record = saved;
    Some(turn)
}

/// Writes one record; None when that failed, in which case it is read again or tried again soon.
async fn write(shared: &Shared, scope: &ScopeState, mut record: Record) -> Option<Record> {
    record.updated_at = shared.clock.now();
    let key = record.key();
    let before = scope.drains.borrow().get(&key).map(|drain| (drain.record.phase, drain.record.phase_since));
    match shared.records.save(record).await {
        Ok(Saved::Saved(saved)) => {
            scope.metrics.moved(before, &saved);
            scope.learn((*saved).clone(), shared.clock.mono());
            Some(*saved)
        }
        Ok(Saved::LostRace) => {
            tracing::debug!(key, "someone else wrote this record; reading it again");
            if let Err(error) = table::reread(shared, scope, &key).await {
                tracing::error!(key, %error, "cannot read a record again");
            }
            None
        }
        Err(error) => {
            let mut drains = scope.drains.borrow_mut();
            if let Some(drain) = drains.get_mut(&key) {
                drain.failures = drain.failures.saturating_add(1);
                drain.next = after(shared.clock.mono(), backoff_after(drain.failures));
            }
            tracing::error!(key, %error, "cannot write a record: nothing is done for this drain, its instance is held");
            None
        }
    }
}

/// Does what was decided and saved, and writes down what came of it.
async fn carry_out(shared: &Shared, scope: &ScopeState, turns: Vec<Turn>) {
    let turns: Vec<_> = turns.into_iter().filter(|t| !t.decision.actions.is_empty()).collect();
    if turns.is_empty() {
        return;
    }
    if shared.config.dry_run {
        // Said once, when the decision changes, and not at every look.
        for turn in turns.iter().filter(|t| changes(&t.drain, &t.decision)) {
            would_do(turn);
        }
        return;
    }
    // Someone else may lead by now. Acting twice is harmless by design; this makes it rare.
    if !shared.leads() {
        return;
    }
    let reports = {
        let orders: Vec<_> =
            turns.iter().map(|t| Order { record: &t.decision.record, actions: t.decision.actions.clone() }).collect();
        act(&scope.session, &orders).await
    };
    let answers = turns.into_iter().zip(reports);
    stream::iter(answers)
        .for_each_concurrent(AT_ONCE, |(turn, report)| {
            let span = span(&turn.decision.record);
            note(shared, scope, turn, report).instrument(span)
        })
        .await;
}

fn would_do(turn: &Turn) {
    let record = &turn.decision.record;
    let _entered = span(record).entered();
    for action in &turn.decision.actions {
        let what = match action {
            Action::SetDraining { cluster, container_instance } => {
                format!("set {container_instance} of cluster {cluster} to DRAINING")
            }
            Action::SetActive { cluster, container_instance } => {
                format!("set {container_instance} of cluster {cluster} to ACTIVE")
            }
            Action::StopTask { cluster, task } => format!("stop task {task} of cluster {cluster}"),
            Action::Deregister { cluster, container_instance } => {
                format!("deregister {container_instance} of cluster {cluster} with force")
            }
            Action::Terminate { group, shrink } => {
                let size = if *shrink { "lowering" } else { "keeping" };
                format!("ask group {group} to terminate it, {size} its desired capacity")
            }
            Action::Complete(intent) => format!(
                "complete hook {} of group {} with {}",
                record.lifecycle.as_ref().map_or("-", |l| &l.hook),
                record.group().unwrap_or("-"),
                intent.result
            ),
        };
        tracing::info!(phase = record.phase.name(), "dry run: would {what}");
    }
}

/// Takes over what came of a drain's actions.
async fn note(shared: &Shared, scope: &ScopeState, turn: Turn, report: Report) {
    let record = &turn.decision.record;
    let now = shared.clock.now();
    let mut next = match &report.completion {
        Some(answer) => after_completion(record, answer, &turn.policy, now),
        None => record.clone(),
    };
    for error in &report.errors {
        tracing::error!(phase = record.phase.name(), %error, "an action failed; it is tried again");
    }
    if let Some(error) = report.errors.first() {
        fail(scope, &turn, shared.clock.mono());
        let what = error.to_string();
        let known = record.last_error.as_ref().is_some_and(|e| e.what == what);
        if known {
            // Said already; a record is not written for every attempt.
            return;
        }
        next.last_error = Some(ecs_drain_state::LastError { at: now, what });
        next.attempts = record.attempts.saturating_add(1);
    } else if let Some(drain) = scope.drains.borrow_mut().get_mut(&record.key()) {
        drain.failures = 0;
    }
    if next == *record {
        return;
    }
    let done = next.is_done();
    if let (Some(saved), true) = (write(shared, scope, next).await, done) {
        tracing::info!(
            group = saved.group(),
            hook = saved.lifecycle.as_ref().map(|l| l.hook.as_str()),
            cluster = saved.cluster,
            phase = saved.phase.name(),
            "{}",
            saved.message
        );
    }
}

fn fail(scope: &ScopeState, turn: &Turn, now: Mono) {
    if let Some(drain) = scope.drains.borrow_mut().get_mut(&turn.decision.record.key()) {
        drain.failures = drain.failures.saturating_add(1);
        drain.next = after(now, backoff_after(drain.failures).max(turn.decision.again));
    }
}
