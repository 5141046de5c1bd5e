//! Drains in which nothing goes wrong.

use super::fixture::check;
use expect_test::expect;

/// The whole of it: DRAINING requested, tasks end, the target goes, two reads, completed.
#[test]
fn one_task_behind_one_target_group() {
    check(expect![[r#"
        0s   ACTIVE tasks=web:RUNNING found=web/60 targets=web:healthy => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                                  => Waiting saved search≥1m6s 30s TasksLeft(1)
        40s  tasks=web:DEACTIVATING targets=web:draining               => Waiting search≥1m6s 30s TasksLeft(1)
        100s tasks=none                                                => Verifying saved 30s TargetsLeft(1)
        105s targets=none                                              => Verifying 30s SecondLook(55s)
        proof                                                          => 161s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        6 writes
    "#]]);
}

/// An idle instance still waits until no lagging read can hide a task that was just placed.
#[test]
fn an_idle_instance() {
    check(expect![[r#"
        0s   ACTIVE   => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING => Verifying saved search≥1m6s 30s Settling(1m)
        proof         => 127s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
    "#]]);
}

/// A `DRAINING` that someone else set is a normal observation, and ecs-drain does not undo it.
#[test]
fn already_draining() {
    check(expect![[r#"
        0s  DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s                             => Waiting search≥1m1s 30s TasksLeft(1)
        2 writes
    "#]]);
}

/// An instance that is registered twice, in one cluster or two, is drained in both places.
#[test]
fn registered_twice() {
    check(expect![[r#"
        policy opened=2
        0s  ACTIVE,ACTIVE tasks=web:RUNNING => Deregistering saved SetDraining(c1) SetDraining(c2) 5s AskedToDrain
        5s  DRAINING,ACTIVE                 => Deregistering SetDraining(c2) 5s AskedToDrain
        10s DRAINING,DRAINING               => Waiting saved search≥1m11s 30s TasksLeft(1)
        30s tasks=none                      => Verifying saved search≥1m11s 30s Settling(40s)
        proof                               => 132s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        6 writes
    "#]]);
}
