//! Groups with `TerminateHookAbandon: retain`: an abandoned instance is retained.

use super::fixture::check;
use expect_test::expect;

/// Retained until someone terminates it; then it is not abandoned a second time.
#[test]
fn kept_until_someone_terminates_it() {
    check(expect![[r#"
        policy deadline=10m at-deadline=abandon
        0s   ACTIVE tasks=web:RUNNING retains=yes   => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                               => Waiting saved search≥1m6s 30s TasksLeft(1)
        11m                                         => Completing saved Complete(ABANDON,Abandoned) 10s Completing; accepted: Completing
        671s answer=no-active                       => Completing Complete(ABANDON,Abandoned) 10s Completing; no-active: Completing
        690s group=Terminating:Retained             => Completing saved 10s Retained
        2h                                          => Completing 10s Retained
        3h   group=Terminating:Wait answer=accepted => Completing 10s Retained
        10860s                                      => Completing 10s Retained
        10861s                                      => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; accepted: Done(TimedOut)
        10866s                                      => Done(TimedOut)
        9 writes
    "#]]);
}

/// Its deadline has passed: it is released at once, even if it was drained meanwhile.
#[test]
fn let_go_at_once_when_someone_terminates_it() {
    check(expect![[r#"
        policy deadline=10m at-deadline=abandon
        0s   ACTIVE tasks=web:RUNNING retains=yes  => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                              => Waiting saved search≥1m6s 30s TasksLeft(1)
        11m                                        => Completing saved Complete(ABANDON,Abandoned) 10s Completing; accepted: Completing
        690s group=Terminating:Retained tasks=none => Completing saved 10s Retained
        3h   group=Terminating:Wait                => Completing 10s Retained
        10861s                                     => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        10866s                                     => Done(Drained)
        8 writes
    "#]]);
}

/// A wait that is read late is the old one.
#[test]
fn a_late_read_of_the_old_wait() {
    check(expect![[r#"
        policy deadline=10m at-deadline=abandon
        0s   ACTIVE tasks=web:RUNNING retains=yes => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                             => Waiting saved search≥1m6s 30s TasksLeft(1)
        11m                                       => Completing saved Complete(ABANDON,Abandoned) 10s Completing; accepted: Completing
        690s group=Terminating:Retained           => Completing saved 10s Retained
        700s group=Terminating:Wait               => Completing 10s Retained
        6 writes
    "#]]);
}

/// A group that does not retain it: over as soon as Auto Scaling accepts.
#[test]
fn a_group_that_does_not_keep_it() {
    check(expect![[r#"
        policy deadline=10m at-deadline=abandon
        0s   ACTIVE tasks=web:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                 => Waiting saved search≥1m6s 30s TasksLeft(1)
        11m                           => Completing saved Complete(ABANDON,Abandoned) 10s Completing; accepted: Done(Abandoned)
        5 writes
    "#]]);
}

/// Terminated by EC2 itself while it was retained.
#[test]
fn gone_while_it_was_kept() {
    check(expect![[r#"
        policy deadline=10m at-deadline=abandon
        0s   ACTIVE tasks=web:RUNNING retains=yes => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                             => Waiting saved search≥1m6s 30s TasksLeft(1)
        11m                                       => Completing saved Complete(ABANDON,Abandoned) 10s Completing; accepted: Completing
        690s group=Terminating:Retained           => Completing saved 10s Retained
        700s INACTIVE group=absent                => Completing 10s Retained
        710s                                      => Done(Abandoned) saved
        7 writes
    "#]]);
}

/// A group retains no instance that waits for a new root volume: it comes back, whatever the
/// result.
#[test]
fn a_new_root_volume_is_not_kept() {
    check(expect![[r#"
        policy kind=replaces-root-volume deadline=10m at-deadline=abandon
        0s   ACTIVE tasks=web:RUNNING retains=yes group=ReplacingRootVolume:Wait => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                                            => Waiting saved search≥1m6s 30s TasksLeft(1)
        601s                                                                     => Completing saved Complete(ABANDON,Abandoned) 10s Completing; accepted: Returning
        611s group=InService                                                     => Returning SetActive(c1) 5s AskedToReturn
        616s ACTIVE                                                              => Returning SetActive(c1) 5s AskedToReturn
        5 writes
    "#]]);
}

/// An instance that returns to its warm pool may be retained; if the group shows that it was not,
/// it comes back.
#[test]
fn one_that_is_in_its_warm_pool_was_not_kept() {
    check(expect![[r#"
        policy kind=returns-to-warm-pool deadline=10m at-deadline=abandon
        0s   ACTIVE tasks=web:RUNNING retains=yes group=Warmed:Pending:Wait => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                                       => Waiting saved search≥1m6s 30s TasksLeft(1)
        601s                                                                => Completing saved Complete(ABANDON,Abandoned) 10s Completing; accepted: Completing
        611s answer=no-active                                               => Completing Complete(ABANDON,Abandoned) 10s Completing; no-active: Completing
        621s group=Warmed:Stopped                                           => Returning saved 1m WaitingForReturn(Warmed:Stopped)
        10h  group=InService                                                => Returning saved SetActive(c1) 5s AskedToReturn
        36005s ACTIVE                                                       => Done(Abandoned) saved
        9 writes
    "#]]);
}
