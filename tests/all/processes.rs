//! The real binary as a real process, in real time, against the simulated cloud on a socket: killed, stopped, doubled,
//! and started wrongly.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `rig` | the cloud on its socket, and processes that do not outlive their test |
//! | `stories` | drains whose processes are killed and stopped |
//! | `starts` | what a user is told when something is missing, and the commands that read the table |

mod rig;
mod starts;
mod stories;

use std::thread;

/// Every story at once: they mostly sleep, and the test runner gives a test that sleeps one of as many places as there
/// are processors.
#[test]
fn processes_are_killed_and_stopped_and_every_drain_goes_on() {
    let running: Vec<_> = stories::ALL
        .iter()
        .map(|(name, story)| (name, thread::Builder::new().name((*name).to_owned()).spawn(story).unwrap()))
        .collect();
    let failed: Vec<_> = running.into_iter().filter_map(|(name, story)| story.join().err().map(|_| *name)).collect();
    assert!(failed.is_empty(), "these stories failed, each for the reason above: {}", failed.join(", "));
}
