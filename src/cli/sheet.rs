//! Writes one drain on a page for `describe`: first its remaining tasks and targets, the reasons
//! why it makes no progress, and the commands that can be used.

use crate::cli::get::times;
use crate::cli::left::{self, Left};
use crate::cli::options::Choice;
use crate::cli::reason::current;
use crate::cli::words::{Screen, age, iso, length, when, wrapped};
use crate::quote::plain;
use crate::store::Read;
use ecs_drain_state::{Lifecycle, Order, Outcome, Phase, Record, Stage, Then, WaitKind};
use jiff::{SignedDuration, Timestamp};
use std::fmt::Write as _;

/// Facts that the page needs in addition to the record.
#[derive(Debug, Default)]
pub struct Around<'a> {
    /// Time of the page.
    pub now: Timestamp,
    pub screen: Screen,
    /// Commands that can be used now.
    pub choices: Vec<Choice>,
    /// Key of the record.
    pub key: &'a str,
}

/// Returns everything about a drain, for people.
pub fn sheet(read: &Read, around: &Around<'_>) -> String {
    let key = plain(around.key);
    match read {
        Read::Record(record) => Sheet::new(around.screen).record(record, around),
        Read::Newer { schema } => format!(
            "{key}: a newer ecs-drain wrote this record (schema {schema}). This version cannot show it and \
             leaves it unchanged: use that version\n"
        ),
        Read::Unreadable { why } => format!(
            "{key}: this record cannot be read: {}\nThe drain has stopped and the record is left unchanged; \
             heartbeats continue. Correct the record in the table.\n",
            plain(why)
        ),
    }
}

/// A page of `name: value` lines and lists.
pub(super) struct Sheet {
    screen: Screen,
    pub(super) text: String,
    /// Columns by which names are indented.
    pub(super) indent: usize,
}

/// Width of the names, in columns.
const NAMES: usize = 16;

/// Returns the moment at which the record of a finished drain expires.
fn expiry(record: &Record) -> Option<Timestamp> {
    let Stage::Done { expires_at, .. } = record.stage else { return None };
    Timestamp::from_second(expires_at).ok()
}

impl Sheet {
    pub(super) fn new(screen: Screen) -> Sheet {
        Sheet { screen, text: String::new(), indent: 0 }
    }

    /// Writes a name and a value, which is wrapped between words on a narrow screen.
    pub(super) fn line(&mut self, name: &str, value: impl AsRef<str>) {
        let value = plain(value.as_ref());
        let first = format!("{}{:<NAMES$}", " ".repeat(self.indent), format!("{name}:"));
        self.broken(&first, &value, self.indent + NAMES);
    }

    /// Writes a text after `first`, with its further lines indented.
    pub(super) fn broken(&mut self, first: &str, text: &str, indent: usize) {
        let width = self.screen.width.map(|width| usize::from(width).saturating_sub(indent));
        let lines = match width {
            Some(width) if text.chars().count() > width => wrapped(text, width),
            Some(_) | None => vec![text.to_owned()],
        };
        let mut before = first.to_owned();
        for line in lines {
            let _ = writeln!(self.text, "{before}{line}");
            before = " ".repeat(indent);
        }
    }

    pub(super) fn heading(&mut self, heading: &str) {
        let _ = writeln!(self.text, "\n{}", self.screen.heading(heading));
    }

    /// Writes a list with its heading, or neither if the list is empty.
    pub(super) fn list(&mut self, heading: &str, entries: impl IntoIterator<Item = String>) {
        let mut entries = entries.into_iter().peekable();
        if entries.peek().is_some() {
            self.heading(heading);
            for entry in entries {
                self.broken("  ", &plain(&entry), 4);
            }
        }
    }

    fn record(mut self, record: &Record, around: &Around<'_>) -> String {
        let now = around.now;
        self.standing(record, now);
        if may_have_left_some(record) {
            self.left(record, now);
        }
        self.list(
            "Why it does not move",
            record.shown.causes.iter().map(|cause| format!("{}: {}", cause.name, cause.text)),
        );
        self.choices(&around.choices);
        self.heading("Facts");
        self.indent = 2;
        self.limits(record, now);
        self.origin(record, now);
        self.lists(record, now);
        self.text
    }

    /// Writes identity, phase, and the reason in a sentence.
    fn standing(&mut self, record: &Record, now: Timestamp) {
        let at = |at: Timestamp| format!("{} ({} ago)", iso(at), age(at, now));
        self.line(
            "Instance",
            format!("{} in {}, account {}", record.instance_id, record.region, record.account),
        );
        let phase = match record.outcome() {
            Some(outcome) => format!("{}: {outcome}", record.phase()),
            None => record.phase().to_string(),
        };
        self.line("Phase", format!("{phase}, since {}", at(record.phase_since)));
        if let Some(since) = record.shown.stuck_since.filter(|_| !record.is_done()) {
            self.line("STUCK", format!("no progress since {}", at(since)));
        }
        let status = current(record, status(record), now);
        self.line(if record.is_done() { "Ended" } else { "Status" }, status);
        for tag in &record.shown.bad_tags {
            self.line("Tag ignored", tag);
        }
        self.orders(record, now);
        if let Some(error) = &record.last_error {
            let tried = if record.attempts > 0 {
                format!(", {} in a row", times(record.attempts))
            } else {
                String::new()
            };
            self.line("Last error", format!("{}{tried}: {}", at(error.at), error.what));
        }
        if let Some(next) = next(record) {
            self.line("Next", next);
        }
        self.line("As of", format!("{}, when the record was last written", at(record.updated_at)));
    }

    /// Writes the operators' requests that are in the record, and the group's.
    fn orders(&mut self, record: &Record, now: Timestamp) {
        let at = |at: Timestamp| format!("{} ({} ago)", iso(at), age(at, now));
        let orders = [
            ("Paused by", &record.orders.pause),
            ("Cancelled by", &record.orders.cancel),
            ("Forced by", &record.orders.force),
        ];
        for (name, order) in orders {
            if let Some(order) = order {
                self.line(name, format!("{order}, {}", at(order.at)));
            }
        }
        if let Some(intent) = record.intent() {
            let (result, outcome) = (intent.result, intent.outcome);
            self.line(
                "Decision",
                format!("{result} ({outcome}), {}: {}", at(intent.at), intent.reason),
            );
        }
    }

    /// Writes the remaining tasks and targets.
    fn left(&mut self, record: &Record, now: Timestamp) {
        let (left, shown) = (Left::of(record), &record.shown);
        let now = if record.is_done() { record.updated_at } else { now };
        self.heading(if left.over { "Left when it ended" } else { "Left on the instance" });
        self.broken("  ", &format!("tasks: {}", left.tasks()), 4);
        for name in left::names(&shown.tasks_left, shown.tasks_left_count, now) {
            self.broken("    ", &plain(&name), 6);
        }
        self.broken("  ", &format!("load balancer targets: {}", left.targets()), 4);
        for name in left::names(&shown.targets_left, shown.targets_left_count, now) {
            self.broken("    ", &plain(&name), 6);
        }
    }

    /// Writes the commands that can be used now. They are never wrapped, so that they can be
    /// copied.
    pub(super) fn choices(&mut self, choices: &[Choice]) {
        if choices.is_empty() {
            return;
        }
        self.heading("Commands that you can use now");
        for Choice { command, effect } in choices {
            let _ = writeln!(self.text, "  {}\n      {}", plain(command), plain(effect));
        }
    }

    /// Writes the moments that end the drain.
    fn limits(&mut self, record: &Record, now: Timestamp) {
        let at = |at: Timestamp| format!("{} ({})", iso(at), when(at, now));
        let deadline = |deadline: Timestamp| {
            if record.is_done() { iso(deadline) } else { at(deadline) }
        };
        let cut = if is_cut(record) { "; cut to the time that the hook leaves" } else { "" };
        let then = at_deadline(record);
        self.line(
            "Deadline",
            record
                .deadline
                .map_or_else(|| "none".to_owned(), |d| format!("{}{cut}{then}", deadline(d))),
        );
        if let (Some(limit), Some(lifecycle), false) =
            (record.global_limit, &record.lifecycle, record.is_done())
        {
            let result = lifecycle.default_result;
            self.line("Hook expires", format!("{}; Auto Scaling then applies {result}", at(limit)));
        }
        if let Some(expires) = expiry(record) {
            self.line("Record expires", at(expires));
        }
    }

    /// Writes the origin of the drain, and its owner.
    fn origin(&mut self, record: &Record, now: Timestamp) {
        let at = |at: Timestamp| format!("{} ({} ago)", iso(at), age(at, now));
        self.line("Origin", origin(record, now));
        if let Some(asked) = record.termination_asked_at {
            self.line("Termination", format!("requested from its group {}", at(asked)));
        }
        if let Some(since) = record.retained_at {
            self.line("Retained", format!("since {}", at(since)));
        }
        self.line("When done", when_done(record));
        self.line("Strategy", record.strategy.name());
        self.line("Group", record.group().unwrap_or("none"));
        if let Some(lifecycle) = &record.lifecycle {
            self.hook(lifecycle);
        }
        self.line("Controller", &record.controller);
        self.line(
            "Record",
            format!("generation {}, version {}", record.generation, record.version),
        );
    }

    fn hook(&mut self, lifecycle: &Lifecycle) {
        let seconds = |seconds: u32| length(SignedDuration::from_secs(i64::from(seconds)));
        self.line(
            "Hook",
            format!(
                "{} (heartbeat timeout {}, global timeout {})",
                lifecycle.hook,
                seconds(lifecycle.heartbeat_timeout_seconds),
                seconds(lifecycle.global_timeout_seconds)
            ),
        );
        if !lifecycle.other_hooks.is_empty() {
            self.line(
                "Other hooks",
                format!(
                    "{}; each can delay the termination after the ecs-drain hook",
                    lifecycle.other_hooks.join(", ")
                ),
            );
        }
    }

    fn lists(&mut self, record: &Record, now: Timestamp) {
        self.list(
            "Container instances",
            record.container_instances.iter().map(|one| {
                let set = if one.draining_is_ours { "; ecs-drain set it to DRAINING" } else { "" };
                let gone = one.deregistered_at.map_or_else(String::new, |at| {
                    format!("; ecs-drain deregistered it at {}", iso(at))
                });
                let id = one.arn.rsplit('/').next().unwrap_or(&one.arn);
                format!("{id} in cluster {}{set}{gone}", one.cluster)
            }),
        );
        let of = record.obligations.len();
        self.list(
            &format!("Load balancer targets that must be gone ({of})"),
            record.obligations.iter().map(|one| left::target(one, record, now)),
        );
        if !record.history.is_empty() {
            self.heading("History");
        }
        for event in &record.history {
            let first = format!("  {}  {:<13}  ", iso(event.at), event.phase.to_string());
            self.broken(&first, &plain(&event.what), first.chars().count());
        }
    }
}

/// Returns the status without the first cause, which has its own heading.
fn status(record: &Record) -> &str {
    let shown = &record.shown;
    let Some(cause) = shown.causes.first() else { return &shown.message };
    match shown.message.strip_suffix(cause.text.as_str()) {
        Some("") => shown.tasks_left.first().unwrap_or(&shown.message),
        Some(reason) => reason.strip_suffix("; ").unwrap_or(&shown.message),
        None => &shown.message,
    }
}

/// Returns true if tasks or targets can be left on the instance, or were left when the drain ended.
fn may_have_left_some(record: &Record) -> bool {
    match record.outcome() {
        None
        | Some(Outcome::Forced | Outcome::TimedOut | Outcome::Abandoned | Outcome::WaitLost) => {
            true
        }
        Some(
            Outcome::Drained | Outcome::NotInCluster | Outcome::Cancelled | Outcome::InstanceGone,
        ) => false,
    }
}

/// Returns true if the deadline was cut to the time that the hook leaves. The history has that
/// event.
fn is_cut(record: &Record) -> bool {
    let Some(deadline) = record.deadline else { return false };
    let to = format!(" to {deadline:.0}:");
    record
        .history
        .iter()
        .any(|event| event.what.starts_with("its deadline is cut") && event.what.contains(&to))
}

/// Returns the effect of the deadline. The record does not have the policy, which can change until
/// the deadline, but it shows that the policy holds a drain.
fn at_deadline(record: &Record) -> &'static str {
    match record.phase() {
        Phase::Completing | Phase::Returning | Phase::Done => "",
        Phase::Pending | Phase::Deregistering | Phase::Waiting | Phase::Verifying
            if record.shown.why == "HeldPastDeadline" =>
        {
            "; its policy holds it (at_deadline)"
        }
        Phase::Pending | Phase::Deregistering | Phase::Waiting | Phase::Verifying => {
            "; then at_deadline of its policy applies: hold (the default), continue (release it) or abandon"
        }
    }
}

/// Returns the origin, and the requester of the drain.
fn origin(record: &Record, now: Timestamp) -> String {
    let asked = |order: &Order| {
        format!("; requested by {order}, {} ({} ago)", iso(order.at), age(order.at, now))
    };
    format!("{}{}", record.origin.name(), record.requested.as_ref().map_or_else(String::new, asked))
}

/// Returns the future of the instance once it is drained.
fn when_done(record: &Record) -> String {
    match (&record.lifecycle, record.then) {
        (Some(lifecycle), _) => {
            let kept = if lifecycle.retains_abandoned {
                "; its group retains it if it is abandoned"
            } else {
                ""
            };
            format!("{}{kept}", after(lifecycle.kind))
        }
        (None, Some(Then::Terminate)) => {
            "terminate: its group terminates and replaces it".to_owned()
        }
        (None, Some(Then::TerminateAndShrink)) => {
            "terminate-and-shrink: its group terminates it and lowers its desired capacity"
                .to_owned()
        }
        (None, Some(Then::Keep)) => "keep: it stays, drained".to_owned(),
        (None, Some(Then::Leave)) => "leave: the announced interruption ends it".to_owned(),
        (None, None) => "not recorded".to_owned(),
    }
}

/// Returns the next step in each phase.
fn next(record: &Record) -> Option<&'static str> {
    if record.orders.pause.is_some() && !record.is_done() {
        return Some("nothing until it is resumed; heartbeats continue");
    }
    match record.phase() {
        Phase::Pending if record.shown.why == "WindowClosed" => {
            Some("when the window has ended and its turn has come: set it to DRAINING")
        }
        Phase::Pending => Some("set it to DRAINING"),
        Phase::Deregistering => Some("when ECS confirms DRAINING: wait for its tasks"),
        Phase::Waiting => Some("when all tasks have stopped: check that all targets are gone"),
        Phase::Verifying => Some(match (&record.lifecycle, record.then) {
            (Some(_), _) => "after two checks: complete the lifecycle action",
            (None, Some(Then::Terminate | Then::TerminateAndShrink)) => {
                "after two checks: request its termination from its group"
            }
            (None, Some(Then::Keep | Then::Leave) | None) => "after two checks: done",
        }),
        Phase::Completing if record.retained_at.is_some() => {
            Some("when it is terminated: complete its next lifecycle action with CONTINUE")
        }
        Phase::Completing if record.lives_on() => {
            Some("when the lifecycle action is over: wait for the instance to return")
        }
        Phase::Completing if record.lifecycle.is_some() => {
            Some("when the lifecycle action is over: done")
        }
        Phase::Completing => Some("when its group terminates it: done"),
        Phase::Returning if record.orders.cancel.is_some() => {
            Some("when ECS shows it ACTIVE again: done")
        }
        Phase::Returning => Some("when the instance is back in service: make it ACTIVE again"),
        Phase::Done => None,
    }
}

/// Returns the future of an instance whose lifecycle action is completed.
const fn after(kind: WaitKind) -> &'static str {
    match kind {
        WaitKind::Terminating => "the instance is terminated",
        WaitKind::WarmedTerminating => "the instance is terminated (it is in the warm pool)",
        WaitKind::ReturnsToWarmPool => "the instance returns to the warm pool",
        WaitKind::ReplacesRootVolume => "the instance gets a new root volume and returns",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;
    use crate::cli::options::{Flags, options};
    use crate::cli::samples::{asked, compare, done, forced, now, retained, unread, waiting};
    use crate::store::pauses::Pauses;

    fn page((key, read): &(String, Read), screen: Screen) -> String {
        let choices = match read {
            Read::Record(record) => options(record, &Pauses::default(), &Flags::default()),
            Read::Newer { .. } | Read::Unreadable { .. } => Vec::new(),
        };
        sheet(read, &Around { now: now(), screen, choices, key })
    }

    #[test]
    fn an_unfinished_drain() {
        compare("describe", &page(&waiting(), Screen::default()));
    }

    #[test]
    fn on_a_narrow_terminal_no_line_but_a_command_is_longer() {
        let screen = Screen { width: Some(80), terminal: true, ..Screen::default() };
        let shown = page(&asked(), screen);
        compare("describe-asked-80", &shown);
        let long: Vec<&str> = shown
            .lines()
            .filter(|line| line.chars().count() > 80)
            .filter(|line| ["  ecs-drain ", "  aws "].iter().all(|begin| !line.starts_with(begin)))
            .filter(|line| line.trim().contains(' '))
            .collect();
        assert!(long.is_empty(), "{}", long.join("\n"));
    }

    #[test]
    fn a_finished_drain() {
        compare("describe-done", &page(&done(), Screen::default()));
    }

    #[test]
    fn a_paused_drain_that_an_operator_requested() {
        compare("describe-asked", &page(&asked(), Screen::default()));
    }

    #[test]
    fn a_drain_that_waits_for_a_window_shows_its_end() {
        let (key, read) = asked();
        let Read::Record(mut record) = read else { panic!("a record") };
        (record.stage, record.orders.pause) = (Stage::Pending, None);
        record.shown.why = "WindowClosed".to_owned();
        record.shown.message =
            "not started before 2026-01-05T18:00:00Z: window \"day\" is closed".to_owned();
        let shown = page(&(key, Read::Record(record)), Screen::default());
        for line in ["window \"day\" is closed", "when the window has ended", "ecs-drain cancel "] {
            assert!(shown.contains(line), "{shown}");
        }
    }

    #[test]
    fn the_deadline_says_what_decides_then() {
        let (key, Read::Record(mut record)) = waiting() else { panic!("a record") };
        record.deadline = Some(now() + SignedDuration::from_mins(20));
        let line = |record: &Record| {
            let read = (key.clone(), Read::Record(Box::new(record.clone())));
            let shown = page(&read, Screen::default());
            shown
                .lines()
                .find(|line| line.starts_with("  Deadline:"))
                .unwrap_or_default()
                .to_owned()
        };
        let rest = |record: &Record| line(record).split_once("; ").unwrap_or_default().1.to_owned();
        assert!(
            line(&record).contains("2023-11-14T22:33:20Z (in 20 min); then"),
            "{}",
            line(&record)
        );
        assert_eq!(
            rest(&record),
            "then at_deadline of its policy applies: hold (the default), continue (release it) or abandon"
        );
        record.shown.why = "HeldPastDeadline".to_owned();
        assert_eq!(rest(&record), "its policy holds it (at_deadline)");
        record.stage = Stage::Done { outcome: Outcome::TimedOut, intent: None, expires_at: 0 };
        assert_eq!(rest(&record), "");
    }

    #[test]
    fn an_instance_that_its_group_retains() {
        compare("describe-retained", &page(&retained(), Screen::default()));
    }

    #[test]
    fn targets_that_were_never_checked_are_not_0() {
        let shown = page(&forced(), Screen::default());
        assert!(shown.contains("load balancer targets: not checked yet (1 known)"), "{shown}");
        compare("describe-forced", &shown);
    }

    #[test]
    fn a_record_that_cannot_be_read_says_so() {
        let texts: String = unread().iter().map(|one| page(one, Screen::default())).collect();
        compare("describe-unread", &texts);
    }
}
