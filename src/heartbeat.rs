//! Sends heartbeats for each instance that waits under an ecs-drain hook, until Auto Scaling has
//! accepted the completion, or has denied it for ten minutes.
//!
//! Heartbeats need no record, no lease and no table: every replica that sees an instance waiting
//! sends them. The first one is sent at first sight, unless the wait was seen to begin; the next
//! ones follow the hook's rhythm. The time of the last heartbeat is kept in memory only, so a
//! restarted process sends one at once. An hour without the table, an unreadable record, or a lease
//! that a dead process still holds therefore costs time, and no instance.
//!
//! Heartbeats share Auto Scaling's request rate. A worker waits for a permit, and then chooses the
//! due heartbeat whose hook would expire first. A call that hangs does not block the others.
//!
//! A heartbeat is also the only way to check that the hook's action is still open: no API lists
//! open actions.

use crate::aws::calls::RECORD_LIFECYCLE_ACTION_HEARTBEAT;
use crate::aws::{Beat, ErrorClass};
use crate::beats::{Key, State, UNKNOWN_TIMEOUT, supposed_end};
use crate::blind::What;
use crate::clock::{Clock, Leadership};
use crate::groups::{GroupsView, Member, is_waiting};
use crate::log;
use crate::metrics::HeartbeatResult;
use crate::quote::chain;
use crate::scope::{Known, OurHooks, ScopeState};
use ecs_drain_state::{Answer, Lifecycle, LifecycleState, Mono, Phase, Read, Record};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// Span over which the first heartbeats after a start are spread.
const SPREAD: Duration = Duration::from_secs(1);
/// Hook timeout from which a heartbeat at half of it is early enough.
const LONG: Duration = Duration::from_secs(30 * 60);
/// Delay before the next try after a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// Delay before the next probe after a heartbeat found no open action.
const PROBE: Duration = Duration::from_secs(30);
/// Number of heartbeats in a row without an open action after which a warning is logged. One can be
/// on its way while the action ends normally.
const SAID_AT: u32 = 2;
/// Lifecycle state of an instance that a terminating hook holds.
const WAITS: &str = "Terminating:Wait";
/// Heartbeats under way at once, at most: this many are sent before one that hangs times out.
const AT_ONCE: usize = 200;

/// Runs the heartbeats of one scope; never returns.
pub(crate) async fn beat(
    scope: &ScopeState,
    clock: &Clock,
    leadership: &Leadership,
    dry_run: bool,
) {
    let mut flying = FuturesUnordered::new();
    loop {
        refresh(scope, clock);
        let now = clock.mono();
        let due = scope.beats.next_due();
        let turn = async {
            match scope.beats.first(now) {
                // `select!` drops and recreates this future after every other event. Its place in
                // the queue stays, because that follows from `must`.
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

/// Returns the time from a heartbeat to the next one: a third of the hook's timeout, or half if
/// that is at least [`LONG`]. A replica that does not lead waits two thirds, to leave heartbeats to
/// the leader.
pub(crate) fn rhythm(timeout: Duration, leads: bool) -> Duration {
    match (leads, timeout / 2) {
        (false, _) => timeout * 2 / 3,
        (true, half) if half >= LONG => half,
        (true, _) => timeout / 3,
    }
}

/// Adds a state for each instance that began to wait, and drops those that no longer wait.
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
        // A wait after a finished drain is probed at once: the next drain opens only after two
        // accepted probes.
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
        // A wait of another kind has an action of its own, even if no read showed the instance
        // between the two waits.
        if std::mem::replace(&mut state.wait, wait) != wait {
            state.not_held = 0;
            state.due = state.due.min(now);
        }
        state.set_over(over);
        // The hook's timeout has been read since.
        if std::mem::replace(&mut state.timeout, timeout) != timeout && !state.tried {
            state.expires = supposed;
        }
        states.insert(key, state);
    }
    // The answer to a call under way still needs its state.
    states.extend(old.into_iter().filter(|(_, state)| state.flying));
}

/// Builds a view of the groups from the records of unfinished drains, for the time before any read
/// of the groups has succeeded. A heartbeat for a wait that is over does nothing.
fn recorded(scope: &ScopeState, now: Mono) -> GroupsView {
    let slots = scope.fleet.slots();
    let records = slots.values().map(|slot| &slot.drain.record);
    let members = records.filter_map(|record| {
        let lifecycle = record.lifecycle.as_ref()?;
        let state = WAITS.to_owned();
        Some((
            record.instance_id.clone(),
            Member { group: lifecycle.group.clone(), state, healthy: true, template: None },
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

/// Updates an instance's states after its drain's phase changed. Returns false if states must be
/// added or removed.
fn heed_phase(scope: &ScopeState, instance: &str) -> bool {
    let over = scope.phases.borrow().get(instance).is_some_and(Known::is_over);
    !ends(scope, instance) && scope.beats.of(instance, |state| state.set_over(over))
}

/// Checks whether heartbeats for an instance have ended because Auto Scaling denied its completion
/// for ten minutes.
fn ends(scope: &ScopeState, instance: &str) -> bool {
    let refused = scope.phases.borrow().get(instance).is_some_and(|known| known.refused);
    refused && !scope.is_paused(instance)
}

/// Returns every instance that waits, with each hook that may hold it.
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
            // The loop below adds the hook that its record names. Trying the others would cost a
            // call every few seconds for nothing.
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
    // Adds the hook of an unfinished drain, even if the configuration no longer names it.
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

/// Returns the drain's lifecycle action, if it belongs to this group.
fn held_by<'a>(record: &'a Record, group: &str) -> Option<&'a Lifecycle> {
    record.lifecycle.as_ref().filter(|lifecycle| lifecycle.group == group)
}

/// Checks whether an instance has an unfinished drain whose record matches `is`.
fn drain_of(scope: &ScopeState, instance: &str, is: impl FnOnce(&Record) -> bool) -> bool {
    let key = scope.key(instance);
    scope.fleet.with(&key, |slot| is(&slot.drain.record)).unwrap_or(false)
}

/// Warns that the drain's own hook no longer holds the instance, while another hook does.
fn say_not_held(scope: &ScopeState, (instance, hook): &Key, group: &str) {
    // From Completing on, the action may be over because it was completed.
    let goes_on = |record: &Record| {
        held_by(record, group).is_some_and(|lifecycle| lifecycle.hook == *hook)
            && !matches!(record.phase(), Phase::Completing | Phase::Returning)
    };
    if drain_of(scope, instance, goes_on) {
        log::instance!(
            warn,
            scope,
            instance,
            group,
            hook,
            "Hook no longer holds the instance: it expired or was completed; another hook holds it, and the drain continues for that time"
        );
    }
}

/// Returns the earliest time at which the wait can have begun, if its beginning was seen: the read
/// before showed the instance on its way to the wait, and the hook on its group. Returns `None` for
/// a state that a launching hook shows too; that wait is probed.
fn began(before: &GroupsView, (instance, hook): &Key, member: &Member) -> Option<Mono> {
    let LifecycleState::Waiting(kind) = LifecycleState::read(&member.state) else { return None };
    let hooks = before.groups.get(&member.group)?.hooks.known()?;
    hooks.iter().find(|known| known.name == *hook && known.terminating)?;
    // The read before is no evidence of a warm pool that it did not reach: the member was copied
    // from an older read.
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
        log::instance!(info, scope, instance, hook, "Dry run: would send a heartbeat");
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
                log::instance!(info, scope, instance, hook, "Heartbeats accepted again");
            }
            state.failing = false;
            state.not_held = 0;
            state.last = Some(Beat::Accepted);
            // A heartbeat that was under way when the next drain began is no evidence about the
            // wait of that drain.
            state.accepted_when_over += u32::from(over && state.over);
            // Two heartbeats, a moment apart, must be accepted before a drain is opened again.
            state.due =
                if over && state.accepted_when_over < 2 { begun + AGAIN.min(third) } else { next };
            state.expires = begun + state.timeout;
            log::instance!(debug, scope, instance, hook, "Heartbeat accepted");
        }
        Some(Ok(Beat::NoActiveAction)) => {
            state.last = Some(Beat::NoActiveAction);
            state.accepted_when_over = 0;
            // Probes become rarer, down to the rhythm: a new action of this hook starts with its
            // full timeout.
            let wait =
                PROBE.saturating_mul(1 << state.not_held.min(16)).min(next.since(begun)).max(AGAIN);
            state.due = begun + wait;
            // This wait cannot expire, so it goes behind those of held instances.
            state.expires = begun + state.timeout;
            state.not_held = state.not_held.saturating_add(1);
            log::instance!(
                debug,
                scope,
                instance,
                hook,
                "Heartbeat refused: the hook does not hold the instance"
            );
            if state.not_held == SAID_AT {
                say_not_held(scope, &key, &group);
            }
        }
        Some(Err(error)) => {
            state.due = clock.mono() + AGAIN.min(third);
            // The call may have been applied, and counts as if it was: otherwise failing heartbeats
            // would always go before the others. A throttled one was not applied, and keeps its
            // place.
            if error.class != ErrorClass::Throttled {
                state.expires = begun + state.timeout;
            }
            if !state.failing {
                log::instance!(
                    error,
                    scope,
                    instance,
                    hook,
                    error = chain(&error),
                    "Heartbeat failed; the hook's timeout is running"
                );
            }
            state.failing = true;
        }
    }
    drop(states);
    // With two ecs-drain hooks on the group, the other one may hold the old wait; intake opens no
    // drain then.
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
