//! The reads that each phase needs: earliest time and urgency.

use super::fixture::check_needs as check;
use expect_test::expect;

/// A drain that cannot continue needs no reads: it waits in the queue, is paused, or rests in a
/// warm pool.
#[test]
fn nothing_where_nothing_can_be_done() {
    check(expect![[r#"
        0s   ACTIVE tasks=web:RUNNING turn=1/1+0 => Pending nothing
        10s  turn=now                            => Deregistering Status≥16s/Begun
        15s  DRAINING pause                      => Deregistering nothing
        1h                                       => Deregistering nothing
        2h   resume                              => Waiting Status≥2h16s/Show Tasks≥2h5m1s/Show Sweep≥1m16s/Show
        2h1s paused=Ada                          => Waiting nothing
        6 writes
    "#]]);
}

/// Two hours later the instance is in service again: its status is needed, to undo DRAINING.
#[test]
fn nothing_in_a_warm_pool() {
    check(expect![[r#"
        policy kind=returns-to-warm-pool
        0s   ACTIVE group=Warmed:Pending:Wait => Deregistering Status≥6s/Begun
        5s   DRAINING                         => Verifying Status≥36s/Later Running≥1m6s/Finish Sweep≥1m6s/Finish
        66s                                   => Verifying Status≥1m37s/Later Stopped≥2m7s/Finish
        127s                                  => Completing Status≥2m16s/Finish; accepted: Returning
        130s group=Warmed:Stopped             => Returning nothing
        2h                                    => Returning nothing
        3h   group=InService                  => Returning Status≥3h6s/Begin
        3h5s ACTIVE                           => Done(Drained) nothing
        7 writes
    "#]]);
}

/// These can be read ahead: list (a), the sweep, the targets; task descriptions while the counters
/// show that some stop; list (b) once nothing is left.
#[test]
fn a_whole_drain() {
    check(expect![[r#"
        0s   ACTIVE tasks=web:RUNNING,api:RUNNING found=web/60 targets=web:healthy => Deregistering Status≥6s/Begun
        5s   DRAINING                                                              => Waiting Status≥21s/Show Tasks≥5m6s/Show Running≥1m6s/Later Targets≥36s/Show Sweep≥1m6s/Show
        30s  tasks=web:RUNNING,api:STOPPING                                        => Waiting Status≥46s/Show Tasks≥5m31s/Show Running≥1m6s/Later Targets≥1m1s/Show Sweep≥1m6s/Show
        66s  tasks=web:RUNNING targets=web:draining                                => Waiting Status≥1m22s/Show Tasks≥6m7s/Show Targets≥1m30s/Show
        90s  tasks=web:STOPPING                                                    => Waiting Status≥2m1s/Later Tasks≥1m35s/Finish Targets≥1m32s/Show
        100s                                                                       => Waiting Status≥2m11s/Later Tasks≥1m45s/Finish Targets≥1m43s/Show
        130s targets=none                                                          => Waiting Status≥2m41s/Later Tasks≥2m15s/Finish
        135s tasks=none                                                            => Verifying Status≥2m46s/Later Stopped≥2m7s/Finish
        136s                                                                       => Verifying Status≥2m47s/Later Targets≥2m20s/Finish
        146s answer=error                                                          => Completing Status≥2m35s/Finish; error: Completing
        150s                                                                       => Completing Status≥2m39s/Finish; error: Completing
        8 writes
    "#]]);
}

/// A spot interruption leaves two minutes: ECS is asked to drain before anything is listed, and its
/// reads come first everywhere.
#[test]
fn a_spot_interruption_wants_only_the_status_first() {
    check(expect![[r#"
        policy then=leave origin=spot
        0s   ci=? tasks=? group=? => Pending Status≥0s/Spot
        1s   ACTIVE               => Deregistering Status≥7s/Spot
        5s   DRAINING             => Waiting Status≥36s/Later Running≥7s/Begun Sweep≥1m6s/Show
        10s  tasks=web:RUNNING    => Waiting Status≥26s/Show Tasks≥5m11s/Show Running≥1m11s/Later Sweep≥1m6s/Show
        3 writes
    "#]]);
}

/// With strategy `deregister`, tasks are waited for before ECS forgets them; nothing is listed of
/// an instance that is gone.
#[test]
fn deregistered() {
    check(expect![[r#"
        policy strategy=deregister
        0s   ACTIVE tasks=standalone:RUNNING found=web/60 targets=web:healthy => Deregistering Status≥6s/Begun Tasks≥5m1s/Show
        5s   DRAINING                                                         => Deregistering Status≥11s/Begun Tasks≥5m6s/Show
        10s  tasks=none                                                       => Deregistering Status≥16s/Begun Running≥1m6s/Finish
        66s                                                                   => Deregistering Status≥1m12s/Begun Stopped≥2m7s/Finish
        127s                                                                  => Deregistering Status≥2m13s/Begun
        130s INACTIVE                                                         => Waiting Status≥2m41s/Later Targets≥2m41s/Show Sweep≥3m11s/Show
        200s targets=none                                                     => Verifying Status≥3m51s/Later Targets≥3m30s/Finish
        6 writes
    "#]]);
}

/// A deadline acts on reads from after it passed: everything is needed from then.
#[test]
fn at_its_deadline() {
    check(expect![[r#"
        policy deadline=10m at-deadline=continue
        0s   DRAINING tasks=web:RUNNING found=web/60 targets=web:healthy => Waiting Status≥16s/Show Tasks≥5m1s/Show Running≥1m1s/Later Targets≥31s/Show Sweep≥1m1s/Show
        599s                                                             => Waiting Status≥10m/Begin Tasks≥10m/Begin Running≥10m/Begin Targets≥10m/Begin
        601s ci=? tasks=? targets=?                                      => Waiting Status≥10m/Begun Tasks≥10m/Begin Running≥10m/Begin Targets≥10m/Begin
        605s DRAINING tasks=web:RUNNING targets=web:healthy              => Completing nothing; accepted: Done(TimedOut)
        4 writes
    "#]]);
}

/// In no cluster: it is searched for, no more often than reads lag.
#[test]
fn in_no_cluster() {
    check(expect![[r#"
        0s   ci=none      => Pending Sweep≥1s/Begin
        5s                => Pending Sweep≥1m6s/Begin
        65s               => Pending Sweep≥1m6s/Begin
        70s  search=fails => Pending Sweep≥1m11s/Begin
        130s              => Pending Sweep≥2m11s/Begin
        1 writes
    "#]]);
}

/// While every agent is disconnected the states of its tasks are frozen: they are read now and
/// then.
#[test]
fn agents_away() {
    check(expect![[r#"
        0s   DRAINING! tasks=web:RUNNING found=web/60 targets=web:draining => Waiting Status≥16s/Show Tasks≥1m1s/Show Running≥1m1s/Later Targets≥5s/Show Sweep≥1m1s/Show
        10s                                                                => Waiting Status≥26s/Show Tasks≥1m11s/Show Running≥1m1s/Later Targets≥15s/Show Sweep≥1m1s/Show
        70s                                                                => Waiting Status≥1m26s/Show Tasks≥2m11s/Show Targets≥1m19s/Show
        605s group=Terminating:Wait!                                       => Verifying Status≥10m36s/Later Targets≥10m36s/Finish Sweep≥10m6s/Show
        3 writes
    "#]]);
}

/// While a call waits, its evidence is read again before it is too old.
#[test]
fn while_a_call_fails() {
    check(expect![[r#"
        0s   DRAINING     => Verifying Status≥31s/Later Running≥1m1s/Finish Sweep≥1m1s/Finish
        61s               => Verifying Status≥1m32s/Later Stopped≥2m2s/Finish
        122s answer=error => Completing Status≥2m11s/Finish; error: Completing
        130s ci=?         => Completing Status≥2m3s/Finish; error: Completing
        135s              => Completing Status≥2m16s/Last
        140s DRAINING     => Completing Status≥2m29s/Finish; error: Completing
        230s ci=? tasks=? => Completing Status≥3m51s/Last
        235s DRAINING     => Completing Status≥4m4s/Finish; error: Completing
        7 writes
    "#]]);
}

/// An operator's drain that ends otherwise than by its proof needs no reads.
#[test]
fn released() {
    check(expect![[r#"
        0s DRAINING tasks=web:RUNNING => Waiting Status≥16s/Show Tasks≥5m1s/Show Running≥1m1s/Later Sweep≥1m1s/Show
        5s force answer=error         => Completing nothing; error: Completing
        4 writes
    "#]]);
}

/// An operator's drain that waits for the instance's end: evidence that must be fresh at a call is
/// not read again and again.
#[test]
fn left_to_its_end() {
    check(expect![[r#"
        policy then=leave
        0s   DRAINING group=InService => Verifying Status≥31s/Later Running≥1m1s/Finish Sweep≥1m1s/Finish
        61s                           => Verifying Status≥1m32s/Later Stopped≥2m2s/Finish
        122s                          => Verifying Status≥2m33s/Later
        132s                          => Verifying Status≥2m43s/Later
        150s                          => Verifying Status≥3m1s/Later
        500s                          => Verifying Status≥8m51s/Later
        3 writes
    "#]]);
}
