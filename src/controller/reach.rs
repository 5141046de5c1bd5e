//! Connects to accounts and regions: all of them at the start, and again later those that failed.

use super::{RunError, Shared, Stop, run_scope};
use crate::aws::{Environment, Session};
use crate::blind::What;
use crate::config::{self, Config};
use crate::health::Health;
use crate::scope::ScopeState;
use futures_util::future::{Either, select};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

/// Time limit for an account and region to answer at the start.
const CONNECT: Duration = Duration::from_secs(5);
/// Delay before an account and region is tried again.
const RECONNECT: Duration = Duration::from_secs(30);

/// Accounts and regions that were reached. Two scopes of one place would each act on the other's
/// drains.
#[derive(Default)]
pub(super) struct Places(RefCell<BTreeSet<(String, String)>>);

impl Places {
    /// Adds the session's place. Returns false if another scope has it already.
    fn take(&self, session: &Session) -> bool {
        self.0.borrow_mut().insert((session.account.clone(), session.region.clone()))
    }
}

/// Tries to reach every scope once, all at the same time. Those that fail are tried again later.
///
/// # Errors
/// Returns an error if two scopes are the same place, or if every scope failed and no failure can
/// pass by itself. The process then exits, so that its supervisor notices. A scope that does not
/// answer in time may answer later.
pub(super) async fn at_start(
    config: &Config,
    environment: &Environment,
    health: &Health,
    places: &Places,
) -> Result<(Vec<ScopeState>, Vec<config::Scope>), RunError> {
    let connect = |scope: &config::Scope| {
        let scope = scope.clone();
        async move {
            let answer = crate::aws::connect(environment, &scope.region, scope.role.as_ref());
            // A scope that hangs must not delay the heartbeats of the others.
            let answer = tokio::time::timeout(CONNECT, answer).await;
            (scope, answer)
        }
    };
    let answers = futures_util::future::join_all(config.scopes.iter().map(connect)).await;
    let mut reached: Vec<ScopeState> = Vec::new();
    let mut missing = Vec::new();
    // The first failure that will not pass, and whether another one may pass.
    let (mut lasting, mut may_pass) = (None, false);
    for (scope, answer) in answers {
        match answer {
            Ok(Ok(session)) => {
                if !places.take(&session) {
                    return Err(RunError::SameScope {
                        account: session.account,
                        region: session.region,
                    });
                }
                tracing::info!(account = session.account, region = session.region, "Scope reached");
                let (policies, metrics) = (config.policies.clone(), environment.metrics.clone());
                reached.push(ScopeState::new(scope, policies, session, metrics, health.clone()));
            }
            Ok(Err(error)) => {
                health.blind.misses(&place(&scope), What::Scope, &error);
                may_pass |= error.class.is_transient();
                if !error.class.is_transient() && lasting.is_none() {
                    lasting = Some((scope.region.clone(), error));
                }
                missing.push(scope);
            }
            Err(_) => {
                health.blind.misses(
                    &place(&scope),
                    What::Scope,
                    &"it does not answer; it is tried again",
                );
                may_pass = true;
                missing.push(scope);
            }
        }
    }
    match lasting.filter(|_| reached.is_empty() && !may_pass) {
        Some((region, error)) => Err(RunError::Scope { region, source: Box::new(error) }),
        None => Ok((reached, missing)),
    }
}

/// Names an account and region that was not reached, for the log. The account's number is not known
/// yet.
fn place(scope: &config::Scope) -> String {
    match &scope.role {
        Some(role) => format!("region {}, role {}", scope.region, role.arn),
        None => format!("region {}", scope.region),
    }
}

/// Keeps trying a scope that could not be reached at the start, then runs it. The other scopes work
/// meanwhile.
pub(super) async fn later(
    shared: &Shared,
    environment: &Environment,
    places: &Places,
    scope: config::Scope,
    stop: &Stop,
) {
    loop {
        if stop.or_after(RECONNECT).await {
            return;
        }
        let answer = {
            let connect = crate::aws::connect(environment, &scope.region, scope.role.as_ref());
            match select(pin!(connect), pin!(stop.or_after(Duration::MAX))).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => return,
            }
        };
        let place = place(&scope);
        match answer {
            Ok(session) if !places.take(&session) => {
                shared.health.blind.sees(&place, What::Scope);
                let (account, region) = (session.account, session.region);
                tracing::error!(
                    account,
                    region,
                    "Scope left out: two [[scope]] entries lead to it"
                );
                shared.health.found();
                return;
            }
            Ok(session) => {
                shared.health.blind.sees(&place, What::Scope);
                tracing::info!(account = session.account, region = session.region, "Scope reached");
                shared.health.found();
                let (policies, metrics) = (shared.config.policies.clone(), shared.metrics.clone());
                let state =
                    ScopeState::new(scope, policies, session, metrics, shared.health.clone());
                return run_scope(shared, &state, stop).await;
            }
            Err(error) => {
                shared.health.blind.misses(&place, What::Scope, &error);
            }
        }
    }
}
