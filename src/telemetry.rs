//! Sets up the log: to standard error, readable on a terminal and JSON elsewhere. Each module logs
//! its own events, and no secret is ever logged.

use crate::quote::{escaped, plain, steers};
use clap::ValueEnum;
use std::io::{self, IsTerminal, Write};
use tracing_subscriber::EnvFilter;

/// Format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Human on a terminal, JSON elsewhere
    #[default]
    Auto,
    /// Lines for people
    Human,
    /// One JSON object per line
    Json,
}

/// Default log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Level of a service: its own actions, and warnings of the libraries that it uses.
    Service,
    /// Level of a command for a person, whose output is not the log.
    Command,
}

/// Error of the log's configuration.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter does not parse.
    #[error(
        "the log filter (--log, ECS_DRAIN_LOG) is {given:?}: {why}; it is a level (error, warn, info, debug, trace) or a \
         list such as warn,ecs_drain=debug"
    )]
    Filter {
        /// Filter that was given.
        given: String,
        /// Parse error.
        why: String,
    },
}

/// Starts the log of this process. A second call changes nothing.
///
/// # Errors
/// Returns an error if the filter does not parse.
pub fn init(
    given: Option<&str>,
    format: Format,
    verbosity: Verbosity,
) -> Result<(), TelemetryError> {
    let directives = directives(given, verbosity);
    let filter =
        EnvFilter::builder().parse(&directives).map_err(|error| TelemetryError::Filter {
            given: given.unwrap_or(&directives).to_owned(),
            why: error.to_string(),
        })?;
    let terminal = std::io::stderr().is_terminal();
    let human = match format {
        Format::Auto => terminal,
        Format::Human => true,
        Format::Json => false,
    };
    let colour =
        human && terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = match (human, colour) {
        (false, _) => Lines::Json,
        (true, false) => Lines::Plain,
        (true, true) => Lines::Coloured,
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Log { lines, to: io::stderr() });
    // A log that was started before, for example in a test, stays.
    let _ = if human {
        log.with_ansi(colour).with_target(false).try_init()
    } else {
        log.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
    Ok(())
}

/// Form of the log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lines {
    Json,
    Plain,
    Coloured,
}

/// Writer of the log. An event is one line, and no text in it can control a terminal, whatever AWS,
/// a record or a message contains.
struct Log<W> {
    lines: Lines,
    to: W,
}

impl<W: Write> Write for Log<W> {
    /// Writes one event, which arrives whole. (Source: `tracing_subscriber::fmt::Layer`,
    /// `on_event`.)
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = match self.lines {
            Lines::Json => escaped(&line.replace('\n', " ")),
            Lines::Plain => plain(line),
            Lines::Coloured => coloured(line),
        };
        self.to.write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Cleans a line but keeps its colours. They are the log's own, since its formatter escapes those
/// of its fields.
fn coloured(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let colour = rest.strip_prefix("\u{1b}[").and_then(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';')?;
            rest[end..].starts_with('m').then_some(end + "\u{1b}[m".len())
        });
        let taken = colour.unwrap_or(c.len_utf8());
        match colour {
            Some(_) => text.push_str(&rest[..taken]),
            None => text.push(if steers(c) { ' ' } else { c }),
        }
        rest = &rest[taken..];
    }
    text
}

/// Translates the filter into the words of `tracing_subscriber`. A level alone applies to ecs-drain
/// only: the AWS SDK at `debug` would hide its lines.
fn directives(given: Option<&str>, verbosity: Verbosity) -> String {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    match given.map(str::trim) {
        Some(level) if LEVELS.contains(&level.to_lowercase().as_str()) => {
            // `off` switches everything off.
            let others = if level.eq_ignore_ascii_case("off") { "off" } else { "warn" };
            format!("{others},ecs_drain={level}")
        }
        Some(list) if !list.is_empty() => list.to_owned(),
        Some(_) | None => match verbosity {
            Verbosity::Service => "warn,ecs_drain=info".to_owned(),
            Verbosity::Command => "error,ecs_drain=warn".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_level_alone_is_for_this_program() {
        let table = [
            (None, Verbosity::Service, "warn,ecs_drain=info"),
            (None, Verbosity::Command, "error,ecs_drain=warn"),
            (Some(""), Verbosity::Service, "warn,ecs_drain=info"),
            (Some("debug"), Verbosity::Service, "warn,ecs_drain=debug"),
            (Some("OFF"), Verbosity::Service, "off,ecs_drain=OFF"),
            (Some("info,aws_config=debug"), Verbosity::Command, "info,aws_config=debug"),
        ];
        for (given, verbosity, expected) in table {
            assert_eq!(directives(given, verbosity), expected);
            assert!(EnvFilter::builder().parse(expected).is_ok(), "{expected}");
        }
    }

    /// Logs an event with hostile fields of every kind, in this form.
    fn logged(lines: Lines) -> String {
        const HOSTILE: &str = "a\u{1b}[2J\u{1b}[31m\u{9b}3J\u{7}\u{202e}\r\n{\"level\":\"forged\"}";
        let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
        let to = kept.clone();
        let log =
            tracing_subscriber::fmt().with_writer(move || Log { lines, to: Kept(to.clone()) });
        let log: Box<dyn tracing::Subscriber + Send + Sync> = match lines {
            Lines::Json => {
                Box::new(log.json().flatten_event(true).with_current_span(true).finish())
            }
            Lines::Plain => Box::new(log.with_ansi(false).finish()),
            Lines::Coloured => Box::new(log.with_ansi(true).finish()),
        };
        tracing::subscriber::with_default(log, || {
            let span = tracing::error_span!("drain", instance = HOSTILE);
            let _in = span.enter();
            let error = io::Error::other(HOSTILE);
            tracing::error!(hook = HOSTILE, %error, debug = ?HOSTILE, error = &error as &dyn std::error::Error, "it says {HOSTILE}");
        });
        String::from_utf8(kept.lock().unwrap().clone()).unwrap()
    }

    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn outside_text_is_one_line_of_the_log_and_controls_no_terminal() {
        for lines in [Lines::Json, Lines::Plain, Lines::Coloured] {
            let text = logged(lines);
            assert!(text.contains("it says a"), "{text:?}");
            assert_eq!(text.matches('\n').count(), 1, "{lines:?}: {text:?}");
            let line = text.trim_end_matches('\n');
            let own = |line: &str| line.replace("\u{1b}[", "\u{1b}[ ").replace("\u{1b}", "");
            let line = if lines == Lines::Coloured { own(line) } else { line.to_owned() };
            assert!(!line.contains(steers), "{lines:?}: {text:?}");
            assert!(
                !text.contains("\u{1b}[2J") && !text.contains("\u{1b}[31m\u{9b}"),
                "{lines:?}: {text:?}"
            );
            if lines == Lines::Json {
                let event: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(event["level"], "ERROR");
            }
        }
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        let error = init(Some("ecs_drain=loud"), Format::Json, Verbosity::Command)
            .err()
            .map(|e| e.to_string());
        assert!(error.is_some_and(|text| {
            text.starts_with("the log filter (--log, ECS_DRAIN_LOG) is \"ecs_drain=loud\"")
        }));
    }
}
