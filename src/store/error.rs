//! Errors of the table, and what to do about each.

use crate::aws::calls::{self, Call};
use crate::aws::{AwsError, ErrorClass};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;

/// Table and region of a call.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub table: String,
    /// Region that the SDK was configured with.
    pub region: String,
}

/// A failed call on the table, or a table of the wrong shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The table does not exist.
    #[error(
        "table {table} does not exist in {region}; create it with `ecs-drain init`, or correct the table's name or region"
    )]
    Missing {
        /// Name of the table.
        table: String,
        region: String,
    },
    /// The table exists, but has the wrong shape.
    #[error("table {table} is not as ecs-drain needs it: {}", problems.join("; "))]
    Shape {
        table: String,
        /// Each problem, with what to do about it.
        problems: Vec<String>,
    },
    /// A call failed, as any AWS call can. After [`ErrorClass::Unavailable`] a write may have been
    /// applied.
    #[error(transparent)]
    Call(#[from] AwsError),
}

impl StoreError {
    /// Returns the class of a call's failure, or `None` if the table is the problem.
    pub fn class(&self) -> Option<ErrorClass> {
        match self {
            StoreError::Missing { .. } | StoreError::Shape { .. } => None,
            StoreError::Call(error) => Some(error.class),
        }
    }

    /// Returns whether the same call can succeed later without a change.
    pub fn is_transient(&self) -> bool {
        self.class().is_some_and(ErrorClass::is_transient)
    }
}

impl Place {
    /// Converts the SDK's error of a failed call.
    pub(super) fn failed<E>(&self, call: &'static Call, error: &SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let error = AwsError::of(call, &self.on(), &self.resource(call), error);
        // Includes the request's id, as in the log of other services' calls.
        tracing::debug!("Table call failed: {error:#}");
        let table = self.table.clone();
        match error.code.as_deref() {
            Some("ResourceNotFoundException") => {
                StoreError::Missing { table, region: self.region.clone() }
            }
            Some("ValidationException") if about_the_schema(&error.message) => {
                let (call, message) = (call.iam_action, &error.message);
                let problem = format!(
                    "{call} says: {message}; compare it with what `ecs-drain init` creates"
                );
                StoreError::Shape { table, problems: vec![problem] }
            }
            Some(_) | None => StoreError::Call(error),
        }
    }

    /// Creates an error for a call that failed in this program.
    pub(super) fn other(&self, call: &'static Call, why: impl Into<String>) -> StoreError {
        StoreError::Call(AwsError::own(call, &self.on(), &why.into()))
    }

    /// Creates an error for a call that DynamoDB has throttled too often.
    pub(super) fn throttled(&self, call: &'static Call, why: &str) -> StoreError {
        StoreError::Call(AwsError {
            class: ErrorClass::Throttled,
            ..AwsError::own(call, &self.on(), why)
        })
    }

    fn on(&self) -> String {
        format!("table {}", self.table)
    }

    /// Returns the resource on which IAM must allow a call. The account is unknown here, and IAM
    /// accepts `*` for it.
    fn resource(&self, call: &Call) -> String {
        // A query uses an index, which is a separate resource. (Source: Service Authorization
        // Reference, DynamoDB.)
        let index = if *call == calls::QUERY { "/index/*" } else { "" };
        let (partition, region, table) =
            (calls::partition(&self.region), &self.region, &self.table);
        format!("arn:{partition}:dynamodb:{region}:*:table/{table}{index}")
    }
}

/// Returns whether a ValidationException is about the table's keys or indexes rather than the
/// request.
fn about_the_schema(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("does not match the schema")
        || message.contains("does not have the specified index")
        || message.contains("missing the key")
        || message.contains("type mismatch for key")
        || message.contains("type mismatch for index key")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    fn place(region: &str) -> Place {
        Place { table: "drains".into(), region: region.into() }
    }

    fn answer(code: &str, status: u16, message: &str) -> SdkError<ErrorMetadata> {
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        SdkError::service_error(
            ErrorMetadata::builder().code(code).message(message).build(),
            response,
        )
    }

    fn said(code: &str, status: u16, message: &str) -> String {
        let error = place("eu-west-1").failed(&calls::QUERY, &answer(code, status, message));
        let class = error.class().map_or("table", ErrorClass::name);
        format!("{class} {}: {error}", error.is_transient())
    }

    #[test]
    fn an_error_says_what_to_do() {
        let said = [
            said("ThrottlingException", 400, "Rate exceeded"),
            said("InternalServerError", 500, ""),
            said("AccessDeniedException", 400, "no identity-based policy allows it"),
            said("ResourceNotFoundException", 400, "Requested resource not found"),
            said(
                "ValidationException",
                400,
                "The table does not have the specified index: unfinished",
            ),
            said("ValidationException", 400, "Item size has exceeded the maximum allowed size"),
            said("SomethingNew", 503, "hm"),
        ];
        assert_eq!(
            said.join("\n"),
            "\
throttled true: dynamodb:Query on table drains: throttled by AWS (ThrottlingException: Rate exceeded)
unavailable true: dynamodb:Query on table drains: no complete answer (InternalServerError)
denied false: dynamodb:Query on table drains: denied by IAM (AccessDeniedException: no identity-based policy allows it); allow it with {\"Effect\":\"Allow\",\"Action\":\"dynamodb:Query\",\"Resource\":\"arn:aws:dynamodb:eu-west-1:*:table/drains/index/*\"}
table false: table drains does not exist in eu-west-1; create it with `ecs-drain init`, or correct the table's name or region
table false: table drains is not as ecs-drain needs it: dynamodb:Query says: The table does not have the specified index: unfinished; compare it with what `ecs-drain init` creates
invalid false: dynamodb:Query on table drains: refused by AWS (ValidationException: Item size has exceeded the maximum allowed size)
unavailable true: dynamodb:Query on table drains: no complete answer (SomethingNew: hm)"
        );
    }

    #[test]
    fn the_allowing_statement_has_the_regions_partition() {
        let denied = answer("AccessDeniedException", 400, "");
        let error = place("eusc-de-east-1").failed(&calls::GET_ITEM, &denied).to_string();
        assert!(error.contains("arn:aws-eusc:dynamodb:eusc-de-east-1:*:table/drains\""), "{error}");
    }
}
