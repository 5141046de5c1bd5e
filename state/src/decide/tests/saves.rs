//! Writes of the record: at most eight, and none while the drain merely waits.

use super::fixture::{Played, check, show};
use expect_test::expect;

/// Tasks and targets that go one by one cause no write for five minutes; then the lists are
/// refreshed.
#[test]
fn a_shrinking_list_is_refreshed_after_five_minutes() {
    check(expect![[r#"
        0s    ACTIVE tasks=web:RUNNING,web:RUNNING,web:RUNNING found=web/60 targets=web:healthy => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s    DRAINING                                                                          => Waiting saved search≥1m6s 30s TasksLeft(3)
        10s   tasks=web:RUNNING,web:RUNNING                                                     => Waiting search≥1m6s 30s TasksLeft(2)
        305s  tasks=web:RUNNING                                                                 => Waiting saved 30s TasksLeft(1)
        310s                                                                                    => Waiting 30s TasksLeft(1)
        400s  tasks=web:DEACTIVATING targets=web:draining                                       => Waiting 30s TasksLeft(1)
        609s                                                                                    => Waiting 30s TasksLeft(1)
        10m                                                                                     => Waiting 30s TasksLeft(1)
        4 writes
    "#]]);
}

/// Nothing changes for an hour: nothing is written.
#[test]
fn an_hour_of_waiting() {
    check(expect![[r#"
        0s    ACTIVE tasks=web:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s    DRAINING                 => Waiting saved search≥1m6s 30s TasksLeft(1)
        10m                            => Waiting 30s TasksLeft(1)
        20m                            => Waiting 30s TasksLeft(1)
        1h                             => Waiting 30s TasksLeft(1)
        3 writes
    "#]]);
}

/// Reads that fail now and then are written when the record is refreshed, not each time.
#[test]
fn unknowns_are_written_once_in_five_minutes() {
    check(expect![[r#"
        0s    ACTIVE tasks=web:RUNNING              => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s    DRAINING                              => Waiting saved search≥1m6s 30s TasksLeft(1)
        10s   tasks=web:RUNNING,web:RUNNING found=? => Waiting search≥1m6s 30s TasksLeft(2)
        15s   found=none                            => Waiting search≥1m6s 30s TasksLeft(2)
        100s  ci=?                                  => Waiting 30s TasksLeft(2)
        306s                                        => Waiting saved 30s Unknown(ci)
        311s  DRAINING                              => Waiting 30s TasksLeft(2)
        4 writes
    "#]]);
}

/// A hook that is changed while it holds the instance: the record follows, so that heartbeats come
/// in time.
#[test]
fn the_hook_as_it_is_now() {
    let mut played = Played::open("", "");
    played.pass("0s DRAINING tasks=web:RUNNING hook=60", show);
    let decided = played.pass("5s hook=30", show);
    assert_eq!(decided, "Waiting saved search≥1m1s 30s TasksLeft(1)");
    assert_eq!(played.drain.record.lifecycle.as_ref().unwrap().heartbeat_timeout_seconds, 30);
}
