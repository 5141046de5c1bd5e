//! Logs: to standard error, readable on a terminal and JSON elsewhere. What is logged is said where it happens; no
//! secret is ever part of it.

use clap::ValueEnum;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// `human` on a terminal, `json` elsewhere.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// How much is logged where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// A service: what it does, and warnings of the libraries that it uses.
    Service,
    /// A command for a person, whose output is not the log.
    Command,
}

/// Why there can be no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is none.
    #[error(
        "the log filter (--log, ECS_DRAIN_LOG) is {given:?}: {why}; it is a level (error, warn, info, debug, trace) or a \
         list such as warn,ecs_drain=debug"
    )]
    Filter {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Starts the log of this process. A second call changes nothing.
///
/// # Errors
/// The filter is none.
pub fn init(given: Option<&str>, format: Format, verbosity: Verbosity) -> Result<(), TelemetryError> {
    let directives = directives(given, verbosity);
    let filter = EnvFilter::builder().parse(&directives).map_err(|error| TelemetryError::Filter {
        given: given.unwrap_or(&directives).to_owned(),
        why: error.to_string(),
    })?;
    let terminal = std::io::stderr().is_terminal();
    let human = match format {
        Format::Auto => terminal,
        Format::Human => true,
        Format::Json => false,
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Where a log was started before, in a test for instance, it stays.
    let _ = if human {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        log.with_ansi(colour).with_target(false).try_init()
    } else {
        log.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
    Ok(())
}

/// The filter in the words of `tracing_subscriber`. A level alone is meant for this program: the AWS SDK at `debug`
/// would bury it.
fn directives(given: Option<&str>, verbosity: Verbosity) -> String {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    match given.map(str::trim) {
        Some(level) if LEVELS.contains(&level.to_lowercase().as_str()) => {
            // `off` is off for everything.
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
    use super::*;

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

    #[test]
    fn a_filter_that_is_none_is_refused() {
        let error = init(Some("ecs_drain=loud"), Format::Json, Verbosity::Command).err().map(|e| e.to_string());
        assert!(
            error.is_some_and(|text| text.starts_with("the log filter (--log, ECS_DRAIN_LOG) is \"ecs_drain=loud\""))
        );
    }
}
