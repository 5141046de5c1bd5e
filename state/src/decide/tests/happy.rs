//! Drains in which nothing goes wrong.

use super::fixture::check;

/// The whole of it: asked to drain, tasks end, the target goes, two looks, completed.
#[test]
fn one_task_behind_one_target_group() {
    check(
        "
        0s   ACTIVE tasks=web:RUNNING found=web/60 targets=web:healthy => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                                  => Waiting saved 5s TasksLeft(1)
        40s  tasks=web:DEACTIVATING targets=web:draining               => Waiting 5s TasksLeft(1)
        100s tasks=none                                                => Verifying saved 5s TargetsLeft(1)
        105s targets=none                                              => Verifying 30s SecondLook(55s)
        150s                                                           => Verifying search≥1m45s 5s LookingForRegistrations
        155s                                                           => Verifying 5s SecondLook(5s)
        160s                                                           => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        6 writes
        ",
    );
}

/// With nothing on it, an instance still waits until no lagging read can hide a task that was just placed.
#[test]
fn an_idle_instance() {
    check(
        "
        0s   ACTIVE   => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING => Verifying saved 30s Settling(1m1s)
        10s           => Verifying 30s Settling(56s)
        15s           => Verifying 30s Settling(51s)
        66s           => Verifying 30s SecondLook(1m)
        116s          => Verifying search≥1m6s 5s LookingForRegistrations
        126s          => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
        ",
    );
}

/// A `DRAINING` that someone else set is a normal observation, and is not ours to undo.
#[test]
fn already_draining() {
    check(
        "
        0s  DRAINING tasks=web:RUNNING => Waiting saved 5s TasksLeft(1)
        5s                             => Waiting 5s TasksLeft(1)
        2 writes
        ",
    );
}

/// An instance that is registered twice, in one cluster or two, is drained in both places.
#[test]
fn registered_twice() {
    check(
        "
        policy opened=2
        0s  ACTIVE,ACTIVE tasks=web:RUNNING => Deregistering saved SetDraining(c1) SetDraining(c2) 5s AskedToDrain
        5s  DRAINING,ACTIVE                 => Deregistering SetDraining(c2) 5s AskedToDrain
        10s DRAINING,DRAINING               => Waiting saved 5s TasksLeft(1)
        3 writes
        ",
    );
}
