//! Short digests of requests and answers, so that two logs can be compared by contents.
//!
//! Values that do not follow from the seed are left out: wall-clock times and random ids that the
//! embedded database creates by itself, and the tokens by which the SDK makes a request idempotent.
//! Fields count in the order of their names, because clients write them in any order.

use serde_json::Value;

use crate::wire::{Body, Call};

/// Fields that do not follow from the seed, at any depth.
const LEFT_OUT: [&str; 7] = [
    "ClientRequestToken",
    "CreationDateTime",
    "LastDecreaseDateTime",
    "LastIncreaseDateTime",
    "LastUpdateToPayPerRequestDateTime",
    "TableId",
    "clientToken",
];

/// Returns the digest of a request.
pub(crate) fn of_request(call: &Call) -> u32 {
    let mut digest = Digest::new();
    digest.text(&call.operation);
    match &call.body {
        Body::Json(body) => digest.value(body),
        Body::Text(body) => digest.body(&String::from_utf8_lossy(body)),
        Body::Form(params) => {
            for (name, value) in params.fields() {
                digest.text(name);
                digest.text(value);
            }
        }
    }
    digest.0
}

/// Returns the digest of an answer.
pub(crate) fn of_answer(body: &str) -> u32 {
    let mut digest = Digest::new();
    digest.body(body);
    digest.0
}

/// FNV-1a in 32 bits (source: RFC 9923).
struct Digest(u32);

impl Digest {
    fn new() -> Self {
        Self(0x811c_9dc5)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }

    /// Adds a text and its end, so that two texts do not run into one.
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
        self.bytes(&[0xff]);
    }

    /// Adds JSON by its values, and anything else by its bytes.
    fn body(&mut self, body: &str) {
        match serde_json::from_str::<Value>(body) {
            Ok(value) => self.value(&value),
            Err(_) => self.text(body),
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.text("null"),
            Value::Bool(flag) => self.text(if *flag { "true" } else { "false" }),
            Value::Number(number) => self.text(&number.to_string()),
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                self.text("[");
                items.iter().for_each(|item| self.value(item));
                self.text("]");
            }
            Value::Object(fields) => {
                let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
                fields.sort_by_key(|(name, _)| *name);
                self.text("{");
                for (name, value) in
                    fields.into_iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()))
                {
                    self.text(name);
                    self.value(value);
                }
                self.text("}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::of_answer;

    #[test]
    fn the_order_of_fields_does_not_matter_and_everything_else_does() {
        assert_eq!(of_answer(r#"{"a": 1, "b": ["x"]}"#), of_answer(r#"{"b":["x"],"a":1}"#));
        assert_ne!(of_answer(r#"{"a": 1}"#), of_answer(r#"{"a": 2}"#));
        assert_ne!(of_answer(r#"["ab", "c"]"#), of_answer(r#"["a", "bc"]"#));
        assert_ne!(of_answer("<a>1</a>"), of_answer("<a>2</a>"));
    }

    #[test]
    fn what_the_database_knows_of_the_wall_clock_is_left_out() {
        let at = |time: u32| {
            of_answer(&format!(r#"{{"Table": {{"Name": "t", "CreationDateTime": {time}}}}}"#))
        };
        assert_eq!(at(1), at(2));
    }
}
