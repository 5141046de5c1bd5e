//! Reads that fail. A controller that is denied one read continues, and would look healthy. A
//! failing read is therefore a state of its own: in the log, in `/readyz`, in metrics for alarms,
//! and in the table, where `get` and `doctor` find it.

use crate::clock::Clock;
use ecs_drain_state::Mono;
use ecs_drain_state::why::Span;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time after which a failing read makes a process not ready, and the alarms of the templates fire.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// Interval at which the log repeats a failing read.
const SAID_AGAIN: Duration = Duration::from_secs(600);

/// Kind of read that a controller needs to do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// An account and region: its role, its credentials.
    Scope,
    /// The Auto Scaling groups, with their warm pools.
    Groups,
    /// The lifecycle hooks of the selected groups.
    Hooks,
    /// The clusters, when an instance is searched for.
    Search,
    Queue,
    /// The table as a whole, its records and its requests.
    Table,
    Pauses,
    Lease,
    /// Not a read, but a consequence of failing ones: an instance waits, and no drain of it is
    /// opened.
    Unopened,
}

impl What {
    /// Returns its label in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            What::Scope => "scope",
            What::Groups => "groups",
            What::Hooks => "hooks",
            What::Search => "search",
            What::Queue => "queue",
            What::Table => "table",
            What::Pauses => "pauses",
            What::Lease => "lease",
            What::Unopened => "unopened",
        }
    }

    /// Describes the failure and its consequence, as one sentence without its end.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            What::Scope => {
                "the scope cannot be reached; its instances get neither heartbeats nor drains"
            }
            What::Groups => {
                "its Auto Scaling groups cannot be read; known waits get heartbeats, new waits are not seen"
            }
            What::Hooks => {
                "the lifecycle hooks of some groups cannot be read; their instances get heartbeats and are not drained"
            }
            What::Search => {
                "some clusters cannot be searched; an instance found nowhere else is held and not drained"
            }
            What::Queue => {
                "its queue cannot be read; Spot interruptions are missed, polling finds all else later"
            }
            What::Table => {
                "the table cannot be read; heartbeats continue, no drain starts or continues"
            }
            What::Pauses => "the pauses cannot be read; the last known ones apply",
            What::Lease => "the lease cannot be renewed; heartbeats continue, no process drains",
            What::Unopened => {
                "an instance waits under an ecs-drain hook and has no drain; it gets heartbeats and is not drained"
            }
        }
    }
}

impl Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One failing read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    /// The account and region, or the table.
    pub place: String,
    pub what: What,
    /// Time of the first failure.
    pub since: Timestamp,
    /// Last error.
    pub error: String,
}

impl Spot {
    /// Formats it as a line: the place, the consequence, the duration, and the error.
    pub(crate) fn line(&self, lasts: Duration) -> String {
        format!("{}: {}; for {}: {}", self.place, self.what.meaning(), Span(lasts), self.error)
    }
}

/// Failing reads of one process. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Blind {
    clock: Clock,
    state: Arc<Mutex<BTreeMap<(String, What), State>>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// Time of the first failure, and the last error; `None` while reads succeed.
    now: Option<(Mono, Timestamp, String)>,
    /// Time of the last log line about it.
    said: Option<Mono>,
    /// True if the log has reported its start.
    begun: bool,
}

impl Blind {
    /// Creates an empty list.
    pub(crate) fn new(clock: Clock) -> Blind {
        Blind { clock, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, BTreeMap<(String, What), State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that it was read completely, or is no longer needed.
    pub(crate) fn sees(&self, place: &str, what: What) {
        let mut states = self.state();
        let Some(state) = states.get_mut(&(place.to_owned(), what)) else { return };
        let Some((since, ..)) = state.now.take() else { return };
        if std::mem::take(&mut state.begun) {
            let seconds = self.clock.mono().since(since).as_secs();
            tracing::info!(place, %what, seconds, "Read recovered: {}", what.meaning());
        }
    }

    /// Records that it could not be read, or not completely.
    pub(crate) fn misses(&self, place: &str, what: What, error: &dyn Display) {
        let (mono, wall) = (self.clock.mono(), self.clock.now());
        let mut states = self.state();
        let state = states.entry((place.to_owned(), what)).or_default();
        let (since, ..) = *state.now.get_or_insert((mono, wall, String::new()));
        let error = format!("{error:#}");
        // Intermittent failures would otherwise fill the log with their starts.
        if state.said.is_none_or(|said| mono.since(said) >= SAID_AGAIN) {
            (state.said, state.begun) = (Some(mono), true);
            let seconds = mono.since(since).as_secs();
            tracing::error!(place, %what, seconds, %error, "Read failing: {}", what.meaning());
        }
        if let Some((.., last)) = &mut state.now {
            *last = error;
        }
    }

    /// Returns whether it cannot be read now.
    pub(crate) fn is_blind(&self, place: &str, what: What) -> bool {
        self.state().get(&(place.to_owned(), what)).is_some_and(|state| state.now.is_some())
    }

    /// Returns every failing read, with its duration.
    pub(crate) fn spots(&self) -> Vec<(Spot, Duration)> {
        let now = self.clock.mono();
        let states = self.state();
        let spots = states.iter().filter_map(|((place, what), state)| {
            let (since, wall, error) = state.now.as_ref()?;
            let spot =
                Spot { place: place.clone(), what: *what, since: *wall, error: error.clone() };
            Some((spot, now.since(*since)))
        });
        spots.collect()
    }

    /// Returns a line for each read that has failed for [`LONG`].
    pub(crate) fn long(&self) -> Vec<String> {
        let long = self.spots().into_iter().filter(|(_, lasts)| *lasts >= LONG);
        long.map(|(spot, lasts)| spot.line(lasts)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_is_told_with_since_when_and_why() {
        let blind = Blind::new(Clock::start(None));
        blind.sees("1/eu", What::Groups);
        assert!(blind.spots().is_empty());
        blind.misses("1/eu", What::Groups, &"denied");
        tokio::time::sleep(Duration::from_secs(299)).await;
        blind.misses("1/eu", What::Groups, &"still denied");
        blind.misses("1/eu", What::Queue, &"denied");
        let spots = blind.spots();
        let told: Vec<_> = spots
            .iter()
            .map(|(spot, lasts)| (spot.what, spot.error.as_str(), lasts.as_secs()))
            .collect();
        assert_eq!(told, [(What::Groups, "still denied", 299), (What::Queue, "denied", 0)]);
        assert!(blind.long().is_empty());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            blind.long(),
            [
                "1/eu: its Auto Scaling groups cannot be read; known waits get heartbeats, new waits are not seen; for 5 min: \
                 still denied"
            ]
        );
        blind.sees("1/eu", What::Groups);
        assert!(!blind.is_blind("1/eu", What::Groups) && blind.is_blind("1/eu", What::Queue));
        blind.misses("1/eu", What::Groups, &"denied");
        assert!(blind.long().is_empty(), "it begins anew");
    }
}
