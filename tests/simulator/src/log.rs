//! The log of every call, in order: tests count its lines, and read them after a failure.

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
    /// Its number among the calls of the program under test, which fault rules count by; `None` for
    /// other callers.
    pub number: Option<u64>,
    /// The moment.
    pub at: SimTime,
    /// The caller's name.
    pub caller: String,
    /// The service.
    pub service: Service,
    /// The operation.
    pub operation: String,
    /// The ids that it names.
    pub summary: String,
    /// Its result: `200`, `400 ThrottlingException`, `applied, answer lost`.
    pub outcome: String,
    /// True if its answer has entries that could be on a page of their own, or fail alone: those
    /// that [`Fault::PartialPage`](crate::Fault::PartialPage) and
    /// [`Fault::Failures`](crate::Fault::Failures) take away.
    pub listed: bool,
    /// Digests of request and answer, if [`Log::contents`] is set; zero for an answer that was
    /// never made.
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

/// Returns a moment as seconds since the scenario began, to the millisecond.
pub fn clock(at: SimTime) -> String {
    format!("{:>9.3}s", at.saturating_sub(BEGIN).as_secs_f64())
}

/// All calls so far.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// True if each line ends with digests of request and answer, so that equal logs mean equal
    /// contents. Off by default, because it is slow.
    pub contents: bool,
    entries: Vec<Entry>,
}

impl Log {
    /// Returns the calls in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the number of calls of an operation, by any caller.
    pub fn count(&self, operation: &str) -> usize {
        self.entries.iter().filter(|entry| entry.operation == operation).count()
    }

    /// Returns the number of throttled calls.
    pub fn throttled(&self) -> usize {
        self.entries.iter().filter(|entry| entry.outcome.contains("Throttl")).count()
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Corrects the result of an earlier call that was answered later.
    pub(crate) fn amend(&mut self, n: u64, outcome: String, answer: &str) {
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.n == n) {
            entry.outcome = outcome;
            if let Some((_, answered)) = &mut entry.contents {
                *answered = digest::of_answer(answer);
            }
        }
    }

    /// Returns two facts about contents: true if the answer has entries, and the digests if they
    /// are wanted. `answer` is the service's answer, even if it did not arrive.
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
