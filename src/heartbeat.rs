//! Heartbeats: what is seen waiting under an ecs-drain hook is kept waiting, until Auto Scaling has
//! accepted the completion, or has denied it for ten minutes.
//!
//! They need no record, no lease and no table. Any replica that sees an instance waiting sends
//! them: at first sight, unless the wait was seen to begin, and then at the hook's rhythm. When the
//! last one was is memory only; after a restart one is sent at once. So an hour without the table,
//! a record that cannot be read, or a lease that a dead process still holds cost time, not
//! instances.
//!
//! They share Auto Scaling's rate. The next one is chosen once its turn has come: of those that are
//! due, that whose wait would end first. A call that hangs takes no other's turn.
//!
//! A heartbeat is also the only probe there is for whether the hook's action is still open: no API
//! lists them.

use crate::aws::calls::RECORD_LIFECYCLE_ACTION_HEARTBEAT;
use crate::aws::{Beat, ErrorClass};
use crate::beats::{Key, State, UNKNOWN_TIMEOUT, supposed_end};
use crate::blind::What;
use crate::clock::{Clock, Leadership};
use crate::groups::{GroupsView, Member, is_waiting};
use crate::metrics::HeartbeatResult;
use crate::quote::chain;
use crate::scope::{Known, OurHooks, ScopeState};
use ecs_drain_state::{Answer, Lifecycle, LifecycleState, Mono, Phase, Read, Record};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// The first heartbeats after a start are spread over this long.
const SPREAD: Duration = Duration::from_secs(1);
/// From which span on a heartbeat at half of the hook's timeout is early enough.
const LONG: Duration = Duration::from_secs(30 * 60);
/// How soon to try again after a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// How soon to probe again when the hook's action was not open.
const PROBE: Duration = Duration::from_secs(30);
/// How many heartbeats in a row find no action of a drain's hook before that is said: one can be on
/// its way when the action ends as it should.
const SAID_AT: u32 = 2;
/// What a group says of an instance that a terminating hook holds.
const WAITS: &str = "Terminating:Wait";
/// How many heartbeats are under way at once, at most: so many are sent while one that hangs runs
/// out of its time.
const AT_ONCE: usize = 200;

/// Sends heartbeats for ever.
pub async fn beat(scope: &ScopeState, clock: &Clock, leadership: &Leadership, dry_run: bool) {
    let mut flying = FuturesUnordered::new();
    loop {
        refresh(scope, clock);
        let now = clock.mono();
        let due = scope.beats.next_due();
        let turn = async {
            match scope.beats.first(now) {
                // This turn is asked for anew whenever something else happens, and keeps its place.
                Some((_, must)) => {
                    scope
                        .session
                        .permit_by(&RECORD_LIFECYCLE_ACTION_HEARTBEAT, clock.instant(must))
                        .await
                }
                None => std::future::pending().await,
            }
        };
        let wait = due
            .map_or(Duration::from_secs(60), |due| due.since(now))
            .max(Duration::from_millis(50));
        tokio::select! {
            biased;
            Some(()) = flying.next(), if !flying.is_empty() => {}
            permit = turn, if flying.len() < AT_ONCE => {
                let now = clock.mono();
                match scope.beats.first(now) {
                    Some((key, _)) => {
                        start(scope, &key, now);
                        flying.push(send(scope, clock, leadership, permit, key, dry_run));
                    }
                    None => permit.give_back(),
                }
            }
            () = scope.bells.hold.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn start(scope: &ScopeState, key: &Key, now: Mono) {
    if let Some(state) = scope.beats.0.borrow_mut().get_mut(key) {
        state.flying = true;
        scope.metrics.heartbeat_late(now.since(state.due));
    }
}

/// How long after a heartbeat the next one is due: a third of the hook's timeout, or half where
/// that is long enough. A replica that does not lead leaves it to the leader until two thirds.
pub(crate) fn rhythm(timeout: Duration, leads: bool) -> Duration {
    match (leads, timeout / 2) {
        (false, _) => timeout * 2 / 3,
        (true, half) if half >= LONG => half,
        (true, _) => timeout / 3,
    }
}

/// Takes over what waits now, and forgets what no longer does.
fn refresh(scope: &ScopeState, clock: &Clock) {
    let now = clock.mono();
    let read = scope.groups.borrow().clone();
    let is_blind = || scope.health.blind.is_blind(&scope.place(), What::Groups);
    let view = match &read {
        Some(view) => view.clone(),
        None if is_blind() => Rc::new(recorded(scope, now)),
        None => return,
    };
    let known_view = scope.beaten.replace(read);
    let changed = scope.bells.phases.take();
    let waits =
        |instance: &str| view.members.get(instance).is_some_and(|member| is_waiting(&member.state));
    if known_view.as_ref().is_some_and(|known| Rc::ptr_eq(known, &view))
        && changed.iter().all(|instance| heed_phase(scope, instance) || !waits(instance))
    {
        return;
    }
    let first_look = known_view.is_none();
    let previous = scope.previous.borrow().clone();
    let mut states = scope.beats.0.borrow_mut();
    let mut old = std::mem::take(&mut *states);
    let wanted = wanted(scope, &view);
    let (count, wall) = (wanted.len(), clock.now());
    for (number, ((instance, hook), (member, timeout))) in wanted.into_iter().enumerate() {
        if ends(scope, &instance) {
            continue;
        }
        let over = scope.phases.borrow().get(&instance).is_some_and(Known::is_over);
        let key = (instance, hook);
        let wait = if let LifecycleState::Waiting(kind) = LifecycleState::read(&member.state) {
            Some(kind)
        } else {
            None
        };
        // A wait after a drain that is over is probed at once: the next drain begins only then.
        let previous = previous.as_deref().filter(|_| !first_look && !over);
        let began = previous.and_then(|before| began(before, &key, &member));
        let known = (timeout != UNKNOWN_TIMEOUT).then_some(timeout);
        let supposed = supposed_end((number, count), known, now, wall);
        let mut state = old.remove(&key).unwrap_or_else(|| {
            let spread = if first_look { SPREAD.mul_f64(fastrand::f64()) } else { Duration::ZERO };
            let (due, expires) = match began {
                Some(since) => ((since + rhythm(timeout, true)).max(now), since + timeout),
                None => (now + spread, supposed),
            };
            State {
                group: member.group.clone(),
                wait,
                timeout,
                over: false,
                due,
                expires,
                last: None,
                accepted_when_over: 0,
                not_held: 0,
                failing: false,
                tried: began.is_some(),
                flying: false,
            }
        });
        if state.tried && state.last.is_none() {
            scope.bells.intake.notify_one();
        }
        // Another wait has an action of its own, although no look showed the instance between the
        // two.
        if std::mem::replace(&mut state.wait, wait) != wait {
            state.not_held = 0;
            state.due = state.due.min(now);
        }
        state.set_over(over);
        // Its hook was read since.
        if std::mem::replace(&mut state.timeout, timeout) != timeout && !state.tried {
            state.expires = supposed;
        }
        states.insert(key, state);
    }
    // What is under way is answered yet.
    states.extend(old.into_iter().filter(|(_, state)| state.flying));
}

/// What the records of unfinished drains say of the groups: that is all there is while no look at
/// the groups has succeeded yet. A heartbeat for a wait that is over does nothing.
fn recorded(scope: &ScopeState, now: Mono) -> GroupsView {
    let slots = scope.fleet.slots();
    let records = slots.values().map(|slot| &slot.drain.record);
    let members = records.filter_map(|record| {
        let lifecycle = record.lifecycle.as_ref()?;
        let state = WAITS.to_owned();
        Some((
            record.instance_id.clone(),
            Member { group: lifecycle.group.clone(), state, healthy: true },
        ))
    });
    GroupsView {
        read: Read { began: now, ended: now },
        unread: BTreeSet::new(),
        pools_failed: None,
        hooks_failed: None,
        groups: BTreeMap::new(),
        members: members.collect(),
    }
}

/// Takes over that the drain of an instance has come to another phase; false if a state of it is to
/// be added, or to go.
fn heed_phase(scope: &ScopeState, instance: &str) -> bool {
    let over = scope.phases.borrow().get(instance).is_some_and(Known::is_over);
    !ends(scope, instance) && scope.beats.of(instance, |state| state.set_over(over))
}

/// Whether heartbeats for an instance have ended: its completion was refused for long.
fn ends(scope: &ScopeState, instance: &str) -> bool {
    let refused = scope.phases.borrow().get(instance).is_some_and(|known| known.refused);
    refused && !scope.is_paused(instance)
}

/// Every instance that waits, with each hook that may hold it.
fn wanted(scope: &ScopeState, view: &GroupsView) -> BTreeMap<Key, (Member, Duration)> {
    let mut wanted = BTreeMap::new();
    for (instance, member) in scope.waiting(view) {
        let hooks: Vec<(String, Duration)> = match scope.our_hooks(view, &member.group) {
            OurHooks::One(hook) => {
                vec![(hook.name.clone(), seconds(hook.heartbeat_timeout_seconds))]
            }
            OurHooks::Several(hooks) => hooks
                .iter()
                .map(|h| (h.name.clone(), seconds(h.heartbeat_timeout_seconds)))
                .collect(),
            OurHooks::None => Vec::new(),
            // Its record says which hook it is: see below. Each of the others would be a call every
            // few seconds, for nothing.
            OurHooks::Unknown
                if drain_of(scope, instance, |record| held_by(record, &member.group).is_some()) =>
            {
                Vec::new()
            }
            OurHooks::Unknown => {
                scope.config.hooks.iter().map(|name| (name.clone(), UNKNOWN_TIMEOUT)).collect()
            }
        };
        wanted.extend(
            hooks
                .into_iter()
                .map(|(hook, timeout)| ((instance.clone(), hook), (member.clone(), timeout))),
        );
    }
    // The hook of an unfinished drain, also where the configuration has changed since it began.
    for slot in scope.fleet.slots().values() {
        let record = &slot.drain.record;
        let member =
            view.members.get(&record.instance_id).filter(|member| is_waiting(&member.state));
        let Some(member) = member else { continue };
        let Some(lifecycle) = held_by(record, &member.group) else { continue };
        let key = (record.instance_id.clone(), lifecycle.hook.clone());
        if wanted.contains_key(&key) {
            continue;
        }
        let known = view.groups.get(&member.group).and_then(|info| info.hooks.known());
        if known.is_none_or(|hooks| hooks.iter().any(|hook| hook.name == lifecycle.hook)) {
            let timeout = seconds(lifecycle.heartbeat_timeout_seconds);
            wanted.insert(key, (member.clone(), timeout));
        }
    }
    wanted
}

/// The lifecycle action of a drain, if it is one of this group.
fn held_by<'a>(record: &'a Record, group: &str) -> Option<&'a Lifecycle> {
    record.lifecycle.as_ref().filter(|lifecycle| lifecycle.group == group)
}

/// Whether an instance has an unfinished drain, and its record is like that.
fn drain_of(scope: &ScopeState, instance: &str, is: impl FnOnce(&Record) -> bool) -> bool {
    let key = scope.key(instance);
    scope.fleet.with(&key, |slot| is(&slot.drain.record)).unwrap_or(false)
}

/// Says that the wait of a drain's own hook is over and the instance goes on waiting: another hook
/// holds it.
fn say_not_held(scope: &ScopeState, (instance, hook): &Key, group: &str) {
    // Once it is being completed, the action may be over because of that.
    let goes_on = |record: &Record| {
        held_by(record, group).is_some_and(|lifecycle| lifecycle.hook == *hook)
            && !matches!(record.phase(), Phase::Completing | Phase::Returning)
    };
    if drain_of(scope, instance, goes_on) {
        tracing::warn!(
            instance,
            group,
            hook,
            "this hook does not hold the instance any more: its time is over, or somebody completed it. Another hook \
             holds it; the drain goes on for as long as that one does, and ecs-drain cannot make it longer"
        );
    }
}

/// Since when an instance waits, at the soonest, if the wait was seen to begin: the groups were
/// read before, and showed it on its way to the wait, and the hook on its group. A state that a
/// launching hook can show too is probed.
fn began(before: &GroupsView, (instance, hook): &Key, member: &Member) -> Option<Mono> {
    let LifecycleState::Waiting(kind) = LifecycleState::read(&member.state) else { return None };
    let hooks = before.groups.get(&member.group)?.hooks.known()?;
    hooks.iter().find(|known| known.name == *hook && known.terminating)?;
    // Of a warm pool that was not read, the member is as it was before.
    let known = before.members.get(instance).filter(|_| !before.unread.contains(&member.group))?;
    (!kind.lives_on() && known.group == member.group && !is_waiting(&known.state))
        .then_some(before.read.began)
}

async fn send(
    scope: &ScopeState,
    clock: &Clock,
    leadership: &Leadership,
    permit: crate::aws::Permit,
    key: Key,
    dry_run: bool,
) {
    let (instance, hook) = (&key.0, &key.1);
    let Some((group, over)) = scope.beats.0.borrow().get(&key).map(|s| (s.group.clone(), s.over))
    else {
        return;
    };
    let begun = clock.mono();
    let answer = if dry_run {
        tracing::info!(instance, hook, "dry run: would send a heartbeat");
        None
    } else {
        Some(scope.session.urgent.beat(permit, &group, hook, instance).await)
    };
    if let Some(answer) = &answer {
        scope.metrics.heartbeat(match answer {
            Ok(Beat::Accepted) => HeartbeatResult::Accepted,
            Ok(Beat::NoActiveAction) => HeartbeatResult::NoActiveAction,
            Err(_) => HeartbeatResult::Failed,
        });
    }
    let mut states = scope.beats.0.borrow_mut();
    let Some(state) = states.get_mut(&key) else { return };
    state.flying = false;
    let third = state.timeout / 3;
    let next = begun + rhythm(state.timeout, leadership.leads());
    if !std::mem::replace(&mut state.tried, true) {
        scope.bells.intake.notify_one();
    }
    match answer {
        None => state.due = next,
        Some(Ok(Beat::Accepted)) => {
            if state.failing {
                tracing::info!(instance, hook, "heartbeats are accepted again");
            }
            state.failing = false;
            state.not_held = 0;
            state.last = Some(Beat::Accepted);
            // One that was on its way when the next drain began says nothing of what comes after
            // that.
            state.accepted_when_over += u32::from(over && state.over);
            // It is probed twice, a moment apart, before a drain is opened again.
            state.due =
                if over && state.accepted_when_over < 2 { begun + AGAIN.min(third) } else { next };
            state.expires = begun + state.timeout;
            tracing::debug!(instance, hook, "heartbeat");
        }
        Some(Ok(Beat::NoActiveAction)) => {
            state.last = Some(Beat::NoActiveAction);
            state.accepted_when_over = 0;
            // Ever less often, up to the rhythm: a new action of this hook has all of its time when
            // it begins.
            let wait =
                PROBE.saturating_mul(1 << state.not_held.min(16)).min(next.since(begun)).max(AGAIN);
            state.due = begun + wait;
            // Nothing of it can end: it goes behind those that hold an instance.
            state.expires = begun + state.timeout;
            state.not_held = state.not_held.saturating_add(1);
            tracing::debug!(instance, hook, "the hook does not hold it");
            if state.not_held == SAID_AT {
                say_not_held(scope, &key, &group);
            }
        }
        Some(Err(error)) => {
            state.due = clock.mono() + AGAIN.min(third);
            // It can have been applied. Counted as if it was, so that those that fail do not go
            // before all others for ever. One that was throttled was not, and the next that is let
            // through is to be that which ends first.
            if error.class != ErrorClass::Throttled {
                state.expires = begun + state.timeout;
            }
            if !state.failing {
                tracing::error!(
                    instance,
                    hook,
                    error = chain(&error),
                    "a heartbeat failed; the hook's timeout runs on"
                );
            }
            state.failing = true;
        }
    }
    drop(states);
    // Of two hooks of ours the other one may hold the old wait on, and intake opens nothing.
    let several = || {
        let view = scope.groups.borrow();
        view.as_ref()
            .is_some_and(|view| matches!(scope.our_hooks(view, &group), OurHooks::Several(_)))
    };
    let returns = |record: &Record| record.phase() == Phase::Returning;
    if scope.beats.is_held_again(instance, hook) && drain_of(scope, instance, returns) && !several()
    {
        let read = Read { began: begun, ended: clock.mono() };
        scope.fleet.answer(&scope.key(instance), read, Answer::HeldAgain);
    }
}

fn seconds(n: u32) -> Duration {
    Duration::from_secs(u64::from(n))
}
