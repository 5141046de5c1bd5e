//! Orders of operators: pause, resume, cancel, force.

use super::fixture::check;
use expect_test::expect;

/// A drain that is paused does nothing, whatever is seen; resumed, it continues where it was.
#[test]
fn paused_and_resumed() {
    check(expect![[r#"
        0s   ACTIVE tasks=web:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING pause           => Deregistering saved 10s Paused(Ada (kernel))
        10s  tasks=none               => Deregistering 10s Paused(Ada (kernel))
        66s                           => Deregistering saved 10s Paused(Ada (kernel))
        76s                           => Deregistering 10s Paused(Ada (kernel))
        86s  resume                   => Verifying saved search≥1m6s 30s SecondLook(40s)
        proof                         => 127s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        137s                          => Done(Drained)
        7 writes
    "#]]);
}

/// A pause of a cluster, or of everything, has the same effect.
#[test]
fn the_pause() {
    check(expect![[r#"
        0s  ACTIVE paused=Ada => Pending saved 10s Paused(Ada)
        10s paused=none       => Deregistering saved SetDraining(c1) 5s AskedToDrain
        3 writes
    "#]]);
}

/// Neither a deadline nor an intent acts while a drain is paused.
#[test]
fn paused_past_its_deadline() {
    check(expect![[r#"
        policy deadline=10m at-deadline=continue
        0s  ACTIVE tasks=web:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  DRAINING pause           => Deregistering saved 10s Paused(Ada (kernel))
        11m                          => Deregistering 10s Paused(Ada (kernel))
        12m resume answer=error      => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; error: Completing
        13m pause                    => Completing saved 10s Paused(Ada (kernel))
        14m resume                   => Completing saved Complete(CONTINUE,TimedOut) 10s Completing; error: Completing
        8 writes
    "#]]);
}

/// A drain that the world ends is over, paused or not.
#[test]
fn paused_and_gone() {
    check(expect![[r#"
        0s  ACTIVE pause          => Pending saved 10s Paused(Ada (kernel))
        5s  INACTIVE group=absent => Pending 10s Paused(Ada (kernel))
        10s                       => Done(InstanceGone) saved
        3 writes
    "#]]);
}

/// Nothing was done to it: cancelled at once.
#[test]
fn cancelled_while_pending() {
    check(expect![[r#"
        policy then=keep
        0s  ACTIVE group=InService turn=1/1+0 => Pending saved 10s WaitsForTurn(1/1+0)
        10s cancel                            => Done(Cancelled) saved
        3 writes
    "#]]);
}

/// The DRAINING set by ecs-drain is undone, and ACTIVE requested until no late DRAINING request can
/// set it again.
#[test]
fn cancelled() {
    check(expect![[r#"
        policy then=terminate
        0s  ACTIVE tasks=web:RUNNING group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  DRAINING                                 => Waiting saved search≥1m6s 30s TasksLeft(1)
        20s cancel                                   => Returning saved SetActive(c1) 10s AskedToReturn
        30s ACTIVE                                   => Returning SetActive(c1) 10s AskedToReturn
        81s                                          => Done(Cancelled) saved
        5 writes
    "#]]);
}

/// ACTIVE counts once no late DRAINING request of ecs-drain can follow, by the clock of this
/// process. A jump of the wall clock, or another replica's wrong clock, changes nothing.
#[test]
fn cancelled_while_the_wall_clock_jumps() {
    check(expect![[r#"
        policy then=terminate
        0s  ACTIVE tasks=web:RUNNING group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  DRAINING                                 => Waiting saved search≥1m6s 30s TasksLeft(1)
        20s cancel                                   => Returning saved SetActive(c1) 10s AskedToReturn
        30s ACTIVE clock=+1h                         => Returning SetActive(c1) 10s AskedToReturn
        70s                                          => Returning SetActive(c1) 10s AskedToReturn
        82s                                          => Done(Cancelled) saved
        5 writes
    "#]]);
}

/// A DRAINING that someone else set is left.
#[test]
fn cancelled_and_not_ours() {
    check(expect![[r#"
        policy then=keep
        0s  DRAINING tasks=web:RUNNING group=InService => Waiting saved search≥1m1s 30s TasksLeft(1)
        20s cancel                                     => Done(Cancelled) saved
        90s                                            => Done(Cancelled)
        3 writes
    "#]]);
}

/// Its group terminates it: nothing can revoke that, and the drain continues.
#[test]
fn not_cancelled_under_a_hook() {
    check(expect![[r#"
        0s  ACTIVE tasks=web:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  DRAINING cancel          => Waiting saved search≥1m6s 30s TasksLeft(1)
        10s                          => Waiting search≥1m6s 30s TasksLeft(1)
        3 writes
    "#]]);
}

/// The same if its group terminates it before the ecs-drain hook holds it.
#[test]
fn not_cancelled_once_its_group_takes_it() {
    check(expect![[r#"
        policy then=keep
        0s ACTIVE tasks=web:RUNNING group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s DRAINING group=Terminating cancel        => Waiting saved search≥1m6s 30s TasksLeft(1)
        3 writes
    "#]]);
}

/// Deregistered from its cluster: that cannot be undone.
#[test]
fn not_cancelled_once_deregistered() {
    check(expect![[r#"
        policy then=keep strategy=deregister
        0s   ACTIVE group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING               => Deregistering 30s ListsOnceMore(1m)
        66s                         => Deregistering 30s ListsOnceMore(1m)
        127s                        => Deregistering saved Deregister(c1) 5s AskedToDeregister
        131s cancel                 => Deregistering saved Deregister(c1) 5s AskedToDeregister
        4 writes
    "#]]);
}

/// Its group terminates it while the DRAINING is being undone.
#[test]
fn taken_while_it_is_cancelled() {
    check(expect![[r#"
        policy then=keep
        0s  ACTIVE tasks=web:RUNNING group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  DRAINING                                 => Waiting saved search≥1m6s 30s TasksLeft(1)
        20s cancel                                   => Returning saved SetActive(c1) 10s AskedToReturn
        30s group=Terminating:Wait                   => Done(Cancelled) saved
        5 writes
    "#]]);
}

/// Completed by order, whatever is left: the order is in the record before the call.
#[test]
fn forced() {
    check(expect![[r#"
        0s ACTIVE tasks=web:RUNNING found=web/60 targets=web:healthy => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s DRAINING force                                            => Completing saved Complete(CONTINUE,Forced) 10s Completing; accepted: Done(Forced)
        4 writes
    "#]]);
}

/// An order that was withdrawn is no evidence.
#[test]
fn an_order_taken_back() {
    check(expect![[r#"
        0s  ACTIVE tasks=web:RUNNING    => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  DRAINING force answer=error => Completing saved Complete(CONTINUE,Forced) 10s Completing; error: Completing
        15s take-back                   => Waiting saved search≥1m6s 30s TasksLeft(1)
        5 writes
    "#]]);
}

/// A drain that would have kept its instance ends as it is.
#[test]
fn a_kept_one_ends_as_it_is() {
    check(expect![[r#"
        policy then=keep
        0s ACTIVE tasks=web:RUNNING group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s DRAINING force                           => Done(Forced) saved
        3 writes
    "#]]);
}

/// A drain that would have terminated it asks its group now.
#[test]
fn one_that_terminates_asks_now() {
    check(expect![[r#"
        policy then=terminate
        0s ACTIVE tasks=web:RUNNING group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s DRAINING force                           => Completing saved Terminate(workers) 10s TerminationAsked
        3 writes
    "#]]);
}

/// For a minute the effect of the request to its group is unknown: it is cancelled after that, if
/// there was none.
#[test]
fn not_cancelled_while_its_group_may_have_heard() {
    check(expect![[r#"
        policy then=terminate
        0s   ACTIVE group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING               => Verifying saved search≥1m6s 30s Settling(1m)
        66s                         => Verifying 30s SecondLook(1m)
        116s                        => Verifying 10s SecondLook(10s)
        127s                        => Completing saved Terminate(workers) 10s TerminationAsked
        136s cancel                 => Completing saved 30s TerminationAsked
        # Also where a wall clock says that it was asked long ago.
        150s clock=+1h cancel       => Completing saved 30s TerminationAsked
        217s clock=+0s cancel       => Completing saved 30s TerminationAsked
        218s cancel                 => Returning saved SetActive(c1) 10s AskedToReturn
        8 writes
    "#]]);
}

/// A failing completion is forced: it then rests on the order, and no longer needs everything gone.
#[test]
fn forced_while_it_is_being_completed() {
    check(expect![[r#"
        0s   DRAINING          => Verifying saved search≥1m1s 30s Settling(1m)
        61s                    => Verifying 30s SecondLook(1m)
        111s                   => Verifying 10s SecondLook(10s)
        122s answer=error      => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        131s force             => Completing saved Complete(CONTINUE,Forced) 10s Completing; error: Completing
        141s tasks=web:RUNNING => Completing Complete(CONTINUE,Forced) 10s Completing; error: Completing
        151s answer=accepted   => Completing Complete(CONTINUE,Forced) 10s Completing; accepted: Done(Forced)
        8 writes
    "#]]);
}
