//! Mistakes in a configuration, and their messages: the file, the line, the value found, and the
//! values allowed.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use ecs_drain_state::text::plain;
use std::fmt;
use std::ops::Range;

/// Error of a configuration that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    origin: String,
    /// Text of the configuration; empty if it could not be read.
    text: String,
    problems: Vec<Problem>,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line of the mistake, counted from 1; `None` if it has no line (a flag, a missing key).
    pub line: Option<usize>,
    /// Place of the mistake in the text, in bytes.
    pub place: Option<(usize, usize)>,
    /// Text with the value found and the values allowed.
    pub message: String,
}

impl Problem {
    fn anywhere(message: impl Into<String>) -> Problem {
        Problem { line: None, place: None, message: message.into() }
    }
}

impl ConfigError {
    /// Creates the error for the configuration from `origin`.
    pub(crate) fn new(origin: impl Into<String>, problems: Vec<Problem>) -> ConfigError {
        ConfigError { origin: origin.into(), text: String::new(), problems }
    }

    /// Creates the error for a file that could not be read.
    pub(crate) fn unreadable(origin: String, error: &std::io::Error) -> ConfigError {
        ConfigError::new(origin, vec![Problem::anywhere(format!("cannot be read: {error}"))])
    }

    /// Creates the error for a missing configuration.
    pub(crate) fn absent() -> ConfigError {
        let message = "no configuration is given: name a file with --config (or ECS_DRAIN_CONFIG), or put its text \
                       into ECS_DRAIN_CONFIG_TOML; `ecs-drain config example` prints one to start from";
        ConfigError::new("", vec![Problem::anywhere(message)])
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
                    f.write_str(if f.alternate() { "\n" } else { "\n  " })?;
                    self.line(f, problem)
                })
            }
        }
    }
}

impl ConfigError {
    /// Writes `FILE:LINE: message`, the form that editors turn into a link. The alternate form adds
    /// the line with the mistake marked.
    fn line(&self, f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
        match (self.origin.as_str(), problem.line) {
            ("", _) => f.write_str(&problem.message),
            (origin, Some(line)) => write!(f, "{origin}:{line}: {}", problem.message),
            (origin, None) => write!(f, "{origin}: {}", problem.message),
        }?;
        match problem.place.filter(|_| f.alternate() && !self.text.is_empty()) {
            Some((from, to)) => write!(f, "\n{}", marked(&self.text, from, to)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Returns the line of a text that has this place, with the place marked. Of a value of several
/// lines only the first is shown.
fn marked(text: &str, from: usize, to: usize) -> String {
    let rest = text.get(from..).unwrap_or_default();
    let end = rest.find('\n').map_or(text.len(), |line| from + line);
    let place = from.min(end)..to.clamp(from.min(end), end);
    let snippet = Snippet::source(text).annotation(AnnotationKind::Primary.span(place));
    let shown = Renderer::plain().render(&[Group::with_level(Level::ERROR).element(snippet)]);
    shown.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// Mistakes found so far in one text.
#[derive(Debug)]
pub(crate) struct Problems {
    origin: String,
    text: String,
    /// Offset of each line, in bytes.
    lines: Vec<usize>,
    found: Vec<Problem>,
}

impl Problems {
    /// Creates an empty list for this text.
    pub(crate) fn new(text: &str, origin: &str) -> Problems {
        let lines =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Problems { origin: origin.to_owned(), text: text.to_owned(), lines, found: Vec::new() }
    }

    /// Reports a mistake at a place in the text.
    pub(crate) fn at(&mut self, place: &Range<usize>, message: impl Into<String>) {
        let line = self.lines.partition_point(|begin| *begin <= place.start).max(1);
        let place = Some((place.start, place.end));
        self.found.push(Problem { line: Some(line), place, message: message.into() });
    }

    /// Reports a mistake that has no place in the text.
    pub(crate) fn anywhere(&mut self, message: impl Into<String>) {
        self.found.push(Problem::anywhere(message));
    }

    /// Returns the error, if there is any mistake.
    pub(crate) fn finish(mut self) -> Option<ConfigError> {
        self.found.sort();
        self.found.dedup();
        let Problems { origin, text, found, .. } = self;
        (!found.is_empty()).then_some(ConfigError { origin, text, problems: found })
    }
}

/// Returns the word of `known` that is most similar to `word`, if any is similar.
pub(crate) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // `At-Deadline` matches `at_deadline`, and the names of variables are in capitals.
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let word = plain(word);
    known
        .map(|name| (strsim::levenshtein(&word, &plain(name)), name))
        .filter(|(distance, name)| *distance <= name.len().max(word.len()) / 3)
        .min()
        .map(|(_, name)| name)
}
