//! An instance under the ecs-drain hook that is in no cluster.

use super::fixture::check;
use expect_test::expect;

/// Complete searches one after the other, for ten minutes by default.
#[test]
fn searched_for_ten_minutes_then_completed() {
    check(expect![[r#"
        0s    ci=none => Pending search≥1s 30s NotInCluster(10m)
        5s            => Pending search≥1m6s 30s NotInCluster(9m59s)
        10s           => Pending search≥1m6s 30s NotInCluster(9m54s)
        61s           => Pending search≥1m6s 30s NotInCluster(9m3s)
        66s           => Pending search≥2m7s 30s NotInCluster(8m58s)
        598s          => Pending saved search≥10m59s 6s NotInCluster(6s)
        665s          => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing; accepted: Done(NotInCluster)
        4 writes
    "#]]);
}

/// Searches that fail are no evidence.
#[test]
fn searches_that_fail() {
    check(expect![[r#"
        0s    ci=none search=fails => Pending search≥1s 30s NotInCluster(10m)
        10m                        => Pending saved search≥10m1s 30s NotInCluster(10m)
        15m   search=works         => Pending search≥16m1s 30s NotInCluster(9m59s)
        26m                        => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing; accepted: Done(NotInCluster)
        4 writes
    "#]]);
}

/// The time counts from the first search that found nothing, not from the beginning of the drain.
#[test]
fn found_nowhere_late() {
    check(expect![[r#"
        0s    ci=none search=fails => Pending search≥1s 30s NotInCluster(10m)
        595s  search=works         => Pending saved search≥10m56s 30s NotInCluster(9m59s)
        655s                       => Pending search≥10m56s 30s NotInCluster(8m59s)
        1150s                      => Pending search≥20m11s 30s NotInCluster(44s)
        1194s                      => Pending search≥20m11s 30s NotInCluster(0s)
        1211s                      => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing; accepted: Done(NotInCluster)
        4 writes
    "#]]);
}

/// The clock of the searching process measures the time: a jump of the wall clock does not shorten
/// it, and a restart begins it anew.
#[test]
fn the_process_that_searches_measures_the_time() {
    check(expect![[r#"
        0s    ci=none   => Pending search≥1s 30s NotInCluster(10m)
        66s   clock=+1h => Pending saved search≥2m7s 30s NotInCluster(9m59s)
        300s  restart   => Pending search≥5m1s 30s NotInCluster(10m)
        665s            => Pending search≥12m6s 30s NotInCluster(9m59s)
        1200s           => Pending search≥21m1s 30s NotInCluster(1m4s)
        1270s           => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing; accepted: Done(NotInCluster)
        4 writes
    "#]]);
}

/// The policy can hold it.
#[test]
fn held_by_policy() {
    check(expect![[r#"
        policy not-in-cluster=hold
        0s    ci=none => Pending search≥1s 30s HeldNotInCluster
        5s            => Pending search≥1m6s 30s HeldNotInCluster
        20m           => Pending saved search≥21m1s 30s HeldNotInCluster
        2 writes
    "#]]);
}

/// It registered late: it is drained as any other.
#[test]
fn it_registers_late() {
    check(expect![[r#"
        0s    ci=none                    => Pending search≥1s 30s NotInCluster(10m)
        5s                               => Pending search≥1m6s 30s NotInCluster(9m59s)
        66s   ACTIVE                     => Pending saved 30s Unknown(new)
        71s                              => Deregistering saved SetDraining(c1) 5s AskedToDrain
        75s   DRAINING tasks=web:RUNNING => Waiting saved search≥2m16s 30s TasksLeft(1)
        4 writes
    "#]]);
}

/// It registers while its action is being completed: the intent is dropped, and it is drained.
#[test]
fn it_registers_while_completing() {
    check(expect![[r#"
        0s    ci=none                    => Pending search≥1s 30s NotInCluster(10m)
        5s                               => Pending search≥1m6s 30s NotInCluster(9m59s)
        66s                              => Pending search≥2m7s 30s NotInCluster(8m58s)
        665s  dies-after-save            => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing
        676s                             => Completing search≥11m6s 30s Completing
        681s  ACTIVE                     => Deregistering saved 30s Unknown(new)
        686s tasks=web:RUNNING found=?   => Deregistering 30s Unknown(found)
        691s  found=web/30               => Deregistering saved SetDraining(c1) 5s AskedToDrain
        696s  DRAINING tasks=web:RUNNING => Waiting saved search≥12m37s 30s TasksLeft(1)
        5 writes
    "#]]);
}

/// While completions fail the instance may still register: each call needs a search that is at most
/// a minute old.
#[test]
fn it_registers_while_auto_scaling_cannot_be_told() {
    check(expect![[r#"
        0s    ci=none      => Pending search≥1s 30s NotInCluster(10m)
        5s                 => Pending search≥1m6s 30s NotInCluster(9m59s)
        66s                => Pending search≥2m7s 30s NotInCluster(8m58s)
        665s  answer=error => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing; error: Completing
        675s               => Completing Complete(CONTINUE,NotInCluster) 10s Completing; error: Completing
        716s               => Completing Complete(CONTINUE,NotInCluster) 10s Completing; error: Completing
        721s               => Completing Complete(CONTINUE,NotInCluster) 10s Completing; error: Completing
        725s               => Completing search≥12m6s 30s Completing
        786s  ACTIVE       => Deregistering saved 30s Unknown(new)
        791s               => Deregistering saved SetDraining(c1) 5s AskedToDrain
        796s               => Deregistering SetDraining(c1) 5s AskedToDrain
        8 writes
    "#]]);
}

/// After a restart the call needs a search of this process.
#[test]
fn a_restart_while_completing() {
    check(expect![[r#"
        0s    ci=none         => Pending search≥1s 30s NotInCluster(10m)
        5s                    => Pending search≥1m6s 30s NotInCluster(9m59s)
        66s                   => Pending search≥2m7s 30s NotInCluster(8m58s)
        665s  dies-after-save => Completing saved Complete(CONTINUE,NotInCluster) 10s Completing
        676s  search=fails    => Completing search≥11m6s 30s Completing
        681s                  => Completing search≥11m6s 30s Completing
        686s  search=works    => Completing Complete(CONTINUE,NotInCluster) 10s Completing; accepted: Done(NotInCluster)
        3 writes
    "#]]);
}

/// While a cluster that the configuration leaves out has the instance, nothing is done to it, in
/// other clusters neither.
#[test]
fn also_in_a_cluster_that_is_left_out() {
    check(expect![[r#"
        0s   ACTIVE unread=dev        => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                 => Verifying saved search≥1m6s 30s Settling(1m)
        67s  left-out=dev unread=none => Verifying search≥2m8s 30s Unknown(it is also in cluster dev, which the configuration leaves out; held until it is deregistered there)
        100s ACTIVE                   => Verifying search≥2m8s 30s Unknown(it is also in cluster dev, which the configuration leaves out; held until it is deregistered there)
        130s unread=dev left-out=none => Verifying search≥3m11s 30s Unknown(it is also in cluster dev, which the configuration leaves out; held until it is deregistered there)
        190s unread=none              => Verifying search≥3m11s 30s Unknown(it is also in cluster dev, which the configuration leaves out; held until it is deregistered there)
        200s                          => Deregistering saved SetDraining(c1) 5s AskedToDrain
        4 writes
    "#]]);
    check(expect![[r#"
        0s   ci=none left-out=dev => Pending search≥1s 30s NotInCluster(10m)
        5s                        => Pending search≥1m6s 30s Unknown(it is also in cluster dev, which the configuration leaves out; held until it is deregistered there)
        20m                       => Pending saved search≥21m1s 30s Unknown(it is also in cluster dev, which the configuration leaves out; held until it is deregistered there)
        21m  left-out=none        => Pending search≥21m1s 30s Unknown(it is also in cluster dev, which the configuration leaves out; held until it is deregistered there)
        2 writes
    "#]]);
}
