//! Mistakes in a configuration, and their messages: the file, the line, the value found, and the
//! values allowed.

use std::fmt;
use std::ops::Range;

/// Error of a configuration that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    origin: String,
    problems: Vec<Problem>,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line of the mistake, counted from 1; `None` if it has no line (a flag, a missing key).
    pub line: Option<usize>,
    /// Text with the value found and the values allowed.
    pub message: String,
}

impl ConfigError {
    /// Creates the error for the configuration from `origin`.
    pub fn new(origin: impl Into<String>, problems: Vec<Problem>) -> ConfigError {
        ConfigError { origin: origin.into(), problems }
    }

    /// Creates the error for a file that could not be read.
    pub fn unreadable(origin: String, error: &std::io::Error) -> ConfigError {
        ConfigError::new(
            origin,
            vec![Problem { line: None, message: format!("cannot be read: {error}") }],
        )
    }

    /// Creates the error for a missing configuration.
    pub fn absent() -> ConfigError {
        let message = "no configuration is given: name a file with --config (or ECS_DRAIN_CONFIG), or put its text \
                       into ECS_DRAIN_CONFIG_TOML; `ecs-drain config example` prints one to start from";
        ConfigError::new("", vec![Problem { line: None, message: message.to_owned() }])
    }

    /// Returns the mistakes, in the order of their lines.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [] => write!(f, "the configuration {} is refused", self.origin),
            [one] => self.line(f, one),
            many => {
                write!(f, "the configuration has {} mistakes", many.len())?;
                many.iter().try_for_each(|problem| {
                    f.write_str("\n  ")?;
                    self.line(f, problem)
                })
            }
        }
    }
}

impl ConfigError {
    /// Writes `FILE:LINE: message`, the form that editors turn into a link.
    fn line(&self, f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
        match (self.origin.as_str(), problem.line) {
            ("", _) => f.write_str(&problem.message),
            (origin, Some(line)) => write!(f, "{origin}:{line}: {}", problem.message),
            (origin, None) => write!(f, "{origin}: {}", problem.message),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Mistakes found so far in one text.
#[derive(Debug)]
pub struct Problems {
    origin: String,
    /// Offset of each line, in bytes.
    lines: Vec<usize>,
    found: Vec<Problem>,
}

impl Problems {
    /// Creates an empty list for this text.
    pub fn new(text: &str, origin: &str) -> Problems {
        let lines =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Problems { origin: origin.to_owned(), lines, found: Vec::new() }
    }

    /// Reports a mistake at a place in the text.
    pub fn at(&mut self, place: &Range<usize>, message: impl Into<String>) {
        let line = self.lines.partition_point(|begin| *begin <= place.start).max(1);
        self.found.push(Problem { line: Some(line), message: message.into() });
    }

    /// Reports a mistake that has no place in the text.
    pub fn anywhere(&mut self, message: impl Into<String>) {
        self.found.push(Problem { line: None, message: message.into() });
    }

    /// Returns the error, if there is any mistake.
    pub fn finish(mut self) -> Option<ConfigError> {
        self.found.sort();
        self.found.dedup();
        (!self.found.is_empty()).then(|| ConfigError::new(self.origin, self.found))
    }
}

/// Returns the word of `known` that is most similar to `word`, if any is similar.
pub fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // `At-Deadline` matches `at_deadline`, and the names of variables are in capitals.
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let word = plain(word);
    known
        .map(|name| (strsim::levenshtein(&word, &plain(name)), name))
        .filter(|(distance, name)| *distance <= name.len().max(word.len()) / 3)
        .min()
        .map(|(_, name)| name)
}
