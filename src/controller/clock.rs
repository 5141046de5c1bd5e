//! The one clock: the wall clock that the SDK signs with is the one that decisions are made with, and spans are
//! measured on tokio's monotonic clock.

use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use ecs_drain_state::Mono;
use jiff::Timestamp;
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// Where `now` comes from.
#[derive(Clone, Debug)]
pub struct Clock {
    source: SharedTimeSource,
    begun: Instant,
}

impl Clock {
    /// The clock of one life of a controller. `source` is the SDK's time source; None is the machine's clock.
    pub fn start(source: Option<SharedTimeSource>) -> Clock {
        let source = source.unwrap_or_else(|| SharedTimeSource::new(SystemTimeSource::new()));
        // The one place that reads tokio's clock.
        #[allow(clippy::disallowed_methods)]
        let begun = Instant::now();
        Clock { source, begun }
    }

    /// The wall clock. It may jump.
    pub fn now(&self) -> Timestamp {
        Timestamp::try_from(self.source.now()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Time since this life began. It never jumps.
    pub fn mono(&self) -> Mono {
        self.begun.elapsed()
    }
}

/// Longer than any loop that has work, or none, goes without a beat.
const STANDSTILL: Duration = Duration::from_secs(30);

/// Whether this process has run all the time. One that is stopped (SIGSTOP, a starved or a frozen machine) goes on in
/// the middle of whatever it did, and cannot tell by its answers that they are of two different times.
#[derive(Debug, Default)]
pub struct Pulse {
    /// When it was last known to run.
    last: Cell<Mono>,
    /// When it last woke.
    woke: Cell<Option<Mono>>,
}

impl Pulse {
    /// It runs now.
    pub fn beat(&self, now: Mono) {
        if now.saturating_sub(self.last.get()) > STANDSTILL {
            self.woke.set(Some(now));
        }
        self.last.set(now);
    }

    /// Whether it has stood still at any time since then. What begins in the moment in which it wakes begins afterwards.
    pub fn stood_still_since(&self, then: Mono, now: Mono) -> bool {
        self.beat(now);
        self.woke.get().is_some_and(|woke| woke > then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_standstill_and_is_one_of_its_time() {
        let (pulse, at) = (Pulse::default(), Duration::from_secs);
        for second in 1..=20 {
            pulse.beat(at(second));
        }
        assert!(!pulse.stood_still_since(at(0), at(45)), "a slow call of somebody's");
        pulse.beat(at(46));
        assert!(pulse.stood_still_since(at(40), at(100)), "nothing for 54 s, also where nobody was there to beat");
        pulse.beat(at(101));
        assert!(pulse.stood_still_since(at(99), at(102)), "a look that began before it woke");
        assert!(!pulse.stood_still_since(at(100), at(103)), "one that began in the moment in which it woke");
        assert!(!pulse.stood_still_since(at(101), at(103)), "one that began afterwards");
    }
}
