//! Two clocks, as two types. A [`jiff::Timestamp`] is what a person reads and what deadlines are
//! made of. A [`Mono`] is time since this process began: spans are measured with it, so that a wall
//! clock that jumps cannot shorten a wait.

use jiff::Timestamp;
use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// A moment on the monotonic clock of one process, in nanoseconds: every fact has some, so it is
/// small. Never stored, never compared between processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(u64);

impl Mono {
    /// The moment in which the process began.
    pub const START: Mono = Mono(0);

    /// A moment that never comes.
    pub const NEVER: Mono = Mono(u64::MAX);

    /// The moment so long after the process began.
    pub const fn at(since_start: Duration) -> Mono {
        Mono(nanoseconds(since_start))
    }

    /// Time since the process began.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment so long before this one, or the start.
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

/// A span in nanoseconds; all that are longer than 584 years are one.
const fn nanoseconds(span: Duration) -> u64 {
    match span.as_nanos() {
        nanoseconds if nanoseconds < u64::MAX as u128 => nanoseconds as u64,
        _ => u64::MAX,
    }
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// On the monotonic clock.
    pub mono: Mono,
    /// On the wall clock.
    pub wall: Timestamp,
}

/// When a read was made. A read that lags shows the truth of some moment before it ended: what it
/// showed to be there was there at some moment before `ended`, and what it showed absent was absent
/// at some moment not long before `began`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Read {
    /// When the request was sent, after it had waited for its turn.
    pub began: Mono,
    /// When the answer was there.
    pub ended: Mono,
}

/// Something that every successful read has shown for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// The first of these reads.
    pub first: Read,
    /// The newest.
    pub last: Read,
}

impl Run {
    /// The run with one more read, or a new one.
    pub fn extend(run: Option<Run>, read: Read) -> Run {
        Run { first: run.map_or(read, |run| run.first), last: read }
    }
}

/// How long something has been so, without trust in a wall clock: what the record says that earlier
/// processes watched, and what this one has watched itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Watch {
    /// What the record said when this process began to watch.
    pub before: Duration,
    /// The end of the first read that showed it, because it may be as young as that.
    pub since: Mono,
}

impl Watch {
    /// Returns for how long it has been so at this moment.
    pub fn span(&self, now: Mono) -> Duration {
        self.before.saturating_add(now.since(self.since))
    }
}
