//! Errors of calls: a closed set of classes, each with one treatment.
//!
//! Services name the same problem in different ways, often with codes that no model lists.
//! [`codes`] is the one table that classifies them, including DynamoDB's.

mod codes;

pub(super) use codes::UNKNOWN_THROTTLES;
pub(crate) use codes::classify;

use super::calls::{ASSUME_ROLE, Call};
use crate::quote::{chain, plain};
use aws_sdk_ecs::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::error::Error;
use std::fmt;

/// Meaning of a failure for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorClass {
    /// Too many requests, even after the SDK's retries.
    Throttled,
    /// IAM does not allow it.
    Denied,
    /// There are no credentials, or AWS does not accept them.
    Credentials,
    /// The subject of the call does not exist.
    NotFound,
    /// `No active Lifecycle Action found …`: the action is over, has not begun, or is another
    /// hook's.
    NoActiveAction,
    /// AWS understood the request and refuses it.
    Invalid,
    /// No answer, an incomplete one, or one that reports a problem of the service.
    Unavailable,
    /// Anything else.
    Other,
}

impl ErrorClass {
    #[cfg(test)]
    const ALL: [ErrorClass; 8] = [
        ErrorClass::Throttled,
        ErrorClass::Denied,
        ErrorClass::Credentials,
        ErrorClass::NotFound,
        ErrorClass::NoActiveAction,
        ErrorClass::Invalid,
        ErrorClass::Unavailable,
        ErrorClass::Other,
    ];

    /// Returns whether the same call can succeed later without a change.
    pub(crate) const fn is_transient(self) -> bool {
        match self {
            ErrorClass::Throttled | ErrorClass::Unavailable => true,
            ErrorClass::Denied
            | ErrorClass::Credentials
            | ErrorClass::NotFound
            | ErrorClass::NoActiveAction
            | ErrorClass::Invalid
            | ErrorClass::Other => false,
        }
    }

    /// Returns one of a closed set of labels, for logs and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            ErrorClass::Throttled => crate::metrics::THROTTLED,
            ErrorClass::Denied => "denied",
            ErrorClass::Credentials => "credentials",
            ErrorClass::NotFound => "not-found",
            ErrorClass::NoActiveAction => "no-active-action",
            ErrorClass::Invalid => "invalid",
            ErrorClass::Unavailable => "unavailable",
            ErrorClass::Other => "other",
        }
    }

    /// Returns the class in words, for the middle of a sentence.
    const fn words(self) -> &'static str {
        match self {
            ErrorClass::Throttled => "throttled by AWS",
            ErrorClass::Denied => "denied by IAM",
            ErrorClass::Credentials => "AWS does not accept the credentials, or there are none",
            ErrorClass::NotFound => "does not exist",
            ErrorClass::NoActiveAction => "no lifecycle action is active",
            ErrorClass::Invalid => "refused by AWS",
            ErrorClass::Unavailable => "no complete answer",
            ErrorClass::Other => "failed",
        }
    }
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsError {
    pub(crate) call: &'static Call,
    /// Subject of the call: `cluster web`, `group web-asg`, `target group arn:…`.
    pub on: String,
    pub(crate) class: ErrorClass,
    /// AWS's error code, or a failure's reason, if there was an answer.
    pub code: Option<String>,
    /// Message of AWS, or of the component that failed.
    pub message: String,
    /// Policy statement that would allow the call; only for [`ErrorClass::Denied`].
    pub allow: Option<Box<str>>,
    /// Request id, if there was an answer. AWS Support asks for it.
    pub request_id: Option<Box<str>>,
}

impl AwsError {
    /// Creates the error for an answer that omits a requested item, or reports a part of it as
    /// unreadable.
    pub(crate) fn incomplete(call: &'static Call, on: &str, reason: &str) -> AwsError {
        AwsError {
            call,
            on: on.to_owned(),
            class: ErrorClass::Unavailable,
            code: None,
            message: reason.to_owned(),
            allow: None,
            request_id: None,
        }
    }

    /// Creates the error for a call that failed in this program, before it was sent or because of
    /// its answer.
    pub(crate) fn own(call: &'static Call, on: &str, reason: &str) -> AwsError {
        AwsError { class: ErrorClass::Other, ..AwsError::incomplete(call, on, reason) }
    }

    /// Returns whether a batch may have failed because of one member, so that the rest may succeed
    /// alone. (IAM can allow container instances one by one.)
    pub(crate) fn blames_a_member(&self) -> bool {
        match self.class {
            ErrorClass::Invalid | ErrorClass::Denied | ErrorClass::Other => true,
            ErrorClass::Throttled
            | ErrorClass::Credentials
            | ErrorClass::NotFound
            | ErrorClass::NoActiveAction
            | ErrorClass::Unavailable => false,
        }
    }

    /// Creates the error for an entry of a `failures` list in a successful answer. (Source: ECS
    /// developer guide, "API failure reasons".)
    pub(super) fn failure(
        call: &'static Call,
        on: &str,
        reason: &str,
        detail: Option<&str>,
    ) -> AwsError {
        let class = if reason == MISSING { ErrorClass::NotFound } else { ErrorClass::Invalid };
        let (on, code, message) =
            (on.to_owned(), Some(reason.to_owned()), detail.unwrap_or_default().to_owned());
        AwsError { call, on, class, code, message, allow: None, request_id: None }
    }

    /// Converts the SDK's error of a failed call. `resource` is the one that IAM must allow it on.
    pub(crate) fn of<E>(
        call: &'static Call,
        on: &str,
        resource: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> AwsError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let code = error.code();
        let status = error.raw_response().map(|response| response.status().as_u16());
        // A failed connection has no message of its own, but its causes have. The text is made one
        // line, because it is shown in records, logs and terminals.
        let message = plain(&error.message().map_or_else(|| chain(error), str::to_owned));
        let class = match error {
            SdkError::ServiceError(_) => classify(code, status, &message),
            SdkError::DispatchFailure(failure)
                if failure.is_other() && message.contains("credential") =>
            {
                ErrorClass::Credentials
            }
            SdkError::TimeoutError(_)
            | SdkError::DispatchFailure(_)
            | SdkError::ResponseError(_) => ErrorClass::Unavailable,
            SdkError::ConstructionFailure(_) => ErrorClass::Invalid,
            _ => ErrorClass::Other,
        };
        let allow =
            (class == ErrorClass::Denied).then(|| call.statement(resource).into_boxed_str());
        let request_id = error.request_id().map(Box::from);
        AwsError {
            call,
            on: on.to_owned(),
            class,
            code: code.map(plain),
            message,
            allow,
            request_id,
        }
    }
}

/// `{}` is the same text for the same problem, so that it can be stored and compared. `{:#}` adds
/// the request's id, which always differs.
impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}: {}", self.call.iam_action, self.on, self.class.words())?;
        match (self.code.as_deref(), self.message.as_str()) {
            (None, "") => {}
            (None, text) | (Some(text), "") => write!(f, " ({text})")?,
            (Some(code), message) => write!(f, " ({code}: {message})")?,
        }
        if let Some(allow) = &self.allow {
            write!(f, "; allow it with {allow}")?;
            if *self.call == ASSUME_ROLE {
                f.write_str(", and let the role's trust policy name this identity")?;
            }
        }
        if self.class == ErrorClass::Credentials {
            f.write_str(
                "; check the task role, instance profile, AWS profile or AWS_* variables, and the machine's clock",
            )?;
        }
        match &self.request_id {
            Some(id) if f.alternate() => write!(f, "; request id {id}"),
            Some(_) | None => Ok(()),
        }
    }
}

impl Error for AwsError {}

/// Reason of a failure for an unknown id.
pub(super) const MISSING: &str = "MISSING";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::aws::calls;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;
    use std::collections::BTreeSet;

    fn answer(
        status: u16,
        code: Option<&str>,
        message: &str,
    ) -> SdkError<ErrorMetadata, HttpResponse> {
        let mut metadata = ErrorMetadata::builder();
        if let Some(code) = code {
            metadata = metadata.code(code);
        }
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        SdkError::service_error(metadata.message(message).build(), response)
    }

    fn read(error: &SdkError<ErrorMetadata, HttpResponse>) -> AwsError {
        AwsError::of(
            &calls::LIST_TASKS,
            "cluster web",
            &calls::LIST_TASKS.resource("1", "eu-west-1"),
            error,
        )
    }

    #[test]
    fn failures_without_an_answer() {
        let lost = SdkError::dispatch_failure(ConnectorError::io("connection reset".into()));
        let lost = read(&lost);
        assert_eq!(lost.class, ErrorClass::Unavailable);
        assert!(lost.to_string().contains("connection reset"), "{lost}");
        assert_eq!(read(&SdkError::timeout_error("10 s")).class, ErrorClass::Unavailable);
        let none = ConnectorError::other("no providers in chain provided credentials".into(), None);
        let none = read(&SdkError::dispatch_failure(none));
        assert_eq!(none.class, ErrorClass::Credentials);
        assert!(none.to_string().contains("AWS_* variables"), "{none}");
    }

    #[test]
    fn an_error_has_each_cause_once_and_the_advice() {
        assert_eq!(
            read(&answer(400, Some("ThrottlingException"), "Rate exceeded")).to_string(),
            "ecs:ListTasks on cluster web: throttled by AWS (ThrottlingException: Rate exceeded)"
        );
        assert_eq!(
            read(&answer(400, Some("AccessDeniedException"), "not authorized")).to_string(),
            "ecs:ListTasks on cluster web: denied by IAM (AccessDeniedException: not authorized); allow it with \
             {\"Effect\":\"Allow\",\"Action\":\"ecs:ListTasks\",\
             \"Resource\":\"arn:aws:ecs:eu-west-1:1:container-instance/*\"}"
        );
        assert_eq!(
            AwsError::incomplete(&calls::DESCRIBE_TASKS, "arn:x", "no answer").to_string(),
            "ecs:DescribeTasks on arn:x: no complete answer (no answer)"
        );
        let failure = AwsError::failure(&calls::STOP_TASK, "arn:x", MISSING, None);
        assert_eq!(failure.class, ErrorClass::NotFound);
        assert_eq!(failure.to_string(), "ecs:StopTask on arn:x: does not exist (MISSING)");
    }

    #[test]
    fn only_the_long_form_of_an_error_has_the_request_id() {
        let metadata = ErrorMetadata::builder().code("ValidationError").message("no").build();
        let mut response = HttpResponse::new(400.try_into().unwrap(), SdkBody::empty());
        response.headers_mut().insert("x-amzn-requestid", "5f-1");
        let error = read(&SdkError::service_error(metadata, response));
        assert_eq!(
            error.to_string(),
            "ecs:ListTasks on cluster web: refused by AWS (ValidationError: no)"
        );
        assert_eq!(format!("{error:#}"), format!("{error}; request id 5f-1"));
        assert_eq!(chain(&error), format!("{error:#}"));
    }

    #[test]
    fn labels_are_distinct() {
        let names: BTreeSet<&str> = ErrorClass::ALL.iter().map(|class| class.name()).collect();
        assert_eq!(names.len(), ErrorClass::ALL.len());
    }
}
