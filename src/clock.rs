//! The process's one clock. Decisions use the wall clock that the SDK signs with; spans are
//! measured on tokio's monotonic clock.

use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use ecs_drain_state::{Mono, Now};
use jiff::Timestamp;
use std::cell::Cell;
use tokio::time::Instant;

/// Source of the wall clock and the monotonic clock.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    source: SharedTimeSource,
    begun: Instant,
}

impl Clock {
    /// Starts the clock of one life of a controller. `source` is the SDK's time source; `None` is
    /// the machine's clock.
    pub(crate) fn start(source: Option<SharedTimeSource>) -> Clock {
        let source = source.unwrap_or_else(|| SharedTimeSource::new(SystemTimeSource::new()));
        // The only place that reads tokio's clock.
        #[allow(clippy::disallowed_methods)]
        let begun = Instant::now();
        Clock { source, begun }
    }

    /// Returns the wall clock's time. It may jump.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::try_from(self.source.now()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Returns the time since this life began. It never jumps.
    pub(crate) fn mono(&self) -> Mono {
        Mono::at(self.begun.elapsed())
    }

    /// Converts a time to the runtime's type.
    pub(crate) fn instant(&self, at: Mono) -> Instant {
        // `NEVER` becomes ten years from the start: a later time may not be representable.
        self.begun
            .checked_add(at.since_start())
            .unwrap_or(self.begun + std::time::Duration::from_secs(10 * 365 * 86_400))
    }

    /// Returns the times of both clocks.
    pub(crate) fn both(&self) -> Now {
        Now { mono: self.mono(), wall: self.now() }
    }
}

/// Time until which this replica may act, according to the lease. It is checked immediately before
/// each action.
#[derive(Debug)]
pub(crate) struct Leadership {
    clock: Clock,
    until: Cell<Option<Mono>>,
}

impl Leadership {
    /// Creates the state of a replica that does not lead.
    pub(crate) fn none(clock: Clock) -> Leadership {
        Leadership { clock, until: Cell::new(None) }
    }

    /// Records that this replica leads until this time, or does not lead.
    pub(crate) fn set(&self, until: Option<Mono>) {
        self.until.set(until);
    }

    /// Returns whether it leads now.
    pub(crate) fn leads(&self) -> bool {
        self.until.get().is_some_and(|until| self.clock.mono() < until)
    }
}
