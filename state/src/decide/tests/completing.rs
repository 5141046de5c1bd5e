//! Completing: the intent is permission, not evidence.

use super::fixture::check;

/// The call is made again until our action is over; `No active` after our intent is success.
#[test]
fn asked_again_after_an_error() {
    check(
        "
        0s   DRAINING         => Verifying saved 30s Settling(1m1s)
        61s                   => Verifying 30s SecondLook(1m)
        111s                  => Verifying search≥1m1s 5s LookingForRegistrations
        121s answer=error     => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        131s                  => Completing Complete(CONTINUE,Drained) 10s Completing; error: Completing
        141s answer=no-active => Completing Complete(CONTINUE,Drained) 10s Completing; no-active: Done(Drained)
        6 writes
        ",
    );
}

/// The process dies before the save: the proof is found again from the beginning.
#[test]
fn dies_before_the_intent_is_saved() {
    check(
        "
        0s   DRAINING         => Verifying saved 30s Settling(1m1s)
        61s                   => Verifying 30s SecondLook(1m)
        111s                  => Verifying search≥1m1s 5s LookingForRegistrations
        121s dies-before-save => Completing saved Complete(CONTINUE,Drained) 10s Completing
        130s                  => Verifying 30s Settling(1m1s)
        135s                  => Verifying 30s Settling(56s)
        191s                  => Verifying 30s SecondLook(1m)
        241s                  => Verifying search≥3m11s 5s LookingForRegistrations
        251s                  => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
        ",
    );
}

/// The process dies after the save: the next one searches every cluster, and completes with a look of its own.
#[test]
fn dies_after_the_intent_is_saved() {
    check(
        "
        0s   DRAINING        => Verifying saved 30s Settling(1m1s)
        61s                  => Verifying 30s SecondLook(1m)
        111s                 => Verifying search≥1m1s 5s LookingForRegistrations
        121s dies-after-save => Completing saved Complete(CONTINUE,Drained) 10s Completing
        130s                 => Completing search≥2m10s 5s LookingForRegistrations
        135s                 => Completing Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
        ",
    );
}

/// That look is needed: unknown is no evidence, whatever the record permits.
#[test]
fn nothing_is_completed_blind() {
    check(
        "
        0s   DRAINING found=web/10  => Verifying saved 5s Unknown(new)
        61s                         => Verifying 30s SecondLook(1m)
        111s                        => Verifying search≥1m1s 5s LookingForRegistrations
        121s dies-after-save        => Completing saved Complete(CONTINUE,Drained) 10s Completing
        130s ci=?                   => Completing 5s Unknown(ci)
        135s DRAINING tasks=?       => Completing 5s Unknown(tasks)
        140s tasks=none found=?     => Completing 5s Unknown(found)
        145s found=web/10 targets=? => Completing 5s Unknown(targets)
        # Whether the group can be read does not matter for the evidence.
        150s targets=none group=?   => Completing search≥2m30s 5s LookingForRegistrations
        155s search=fails           => Completing search≥2m35s 5s LookingForRegistrations
        160s search=works           => Completing Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        4 writes
        ",
    );
}

/// A task is back: the intent is dropped, and the proof is made anew.
#[test]
fn a_task_is_back() {
    check(
        "
        0s   DRAINING           => Verifying saved 30s Settling(1m1s)
        61s                     => Verifying 30s SecondLook(1m)
        111s                    => Verifying search≥1m1s 5s LookingForRegistrations
        121s dies-after-save    => Completing saved Complete(CONTINUE,Drained) 10s Completing
        130s tasks=web:STOPPING => Waiting saved 5s TasksLeft(1)
        135s tasks=none         => Verifying saved 30s Settling(56s)
        140s                    => Verifying 30s Settling(51s)
        195s                    => Verifying 30s SecondLook(1m)
        245s                    => Verifying search≥3m15s 5s LookingForRegistrations
        255s                    => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        7 writes
        ",
    );
}

/// A registration is back: the intent is dropped.
#[test]
fn a_target_is_back() {
    check(
        "
        0s   DRAINING found=web/10 => Verifying saved 5s Unknown(new)
        61s                        => Verifying 30s SecondLook(1m)
        111s                       => Verifying search≥1m1s 5s LookingForRegistrations
        121s answer=error          => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        131s targets=web:draining  => Verifying saved 5s TargetsLeft(1)
        136s targets=none          => Verifying search≥2m16s 5s LookingForRegistrations
        146s                       => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        7 writes
        ",
    );
}

/// Someone undid our DRAINING: the intent is dropped, and it is drained again.
#[test]
fn active_again() {
    check(
        "
        0s   DRAINING     => Verifying saved 30s Settling(1m1s)
        61s               => Verifying 30s SecondLook(1m)
        111s              => Verifying search≥1m1s 5s LookingForRegistrations
        121s answer=error => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        131s ACTIVE       => Deregistering saved SetDraining(c1) 5s AskedToDrain
        136s DRAINING     => Verifying saved 30s Settling(1m1s)
        6 writes
        ",
    );
}

/// A registration that nobody has looked at yet keeps the call back until it was looked at.
#[test]
fn an_obligation_found_late() {
    check(
        "
        0s   DRAINING              => Verifying saved 30s Settling(1m1s)
        61s                        => Verifying 30s SecondLook(1m)
        111s                       => Verifying search≥1m1s 5s LookingForRegistrations
        121s answer=error          => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        131s found=late/30         => Completing saved 5s Unknown(new)
        136s targets=late:draining => Verifying saved 5s TargetsLeft(1)
        6 writes
        ",
    );
}

/// After a restart a dead instance's agent must be seen away past its grace again: it costs time, never proof.
#[test]
fn a_dead_instance_after_a_restart() {
    check(
        "
        0s    DRAINING! tasks=web:RUNNING group=Terminating:Wait! => Waiting saved 5s TasksLeft(1)
        602s                                                      => Verifying saved 30s SecondLook(1m)
        652s                                                      => Verifying search≥10m2s 5s LookingForRegistrations
        662s  answer=error                                        => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        672s  restart                                             => Waiting saved 5s TasksLeft(1)
        677s                                                      => Waiting 5s TasksLeft(1)
        1273s                                                     => Verifying saved 30s SecondLook(1m)
        1323s                                                     => Verifying search≥21m13s 5s LookingForRegistrations
        1333s answer=accepted                                     => Completing saved Complete(CONTINUE,Drained) 10s Completing; accepted: Done(Drained)
        9 writes
        ",
    );
}

/// While Auto Scaling cannot be told, an agent may register its instance once more, and tasks land there: after a minute
/// every cluster is searched again before it is asked again.
#[test]
fn an_old_search_is_no_evidence() {
    check(
        "
        0s   DRAINING                             => Verifying saved 30s Settling(1m1s)
        61s                                       => Verifying 30s SecondLook(1m)
        111s                                      => Verifying search≥1m1s 5s LookingForRegistrations
        121s answer=error                         => Completing saved Complete(CONTINUE,Drained) 10s Completing; error: Completing
        180s                                      => Completing Complete(CONTINUE,Drained) 10s Completing; error: Completing
        185s                                      => Completing search≥3m5s 5s LookingForRegistrations
        240s DRAINING,ACTIVE                      => Completing saved 5s Unknown(new)
        245s                                      => Deregistering saved SetDraining(c2) 5s AskedToDrain
        250s DRAINING,DRAINING tasks=web:STOPPING => Waiting saved 5s TasksLeft(1)
        8 writes
        ",
    );
}
