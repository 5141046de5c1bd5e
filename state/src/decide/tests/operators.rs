//! Drains that no hook began: an operator's, a rebalance's, a spot interruption's.

use super::fixture::check;
use expect_test::expect;

/// Drained, and it stays: nothing is called, and its DRAINING is left.
#[test]
fn kept_drained() {
    check(expect![[r#"
        policy then=keep
        0s   ACTIVE tasks=web:RUNNING found=web/60 targets=web:healthy group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                                                  => Waiting saved search≥1m6s 30s TasksLeft(1)
        60s  tasks=none targets=none                                                   => Verifying saved search≥1m6s 5s Settling(5s)
        66s                                                                            => Verifying 30s SecondLook(1m)
        116s                                                                           => Verifying 10s SecondLook(10s)
        121s                                                                           => Verifying 5s SecondLook(5s)
        127s                                                                           => Done(Drained) saved
        5 writes
    "#]]);
}

/// The group is asked once to terminate it; a hook that is not ecs-drain's may hold it then.
#[test]
fn terminated_through_its_group() {
    check(expect![[r#"
        policy then=terminate
        0s   ACTIVE group=InService        => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                      => Verifying saved search≥1m6s 30s Settling(1m)
        66s                                => Verifying 30s SecondLook(1m)
        116s                               => Verifying 10s SecondLook(10s)
        127s                               => Completing saved Terminate(workers) 10s TerminationAsked
        136s                               => Completing 30s TerminationAsked
        146s group=Terminating             => Completing 30s Terminating
        150s group=Terminating:Wait hook=? => Completing 30s Unknown(hook)
        155s hook=none                     => Done(Drained) saved
        5 writes
    "#]]);
}

/// The group was terminating it before the request: it is held by another owner's hook, and then
/// past that too.
#[test]
fn a_group_that_terminates_it_already_is_not_asked() {
    check(expect![[r#"
        policy then=terminate
        0s   DRAINING group=Terminating:Wait => Verifying saved search≥1m1s 30s Settling(1m)
        5s                                   => Verifying search≥1m1s 30s Settling(55s)
        66s                                  => Verifying 30s SecondLook(1m)
        116s                                 => Verifying 10s SecondLook(10s)
        127s group=Terminating:Proceed       => Completing saved 30s Terminating
        136s                                 => Done(Drained) saved
        4 writes
    "#]]);
}

/// When a group terminates the instance, it leaves the group's own balancers, and not before. So
/// the drain does not wait for that. Once the instance waits under the ecs-drain hook, these
/// targets must be seen gone like any other.
#[test]
fn what_the_group_itself_undoes_is_not_waited_for_before_it_is_told() {
    check(expect![[r#"
        policy then=terminate
        0s   ACTIVE found=group-web/60 targets=group-web:healthy group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                                            => Verifying saved search≥1m6s 30s Settling(1m)
        66s                                                                      => Verifying 30s SecondLook(1m)
        116s                                                                     => Verifying 10s SecondLook(10s)
        121s                                                                     => Verifying 5s SecondLook(5s)
        127s                                                                     => Completing saved Terminate(workers) 10s TerminationAsked
        130s group=Terminating                                                   => Completing 30s Terminating
        140s group=Terminating:Wait adopt targets=group-web:draining             => Verifying saved 30s TargetsLeft(1)
        210s targets=none                                                        => Verifying 9s SecondLook(9s)
        220s                                                                     => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        230s                                                                     => Done(Drained)
        7 writes
    "#]]);
}

/// The target that a service registered is deregistered by the service, and is waited for.
#[test]
fn what_a_service_registered_is_waited_for_before_the_group_is_told() {
    check(expect![[r#"
        policy then=terminate
        0s  ACTIVE found=group-web/60,web/60 targets=group-web:healthy,web:healthy group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  DRAINING                                                                               => Verifying saved search≥6s 30s TargetsLeft(1)
        76s                                                                                        => Verifying search≥2m16s 30s TargetsLeft(1)
        3 writes
    "#]]);
}

/// Two requests could lower the desired capacity twice. The group is asked again only when a read
/// that began a minute later shows no effect.
#[test]
fn asked_again_only_after_a_late_look() {
    check(expect![[r#"
        policy then=terminate-and-shrink
        0s   ACTIVE group=InService    => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                  => Verifying saved search≥1m6s 30s Settling(1m)
        66s                            => Verifying 30s SecondLook(1m)
        116s                           => Verifying 10s SecondLook(10s)
        127s                           => Completing saved TerminateAndShrink(workers) 10s TerminationAsked
        136s                           => Completing 30s TerminationAsked
        217s                           => Completing 30s TerminationAsked
        219s same-group                => Completing 30s TerminationAsked
        230s                           => Completing saved TerminateAndShrink(workers) 10s TerminationAsked
        235s                           => Completing 30s TerminationAsked
        240s group=Terminating:Proceed => Done(Drained) saved
        6 writes
    "#]]);
}

/// The minute is counted by the waiting process: the time of the request is by another process's
/// clock, which may be behind.
#[test]
fn asked_again_no_sooner_by_a_clock_that_is_ahead() {
    check(expect![[r#"
        policy then=terminate-and-shrink
        0s   ACTIVE group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING               => Verifying saved search≥1m6s 30s Settling(1m)
        66s                         => Verifying 30s SecondLook(1m)
        116s                        => Verifying 10s SecondLook(10s)
        127s                        => Completing saved TerminateAndShrink(workers) 10s TerminationAsked
        130s restart clock=+2m      => Completing search≥3m11s 10s Completing
        190s                        => Completing search≥3m11s 10s Completing
        191s                        => Completing 10s Completing
        251s                        => Completing 10s Completing
        252s                        => Completing saved TerminateAndShrink(workers) 10s TerminationAsked
        5 writes
    "#]]);
}

/// A process that dies between the record and the call sends the call after a minute.
#[test]
fn dies_before_asking() {
    check(expect![[r#"
        policy then=terminate
        0s   ACTIVE group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING               => Verifying saved search≥1m6s 30s Settling(1m)
        66s                         => Verifying 30s SecondLook(1m)
        116s                        => Verifying 10s SecondLook(10s)
        127s dies-after-save        => Completing saved Terminate(workers) 10s TerminationAsked
        130s                        => Completing search≥3m11s 10s Completing
        200s                        => Completing 10s Completing
        261s                        => Completing saved Terminate(workers) 10s TerminationAsked
        5 writes
    "#]]);
}

/// The ecs-drain hook holds it: the drain takes the lifecycle action over, and completes it after
/// one more pass.
#[test]
fn its_own_termination_is_adopted() {
    check(expect![[r#"
        policy then=terminate
        0s   ACTIVE group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING               => Verifying saved search≥1m6s 30s Settling(1m)
        66s                         => Verifying 30s SecondLook(1m)
        116s                        => Verifying 10s SecondLook(10s)
        127s                        => Completing saved Terminate(workers) 10s TerminationAsked
        140s group=Terminating:Wait => Completing 30s Terminating
        145s adopt                  => Completing Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
    "#]]);
}

/// A scale-in that comes meanwhile is adopted too, and ends like any other.
#[test]
fn a_scale_in_is_adopted() {
    check(expect![[r#"
        policy then=keep
        0s   ACTIVE tasks=web:RUNNING group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                 => Waiting saved search≥1m6s 30s TasksLeft(1)
        20s  adopt group=Terminating:Wait             => Waiting search≥1m6s 30s TasksLeft(1)
        30s  tasks=none                               => Verifying saved search≥1m6s 30s Settling(35s)
        proof                                         => 127s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        6 writes
    "#]]);
}

/// An instance that left its group cannot be terminated through it, and does not count as gone
/// while its agent is connected.
#[test]
fn no_group_any_more() {
    check(expect![[r#"
        policy then=terminate
        0s   ACTIVE group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING               => Verifying saved search≥1m6s 30s Settling(1m)
        66s  group=absent           => Verifying 30s SecondLook(1m)
        116s                        => Verifying 10s SecondLook(10s)
        127s                        => Completing saved 30s Unknown(it is in no Auto Scaling group that could terminate it; cancel the drain, or force it)
        136s cancel                 => Returning saved SetActive(c1) 10s AskedToReturn
        200s ACTIVE                 => Done(Cancelled) saved
        6 writes
    "#]]);
}

/// A spot interruption: drained, and then its end is waited for.
#[test]
fn a_spot_interruption() {
    check(expect![[r#"
        policy then=leave
        0s   ACTIVE group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING               => Verifying saved search≥1m6s 30s Settling(1m)
        66s                         => Verifying 30s SecondLook(1m)
        116s                        => Verifying 10s SecondLook(10s)
        127s                        => Verifying saved 30s WaitsForItsEnd
        170s INACTIVE group=absent  => Verifying saved search≥3m51s 30s LookingForRegistrations
        175s                        => Done(InstanceGone) saved
        6 writes
    "#]]);
}

/// Its group terminates it before EC2 does.
#[test]
fn a_spot_interruption_meets_its_hook() {
    check(expect![[r#"
        policy then=leave
        0s   ACTIVE tasks=web:RUNNING group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                 => Waiting saved search≥1m6s 30s TasksLeft(1)
        50s  adopt group=Terminating:Wait tasks=none  => Verifying saved search≥1m6s 15s Settling(15s)
        proof                                         => 127s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        6 writes
    "#]]);
}

/// It waits in the queue of the budget. Because a lifecycle action's wait ends, the drain begins in
/// the last half of a short one even without room.
#[test]
fn waits_for_its_turn() {
    check(expect![[r#"
        policy then=keep
        0s  ACTIVE group=InService turn=1/1+2 => Pending saved 10s WaitsForTurn(1/1+2)
        10s turn=1/1+0                        => Pending 10s WaitsForTurn(1/1+0)
        20s turn=now                          => Deregistering saved SetDraining(c1) 5s AskedToDrain
        3 writes
    "#]]);
}

/// A budget of services needs its tasks: until they are counted the drain does not begin.
#[test]
fn its_tasks_are_read_before_its_turn() {
    check(expect![[r#"
        policy then=keep
        0s  ACTIVE tasks=web:RUNNING group=InService turn=read => Pending 10s Unknown(new)
        10s turn=now                                           => Deregistering saved SetDraining(c1) 5s AskedToDrain
        2 writes
    "#]]);
}

/// The reserve of a lifecycle action: the hook's limit is 6000 s after the beginning, and half an
/// hour of it is kept.
#[test]
fn the_reserve_begins() {
    check(expect![[r#"
        0s    ACTIVE turn=5/5+0 => Pending saved 10s WaitsForTurn(5/5+0)
        1h                      => Pending 10s WaitsForTurn(5/5+0)
        4200s                   => Deregistering saved SetDraining(c1) 5s AskedToDrain
        3 writes
    "#]]);
}

/// A request waits for the end of the window, then in the queue.
#[test]
fn waits_for_the_end_of_a_window() {
    check(expect![[r#"
        policy then=keep closed=request/30m
        0s    ACTIVE group=InService turn=1/1+0 => Pending saved 30s WindowClosed(30m)
        20m                                     => Pending 30s WindowClosed(30m)
        1790s                                   => Pending 9s WindowClosed(30m)
        1799s                                   => Pending saved 10s WaitsForTurn(1/1+0)
        30m   turn=now                          => Deregistering saved SetDraining(c1) 5s AskedToDrain
        4 writes
    "#]]);
}

/// Only the wall clock counts. A window that is closed again does not stop a drain that began.
#[test]
fn a_clock_that_jumps_opens_and_closes_a_window() {
    check(expect![[r#"
        policy then=keep closed=request/30m
        0s  ACTIVE group=InService => Pending saved 30s WindowClosed(30m)
        10s clock=-1h              => Deregistering saved SetDraining(c1) 5s AskedToDrain
        15s clock=+0s DRAINING     => Verifying saved search≥1m16s 30s Settling(1m)
        4 writes
    "#]]);
}

/// The reserve of a lifecycle action begins within the window.
#[test]
fn a_window_ends_for_a_lifecycle_action_with_its_reserve() {
    check(expect![[r#"
        policy closed=scale-in/3h
        0s    ACTIVE => Pending saved 30s WindowClosed(3h)
        1h           => Pending 30s WindowClosed(3h)
        4200s        => Deregistering saved SetDraining(c1) 5s AskedToDrain
        3 writes
    "#]]);
}

#[test]
fn a_window_does_not_delay_other_reasons() {
    check(expect![[r#"
        policy closed=request/3h
        0s ACTIVE group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        2 writes
    "#]]);
    check(expect![[r#"
        policy then=keep closed=scale-in/3h
        0s ACTIVE group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        2 writes
    "#]]);
    check(expect![[r#"
        policy then=leave origin=spot closed=request/3h closed=scale-in/3h
        0s ACTIVE group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        2 writes
    "#]]);
    check(expect![[r#"
        policy origin=spot closed=scale-in/3h
        0s ACTIVE group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        2 writes
    "#]]);
}

/// Its group replaces it in any case.
#[test]
fn an_unhealthy_instance_does_not_wait_for_a_window() {
    check(expect![[r#"
        policy closed=scale-in/3h
        0s  ACTIVE                  => Pending saved 30s WindowClosed(3h)
        10s group=Terminating:Wait! => Deregistering saved SetDraining(c1) 5s AskedToDrain
        3 writes
    "#]]);
}

/// Once the group terminates the instance, no window for requests delays its drain.
#[test]
fn a_requested_drain_that_a_lifecycle_action_adopts_leaves_the_window() {
    check(expect![[r#"
        policy then=terminate closed=request/3h
        0s  ACTIVE group=InService       => Pending saved 30s WindowClosed(3h)
        10s adopt group=Terminating:Wait => Deregistering saved SetDraining(c1) 5s AskedToDrain
        3 writes
    "#]]);
}

#[test]
fn orders_do_not_wait_for_a_window() {
    check(expect![[r#"
        policy then=keep closed=request/3h
        0s  ACTIVE group=InService => Pending saved 30s WindowClosed(3h)
        10s pause                  => Pending saved 10s Paused(Ada (kernel))
        20s resume                 => Pending saved 30s WindowClosed(3h)
        30s cancel                 => Done(Cancelled) saved
        5 writes
    "#]]);
}

/// Of a short time, half is kept.
#[test]
fn the_reserve_of_a_short_time_is_half_of_it() {
    check(expect![[r#"
        policy deadline=20m at-deadline=continue
        0s   ACTIVE turn=2/2+1 => Pending saved 10s WaitsForTurn(2/2+1)
        595s                   => Pending 10s WaitsForTurn(2/2+1)
        10m                    => Deregistering saved SetDraining(c1) 5s AskedToDrain
        3 writes
    "#]]);
}

/// A deregistration by ecs-drain proves nothing about an instance that no group has: its containers
/// get their time.
#[test]
fn deregistered_by_us_in_no_group() {
    check(expect![[r#"
        policy then=keep strategy=deregister
        0s   ACTIVE tasks=web:RUNNING found=web/60 targets=web:healthy group=absent => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                                               => Deregistering 30s ListsOnceMore(1m)
        66s                                                                         => Deregistering 30s ListsOnceMore(1m)
        127s                                                                        => Deregistering saved Deregister(c1) 5s AskedToDeregister
        131s MISSING tasks=none targets=none                                        => Waiting saved search≥3m12s 30s LongestDelay(1m)
        140s                                                                        => Waiting search≥3m12s 30s LongestDelay(51s)
        150s                                                                        => Waiting search≥3m12s 30s LongestDelay(41s)
        195s                                                                        => Done(Drained) saved
        260s                                                                        => Done(Drained)
        5 writes
    "#]]);
}

/// A DRAINING that an earlier drain left is undone as well, although this drain has done nothing
/// yet.
#[test]
fn cancelled_before_its_turn_and_kept_by_an_earlier_drain() {
    check(expect![[r#"
        policy then=keep ours
        0s  DRAINING group=InService turn=1/1+0 => Pending saved 10s WaitsForTurn(1/1+0)
        10s cancel                              => Returning saved SetActive(c1) 10s AskedToReturn
        20s ACTIVE                              => Returning SetActive(c1) 10s AskedToReturn
        80s                                     => Done(Cancelled) saved
        4 writes
    "#]]);
}

/// No group can terminate it: force ends the drain.
#[test]
fn forced_where_no_group_has_it() {
    check(expect![[r#"
        policy then=terminate
        0s   ACTIVE group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING               => Verifying saved search≥1m6s 30s Settling(1m)
        66s                         => Verifying 30s SecondLook(1m)
        116s                        => Verifying 10s SecondLook(10s)
        127s group=absent           => Completing saved 30s Unknown(it is in no Auto Scaling group that could terminate it; cancel the drain, or force it)
        140s                        => Completing 30s Unknown(it is in no Auto Scaling group that could terminate it; cancel the drain, or force it)
        150s force                  => Done(Forced) saved
        5 writes
    "#]]);
}

/// The spot interruption ends the instance just after ecs-drain has deregistered it: the drain ends
/// with it.
#[test]
fn taken_by_spot_after_its_deregistration() {
    check(expect![[r#"
        policy then=leave origin=spot strategy=deregister
        0s   ACTIVE group=InService => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING               => Deregistering 30s ListsOnceMore(1m)
        66s                         => Deregistering 30s ListsOnceMore(1m)
        127s                        => Deregistering saved Deregister(c1) 5s AskedToDeregister
        131s MISSING group=absent   => Verifying saved search≥3m12s 30s LookingForRegistrations
        146s                        => Done(InstanceGone) saved
        161s                        => Done(InstanceGone)
        5 writes
    "#]]);
}
