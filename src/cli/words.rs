//! Formats times and texts for people who read them on a terminal.

use crate::cli::out::{BOLD, USUAL};
use jiff::{SignedDuration, Timestamp};
use std::io::IsTerminal;

/// Properties of the output's destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// Width in columns; `None`: lines are not wrapped.
    pub width: Option<u16>,
    /// Height in lines; `None` if it is no terminal.
    pub height: Option<u16>,
    /// True if headings are bold.
    pub colour: bool,
    /// True for a terminal.
    pub terminal: bool,
}

impl Screen {
    /// Detects the properties of this process's standard output.
    pub fn detect() -> Screen {
        let terminal = std::io::stdout().is_terminal();
        // A person or a test sets COLUMNS. A shell has the variable but does not export it.
        let set = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let size = terminal_size::terminal_size();
        let width = set.or_else(|| size.map(|(width, _)| width.0)).filter(|width| *width >= 40);
        let height = size.map(|(_, height)| height.0).filter(|_| terminal);
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Screen { width, height, colour, terminal }
    }

    /// Wraps the lines of a text to the width. Commands to copy, and lines of a source, stay whole.
    pub(crate) fn fit(&self, text: &str) -> String {
        let Some(width) = self.width.map(usize::from) else { return text.to_owned() };
        let mut fitted = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let (content, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
            let body = content.trim_start();
            let whole = ["ecs-drain ", "aws ", "|"].iter().any(|begin| body.starts_with(begin))
                || body.split(' ').nth(1) == Some("|");
            if whole || content.chars().count() <= width {
                fitted.push_str(line);
                continue;
            }
            let indent = content.len() - body.len();
            let lines = wrapped(body, width.saturating_sub(indent + 2));
            for (n, part) in lines.iter().enumerate() {
                let more = if n == 0 { indent } else { indent + 2 };
                let end = if n + 1 == lines.len() { end } else { "\n" };
                fitted.push_str(&format!("{}{part}{end}", " ".repeat(more)));
            }
        }
        fitted
    }

    /// Returns a heading, bold if the screen has colour.
    pub(crate) fn heading(&self, text: &str) -> String {
        if self.colour { format!("{BOLD}{text}{USUAL}") } else { text.to_owned() }
    }
}

/// Returns the time since a moment: `45 s`, `3 min`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    length(now.duration_since(then))
}

/// Returns a length of time in at most two units, rounded down. A negative length is `0 s`.
pub(crate) fn length(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |big: i64, unit: &str, small: i64, smaller: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {smaller}"),
    };
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..=172_800 => two(hours, "h", minutes % 60, "min"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

/// Returns a length of time in one unit, rounded down, for columns: `45 s`, `90 min`, `47 h`,
/// `3 d`.
pub(crate) fn brief(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..=172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}

/// Returns the distance of a moment from now: `in 40 min`, `12 min ago`.
pub(crate) fn when(then: Timestamp, now: Timestamp) -> String {
    if then >= now {
        format!("in {}", length(then.duration_since(now)))
    } else {
        format!("{} ago", age(then, now))
    }
}

/// Returns a moment in ISO 8601, to the second, so that people can compare it with logs.
pub(crate) fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns a text in which ids of 32 hexadecimal digits, such as those of tasks, are cut to their
/// first 8 digits.
pub fn short(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit()) {
            short.push_str(&piece[..8]);
            short.push_str(&piece[32..]);
        } else {
            short.push_str(piece);
        }
    }
    short
}

/// Returns a text in lines of at most `width` columns, wrapped between words.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::<String>::new();
    for word in text.split_whitespace() {
        match lines
            .last_mut()
            .filter(|line| line.chars().count() + 1 + word.chars().count() <= width)
        {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_in_columns() {
        let brief = |seconds: i64| brief(SignedDuration::from_secs(seconds));
        assert_eq!(
            [119, 120, 7199, 7200, 172_800].map(brief),
            ["119 s", "2 min", "119 min", "2 h", "48 h"]
        );
        assert_eq!([172_801, -5].map(brief), ["2 d", "0 s"]);
    }

    #[test]
    fn ids_of_32_digits_are_cut_to_8() {
        let text = "task 91105849128e2fca87298cac4bb31e7a, of service api (91105849128e2fca87298cac4bb31e7b)";
        assert_eq!(short(text), "task 91105849, of service api (91105849)");
        assert_eq!(short("i-00de36304a42b1541 in deadbeef"), "i-00de36304a42b1541 in deadbeef");
    }

    #[test]
    fn a_text_fits_and_commands_stay_whole() {
        let screen = Screen { width: Some(40), ..Screen::default() };
        let command = "  ecs-drain pause i-0123456789abcdef0 --reason 'incident 4711'\n";
        let source = "12 | strategy = \"a very long value that nobody would write\"\n";
        assert_eq!(screen.fit(command), command);
        assert_eq!(screen.fit(source), source);
        assert_eq!(
            screen.fit("  -> set the heartbeat timeout to 3600 s, which allows 48 hours\nno\n"),
            "  -> set the heartbeat timeout to 3600\n    s, which allows 48 hours\nno\n"
        );
        assert_eq!(Screen::default().fit(source), source);
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("longer-than-that it is", 7), ["longer-than-that", "it is"]);
        assert!(wrapped("", 7).is_empty());
    }

    #[test]
    fn lengths_of_time() {
        let table = [
            (-5, "0 s"),
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h"),
            (7500, "2 h 5 min"),
            (172_799, "47 h 59 min"),
            (172_800, "48 h"),
            (172_860, "2 d"),
            (273_600, "3 d 4 h"),
        ];
        for (seconds, expected) in table {
            assert_eq!(length(SignedDuration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn moments() {
        let now = Timestamp::from_second(1_700_000_000).unwrap_or(Timestamp::MIN);
        let later = now + SignedDuration::from_mins(40);
        assert_eq!(when(later, now), "in 40 min");
        assert_eq!(when(now, later), "40 min ago");
        assert_eq!(iso(now), "2023-11-14T22:13:20Z");
    }
}
