//! The one clock: the wall clock that the SDK signs with is the one that decisions are made with, and spans are
//! measured on tokio's monotonic clock.

use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use ecs_drain_state::Mono;
use jiff::Timestamp;
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
