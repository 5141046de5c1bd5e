//! Endings that the world can cause in any phase.

use super::fixture::check;
use expect_test::expect;

/// "Gone" needs two complete passes: in no group, and lost to ECS.
#[test]
fn the_instance_is_gone() {
    check(expect![[r#"
        0s  ACTIVE tasks=web:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  MISSING group=absent     => Waiting saved search≥1m6s 30s LongestDelay(5m)
        10s                          => Done(InstanceGone) saved
        4 writes
    "#]]);
}

/// Once no group has it, a disconnected agent counts like a missing container instance.
#[test]
fn gone_with_its_agent_away() {
    check(expect![[r#"
        0s  DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s  DRAINING! group=absent     => Waiting search≥1m6s 30s TasksLeft(1)
        10s                            => Done(InstanceGone) saved
        3 writes
    "#]]);
}

/// No group terminates it: it was detached, or never had a group. Its agent disconnects and
/// reconnects several times an hour.
#[test]
fn detached_with_its_agent_away() {
    check(expect![[r#"
        policy then=keep
        0s   DRAINING tasks=web:RUNNING group=InService => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s   DRAINING! group=absent                     => Waiting search≥1m6s 30s TasksLeft(1)
        10s                                             => Waiting search≥1m6s 30s TasksLeft(1)
        70s  DRAINING                                   => Waiting 30s TasksLeft(1)
        100s  DRAINING!                                 => Waiting search≥2m41s 30s TasksLeft(1)
        690s                                            => Waiting 30s TasksLeft(1)
        710s                                            => Waiting 30s TasksLeft(1)
        2 writes
    "#]]);
}

/// A failed read in between neither counts nor breaks the run; being seen breaks it.
#[test]
fn gone_needs_complete_passes() {
    check(expect![[r#"
        0s  DRAINING tasks=web:RUNNING       => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s ci=? group=absent                 => Waiting search≥1m1s 30s TasksLeft(1)
        10s group=? DRAINING!                => Waiting search≥1m11s 30s TasksLeft(1)
        15s group=absent ci=?                => Waiting search≥1m11s 30s TasksLeft(1)
        20s group=Terminating:Wait DRAINING! => Waiting search≥1m11s 30s TasksLeft(1)
        25s group=absent                     => Waiting search≥1m11s 30s TasksLeft(1)
        30s group=?                          => Waiting search≥1m11s 30s TasksLeft(1)
        35s group=absent                     => Done(InstanceGone) saved
        3 writes
    "#]]);
}

/// Groups are read for all drains at once, and less often than a pass: the same answer counts once.
#[test]
fn the_same_answer_does_not_count_twice() {
    check(expect![[r#"
        0s  DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s  DRAINING! group=absent     => Waiting search≥1m6s 30s TasksLeft(1)
        10s same-group                 => Waiting search≥1m6s 30s TasksLeft(1)
        15s                            => Done(InstanceGone) saved
        3 writes
    "#]]);
}

/// In no group, but its agent is connected: the answers contradict each other, and it is held.
#[test]
fn detached_but_alive_is_not_gone() {
    check(expect![[r#"
        0s  DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s  group=absent               => Waiting search≥1m1s 30s TasksLeft(1)
        10s                            => Waiting search≥1m1s 30s TasksLeft(1)
        2 writes
    "#]]);
}

/// Gone before anything was done to it, and while it is in no cluster.
#[test]
fn gone_in_pending() {
    check(expect![[r#"
        0s ci=none group=absent => Pending search≥1s 30s NotInCluster(10m)
        5s                      => Done(InstanceGone) saved
        2 writes
    "#]]);
}

/// Gone while the action was being completed: it ends with the intended outcome.
#[test]
fn gone_while_completing() {
    check(expect![[r#"
        0s   DRAINING                     => Verifying saved search≥1m1s 30s Settling(1m)
        61s                               => Verifying 30s SecondLook(1m)
        111s                              => Verifying 10s SecondLook(10s)
        122s dies-after-save              => Completing saved Complete(CONTINUE,Drained) 10s Completing
        130s tasks=? group=absent MISSING => Completing search≥3m11s 10s Completing
        135s                              => Done(Drained) saved
        4 writes
    "#]]);
}

/// The wait was lost: another hook abandoned it, or the ecs-drain hook was deleted. Two passes must
/// show it, without a saved intent.
#[test]
fn the_wait_is_lost() {
    check(expect![[r#"
        0s  ACTIVE tasks=web:RUNNING           => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  DRAINING group=Terminating:Proceed => Waiting saved search≥1m6s 30s TasksLeft(1)
        10s group=Terminating:Wait             => Waiting search≥1m6s 30s TasksLeft(1)
        15s group=Terminating:Proceed          => Waiting search≥1m6s 30s TasksLeft(1)
        20s group=?                            => Waiting search≥1m6s 30s TasksLeft(1)
        25s group=Terminated                   => Done(WaitLost) saved
        4 writes
    "#]]);
}

/// The same answer counts once here too.
#[test]
fn the_same_answer_does_not_lose_the_wait() {
    check(expect![[r#"
        0s  DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s  group=Terminating:Proceed  => Waiting search≥1m1s 30s TasksLeft(1)
        10s same-group                 => Waiting search≥1m1s 30s TasksLeft(1)
        15s                            => Done(WaitLost) saved
        3 writes
    "#]]);
}

/// A group that retains instances of abandoned hooks shows them as Retained: the wait is over.
#[test]
fn the_wait_is_lost_and_the_instance_retained() {
    check(expect![[r#"
        0s  DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s  group=Terminating:Retained => Waiting search≥1m1s 30s TasksLeft(1)
        10s                            => Done(WaitLost) saved
        3 writes
    "#]]);
}

/// Past the wait with a saved intent: the call was made and its answer lost. One pass is enough.
#[test]
fn completed_and_the_answer_lost() {
    check(expect![[r#"
        0s   DRAINING                          => Verifying saved search≥1m1s 30s Settling(1m)
        61s                                    => Verifying 30s SecondLook(1m)
        111s                                   => Verifying 10s SecondLook(10s)
        122s answer=error                      => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        131s group=Terminating:Proceed tasks=? => Done(Drained) saved
        5 writes
    "#]]);
}

/// Seen past the wait in the very pass that finds the proof: the action is over, but not by
/// ecs-drain. Nothing is called or claimed.
#[test]
fn past_the_wait_at_the_moment_of_the_proof() {
    check(expect![[r#"
        0s   DRAINING                  => Verifying saved search≥1m1s 30s Settling(1m)
        61s                            => Verifying 30s SecondLook(1m)
        111s                           => Verifying 10s SecondLook(10s)
        122s group=Terminating:Proceed => Verifying 30s Unknown(the group shows it past the wait, and ecs-drain did not release it)
        126s                           => Done(WaitLost) saved
        3 writes
    "#]]);
}

/// Seen past the wait in the very pass that reaches the deadline: nothing is called either.
#[test]
fn past_the_wait_at_the_deadline() {
    check(expect![[r#"
        policy deadline=10m at-deadline=abandon
        0s   DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        600s group=Terminating:Proceed  => Waiting saved 30s Unknown(the group shows it past the wait, and ecs-drain did not release it)
        605s                            => Done(WaitLost) saved
        4 writes
    "#]]);
}

/// A state that is newer than this program is not past the wait.
#[test]
fn an_unknown_lifecycle_state_ends_nothing() {
    check(expect![[r#"
        0s  DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s  group=Terminating:Thinking => Waiting search≥1m1s 30s TasksLeft(1)
        10s                            => Waiting search≥1m1s 30s TasksLeft(1)
        2 writes
    "#]]);
}

/// It was past the wait, and then it was gone: not by ecs-drain.
#[test]
fn past_the_wait_and_gone() {
    check(expect![[r#"
        0s  ACTIVE tasks=web:RUNNING  => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  DRAINING                  => Waiting saved search≥1m6s 30s TasksLeft(1)
        10s group=Terminating:Proceed => Waiting search≥1m6s 30s TasksLeft(1)
        15s MISSING group=absent      => Waiting search≥1m16s 30s LongestDelay(5m)
        20s                           => Done(WaitLost) saved
        4 writes
    "#]]);
}
