//! How a command fails: what is said on standard error, and the exit code.

use crate::cli::out::Out;
use crate::config::ConfigError;
use crate::quote::{chain, plain};
use crate::store::StoreError;
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The arguments or the configuration are wrong. Exit code 2.
    Usage(String),
    /// Anything else. Exit code 1.
    Failed(String),
    /// Whoever read our output has gone, as `head` does. Nothing is said, and that is fine.
    NobodyReads,
}

impl Failure {
    /// The arguments are wrong.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::Usage(message.into())
    }

    /// The command failed.
    pub fn failed(message: impl Into<String>) -> Failure {
        Failure::Failed(message.into())
    }

    /// The command failed because of this error, which is told on one line.
    pub fn because(error: &dyn Error) -> Failure {
        Failure::Failed(plain(&chain(error)))
    }

    /// Says it on standard error.
    pub fn report(&self) -> ExitCode {
        // There is nowhere to say that it cannot be said.
        let say =
            |message: &str| drop(writeln!(Out::new(std::io::stderr(), false), "error: {message}"));
        match self {
            Failure::Usage(message) => {
                say(message);
                ExitCode::from(2)
            }
            Failure::Failed(message) => {
                say(message);
                ExitCode::FAILURE
            }
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
    fn a_reader_that_has_gone_is_no_failure() {
        assert_eq!(
            Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)),
            Failure::NobodyReads
        );
    }
}
