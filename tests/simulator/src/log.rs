//! Every call, in order: what tests read when something went wrong, and what they count.

use std::fmt;

use crate::cloud::BEGIN;
use crate::fault::part;
use crate::wire::{Call, Reply, Service};
use crate::{SimTime, digest};

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number among all calls, from 1.
    pub n: u64,
    /// Its number among the calls of the program under test, which fault rules count by; `None`:
    /// someone else's.
    pub number: Option<u64>,
    /// When.
    pub at: SimTime,
    /// Who.
    pub caller: String,
    /// The service.
    pub service: Service,
    /// The operation.
    pub operation: String,
    /// The ids that it names.
    pub summary: String,
    /// What became of it: `200`, `400 ThrottlingException`, `applied, answer lost`.
    pub outcome: String,
    /// Whether its answer lists anything that could be on a page of its own, or fail alone: what
    /// [`Fault::PartialPage`](crate::Fault::PartialPage) and
    /// [`Fault::Failures`](crate::Fault::Failures) take away.
    pub listed: bool,
    /// Digests of what was asked and answered, where [`Log::contents`] wants them; no answer was
    /// made: zero.
    pub contents: Option<(u32, u32)>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>5} {} {:<8} {}.{} {} -> {}",
            self.number.map_or_else(|| "-".to_owned(), |n| n.to_string()),
            clock(self.at),
            self.caller,
            self.service.as_str(),
            self.operation,
            self.summary,
            self.outcome
        )?;
        match self.contents {
            Some((asked, answered)) => write!(f, " #{asked:08x}/{answered:08x}"),
            None => Ok(()),
        }
    }
}

/// A moment as seconds since the scenario began, to the millisecond.
pub fn clock(at: SimTime) -> String {
    format!("{:>9.3}s", at.saturating_sub(BEGIN).as_secs_f64())
}

/// All calls so far.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Whether a line ends with digests of request and answer, so that the same log means the same
    /// contents. Off unless enabled: it costs.
    pub contents: bool,
    entries: Vec<Entry>,
}

impl Log {
    /// The calls in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many calls of an operation there were, whoever made them.
    pub fn count(&self, operation: &str) -> usize {
        self.entries.iter().filter(|entry| entry.operation == operation).count()
    }

    /// How many calls were throttled.
    pub fn throttled(&self) -> usize {
        self.entries.iter().filter(|entry| entry.outcome.contains("Throttl")).count()
    }

    /// Forgets what was logged.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Says what became of an earlier call after all.
    pub(crate) fn amend(&mut self, n: u64, outcome: String, answer: &str) {
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.n == n) {
            entry.outcome = outcome;
            if let Some((_, answered)) = &mut entry.contents {
                *answered = digest::of_answer(answer);
            }
        }
    }

    /// What an entry says of contents: whether its answer lists anything, and the digests, where
    /// they are wanted. `answer` is what the service made of the call, whether or not that arrived.
    pub(crate) fn look(&self, call: &Call, answer: Option<&Reply>) -> (bool, Option<(u32, u32)>) {
        let listed =
            answer.is_some_and(|reply| reply.error.is_none() && part::lists(call, &reply.body));
        let answered = || answer.map_or(0, |reply| digest::of_answer(&reply.body));
        (listed, self.contents.then(|| (digest::of_request(call), answered())))
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.entries {
            writeln!(f, "{entry}")?;
        }
        Ok(())
    }
}
