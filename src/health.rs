//! Liveness and readiness of this process, for `/healthz` and `/readyz`.
//!
//! *Alive* means that its loops continue. A process whose calls fail is alive: a restart would not
//! help, and its heartbeats continue meanwhile. *Ready* means that it can do its work now: the
//! table was found, each account and region was reached and its groups listed once, and no read
//! that it needs has failed for long ([`crate::blind`]).

use crate::blind::Blind;
use crate::clock::Clock;
use crate::log::Repeats;
use ecs_drain_state::Mono;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time without a turn after which a scope's turns count as stopped. A turn comes every second,
/// whatever its calls do. A read of the groups has a longer limit: it can take as long as its calls
/// with their retries, page after page.
const STANDS_STILL: Duration = Duration::from_secs(60);

/// The same for the read of the groups.
const GROUPS_STAND_STILL: Duration = Duration::from_secs(600);

/// State of the loops. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    /// Failing reads.
    pub blind: Blind,
    /// Failures of other kinds that the log has reported.
    pub repeats: Repeats,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    table: bool,
    /// Scopes that were not reached yet.
    missing: usize,
    scopes: BTreeMap<String, Scope>,
}

#[derive(Clone, Copy, Debug)]
struct Scope {
    passes: Mono,
    groups: Mono,
    listed: bool,
}

impl Health {
    /// Creates the state of a process that has just started.
    pub(crate) fn new(clock: Clock) -> Health {
        let (blind, repeats) = (Blind::new(clock.clone()), Repeats::new(clock.clone()));
        Health { blind, repeats, clock, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, place: &str, change: impl FnOnce(&mut Scope, Mono)) {
        let now = self.clock.mono();
        let mut state = self.state();
        let scope = state.scopes.entry(place.to_owned()).or_insert(Scope {
            passes: now,
            groups: now,
            listed: false,
        });
        change(scope, now);
    }

    /// Records that the table was found in the right shape.
    pub(crate) fn table_is_fit(&self) {
        self.state().table = true;
    }

    /// Records the number of accounts and regions that were not reached.
    pub(crate) fn missing(&self, scopes: usize) {
        self.state().missing = scopes;
    }

    /// Records that a missing account and region was reached.
    pub(crate) fn found(&self) {
        let mut state = self.state();
        state.missing = state.missing.saturating_sub(1);
    }

    /// Records a turn of this account and region.
    pub(crate) fn passes_move(&self, place: &str) {
        self.of(place, |scope, now| scope.passes = now);
    }

    /// Records the end of a read of the groups.
    pub(crate) fn looked_at_groups(&self, place: &str, well: bool) {
        self.of(place, |scope, now| {
            scope.groups = now;
            scope.listed |= well;
        });
    }

    /// Returns the loops that stopped; empty while the process is alive.
    pub(crate) fn standing_still(&self) -> Vec<String> {
        let now = self.clock.mono();
        let mut still = Vec::new();
        for (place, scope) in &self.state().scopes {
            let place = place.trim_end_matches('/');
            let mut say = |what: &str, at: Mono, limit: Duration| {
                let ago = now.since(at);
                if ago > limit {
                    still.push(format!("{place}: {what} have not moved for {} s", ago.as_secs()));
                }
            };
            say("passes", scope.passes, STANDS_STILL);
            say("looks at the groups", scope.groups, GROUPS_STAND_STILL);
        }
        still
    }

    /// Returns the reasons for which it is not ready; empty if it is ready.
    pub(crate) fn not_ready(&self) -> Vec<String> {
        let state = self.state();
        let mut missing = Vec::new();
        if !state.table {
            missing.push("the table has not been found, or is not as it must be".to_owned());
        }
        if state.missing > 0 {
            missing.push(format!(
                "{} of the accounts and regions have not been reached",
                state.missing
            ));
        }
        let unlisted = state.scopes.iter().filter(|(_, scope)| !scope.listed);
        missing.extend(unlisted.map(|(place, _)| {
            format!(
                "{}: the Auto Scaling groups have not been listed yet",
                place.trim_end_matches('/')
            )
        }));
        if state.scopes.is_empty() && state.missing == 0 {
            missing.push("no account and region has been reached yet".to_owned());
        }
        drop(state);
        missing.extend(self.blind.long());
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blind::What;

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_when_all_was_found_once() {
        let health = Health::new(Clock::start(None));
        assert_eq!(health.not_ready().len(), 2);
        health.missing(1);
        health.table_is_fit();
        health.looked_at_groups("1/eu-west-1/", false);
        assert_eq!(
            health.not_ready(),
            [
                "1 of the accounts and regions have not been reached",
                "1/eu-west-1: the Auto Scaling groups have not been listed yet",
            ]
        );
        health.found();
        health.looked_at_groups("1/eu-west-1/", true);
        assert!(health.not_ready().is_empty());
        // A later failure does not make it unready unless it lasts: it works with what was read
        // before.
        health.looked_at_groups("1/eu-west-1/", false);
        health.blind.misses("account 1, region eu-west-1", What::Groups, &"denied");
        assert!(health.not_ready().is_empty());
        tokio::time::sleep(crate::blind::LONG).await;
        assert_eq!(health.not_ready().len(), 1);
        health.blind.sees("account 1, region eu-west-1", What::Groups);
        assert!(health.not_ready().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stopped_is_named() {
        let health = Health::new(Clock::start(None));
        health.passes_move("1/eu-west-1/");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(health.standing_still().is_empty());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(health.standing_still(), ["1/eu-west-1: passes have not moved for 61 s"]);
        health.passes_move("1/eu-west-1/");
        assert!(health.standing_still().is_empty());
    }
}
