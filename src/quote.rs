//! Text from outside, in sentences and commands of this program.

use std::error::Error;

/// The beginning of a text from outside, at most so many characters: on one line, and with nothing in it that steers a
/// terminal or forges a line of a log.
pub fn shown(text: &str, most: usize) -> String {
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

/// Returns an error with its causes on one line, each said once: many errors repeat their cause in their own text. Errors
/// of AWS come with the request's id.
pub fn chain(error: &dyn Error) -> String {
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

/// Returns a word for a POSIX shell, quoted where it must be: names of groups may have blanks and quotes in them.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
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
        let middle = Link { text: "connection failed: no route to host", source: Some(Box::new(last)) };
        let first = Link { text: "cannot read the table", source: Some(Box::new(middle)) };
        assert_eq!(chain(&first), "cannot read the table: connection failed: no route to host");
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_read_it() {
        assert_eq!(word("web-asg_1.eu/x:y@z"), "web-asg_1.eu/x:y@z");
        assert_eq!(word("web group"), "'web group'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word(""), "''");
    }
}
