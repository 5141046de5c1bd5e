//! Heartbeats: whatever is seen waiting under our hook is kept waiting.
//!
//! Holding needs no record, no lease and no table. Any replica that sees an instance waiting beats for it, at first
//! sight and then at a third of the hook's timeout, unless the record that it last read is being completed. When the
//! last heartbeat was is memory only: after a restart it beats at once. So an hour without the table, a record that
//! cannot be read, or a lease that someone dead still holds cost time, not instances.
//!
//! A heartbeat is also the only probe there is for whether *our* action is still open: no API lists them.

use crate::aws::Beat;
use crate::controller::{Clock, OurHooks, ScopeState};
use crate::metrics::HeartbeatResult;
use ecs_drain_state::{Mono, Phase};
use futures_util::stream::{self, StreamExt};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// The first heartbeats after a start are spread over this long.
const SPREAD: Duration = Duration::from_secs(1);
/// How soon to beat where a hook's timeout could not be read: a third of the shortest that Auto Scaling allows.
/// (Source: Auto Scaling API reference, `PutLifecycleHook`: 30 to 7200 seconds.)
const UNKNOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon to try again after a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// How soon to probe again when our action was not open.
const PROBE: Duration = Duration::from_secs(30);
/// How many heartbeats are under way at once.
const AT_ONCE: usize = 16;

/// What is known of heartbeats, by instance and hook.
#[derive(Default)]
pub struct Beats(RefCell<BTreeMap<(String, String), State>>);

#[derive(Clone, Debug)]
struct State {
    due: Mono,
    last: Option<Beat>,
    /// How many in a row succeeded while the record was Done.
    accepted_when_done: u32,
    failing: bool,
    /// Whether one was sent, or a dry run would have sent one.
    tried: bool,
}

impl Beats {
    /// What the last heartbeat for this instance under this hook said.
    pub fn last(&self, instance: &str, hook: &str) -> Option<Beat> {
        self.0.borrow().get(&(instance.to_owned(), hook.to_owned())).and_then(|s| s.last)
    }

    /// Whether an action of this hook can hold the instance: the last heartbeat that was answered was accepted, or none
    /// that was tried has been answered. Not before the first one was tried, which is at first sight.
    pub fn may_hold(&self, instance: &str, hook: &str) -> bool {
        let states = self.0.borrow();
        let state = states.get(&(instance.to_owned(), hook.to_owned()));
        state.is_some_and(|state| match state.last {
            Some(Beat::Accepted) => true,
            Some(Beat::NoActiveAction) => false,
            None => state.tried,
        })
    }

    /// Whether two heartbeats in a row succeeded although the record is Done: our hook holds the instance once more.
    pub fn is_held_again(&self, instance: &str, hook: &str) -> bool {
        self.0.borrow().get(&(instance.to_owned(), hook.to_owned())).is_some_and(|s| s.accepted_when_done >= 2)
    }
}

/// One heartbeat that is due.
struct Due {
    instance: String,
    group: String,
    hook: String,
    timeout: Option<Duration>,
    done: bool,
}

/// Beats for ever.
pub async fn hold(scope: &ScopeState, clock: &Clock, dry_run: bool) {
    loop {
        let due = due(scope, clock.mono());
        stream::iter(due).for_each_concurrent(AT_ONCE, |due| beat(scope, clock, due, dry_run)).await;
        let wait = next(scope, clock.mono());
        tokio::select! {
            biased;
            () = scope.bells.hold.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// What is due now. Forgets what no longer waits.
fn due(scope: &ScopeState, now: Mono) -> Vec<Due> {
    let Some(view) = scope.groups.borrow().clone() else { return Vec::new() };
    let mut wanted = Vec::new();
    for (instance, member) in scope.waiting(&view) {
        let known = scope.phases.borrow().get(&instance).copied();
        if known.is_some_and(|known| known.completing && !scope.is_braked(&instance)) {
            continue;
        }
        let hooks: Vec<(String, Option<Duration>)> = match scope.our_hooks(&view, &member.group) {
            OurHooks::One(hook) => vec![(hook.name.clone(), Some(seconds(hook.heartbeat_timeout_seconds)))],
            OurHooks::Several(hooks) => {
                hooks.iter().map(|h| (h.name.clone(), Some(seconds(h.heartbeat_timeout_seconds)))).collect()
            }
            OurHooks::None => Vec::new(),
            OurHooks::Unknown => scope.config.hooks.iter().map(|name| (name.clone(), None)).collect(),
        };
        for (hook, timeout) in hooks {
            let done = known.is_some_and(|known| known.phase == Phase::Done);
            wanted.push(Due { instance: instance.clone(), group: member.group.clone(), hook, timeout, done });
        }
    }
    let mut states = scope.beats.0.borrow_mut();
    let old = std::mem::take(&mut *states);
    let first_look = !scope.looked.replace(true);
    for due in &wanted {
        let key = (due.instance.clone(), due.hook.clone());
        let mut state = old.get(&key).cloned().unwrap_or_else(|| {
            let spread = if first_look { SPREAD.mul_f64(fastrand::f64()) } else { Duration::ZERO };
            State { due: now + spread, last: None, accepted_when_done: 0, failing: false, tried: false }
        });
        if !due.done {
            state.accepted_when_done = 0;
        }
        states.insert(key, state);
    }
    wanted.retain(|due| states.get(&(due.instance.clone(), due.hook.clone())).is_some_and(|state| state.due <= now));
    wanted
}

/// How long until the next one is due.
fn next(scope: &ScopeState, now: Mono) -> Duration {
    let states = scope.beats.0.borrow();
    let next = states.values().map(|s| s.due).min().unwrap_or(now + Duration::from_secs(3600));
    next.saturating_sub(now).max(Duration::from_millis(50))
}

async fn beat(scope: &ScopeState, clock: &Clock, due: Due, dry_run: bool) {
    let key = (due.instance.clone(), due.hook.clone());
    let third = due.timeout.map_or(UNKNOWN_TIMEOUT, |t| t / 3);
    let begun = clock.mono();
    if dry_run {
        tracing::info!(instance = due.instance, hook = due.hook, "dry run: would send a heartbeat");
        if let Some(state) = scope.beats.0.borrow_mut().get_mut(&key) {
            state.due = begun + third;
            tried(scope, state);
        }
        return;
    }
    let answer = scope.session.urgent.heartbeat(&due.group, &due.hook, &due.instance).await;
    scope.metrics.heartbeat(match &answer {
        Ok(Beat::Accepted) => HeartbeatResult::Accepted,
        Ok(Beat::NoActiveAction) => HeartbeatResult::NoActiveAction,
        Err(_) => HeartbeatResult::Failed,
    });
    let mut states = scope.beats.0.borrow_mut();
    let Some(state) = states.get_mut(&key) else { return };
    tried(scope, state);
    match answer {
        Ok(Beat::Accepted) => {
            if state.failing {
                tracing::info!(instance = due.instance, hook = due.hook, "heartbeats are accepted again");
            }
            state.failing = false;
            state.last = Some(Beat::Accepted);
            state.accepted_when_done += u32::from(due.done);
            state.due = begun + third;
            if due.done {
                // Probed twice, a moment apart, before a finished drain is opened again.
                state.due = begun + AGAIN.min(third);
            }
            tracing::debug!(instance = due.instance, hook = due.hook, "heartbeat");
        }
        Ok(Beat::NoActiveAction) => {
            state.last = Some(Beat::NoActiveAction);
            state.accepted_when_done = 0;
            state.due = begun + PROBE.min(third.max(AGAIN));
            tracing::debug!(instance = due.instance, hook = due.hook, "our hook does not hold it");
        }
        Err(error) => {
            state.due = clock.mono() + AGAIN.min(third);
            if !state.failing || !error.class.is_transient() {
                tracing::error!(instance = due.instance, hook = due.hook, %error, "a heartbeat failed; the hook's timeout runs on");
            }
            state.failing = true;
        }
    }
}

/// A drain may begin once the first heartbeat was tried.
fn tried(scope: &ScopeState, state: &mut State) {
    if !std::mem::replace(&mut state.tried, true) {
        scope.bells.intake.notify_one();
    }
}

fn seconds(n: u32) -> Duration {
    Duration::from_secs(u64::from(n))
}
