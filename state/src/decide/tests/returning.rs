//! Instances that live on after the wait: warm pools, new root volumes.

use super::fixture::{Played, check, check_needs, show};
use crate::time::Mono;
use expect_test::expect;

/// Once the group shows it in service, the DRAINING set by ecs-drain is undone, even while its
/// agent is disconnected: the agent of a new root volume may have registered anew.
#[test]
fn back_from_the_warm_pool() {
    check(expect![[r#"
        policy kind=returns-to-warm-pool
        0s     ACTIVE group=Warmed:Pending:Wait => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s     DRAINING                         => Verifying saved search≥1m6s 30s Settling(1m)
        proof                                   => 127s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Returning
        130s   DRAINING! group=Warmed:Stopped   => Returning 1m WaitingForReturn(Warmed:Stopped)
        10h    group=InService                  => Returning saved SetActive(c1) 5s AskedToReturn
        36055s DRAINING                         => Returning SetActive(c1) 5s AskedToReturn
        36060s                                  => Returning SetActive(c1) 5s AskedToReturn
        36065s ACTIVE                           => Done(Drained) saved
        7 writes
    "#]]);
}

/// A DRAINING that ecs-drain did not set is left as it is: done at once.
#[test]
fn a_draining_that_is_not_ours_is_left() {
    check(expect![[r#"
        policy kind=replaces-root-volume
        0s   DRAINING group=ReplacingRootVolume:Wait => Verifying saved search≥1m1s 30s Settling(1m)
        proof                                        => 122s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
    "#]]);
}

/// Of two container instances only the DRAINING set by ecs-drain is undone.
#[test]
fn only_ours_is_undone() {
    check(expect![[r#"
        policy kind=replaces-root-volume opened=2
        0s   ACTIVE,DRAINING group=ReplacingRootVolume:Wait => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING,DRAINING                              => Verifying saved search≥1m6s 30s Settling(1m)
        proof                                               => 127s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Returning
        130s group=InService                                => Returning SetActive(c1) 5s AskedToReturn
        135s ACTIVE,DRAINING                                => Done(Drained) saved
        6 writes
    "#]]);
}

/// Of two that ecs-drain set to DRAINING, the one that is back already gets no further request.
#[test]
fn what_is_back_is_not_undone_again() {
    check(expect![[r#"
        policy kind=replaces-root-volume opened=2
        0s   ACTIVE,ACTIVE group=ReplacingRootVolume:Wait => Deregistering saved SetDraining(c1) SetDraining(c2) 5s AskedToDrain
        5s   DRAINING,DRAINING                            => Verifying saved search≥1m6s 30s Settling(1m)
        proof                                             => 127s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Returning
        130s group=InService                              => Returning SetActive(c1) SetActive(c2) 5s AskedToReturn
        135s ACTIVE,DRAINING                              => Returning SetActive(c2) 5s AskedToReturn
        140s ACTIVE,ACTIVE                                => Done(Drained) saved
        6 writes
    "#]]);
}

/// A container instance that was deregistered, or lost, cannot be set back: the agent registers
/// anew, as ACTIVE.
#[test]
fn a_deregistered_one_is_not_undone() {
    check(expect![[r#"
        policy kind=returns-to-warm-pool strategy=deregister
        0s   ACTIVE group=Warmed:Pending:Wait => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                         => Deregistering 30s ListsOnceMore(1m)
        66s                                   => Deregistering 30s ListsOnceMore(1m)
        127s                                  => Deregistering saved Deregister(c1) 5s AskedToDeregister
        131s MISSING                          => Verifying saved search≥3m12s 30s LookingForRegistrations
        192s                                  => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Returning
        201s group=InService                  => Done(Drained) saved
        7 writes
    "#]]);
}

/// Past the wait is no ending for an instance that lives on: it is completed (`No active`), then
/// returned.
#[test]
fn the_answer_is_lost() {
    check(expect![[r#"
        policy kind=returns-to-warm-pool
        0s   ACTIVE group=Warmed:Pending:Wait      => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                              => Verifying saved search≥1m6s 30s Settling(1m)
        66s                                        => Verifying 30s SecondLook(1m)
        116s                                       => Verifying 10s SecondLook(10s)
        127s dies-after-save                       => Completing saved Complete(CONTINUE,Drained) 10s Completing
        130s group=Warmed:Stopped answer=no-active => Completing search≥3m11s 10s Completing
        135s                                       => Completing search≥3m11s 10s Completing
        191s                                       => Completing 10s Completing
        252s                                       => Completing Complete(CONTINUE,Drained) 10s Completing; no-active: Returning
        5 writes
    "#]]);
}

/// It is terminated from the pool: gone, as intended.
#[test]
fn terminated_from_the_pool() {
    check(expect![[r#"
        policy kind=returns-to-warm-pool
        0s   ACTIVE group=Warmed:Pending:Wait => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                         => Verifying saved search≥1m6s 30s Settling(1m)
        proof                                 => 127s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Returning
        130s MISSING group=absent             => Returning 1m WaitingForReturn(in no group)
        135s                                  => Done(Drained) saved
        6 writes
    "#]]);
}

/// A new wait of another kind ends the return: the instance will not come back, and the new action
/// opens a drain of its own.
#[test]
fn a_new_wait_from_the_pool() {
    check(expect![[r#"
        policy kind=returns-to-warm-pool
        0s   ACTIVE group=Warmed:Pending:Wait => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                         => Verifying saved search≥1m6s 30s Settling(1m)
        proof                                 => 127s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Returning
        130s group=Warmed:Pending:Wait        => Returning 1m WaitingForReturn(Warmed:Pending:Wait)
        135s group=Warmed:Stopped             => Returning 1m WaitingForReturn(Warmed:Stopped)
        140s group=Warmed:Terminating:Wait    => Done(Drained) saved
        6 writes
    "#]]);
}

/// Nothing is undone without reads.
#[test]
fn nothing_is_undone_blind() {
    check(expect![[r#"
        policy kind=returns-to-warm-pool
        0s   ACTIVE group=Warmed:Pending:Wait => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                         => Verifying saved search≥1m6s 30s Settling(1m)
        proof                                 => 127s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Returning
        130s group=?                          => Returning 30s Unknown(group)
        135s group=InService ci=?             => Returning SetActive(c1) 5s AskedToReturn
        5 writes
    "#]]);
}

/// The ecs-drain hook was deleted during the wait, say, and the instance serves again: the drain
/// ends, and its DRAINING is undone. "In service" counts only once it cannot have been read from
/// before the wait.
#[test]
fn the_wait_was_lost_and_it_serves_again() {
    check(expect![[r#"
        policy kind=replaces-root-volume
        0s   ACTIVE tasks=web:RUNNING group=ReplacingRootVolume:Wait => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                                => Waiting saved search≥1m6s 30s TasksLeft(1)
        10s  group=InService                                         => Waiting search≥1m6s 30s Unknown(the group shows it InService; its wait may have ended, or the read is old)
        25s                                                          => Waiting search≥1m6s 30s Unknown(the group shows it InService; its wait may have ended, or the read is old)
        75s                                                          => Waiting 30s Unknown(the group shows it InService; its wait may have ended, or the read is old)
        80s                                                          => Returning saved SetActive(c1) 5s AskedToReturn
        86s  ACTIVE                                                  => Returning SetActive(c1) 5s AskedToReturn
        145s                                                         => Done(WaitLost) saved
        5 writes
    "#]]);
}

/// The same when it went back to its warm pool: once it is in service, the DRAINING is undone.
#[test]
fn the_wait_was_lost_and_it_is_in_the_pool() {
    check(expect![[r#"
        policy kind=returns-to-warm-pool
        0s     ACTIVE tasks=web:RUNNING group=Warmed:Pending:Wait => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s     DRAINING                                           => Waiting saved search≥1m6s 30s TasksLeft(1)
        10s    group=Warmed:Pending:Proceed                       => Waiting search≥1m6s 30s TasksLeft(1)
        25s    group=Warmed:Stopped                               => Returning saved 1m WaitingForReturn(Warmed:Stopped)
        10h    group=InService                                    => Returning saved SetActive(c1) 5s AskedToReturn
        36005s ACTIVE                                             => Done(WaitLost) saved
        6 writes
    "#]]);
}

/// While it may be in service, nothing is done to it.
#[test]
fn in_service_is_not_touched() {
    check(expect![[r#"
        policy kind=replaces-root-volume
        0s   ACTIVE tasks=web:RUNNING group=InService => Pending 30s Unknown(the group shows it InService; its wait may have ended, or the read is old)
        30s  group=ReplacingRootVolume:Wait           => Deregistering saved SetDraining(c1) 5s AskedToDrain
        35s  group=InService                          => Deregistering 30s Unknown(the group shows it InService; its wait may have ended, or the read is old)
        70s  group=?                                  => Deregistering 30s Unknown(the group shows it InService; its wait may have ended, or the read is old)
        100s                                          => Deregistering 30s Unknown(the group shows it InService; its wait may have ended, or the read is old)
        105s group=InService                          => Deregistering 30s Unknown(the group shows it InService; its wait may have ended, or the read is old)
        110s                                          => Returning saved SetActive(c1) 5s AskedToReturn
        115s ACTIVE                                   => Returning SetActive(c1) 5s AskedToReturn
        175s                                          => Done(WaitLost) saved
        4 writes
    "#]]);
}

/// It waits once more before it was seen in service: that is a new drain, which takes over the
/// DRAINING set by ecs-drain. The group's state does not show it, because another hook can prolong
/// the old wait. Accepted heartbeats do.
#[test]
fn it_waits_once_more() {
    check(expect![[r#"
        policy kind=returns-to-warm-pool
        0s   ACTIVE group=Warmed:Pending:Wait => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                         => Verifying saved search≥1m6s 30s Settling(1m)
        proof                                 => 127s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Returning
        130s group=Warmed:Pending:Wait        => Returning 1m WaitingForReturn(Warmed:Pending:Wait)
        180s                                  => Returning 1m WaitingForReturn(Warmed:Pending:Wait)
        191s group=Warmed:Stopped             => Returning 1m WaitingForReturn(Warmed:Stopped)
        350s group=Warmed:Pending:Wait        => Returning 1m WaitingForReturn(Warmed:Pending:Wait)
        415s                                  => Returning 1m WaitingForReturn(Warmed:Pending:Wait)
        500s held-again                       => Done(Drained) saved
        6 writes
    "#]]);
}

/// Its next wait is lost before that drain began: the DRAINING of the drain before is still undone.
#[test]
fn the_wait_is_lost_in_pending() {
    let mut played = Played::open("kind=returns-to-warm-pool", "ACTIVE");
    let mut record = played.drain.record.clone();
    record.container_instances[0].draining_is_ours = true;
    played.drain.take(record, Mono::START);
    let table = [
        (
            "0s DRAINING group=Warmed:Pending:Wait turn=1/1+0",
            "Pending saved 10s WaitsForTurn(1/1+0)",
        ),
        ("5s group=Warmed:Stopped", "Pending 10s WaitsForTurn(1/1+0)"),
        ("10s", "Returning saved 1m WaitingForReturn(Warmed:Stopped)"),
        ("90s group=InService", "Returning SetActive(c1) 5s AskedToReturn"),
        ("95s ACTIVE", "Done(WaitLost) saved"),
    ];
    for (line, decided) in table {
        assert_eq!(played.pass(line, show), decided, "at {line}");
    }
}

/// The last read before the pool proves nothing about now: a DRAINING that was requested a moment
/// before the wait was lost is undone.
#[test]
fn an_old_word_of_active_is_no_evidence() {
    check(expect![[r#"
        policy kind=returns-to-warm-pool
        0s    ACTIVE group=Warmed:Pending:Wait => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s    ci=? group=Warmed:Stopped        => Deregistering SetDraining(c1) 5s AskedToDrain
        10s                                    => Returning saved 1m WaitingForReturn(Warmed:Stopped)
        2h    group=InService                  => Returning saved SetActive(c1) 5s AskedToReturn
        2h5s  DRAINING                         => Returning SetActive(c1) 5s AskedToReturn
        2h10s ACTIVE                           => Done(WaitLost) saved
        5 writes
    "#]]);
}

/// The agent of a warm pool's instance is not read; it is read once no group has the instance.
#[test]
fn gone_from_the_pool_is_looked_at() {
    check_needs(expect![[r#"
        policy kind=returns-to-warm-pool
        0s   ACTIVE group=Warmed:Pending:Wait => Deregistering Status≥6s/Begun
        5s   DRAINING                         => Verifying Status≥36s/Later Running≥1m6s/Finish Sweep≥1m6s/Finish
        66s                                   => Verifying Status≥1m37s/Later Stopped≥2m7s/Finish
        127s                                  => Completing Status≥2m16s/Finish; accepted: Returning
        130s group=Warmed:Stopped             => Returning nothing
        2h   group=absent                     => Returning Status≥2h31s/Show
        2h5s DRAINING!                        => Returning Status≥2h36s/Show
        5 writes
    "#]]);
}
