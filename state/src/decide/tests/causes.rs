//! Why a drain does not move, as it stands in the record.

use super::fixture::{Played, check, show};

/// Found out while nothing else changes: written once, and again only when the causes are others.
#[test]
fn causes_are_written_when_they_change() {
    check(
        "
        0s   ACTIVE tasks=web:RUNNING => Deregistering saved SetDraining(c1) 5s AskedToDrain
        5s   DRAINING                 => Waiting saved search≥1m6s 30s TasksLeft(1)
        2m   because=NoRoom           => Waiting saved 30s TasksLeft(1)
        3m                            => Waiting 30s TasksLeft(1)
        4m   because=NoRoom,Protected => Waiting saved 30s TasksLeft(1)
        5m   because=none tasks=none  => Verifying saved 30s SecondLook(0s)
        6 writes
        ",
    );
}

/// The sentence that a person reads says both: what it waits for, and why that does not come.
#[test]
fn the_message_says_both() {
    let mut played = Played::open("", "");
    for line in ["0s ACTIVE tasks=web:RUNNING", "5s DRAINING", "2m because=NoRoom"] {
        played.pass(line, show);
    }
    assert_eq!(played.drain.record.shown.message, "task t1 of service web is RUNNING; because of NoRoom");
}
