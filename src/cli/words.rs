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
/// first 8 digits, and identities to the part after their account: `user/ada`.
pub fn short(text: &str) -> String {
    let text = without_accounts(text);
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

/// Cuts the ARNs of IAM and STS in a text to the part after their account.
fn without_accounts(text: &str) -> String {
    let mut cut = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("arn:") {
        let (before, arn) = rest.split_at(at);
        cut.push_str(before);
        let end = arn.find(char::is_whitespace).unwrap_or(arn.len());
        let mut parts = arn[..end].splitn(6, ':');
        let name = match (parts.nth(2), parts.nth(2)) {
            (Some("iam" | "sts"), Some(name)) if !name.is_empty() => name,
            _ => &arn[..end],
        };
        cut.push_str(name);
        rest = &arn[end..];
    }
    cut + rest
}

/// Returns a text in lines of at most `width` columns, wrapped between words. Runs of spaces inside
/// a line stay. A longer word, such as an ARN, is broken after `/` or `:`; one without them stays
/// whole, and so does one in braces, which is JSON to copy.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::<String>::new();
    let mut rest = text.trim();
    let mut spaces = 0;
    while !rest.is_empty() {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let line = lines.last_mut().map(|line| (line.chars().count(), line));
        match line.filter(|(long, _)| long + spaces + word.chars().count() <= width) {
            Some((_, line)) => {
                line.push_str(&" ".repeat(spaces));
                line.push_str(word);
            }
            None => lines.extend(broken(word, width)),
        }
        rest = after.trim_start();
        spaces = after.chars().count() - rest.chars().count();
    }
    lines
}

/// Breaks a word that is longer than `width` after `/` or `:`.
fn broken(word: &str, width: usize) -> Vec<String> {
    if word.chars().count() <= width || word.starts_with('{') {
        return vec![word.to_owned()];
    }
    let mut parts = Vec::<String>::new();
    for piece in word.split_inclusive(['/', ':']) {
        match parts.last_mut() {
            Some(part) if part.chars().count() + piece.chars().count() <= width => {
                part.push_str(piece);
            }
            Some(_) | None => parts.push(piece.to_owned()),
        }
    }
    parts
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
    fn the_arn_of_a_person_is_cut_to_their_name() {
        let text =
            "paused by arn:aws:sts::123456789012:assumed-role/Ops/ada (incident: disk); heartbeats";
        assert_eq!(short(text), "paused by assumed-role/Ops/ada (incident: disk); heartbeats");
        assert_eq!(short("arn:aws-cn:iam::123456789012:user/ada"), "user/ada");
        let others = "an arn: arn:aws:ecs:eu-west-1:123456789012:task/web/1, arn:aws:iam::1:";
        assert_eq!(short(others), others);
    }

    #[test]
    fn aligned_columns_stay_aligned_in_wrapped_lines() {
        assert_eq!(wrapped("WARN  one  two three", 15), ["WARN  one  two", "three"]);
        let screen = Screen { width: Some(40), ..Screen::default() };
        assert_eq!(
            screen.fit("  ok    a check with a text that is too long here\n"),
            "  ok    a check with a text that is\n    too long here\n"
        );
    }

    #[test]
    fn a_word_that_is_too_long_is_broken_at_a_colon_or_a_slash() {
        let arn = "by arn:aws:sts::123456789012:assumed-role/Operators/ada@example.com (it)";
        assert_eq!(
            wrapped(arn, 30),
            ["by", "arn:aws:sts::123456789012:", "assumed-role/Operators/", "ada@example.com (it)"]
        );
        let allow = r#"{"Effect":"Allow","Action":"ecs:StopTask"}"#;
        assert_eq!(wrapped(allow, 20), [allow], "JSON is copied");
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
