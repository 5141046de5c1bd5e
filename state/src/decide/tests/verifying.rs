//! Verifying: the proof that everything is gone.

use super::fixture::check;
use expect_test::expect;

/// Both lists begin at least 60 s after ECS confirmed that no new task can start, and the targets
/// are read at least 10 s apart.
#[test]
fn two_looks() {
    check(expect![[r#"
        0s   ACTIVE   => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING => Verifying saved search≥1m6s 30s Settling(1m)
        # A second before the settling is over is no look.
        65s           => Verifying search≥1m6s 30s Settling(0s)
        66s           => Verifying 30s SecondLook(1m)
        116s          => Verifying 10s SecondLook(10s)
        125s          => Verifying 1s SecondLook(1s)
        127s          => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
    "#]]);
}

/// A failed read in between breaks the proof: both reads are made again.
#[test]
fn a_failed_look_breaks_the_proof() {
    check(expect![[r#"
        0s   DRAINING found=web/10 targets=web:draining => Verifying saved search≥1m1s 30s TargetsLeft(1)
        70s  targets=none                               => Verifying 30s SecondLook(1m)
        120s                                            => Verifying 10s SecondLook(10s)
        125s targets=?                                  => Verifying 5s SecondLook(5s)
        131s targets=none                               => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
    "#]]);
}

/// A target that comes back (a read that lagged) is waited for, and both reads are made again.
#[test]
fn a_target_comes_back() {
    check(expect![[r#"
        0s   DRAINING found=web/10 targets=web:draining => Verifying saved search≥1m1s 30s TargetsLeft(1)
        70s  targets=none                               => Verifying 30s SecondLook(1m)
        120s                                            => Verifying 10s SecondLook(10s)
        125s targets=web:draining                       => Verifying 30s TargetsLeft(1)
        131s targets=none                               => Verifying 30s SecondLook(54s)
        185s                                            => Verifying 30s SecondLook(0s)
        186s                                            => Verifying 9s SecondLook(9s)
        196s                                            => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
    "#]]);
}

/// A task that comes back is waited for, and both reads are made again.
#[test]
fn a_task_comes_back() {
    check(expect![[r#"
        0s   DRAINING          => Verifying saved search≥1m1s 30s Settling(1m)
        61s                    => Verifying 30s SecondLook(1m)
        111s                   => Verifying 10s SecondLook(10s)
        116s tasks=web:PENDING => Waiting saved 30s TasksLeft(1)
        122s tasks=none        => Verifying saved 30s Settling(54s)
        130s                   => Verifying 30s Settling(46s)
        177s                   => Verifying 30s SecondLook(1m)
        238s                   => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        6 writes
    "#]]);
}

/// An operator undid the DRAINING: it is drained again, and the settling begins anew.
#[test]
fn active_again() {
    check(expect![[r#"
        0s   DRAINING => Verifying saved search≥1m1s 30s Settling(1m)
        61s           => Verifying 30s SecondLook(1m)
        111s          => Verifying 10s SecondLook(10s)
        116s ACTIVE   => Deregistering saved SetDraining(c1) 5s AskedToDrain
        122s DRAINING => Verifying saved search≥3m3s 30s Settling(1m)
        126s          => Verifying search≥3m3s 30s Settling(56s)
        181s          => Verifying search≥3m3s 1s Settling(1s)
        183s          => Verifying 30s SecondLook(1m)
        233s          => Verifying 10s SecondLook(10s)
        244s          => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        6 writes
    "#]]);
}

/// An agent that lost its state registers the instance a second time. The search finds it, and it
/// is drained too, with its own settling.
#[test]
fn a_second_registration_that_is_active() {
    check(expect![[r#"
        0s   DRAINING                            => Verifying saved search≥1m1s 30s Settling(1m)
        61s  DRAINING,ACTIVE                     => Verifying saved 30s Unknown(new)
        111s                                     => Deregistering saved SetDraining(c2) 5s AskedToDrain
        116s                                     => Deregistering SetDraining(c2) 5s AskedToDrain
        122s DRAINING,ACTIVE                     => Deregistering SetDraining(c2) 5s AskedToDrain
        126s DRAINING,DRAINING tasks=web:RUNNING => Waiting saved search≥3m7s 30s TasksLeft(1)
        131s tasks=none                          => Verifying saved search≥3m7s 30s Settling(55s)
        136s                                     => Verifying search≥3m7s 30s Settling(50s)
        187s                                     => Verifying 30s SecondLook(1m)
        237s                                     => Verifying 10s SecondLook(10s)
        248s                                     => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        8 writes
    "#]]);
}

/// A second container instance that is DRAINING already was not seen to take no tasks before this
/// moment: the settling and both reads begin anew.
#[test]
fn a_second_registration_that_drains_already() {
    check(expect![[r#"
        0s   DRAINING          => Verifying saved search≥1m1s 30s Settling(1m)
        61s  DRAINING,DRAINING => Verifying saved 30s Unknown(new)
        111s                   => Verifying search≥2m52s 30s Settling(1m)
        116s                   => Verifying search≥2m52s 30s Settling(55s)
        122s                   => Verifying search≥2m52s 30s Settling(49s)
        126s                   => Verifying search≥2m52s 30s Settling(45s)
        182s                   => Verifying 30s SecondLook(1m)
        232s                   => Verifying 10s SecondLook(10s)
        237s                   => Verifying 5s SecondLook(5s)
        243s                   => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
    "#]]);
}

/// The search must have begun after no new task could start; while it fails nothing is completed.
#[test]
fn no_completion_without_the_search() {
    check(expect![[r#"
        0s   DRAINING search=fails => Verifying saved search≥1m1s 30s Settling(1m)
        61s                        => Verifying search≥1m1s 30s SecondLook(1m)
        111s                       => Verifying search≥1m1s 10s SecondLook(10s)
        122s                       => Verifying search≥1m1s 30s LookingForRegistrations
        10m                        => Verifying saved search≥1m1s 30s LookingForRegistrations
        11m  search=works          => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
    "#]]);
}

/// A target that is only found now (its service's last task stopped recently) is read before
/// completion.
#[test]
fn an_obligation_found_late() {
    check(expect![[r#"
        0s   DRAINING                            => Verifying saved search≥1m1s 30s Settling(1m)
        61s                                      => Verifying 30s SecondLook(1m)
        111s                                     => Verifying 10s SecondLook(10s)
        116s found=late/30 targets=late:draining => Verifying saved 30s TargetsLeft(1)
        122s                                     => Verifying 30s TargetsLeft(1)
        126s targets=none                        => Verifying 30s SecondLook(50s)
        176s                                     => Verifying 30s SecondLook(0s)
        177s                                     => Verifying 9s SecondLook(9s)
        187s                                     => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
    "#]]);
}

/// The same, if it is gone by the time it is found: both reads begin with the first one of this
/// target.
#[test]
fn an_obligation_found_late_and_gone() {
    check(expect![[r#"
        0s   DRAINING      => Verifying saved search≥1m1s 30s Settling(1m)
        61s                => Verifying 30s SecondLook(1m)
        111s               => Verifying 10s SecondLook(10s)
        122s found=late/30 => Verifying saved 30s SecondLook(1m)
        126s               => Verifying 30s SecondLook(56s)
        182s               => Verifying 30s SecondLook(0s)
        183s               => Verifying 9s SecondLook(9s)
        193s               => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
    "#]]);
}

/// After a restart the reads are made again from the beginning: it costs time, never proof.
#[test]
fn a_restart_costs_looking_again() {
    check(expect![[r#"
        0s   DRAINING => Verifying saved search≥1m1s 30s Settling(1m)
        61s           => Verifying 30s SecondLook(1m)
        111s          => Verifying 10s SecondLook(10s)
        116s restart  => Verifying search≥2m57s 30s Settling(1m)
        122s          => Verifying search≥2m57s 30s Settling(54s)
        126s          => Verifying search≥2m57s 30s Settling(50s)
        176s          => Verifying search≥2m57s 30s Settling(0s)
        177s          => Verifying 30s SecondLook(1m)
        227s          => Verifying 10s SecondLook(10s)
        238s          => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
    "#]]);
}

/// A jump of the wall clock cannot shorten the settling.
#[test]
fn a_clock_that_jumps() {
    check(expect![[r#"
        0s   DRAINING  => Verifying saved search≥1m1s 30s Settling(1m)
        5s   clock=+2h => Verifying search≥1m1s 30s Settling(55s)
        10s  clock=-2h => Verifying search≥1m1s 30s Settling(50s)
        61s            => Verifying 30s SecondLook(1m)
        111s           => Verifying 10s SecondLook(10s)
        122s           => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
    "#]]);
}

/// A target that is not being deregistered can belong to a second container instance that the
/// record does not know. That one's own task keeps the proof, and with it its search, from ever
/// coming: so it is searched for.
#[test]
fn a_target_in_service_makes_it_look_for_another_registration() {
    check(expect![[r#"
        0s   ACTIVE found=web/60 targets=web:healthy => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                => Verifying saved search≥6s 30s TargetsLeft(1)
        10s  DRAINING,ACTIVE                         => Verifying saved search≥1m6s 30s Unknown(new)
        15s                                          => Deregistering saved SetDraining(c2) 5s AskedToDrain
        20s  DRAINING,DRAINING tasks=log:RUNNING     => Waiting saved search≥1m21s 30s TasksLeft(1)
        90s  tasks=none targets=none                 => Verifying saved 30s SecondLook(1m)
        140s                                         => Verifying 10s SecondLook(10s)
        151s                                         => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        9 writes
    "#]]);
}

/// While a task passes from one list to the other, two lists that lag can both miss it. So the last
/// read begins a minute after the first list that was late enough. Tasks that are left meanwhile
/// cost nothing more.
#[test]
fn the_last_look_is_a_minute_after_the_first_late_listing() {
    check(expect![[r#"
        0s   DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        61s                             => Waiting 30s TasksLeft(1)
        80s  tasks=none                 => Verifying saved 30s SecondLook(41s)
        121s                            => Verifying 30s SecondLook(0s)
        122s                            => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
    "#]]);
}

/// A list that fails later does not undo that: the tasks of the first one are described by name.
#[test]
fn a_failed_listing_does_not_begin_that_minute_anew() {
    check(expect![[r#"
        0s   DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        61s                             => Waiting 30s TasksLeft(1)
        100s tasks=?                    => Waiting 30s TasksLeft(1)
        125s tasks=none                 => Verifying saved 30s SecondLook(0s)
        135s                            => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
    "#]]);
}
