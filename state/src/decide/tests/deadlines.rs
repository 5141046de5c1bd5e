//! Deadlines: the policy's action once they have passed, and never before.

use super::fixture::check;
use expect_test::expect;

/// `continue`: released with the outcome TimedOut, by complete reads that began after the deadline.
#[test]
fn let_go_at_the_deadline() {
    check(expect![[r#"
        policy deadline=10m at-deadline=continue
        0s    ACTIVE tasks=web:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s    DRAINING                 => Waiting saved search≥1m6s 30s TasksLeft(1)
        # It ends after the deadline, but began before it.
        599s                           => Waiting 30s TasksLeft(1)
        600s                           => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; accepted: Done(TimedOut)
        5 writes
    "#]]);
}

/// `abandon`: the same with ABANDON.
#[test]
fn abandoned_at_the_deadline() {
    check(expect![[r#"
        policy deadline=10m at-deadline=abandon
        0s    DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        600s                             => Completing saved Complete(ABANDON,Abandoned) 10s Completing; accepted: Done(Abandoned)
        4 writes
    "#]]);
}

/// `hold`, the default: the reason shows it, and the drain continues as before.
#[test]
fn held_past_the_deadline() {
    check(expect![[r#"
        policy deadline=10m standalone=60s
        0s   DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        600s                            => Waiting saved 30s HeldPastDeadline(TasksLeft(1))
        605s tasks=standalone:RUNNING   => Waiting saved StopTask(t2) 5s HeldPastDeadline(TasksLeft(1))
        610s tasks=none                 => Verifying saved 30s HeldPastDeadline(SecondLook(50s))
        650s                            => Verifying 10s HeldPastDeadline(SecondLook(10s))
        655s                            => Verifying 5s HeldPastDeadline(SecondLook(5s))
        661s                            => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        7 writes
    "#]]);
}

/// A deadline acts in every phase before Completing: in Pending.
#[test]
fn the_deadline_in_pending() {
    check(expect![[r#"
        policy deadline=10m at-deadline=continue
        0s    ci=none => Pending search≥1s 30s NotInCluster(10m)
        600s          => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; accepted: Done(TimedOut)
        3 writes
    "#]]);
}

/// In Deregistering.
#[test]
fn the_deadline_in_deregistering() {
    check(expect![[r#"
        policy deadline=10m at-deadline=continue
        0s    ACTIVE => Deregistering saved SetDraining(c1) 5s AskedToDrain
        600s         => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; accepted: Done(TimedOut)
        4 writes
    "#]]);
}

/// In Verifying.
#[test]
fn the_deadline_in_verifying() {
    check(expect![[r#"
        policy deadline=10m at-deadline=continue
        0s    DRAINING found=web/60 targets=web:draining => Verifying saved search≥1m1s 30s TargetsLeft(1)
        70s                                              => Verifying 30s TargetsLeft(1)
        600s                                             => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; accepted: Done(TimedOut)
        4 writes
    "#]]);
}

/// A drain that is proved at its deadline ends as Drained.
#[test]
fn proven_at_the_deadline() {
    check(expect![[r#"
        policy deadline=121s at-deadline=continue
        0s   DRAINING => Verifying saved search≥1m1s 30s Settling(1m)
        proof         => 121s Completing saved Complete(CONTINUE,TimedOut) 10s Completing; accepted: Done(TimedOut)
        4 writes
    "#]]);
}

/// Without complete reads, it is held past the deadline until the hook's global timeout (6000 s)
/// less the margin (300 s).
#[test]
fn blind_past_the_deadline() {
    check(expect![[r#"
        policy deadline=10m at-deadline=continue
        0s    DRAINING tasks=web:RUNNING found=web/60 targets=web:healthy => Waiting saved search≥1m1s 30s TasksLeft(1)
        600s group=? ci=? tasks=? targets=?                               => Waiting saved 30s Unknown(ci)
        605s  group=Terminating:Wait                                      => Waiting 30s Unknown(ci)
        610s DRAINING                                                     => Waiting 30s TasksLeft(1)
        615s tasks=web:RUNNING                                            => Waiting 30s TasksLeft(1)
        620s same-group                                                   => Waiting 30s TasksLeft(1)
        5698s                                                             => Waiting saved 1s TasksLeft(1)
        5699s                                                             => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; accepted: Done(TimedOut)
        6 writes
    "#]]);
}

/// Reads are not complete while something that was found was not read.
#[test]
fn a_new_registration_at_the_deadline_is_looked_at_first() {
    check(expect![[r#"
        policy deadline=10m at-deadline=continue
        0s    DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        600s found=late/60 targets=?     => Waiting saved 30s TasksLeft(1)
        605s  targets=late:healthy       => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; accepted: Done(TimedOut)
        5 writes
    "#]]);
}

/// Without a deadline nothing acts at the margin: the hook's default result decides, as the record
/// shows.
#[test]
fn blind_without_a_deadline() {
    check(expect![[r#"
        policy at-deadline=continue
        0s    DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        5800s tasks=?                    => Waiting 30s TasksLeft(1)
        2 writes
    "#]]);
}

/// `hold` holds to the end, with and without complete reads.
#[test]
fn blind_and_held() {
    check(expect![[r#"
        policy deadline=10m at-deadline=hold
        0s    DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        5800s tasks=?                    => Waiting saved 30s HeldPastDeadline(TasksLeft(1))
        3 writes
    "#]]);
}

/// An operator extends the deadline while the action is being completed: the intent is dropped.
#[test]
fn extended_while_completing() {
    check(expect![[r#"
        policy deadline=10m at-deadline=continue
        0s    DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        600s  answer=error               => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; error: Completing
        610s  deadline=20m               => Waiting saved 30s TasksLeft(1)
        615s                             => Waiting 30s TasksLeft(1)
        1200s answer=accepted            => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; accepted: Done(TimedOut)
        7 writes
    "#]]);
}

/// An operator removes the deadline meanwhile: the same.
#[test]
fn taken_away_while_completing() {
    check(expect![[r#"
        policy deadline=10m at-deadline=continue
        0s    DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        600s  answer=error               => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; error: Completing
        610s  deadline=none              => Waiting saved 30s TasksLeft(1)
        615s                             => Waiting 30s TasksLeft(1)
        5 writes
    "#]]);
}

/// The evidence for TimedOut is the deadline: the call is repeated without reads, even while tasks
/// run.
#[test]
fn told_again_blind() {
    check(expect![[r#"
        policy deadline=10m at-deadline=continue
        0s    DRAINING tasks=web:RUNNING             => Waiting saved search≥1m1s 30s TasksLeft(1)
        600s  answer=error                           => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; error: Completing
        610s  ci=? tasks=? targets=? found=? group=? => Completing Complete(CONTINUE,TimedOut) 10s Completing; error: Completing
        620s  answer=accepted                        => Completing Complete(CONTINUE,TimedOut) 10s Completing; accepted: Done(TimedOut)
        6 writes
    "#]]);
}

/// Timed out in no cluster, then extended: it is still in no cluster, and is released by that rule,
/// not called drained.
#[test]
fn extended_while_in_no_cluster() {
    check(expect![[r#"
        policy deadline=1m at-deadline=continue
        0s    ci=none                     => Pending search≥1s 30s NotInCluster(10m)
        60s   answer=error                => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; error: Completing
        70s   deadline=1h answer=accepted => Waiting saved search≥2m1s 30s NotInCluster(9m49s)
        75s                               => Waiting search≥2m1s 30s NotInCluster(9m44s)
        135s                              => Waiting search≥3m16s 30s NotInCluster(8m44s)
        200s                              => Waiting search≥4m21s 30s NotInCluster(7m39s)
        665s                              => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing; accepted: Done(NotInCluster)
        6 writes
    "#]]);
}

/// "In no cluster" counts at the deadline only by a search that was made after it had passed.
#[test]
fn in_no_cluster_acts_on_a_search_made_after_it_passed() {
    check(expect![[r#"
        policy deadline=2m at-deadline=abandon not-in-cluster=hold
        0s   ci=none      => Pending search≥1s 30s HeldNotInCluster
        5s                => Pending search≥1m6s 30s HeldNotInCluster
        66s  search=fails => Pending search≥1m7s 30s HeldNotInCluster
        121s              => Pending search≥2m2s 30s HeldNotInCluster
        130s              => Pending search≥2m11s 30s HeldNotInCluster
        200s search=works => Completing saved Complete(ABANDON,Abandoned) 10s Completing; accepted: Done(Abandoned)
        210s              => Done(Abandoned)
        3 writes
    "#]]);
}
