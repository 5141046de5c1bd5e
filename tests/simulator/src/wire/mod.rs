//! What crosses the wire: which service and operation a request names, and how answers and errors
//! are written.
//!
//! Two protocols matter. *JSON 1.1/1.0* (ECS, SQS, DynamoDB) names the operation in the header
//! `x-amz-target`; *Query* (Auto Scaling, both load-balancing APIs, STS) in the form field
//! `Action`, and the field `Version` says whose API it is.

pub mod json;
pub mod query;
mod request;

use std::fmt;

pub use request::{Body, Call, Reply, Request, Service, is_read};

/// An error as AWS answers it: the code is what callers branch on, the message is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The error code on the wire, for example `ClusterNotFoundException` or `ValidationError`.
    pub code: String,
    /// The message.
    pub message: String,
}

impl ApiError {
    /// An error with an HTTP status of its own.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    /// HTTP 400 with this code.
    pub fn bad_request(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// Auto Scaling's and classic Query services' catch-all: 400 `ValidationError`.
    pub fn validation_error(message: impl Into<String>) -> Self {
        Self::bad_request("ValidationError", message)
    }

    /// ECS's catch-all: 400 `InvalidParameterException`.
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::bad_request("InvalidParameterException", message)
    }

    /// The operation is not one that this simulator knows. 400 `InvalidAction`, as Query services
    /// answer.
    pub fn unknown_action(action: &str) -> Self {
        Self::bad_request("InvalidAction", format!("Could not find operation {action}"))
    }

    /// HTTP 500 with this code.
    pub fn internal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(500, code, message)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.status, self.message)
    }
}

impl std::error::Error for ApiError {}
