//! The one clock: the wall clock that the SDK signs with is the one that decisions are made with,
//! and spans are measured on tokio's monotonic clock.

use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use ecs_drain_state::{Mono, Now};
use jiff::Timestamp;
use std::cell::Cell;
use tokio::time::Instant;

/// Where `now` comes from.
#[derive(Clone, Debug)]
pub struct Clock {
    source: SharedTimeSource,
    begun: Instant,
}

impl Clock {
    /// The clock of one life of a controller. `source` is the SDK's time source; None is the
    /// machine's clock.
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
        Mono::at(self.begun.elapsed())
    }

    /// The runtime's name for a moment.
    pub fn instant(&self, at: Mono) -> Instant {
        // Never is in ten years: no later moment is sure to exist.
        self.begun
            .checked_add(at.since_start())
            .unwrap_or(self.begun + std::time::Duration::from_secs(10 * 365 * 86_400))
    }

    /// Both.
    pub fn both(&self) -> Now {
        Now { mono: self.mono(), wall: self.now() }
    }
}

/// Until when this replica may act: what the lease says, asked right before each act.
#[derive(Debug)]
pub struct Leadership {
    clock: Clock,
    until: Cell<Option<Mono>>,
}

impl Leadership {
    /// This replica does not lead.
    pub fn none(clock: Clock) -> Leadership {
        Leadership { clock, until: Cell::new(None) }
    }

    /// It leads until then, or does not lead.
    pub fn set(&self, until: Option<Mono>) {
        self.until.set(until);
    }

    /// Returns whether it leads now.
    pub fn leads(&self) -> bool {
        self.until.get().is_some_and(|until| self.clock.mono() < until)
    }
}
