//! Failures of commands: their messages on standard error, and their exit codes.

use crate::cli::out::Out;
use crate::cli::words::Screen;
use crate::config::ConfigError;
use crate::quote::{chain, plain};
use crate::store::StoreError;
use std::error::Error;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Reason why a command failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// Wrong arguments or configuration. Exit code 2.
    Usage(String),
    /// Any other failure. Exit code 1.
    Failed(String),
    /// The answer of `plan` is not that all drains would end. Its page says so; exit code 3.
    WouldNotEnd,
    /// The reader of standard output closed it, as `head` does. Nothing is reported; exit code 0.
    NobodyReads,
}

impl Failure {
    /// Creates a failure of the arguments or the configuration.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::Usage(message.into())
    }

    /// Creates a failure of any other kind.
    pub fn failed(message: impl Into<String>) -> Failure {
        Failure::Failed(message.into())
    }

    /// Creates a failure from an error and its causes, on one line.
    pub fn because(error: &dyn Error) -> Failure {
        Failure::Failed(plain(&chain(error)))
    }

    /// Prints the message to standard error, and returns the exit code.
    pub fn report(&self) -> ExitCode {
        // If standard error cannot be written, there is no other place to report that.
        let say = |message: &str| {
            let text = format!("error: {message}");
            // The log of a service stays in whole lines.
            let text = match std::io::stderr().is_terminal() {
                true => Screen::detect().fit(&text),
                false => text,
            };
            drop(writeln!(Out::new(std::io::stderr(), false), "{text}"));
        };
        match self {
            Failure::Usage(message) => {
                say(message);
                ExitCode::from(2)
            }
            Failure::Failed(message) => {
                say(message);
                ExitCode::FAILURE
            }
            Failure::WouldNotEnd => ExitCode::from(3),
            Failure::NobodyReads => ExitCode::SUCCESS,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::Usage(chain(&error))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::because(&error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure::because(&error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Failure::NobodyReads
        } else {
            Failure::because(&error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert_eq!(
            Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)),
            Failure::NobodyReads
        );
    }
}
