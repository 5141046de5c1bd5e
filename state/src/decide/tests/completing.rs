//! Completing: a saved intent is not enough.

use super::fixture::check;
use expect_test::expect;

/// The call is repeated until the lifecycle action is over. With a saved intent, `No active` is
/// success.
#[test]
fn asked_again_after_an_error() {
    check(expect![[r#"
        0s   DRAINING         => Verifying saved search≥1m1s 30s Settling(1m)
        61s                   => Verifying 30s SecondLook(1m)
        111s                  => Verifying 10s SecondLook(10s)
        122s answer=error     => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        131s                  => Completing Complete(CONTINUE,Drained) 10s Completing; error: Completing
        141s answer=no-active => Completing Complete(CONTINUE,Drained) 10s Completing; no-active: Done(Drained)
        6 writes
    "#]]);
}

/// The process dies before the save: the proof is found again from the beginning.
#[test]
fn dies_before_the_intent_is_saved() {
    check(expect![[r#"
        0s   DRAINING         => Verifying saved search≥1m1s 30s Settling(1m)
        61s                   => Verifying 30s SecondLook(1m)
        111s                  => Verifying 10s SecondLook(10s)
        122s dies-before-save => Completing saved Complete(CONTINUE,Drained) 10s Completing
        proof                 => 255s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
    "#]]);
}

/// The process dies after the save: the next one searches every cluster, and completes after reads
/// of its own.
#[test]
fn dies_after_the_intent_is_saved() {
    check(expect![[r#"
        0s   DRAINING        => Verifying saved search≥1m1s 30s Settling(1m)
        61s                  => Verifying 30s SecondLook(1m)
        111s                 => Verifying 10s SecondLook(10s)
        122s dies-after-save => Completing saved Complete(CONTINUE,Drained) 10s Completing
        130s                 => Completing search≥3m11s 10s Completing
        135s                 => Completing search≥3m11s 10s Completing
        191s                 => Completing 10s Completing
        252s                 => Completing Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
    "#]]);
}

/// These reads are needed: unknown is no evidence, even with a saved intent.
#[test]
fn nothing_is_completed_blind() {
    check(expect![[r#"
        0s   DRAINING found=web/10       => Verifying saved search≥1m1s 30s Settling(1m)
        61s                              => Verifying 30s SecondLook(1m)
        111s                             => Verifying 10s SecondLook(10s)
        122s dies-after-save             => Completing saved Complete(CONTINUE,Drained) 10s Completing
        130s ci=?                        => Completing 30s Unknown(ci)
        135s DRAINING tasks=?            => Completing search≥3m16s 10s Completing
        140s tasks=none found=?          => Completing search≥3m16s 10s Completing
        145s found=web/10 targets=?      => Completing search≥3m16s 10s Completing
        # Whether the group can be read does not matter for the evidence.
        155s targets=none group=?        => Completing search≥3m16s 10s Completing
        160s search=fails                => Completing search≥3m16s 10s Completing
        191s search=works                => Completing search≥3m16s 10s Completing
        252s ci=?                        => Completing 10s Completing
        253s DRAINING tasks=web:STOPPING => Waiting saved 30s TasksLeft(1)
        4 writes
    "#]]);
}

/// A task is back: the intent is dropped, and the proof is found again.
#[test]
fn a_task_is_back() {
    check(expect![[r#"
        0s   DRAINING           => Verifying saved search≥1m1s 30s Settling(1m)
        61s                     => Verifying 30s SecondLook(1m)
        111s                    => Verifying 10s SecondLook(10s)
        122s dies-after-save    => Completing saved Complete(CONTINUE,Drained) 10s Completing
        130s tasks=web:STOPPING => Waiting saved search≥3m11s 30s TasksLeft(1)
        135s tasks=none         => Verifying saved search≥3m11s 30s Settling(55s)
        proof                   => 252s Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        7 writes
    "#]]);
}

/// A target is back: the intent is dropped.
#[test]
fn a_target_is_back() {
    check(expect![[r#"
        0s   DRAINING found=web/10 => Verifying saved search≥1m1s 30s Settling(1m)
        61s                        => Verifying 30s SecondLook(1m)
        111s                       => Verifying 10s SecondLook(10s)
        122s answer=error          => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        131s targets=web:draining  => Verifying saved 30s TargetsLeft(1)
        136s targets=none          => Verifying 30s SecondLook(55s)
        146s                       => Verifying 30s SecondLook(45s)
        191s                       => Verifying 30s SecondLook(0s)
        197s                       => Verifying 9s SecondLook(9s)
        5 writes
    "#]]);
}

/// An operator undid the DRAINING: the intent is dropped, and the instance is drained again.
#[test]
fn active_again() {
    check(expect![[r#"
        0s   DRAINING     => Verifying saved search≥1m1s 30s Settling(1m)
        61s               => Verifying 30s SecondLook(1m)
        111s              => Verifying 10s SecondLook(10s)
        122s answer=error => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        131s ACTIVE       => Deregistering saved SetDraining(c1) 5s AskedToDrain
        136s DRAINING     => Verifying saved search≥3m17s 30s Settling(1m)
        6 writes
    "#]]);
}

/// A target that was not read yet delays the call until it was read.
#[test]
fn an_obligation_found_late() {
    check(expect![[r#"
        0s   DRAINING                                               => Verifying saved search≥1m1s 30s Settling(1m)
        61s                                                         => Verifying 30s SecondLook(1m)
        111s                                                        => Verifying 10s SecondLook(10s)
        122s answer=error                                           => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        131s tasks=late:RUNNING! found=late/30 targets=late:healthy => Waiting saved 30s TasksLeft(1)
        136s tasks=none targets=none                                => Verifying saved 30s SecondLook(0s)
        proof                                                       => 202s Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        8 writes
    "#]]);
}

/// After a restart a dead instance's agent must again be seen disconnected for its grace: a restart
/// costs time, never proof.
#[test]
fn a_dead_instance_after_a_restart() {
    check(expect![[r#"
        0s    DRAINING! tasks=web:RUNNING group=Terminating:Wait! => Waiting saved search≥1m1s 30s TasksLeft(1)
        602s                                                      => Verifying saved 30s SecondLook(1m)
        652s                                                      => Verifying 10s SecondLook(10s)
        663s  answer=error                                        => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        672s  restart                                             => Waiting saved search≥12m13s 30s TasksLeft(1)
        677s                                                      => Waiting search≥12m13s 30s TasksLeft(1)
        1273s                                                     => Verifying saved 30s SecondLook(1m)
        1323s                                                     => Verifying 10s SecondLook(10s)
        1334s answer=accepted                                     => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        9 writes
    "#]]);
}

/// While completions fail, an agent may register its instance once more, and tasks be placed there.
/// So every cluster is searched again after a minute, before the next call.
#[test]
fn an_old_search_is_no_evidence() {
    check(expect![[r#"
        0s   DRAINING                              => Verifying saved search≥1m1s 30s Settling(1m)
        61s                                        => Verifying 30s SecondLook(1m)
        111s                                       => Verifying 10s SecondLook(10s)
        122s answer=error                          => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        180s                                       => Completing Complete(CONTINUE,Drained) 10s Completing; error: Completing
        185s                                       => Completing Complete(CONTINUE,Drained) 10s Completing; error: Completing
        240s DRAINING!,ACTIVE                      => Completing search≥5m1s 10s Completing
        300s                                       => Completing search≥5m1s 10s Completing
        310s DRAINING!,DRAINING tasks=web:STOPPING => Completing saved 30s Unknown(new)
        320s                                       => Waiting saved search≥6m21s 30s TasksLeft(1)
        8 writes
    "#]]);
}
