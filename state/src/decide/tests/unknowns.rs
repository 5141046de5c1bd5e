//! Unknown is never empty: each read unknown in each phase.

use super::fixture::check;

/// Pending does nothing before the obligations are in the record.
#[test]
fn in_pending() {
    check(
        "
        0s  ACTIVE found=?                   => Pending 5s Unknown(found)
        5s  ci=? found=none                  => Pending 5s Unknown(ci)
        # Neither tasks nor targets nor the group are needed to ask for DRAINING.
        10s ACTIVE tasks=? targets=? group=? => Deregistering saved SetDraining(c1) 5s AskedToDrain
        2 writes
        ",
    );
}

/// Deregistering: ECS must say what it is, and the obligations must be known before anything is asked.
#[test]
fn in_deregistering() {
    check(
        "
        0s  ACTIVE           => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  ci=?             => Deregistering 5s Unknown(ci)
        10s ACTIVE found=?   => Deregistering 5s Unknown(found)
        15s found=none       => Deregistering SetDraining(c1) 5s AskedToDrain
        20s DRAINING tasks=? => Waiting saved 5s Unknown(tasks)
        3 writes
        ",
    );
}

/// Strategy `deregister`: nothing is deregistered blind.
#[test]
fn in_deregistering_by_strategy() {
    check(
        "
        policy strategy=deregister
        0s   ACTIVE             => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING tasks=?   => Deregistering 5s Unknown(tasks)
        10s  tasks=none found=? => Deregistering 5s Unknown(found)
        15s  found=none ci=?    => Deregistering 5s Unknown(ci)
        20s  DRAINING           => Deregistering 5s ListsOnceMore(2m1s)
        81s                     => Deregistering 5s ListsOnceMore(1m)
        141s                    => Deregistering saved Deregister(c1) 5s AskedToDeregister
        3 writes
        ",
    );
}

/// Waiting: tasks that cannot be listed are not gone; an unknown target is the business of Verifying.
#[test]
fn in_waiting() {
    check(
        "
        0s  DRAINING tasks=web:RUNNING                  => Waiting saved 5s TasksLeft(1)
        5s  ci=?                                        => Waiting 5s Unknown(ci)
        10s DRAINING tasks=?                            => Waiting 5s Unknown(tasks)
        15s tasks=web:RUNNING group=? targets=? found=? => Waiting 5s TasksLeft(1)
        2 writes
        ",
    );
}

/// No standalone task is stopped when tasks could not be listed.
#[test]
fn nothing_is_stopped_blind() {
    check(
        "
        policy standalone=60s
        0s  DRAINING tasks=standalone:RUNNING => Waiting saved 5s TasksLeft(1)
        70s tasks=?                           => Waiting saved 5s Unknown(tasks)
        75s tasks=standalone:RUNNING ci=?     => Waiting 5s Unknown(ci)
        80s DRAINING                          => Waiting saved StopTask(t1) 5s TasksLeft(1)
        4 writes
        ",
    );
}

/// Verifying: each of the four reads is needed.
#[test]
fn in_verifying() {
    check(
        "
        0s   DRAINING found=web/10 targets=web:draining => Verifying saved 5s Unknown(new)
        70s  targets=none ci=?                          => Verifying 5s Unknown(ci)
        75s  DRAINING tasks=?                           => Verifying 5s Unknown(tasks)
        80s  tasks=none found=?                         => Verifying 5s Unknown(found)
        85s  found=web/10 targets=?                     => Verifying 5s Unknown(targets)
        90s  targets=none group=?                       => Verifying 30s Settling(46s)
        95s                                             => Verifying 30s Settling(41s)
        150s                                            => Verifying 30s SecondLook(1m)
        200s                                            => Verifying search≥2m30s 5s LookingForRegistrations
        210s                                            => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
        ",
    );
}
