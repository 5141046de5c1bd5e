//! What has been seen unbroken, and since when.

use super::fixture::check_sightings as check;

/// `takes_no_work` counts from the *end* of the first look, `clear` from the *beginning* of the first late enough.
#[test]
fn from_the_end_and_from_the_beginning() {
    check(
        "
        0s   ACTIVE   => progress=1s
        5s   DRAINING => takes_no_work=6s progress=1s
        65s           => takes_no_work=6s progress=1s
        66s           => takes_no_work=6s clear=1m6s progress=1s
        70s           => takes_no_work=6s clear=1m6s progress=1s
        3 writes
        ",
    );
}

/// A look that failed, or showed otherwise, breaks the chain.
#[test]
fn a_failed_look_breaks_the_chain() {
    check(
        "
        0s   DRAINING   => takes_no_work=1s progress=1s
        61s             => takes_no_work=1s clear=1m1s progress=1s
        66s  tasks=?    => takes_no_work=1s progress=1s
        71s  tasks=none => takes_no_work=1s clear=1m11s progress=1s
        76s  ci=?       => progress=1s
        81s  DRAINING   => takes_no_work=1m22s progress=1s
        141s            => takes_no_work=1m22s progress=1s
        142s            => takes_no_work=1m22s clear=2m22s progress=1s
        2 writes
        ",
    );
}

/// A restart forgets everything.
#[test]
fn a_restart_forgets() {
    check(
        "
        0s   DRAINING! => takes_no_work=1s agent_lost=1s progress=1s
        61s            => takes_no_work=1s clear=1m1s agent_lost=1s progress=1s
        66s  restart   => takes_no_work=1m7s agent_lost=1m7s progress=1m7s
        71s            => takes_no_work=1m7s agent_lost=1m7s progress=1m7s
        2 writes
        ",
    );
}

/// Absence and the past wait are counted in passes; an unknown neither counts nor breaks.
#[test]
fn passes_are_counted() {
    check(
        "
        0s   DRAINING! tasks=web:RUNNING group=Terminating:Proceed => takes_no_work=1s past_wait=1 agent_lost=1s progress=1s
        5s   group=?                                               => takes_no_work=1s past_wait=1 agent_lost=1s progress=1s
        10s  group=Terminating:Wait                                => takes_no_work=1s agent_lost=1s progress=1s
        15s  group=absent                                          => takes_no_work=1s gone=1 agent_lost=1s progress=1s
        20s  ci=?                                                  => gone=1 progress=1s
        25s  DRAINING                                              => takes_no_work=26s progress=1s
        30s  DRAINING!                                             => takes_no_work=26s gone=1 agent_lost=31s progress=1s
        2 writes
        ",
    );
}

/// Searches: the first that found nothing and the newest; one that found it breaks the row.
#[test]
fn searches() {
    check(
        "
        0s   ci=none => takes_no_work=1s progress=1s
        5s           => takes_no_work=1s nowhere=5s nowhere_last=5s progress=1s
        65s          => takes_no_work=1s clear=1m5s nowhere=5s nowhere_last=1m5s progress=1s
        70s          => takes_no_work=1s clear=1m5s nowhere=5s nowhere_last=1m5s progress=1s
        130s ACTIVE  => progress=1s
        135s         => progress=1s
        3 writes
        ",
    );
}

/// A container instance that was just found breaks both chains: nobody has seen that it takes no work.
#[test]
fn a_found_container_instance_breaks_the_chains() {
    check(
        "
        0s   DRAINING          => takes_no_work=1s progress=1s
        61s                    => takes_no_work=1s clear=1m1s progress=1s
        111s DRAINING,DRAINING => takes_no_work=1s clear=1m1s progress=1s
        116s                   => progress=1s
        121s                   => takes_no_work=2m2s progress=1s
        181s                   => takes_no_work=2m2s progress=1s
        182s                   => takes_no_work=2m2s clear=3m2s progress=1s
        3 writes
        ",
    );
}

/// Progress is fewer tasks or fewer targets, never a failed look.
#[test]
fn progress() {
    check(
        "
        0s   DRAINING tasks=web:RUNNING,web:RUNNING found=web/60 targets=web:healthy => takes_no_work=1s progress=1s
        5s                                                                           => takes_no_work=1s progress=1s
        10s  tasks=web:RUNNING                                                       => takes_no_work=1s progress=11s
        15s  tasks=?                                                                 => takes_no_work=1s progress=11s
        20s  tasks=web:RUNNING                                                       => takes_no_work=1s progress=11s
        25s  targets=none                                                            => takes_no_work=1s progress=26s
        30s  targets=web:draining                                                    => takes_no_work=1s progress=26s
        35s  tasks=none                                                              => takes_no_work=1s progress=36s
        3 writes
        ",
    );
}

/// Balancers are seldom looked at while tasks are left: fewer tasks are progress without them.
#[test]
fn progress_while_the_balancers_are_not_looked_at() {
    check(
        "
        0s   DRAINING tasks=web:RUNNING,web:RUNNING found=web/60 targets=? => takes_no_work=1s progress=1s
        10s  tasks=web:RUNNING                                             => takes_no_work=1s progress=11s
        15s                                                                => takes_no_work=1s progress=11s
        20s  tasks=none targets=web:draining                               => takes_no_work=1s progress=21s
        85s  targets=none                                                  => takes_no_work=1s clear=1m25s progress=1m26s
        3 writes
        ",
    );
}

/// A container instance that is gone from its cluster has no agent to lose: of two, the one that is there counts.
#[test]
fn what_is_gone_has_no_agent() {
    check(
        "
        policy opened=2
        0s   INACTIVE!,MISSING   => takes_no_work=1s progress=1s
        5s   INACTIVE!,DRAINING  => takes_no_work=1s progress=1s
        10s  INACTIVE!,DRAINING! => takes_no_work=1s agent_lost=11s progress=1s
        15s  MISSING,MISSING     => takes_no_work=1s progress=1s
        2 writes
        ",
    );
}
