//! An exhaustive model of one drain: the real [`ecs_drain_state::Drain`], with its facts, its decision and its guard, in a
//! small world that can do whatever AWS and people can do. Every state that can be reached is looked at.
//!
//! **The world** ([`world`]): one container instance, two tasks, one target, in steps of half a lag or of a lag. In each step
//! tasks are placed while the instance is `ACTIVE`, start, stop and end, in any order, several steps at once where a person
//! interferes; the target follows, and drains for as long as it likes. **A person** makes the instance `ACTIVE` or `DRAINING`,
//! both within one step, or pauses the drain. **Reads**: what the last decision wants by then, each answered as of any moment
//! of the last lag, and none later than a step where `slow` allows it. **The controller** crashes and forgets everything, also
//! between the record's save and the call; its calls wait a step for their permit, and the guard is asked then.
//!
//! **What must hold.** (i) No completion is sent while a task is left or the target is registered, but for the one window
//! that the design leaves open: a person's `ACTIVE` let a task in within two lags before the call. (A task that is being
//! provisioned is in no counter of ECS; it is assumed to be that for a step at most.) (ii) Once nothing interferes and the
//! world goes on, every way ends: there is no way back to a state that was there before.
//!
//! Moments are measured from now, and those that can make no difference are replaced by one ([`memory`]), so that there is an
//! end of states. The search is of our own: what is hard is that relation, and a library's search would not make it easier.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod hash;
mod memory;
mod process;
mod search;
mod world;

use ecs_drain_state::Policy;
use search::{Faults, Found, Model};
use std::time::{Duration, Instant};
use world::Task;

/// Steps of a lag.
fn by_lag(ecs_places: bool, acts: u8, crashes: u8, slow: u8) -> Model {
    let faults = Faults { acts, pauses: 0, crashes, slow };
    Model {
        policy: Policy::default(),
        step: Duration::from_secs(60),
        lag: 1,
        excuse: 2,
        first: Task::Running,
        flips: true,
        must_end: true,
        ecs_places,
        faults,
    }
}

/// Steps of half a lag.
fn by_half(ecs_places: bool, acts: u8, crashes: u8, slow: u8) -> Model {
    let step = Duration::from_secs(30);
    Model { step, lag: 2, excuse: 4, ..by_lag(ecs_places, acts, crashes, slow) }
}

fn searched(model: &Model) -> Found {
    let began = Instant::now();
    let found = model.search();
    println!(
        "steps of {} s, ecs places {}, {:?}: {} states, {} steps deep, {} ways to complete, overlooked after steps {:?}; {:.1} s",
        model.step.as_secs(),
        model.ecs_places,
        model.faults,
        found.states,
        found.depth,
        found.completed,
        found.excused,
        began.elapsed().as_secs_f32()
    );
    found
}

fn holds(model: &Model) -> Found {
    let found = searched(model);
    assert!(found.violation.is_none(), "completed although something is left:\n{}", found.violation.unwrap());
    assert!(found.endless.is_none(), "goes round although nothing interferes:\n{}", found.endless.unwrap());
    assert!(found.completed > 0, "nothing was completed, so nothing was shown");
    found
}

/// Without a person, nothing at all is overlooked.
#[test]
fn nothing_is_overlooked_where_nobody_interferes() {
    for model in
        [by_lag(true, 0, 0, 0), by_lag(false, 0, 1, 1), by_half(false, 0, 0, 0), paused(2, by_lag(false, 0, 0, 0))]
    {
        assert_eq!(holds(&model).excused, [0; 16]);
    }
}

/// A pause, in which nothing is read and what was read grows old.
fn paused(pauses: u8, of: Model) -> Model {
    Model { faults: Faults { pauses, ..of.faults }, ..of }
}

/// With a person, only what was let in within two lags before the call; and that window is really open. (That every
/// way ends then too takes longer, and is looked at below.)
#[test]
fn only_what_was_let_in_just_before_is_overlooked() {
    let found = holds(&Model { flips: false, must_end: false, ..by_lag(false, 1, 0, 0) });
    assert!(found.excused.iter().sum::<usize>() > 0, "the window has closed: say so in docs/decisions/0016");
}

/// The same with more that goes wrong, which takes minutes to hours.
#[test]
#[ignore = "takes long"]
fn with_more_that_goes_wrong() {
    for model in [
        by_lag(true, 0, 1, 0),
        by_lag(true, 0, 0, 1),
        by_lag(false, 1, 0, 0),
        by_lag(true, 1, 0, 0),
        by_half(true, 0, 0, 0),
        by_half(false, 0, 1, 0),
        by_lag(false, 1, 1, 0),
        by_lag(false, 1, 0, 1),
        by_lag(false, 2, 0, 0),
        paused(2, by_lag(false, 1, 0, 0)),
        by_half(false, 1, 0, 0),
    ] {
        holds(&model);
    }
}

/// The model can fail: a proof that believes every read to be of now is wrong at once.
#[test]
fn a_proof_without_a_lag_is_found_out() {
    let policy = Policy { read_lag: Duration::ZERO, ..Policy::default() };
    let way = searched(&Model { policy, ..by_lag(true, 0, 0, 0) }).violation.expect("it completes too early");
    assert!(way.contains("COMPLETED"), "{way}");
}

/// So is one whose reads lag for longer than it believes.
#[test]
fn reads_that_lag_for_longer_are_found_out() {
    let model = Model { lag: 2, ..by_lag(true, 0, 0, 0) };
    assert!(searched(&model).violation.is_some());
}
