//! Turns: a drain is decided when it has new facts or its time has come. Its record is committed,
//! and the decision's actions are passed to `act`. [`mod@write`] is the only place that saves a record
//! after a decision or after an action's answer.

use super::{Shared, Stop, sizes, table};
use crate::act::Report;
use crate::aws::ErrorClass;
use crate::fleet::Slot;
use crate::log;
use crate::quote::chain;
use crate::reader::{Caches, Stuck, diagnose};
use crate::scope::ScopeState;
use crate::store::Saved;
use ecs_drain_state::budget::{Budgets, Part, tasks};
use ecs_drain_state::{
    Action, CompletionAnswer, Context, Decision, LastError, Mono, Note, Now, Phase, Policy, Record,
    Turn, after_completion,
};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// Records that are written at once.
const WRITES: usize = 48;
/// Longest time without a turn.
const MOST: Duration = Duration::from_secs(1);
/// Records that may wait to be written before no more drains are decided: each holds a copy.
const WAITING: usize = 4 * WRITES;
/// Drains that are decided before other loops get a chance to run.
const AT_A_TIME: usize = 200;
/// Time without progress after which a drain is diagnosed.
const STANDS_STILL: Duration = Duration::from_secs(120);
/// Shortest time between two diagnoses of one drain.
const DIAGNOSE_EVERY: Duration = Duration::from_secs(120);
/// Drains that are diagnosed together. Drains that share a cluster share its reads.
const DIAGNOSED: usize = 100;

/// Future that writes one record, and takes over the result.
type Write<'a> = LocalBoxFuture<'a, ()>;

/// Takes turns until the shutdown. Then no turn starts, and writes under way are finished.
pub(super) async fn turns(
    shared: &Shared,
    scope: &ScopeState,
    mut reports: UnboundedReceiver<Report>,
    stop: &Stop,
) {
    let mut writes: FuturesUnordered<Write<'_>> = FuturesUnordered::new();
    let mut waiting: VecDeque<Write<'_>> = VecDeque::new();
    loop {
        scope.health.passes_move(&scope.prefix());
        while let Ok(report) = reports.try_recv() {
            waiting.push_back(Box::pin(take_report(shared, scope, report)));
        }
        if stop.is_now() && writes.is_empty() && waiting.is_empty() && !is_acting(scope) {
            return;
        }
        let may = shared.leadership.leads() && !stop.is_now() && scope.paused.borrow().is_some();
        if may && waiting.len() < WAITING {
            let begun = shared.clock.mono();
            let due = scope.fleet.due(begun, AT_A_TIME);
            for key in decide_all(shared, scope, &due) {
                waiting.push_back(Box::pin(commit(shared, scope, key)));
            }
            if due.len() == AT_A_TIME {
                // More drains may be due; other loops run first.
                scope.fleet.turn.notify_one();
                tokio::task::yield_now().await;
            }
            if !due.is_empty() {
                scope.metrics.pass(shared.clock.mono().since(begun));
            }
        }
        while writes.len() < WRITES
            && let Some(write) = waiting.pop_front()
        {
            writes.push(write);
        }
        let now = shared.clock.mono();
        let wait = scope
            .fleet
            .next_wake()
            .map_or(MOST, |wake| wake.since(now))
            .clamp(Duration::from_millis(10), MOST);
        tokio::select! {
            biased;
            Some(()) = writes.next(), if !writes.is_empty() => {}
            Some(report) = reports.recv() => waiting.push_back(Box::pin(take_report(shared, scope, report))),
            () = scope.fleet.turn.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn is_acting(scope: &ScopeState) -> bool {
    scope.fleet.slots().values().any(|slot| slot.acting)
}

/// Decision whose record must be written first.
struct Commit {
    key: String,
    decision: Decision,
}

/// Decides these drains. Returns those whose record must be written.
fn decide_all(shared: &Shared, scope: &ScopeState, keys: &[String]) -> Vec<Commit> {
    let mut budgets = None;
    let mut commits = Vec::new();
    // One moment for all: a window that ends in between would let more drains begin than may.
    let now = shared.clock.both();
    for key in keys {
        if waits_for_tags(scope, key) {
            continue;
        }
        let Some(turn) = turn(scope, key, &mut budgets, now) else { continue };
        let Some(decision) = decide_one(scope, key, turn, now) else { continue };
        if decision.save {
            scope.fleet.with(key, |slot| {
                let pending = slot.drain.record.phase() == Phase::Pending;
                slot.begins = pending && decision.record.phase() != Phase::Pending;
                slot.committing = true;
            });
            commits.push(Commit { key: key.clone(), decision });
        } else {
            take_plan(shared, scope, key, decision);
        }
    }
    commits
}

/// Returns whether the tags that a drain's policy depends on were not read yet. The first read of
/// the groups decides every drain. An operator's force asks for no policy.
fn waits_for_tags(scope: &ScopeState, key: &str) -> bool {
    let forced = |record: &Record| record.orders.force.is_some();
    !scope.fleet.knows_policies()
        && !scope.fleet.with(key, |slot| forced(&slot.drain.record)).unwrap_or_default()
}

/// Returns a drain's place in the queue. The budgets are counted once for all drains of a round,
/// and only if one of its drains has to wait for them. Facts and records stay the same in a round.
fn turn(scope: &ScopeState, key: &str, budgets: &mut Option<Budgets>, now: Now) -> Option<Turn> {
    fn part(slot: &Slot) -> Part<'_> {
        let Slot { drain, policy, begins, committing, .. } = slot;
        let begins = *begins && *committing;
        Part { record: &drain.record, facts: &drain.facts, policy, begins }
    }
    let slots = scope.fleet.slots();
    if !part(slots.get(key)?).waits() {
        return Some(Turn::Now);
    }
    let budgets = budgets.get_or_insert_with(|| {
        // A drain that a closed window keeps from beginning does not block the queue.
        let parts = slots.values().map(|slot| (part(slot), slot));
        let counted = parts.filter(|(part, slot)| {
            part.begins || !slot.drain.waits_for_window(&slot.policy, now.wall)
        });
        let sizes = sizes::of(scope, now);
        let budgets = Budgets::of(counted.map(|(part, _)| part), &sizes, now.mono);
        scope.read_sizes();
        budgets
    });
    Some(budgets.turn(key))
}

fn decide_one(scope: &ScopeState, key: &str, turn: Turn, now: Now) -> Option<Decision> {
    scope.fleet.with(key, |slot| {
        let record = &slot.drain.record;
        let paused = scope.paused_on(record);
        let progress = slot.drain.facts.progress.at;
        // If the drain has moved since its diagnosis, the causes found then no longer apply.
        let moved = slot.diagnosed.is_none_or(|asked| progress.is_some_and(|progress| progress > asked));
        let causes = if moved { &[] } else { slot.causes.as_slice() };
        let standing = progress.map(|since| now.mono.since(since)).unwrap_or_default();
        slot.stuck = is_stuck(record, standing, &slot.policy) && paused.is_none();
        let stuck = slot.stuck.then_some(standing);
        let bad_tags = bad_tags(scope, slot);
        let bad_tags = bad_tags.as_deref();
        let context = Context { turn, paused: paused.as_deref(), causes, stuck, bad_tags };
        let decision = slot.drain.decide(&slot.policy, &context, now);
        if let Some(fault) = &decision.fault {
            log::drain!(error, record, %fault, "Drain stopped by a fault in ecs-drain; heartbeats continue");
        }
        say(record, &slot.why, &decision, now.wall);
        decision.why.name().clone_into(&mut slot.why);
        slot.stuck = slot.stuck && !decision.record.is_done();
        let said = slot.stuck_said.max(progress).unwrap_or(now.mono);
        if slot.stuck && now.mono >= said + slot.policy.stuck_after {
            slot.stuck_said = Some(now.mono);
            say_stuck(&decision, standing);
        }
        decision
    })
}

/// Returns the tags that do not count: of the drain's group, and of services with tasks on its
/// instance. `None` if neither is known.
fn bad_tags<'a>(scope: &ScopeState, slot: &'a Slot) -> Option<Cow<'a, [String]>> {
    let of_group = slot.bad_tags.as_deref();
    let mut of_services = Vec::new();
    if slot.policy.service_tags {
        let record = &slot.drain.record;
        let now = tasks(record, &slot.drain.facts).into_keys();
        let then = record.services.iter().flatten().filter_map(|(name, _)| name.split_once('/'));
        let services: BTreeSet<(&str, &str)> = now.chain(then).collect();
        of_services.extend(services.iter().filter_map(|(c, name)| scope.sizes.bad_tag(c, name)));
    }
    if of_services.is_empty() {
        return of_group.map(Cow::Borrowed);
    }
    Some([of_group.unwrap_or_default(), of_services.as_slice()].concat().into())
}

/// Takes over the needs and actions of a decision whose record is the one in the table.
fn take_plan(shared: &Shared, scope: &ScopeState, key: &str, decision: Decision) {
    let now = shared.clock.mono();
    scope.fleet.plan(key, decision.needs, now + decision.again, now);
    if shared.config.dry_run {
        let new =
            scope.fleet.with(key, |slot| slot.would.is_empty() && !decision.actions.is_empty());
        if new == Some(true) {
            would_do(&decision);
            scope.fleet.with(key, |slot| slot.would = decision.actions);
        }
        return;
    }
    scope.fleet.order(key, decision.actions, now);
}

/// Writes a decision's record, and takes over its plan.
async fn commit(shared: &Shared, scope: &ScopeState, commit: Commit) {
    let Commit { key, decision } = commit;
    let saved = write(shared, scope, decision.record.clone()).await;
    scope.fleet.with(&key, |slot| slot.committing = false);
    if let Some(saved) = saved {
        if shared.config.dry_run {
            scope.fleet.with(&key, |slot| slot.would.clear());
        }
        take_plan(shared, scope, &key, Decision { record: saved, save: false, ..decision });
    }
    scope.fleet.freshen(&key);
}

fn changes(before: &Record, why: &str, decision: &Decision) -> bool {
    before.phase() != decision.record.phase() || why != decision.why.name()
}

/// Logs a decision if the phase or the reason has changed.
fn say(before: &Record, why: &str, decision: &Decision, at: Timestamp) {
    let now = &decision.record;
    if before.phase() != now.phase() {
        let (from, why) = (before.phase().name(), decision.why.name());
        log::drain!(info, now, from, why, "Phase changed: {}", decision.why.sentence(at));
    } else if changes(before, why, decision) {
        let why = decision.why.name();
        log::drain!(info, now, why, "Reason changed: {}", decision.why.sentence(at));
    }
}

/// Checks whether a drain is stuck: without progress for the policy's `stuck_after`. A drain that
/// waits for its turn, is paused, or whose instance its group retains or uses again is not stuck.
fn is_stuck(record: &Record, standing_still: Duration, policy: &Policy) -> bool {
    let works = matches!(
        record.phase(),
        Phase::Deregistering | Phase::Waiting | Phase::Verifying | Phase::Completing
    );
    works
        && record.orders.pause.is_none()
        && record.retained_at.is_none()
        && standing_still >= policy.stuck_after
}

/// Warns that a drain is stuck.
fn say_stuck(decision: &Decision, standing_still: Duration) {
    let record = &decision.record;
    log::drain!(warn, record, why = decision.why.name(), no_progress_for = %ecs_drain_state::why::Span(standing_still), hook_expires = record.global_limit.map(|limit| limit.to_string()), causes = record.shown.causes.iter().map(|cause| cause.name.as_str()).collect::<Vec<_>>().join(","), "Drain stuck: {}", record.shown.message);
}

/// Writes one record. Returns `None` if that failed; the record is then read again, or decided
/// again soon.
async fn write(shared: &Shared, scope: &ScopeState, mut record: Record) -> Option<Record> {
    record.updated_at = shared.clock.now();
    let key = record.key();
    let before = scope.fleet.record(&key).map(|known| (known.phase(), known.phase_since));
    match shared.records.save(record).await {
        Ok(Saved::Saved(saved)) => {
            if shared.health.repeats.works("write", &key) {
                log::drain!(info, saved, "Record written again");
            }
            scope.metrics.moved(before, &saved);
            scope.learn((*saved).clone(), shared.clock.mono());
            Some(*saved)
        }
        Ok(Saved::LostRace) => {
            let instance = table::instance(&key);
            log::instance!(debug, scope, instance, "Record changed by another process; reading it");
            let read = table::reread(shared, scope, std::slice::from_ref(&key)).await;
            if let Some(error) = shared.health.repeats.reports("reread", &key, &read) {
                log::instance!(
                    error,
                    scope,
                    instance,
                    error = chain(error),
                    "Record not read again; this drain waits"
                );
            }
            if read.is_err() {
                scope.fleet.not_written(&key, shared.clock.mono());
            }
            None
        }
        Err(error) => {
            scope.fleet.not_written(&key, shared.clock.mono());
            if shared.health.repeats.fails("write", &key) {
                log::instance!(
                    error,
                    scope,
                    table::instance(&key),
                    error = chain(&error),
                    "Record not written; this drain waits, heartbeats continue"
                );
            }
            None
        }
    }
}

fn would_do(decision: &Decision) {
    let record = &decision.record;
    for action in &decision.actions {
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
        log::drain!(info, record, "Dry run: would {what}");
    }
}

/// Takes over the result of an action.
async fn take_report(shared: &Shared, scope: &ScopeState, report: Report) {
    let Report { key, action, answer } = report;
    let failed = answer.is_err();
    let Some(record) = scope.fleet.record(&key) else { return };
    let now = shared.clock.now();
    let policy = scope.fleet.with(&key, |slot| slot.policy.clone()).unwrap_or_default();
    let mut next = record.clone();
    match (&action, &answer) {
        (Action::Complete(_), Ok(Some(answer))) => {
            next = after_completion(&record, answer, &policy, now)
        }
        (_, Ok(_)) => next.attempts = if record.attempts > 0 { 0 } else { record.attempts },
        (action, Err(error)) => {
            let what = error.to_string();
            let known = record.last_error.as_ref().is_some_and(|known| known.what == what);
            match known {
                true => log::drain!(debug, record, %error, "Action failed again"),
                false => {
                    log::drain!(error, record, error = chain(&error), "Action failed; retrying");
                }
            }
            if matches!(action, Action::Complete(_)) {
                let denied = error.class == ErrorClass::Denied;
                let answer = if denied {
                    CompletionAnswer::Denied(what)
                } else {
                    CompletionAnswer::Failed(what)
                };
                next = after_completion(&record, &answer, &policy, now);
            } else {
                next.last_error = Some(LastError { at: now, what });
                next.attempts = record.attempts.saturating_add(1);
            }
            // A repeated error was logged and written before. It is written again only if the
            // refusal of a completion begins or ends with it, or if heartbeats end after it.
            let ends = Record { updated_at: now, ..next.clone() }.is_refused_for_good();
            let refused = |record: &Record| {
                matches!(
                    record.stage,
                    ecs_drain_state::Stage::Completing { refused_since: Some(_), .. }
                )
            };
            let same = refused(&record) == refused(&next);
            if known && same && (!ends || record.is_refused_for_good()) {
                next = record.clone();
            }
        }
    }
    // The next change clears it in the table.
    if next.attempts == 0 {
        next.attempts = record.attempts;
    }
    if next != record {
        scope.fleet.with(&key, |slot| slot.committing = true);
        let done = next.is_done();
        let saved = write(shared, scope, next).await;
        scope.fleet.with(&key, |slot| slot.committing = false);
        scope.fleet.freshen(&key);
        if let (Some(saved), true) = (saved, done) {
            let (from, why) = (record.phase().name(), saved.shown.why.as_str());
            log::drain!(info, saved, from, why, "Phase changed: {}", saved.shown.message);
        }
    }
    scope.fleet.end_action(&key, &action, shared.clock.mono(), failed);
}

/// Diagnoses drains without progress; never returns.
pub(super) async fn find_causes(shared: &Shared, scope: &ScopeState, caches: &Caches) {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        if !shared.leadership.leads() {
            continue;
        }
        let now = shared.clock.mono();
        let stuck = standing_still(shared, scope, now);
        if stuck.is_empty() {
            continue;
        }
        let subjects: Vec<&Stuck> = stuck.values().collect();
        let causes = diagnose(&scope.session, &shared.clock, &caches.diagnosis, &subjects).await;
        for key in stuck.keys() {
            let notes: Vec<Note> = causes.get(key).into_iter().flatten().map(Note::from).collect();
            scope.fleet.with(key, |slot| slot.causes = notes);
            scope.fleet.freshen(key);
        }
    }
}

/// Returns the drains to diagnose, the one with the oldest diagnosis first. Drops the causes of
/// drains that have moved or no longer wait.
fn standing_still(shared: &Shared, scope: &ScopeState, now: Mono) -> BTreeMap<String, Stuck> {
    let keys: Vec<String> = scope.fleet.slots().keys().cloned().collect();
    let mut due = Vec::new();
    for key in keys {
        let asked = scope.fleet.with(&key, |slot| {
            let record = &slot.drain.record;
            let progress = slot.drain.facts.progress.at?;
            let waits =
                matches!(record.phase(), Phase::Deregistering | Phase::Waiting | Phase::Verifying);
            if !waits || slot.diagnosed.is_some_and(|at| progress > at) {
                (slot.causes, slot.diagnosed) = (Vec::new(), None);
            }
            // While its targets drain within their deregistration delay, a drain waits as expected.
            let drains = record.phase() == Phase::Waiting
                && slot
                    .drain
                    .facts
                    .targets
                    .iter()
                    .any(|target| target.drains_until().is_some_and(|by| by > now));
            let age = Duration::try_from(shared.clock.now().duration_since(record.phase_since))
                .unwrap_or_default();
            let long = age >= STANDS_STILL && now >= progress + STANDS_STILL;
            let stands = waits && record.orders.pause.is_none() && !drains && long;
            (stands && slot.diagnosed.is_none_or(|at| now >= at + DIAGNOSE_EVERY))
                .then_some(slot.diagnosed)
        });
        if let Some(Some(before)) = asked {
            due.push((before, key));
        }
    }
    due.sort();
    let mut stuck = BTreeMap::new();
    for (_, key) in due.into_iter().take(DIAGNOSED) {
        let subject = scope.fleet.with(&key, |slot| {
            slot.diagnosed = Some(now);
            let lost = slot.drain.facts.away_since().map(|since| now.since(since));
            let lost_since = lost.and_then(|ago| shared.clock.now().checked_sub(ago).ok());
            Stuck::of(&slot.drain.record, &slot.policy, &slot.drain.facts, lost_since)
        });
        if let Some(subject) = subject {
            stuck.insert(key, subject);
        }
    }
    stuck
}
