//! Checks that a configuration will work. Each scope is used as the controller would use it, and
//! every problem is reported with what to do about it. Nothing is changed.
//!
//! AWS has no way to check a permission for a mutating call without a further permission. Therefore
//! the call itself is made, on an id that does not exist. IAM answers before the service, which
//! then returns that there is no such resource.
//!
//! | file | contents |
//! | --- | --- |
//! | `account.rs` | one scope: credentials, permissions, clusters, groups, queue |
//! | [`hooks`] | a group and its hooks |
//! | `tags.rs` | a group's tags that are settings |

mod account;
pub(crate) mod hooks;
mod tags;

use crate::aws::{AwsError, Environment, ErrorClass};
use crate::config::Config;
use crate::quote::shown;
use crate::store::{Store, StoreError};
use jiff::Timestamp;
use serde::Serialize;

/// Length to which the controller's status in the table is cut: anyone with write access may have
/// written it.
const SAID: usize = 1000;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No problem.
    Fine,
    /// Information.
    Note,
    /// It works, but may surprise you.
    Warning,
    /// It does not work.
    Failure,
}

/// Result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub verdict: Verdict,
    /// Text of the finding.
    pub text: String,
    /// Text of the advice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// Creates a finding without a problem.
    pub fn fine(text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Fine, text: text.into(), advice: None }
    }

    /// Creates a finding for information.
    pub fn note(text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Note, text: text.into(), advice: None }
    }

    /// Creates a warning.
    pub fn warning(text: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Warning, text: text.into(), advice: Some(advice.into()) }
    }

    /// Creates a failure.
    pub fn failure(text: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Failure, text: text.into(), advice: Some(advice.into()) }
    }

    /// Creates a failure whose text includes the advice.
    fn broken(text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Failure, text: text.into(), advice: None }
    }
}

/// Findings about one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// The table, or an account and region.
    pub place: String,
    /// Findings in the order of the checks.
    pub findings: Vec<Finding>,
}

/// Checks everything.
pub async fn examine(config: &Config, environment: &Environment) -> Vec<Section> {
    let table = table(config, environment).await;
    let mut sections = vec![if config.dry_run { not_needed(table) } else { table }];
    for scope in &config.scopes {
        sections.push(account::examine(config, scope, environment).await);
    }
    sections
}

/// Turns the failures of the table into notes in a dry run, whose records are in memory.
fn not_needed(mut table: Section) -> Section {
    for finding in table.findings.iter_mut().filter(|finding| finding.verdict == Verdict::Failure) {
        finding.verdict = Verdict::Note;
        finding.text.push_str(" (a dry run needs no table)");
    }
    table
}

async fn table(config: &Config, environment: &Environment) -> Section {
    let sdk = environment.load(config.table.region.as_deref()).await;
    let region = sdk.region().map(ToString::to_string);
    let place =
        format!("table {} in {}", config.table.name, region.as_deref().unwrap_or("no region"));
    let mut findings = Vec::new();
    if region.is_none() {
        let advice = "set `region` under [table], or AWS_REGION";
        findings.push(Finding::failure("the table's region is not known", advice));
        return Section { place, findings };
    }
    let store = Store::connect(&sdk, &config.table.name, &config.controller);
    match store.check().await {
        Ok(()) => findings.push(Finding::fine("it exists, with its indexes and its TTL")),
        Err(error) => {
            findings.push(Finding::broken(format!("{error:#}")));
            // Without a table no other answer would be meaningful.
            if matches!(error, StoreError::Missing { .. })
                || error.class() == Some(ErrorClass::Credentials)
            {
                return Section { place, findings };
            }
        }
    }
    findings.extend(store.probe().await.into_iter().map(|(action, answer)| match answer {
        Ok(()) => Finding::fine(format!("allowed: {action}")),
        Err(error) => Finding::broken(format!("{error:#}")),
    }));
    if let Ok(leader) = store.leader().await {
        findings.push(match leader {
            Some(leader) => Finding::note(format!(
                "controller {:?} is running (leader {})",
                config.controller, leader.holder
            )),
            None => Finding::note(format!(
                "controller {:?} is not running: no process holds its lease",
                config.controller
            )),
        });
    }
    let now = Timestamp::now();
    if let Ok(spots) = store.blind(now).await {
        findings.extend(spots.into_iter().map(|spot| {
            let lasts = now.duration_since(spot.since).unsigned_abs();
            let advice = "see \"Reads that fail\" in docs/runbook.md";
            let said = shown(&spot.line(lasts), SAID);
            Finding::failure(format!("the running controller reports: {said}"), advice)
        }));
    }
    Section { place, findings }
}

/// Interprets an answer as a permission. An answer that the resource does not exist proves that the
/// call was allowed.
fn permission<T>(action: &str, answer: Result<T, AwsError>) -> Finding {
    match answer {
        Ok(_) => Finding::fine(format!("allowed: {action}")),
        Err(error) => match error.class {
            ErrorClass::NotFound | ErrorClass::NoActiveAction | ErrorClass::Invalid => {
                Finding::fine(format!("allowed: {action}"))
            }
            ErrorClass::Denied | ErrorClass::Credentials => Finding::broken(format!("{error:#}")),
            ErrorClass::Throttled | ErrorClass::Unavailable | ErrorClass::Other => {
                Finding::warning(
                    format!("unknown whether {action} is allowed: {error:#}"),
                    "run doctor again",
                )
            }
        },
    }
}
