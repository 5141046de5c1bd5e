//! Counts calls to DynamoDB by result. A call counts once, with all its attempts.

use crate::aws::error::classify;
use crate::metrics::Metrics;
use aws_sdk_dynamodb::config::interceptors::FinalizerInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;

/// Interceptor in a client.
#[derive(Debug)]
pub(super) struct Counting(pub(super) Metrics);

impl Intercept for Counting {
    fn name(&self) -> &'static str {
        "counts calls"
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = bag.load::<Metadata>().map_or("unknown", Metadata::name);
        let well = context.output_or_error().is_some_and(|answer| answer.is_ok());
        let result = if well { "ok" } else { failure(context) };
        self.0.call("dynamodb", operation, result);
        Ok(())
    }
}

/// Returns the kind of failure. The error's type is erased here; DynamoDB names it in the answer.
/// (Source: DynamoDB developer guide, "Error handling with DynamoDB": `__type`, after a `#`.)
fn failure(context: &FinalizerInterceptorContextRef<'_>) -> &'static str {
    let Some(response) = context.response() else { return classify(None, Some(500), "").name() };
    let body = response
        .body()
        .bytes()
        .and_then(|body| serde_json::from_slice::<serde_json::Value>(body).ok());
    let kind = body.as_ref().and_then(|body| body["__type"].as_str());
    match kind.map(|kind| kind.rsplit('#').next().unwrap_or(kind)) {
        // A condition of this program did not hold, because another process wrote first.
        Some("ConditionalCheckFailedException" | "TransactionCanceledException") => "conflict",
        code => classify(code, Some(response.status().as_u16()), "").name(),
    }
}
