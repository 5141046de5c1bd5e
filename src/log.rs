//! The shape of the log's lines. A message is a noun and a verb, and never changes; its numbers and
//! names are fields. Every line about a drain has the fields `account`, `region` and `instance`
//! and, where its record is known, `cluster`, `group` and `phase`: one filter follows one drain.
//!
//! A state is logged when it changes. A failure is logged when it begins, every ten minutes, and
//! when it ends ([`Repeats`]). docs/log.md lists every line; a test writes it from these calls.

use crate::clock::Clock;
use ecs_drain_state::Mono;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Logs an event of a drain by its record.
macro_rules! drain {
    ($level:ident, $record:expr, $($rest:tt)+) => {
        tracing::$level!(
            account = $record.account,
            region = $record.region,
            cluster = $record.cluster,
            group = $record.group(),
            instance = $record.instance_id,
            phase = $record.phase().name(),
            $($rest)+
        )
    };
}

/// Logs an event of an instance whose record is not at hand, by its scope and id.
macro_rules! instance {
    ($level:ident, $scope:expr, $instance:expr, $($rest:tt)+) => {
        tracing::$level!(
            account = $scope.session.account,
            region = $scope.session.region,
            instance = $instance,
            $($rest)+
        )
    };
}

/// Logs an event of one account and region.
macro_rules! scope {
    ($level:ident, $scope:expr, $($rest:tt)+) => {
        tracing::$level!(
            account = $scope.session.account,
            region = $scope.session.region,
            $($rest)+
        )
    };
}

pub(crate) use {drain, instance, scope};

/// Time after which a failure that continues is logged again.
const AGAIN: Duration = Duration::from_secs(600);

/// Number of failures that are remembered.
const MOST: usize = 10_000;

/// Failures that the log has reported. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Repeats {
    clock: Clock,
    said: Arc<Mutex<BTreeMap<(&'static str, String), Mono>>>,
}

impl Repeats {
    /// Creates an empty list.
    pub(crate) fn new(clock: Clock) -> Repeats {
        Repeats { clock, said: Arc::default() }
    }

    fn said(&self) -> MutexGuard<'_, BTreeMap<(&'static str, String), Mono>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a failure of `what` about `whom` is to be logged: it is new, or was logged
    /// ten minutes ago.
    pub(crate) fn fails(&self, what: &'static str, whom: &str) -> bool {
        let now = self.clock.mono();
        let mut said = self.said();
        if said.len() >= MOST {
            said.retain(|_, at| now.since(*at) < AGAIN);
        }
        let key = (what, whom.to_owned());
        if said.get(&key).is_some_and(|at| now.since(*at) < AGAIN) {
            return false;
        }
        said.insert(key, now);
        true
    }

    /// Returns the error of an answer that is to be logged. A success ends the failure.
    pub(crate) fn reports<'e, T, E>(
        &self,
        what: &'static str,
        whom: &str,
        answer: &'e Result<T, E>,
    ) -> Option<&'e E> {
        match answer {
            Ok(_) => {
                self.works(what, whom);
                None
            }
            Err(error) => self.fails(what, whom).then_some(error),
        }
    }

    /// Returns whether a logged failure of `what` about `whom` is over.
    pub(crate) fn works(&self, what: &'static str, whom: &str) -> bool {
        let mut said = self.said();
        !said.is_empty() && said.remove(&(what, whom.to_owned())).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_logged_when_it_begins_every_ten_minutes_and_when_it_ends() {
        let clock = Clock::start(None);
        let repeats = Repeats::new(clock);
        assert!(!repeats.works("write", "a"), "nothing has failed");
        assert!(repeats.fails("write", "a"));
        assert!(!repeats.fails("write", "a") && repeats.fails("write", "b"));
        tokio::time::advance(AGAIN).await;
        assert!(repeats.fails("write", "a"));
        assert!(repeats.works("write", "a") && !repeats.works("write", "a"));
        assert!(repeats.fails("write", "a"), "it begins anew");
        assert_eq!(repeats.reports("write", "a", &Err::<(), _>("denied")), None, "it goes on");
        assert_eq!(repeats.reports("write", "a", &Ok::<_, &str>(())), None);
        assert_eq!(repeats.reports("write", "a", &Err::<(), _>("denied")), Some(&"denied"));
    }
}
