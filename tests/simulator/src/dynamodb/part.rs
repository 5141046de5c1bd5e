//! Partial answers.
//!
//! Source: DynamoDB API reference, Query and Scan (a page can be empty and have a
//! `LastEvaluatedKey`), BatchGetItem (`UnprocessedKeys`).

use serde_json::{Map, Value, json};

use super::{DynamoDb, Refusal};
use crate::SimTime;

/// The `LastEvaluatedKey` of an empty first page, which means the beginning. Callers send it back
/// as it is.
const BEGINNING: &str = "simulated-beginning";

impl DynamoDb {
    /// Answers as [`DynamoDb::handle`] does, with three differences: a Query's or Scan's first page
    /// is empty, a later page holds one item, and one key of a batch is processed.
    pub fn handle_in_part(
        &mut self,
        now: SimTime,
        operation: &str,
        body: &str,
    ) -> Result<String, Refusal> {
        let Ok(mut request) = serde_json::from_str::<Value>(body) else {
            return self.handle(now, operation, body);
        };
        match operation {
            "Query" | "Scan" if request.get("ExclusiveStartKey").is_some() => {
                request["Limit"] = json!(1);
                self.handle(now, operation, &request.to_string())
            }
            "Query" | "Scan" => self.handle(now, operation, body).map(empty_page),
            "BatchGetItem" => match one_key(&mut request) {
                Some(left) => self
                    .handle(now, operation, &request.to_string())
                    .map(|answer| unprocessed(&answer, left)),
                None => self.handle(now, operation, body),
            },
            _ => self.handle(now, operation, body),
        }
    }
}

/// Turns a request that continues after an empty first page into one for the first page.
pub(super) fn from_the_beginning(body: &str) -> Option<String> {
    if !body.contains(BEGINNING) {
        return None;
    }
    let mut request: Value = serde_json::from_str(body).ok()?;
    let fields = request.as_object_mut()?;
    fields.get("ExclusiveStartKey")?.get(BEGINNING)?;
    fields.remove("ExclusiveStartKey");
    Some(request.to_string())
}

/// Returns an empty page before the one that was read.
fn empty_page(answer: String) -> String {
    let read: Value = serde_json::from_str(&answer).unwrap_or_default();
    let nothing = read.get("Count").and_then(Value::as_u64) == Some(0);
    if nothing {
        return answer;
    }
    let page = json!({
        "Items": [],
        "Count": 0,
        "ScannedCount": 0,
        "LastEvaluatedKey": { BEGINNING: { "S": "0" } },
    });
    page.to_string()
}

/// Reduces a batch to its first key, and returns the rest, which the answer reports as unprocessed.
/// `None`: there is only one key.
fn one_key(request: &mut Value) -> Option<Map<String, Value>> {
    let tables = request.get_mut("RequestItems")?.as_object_mut()?;
    let mut left = Map::new();
    let mut found = false;
    for (name, table) in tables.iter_mut() {
        let mut over = table.clone();
        let keys = table.get_mut("Keys")?.as_array_mut()?;
        let kept = usize::from(!found).min(keys.len());
        let rest = keys.split_off(kept);
        found |= kept > 0;
        if !rest.is_empty() {
            over["Keys"] = Value::Array(rest);
            left.insert(name.clone(), over);
        }
    }
    tables.retain(|_, table| {
        table.get("Keys").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty())
    });
    (!left.is_empty()).then_some(left)
}

fn unprocessed(answer: &str, left: Map<String, Value>) -> String {
    let mut answer: Value = serde_json::from_str(answer).unwrap_or_else(|_| json!({}));
    answer["UnprocessedKeys"] = Value::Object(left);
    answer.to_string()
}
