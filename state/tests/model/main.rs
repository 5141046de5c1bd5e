//! An exhaustive model of the protocol: the real [`ecs_drain_state::Drain`], with its facts, its
//! decision and its guard, the real budgets and requests, in a small world that can do whatever AWS
//! and people can do. The search visits every state that can be reached.
//!
//! **The world** ([`world`]): one or two instances, each a container instance with two tasks and
//! one target, in a group with the ecs-drain hook, in steps of half a lag or of a lag. In each step
//! tasks are placed while the instance is `ACTIVE`, start, stop and end, in any order, several at
//! once if a person interferes; the target follows, and drains for any time. **People** make the
//! instance `ACTIVE` or `DRAINING`, both within one step, and pause, cancel or force the drain.
//! **The group** terminates the instance. **Reads**: those that the last decision needs by then,
//! each answered as of any moment of the last lag, and at most a step later if `slow` allows it.
//! **Two controllers** ([`step`]): the one that has the lease reads, decides, saves and sends. It
//! dies at any point, or is suspended before a save or with a call on its way while the other takes
//! the lease, and may continue later; its calls wait for their permit or get lost. Each keeps its
//! knowledge until it dies. A save fails if the record was written meanwhile. **The wall clock**
//! jumps past every deadline, and back.
//!
//! **The promises.** (i) No instance is released while a task is left or the target is registered,
//! except for the one window that the design leaves open: a person's `ACTIVE` let a task in within
//! two lags before the call. (A task that is being provisioned is in no counter of ECS; the model
//! assumes that this lasts for a step at most.) (ii) The record announces each call before it is
//! made. (iii) A group is asked once to terminate an instance. (iv) Nothing is called for a drain
//! that is paused. (v) The `DRAINING` set by ecs-drain is undone if the instance lives on, and no
//! other. (vi) No more drains run than the budget allows. (vii) Once nothing interferes and the
//! world moves on, every way ends: no way leads back to an earlier state. (viii) While the
//! ecs-drain hook holds the instance its drain continues, unless it was cancelled: the program
//! sends heartbeats for such a drain.
//!
//! The heartbeats themselves, the opening of a drain, and rates are parts of the program around
//! this crate, and are not in this model.
//!
//! Moments are measured from now, and those that can make no difference are replaced by one
//! ([`memory`]), so that the number of states is finite. The search is the model's own: that
//! replacement is the hard part, and a library's search would not make it easier.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod controller;
mod hash;
mod memory;
mod search;
mod state;
mod step;
mod world;

use controller::Begins;
use ecs_drain_state::{AtDeadline, Policy, Then, WaitKind};
use search::{Found, Model};
use state::Faults;
use std::time::{Duration, Instant};
use world::Task;

const NONE: Faults = Faults {
    acts: 0,
    pauses: 0,
    cancels: 0,
    forces: 0,
    terminations: 0,
    crashes: 0,
    handovers: 0,
    slow: 0,
    lost: 0,
    jumps: 0,
};

/// Returns a model of one instance that waits under the ecs-drain hook, one controller, and steps
/// of a lag.
fn by_lag(ecs_places: bool, faults: Faults) -> Model {
    Model {
        policy: Policy::default(),
        step: Duration::from_secs(60),
        lag: 1,
        excuse: 2,
        begins: vec![Begins::Hook(WaitKind::Terminating)],
        controllers: 1,
        first: Task::Running,
        draining: false,
        flips: true,
        must_end: true,
        ecs_places,
        faults,
        remembers: false,
        limit: None,
    }
}

/// Returns the same in steps of half a lag.
fn by_half(ecs_places: bool, faults: Faults) -> Model {
    let step = Duration::from_secs(30);
    Model { step, lag: 2, excuse: 4, ..by_lag(ecs_places, faults) }
}

/// The ways in which a drain can begin.
const BEGINNINGS: [Begins; 4] = [
    Begins::Hook(WaitKind::Terminating),
    Begins::Hook(WaitKind::ReturnsToWarmPool),
    Begins::Asked(Then::Terminate),
    Begins::Asked(Then::Keep),
];

/// One of each kind of fault, except for a person's acts on the container instance: those make a
/// hundred times as many states.
const KINDS: [Faults; 9] = [
    Faults { pauses: 1, ..NONE },
    Faults { cancels: 1, ..NONE },
    Faults { forces: 1, ..NONE },
    Faults { terminations: 1, ..NONE },
    Faults { crashes: 1, ..NONE },
    Faults { handovers: 1, ..NONE },
    Faults { slow: 1, ..NONE },
    Faults { lost: 1, ..NONE },
    Faults { jumps: 1, ..NONE },
];

/// Returns a model of drains that begin like this, and two controllers. A person's `ACTIVE` lasts
/// for less than a step.
fn protocol(begins: &[Begins], faults: Faults) -> Model {
    Model { begins: begins.to_vec(), controllers: 2, flips: false, ..by_lag(false, faults) }
}

/// Returns both of these faults.
fn and(one: Faults, other: Faults) -> Faults {
    Faults {
        acts: one.acts + other.acts,
        pauses: one.pauses + other.pauses,
        cancels: one.cancels + other.cancels,
        forces: one.forces + other.forces,
        terminations: one.terminations + other.terminations,
        crashes: one.crashes + other.crashes,
        handovers: one.handovers + other.handovers,
        slow: one.slow + other.slow,
        lost: one.lost + other.lost,
        jumps: one.jumps + other.jumps,
    }
}

fn searched(model: &Model) -> Found {
    let began = Instant::now();
    let found = model.search();
    let begins: Vec<String> = model.begins.iter().map(|begins| format!("{begins:?}")).collect();
    println!(
        "{:<40} {:>2} s, {}{}: {} states, {} transitions, {} steps deep{}, {} ways to let go{}; {:.1} s",
        begins.join(" and "),
        model.step.as_secs(),
        model.faults,
        if model.ecs_places { ", ECS places" } else { "" },
        found.states,
        found.transitions,
        found.depth,
        if found.closed { "" } else { " and no end" },
        found.completed,
        if found.excused == [0; 16] {
            String::new()
        } else {
            format!(", overlooked after steps {:?}", &found.excused[..5])
        },
        began.elapsed().as_secs_f32()
    );
    found
}

fn holds(model: &Model) -> Found {
    let found = searched(model);
    assert!(found.broken.is_none(), "a promise is broken:\n{}", found.broken.unwrap());
    assert!(
        found.endless.is_none(),
        "goes round although nothing interferes:\n{}",
        found.endless.unwrap()
    );
    assert!(found.completed > 0, "nothing was let go, so nothing was shown");
    assert!(found.closed || model.limit.is_some(), "the search did not come to its end");
    found
}

/// One fault of each kind, and each way in which a drain can begin: every state.
#[test]
fn any_one_fault_breaks_no_promise() {
    for begins in BEGINNINGS {
        for faults in KINDS {
            holds(&protocol(&[begins], faults));
        }
    }
}

/// The old leader may still save, or have a call on its way.
#[test]
fn whoever_takes_over_breaks_no_promise() {
    holds(&protocol(
        &[Begins::Hook(WaitKind::Terminating)],
        Faults { crashes: 1, handovers: 1, ..NONE },
    ));
}

/// The reads of one controller from before the other led prove nothing about an instance that comes
/// back.
#[test]
fn an_instance_comes_back_whoever_leads() {
    holds(&protocol(
        &[Begins::Hook(WaitKind::ReturnsToWarmPool)],
        Faults { handovers: 1, crashes: 1, ..NONE },
    ));
}

/// The same in steps of half a lag: the effect of the last step may not be seen yet.
#[test]
fn what_was_done_a_moment_ago_is_not_done_again() {
    for begins in BEGINNINGS {
        let half = by_half(false, NONE);
        holds(&Model {
            step: half.step,
            lag: half.lag,
            excuse: half.excuse,
            ..protocol(&[begins], NONE)
        });
    }
}

/// A `DRAINING` that was there before is someone else's, however the drain ends.
#[test]
fn the_draining_of_another_stays() {
    for begins in [Begins::Asked(Then::Keep), Begins::Hook(WaitKind::ReturnsToWarmPool)] {
        holds(&Model {
            draining: true,
            ..protocol(&[begins], Faults { cancels: 1, crashes: 1, ..NONE })
        });
    }
}

/// Two drains that share a budget of one.
#[test]
fn two_drains_begin_one_after_the_other() {
    holds(&protocol(&[Begins::Asked(Then::Keep), Begins::Asked(Then::Keep)], NONE));
}

/// A deadline that a wrong wall clock shows as passed releases only a drained instance, or acts as
/// the policy says.
#[test]
fn a_deadline_and_a_wall_clock_that_jumps_break_no_promise() {
    let policy = Policy { deadline: Some(Duration::from_secs(3600)), ..Policy::default() };
    for at_deadline in [AtDeadline::Hold, AtDeadline::Continue] {
        let policy = Policy { at_deadline, ..policy.clone() };
        let faults = Faults { jumps: 2, crashes: 1, ..NONE };
        holds(&Model { policy, ..protocol(&[Begins::Hook(WaitKind::Terminating)], faults) });
    }
}

/// Every two faults, and each way in which a drain can begin: every state.
#[test]
#[ignore = "takes a quarter of an hour"]
fn any_two_faults_break_no_promise() {
    for begins in BEGINNINGS {
        for (n, one) in KINDS.into_iter().enumerate() {
            for other in KINDS.into_iter().skip(n) {
                holds(&protocol(&[begins], and(one, other)));
            }
        }
    }
}

/// Two instances, and every fault once: as deep as ten minutes, and layers of some hundred thousand
/// states, reach.
#[test]
#[ignore = "takes ten minutes"]
fn two_instances_and_everything_that_goes_wrong() {
    let all = KINDS.into_iter().fold(Faults { acts: 1, ..NONE }, and);
    let limit = Some(Duration::from_secs(600));
    let begins = [Begins::Hook(WaitKind::Terminating), Begins::Asked(Then::Terminate)];
    holds(&Model { limit, must_end: false, ..protocol(&begins, all) });
}

/// Without a person, nothing at all is overlooked.
#[test]
fn nothing_is_overlooked_where_nobody_interferes() {
    for model in [
        by_lag(true, NONE),
        by_lag(false, Faults { crashes: 1, slow: 1, ..NONE }),
        by_half(false, NONE),
        by_lag(false, Faults { pauses: 2, ..NONE }),
    ] {
        assert_eq!(holds(&model).excused, [0; 16]);
    }
}

/// With a person, only a task that was let in within two lags before the call is overlooked; and
/// that window really is open. (The check that every way ends takes longer, and is made below.)
#[test]
fn only_what_was_let_in_just_before_is_overlooked() {
    let found = holds(&Model {
        flips: false,
        must_end: false,
        ..by_lag(false, Faults { acts: 1, ..NONE })
    });
    assert!(
        found.excused.iter().sum::<usize>() > 0,
        "the window has closed: say so in docs/decisions/0016"
    );
}

/// The same with more faults, which takes minutes to hours.
#[test]
#[ignore = "takes long"]
fn with_more_that_goes_wrong() {
    for model in [
        by_lag(true, Faults { crashes: 1, ..NONE }),
        by_lag(true, Faults { slow: 1, ..NONE }),
        by_lag(false, Faults { acts: 1, ..NONE }),
        by_lag(true, Faults { acts: 1, ..NONE }),
        by_half(true, NONE),
        by_half(false, Faults { crashes: 1, ..NONE }),
        by_lag(false, Faults { acts: 1, crashes: 1, ..NONE }),
        by_lag(false, Faults { acts: 1, slow: 1, ..NONE }),
        by_lag(false, Faults { acts: 2, ..NONE }),
        by_lag(false, Faults { acts: 1, pauses: 2, ..NONE }),
        by_half(false, Faults { acts: 1, ..NONE }),
    ] {
        holds(&model);
    }
}

/// Forgotten ages make no difference to decisions or reads.
#[test]
fn what_is_forgotten_makes_no_difference() {
    for begins in BEGINNINGS {
        let faults = Faults { crashes: 1, cancels: 1, ..NONE };
        holds(&Model { remembers: true, ..protocol(&[begins], faults) });
    }
}

/// The model can fail: a proof that believes every read to be of now is wrong at once.
#[test]
fn a_proof_without_a_lag_is_found_out() {
    let policy = Policy { read_lag: Duration::ZERO, ..Policy::default() };
    let way =
        searched(&Model { policy, ..by_lag(true, NONE) }).broken.expect("it completes too early");
    assert!(way.contains("let go"), "{way}");
}

/// So is a proof whose reads lag for longer than it believes.
#[test]
fn reads_that_lag_for_longer_are_found_out() {
    let model = Model { lag: 2, must_end: false, ..by_lag(true, NONE) };
    assert!(searched(&model).broken.is_some());
}
