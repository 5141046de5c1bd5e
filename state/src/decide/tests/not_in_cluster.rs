//! An instance under our hook that is in no cluster.

use super::fixture::check;

/// Two complete searches, a grace apart, and then ten minutes by default.
#[test]
fn searched_twice_then_completed() {
    check(
        "
        0s    ci=none => Pending search≥1s 30s NotInCluster(9m59s)
        5s            => Pending search≥1m5s 30s NotInCluster(9m54s)
        10s           => Pending search≥1m5s 30s NotInCluster(9m49s)
        61s           => Pending search≥1m5s 30s NotInCluster(8m58s)
        66s           => Pending search≥2m6s 30s NotInCluster(8m53s)
        598s          => Pending saved search≥10m58s 1s NotInCluster(1s)
        599s          => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing; accepted: Done(NotInCluster)
        4 writes
        ",
    );
}

/// The grace alone is not enough: without two complete searches it is held.
#[test]
fn searches_that_fail() {
    check(
        "
        0s    ci=none search=fails => Pending search≥1s 30s NotInCluster(9m59s)
        10m                        => Pending saved search≥10m1s 30s NotInCluster(0s)
        15m   search=works         => Pending search≥16m 30s NotInCluster(0s)
        20m                        => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing; accepted: Done(NotInCluster)
        4 writes
        ",
    );
}

/// Two searches less than a minute apart count as one.
#[test]
fn searches_too_close() {
    check(
        "
        0s    ci=none search=fails => Pending search≥1s 30s NotInCluster(9m59s)
        595s  search=works         => Pending saved search≥10m55s 4s NotInCluster(4s)
        600s                       => Pending search≥10m55s 30s NotInCluster(0s)
        640s                       => Pending search≥10m55s 30s NotInCluster(0s)
        655s                       => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing; accepted: Done(NotInCluster)
        4 writes
        ",
    );
}

/// The policy can say to hold it.
#[test]
fn held_by_policy() {
    check(
        "
        policy not-in-cluster=hold
        0s    ci=none => Pending search≥1s 30s HeldNotInCluster
        5s            => Pending search≥1m5s 30s HeldNotInCluster
        20m           => Pending saved search≥21m 30s HeldNotInCluster
        2 writes
        ",
    );
}

/// It registered late: it is drained as any other.
#[test]
fn it_registers_late() {
    check(
        "
        0s    ci=none                    => Pending search≥1s 30s NotInCluster(9m59s)
        5s                               => Pending search≥1m5s 30s NotInCluster(9m54s)
        65s   ACTIVE                     => Pending saved 30s Unknown(new)
        70s                              => Deregistering saved SetDraining(c1) 5s AskedToDrain
        75s   DRAINING tasks=web:RUNNING => Waiting saved search≥2m16s 30s TasksLeft(1)
        4 writes
        ",
    );
}

/// It registers while Auto Scaling is being told: the intent is dropped, it is drained.
#[test]
fn it_registers_while_completing() {
    check(
        "
        0s    ci=none                    => Pending search≥1s 30s NotInCluster(9m59s)
        5s                               => Pending search≥1m5s 30s NotInCluster(9m54s)
        65s                              => Pending search≥2m5s 30s NotInCluster(8m54s)
        599s  dies-after-save            => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing
        610s                             => Completing search≥10m 30s Completing
        615s  ACTIVE                     => Deregistering saved 30s Unknown(new)
        620s tasks=web:RUNNING found=?   => Deregistering 30s Unknown(found)
        625s  found=web/30               => Deregistering saved SetDraining(c1) 5s AskedToDrain
        630s  DRAINING tasks=web:RUNNING => Waiting saved search≥11m31s 30s TasksLeft(1)
        5 writes
        ",
    );
}

/// While Auto Scaling cannot be told it may register after all: each call needs a search that is not older than a
/// minute.
#[test]
fn it_registers_while_auto_scaling_cannot_be_told() {
    check(
        "
        0s    ci=none      => Pending search≥1s 30s NotInCluster(9m59s)
        5s                 => Pending search≥1m5s 30s NotInCluster(9m54s)
        65s                => Pending search≥2m5s 30s NotInCluster(8m54s)
        599s  answer=error => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing; error: Completing
        609s               => Completing Complete(CONTINUE,NotInCluster) 10s Completing; error: Completing
        650s               => Completing Complete(CONTINUE,NotInCluster) 10s Completing; error: Completing
        655s               => Completing Complete(CONTINUE,NotInCluster) 10s Completing; error: Completing
        659s               => Completing search≥10m59s 30s Completing
        720s  ACTIVE       => Deregistering saved 30s Unknown(new)
        725s               => Deregistering saved SetDraining(c1) 5s AskedToDrain
        730s               => Deregistering SetDraining(c1) 5s AskedToDrain
        8 writes
        ",
    );
}

/// After a restart the call needs a search of this process.
#[test]
fn a_restart_while_completing() {
    check(
        "
        0s    ci=none         => Pending search≥1s 30s NotInCluster(9m59s)
        5s                    => Pending search≥1m5s 30s NotInCluster(9m54s)
        65s                   => Pending search≥2m5s 30s NotInCluster(8m54s)
        599s  dies-after-save => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing
        610s  search=fails    => Completing search≥10m 30s Completing
        615s                  => Completing search≥10m 30s Completing
        620s  search=works    => Completing Complete(CONTINUE,NotInCluster) 10s Completing; accepted: Done(NotInCluster)
        3 writes
        ",
    );
}
