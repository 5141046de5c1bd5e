//! The limit on the speed of the simulation's clock.
//!
//! The runtime's clock is paused: it jumps to the next timer whenever there is nothing else to do.
//! A blocking call keeps it from jumping, so a call every half simulated second waits until the
//! wall clock has caught up.

use std::cell::Cell;
use std::convert::Infallible;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// The simulated time between two reads of the wall clock.
const STEP: Duration = Duration::from_millis(500);

/// Limits the speed to this many simulated seconds a second, for ever; `None`: no limit. Where the
/// machine is slower, lost time is not caught up.
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

/// The wall clock: the only clock here that the simulation does not move.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(std::time::Instant);

impl Wall {
    /// Returns the present moment.
    pub fn now() -> Wall {
        // Tokio's clock is the one that this limits.
        #[allow(clippy::disallowed_methods)]
        let now = std::time::Instant::now();
        Wall(now)
    }
}
