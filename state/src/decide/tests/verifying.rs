//! Verifying: the proof that everything is gone.

use super::fixture::check;

/// Both looks begin at least 60 s after ECS confirmed that nothing new can land, and at least 10 s apart.
#[test]
fn two_looks() {
    check(
        "
        0s  ACTIVE   => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  DRAINING => Verifying saved 10s Settling(1m1s)
        # A second before the settling is over is no look.
        65s          => Verifying 1s Settling(1s)
        66s          => Verifying search≥1m6s 5s LookingForRegistrations
        75s          => Verifying 1s SecondLook(1s)
        76s          => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
        ",
    );
}

/// A look that failed in between breaks the proof: both looks are taken again.
#[test]
fn a_failed_look_breaks_the_proof() {
    check(
        "
        0s   DRAINING found=web/10 targets=web:draining => Verifying saved 5s Unknown(new)
        70s  targets=none                               => Verifying search≥1m10s 5s LookingForRegistrations
        75s  targets=?                                  => Verifying 5s Unknown(targets)
        80s  targets=none                               => Verifying search≥1m20s 5s LookingForRegistrations
        85s                                             => Verifying 5s SecondLook(5s)
        90s                                             => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
        ",
    );
}

/// A registration that comes back (a read that lagged) is waited for, and both looks are taken again.
#[test]
fn a_target_comes_back() {
    check(
        "
        0s   DRAINING found=web/10 targets=web:draining => Verifying saved 5s Unknown(new)
        70s  targets=none                               => Verifying search≥1m10s 5s LookingForRegistrations
        75s  targets=web:draining                       => Verifying 5s TargetsLeft(1)
        80s  targets=none                               => Verifying search≥1m20s 5s LookingForRegistrations
        89s                                             => Verifying 1s SecondLook(1s)
        90s                                             => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
        ",
    );
}

/// A task that comes back is waited for, and both looks are taken again.
#[test]
fn a_task_comes_back() {
    check(
        "
        0s   DRAINING          => Verifying saved 10s Settling(1m1s)
        61s                    => Verifying search≥1m1s 5s LookingForRegistrations
        66s  tasks=web:PENDING => Waiting saved 5s TasksLeft(1)
        71s  tasks=none        => Verifying saved search≥1m11s 5s LookingForRegistrations
        80s                    => Verifying 1s SecondLook(1s)
        81s                    => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        6 writes
        ",
    );
}

/// Someone undid our DRAINING: it is drained again, and the settling begins anew.
#[test]
fn active_again() {
    check(
        "
        0s   DRAINING => Verifying saved 10s Settling(1m1s)
        61s           => Verifying search≥1m1s 5s LookingForRegistrations
        66s  ACTIVE   => Deregistering saved SetDraining(c1) 5s AskedToDrain
        71s  DRAINING => Verifying saved 10s Settling(1m1s)
        76s           => Verifying 10s Settling(56s)
        131s          => Verifying 1s Settling(1s)
        132s          => Verifying search≥2m12s 5s LookingForRegistrations
        142s          => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        6 writes
        ",
    );
}

/// An agent that lost its state registers the instance a second time. The search finds it, and it is drained too,
/// with its own settling.
#[test]
fn a_second_registration_that_is_active() {
    check(
        "
        0s   DRAINING                            => Verifying saved 10s Settling(1m1s)
        61s  DRAINING,ACTIVE                     => Verifying search≥1m1s 5s LookingForRegistrations
        66s                                      => Verifying saved 5s Unknown(new)
        71s  DRAINING,ACTIVE                     => Deregistering saved SetDraining(c2) 5s AskedToDrain
        76s  DRAINING,DRAINING tasks=web:RUNNING => Waiting saved 5s TasksLeft(1)
        81s  tasks=none                          => Verifying saved 10s Settling(56s)
        86s                                      => Verifying 10s Settling(51s)
        137s                                     => Verifying search≥2m17s 5s LookingForRegistrations
        147s                                     => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        8 writes
        ",
    );
}

/// A second registration that is DRAINING already was not seen to take no work before this moment: the settling and
/// both looks begin anew.
#[test]
fn a_second_registration_that_drains_already() {
    check(
        "
        0s   DRAINING          => Verifying saved 10s Settling(1m1s)
        61s  DRAINING,DRAINING => Verifying search≥1m1s 5s LookingForRegistrations
        66s                    => Verifying saved 5s Unknown(new)
        71s                    => Verifying 10s Settling(1m1s)
        76s                    => Verifying 10s Settling(56s)
        132s                   => Verifying search≥2m12s 5s LookingForRegistrations
        137s                   => Verifying 5s SecondLook(5s)
        142s                   => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
        ",
    );
}

/// The search must have begun after nothing new could land; while it fails nothing is completed.
#[test]
fn no_completion_without_the_search() {
    check(
        "
        0s   DRAINING search=fails => Verifying saved 10s Settling(1m1s)
        61s                        => Verifying search≥1m1s 5s LookingForRegistrations
        71s                        => Verifying search≥1m1s 5s LookingForRegistrations
        10m                        => Verifying saved search≥1m1s 5s LookingForRegistrations
        11m  search=works          => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
        ",
    );
}

/// A registration that is only found now (its service's last task stopped lately) is looked at before completion.
#[test]
fn an_obligation_found_late() {
    check(
        "
        0s   DRAINING                            => Verifying saved 10s Settling(1m1s)
        61s                                      => Verifying search≥1m1s 5s LookingForRegistrations
        66s  found=late/30 targets=late:draining => Verifying saved 5s Unknown(new)
        71s                                      => Verifying 5s TargetsLeft(1)
        76s  targets=none                        => Verifying search≥1m16s 5s LookingForRegistrations
        86s                                      => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
        ",
    );
}

/// The same, when it is gone by the time it is found: both looks begin with the first one that asked for it.
#[test]
fn an_obligation_found_late_and_gone() {
    check(
        "
        0s   DRAINING      => Verifying saved 10s Settling(1m1s)
        61s                => Verifying search≥1m1s 5s LookingForRegistrations
        71s  found=late/30 => Verifying saved 5s Unknown(new)
        76s                => Verifying search≥1m16s 5s LookingForRegistrations
        86s                => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
        ",
    );
}

/// After a restart the looks are taken again from the beginning: it costs time, never proof.
#[test]
fn a_restart_costs_looking_again() {
    check(
        "
        0s   DRAINING => Verifying saved 10s Settling(1m1s)
        61s           => Verifying search≥1m1s 5s LookingForRegistrations
        66s  restart  => Verifying 10s Settling(1m1s)
        71s           => Verifying 10s Settling(56s)
        76s           => Verifying 10s Settling(51s)
        126s          => Verifying 1s Settling(1s)
        127s          => Verifying search≥2m7s 5s LookingForRegistrations
        137s          => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
        ",
    );
}

/// A wall clock that jumps cannot shorten the settling.
#[test]
fn a_clock_that_jumps() {
    check(
        "
        0s   DRAINING  => Verifying saved 10s Settling(1m1s)
        5s   clock=+2h => Verifying 10s Settling(56s)
        10s  clock=-2h => Verifying 10s Settling(51s)
        61s            => Verifying search≥1m1s 5s LookingForRegistrations
        71s            => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
        ",
    );
}

/// A target that nobody deregisters can be that of a second registration which the record does not know, and whose own
/// task keeps the proof, and with it its search, from ever coming: so it is searched for.
#[test]
fn a_target_in_service_makes_it_look_for_another_registration() {
    check(
        "
        0s   ACTIVE found=web/60 targets=web:healthy => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                => Verifying saved search≥5s 5s TargetsLeft(1)
        10s  DRAINING,ACTIVE                         => Verifying saved 5s Unknown(new)
        15s                                          => Deregistering saved SetDraining(c2) 5s AskedToDrain
        20s  DRAINING,DRAINING tasks=log:RUNNING     => Waiting saved 5s TasksLeft(1)
        90s  tasks=none targets=none                 => Verifying saved search≥1m30s 5s LookingForRegistrations
        7 writes
        ",
    );
}
