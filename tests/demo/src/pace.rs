//! How the clock of the simulation is kept from running away.
//!
//! The runtime's clock is paused: it jumps to the next timer whenever there is nothing else to do.
//! A blocking call keeps it from jumping, so every half simulated second one waits until the wall
//! clock has caught up.

use std::cell::Cell;
use std::convert::Infallible;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// How much simulated time passes between two looks at the wall clock.
const STEP: Duration = Duration::from_millis(500);

/// Keeps to at most so many simulated seconds a second, for ever. None is no limit. It is a
/// ceiling: where the machine is slower, time that was lost is not made up for.
pub async fn keep(speed: &Cell<Option<u32>>) -> Infallible {
    let mut due = Wall::now();
    loop {
        sleep(STEP).await;
        let Some(speed) = speed.get() else {
            due = Wall::now();
            continue;
        };
        due = Wall(due.0 + STEP / speed.max(1)).max(Wall::now());
        let ahead = due.0.saturating_duration_since(Wall::now().0);
        if !ahead.is_zero() {
            // A sleep that was cut short makes one step shorter, and nothing else.
            let _ = spawn_blocking(move || std::thread::sleep(ahead)).await;
        }
    }
}

/// The wall clock, the only one here that the simulation does not move.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(std::time::Instant);

impl Wall {
    /// The present moment.
    pub fn now() -> Wall {
        // Tokio's clock is the one that is to be kept from running away.
        #[allow(clippy::disallowed_methods)]
        let now = std::time::Instant::now();
        Wall(now)
    }
}
