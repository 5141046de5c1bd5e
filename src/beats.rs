//! Memory of heartbeats. After a restart one is sent at once.

use crate::aws::Beat;
use ecs_drain_state::{Mono, WaitKind};
use jiff::Timestamp;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// Ids of one instance and one hook.
pub(crate) type Key = (String, String);

/// Timeout of a hook that could not be read: the shortest that Auto Scaling allows. (Source: Auto
/// Scaling API reference, `PutLifecycleHook`: 30 to 7200 seconds.)
pub(crate) const UNKNOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// Time by which a first heartbeat counts as overdue, at most. A process that has just started owes
/// one for each waiting instance, which takes minutes with thousands of them. Reads of the groups
/// and completions that have waited longer go first.
const OVERDUE: Duration = Duration::from_secs(5);

/// Default timeout of a hook. (Source: Auto Scaling API reference, `PutLifecycleHook`.)
const USUAL_TIMEOUT: Duration = Duration::from_secs(3600);

/// Estimates the end of a wait for a process that has just started and does not know the time of
/// the last heartbeat. `number` of `of` is the instance's place. Without a timeout the hook has not
/// been read, and the wait may end at any moment.
///
/// Every instance has a place in a round that takes two thirds of its hook's timeout, by the wall
/// clock, and is assumed to have had its heartbeat when the round passed it. If a process is killed
/// before it has reached all instances, the next one therefore continues about where it was; a
/// random order would leave some out for hours. Hooks that were not read yet are assumed to have
/// the default timeout. With a short round, processes that live for a multiple of it would all
/// begin with the same instances.
pub(crate) fn supposed_end(
    (number, of): (usize, usize),
    timeout: Option<Duration>,
    now: Mono,
    wall: Timestamp,
) -> Mono {
    let round = timeout.unwrap_or(USUAL_TIMEOUT) * 2 / 3;
    let place = number as f64 / of.max(1) as f64;
    let moved = wall.as_duration().as_secs_f64() / round.as_secs_f64().max(1.0);
    let until_its_turn = (place - moved).rem_euclid(1.0);
    let left = timeout.unwrap_or(UNKNOWN_TIMEOUT);
    now + left.mul_f64((1.0 + 2.0 * until_its_turn) / 3.0)
}

/// State of heartbeats, by instance and hook.
#[derive(Default)]
pub(crate) struct Beats(pub RefCell<BTreeMap<Key, State>>);

/// State of the heartbeats for one instance under one hook.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub group: String,
    /// Kind of the wait in which the instance was seen.
    pub wait: Option<WaitKind>,
    /// The hook's heartbeat timeout.
    pub timeout: Duration,
    /// True if its drain is Returning or Done, so that a heartbeat is a probe.
    pub over: bool,
    /// Time at which the next heartbeat is due.
    pub due: Mono,
    /// Time at which the hook expires, if the last heartbeat was applied. Heartbeats are sent in
    /// this order.
    pub expires: Mono,
    /// Answer to the last heartbeat.
    pub last: Option<Beat>,
    /// Number of heartbeats in a row that were accepted while `over`.
    pub accepted_when_over: u32,
    /// Number of heartbeats in a row that found no open action.
    pub not_held: u32,
    /// True if the last heartbeat failed.
    pub failing: bool,
    /// True if a drain may begin: a heartbeat was sent, or the wait was seen to begin.
    pub tried: bool,
    /// True while a heartbeat is under way.
    pub flying: bool,
}

impl State {
    /// Takes over whether its drain is Returning or Done.
    pub(crate) fn set_over(&mut self, over: bool) {
        self.over = over;
        if !over {
            self.accepted_when_over = 0;
        }
    }
}

impl Beats {
    /// Returns the answer to the last heartbeat for this instance under this hook.
    pub(crate) fn last(&self, instance: &str, hook: &str) -> Option<Beat> {
        self.0.borrow().get(&(instance.to_owned(), hook.to_owned())).and_then(|s| s.last)
    }

    /// Returns whether an action of this hook can hold the instance: the last answered heartbeat
    /// was accepted, or none has been answered yet. Returns false until the first one was tried, or
    /// the wait was seen to begin.
    pub(crate) fn may_hold(&self, instance: &str, hook: &str) -> bool {
        let states = self.0.borrow();
        let state = states.get(&(instance.to_owned(), hook.to_owned()));
        state.is_some_and(|state| match state.last {
            Some(Beat::Accepted) => true,
            Some(Beat::NoActiveAction) => false,
            None => state.tried,
        })
    }

    /// Returns whether two heartbeats in a row were accepted although the drain is Returning or
    /// Done: the hook holds the instance again.
    pub(crate) fn is_held_again(&self, instance: &str, hook: &str) -> bool {
        self.0
            .borrow()
            .get(&(instance.to_owned(), hook.to_owned()))
            .is_some_and(|s| s.accepted_when_over >= 2)
    }

    /// Makes the heartbeats of an instance due now. Their answers decide whether a drain begins.
    pub(crate) fn probe(&self, instance: &str, now: Mono) {
        self.of(instance, |state| state.due = state.due.min(now));
    }

    /// Applies `change` to every state of one instance. Returns whether there is one.
    pub(crate) fn of(&self, instance: &str, mut change: impl FnMut(&mut State)) -> bool {
        let mut states = self.0.borrow_mut();
        let from = (instance.to_owned(), String::new());
        let mine = states.range_mut(from..).take_while(|((of, _), _)| of == instance);
        mine.map(|(_, state)| change(state)).count() > 0
    }

    /// Returns the time at which the next heartbeat is due, of those that are not under way.
    pub(crate) fn next_due(&self) -> Option<Mono> {
        self.0.borrow().values().filter(|state| !state.flying).map(|state| state.due).min()
    }

    /// Returns the due heartbeat whose hook expires first, and the time by which it must be sent.
    /// Completions go before a heartbeat until a third of its time is left: a wave of 10,000
    /// heartbeats takes 1,000 s. Before the first heartbeat the time left is unknown.
    pub(crate) fn first(&self, now: Mono) -> Option<(Key, Mono)> {
        let states = self.0.borrow();
        let due = states.iter().filter(|(_, state)| !state.flying && state.due <= now);
        let (key, state) = due.min_by_key(|(_, state)| state.expires)?;
        let must = match state.tried {
            true => state.due.max(state.expires.before(state.timeout / 3)),
            false => state.due.max(now.before(OVERDUE)),
        };
        Some((key.clone(), must))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Mono {
        Mono::at(Duration::from_secs(second))
    }

    /// A process lives for a minute, and sends heartbeats for half of it, to 30 of 1,000 instances
    /// under hooks of one hour. The same number chosen at random would leave out one in six for
    /// longer than an hour.
    #[test]
    fn a_process_that_is_killed_each_minute_goes_on_where_the_one_before_was() {
        let (timeout, life) = (Duration::from_secs(3600), Duration::from_secs(60));
        let begin: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap_or_default();
        for known in [Some(timeout), None] {
            let mut last = [0; 1000];
            for minute in 0..240 {
                let wall = begin + life * minute;
                let mut order: Vec<usize> = (0..last.len()).collect();
                order.sort_by_key(|number| supposed_end((*number, 1000), known, at(0), wall));
                for number in order.into_iter().take(30) {
                    let before = std::mem::replace(&mut last[number], minute);
                    assert!(
                        life * (minute - before) < timeout,
                        "{number} had none from minute {before} to {minute}"
                    );
                }
            }
            assert!(last.iter().all(|minute| life * (240 - minute) < timeout), "{last:?}");
        }
    }

    /// With many due, the rate limits how many are sent in time, so those that expire first go
    /// first.
    #[test]
    fn the_first_is_the_one_whose_wait_ends_first_of_those_that_are_due() {
        let state = |due: u64, expires: u64, flying: bool| State {
            group: "web".to_owned(),
            wait: Some(WaitKind::Terminating),
            timeout: Duration::from_secs(300),
            over: false,
            due: at(due),
            expires: at(expires),
            last: None,
            accepted_when_over: 0,
            not_held: 0,
            failing: false,
            tried: true,
            flying,
        };
        let key = |instance: &str| (instance.to_owned(), "ecs-drain".to_owned());
        let beats = Beats::default();
        beats.0.borrow_mut().extend([
            (key("i-flying"), state(10, 100, true)),
            (key("i-later"), state(90, 150, false)),
            (key("i-longest-due"), state(10, 400, false)),
            (key("i-soonest-over"), state(60, 200, false)),
        ]);
        assert_eq!(beats.first(at(5)), None, "none is due");
        assert_eq!(beats.first(at(80)), Some((key("i-soonest-over"), at(100))));
        assert_eq!(beats.first(at(90)), Some((key("i-later"), at(90))));
        if let Some(first) = beats.0.borrow_mut().get_mut(&key("i-soonest-over")) {
            first.tried = false;
        }
        assert_eq!(
            beats.first(at(62)),
            Some((key("i-soonest-over"), at(60))),
            "it may be over at any moment"
        );
        assert_eq!(
            beats.first(at(80)),
            Some((key("i-soonest-over"), at(75))),
            "who has waited for five seconds goes first"
        );
        assert_eq!(beats.next_due(), Some(at(10)));
    }
}
