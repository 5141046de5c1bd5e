//! Quotes outside text in messages and commands of this program.

pub(crate) use ecs_drain_state::text::{plain, steers};
use serde::Serialize;
use std::error::Error;
use std::fmt::Write as _;

/// Returns the beginning of an outside text, at most `most` characters. It is one line, and
/// contains nothing that controls a terminal or forges a line of the log.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for character in text.chars().take(most) {
        if character == ' ' || character.is_ascii_graphic() {
            shown.push(character);
        } else {
            shown.extend(character.escape_default());
        }
    }
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// Returns an error with its causes on one line, without repetition: many errors include their
/// cause in their own text. AWS's errors come with the request's id.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = format!("{error:#}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// Returns a value as JSON for people, in which nothing controls a terminal: such characters are
/// escaped, as JSON escapes.
///
/// # Errors
/// Returns an error if it cannot be written as JSON.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(value).map(|text| escaped(&text))
}

/// Escapes characters that control a terminal in a JSON text. Its own line breaks stay. Such
/// characters can occur only in strings.
pub(crate) fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !steers(c) {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

/// Returns a word for a POSIX shell, quoted if necessary: names of groups may contain blanks and
/// quotes.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    #[test]
    fn each_cause_is_said_once() {
        let last = Link { text: "no route to host", source: None };
        let middle =
            Link { text: "connection failed: no route to host", source: Some(Box::new(last)) };
        let first = Link { text: "cannot read the table", source: Some(Box::new(middle)) };
        assert_eq!(chain(&first), "cannot read the table: connection failed: no route to host");
    }

    #[test]
    fn escaped_json_has_the_same_value_and_controls_no_terminal() {
        let value = serde_json::json!({ "by": "a\u{1b}[2J\u{9b}\u{7f}\u{202e}\u{e0041}\nb" });
        let text = json(&value).unwrap();
        assert!(!text.chars().any(|c| c != '\n' && steers(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_read_it() {
        assert_eq!(word("web-asg_1.eu/x:y@z"), "web-asg_1.eu/x:y@z");
        assert_eq!(word("web group"), "'web group'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word(""), "''");
    }
}
