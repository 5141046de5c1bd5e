//! The JSON protocols: fields of a request, errors and times.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::ApiError;
use crate::SimTime;

/// Returns a wall time in JSON 1.1: seconds since the epoch, with milliseconds as a fraction.
pub fn epoch_seconds(start: Timestamp, at: SimTime) -> Value {
    let millis =
        start.as_millisecond().saturating_add(i64::try_from(at.as_millis()).unwrap_or(i64::MAX));
    // Exact: milliseconds of any date before the year 280000 fit into the 53 bits of a double.
    #[allow(clippy::cast_precision_loss)]
    let seconds = millis as f64 / 1000.0;
    json!(seconds)
}

/// Returns an error's body. Some services put the namespace of their shapes before the code, with a
/// `#` at its end.
pub fn error_body(namespace: &str, error: &ApiError) -> String {
    json!({ "__type": format!("{namespace}{}", error.code), "message": error.message }).to_string()
}

/// Returns a text field; absent and empty are the same.
pub fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Returns a text field that must be there.
pub fn required<'a>(body: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    text(body, name).ok_or_else(|| ApiError::invalid_parameter(format!("{name} can not be blank.")))
}

/// Returns a list of texts; absent is empty.
pub fn texts<'a>(body: &'a Value, name: &str) -> Vec<&'a str> {
    body.get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
