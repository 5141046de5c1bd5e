//! Two clocks, as two types.
//!
//! A [`jiff::Timestamp`] is wall-clock time: people read it, and deadlines are made of it. A
//! [`Mono`] is time since this process began: spans are measured with it, so that a jump of the
//! wall clock cannot shorten a wait.

use jiff::Timestamp;
use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// A moment on the monotonic clock of one process, in nanoseconds. It is small, because every fact
/// has some. It is never stored and never compared between processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(u64);

impl Mono {
    /// The moment at which the process began.
    pub const START: Mono = Mono(0);

    /// A moment that never comes.
    pub const NEVER: Mono = Mono(u64::MAX);

    /// Returns the moment this long after the process began.
    pub const fn at(since_start: Duration) -> Mono {
        Mono(nanoseconds(since_start))
    }

    /// Returns the time since the process began.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns the moment this long before, or the start.
    pub fn before(self, span: Duration) -> Mono {
        Mono(self.0.saturating_sub(nanoseconds(span)))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;

    fn add(self, span: Duration) -> Mono {
        Mono(self.0.saturating_add(nanoseconds(span)))
    }
}

impl fmt::Display for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s after the start", self.since_start().as_secs())
    }
}

/// Returns a span in nanoseconds, at most 584 years.
const fn nanoseconds(span: Duration) -> u64 {
    match span.as_nanos() {
        nanoseconds if nanoseconds < u64::MAX as u128 => nanoseconds as u64,
        _ => u64::MAX,
    }
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The moment on the monotonic clock.
    pub mono: Mono,
    /// The moment on the wall clock.
    pub wall: Timestamp,
}

/// Beginning and end of a read. A read that lags shows the truth of some moment before it ended: a
/// thing that it showed to be there was there at some moment before `ended`, and a thing that it
/// showed absent was absent at some moment not long before `began`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Read {
    /// Time at which the request was sent, after it had waited for its rate limit.
    pub began: Mono,
    /// Time at which the answer was there.
    pub ended: Mono,
}

/// An unbroken run of reads that all showed the same property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// First read of the run.
    pub first: Read,
    /// Newest read of the run.
    pub last: Read,
}

impl Run {
    /// Returns the run with one more read, or a new one.
    pub fn extend(run: Option<Run>, read: Read) -> Run {
        Run { first: run.map_or(read, |run| run.first), last: read }
    }
}

/// Time for which something has been watched, without trust in a wall clock: the time that earlier
/// processes watched, from the record, and the time that this process has watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Watch {
    /// Time in the record when this process began to watch.
    pub before: Duration,
    /// End of the first read that showed it, because it may have begun only then.
    pub since: Mono,
}

impl Watch {
    /// Returns the time for which it has been watched at this moment.
    pub fn span(&self, now: Mono) -> Duration {
        self.before.saturating_add(now.since(self.since))
    }
}
