//! Changes an input a little: in JSON, one value in its place; otherwise, its bytes.

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// Words with a meaning for one of the readers.
const WORDS: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "[[",
    "]]",
    "=",
    ":",
    ",",
    "\n",
    "#",
    "'''",
    "\"\"\"",
    "/",
    "*",
    "?",
    "\u{0}",
    "\u{1b}[31m",
    "\u{202e}",
    "\u{feff}",
    "é",
    "-",
    "0",
    "1",
    "-1",
    "1e999",
    "18446744073709551616",
    "null",
    "true",
    "arn:aws:",
    "i-0123456789abcdef0",
    "us-east-1",
    "123456789012",
    "2026-01-05T09:00:00Z",
    "-009999-01-01T00:00:00Z",
    "scope",
    "policy",
    "override",
    "hooks",
    "region",
    "48h",
    "0s",
    "Done",
    "Completing",
    "Notification",
];

/// Returns the input, changed in a few places.
pub fn mutate(data: &[u8], rng: &mut Rng) -> Vec<u8> {
    let json = serde_json::from_slice::<Value>(data).ok().filter(|value| value.is_object());
    match json {
        Some(mut value) if rng.u8(..8) != 0 => {
            for _ in 0..rng.usize(1..=4) {
                change_value(&mut value, rng);
            }
            value.to_string().into_bytes()
        }
        _ => {
            let mut data = data.to_vec();
            for _ in 0..rng.usize(1..=2) {
                change_bytes(&mut data, rng);
            }
            data
        }
    }
}

fn change_bytes(data: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.usize(..=data.len());
    let end = (at + rng.usize(..16)).min(data.len());
    match rng.u8(..6) {
        0 => drop(data.drain(at..end)),
        1 => {
            let word = WORDS[rng.usize(..WORDS.len())];
            drop(data.splice(at..at, word.bytes()));
        }
        2 => {
            let word = WORDS[rng.usize(..WORDS.len())];
            drop(data.splice(at..end, word.bytes()));
        }
        3 => {
            let again = data[at..end].to_vec();
            let to = rng.usize(..=data.len());
            drop(data.splice(to..to, again));
        }
        4 => data.truncate(if rng.bool() { at } else { data.len() }),
        _ => {
            if let Some(byte) = data.get_mut(at) {
                *byte = rng.u8(..);
            }
        }
    }
}

/// Finds the place of every value, as JSON pointers.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                places(
                    value,
                    &format!("{here}/{}", name.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        Value::Array(values) => {
            for (n, value) in values.iter().enumerate() {
                places(value, &format!("{here}/{n}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn change_value(whole: &mut Value, rng: &mut Rng) {
    let mut all = Vec::new();
    places(whole, "", &mut all);
    let any = |rng: &mut Rng| all[rng.usize(..all.len())].clone();
    let (place, other) = (any(rng), any(rng));
    let other = whole.pointer(&other).cloned().unwrap_or_default();
    let Some(value) = whole.pointer_mut(&place) else { return };
    match (rng.u8(..6), &mut *value) {
        (0, Value::Object(fields)) => remove_one(fields, rng),
        (0, Value::Array(values)) if !values.is_empty() => {
            drop(values.remove(rng.usize(..values.len())))
        }
        (1, Value::Object(fields)) => {
            drop(fields.insert(WORDS[rng.usize(..WORDS.len())].to_owned(), other))
        }
        (1, Value::Array(values)) => values.push(other),
        (2, _) => *value = other,
        (3, _) => *value = hostile(rng),
        (4, Value::String(text)) => {
            let mut bytes = std::mem::take(text).into_bytes();
            change_bytes(&mut bytes, rng);
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        (4, Value::Array(values)) => {
            let again = values.clone();
            values.extend(again);
        }
        (5, Value::String(text)) => *text = WORDS[rng.usize(..WORDS.len())].to_owned(),
        _ => {}
    }
}

fn remove_one(fields: &mut Map<String, Value>, rng: &mut Rng) {
    let name = fields.keys().nth(rng.usize(..fields.len().max(1))).cloned();
    name.map(|name| fields.remove(&name));
}

/// Returns an unexpected value; also as attributes of DynamoDB.
fn hostile(rng: &mut Rng) -> Value {
    let deep = |open: &str, close: &str| {
        let text = format!("{}0{}", open.repeat(40), close.repeat(40));
        serde_json::from_str(&text).unwrap_or_default()
    };
    match rng.u8(..16) {
        0 => json!(null),
        1 => json!(rng.i64(..)),
        2 => json!("x".repeat(rng.usize(..5_000))),
        3 => json!("\u{1b}[2J\u{0}\r\n\u{202e}"),
        4 => deep("[", "]"),
        5 => deep(r#"{"a":"#, "}"),
        6 => json!({ "NULL": true }),
        7 => json!({ "BOOL": rng.bool() }),
        8 => json!({ "N": rng.i64(..).to_string() }),
        9 => json!({ "N": "1e126" }),
        10 => json!({ "S": "\u{1b}[31m\n" }),
        11 => json!({ "SS": ["Ada", "Bob"] }),
        12 => json!({ "L": [] }),
        13 => json!({ "M": {} }),
        14 => json!({ "B": "AA==" }),
        _ => {
            let ends = ["-009999-01-02T01:59:59Z", "9999-12-30T22:00:00.999999999Z"];
            json!({ "S": ends[rng.usize(..2)] })
        }
    }
}
