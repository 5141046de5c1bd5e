//! A disconnected agent: its tasks' states are frozen, and the policy decides whether to wait for
//! them.

use super::fixture::check;
use expect_test::expect;

/// Its group calls the instance unhealthy, so it counts as dead, and its tasks are excused after
/// the grace.
#[test]
fn excused_once_its_group_calls_it_unhealthy() {
    check(expect![[r#"
        0s   ACTIVE tasks=web:RUNNING          => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                          => Waiting saved search≥1m6s 30s TasksLeft(1)
        10s  DRAINING! group=Terminating:Wait! => Waiting search≥1m11s 30s TasksLeft(1)
        609s                                   => Waiting 30s TasksLeft(1)
        proof                                  => 670s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        679s                                   => Done(Drained)
        6 writes
    "#]]);
}

/// The policy waits for its tasks, whatever its group reports.
#[test]
fn waited_for_by_policy() {
    check(expect![[r#"
        policy lost-agent=wait
        0s   ACTIVE tasks=web:RUNNING          => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                          => Waiting saved search≥1m6s 30s TasksLeft(1)
        10s  DRAINING! group=Terminating:Wait! => Waiting search≥1m11s 30s TasksLeft(1)
        609s                                   => Waiting 30s TasksLeft(1)
        612s                                   => Waiting 30s TasksLeft(1)
        622s                                   => Waiting 30s TasksLeft(1)
        632s                                   => Waiting 30s TasksLeft(1)
        3 writes
    "#]]);
}

/// The policy excuses them after the grace, although the instance may be alive.
#[test]
fn excused_by_policy() {
    check(expect![[r#"
        policy lost-agent=excuse
        0s   ACTIVE tasks=web:RUNNING         => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                         => Waiting saved search≥1m6s 30s TasksLeft(1)
        10s  DRAINING! group=Terminating:Wait => Waiting search≥1m11s 30s TasksLeft(1)
        609s                                  => Waiting 30s TasksLeft(1)
        proof                                 => 670s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        679s                                  => Done(Drained)
        6 writes
    "#]]);
}
