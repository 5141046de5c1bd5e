//! Unknown is never empty: each failed read in each phase.

use super::fixture::check;
use expect_test::expect;

/// Pending does nothing before the obligations are in the record.
#[test]
fn in_pending() {
    check(expect![[r#"
        0s ACTIVE tasks=web:RUNNING found=?  => Pending 30s Unknown(found)
        5s ci=? found=none                   => Deregistering saved SetDraining(c1) 5s AskedToDrain
        # Neither tasks nor targets nor the group are needed to ask for DRAINING.
        10s ACTIVE tasks=? targets=? group=? => Deregistering SetDraining(c1) 5s AskedToDrain
        2 writes
    "#]]);
}

/// Deregistering: before any request, ECS must report the status and the obligations must be known.
#[test]
fn in_deregistering() {
    check(expect![[r#"
        0s  ACTIVE                           => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s ci=?                              => Deregistering SetDraining(c1) 5s AskedToDrain
        10s ACTIVE tasks=web:RUNNING found=? => Deregistering 30s Unknown(found)
        15s found=none                       => Deregistering SetDraining(c1) 5s AskedToDrain
        20s DRAINING tasks=?                 => Waiting saved search≥1m21s 30s TasksLeft(1)
        3 writes
    "#]]);
}

/// Strategy `deregister`: nothing is deregistered without reads.
#[test]
fn in_deregistering_by_strategy() {
    check(expect![[r#"
        policy strategy=deregister
        0s   ACTIVE                   => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING tasks=?         => Deregistering 30s ListsOnceMore(1m)
        10s tasks=web:RUNNING found=? => Deregistering 30s Unknown(found)
        15s  found=none ci=?          => Deregistering 30s ListsOnceMore(55s)
        20s  DRAINING                 => Deregistering 30s ListsOnceMore(50s)
        81s                           => Deregistering 30s ListsOnceMore(1m)
        142s                          => Deregistering saved Deregister(c1) 5s AskedToDeregister
        3 writes
    "#]]);
}

/// Waiting: tasks that cannot be listed are not gone; an unknown target is left to Verifying.
#[test]
fn in_waiting() {
    check(expect![[r#"
        0s  DRAINING tasks=web:RUNNING                          => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s  ci=?                                                => Waiting search≥1m1s 30s TasksLeft(1)
        10s DRAINING tasks=?                                    => Waiting search≥1m1s 30s TasksLeft(1)
        15s tasks=web:RUNNING group=? targets=? found=?         => Waiting search≥1m1s 30s TasksLeft(1)
        20s ci=? found=none targets=none group=Terminating:Wait => Waiting search≥1m1s 30s TasksLeft(1)
        105s                                                    => Waiting 30s TasksLeft(1)
        110s DRAINING                                           => Waiting 30s TasksLeft(1)
        2 writes
    "#]]);
}

/// No standalone task is stopped when tasks could not be listed.
#[test]
fn nothing_is_stopped_blind() {
    check(expect![[r#"
        policy standalone=60s
        0s  DRAINING tasks=standalone:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        70s tasks=?                           => Waiting saved StopTask(t1) 5s TasksLeft(1)
        75s tasks=standalone:RUNNING ci=?     => Waiting StopTask(t1) 5s TasksLeft(1)
        80s DRAINING                          => Waiting StopTask(t1) 5s TasksLeft(1)
        3 writes
    "#]]);
}

/// Verifying: each of the four reads is needed.
#[test]
fn in_verifying() {
    check(expect![[r#"
        0s   DRAINING found=web/10 targets=web:draining => Verifying saved search≥1m1s 30s TargetsLeft(1)
        70s  targets=none ci=?                          => Verifying 30s SecondLook(1m)
        75s DRAINING tasks=?                            => Verifying 30s SecondLook(55s)
        80s  tasks=none found=?                         => Verifying 30s SecondLook(50s)
        85s  found=web/10 targets=?                     => Verifying 30s SecondLook(45s)
        90s  targets=none group=?                       => Verifying 30s SecondLook(40s)
        proof                                           => 131s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
    "#]]);
}
