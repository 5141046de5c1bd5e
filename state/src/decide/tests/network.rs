//! Network load balancers, which can send new connections for a while after a target was
//! deregistered; and targets that come back.

use super::fixture::check;
use expect_test::expect;

/// Two minutes from when it was first seen to leave.
#[test]
fn two_minutes_from_the_first_sight() {
    check(expect![[r#"
        0s   ACTIVE tasks=web:RUNNING found=net-web/30 targets=net-web:healthy => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                                          => Waiting saved search≥1m6s 30s TasksLeft(1)
        30s  targets=net-web:draining                                          => Waiting saved search≥1m6s 30s TasksLeft(1)
        70s  tasks=none targets=none                                           => Verifying saved 30s NetworkSettling(1m20s)
        140s                                                                   => Verifying saved 10s NetworkSettling(10s)
        149s                                                                   => Verifying 1s NetworkSettling(1s)
        151s                                                                   => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        8 writes
    "#]]);
}

/// A new process has not seen it leave; the record has the time that earlier ones have watched.
#[test]
fn a_restart_does_not_begin_it_again() {
    check(expect![[r#"
        0s   ACTIVE found=net-web/30 targets=net-web:draining => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                         => Verifying saved search≥1m6s 30s TargetsLeft(1)
        40s                                                   => Verifying saved search≥1m6s 30s TargetsLeft(1)
        70s  targets=none                                     => Verifying saved 30s NetworkSettling(50s)
        100s restart                                          => Verifying search≥2m41s 30s NetworkSettling(50s)
        151s                                                  => Verifying saved search≥2m41s 9s Settling(9s)
        162s                                                  => Verifying 30s SecondLook(1m)
        212s                                                  => Verifying 10s SecondLook(10s)
        223s                                                  => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        8 writes
    "#]]);
}

/// Unwatched time does not count, whatever the wall clock shows.
#[test]
fn what_nobody_watched_does_not_count() {
    check(expect![[r#"
        0s   ACTIVE found=net-web/30 targets=net-web:draining => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                         => Verifying saved search≥1m6s 30s TargetsLeft(1)
        600s targets=none restart                             => Verifying saved search≥11m1s 30s NetworkSettling(1m55s)
        4 writes
    "#]]);
}

/// A jump of the wall clock makes the time neither shorter nor longer, in this process or the next.
#[test]
fn a_wall_clock_that_jumps_changes_nothing() {
    check(expect![[r#"
        0s   ACTIVE found=net-web/30 targets=net-web:draining => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                         => Verifying saved search≥1m6s 30s TargetsLeft(1)
        40s  clock=+1h                                        => Verifying saved search≥1m6s 30s TargetsLeft(1)
        70s  targets=none restart                             => Verifying search≥2m11s 30s NetworkSettling(1m20s)
        100s clock=-1h                                        => Verifying saved search≥2m11s 30s NetworkSettling(50s)
        5 writes
    "#]]);
}

/// The policy can switch the time off.
#[test]
fn none_by_policy() {
    check(expect![[r#"
        policy network-settle=0s
        0s   ACTIVE found=net-web/30 targets=net-web:draining => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                         => Verifying saved search≥1m6s 30s TargetsLeft(1)
        66s  targets=none                                     => Verifying 30s SecondLook(1m)
        116s                                                  => Verifying 10s SecondLook(10s)
        121s                                                  => Verifying 5s SecondLook(5s)
        127s                                                  => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
    "#]]);
}

/// A target that comes back sends the drain from Verifying to Waiting: once, not at every read.
#[test]
fn a_target_that_comes_back() {
    check(expect![[r#"
        0s   ACTIVE found=web/60 targets=web:draining => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                 => Verifying saved search≥1m6s 30s TargetsLeft(1)
        10s  targets=web:healthy                      => Waiting saved search≥1m6s 30s TargetsLeft(1)
        15s                                           => Verifying saved search≥16s 30s TargetsLeft(1)
        20s                                           => Verifying search≥1m6s 30s TargetsLeft(1)
        25s  targets=web:draining                     => Verifying search≥1m6s 30s TargetsLeft(1)
        30s  targets=web:healthy                      => Waiting saved search≥1m6s 30s TargetsLeft(1)
        6 writes
    "#]]);
}

/// A target that was never seen registered may have been registered until its task had stopped,
/// whatever was read before: a read that lags shows the time before the registration.
#[test]
fn a_target_that_was_never_seen_leaves_when_its_task_has_stopped() {
    check(expect![[r#"
        0s   ACTIVE tasks=web:RUNNING found=net-web/20 targets=none => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                               => Waiting saved search≥1m6s 30s TasksLeft(1)
        300s                                                        => Waiting saved 30s TasksLeft(1)
        330s tasks=none                                             => Verifying saved 30s NetworkSettling(2m)
        391s                                                        => Verifying saved 30s NetworkSettling(59s)
        410s                                                        => Verifying 30s NetworkSettling(40s)
        440s                                                        => Verifying saved 10s NetworkSettling(10s)
        460s                                                        => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        9 writes
    "#]]);
}
