//! Who asks. It is for people who read a record later, and no proof of anything.

use aws_config::SdkConfig;
use std::time::Duration;

/// How long to wait for AWS to say whose credentials these are: an order must not wait for a name.
const PATIENCE: Duration = Duration::from_secs(5);

/// The ARN of the IAM identity whose credentials these are; where it cannot be had, the user and
/// machine. The call needs no permission.
pub async fn asks(sdk: &SdkConfig) -> String {
    identity(sdk).await.unwrap_or_else(here)
}

/// The ARN of the IAM identity whose credentials these are, if it can be had soon.
pub async fn identity(sdk: &SdkConfig) -> Option<String> {
    tokio::time::timeout(PATIENCE, crate::aws::caller_arn(sdk)).await.ok().flatten()
}

/// `user@host`.
fn here() -> String {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = set("USER").or_else(|| set("LOGNAME")).unwrap_or_else(|| "unknown".to_owned());
    let written =
        || std::fs::read_to_string("/etc/hostname").ok().map(|host| host.trim().to_owned());
    let host = set("HOSTNAME").or_else(written).filter(|host| !host.is_empty());
    format!("{user}@{}", host.as_deref().unwrap_or("unknown-host"))
}
