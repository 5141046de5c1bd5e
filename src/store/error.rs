//! What can go wrong with the table, and what to do about it.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;

/// Where a call went.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The table's name.
    pub table: String,
    /// The region that the SDK was configured with.
    pub region: String,
}

/// A call on the table that did not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No answer, or one that says that DynamoDB is in trouble. A write may have happened all the same.
    #[error("{call} on table {table}: DynamoDB cannot be reached: {why}")]
    Unavailable {
        /// The call, in IAM's spelling.
        call: &'static str,
        /// The table.
        table: String,
        /// What came back.
        why: String,
    },
    /// Too many calls for the table, its partition or the account.
    #[error("{call} on table {table}: throttled by DynamoDB: {why}")]
    Throttled {
        /// The call, in IAM's spelling.
        call: &'static str,
        /// The table.
        table: String,
        /// What came back.
        why: String,
    },
    /// IAM does not allow it.
    #[error("{call} on table {table} is denied; allow it with {statement} ({why})")]
    Denied {
        /// The call, in IAM's spelling.
        call: &'static str,
        /// The table.
        table: String,
        /// The policy statement that allows it.
        statement: String,
        /// What came back.
        why: String,
    },
    /// AWS does not accept the credentials, or there are none.
    #[error(
        "{call} on table {table}: AWS does not accept the credentials, or there are none: {why}; check the task role, profile or AWS_* \
         variables, and the machine's clock"
    )]
    Credentials {
        /// The call, in IAM's spelling.
        call: &'static str,
        /// The table.
        table: String,
        /// What came back.
        why: String,
    },
    /// There is no such table.
    #[error(
        "table {table} does not exist in {region}; create it with `ecs-drain init`, or correct the table's name or region"
    )]
    Missing {
        /// The table.
        table: String,
        /// The region.
        region: String,
    },
    /// The table is there, but not as it must be.
    #[error("table {table} is not as ecs-drain needs it: {}", problems.join("; "))]
    Shape {
        /// The table.
        table: String,
        /// What is wrong, and what to do about it.
        problems: Vec<String>,
    },
    /// Anything else: most likely a mistake of this program, or an endpoint that is not DynamoDB.
    #[error("{call} on table {table}: {why}")]
    Other {
        /// The call, in IAM's spelling.
        call: &'static str,
        /// The table.
        table: String,
        /// What came back.
        why: String,
    },
}

impl StoreError {
    /// Whether the same call can succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            StoreError::Unavailable { .. } | StoreError::Throttled { .. } => true,
            StoreError::Denied { .. }
            | StoreError::Credentials { .. }
            | StoreError::Missing { .. }
            | StoreError::Shape { .. }
            | StoreError::Other { .. } => false,
        }
    }

    /// One of a closed set of labels, for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            StoreError::Unavailable { .. } => "unavailable",
            StoreError::Throttled { .. } => "throttled",
            StoreError::Denied { .. } => "denied",
            StoreError::Credentials { .. } => "credentials",
            StoreError::Missing { .. } => "missing",
            StoreError::Shape { .. } => "shape",
            StoreError::Other { .. } => "other",
        }
    }
}

impl Place {
    /// What the SDK says of a failed call, as ours.
    pub(super) fn failed<E>(&self, call: &'static str, error: &SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        match error.code() {
            Some(code) => self.classify(call, code, status, error.message().unwrap_or_default()),
            // An answer without an error code comes from something on the way: a proxy, a load balancer.
            None => {
                let (table, why) = (self.table.clone(), chain(error));
                let lost = matches!(
                    error,
                    SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_)
                );
                let other = matches!(error, SdkError::DispatchFailure(failure) if failure.is_other());
                if other && why.contains("credential") {
                    StoreError::Credentials { call, table, why }
                } else if lost || status.is_some_and(|status| status >= 500) {
                    StoreError::Unavailable { call, table, why }
                } else {
                    StoreError::Other { call, table, why }
                }
            }
        }
    }

    /// An error of this program's own making at a call.
    pub(super) fn other(&self, call: &'static str, why: impl Into<String>) -> StoreError {
        StoreError::Other { call, table: self.table.clone(), why: why.into() }
    }

    /// The class of an error code. (Source: DynamoDB developer guide, "Error handling with DynamoDB"; for credentials
    /// the common errors of AWS's JSON services.)
    fn classify(&self, call: &'static str, code: &str, status: Option<u16>, message: &str) -> StoreError {
        let table = self.table.clone();
        let why = if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") };
        match code {
            "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "Throttling"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "LimitExceededException" => StoreError::Throttled { call, table, why },
            "InternalServerError"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "TransactionInProgressException"
            | "TransactionConflictException"
            | "ReplicatedWriteConflictException" => StoreError::Unavailable { call, table, why },
            "AccessDeniedException" | "AccessDenied" => {
                StoreError::Denied { call, table, statement: self.statement(call), why }
            }
            "ExpiredTokenException"
            | "ExpiredToken"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException" => StoreError::Credentials { call, table, why },
            "ResourceNotFoundException" => StoreError::Missing { table, region: self.region.clone() },
            "ValidationException" if about_the_schema(message) => StoreError::Shape {
                table,
                problems: vec![format!("{call} says: {message}; compare it with what `ecs-drain init` creates")],
            },
            _ if status.is_some_and(|status| status >= 500) => StoreError::Unavailable { call, table, why },
            _ => StoreError::Other { call, table, why },
        }
    }

    /// The policy statement that allows a call. The account is unknown here, and IAM takes `*` for it.
    fn statement(&self, call: &str) -> String {
        let partition = match self.region.split('-').next() {
            Some("cn") => "aws-cn",
            _ if self.region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        // A query goes to an index, which is a resource of its own. (Source: Service Authorization Reference, DynamoDB.)
        let index = if call == "dynamodb:Query" { "/index/*" } else { "" };
        format!(
            r#"{{"Effect":"Allow","Action":"{call}","Resource":"arn:{partition}:dynamodb:{}:*:table/{}{index}"}}"#,
            self.region, self.table
        )
    }
}

/// Whether a ValidationException complains about the table's keys or indexes rather than about the request.
fn about_the_schema(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("does not match the schema")
        || message.contains("does not have the specified index")
        || message.contains("missing the key")
        || message.contains("type mismatch for key")
        || message.contains("type mismatch for index key")
}

/// An error and its causes, each said once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if said.last() != Some(&text) {
            said.push(text);
        }
        next = cause.source();
    }
    said.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(code: &str, status: u16, message: &str) -> String {
        let place = Place { table: "drains".into(), region: "eu-west-1".into() };
        let error = place.classify("dynamodb:Query", code, Some(status), message);
        format!("{} {}: {error}", error.name(), error.is_transient())
    }

    #[test]
    fn an_error_says_what_to_do() {
        let said = [
            classify("ThrottlingException", 400, "Rate exceeded"),
            classify("InternalServerError", 500, ""),
            classify("AccessDeniedException", 400, "no identity-based policy allows it"),
            classify("ResourceNotFoundException", 400, "Requested resource not found"),
            classify("ValidationException", 400, "The table does not have the specified index: unfinished"),
            classify("ValidationException", 400, "Item size has exceeded the maximum allowed size"),
            classify("SomethingNew", 503, "hm"),
        ];
        assert_eq!(
            said.join("\n"),
            "\
throttled true: dynamodb:Query on table drains: throttled by DynamoDB: ThrottlingException: Rate exceeded
unavailable true: dynamodb:Query on table drains: DynamoDB cannot be reached: InternalServerError
denied false: dynamodb:Query on table drains is denied; allow it with {\"Effect\":\"Allow\",\"Action\":\"dynamodb:Query\",\"Resource\":\"arn:aws:dynamodb:eu-west-1:*:table/drains/index/*\"} (AccessDeniedException: no identity-based policy allows it)
missing false: table drains does not exist in eu-west-1; create it with `ecs-drain init`, or correct the table's name or region
shape false: table drains is not as ecs-drain needs it: dynamodb:Query says: The table does not have the specified index: unfinished; compare it with what `ecs-drain init` creates
other false: dynamodb:Query on table drains: ValidationException: Item size has exceeded the maximum allowed size
unavailable true: dynamodb:Query on table drains: DynamoDB cannot be reached: SomethingNew: hm"
        );
    }
}
