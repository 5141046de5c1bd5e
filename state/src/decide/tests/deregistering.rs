//! Pending and Deregistering, with both strategies.

use super::fixture::check;
use expect_test::expect;

/// `DRAINING` is requested until ECS shows it; nothing is written in between.
#[test]
fn asked_until_ecs_shows_it() {
    check(expect![[r#"
        0s  ACTIVE                     => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s                             => Deregistering SetDraining(c1) 5s AskedToDrain
        10s                            => Deregistering SetDraining(c1) 5s AskedToDrain
        15s DRAINING tasks=web:RUNNING => Waiting saved search≥1m16s 30s TasksLeft(1)
        3 writes
    "#]]);
}

/// `REGISTERING` cannot be set to `DRAINING` and takes tasks soon: the drain waits for it, then
/// requests DRAINING.
#[test]
fn a_registering_instance_is_waited_for() {
    check(expect![[r#"
        0s  REGISTERING                => Deregistering saved 5s AskedToDrain
        5s  ACTIVE                     => Deregistering saved SetDraining(c1) 5s AskedToDrain
        10s DRAINING tasks=web:RUNNING => Waiting saved search≥1m11s 30s TasksLeft(1)
        4 writes
    "#]]);
}

/// A container instance that is gone from its cluster takes no tasks either.
#[test]
fn gone_from_the_cluster_counts_as_draining() {
    check(expect![[r#"
        0s  INACTIVE! => Waiting saved search≥1m1s 30s LongestDelay(5m)
        5s  MISSING   => Waiting search≥1m1s 30s LongestDelay(4m55s)
        60s           => Waiting saved search≥1m1s 30s LongestDelay(4m)
        66s           => Waiting 30s LongestDelay(3m54s)
        3 writes
    "#]]);
}

/// The record is saved before the request to ECS. A process that dies in between requests it again,
/// and the record still shows the DRAINING as set by ecs-drain.
#[test]
fn dies_before_and_after_the_first_save() {
    check(expect![[r#"
        policy kind=returns-to-warm-pool
        0s   ACTIVE dies-before-save => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   dies-after-save         => Deregistering saved SetDraining(c1) 5s AskedToDrain
        10s                          => Deregistering SetDraining(c1) 5s AskedToDrain
        15s  DRAINING                => Verifying saved search≥1m16s 30s Settling(1m)
        proof                        => 137s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Returning
        140s group=InService         => Returning SetActive(c1) 5s AskedToReturn
        145s ACTIVE                  => Done(Drained) saved
        6 writes
    "#]]);
}

/// Strategy `deregister` drains first, then deregisters with the obligations and the time in the
/// record. Replica tasks still run, so the longest delay is a floor.
#[test]
fn deregister_waits_for_the_longest_delay() {
    check(expect![[r#"
        policy strategy=deregister
        0s   ACTIVE tasks=web:RUNNING found=web/30,api/120 targets=web:healthy,api:healthy => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                                                      => Deregistering 30s ListsOnceMore(1m)
        66s                                                                                => Deregistering 30s ListsOnceMore(1m)
        127s                                                                               => Deregistering saved Deregister(c1) 5s AskedToDeregister
        131s MISSING tasks=none targets=none                                               => Waiting saved search≥3m12s 30s LongestDelay(2m)
        proof                                                                              => 252s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        257s                                                                               => Done(Drained)
        9 writes
    "#]]);
}

/// An operator made it `ACTIVE` for a moment just before, and no read before the call shows that. A
/// task that was placed then still runs, and no list names it. So the wait is as long as after a
/// deregistration by someone else.
#[test]
fn active_for_a_moment_before_it_was_deregistered() {
    check(expect![[r#"
        policy strategy=deregister
        0s   ACTIVE found=web/30 => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING            => Deregistering 30s ListsOnceMore(1m)
        66s                      => Deregistering 30s ListsOnceMore(1m)
        127s                     => Deregistering saved Deregister(c1) 5s AskedToDeregister
        128s ACTIVE              => Deregistering SetDraining(c1) 5s AskedToDrain
        131s MISSING             => Waiting saved search≥3m12s 30s LongestDelay(5m)
        200s                     => Waiting saved 30s LongestDelay(3m51s)
        5 writes
    "#]]);
}

/// Of two container instances one is gone already: only the other one is deregistered.
#[test]
fn only_what_is_there_is_deregistered() {
    check(expect![[r#"
        policy strategy=deregister opened=2
        0s   ACTIVE,INACTIVE  => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING,MISSING => Deregistering 30s ListsOnceMore(1m)
        66s                   => Deregistering saved 30s ListsOnceMore(1m)
        127s                  => Deregistering saved Deregister(c1) 5s AskedToDeregister
        131s MISSING,MISSING  => Waiting saved search≥3m12s 30s LongestDelay(2m49s)
        5 writes
    "#]]);
}

/// The last delay that was read counts; a delay that cannot be read any more is remembered.
#[test]
fn a_delay_that_changes() {
    check(expect![[r#"
        policy strategy=deregister
        0s   ACTIVE found=web/30    => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING found=web/600 => Deregistering 30s ListsOnceMore(1m)
        66s                         => Deregistering 30s ListsOnceMore(1m)
        127s                        => Deregistering saved Deregister(c1) 5s AskedToDeregister
        131s MISSING found=web      => Waiting saved search≥3m12s 30s LongestDelay(10m)
        4 writes
    "#]]);
}

/// The floor is measured by watched time: a jump of the wall clock does not shorten it, and a
/// restart adds half a minute at most.
#[test]
fn deregister_waits_as_long_whatever_the_wall_clock_says() {
    check(expect![[r#"
        policy strategy=deregister
        0s   ACTIVE found=web/100 targets=web:healthy => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                 => Deregistering 30s ListsOnceMore(1m)
        66s                                           => Deregistering 30s ListsOnceMore(1m)
        127s                                          => Deregistering saved Deregister(c1) 5s AskedToDeregister
        131s MISSING targets=none                     => Waiting saved search≥3m12s 30s LongestDelay(1m40s)
        166s clock=+1h                                => Waiting saved search≥3m12s 30s LongestDelay(1m5s)
        171s restart                                  => Waiting search≥3m52s 30s LongestDelay(1m5s)
        221s                                          => Waiting saved search≥3m52s 15s LongestDelay(15s)
        241s                                          => Verifying saved 9s SecondLook(9s)
        7 writes
    "#]]);
}

/// A balancer whose delay could not be read gets the default of five minutes.
#[test]
fn deregister_with_an_unknown_delay() {
    check(expect![[r#"
        policy strategy=deregister
        0s   ACTIVE found=web targets=web:healthy => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                             => Deregistering 30s ListsOnceMore(1m)
        66s                                       => Deregistering 30s ListsOnceMore(1m)
        127s                                      => Deregistering saved Deregister(c1) 5s AskedToDeregister
        131s MISSING targets=none                 => Waiting saved search≥3m12s 30s LongestDelay(5m)
        421s                                      => Waiting saved 10s LongestDelay(10s)
        427s                                      => Waiting 4s LongestDelay(4s)
        5 writes
    "#]]);
}

/// A forced deregistration would hide standalone tasks, so they are waited for first.
#[test]
fn deregister_waits_for_standalone_tasks() {
    check(expect![[r#"
        policy strategy=deregister
        0s   ACTIVE tasks=standalone:RUNNING,web:RUNNING found=web/30 => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                                                 => Deregistering 30s BeforeDeregistration(1)
        600s                                                          => Deregistering saved 30s BeforeDeregistration(1)
        605s tasks=standalone:DEPROVISIONING!,web:RUNNING             => Deregistering 30s BeforeDeregistration(1)
        610s tasks=web:RUNNING                                        => Deregistering 30s ListsOnceMore(50s)
        671s                                                          => Deregistering saved Deregister(c1) 5s AskedToDeregister
        4 writes
    "#]]);
}

/// The grace begins when ECS was seen to place nothing more there, however long that takes.
#[test]
fn the_grace_of_standalone_tasks_begins_with_draining() {
    check(expect![[r#"
        policy strategy=deregister standalone=60s
        0s   ACTIVE tasks=standalone:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        50s                                  => Deregistering SetDraining(c1) 5s AskedToDrain
        55s  DRAINING                        => Deregistering 30s BeforeDeregistration(1)
        66s  clock=+1h                       => Deregistering saved 30s BeforeDeregistration(1)
        87s                                  => Deregistering saved 28s BeforeDeregistration(1)
        90s  restart                         => Deregistering 28s BeforeDeregistration(1)
        118s                                 => Deregistering saved StopTask(t1) 5s BeforeDeregistration(1)
        122s                                 => Deregistering StopTask(t1) 5s BeforeDeregistration(1)
        5 writes
    "#]]);
}

/// It begins anew once an operator has made the instance `ACTIVE`, however short the span in the
/// record is: the next process, or the next `DRAINING`, must not continue it.
#[test]
fn the_grace_of_standalone_tasks_begins_anew_after_active() {
    check(expect![[r#"
        policy strategy=deregister standalone=60s
        0s   ACTIVE tasks=standalone:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                        => Deregistering 30s BeforeDeregistration(1)
        30s  pause                           => Deregistering saved 10s Paused(Ada (kernel))
        33s  resume                          => Deregistering saved 30s BeforeDeregistration(1)
        34s  ACTIVE                          => Deregistering saved SetDraining(c1) 5s AskedToDrain
        36s  DRAINING                        => Deregistering 30s BeforeDeregistration(1)
        72s  DRAINING                        => Deregistering saved 24s BeforeDeregistration(1)
        80s  ACTIVE                          => Deregistering saved SetDraining(c1) 5s AskedToDrain
        81s  restart DRAINING                => Deregistering 30s BeforeDeregistration(1)
        141s                                 => Deregistering saved StopTask(t1) 5s BeforeDeregistration(1)
        8 writes
    "#]]);
}

/// Standalone tasks are stopped once their grace is over; the deregistration waits until they are
/// gone.
#[test]
fn deregister_stops_standalone_tasks_after_their_grace() {
    check(expect![[r#"
        policy strategy=deregister standalone=60s
        0s   ACTIVE tasks=standalone:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                        => Deregistering 30s BeforeDeregistration(1)
        65s                                  => Deregistering saved StopTask(t1) 5s BeforeDeregistration(1)
        66s                                  => Deregistering StopTask(t1) 5s BeforeDeregistration(1)
        68s  tasks=standalone:DEACTIVATING!  => Deregistering 30s BeforeDeregistration(1)
        70s  tasks=none                      => Deregistering 30s ListsOnceMore(56s)
        127s                                 => Deregistering saved Deregister(c1) 5s AskedToDeregister
        131s INACTIVE                        => Verifying saved search≥3m12s 30s LookingForRegistrations
        5 writes
    "#]]);
}

/// Obligations are noted once more just before the deregistration: a service that came late is not
/// forgotten.
#[test]
fn deregister_notes_obligations_again() {
    check(expect![[r#"
        policy strategy=deregister
        0s   ACTIVE                              => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING tasks=late:RUNNING found=? => Deregistering 30s Unknown(found)
        10s  found=late/600                      => Deregistering saved 30s ListsOnceMore(55s)
        66s                                      => Deregistering 30s ListsOnceMore(1m)
        127s                                     => Deregistering saved Deregister(c1) 5s AskedToDeregister
        131s MISSING targets=late:draining       => Waiting saved search≥3m12s 30s LongestDelay(10m)
        727s                                     => Waiting saved 4s LongestDelay(4s)
        732s targets=none                        => Verifying saved 9s SecondLook(9s)
        7 writes
    "#]]);
}

/// The deregistration is saved before the request to ECS. After a crash it is requested again, and
/// its time stays.
#[test]
fn deregister_dies_after_the_save() {
    check(expect![[r#"
        policy strategy=deregister
        0s   ACTIVE found=web/60 => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING            => Deregistering 30s ListsOnceMore(1m)
        66s                      => Deregistering 30s ListsOnceMore(1m)
        127s dies-after-save     => Deregistering saved Deregister(c1) 5s AskedToDeregister
        131s                     => Deregistering 30s ListsOnceMore(1m)
        192s                     => Deregistering 30s ListsOnceMore(1m)
        253s                     => Deregistering Deregister(c1) 5s AskedToDeregister
        257s MISSING             => Waiting saved search≥5m18s 30s LongestDelay(1m)
        proof                    => 318s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        7 writes
    "#]]);
}

/// Someone else deregisters it by force while a task runs: ECS shows the task stopped, and its
/// container still runs.
#[test]
fn somebody_deregisters_it_by_force() {
    check(expect![[r#"
        0s   DRAINING tasks=web:RUNNING found=web/400 targets=web:healthy => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s   INACTIVE tasks=none targets=none                             => Waiting search≥1m6s 30s LongestDelay(6m40s)
        200s                                                              => Waiting saved 30s LongestDelay(3m25s)
        206s restart                                                      => Waiting search≥4m27s 30s LongestDelay(3m25s)
        proof                                                             => 412s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        600s                                                              => Done(Drained)
        11 writes
    "#]]);
}

/// Deregistered by someone else before its tasks were listed: the default delay. If its tasks had
/// stopped before, no wait.
#[test]
fn somebody_deregisters_it_before_it_was_looked_at() {
    check(expect![[r#"
        0s   INACTIVE => Waiting saved search≥1m1s 30s LongestDelay(5m)
        proof         => 301s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        400s          => Done(Drained)
        13 writes
    "#]]);
    check(expect![[r#"
        0s   DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s   tasks=none                 => Verifying saved search≥1m1s 30s Settling(55s)
        10s   INACTIVE                  => Verifying search≥1m11s 30s LookingForRegistrations
        70s                             => Verifying search≥1m11s 30s LookingForRegistrations
        3 writes
    "#]]);
}

/// A status that never takes tasks: ECS needs no request.
#[test]
fn registration_failed() {
    check(expect![[r#"
        0s   ACTIVE              => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   REGISTRATION_FAILED => Verifying saved search≥1m6s 30s Settling(1m)
        proof                    => 127s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        140s                     => Done(Drained)
        5 writes
    "#]]);
}

/// A cluster that can never be searched holds up only drains whose agent is disconnected. A
/// deregistered instance has no agent.
#[test]
fn a_cluster_that_cannot_be_searched() {
    check(expect![[r#"
        policy strategy=deregister
        0s   ACTIVE unread=dev => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING          => Deregistering 30s ListsOnceMore(1m)
        66s                    => Deregistering 30s ListsOnceMore(1m)
        127s                   => Deregistering saved Deregister(c1) 5s AskedToDeregister
        131s MISSING           => Verifying saved search≥3m12s 30s LookingForRegistrations
        192s                   => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        6 writes
    "#]]);
}

/// The task states of a dead instance are frozen: its standalone task neither ends nor can be
/// stopped, and is excused like any other.
#[test]
fn a_dead_instance_with_a_standalone_task_is_deregistered() {
    check(expect![[r#"
        policy strategy=deregister
        0s   ACTIVE tasks=standalone:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING!                       => Deregistering 30s BeforeDeregistration(1)
        10s  group=Terminating:Wait!         => Deregistering 30s BeforeDeregistration(1)
        609s                                 => Deregistering saved 30s ListsOnceMore(1m)
        670s                                 => Deregistering saved Deregister(c1) 5s AskedToDeregister
        700s                                 => Deregistering Deregister(c1) 5s AskedToDeregister
        760s                                 => Deregistering Deregister(c1) 5s AskedToDeregister
        4 writes
    "#]]);
    check(expect![[r#"
        policy strategy=deregister standalone=1m
        0s   ACTIVE tasks=standalone:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING!                       => Deregistering 30s BeforeDeregistration(1)
        10s  group=Terminating:Wait!         => Deregistering 30s BeforeDeregistration(1)
        70s                                  => Deregistering saved StopTask(t1) 5s BeforeDeregistration(1)
        75s  tasks=standalone:RUNNING!       => Deregistering 30s BeforeDeregistration(1)
        609s                                 => Deregistering saved Deregister(c1) 5s AskedToDeregister
        670s                                 => Deregistering Deregister(c1) 5s AskedToDeregister
        4 writes
    "#]]);
}
