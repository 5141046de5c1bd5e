//! The real binary as a real process, in real time, against the simulated cloud on a socket:
//! killed, stopped, doubled, and started wrongly.
//!
//! | file | contents |
//! | --- | --- |
//! | `rig` | the cloud on its socket |
//! | `process` | processes that do not outlive their test |
//! | `stories` | drains whose processes are killed and stopped |
//! | `phases` | drains in every phase, whose process freezes or is asked to stop |
//! | `network` | drains over connections that break, garble and answer wrongly |
//! | `foreign` | text from outside, in the output and the log |
//! | `denied` | permissions that are denied for good, with the alarms of the stack |
//! | `health` | the answers to health checks and scrapers |
//! | `full_disk` | a table whose disk is full |
//! | `soak` | hours under load, with limits on memory |
//! | `rollouts` | the commands about rollouts |
//! | `starts` | the errors at a start when something is missing, and the commands that read the table |

mod denied;
mod foreign;
#[cfg(target_os = "linux")]
mod full_disk;
mod health;
mod network;
mod phases;
mod process;
mod rig;
mod rollouts;
#[cfg(target_os = "linux")]
mod soak;
mod starts;
mod stories;

use std::thread;

/// Every story at once: they mostly sleep, and the test runner gives a sleeping test one of as many
/// places as there are processors. `ECS_DRAIN_TEST_STORY` leaves only those with this text in their
/// names.
#[test]
fn processes_are_killed_and_stopped_and_every_drain_goes_on() {
    let only = std::env::var("ECS_DRAIN_TEST_STORY").unwrap_or_default();
    let chosen: Vec<_> = stories::ALL.iter().filter(|(name, _)| name.contains(&only)).collect();
    assert!(!chosen.is_empty(), "no story is called {only}");
    let running: Vec<_> = chosen
        .into_iter()
        .map(|(name, story)| {
            (name, thread::Builder::new().name((*name).to_owned()).spawn(story).unwrap())
        })
        .collect();
    let failed: Vec<_> =
        running.into_iter().filter_map(|(name, story)| story.join().err().map(|_| *name)).collect();
    assert!(
        failed.is_empty(),
        "these stories failed, each for the reason above: {}",
        failed.join(", ")
    );
}
