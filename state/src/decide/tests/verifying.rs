//! Verifying: the proof that everything is gone.

use super::fixture::check;

/// Both looks begin at least 60 s after ECS confirmed that nothing new can land, and at least 10 s apart.
#[test]
fn two_looks() {
    check(
        "
        0s   ACTIVE   => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING => Verifying saved 30s Settling(1m1s)
        # A second before the settling is over is no look.
        65s           => Verifying 1s Settling(1s)
        66s           => Verifying 30s SecondLook(1m)
        116s          => Verifying search≥1m6s 5s LookingForRegistrations
        125s          => Verifying 1s SecondLook(1s)
        126s          => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
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
        70s  targets=none                               => Verifying 30s SecondLook(1m)
        120s                                            => Verifying search≥1m10s 5s LookingForRegistrations
        125s targets=?                                  => Verifying 5s Unknown(targets)
        130s targets=none                               => Verifying search≥2m10s 5s LookingForRegistrations
        135s                                            => Verifying 5s SecondLook(5s)
        140s                                            => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
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
        70s  targets=none                               => Verifying 30s SecondLook(1m)
        120s                                            => Verifying search≥1m10s 5s LookingForRegistrations
        125s targets=web:draining                       => Verifying 5s TargetsLeft(1)
        130s targets=none                               => Verifying search≥2m10s 5s LookingForRegistrations
        139s                                            => Verifying 1s SecondLook(1s)
        140s                                            => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
        ",
    );
}

/// A task that comes back is waited for, and both looks are taken again.
#[test]
fn a_task_comes_back() {
    check(
        "
        0s   DRAINING          => Verifying saved 30s Settling(1m1s)
        61s                    => Verifying 30s SecondLook(1m)
        111s                   => Verifying search≥1m1s 5s LookingForRegistrations
        116s tasks=web:PENDING => Waiting saved 5s TasksLeft(1)
        121s tasks=none        => Verifying saved search≥2m1s 5s LookingForRegistrations
        130s                   => Verifying 1s SecondLook(1s)
        131s                   => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        6 writes
        ",
    );
}

/// Someone undid our DRAINING: it is drained again, and the settling begins anew.
#[test]
fn active_again() {
    check(
        "
        0s   DRAINING => Verifying saved 30s Settling(1m1s)
        61s           => Verifying 30s SecondLook(1m)
        111s          => Verifying search≥1m1s 5s LookingForRegistrations
        116s ACTIVE   => Deregistering saved SetDraining(c1) 5s AskedToDrain
        121s DRAINING => Verifying saved 30s Settling(1m1s)
        126s          => Verifying 30s Settling(56s)
        181s          => Verifying 1s Settling(1s)
        182s          => Verifying 30s SecondLook(1m)
        232s          => Verifying search≥3m2s 5s LookingForRegistrations
        242s          => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
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
        0s   DRAINING                            => Verifying saved 30s Settling(1m1s)
        61s  DRAINING,ACTIVE                     => Verifying 30s SecondLook(1m)
        111s                                     => Verifying search≥1m1s 5s LookingForRegistrations
        116s                                     => Verifying saved 5s Unknown(new)
        121s DRAINING,ACTIVE                     => Deregistering saved SetDraining(c2) 5s AskedToDrain
        126s DRAINING,DRAINING tasks=web:RUNNING => Waiting saved 5s TasksLeft(1)
        131s tasks=none                          => Verifying saved 30s Settling(56s)
        136s                                     => Verifying 30s Settling(51s)
        187s                                     => Verifying 30s SecondLook(1m)
        237s                                     => Verifying search≥3m7s 5s LookingForRegistrations
        247s                                     => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
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
        0s   DRAINING          => Verifying saved 30s Settling(1m1s)
        61s  DRAINING,DRAINING => Verifying 30s SecondLook(1m)
        111s                   => Verifying search≥1m1s 5s LookingForRegistrations
        116s                   => Verifying saved 5s Unknown(new)
        121s                   => Verifying 30s Settling(1m1s)
        126s                   => Verifying 30s Settling(56s)
        182s                   => Verifying 30s SecondLook(1m)
        232s                   => Verifying search≥3m2s 5s LookingForRegistrations
        237s                   => Verifying 5s SecondLook(5s)
        242s                   => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
        ",
    );
}

/// The search must have begun after nothing new could land; while it fails nothing is completed.
#[test]
fn no_completion_without_the_search() {
    check(
        "
        0s   DRAINING search=fails => Verifying saved 30s Settling(1m1s)
        61s                        => Verifying 30s SecondLook(1m)
        111s                       => Verifying search≥1m1s 5s LookingForRegistrations
        121s                       => Verifying search≥1m1s 5s LookingForRegistrations
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
        0s   DRAINING                            => Verifying saved 30s Settling(1m1s)
        61s                                      => Verifying 30s SecondLook(1m)
        111s                                     => Verifying search≥1m1s 5s LookingForRegistrations
        116s found=late/30 targets=late:draining => Verifying saved 5s Unknown(new)
        121s                                     => Verifying 5s TargetsLeft(1)
        126s targets=none                        => Verifying search≥2m6s 5s LookingForRegistrations
        136s                                     => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
        ",
    );
}

/// The same, when it is gone by the time it is found: both looks begin with the first one that asked for it.
#[test]
fn an_obligation_found_late_and_gone() {
    check(
        "
        0s   DRAINING      => Verifying saved 30s Settling(1m1s)
        61s                => Verifying 30s SecondLook(1m)
        111s               => Verifying search≥1m1s 5s LookingForRegistrations
        121s found=late/30 => Verifying saved 5s Unknown(new)
        126s               => Verifying search≥2m6s 5s LookingForRegistrations
        136s               => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
        ",
    );
}

/// After a restart the looks are taken again from the beginning: it costs time, never proof.
#[test]
fn a_restart_costs_looking_again() {
    check(
        "
        0s   DRAINING => Verifying saved 30s Settling(1m1s)
        61s           => Verifying 30s SecondLook(1m)
        111s          => Verifying search≥1m1s 5s LookingForRegistrations
        116s restart  => Verifying 30s Settling(1m1s)
        121s          => Verifying 30s Settling(56s)
        126s          => Verifying 30s Settling(51s)
        176s          => Verifying 1s Settling(1s)
        177s          => Verifying 30s SecondLook(1m)
        227s          => Verifying search≥2m57s 5s LookingForRegistrations
        237s          => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
        ",
    );
}

/// A wall clock that jumps cannot shorten the settling.
#[test]
fn a_clock_that_jumps() {
    check(
        "
        0s   DRAINING  => Verifying saved 30s Settling(1m1s)
        5s   clock=+2h => Verifying 30s Settling(56s)
        10s  clock=-2h => Verifying 30s Settling(51s)
        61s            => Verifying 30s SecondLook(1m)
        111s           => Verifying search≥1m1s 5s LookingForRegistrations
        121s           => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
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
        90s  tasks=none targets=none                 => Verifying saved 30s SecondLook(1m)
        140s                                         => Verifying search≥1m30s 5s LookingForRegistrations
        7 writes
        ",
    );
}

/// Of two lists that lag a task can be in neither, while it changes over from the one to the other: the last look begins a
/// minute after the first listing that was late enough. Tasks that are left meanwhile cost nothing more.
#[test]
fn the_last_look_is_a_minute_after_the_first_late_listing() {
    check(
        "
        0s   DRAINING tasks=web:RUNNING => Waiting saved 5s TasksLeft(1)
        61s                             => Waiting 5s TasksLeft(1)
        80s  tasks=none                 => Verifying saved 30s SecondLook(41s)
        125s                            => Verifying search≥1m20s 5s LookingForRegistrations
        135s                            => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
        ",
    );
}

/// A listing that fails later takes nothing from that: what the first one showed is asked for by name.
#[test]
fn a_failed_listing_does_not_begin_that_minute_anew() {
    check(
        "
        0s   DRAINING tasks=web:RUNNING => Waiting saved 5s TasksLeft(1)
        61s                             => Waiting 5s TasksLeft(1)
        100s tasks=?                    => Waiting 5s Unknown(tasks)
        125s tasks=none                 => Verifying saved search≥2m5s 5s LookingForRegistrations
        135s                            => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
        ",
    );
}
