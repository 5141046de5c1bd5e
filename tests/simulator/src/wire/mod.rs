//! The protocols: a request's service and operation, and the form of answers and errors.
//!
//! There are two. *JSON 1.1/1.0* (ECS, SQS, DynamoDB) names the operation in the header
//! `x-amz-target`; *Query* (Auto Scaling, both load-balancing APIs, STS) in the form field
//! `Action`, and its field `Version` names the API.

pub mod json;
pub mod query;
mod request;

use std::fmt;

pub use request::{Body, Call, Reply, Request, Service, is_read};

/// An error in AWS's form: callers branch on the code, and the message is for people.
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
    /// Creates an error with an HTTP status of its own.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    /// Creates an error with HTTP 400 and this code.
    pub fn bad_request(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// Creates the catch-all of Auto Scaling and classic Query services: 400 `ValidationError`.
    pub fn validation_error(message: impl Into<String>) -> Self {
        Self::bad_request("ValidationError", message)
    }

    /// Creates ECS's catch-all: 400 `InvalidParameterException`.
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::bad_request("InvalidParameterException", message)
    }

    /// Creates the error for an operation that this simulator does not know: 400 `InvalidAction`,
    /// as Query services answer.
    pub fn unknown_action(action: &str) -> Self {
        Self::bad_request("InvalidAction", format!("Could not find operation {action}"))
    }

    /// Creates an error with HTTP 500 and this code.
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
