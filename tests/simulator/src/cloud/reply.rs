//! The form of answers and errors, in the protocol of each service.

use super::Cloud;
use crate::sqs;
use crate::wire::json::error_body;
use crate::wire::query::{xml_error, xml_response};
use crate::wire::{ApiError, Body, Call, Reply, Service};

impl Cloud {
    /// Writes an error in the protocol of the call's service.
    pub(super) fn refuse(&self, call: &Call, error: &ApiError) -> Reply {
        self.reply(call, Err(error.clone()))
    }

    /// Writes an answer in the protocol of the call's service.
    pub(super) fn reply(&self, call: &Call, result: Result<String, ApiError>) -> Reply {
        let request_id = self.request_id();
        let json = matches!(call.body, Body::Json(_) | Body::Text(_));
        let content_type = match (call.service, json) {
            (Service::DynamoDb | Service::Sqs, _) => "application/x-amz-json-1.0",
            (_, true) => "application/x-amz-json-1.1",
            (_, false) => "text/xml",
        };
        let query_error = match &result {
            Err(error) if call.service == Service::Sqs => {
                let whose = if error.status < 500 { "Sender" } else { "Receiver" };
                Some(format!("{};{whose}", sqs::query_code(&error.code)))
            }
            Ok(_) | Err(_) => None,
        };
        let (status, error, body) = match result {
            Ok(body) if json => (200, None, body),
            Ok(body) => (
                200,
                None,
                xml_response(&call.operation, call.service.namespace(), &body, &request_id),
            ),
            Err(error) => {
                let namespace =
                    if call.service == Service::Sqs { "com.amazonaws.sqs#" } else { "" };
                let body = if json {
                    error_body(namespace, &error)
                } else {
                    xml_error(&error.code, &error.message, &request_id)
                };
                (error.status, Some(error.code), body)
            }
        };
        Reply { status, content_type, request_id, error, query_error, body }
    }

    pub(super) fn request_id(&self) -> String {
        format!("00000000-0000-4000-8000-{:012x}", self.calls)
    }
}

/// Returns an answer's text for the log.
pub(super) fn describe(reply: &Reply) -> String {
    match &reply.error {
        None => reply.status.to_string(),
        Some(code) => format!("{} {code}", reply.status),
    }
}
