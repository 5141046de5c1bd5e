//! Makes every call: waits for its permit, and names the call in its errors.

use super::calls::{ASSUME_ROLE, Call};
use super::error::AwsError;
use super::limiter::{Limiter, Permit};
use crate::metrics::Metrics;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// State that all clients of one session share.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Id of the account; `*` until it is known.
    pub account: Arc<str>,
    pub region: Arc<str>,
    /// ARN of the assumed role, if any.
    pub role: Option<Arc<str>>,
    pub limiter: Arc<Limiter>,
    pub metrics: Metrics,
    /// Time for which its calls may wait behind others of their rate, in addition to their family's
    /// patience.
    pub patience: Duration,
}

impl Caller {
    /// Waits for the call's permit, makes the call, and converts its error.
    pub(crate) async fn make<T, E>(
        &self,
        call: &'static Call,
        on: &str,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let permit = self.permit(call).await;
        self.send(permit, call, on, request).await
    }

    /// Waits for the call's permit.
    pub(crate) async fn permit(&self, call: &'static Call) -> Permit {
        if self.patience.is_zero() {
            return self.limiter.permit(call).await;
        }
        self.limiter.permit_by(call, tokio::time::Instant::now() + self.patience).await
    }

    /// Makes a call with its permit, and converts its error. A permit for another call is a bug: it
    /// would exceed the call's rate.
    pub(crate) async fn send<T, E>(
        &self,
        permit: Permit,
        call: &'static Call,
        on: &str,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        debug_assert_eq!(permit.call(), call);
        let answer = request.await.map_err(|error| self.failed(call, on, &error));
        if let Err(error) = &answer {
            tracing::debug!("AWS call failed: {error:#}");
        }
        let result = answer.as_ref().map_or_else(|error| error.class.name(), |_| "ok");
        self.metrics.call(call.service, call.operation, result);
        answer
    }

    fn failed<E>(
        &self,
        call: &'static Call,
        on: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> AwsError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let Some(assuming) = assuming(error) else {
            return AwsError::of(call, on, &call.resource(&self.account, &self.region), error);
        };
        // The call was never sent: the call for its credentials failed.
        match &self.role {
            Some(role) => AwsError::of(&ASSUME_ROLE, &format!("role {role}"), role, assuming),
            None => {
                let resource = ASSUME_ROLE.resource(&self.account, &self.region);
                AwsError::of(&ASSUME_ROLE, "the role of the AWS profile", &resource, assuming)
            }
        }
    }
}

/// Returns the failed `AssumeRole` behind a failed call, if there is one.
fn assuming<'a>(
    error: &'a (dyn Error + 'static),
) -> Option<&'a SdkError<AssumeRoleError, HttpResponse>> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// Returns the token of the next page. Refuses a token that repeats, which would be followed for
/// ever.
pub(super) fn next_page(
    call: &'static Call,
    on: &str,
    before: Option<&str>,
    token: Option<&str>,
) -> Result<Option<String>, AwsError> {
    match token {
        None | Some("") => Ok(None),
        Some(token) if before == Some(token) => {
            Err(AwsError::incomplete(call, on, "one page was answered twice"))
        }
        Some(token) => Ok(Some(token.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::aws::calls::LIST_TASKS;

    #[test]
    fn pages_end_and_do_not_repeat() {
        assert_eq!(next_page(&LIST_TASKS, "cluster web", None, None).unwrap(), None);
        assert_eq!(next_page(&LIST_TASKS, "cluster web", Some("a"), Some("")).unwrap(), None);
        assert_eq!(
            next_page(&LIST_TASKS, "cluster web", Some("a"), Some("b")).unwrap().as_deref(),
            Some("b")
        );
        assert!(next_page(&LIST_TASKS, "cluster web", Some("a"), Some("a")).is_err());
    }
}
