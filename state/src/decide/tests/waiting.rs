//! Waiting: the tasks that hold a drain up, and the tasks that are stopped.

use super::fixture::check;
use expect_test::expect;

/// ECS's counters leave these out; a task matters until it is `STOPPED`.
#[test]
fn every_status_but_stopped_holds() {
    check(expect![[r#"
        0s   DRAINING tasks=web:PROVISIONING => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s   tasks=web:PENDING               => Waiting search≥1m1s 30s TasksLeft(1)
        10s  tasks=web:ACTIVATING            => Waiting search≥1m1s 30s TasksLeft(1)
        15s  tasks=web:RUNNING               => Waiting search≥1m1s 30s TasksLeft(1)
        20s  tasks=web:DEACTIVATING          => Waiting search≥1m1s 30s TasksLeft(1)
        25s  tasks=web:STOPPING              => Waiting search≥1m1s 30s TasksLeft(1)
        30s  tasks=web:DEPROVISIONING        => Waiting search≥1m1s 30s TasksLeft(1)
        35s  tasks=web:A_STATUS_OF_NEXT_YEAR => Waiting search≥1m1s 30s TasksLeft(1)
        70s  tasks=none                      => Verifying saved 5s Settling(5s)
        120s                                 => Verifying 30s SecondLook(1m)
        3 writes
    "#]]);
}

/// `DELETED` is shown for a moment after `STOPPED`: its containers have ended.
#[test]
fn a_deleted_task_has_stopped() {
    check(expect![[r#"
        0s   DRAINING tasks=web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        70s  tasks=web:DELETED          => Verifying saved 30s SecondLook(1m)
        131s                            => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        192s                            => Done(Drained)
        5 writes
    "#]]);
}

/// Daemons run until the instance ends: by default they hold nothing up.
#[test]
fn daemons_are_ignored() {
    check(expect![[r#"
        0s   DRAINING tasks=daemon/log:RUNNING,web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        70s  tasks=daemon/log:RUNNING                      => Verifying saved 30s SecondLook(1m)
        proof                                              => 131s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
    "#]]);
}

/// Unless the policy says to wait for them.
#[test]
fn daemons_are_waited_for_if_the_policy_says_so() {
    check(expect![[r#"
        policy daemons=wait
        0s   DRAINING tasks=daemon/log:RUNNING,web:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(2)
        70s  tasks=daemon/log:RUNNING                      => Waiting saved 30s TasksLeft(1)
        75s  tasks=none                                    => Verifying saved 30s SecondLook(55s)
        120s                                               => Verifying 10s SecondLook(10s)
        4 writes
    "#]]);
}

/// The number of tasks in the record is at most 30 seconds old while it falls: a drain that
/// progresses does not look frozen. Where it stays, nothing is written.
#[test]
fn the_number_of_tasks_is_written_as_it_falls() {
    check(expect![[r#"
        0s   DRAINING tasks=web:RUNNING*4 => Waiting saved search≥1m1s 30s TasksLeft(4)
        20s  tasks=web:RUNNING*3          => Waiting search≥1m1s 30s TasksLeft(3)
        31s                               => Waiting saved search≥1m1s 30s TasksLeft(3)
        50s  tasks=web:RUNNING*2          => Waiting search≥1m1s 30s TasksLeft(2)
        62s                               => Waiting saved 30s TasksLeft(2)
        200s                              => Waiting 30s TasksLeft(2)
        4 writes
    "#]]);
}

/// `DRAINING` does not stop standalone tasks: by default they are waited for, however long they
/// run.
#[test]
fn standalone_tasks_are_waited_for() {
    check(expect![[r#"
        0s  DRAINING tasks=standalone:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        5h                                    => Waiting 30s TasksLeft(1)
        2 writes
    "#]]);
}

/// With a grace they are stopped after it, counted from the beginning of Waiting. The order is in
/// the record before StopTask, once for each task. A task that is stopping already is not stopped
/// again, and service tasks never are.
#[test]
fn standalone_tasks_are_stopped_after_their_grace() {
    check(expect![[r#"
        policy standalone=60s
        0s   ACTIVE tasks=standalone:RUNNING,web:RUNNING,standalone:RUNNING,standalone:RUNNING! => Deregistering saved SetDraining(c1) 5s AskedToDrain
        10s  DRAINING                                                                           => Waiting saved search≥1m11s 30s TasksLeft(4)
        70s                                                                                     => Waiting saved StopTask(t1) StopTask(t3) search≥1m11s 5s TasksLeft(4)
        71s                                                                                     => Waiting StopTask(t1) StopTask(t3) 5s TasksLeft(4)
        # The first StopTask was lost, the other one worked.
        76s  tasks=standalone:RUNNING,web:RUNNING,standalone:RUNNING!                           => Waiting StopTask(t1) 5s TasksLeft(3)
        81s  tasks=standalone:RUNNING!,web:RUNNING                                              => Waiting 30s TasksLeft(2)
        86s  tasks=web:RUNNING                                                                  => Waiting 30s TasksLeft(1)
        4 writes
    "#]]);
}

/// However many there are, the order is one line of the record's history, and is written once.
#[test]
fn fifty_standalone_tasks_are_one_note() {
    check(expect![[r#"
        policy standalone=60s
        0s   DRAINING tasks=standalone:RUNNING*50 => Waiting saved search≥1m1s 30s TasksLeft(50)
        66s  dies-after-save                      => Waiting saved 50 actions 5s TasksLeft(50)
        68s                                       => Waiting 50 actions search≥2m9s 5s TasksLeft(50)
        70s                                       => Waiting 50 actions search≥2m9s 5s TasksLeft(50)
        75s  tasks=standalone:RUNNING*51          => Waiting saved 51 actions search≥2m9s 5s TasksLeft(51)
        80s                                       => Waiting 51 actions search≥2m9s 5s TasksLeft(51)
        4 writes
    "#]]);
}

/// The process dies between the save and StopTask: the next one calls it, and writes nothing more.
#[test]
fn dies_before_stop_task() {
    check(expect![[r#"
        policy standalone=60s
        0s   DRAINING tasks=standalone:RUNNING => Waiting saved search≥1m1s 30s TasksLeft(1)
        66s  dies-after-save                   => Waiting saved StopTask(t1) 5s TasksLeft(1)
        68s                                    => Waiting StopTask(t1) search≥2m9s 5s TasksLeft(1)
        3 writes
    "#]]);
}

/// Protected tasks are waited for like any other.
#[test]
fn protected_tasks_hold() {
    check(expect![[r#"
        0s   DRAINING tasks=web:RUNNING~ => Waiting saved search≥1m1s 30s TasksLeft(1)
        20m                              => Waiting 30s TasksLeft(1)
        2 writes
    "#]]);
}

/// An operator undid the DRAINING: it is drained again, and the record shows it.
#[test]
fn active_again() {
    check(expect![[r#"
        0s  ACTIVE tasks=web:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s  DRAINING                 => Waiting saved search≥1m6s 30s TasksLeft(1)
        10s ACTIVE                   => Deregistering saved SetDraining(c1) 5s AskedToDrain
        15s DRAINING                 => Waiting saved search≥1m16s 30s TasksLeft(1)
        5 writes
    "#]]);
}

/// A dead instance's tasks are frozen as RUNNING for ever. Two witnesses excuse them: its agent has
/// been disconnected past its grace, and the group calls it unhealthy. Its targets are still waited
/// for.
#[test]
fn a_dead_instance_excuses_its_tasks_not_its_targets() {
    check(expect![[r#"
        0s   DRAINING tasks=web:RUNNING found=web/30 targets=web:draining => Waiting saved search≥1m1s 30s TasksLeft(1)
        5s   DRAINING! group=Terminating:Wait!                            => Waiting search≥1m6s 30s TasksLeft(1)
        600s                                                              => Waiting 30s TasksLeft(1)
        605s                                                              => Verifying saved 30s TargetsLeft(1)
        606s                                                              => Verifying 30s TargetsLeft(1)
        611s                                                              => Verifying 30s TargetsLeft(1)
        616s targets=none                                                 => Verifying 30s SecondLook(44s)
        proof                                                             => 661s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        5 writes
    "#]]);
}

/// The other witness: a balancer reports that the instance itself does not run. The report counts
/// even after the balancer drops the target.
#[test]
fn a_dead_instance_by_its_target() {
    check(expect![[r#"
        0s   DRAINING! tasks=web:RUNNING found=web/30 targets=web:dead => Waiting saved search≥1m1s 30s TasksLeft(1)
        602s                                                           => Verifying saved search≥11m2s 30s TargetsLeft(1)
        607s targets=none                                              => Verifying 30s SecondLook(55s)
        3 writes
    "#]]);
}

/// One witness is not enough: a restarting agent and a failing health check are everyday events.
#[test]
fn one_sign_of_death_is_not_enough() {
    check(expect![[r#"
        0s    DRAINING! tasks=web:RUNNING      => Waiting saved search≥1m1s 30s TasksLeft(1)
        20m                                    => Waiting 30s TasksLeft(1)
        21m   DRAINING group=Terminating:Wait! => Waiting 30s TasksLeft(1)
        # The agent came back: its grace begins anew.
        22m   DRAINING!                        => Waiting search≥23m1s 30s TasksLeft(1)
        23m                                    => Waiting search≥23m1s 30s TasksLeft(1)
        2 writes
    "#]]);
}
