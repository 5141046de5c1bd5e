//! Items of a DynamoDB table as JSON: `{"phase": {"S": "Pending"}}`, as `aws dynamodb get-item`
//! prints them.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Returns the item in a text, if there is one. `{"Item": …}` around it is allowed.
pub fn parse(data: &[u8]) -> Option<HashMap<String, AttributeValue>> {
    let value: Value = serde_json::from_slice(data).ok()?;
    let fields = value.get("Item").unwrap_or(&value).as_object()?;
    attributes(fields)
}

fn attributes(fields: &Map<String, Value>) -> Option<HashMap<String, AttributeValue>> {
    fields.iter().map(|(name, value)| Some((name.clone(), attribute(value)?))).collect()
}

fn attribute(value: &Value) -> Option<AttributeValue> {
    let (kind, value) = value.as_object().filter(|fields| fields.len() == 1)?.iter().next()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let texts = || value.as_array()?.iter().map(text).collect::<Option<Vec<String>>>();
    let bytes = |text: String| Blob::new(text.into_bytes());
    Some(match kind.as_str() {
        "S" => AttributeValue::S(text(value)?),
        "N" => AttributeValue::N(text(value)?),
        "B" => AttributeValue::B(bytes(text(value)?)),
        "SS" => AttributeValue::Ss(texts()?),
        "NS" => AttributeValue::Ns(texts()?),
        "BS" => AttributeValue::Bs(texts()?.into_iter().map(bytes).collect()),
        "BOOL" => AttributeValue::Bool(value.as_bool()?),
        "NULL" => AttributeValue::Null(value.as_bool()?),
        "L" => {
            AttributeValue::L(value.as_array()?.iter().map(attribute).collect::<Option<Vec<_>>>()?)
        }
        "M" => AttributeValue::M(attributes(value.as_object()?)?),
        _ => return None,
    })
}
