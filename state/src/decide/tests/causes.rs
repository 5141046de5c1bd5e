//! The causes that keep a drain from moving, in its record.

use super::fixture::{Played, check, show};
use expect_test::expect;

/// Causes are written once while nothing else changes, and again only when they differ.
#[test]
fn causes_are_written_when_they_change() {
    check(expect![[r#"
        0s   ACTIVE tasks=web:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                 => Waiting saved search≥1m6s 30s TasksLeft(1)
        2m   because=NoRoom           => Waiting saved 30s TasksLeft(1)
        3m                            => Waiting 30s TasksLeft(1)
        4m   because=NoRoom,Protected => Waiting saved 30s TasksLeft(1)
        5m   because=none tasks=none  => Verifying saved 30s SecondLook(0s)
        6 writes
    "#]]);
}

/// The message has both parts: the reason of the wait, and the cause that prolongs it.
#[test]
fn the_message_says_both() {
    let mut played = Played::open("", "");
    for line in ["0s ACTIVE tasks=web:RUNNING", "5s DRAINING", "2m because=NoRoom"] {
        played.pass(line, show);
    }
    assert_eq!(
        played.drain.record.shown.message,
        "task t1 of service web is RUNNING; because of NoRoom"
    );
}

/// The start and the end of being stuck are written once each, with the moment of the last
/// progress.
#[test]
fn a_drain_that_is_stuck_says_since_when() {
    check(expect![[r#"
        0s   ACTIVE tasks=web:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                 => Waiting saved search≥1m6s 30s TasksLeft(1)
        16m  stuck=15m                => Waiting saved 30s TasksLeft(1)
        17m  stuck=16m                => Waiting 30s TasksLeft(1)
        18m  stuck=none               => Waiting saved 30s TasksLeft(1)
        5 writes
    "#]]);
    let mut played = Played::open("", "");
    for line in ["0s ACTIVE tasks=web:RUNNING", "5s DRAINING", "16m stuck=15m", "17m stuck=16m"] {
        played.pass(line, show);
    }
    let since = played.drain.record.shown.stuck_since.map(|since| since.to_string());
    assert_eq!(since.as_deref(), Some("2026-01-01T00:01:01Z"), "a read takes a second");
}

/// After a restart a record shows the reason that the process before it found, until this one has
/// read something.
#[test]
fn a_new_process_does_not_say_that_it_has_read_nothing() {
    let mut played = Played::open("", "");
    played.pass("0s ACTIVE found=web/60 targets=web:healthy", show);
    played.pass("5s DRAINING", show);
    let before = played.drain.record.shown.clone();
    let decided = played.pass("6m restart group=?", show);
    assert!(decided.ends_with("Unknown(the groups have not been read yet)"), "{decided}");
    let after = &played.drain.record.shown;
    assert_eq!((&after.why, &after.message), (&before.why, &before.message));
}
