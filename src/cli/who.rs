//! Reads the identity of the requester, for people who read a record later. It proves nothing.

use aws_config::SdkConfig;
use std::time::Duration;

/// Time limit for reading the identity from AWS, since a request must not wait for a name.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns the ARN of the IAM identity of the credentials, or the user and machine if the ARN
/// cannot be read in time. The call to AWS needs no permission.
pub(crate) async fn asks(sdk: &SdkConfig) -> String {
    identity(sdk).await.unwrap_or_else(here)
}

/// Returns the ARN of the IAM identity of the credentials, if it can be read in time.
pub(crate) async fn identity(sdk: &SdkConfig) -> Option<String> {
    tokio::time::timeout(PATIENCE, crate::aws::caller_arn(sdk)).await.ok().flatten()
}

/// Returns `user@host`.
fn here() -> String {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = set("USER").or_else(|| set("LOGNAME")).unwrap_or_else(|| "unknown".to_owned());
    let written =
        || std::fs::read_to_string("/etc/hostname").ok().map(|host| host.trim().to_owned());
    let host = set("HOSTNAME").or_else(written).filter(|host| !host.is_empty());
    format!("{user}@{}", host.as_deref().unwrap_or("unknown-host"))
}
