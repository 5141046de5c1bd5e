//! Whether this process lives, and whether it is ready: what `/healthz` and `/readyz` say.
//!
//! *Alive* means that its loops continue. A process whose calls fail is alive: nothing would be
//! better after a restart, and what waits under ecs-drain hooks is kept waiting meanwhile. *Ready*
//! means that it could do its work now: the table was found, each account and region was reached
//! and its groups listed once, and nothing that it must read has failed for long
//! ([`crate::blind`]).

use crate::blind::Blind;
use crate::clock::Clock;
use ecs_drain_state::Mono;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A loop that has not come round for this long stands still. Passes come round every second,
/// whatever their calls do; a look at the groups can take as long as its calls with their retries,
/// page after page.
const STANDS_STILL: Duration = Duration::from_secs(60);

/// The same for the look at the groups.
const GROUPS_STAND_STILL: Duration = Duration::from_secs(600);

/// What the loops say of themselves. Clones share it.
#[derive(Clone, Debug)]
pub struct Health {
    /// What cannot be read.
    pub blind: Blind,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    table: bool,
    /// Scopes that could not be reached yet.
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
    /// Nothing has been done yet.
    pub fn new(clock: Clock) -> Health {
        Health { blind: Blind::new(clock.clone()), clock, state: Arc::default() }
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

    /// The table was found, in its right shape.
    pub fn table_is_fit(&self) {
        self.state().table = true;
    }

    /// So many accounts and regions have not been reached.
    pub fn missing(&self, scopes: usize) {
        self.state().missing = scopes;
    }

    /// One that was missing has been reached.
    pub fn found(&self) {
        let mut state = self.state();
        state.missing = state.missing.saturating_sub(1);
    }

    /// The loop over passes of this account and region has come round.
    pub fn passes_move(&self, place: &str) {
        self.of(place, |scope, now| scope.passes = now);
    }

    /// A look at the groups has ended.
    pub fn looked_at_groups(&self, place: &str, well: bool) {
        self.of(place, |scope, now| {
            scope.groups = now;
            scope.listed |= well;
        });
    }

    /// What stands still; nothing while the process lives.
    pub fn standing_still(&self) -> Vec<String> {
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

    /// What it is not ready for; nothing when it is ready.
    pub fn not_ready(&self) -> Vec<String> {
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
        // A look that fails later does not make it unready, unless it goes on to: it works with
        // what it knows.
        health.looked_at_groups("1/eu-west-1/", false);
        health.blind.misses("account 1, region eu-west-1", What::Groups, &"denied");
        assert!(health.not_ready().is_empty());
        tokio::time::sleep(crate::blind::LONG).await;
        assert_eq!(health.not_ready().len(), 1);
        health.blind.sees("account 1, region eu-west-1", What::Groups);
        assert!(health.not_ready().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_stands_still_is_named() {
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
