//! Writes JSON values as YAML, the format that users of `kubectl` expect. Every string is in double
//! quotes with JSON's escapes, which YAML shares, so that no text in a record can change its type
//! or control a terminal.

use crate::quote;
use serde_json::Value;

/// Returns a value as a YAML document.
///
/// # Errors
/// Returns an error if a string cannot be written as JSON.
pub fn document(value: &Value) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    block(value, 0, &mut text)?;
    Ok(text)
}

/// Writes a value whose first line is already indented.
fn block(value: &Value, indent: usize, text: &mut String) -> Result<(), serde_json::Error> {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (n, (name, value)) in fields.iter().enumerate() {
                if n > 0 {
                    text.push_str(&pad);
                }
                text.push_str(&key(name)?);
                text.push(':');
                below(value, indent + 2, text)?;
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    text.push_str(&pad);
                }
                text.push_str("- ");
                block(item, indent + 2, text)?;
            }
        }
        scalar @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_)) => {
            text.push_str(&quote::json(scalar)?);
            text.push('\n');
        }
    }
    Ok(())
}

/// Writes a value after its key: on the same line if it is a scalar, else below.
fn below(value: &Value, indent: usize, text: &mut String) -> Result<(), serde_json::Error> {
    let nested = match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    if nested {
        text.push('\n');
        text.push_str(&" ".repeat(indent));
    } else {
        text.push(' ');
    }
    block(value, indent, text)
}

fn key(name: &str) -> Result<String, serde_json::Error> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let reserved = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
        .contains(&name.to_ascii_lowercase().as_str());
    if begins && name.chars().all(is_word) && !reserved {
        Ok(name.to_owned())
    } else {
        quote::json(name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document() {
        let value = json!({
            "name": "no", "n": 3, "list": [{ "a": 1, "b": [] }, "x", ["y"]], "empty": {},
            "deep": { "null": null, "on": true },
        });
        assert_eq!(
            document(&value).unwrap(),
            "\
deep:
  \"null\": null
  \"on\": true
empty: {}
list:
  - a: 1
    b: []
  - \"x\"
  - - \"y\"
\"n\": 3
name: \"no\"
"
        );
    }

    #[test]
    fn another_reader_of_yaml_reads_the_same() {
        let value = json!([
            { "text": "a: b # c\n\u{1b}[2J \u{202e} é 😀 \u{85}", "- x": "1e3", "1": "~", "": [[], [{}]] },
            [[["deep"]], { "a": { "b": [1.5, -2, null, false] } }],
        ]);
        let text = document(&value).unwrap();
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
        assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), value);
    }
}
