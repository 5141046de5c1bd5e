//! Whether a configuration can work: each scope is tried as it would be used, and what would keep a
//! drain from working, or from ending, is said with what to do about it. Nothing is changed.
//!
//! Whether a call that changes something is allowed cannot be asked of AWS without a permission to
//! ask. So it is made, on an id that nothing has: IAM's answer comes before that of the service,
//! which then says that there is no such thing.
//!
//! | file | what it looks at |
//! | --- | --- |
//! | `account.rs` | one scope: credentials, permissions, clusters, groups, queue |
//! | [`hooks`] | a group and its hooks |

mod account;
pub mod hooks;

use crate::aws::{AwsError, Environment, ErrorClass};
use crate::config::Config;
use crate::quote::shown;
use crate::store::{Store, StoreError};
use jiff::Timestamp;
use serde::Serialize;

/// How much is shown of what the controller says in the table, where anybody may have written it.
const SAID: usize = 1000;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// Worth knowing.
    Note,
    /// It works, and something will surprise.
    Warning,
    /// It does not work.
    Failure,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// What was seen.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn fine(text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Fine, text: text.into(), advice: None }
    }

    /// Worth knowing.
    pub fn note(text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Note, text: text.into(), advice: None }
    }

    /// Something will surprise.
    pub fn warning(text: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Warning, text: text.into(), advice: Some(advice.into()) }
    }

    /// It does not work.
    pub fn failure(text: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Failure, text: text.into(), advice: Some(advice.into()) }
    }

    /// It does not work, and the text says what to do.
    fn broken(text: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Failure, text: text.into(), advice: None }
    }
}

/// What was looked at in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// The place: the table, or an account and region.
    pub place: String,
    /// What was found there, in the order in which it was looked at.
    pub findings: Vec<Finding>,
}

/// Looks at everything.
pub async fn examine(config: &Config, environment: &Environment) -> Vec<Section> {
    let table = table(config, environment).await;
    let mut sections = vec![if config.dry_run { not_needed(table) } else { table }];
    for scope in &config.scopes {
        sections.push(account::examine(config, scope, environment).await);
    }
    sections
}

/// The table in a dry run, whose records are in memory: what fails there keeps nothing from
/// working.
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
            // Without a table no other answer would mean anything.
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

/// What an answer says of a permission. An answer that there is no such thing is one that somebody
/// was allowed to get.
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
