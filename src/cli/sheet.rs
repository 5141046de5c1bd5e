//! Everything about one drain on a page: what `describe` prints.

use crate::cli::get::times;
use crate::cli::words::{Screen, age, iso, length, when};
use crate::quote::plain;
use crate::store::Read;
use ecs_drain_state::why::Span;
use ecs_drain_state::{Lifecycle, Obligation, Order, Phase, Record, Stage, Then, WaitKind};
use jiff::{SignedDuration, Timestamp};
use std::fmt::Write as _;

/// Everything about a drain, for people.
pub fn sheet(key: &str, read: &Read, now: Timestamp, screen: Screen) -> String {
    let key = plain(key);
    match read {
        Read::Record(record) => Sheet::new(screen).record(record, now),
        Read::Newer { schema } => format!(
            "{key}: this record was written by a newer ecs-drain (schema {schema}); it is left alone, and that version \
             can show it\n"
        ),
        Read::Unreadable { why } => format!(
            "{key}: this record cannot be read: {}\nIt is left alone until someone corrects it in the table; the \
             instance is held meanwhile.\n",
            plain(why)
        ),
    }
}

/// A page of `name: value` lines and lists.
struct Sheet {
    screen: Screen,
    text: String,
}

/// How wide the names are.
const NAMES: usize = 16;

/// When a record expires, once its drain is done.
fn expiry(record: &Record) -> Option<Timestamp> {
    let Stage::Done { expires_at, .. } = record.stage else { return None };
    Timestamp::from_second(expires_at).ok()
}

impl Sheet {
    fn new(screen: Screen) -> Sheet {
        Sheet { screen, text: String::new() }
    }

    fn line(&mut self, name: &str, value: impl AsRef<str>) {
        let _ = writeln!(self.text, "{:<NAMES$}{}", format!("{name}:"), plain(value.as_ref()));
    }

    /// A list; nothing where it is empty.
    fn list(&mut self, heading: &str, entries: impl IntoIterator<Item = String>) {
        let mut entries = entries.into_iter().peekable();
        if entries.peek().is_some() {
            let _ = writeln!(self.text, "\n{}", self.screen.heading(heading));
            for entry in entries {
                let _ = writeln!(self.text, "  {}", plain(&entry));
            }
        }
    }

    fn record(mut self, record: &Record, now: Timestamp) -> String {
        self.standing(record, now);
        self.limits(record, now);
        self.origin(record, now);
        self.lists(record, now);
        self.text
    }

    /// Where the drain stands, and what comes next.
    fn standing(&mut self, record: &Record, now: Timestamp) {
        let at = |at: Timestamp| format!("{} ({} ago)", iso(at), age(at, now));
        self.line(
            "Instance",
            format!("{} in {}, account {}", record.instance_id, record.region, record.account),
        );
        match record.outcome() {
            Some(outcome) => self.line(
                "Phase",
                format!("{}: {outcome}, since {}", record.phase(), at(record.phase_since)),
            ),
            None => {
                self.line("Phase", format!("{}, since {}", record.phase(), at(record.phase_since)))
            }
        }
        self.line(if record.is_done() { "Ended" } else { "Waiting for" }, &record.shown.message);
        self.orders(record, now);
        if let Some(next) = next(record) {
            self.line("Next", next);
        }
        if let Some(error) = &record.last_error {
            let tried = if record.attempts > 0 {
                format!(", {} in a row", times(record.attempts))
            } else {
                String::new()
            };
            self.line("Last error", format!("{}{tried}: {}", at(error.at), error.what));
        }
        if let Some(intent) = record.intent() {
            self.line(
                "Intent",
                format!(
                    "{}, to end as {}, decided {}: {}",
                    intent.result,
                    intent.outcome,
                    at(intent.at),
                    intent.reason
                ),
            );
        }
    }

    /// What people ordered, and what became of the group's word.
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
        if let Some(asked) = record.termination_asked_at {
            self.line("Group asked", format!("to terminate it, {}", at(asked)));
        }
        if let Some(since) = record.retained_at {
            self.line("Retained", format!("since {}", at(since)));
        }
    }

    /// What ends it by itself.
    fn limits(&mut self, record: &Record, now: Timestamp) {
        let at = |at: Timestamp| format!("{} ({})", iso(at), when(at, now));
        let cut = if is_cut(record) { "; cut to what the hook's limit leaves" } else { "" };
        self.line(
            "Deadline",
            record.deadline.map_or_else(|| "none".to_owned(), |d| format!("{}{cut}", at(d))),
        );
        if let (Some(limit), Some(lifecycle), false) =
            (record.global_limit, &record.lifecycle, record.is_done())
        {
            let result = lifecycle.default_result;
            self.line(
                "Hook's limit",
                format!("{}; then Auto Scaling decides: {result}", at(limit)),
            );
        }
        if let Some(expires) = expiry(record) {
            self.line("Record expires", at(expires));
        }
    }

    /// Why the drain exists, and whose it is.
    fn origin(&mut self, record: &Record, now: Timestamp) {
        self.line("Origin", origin(record, now));
        if let (Some(then), None) = (record.then, &record.lifecycle) {
            self.line("Afterwards", then_words(then));
        }
        self.line("Strategy", record.strategy.name());
        self.line("Group", record.group().unwrap_or("none"));
        if let Some(lifecycle) = &record.lifecycle {
            self.hook(lifecycle);
        }
        self.line("Controller", &record.controller);
        self.line(
            "Record",
            format!(
                "generation {}, version {}, written {} ({} ago)",
                record.generation,
                record.version,
                iso(record.updated_at),
                age(record.updated_at, now)
            ),
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
                    "{}; each can hold it after the ecs-drain hook",
                    lifecycle.other_hooks.join(", ")
                ),
            );
        }
        let kept = if lifecycle.retains_abandoned {
            "; the group keeps it when it is abandoned"
        } else {
            ""
        };
        self.line("After the wait", format!("{}{kept}", after(lifecycle.kind)));
    }

    fn lists(&mut self, record: &Record, now: Timestamp) {
        self.list(
            "Why it does not move",
            record.shown.causes.iter().map(|cause| format!("{}: {}", cause.name, cause.text)),
        );
        self.list(
            "Container instances",
            record.container_instances.iter().map(|one| {
                let ours =
                    if one.draining_is_ours { "; DRAINING was set by ecs-drain" } else { "" };
                let gone = one.deregistered_at.map_or_else(String::new, |at| {
                    format!("; deregistered by ecs-drain {}", iso(at))
                });
                format!("{}: {}{ours}{gone}", one.cluster, one.arn)
            }),
        );
        self.list(
            &format!("Tasks left ({})", record.shown.tasks_left_count),
            shown(&record.shown.tasks_left, record.shown.tasks_left_count),
        );
        self.list(
            &format!("Registrations left ({})", record.shown.targets_left_count),
            shown(&record.shown.targets_left, record.shown.targets_left_count),
        );
        self.list(
            &format!("Registrations that must be seen gone ({})", record.obligations.len()),
            record.obligations.iter().map(|one| format!("{one}{}", draining(one, record, now))),
        );
        self.list(
            "History",
            record
                .history
                .iter()
                .map(|event| format!("{}  {:<13}  {}", iso(event.at), event.phase, event.what)),
        );
    }
}

/// The first of them, and how many there are beside.
fn shown(names: &[String], count: u32) -> Vec<String> {
    let mut shown = names.to_vec();
    let beside = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(names.len());
    if beside > 0 {
        shown.push(format!("and {beside} more"));
    }
    shown
}

/// How long a balancer drains a registration, and how much of that is left.
fn draining(one: &Obligation, record: &Record, now: Timestamp) -> String {
    let Some(delay) = one.delay_seconds else { return String::new() };
    let left =
        one.drained_by().filter(|_| record.shown.targets_left_count > 0 && !record.is_done());
    let left = left.and_then(|end| std::time::Duration::try_from(end.duration_since(now)).ok());
    let left = left.map_or_else(String::new, |left| format!("; at most {} left", Span(left)));
    format!(" (drains for {}{left})", length(SignedDuration::from_secs(i64::from(delay))))
}

/// Whether the deadline is not the one that was wanted: the history says when it was cut, and to
/// what.
fn is_cut(record: &Record) -> bool {
    let Some(deadline) = record.deadline else { return false };
    let to = format!(" to {deadline:.0}:");
    record
        .history
        .iter()
        .any(|event| event.what.starts_with("its deadline is cut") && event.what.contains(&to))
}

/// Why the drain exists, and who asked for it.
fn origin(record: &Record, now: Timestamp) -> String {
    let asked = |order: &Order| {
        format!("; asked for by {order}, {} ({} ago)", iso(order.at), age(order.at, now))
    };
    format!("{}{}", record.origin.name(), record.requested.as_ref().map_or_else(String::new, asked))
}

/// What comes after a drain that no hook of ours holds.
const fn then_words(then: Then) -> &'static str {
    match then {
        Then::Terminate => "terminate: its group terminates it, and replaces it",
        Then::TerminateAndShrink => {
            "terminate-and-shrink: its group terminates it, and wants one instance less"
        }
        Then::Keep => "keep: it stays, drained",
        Then::Leave => "leave: what announced the drain ends it",
    }
}

/// What happens next in each phase.
fn next(record: &Record) -> Option<&'static str> {
    if record.orders.pause.is_some() && !record.is_done() {
        return Some("nothing, until it is resumed");
    }
    match record.phase() {
        Phase::Pending => Some("ECS is asked to place nothing more on it"),
        Phase::Deregistering => {
            Some("once ECS shows that nothing new can land: wait for its tasks")
        }
        Phase::Waiting => Some(
            "once every task that matters is STOPPED: see that every registration is gone, twice",
        ),
        Phase::Verifying => Some(match (&record.lifecycle, record.then) {
            (Some(_), _) => "once everything was seen gone twice: complete the lifecycle action",
            (None, Some(Then::Terminate | Then::TerminateAndShrink)) => {
                "once everything was seen gone twice: ask its group to terminate it"
            }
            (None, Some(Then::Keep | Then::Leave) | None) => {
                "once everything was seen gone twice: done"
            }
        }),
        Phase::Completing if record.retained_at.is_some() => {
            Some("once someone terminates it: its next wait ends with CONTINUE")
        }
        Phase::Completing if record.lives_on() => {
            Some("once the lifecycle action is over: wait for the instance to return")
        }
        Phase::Completing if record.lifecycle.is_some() => {
            Some("once the lifecycle action is over: done")
        }
        Phase::Completing => Some("once its group terminates it: done"),
        Phase::Returning if record.orders.cancel.is_some() => {
            Some("once ECS shows it ACTIVE again: done")
        }
        Phase::Returning => Some("once the instance is back in service: make it ACTIVE again"),
        Phase::Done => None,
    }
}

/// What the wait becomes.
const fn after(kind: WaitKind) -> &'static str {
    match kind {
        WaitKind::Terminating => "the instance is terminated",
        WaitKind::WarmedTerminating => "the instance, of the warm pool, is terminated",
        WaitKind::ReturnsToWarmPool => "the instance goes back to the warm pool",
        WaitKind::ReplacesRootVolume => "the instance gets a new root volume and comes back",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples::{asked, done, now, retained, unread, waiting};

    #[test]
    fn an_unfinished_drain() {
        let (key, read) = waiting();
        assert_eq!(sheet(&key, &read, now(), Screen::default()), "\
Instance:       i-0waiting in eu-west-1, account 123456789012
Phase:          Waiting, since 2023-11-14T22:10:20Z (3 min ago)
Waiting for:    task 0a1b of service shop and 2 more
Next:           once every task that matters is STOPPED: see that every registration is gone, twice
Last error:     2023-11-14T22:12:20Z (1 min ago), 2 times in a row: ecs:ListTasks on cluster web: throttled
Deadline:       none
Hook's limit:   2023-11-16T22:08:20Z (in 47 h 55 min); then Auto Scaling decides: CONTINUE
Origin:         lifecycle-hook
Strategy:       drain
Group:          web-asg
Hook:           ecs-drain (heartbeat timeout 1 h, global timeout 48 h)
After the wait: the instance is terminated
Controller:     default
Record:         generation 1, version 4, written 2023-11-14T22:12:20Z (1 min ago)

Container instances
  web: arn:aws:ecs:eu-west-1:123456789012:container-instance/web/c0ffee; DRAINING was set by ecs-drain

Tasks left (3)
  task 0a1b of service shop
  task 2c3d of service shop
  and 1 more

Registrations left (1)
  i-0waiting in target group shop

Registrations that must be seen gone (1)
  i-0waiting in target group shop (drains for 5 min; at most 2 min 20 s left)

History
  2023-11-14T22:08:20Z  Pending        seen waiting under hook ecs-drain of group web-asg; container instance of cluster web
  2023-11-14T22:10:20Z  Waiting        ECS shows it DRAINING
");
    }

    #[test]
    fn a_finished_drain() {
        let (key, read) = done();
        assert_eq!(sheet(&key, &read, now(), Screen::default()), "\
Instance:       i-0done in eu-west-1, account 123456789012
Phase:          Done: TimedOut, since 2023-11-14T21:43:20Z (30 min ago)
Ended:          released at its deadline
Intent:         CONTINUE, to end as TimedOut, decided 2023-11-14T21:43:20Z (30 min ago): the deadline passed
Deadline:       2023-11-14T21:43:20Z (30 min ago)
Record expires: 2023-11-20T22:13:20Z (in 6 d)
Origin:         lifecycle-hook
Strategy:       drain
Group:          web-asg
Hook:           ecs-drain (heartbeat timeout 1 h, global timeout 48 h)
After the wait: the instance is terminated
Controller:     default
Record:         generation 1, version 0, written 2023-11-14T20:43:20Z (1 h 30 min ago)

Container instances
  web: arn:aws:ecs:eu-west-1:123456789012:container-instance/web/c0ffee; DRAINING was set by ecs-drain

History
  2023-11-14T20:43:20Z  Pending        seen waiting under hook ecs-drain of group web-asg; container instance of cluster web
");
    }

    #[test]
    fn an_operators_drain_that_is_held_and_does_not_move() {
        let (key, read) = asked();
        assert_eq!(sheet(&key, &read, now(), Screen::default()), "\
Instance:       i-0asked in eu-west-1, account 123456789012
Phase:          Waiting, since 2023-11-14T21:54:20Z (19 min ago)
Waiting for:    paused by bob@desk (incident): heartbeats continue, all else waits until it is resumed; service shop finds no room: 512 CPU units are missing
Paused by:      bob@desk (incident), 2023-11-14T22:11:20Z (2 min ago)
Next:           nothing, until it is resumed
Deadline:       none
Origin:         operator; asked for by arn:aws:iam::123456789012:user/ada (kernel update), 2023-11-14T21:53:20Z (20 min ago)
Afterwards:     terminate: its group terminates it, and replaces it
Strategy:       drain
Group:          web-asg
Controller:     default
Record:         generation 1, version 3, written 2023-11-14T22:11:20Z (2 min ago)

Why it does not move
  NoRoom: service shop finds no room: 512 CPU units are missing
  ProtectedTask: task 0a1b is protected until 22:40

Container instances
  web: arn:aws:ecs:eu-west-1:123456789012:container-instance/web/c0ffee; DRAINING was set by ecs-drain

Tasks left (1)
  task 0a1b of service shop

History
  2023-11-14T21:53:20Z  Pending        asked for by arn:aws:iam::123456789012:user/ada (kernel update); container instance of cluster web
  2023-11-14T22:11:20Z  Waiting        paused by bob@desk (incident)
");
    }

    #[test]
    fn an_instance_that_its_group_keeps() {
        let (key, read) = retained();
        assert_eq!(sheet(&key, &read, now(), Screen::default()), "\
Instance:       i-0kept in eu-west-1, account 123456789012
Phase:          Completing, since 2023-11-14T21:33:20Z (40 min ago)
Waiting for:    abandoned at its deadline; its group keeps it (Terminating:Retained) until it is terminated
Retained:       since 2023-11-14T21:34:20Z (39 min ago)
Next:           once someone terminates it: its next wait ends with CONTINUE
Intent:         ABANDON, to end as Abandoned, decided 2023-11-14T21:33:20Z (40 min ago): the deadline passed
Deadline:       2023-11-16T19:08:20Z (in 44 h 55 min); cut to what the hook's limit leaves
Hook's limit:   2023-11-16T19:13:20Z (in 45 h); then Auto Scaling decides: CONTINUE
Origin:         lifecycle-hook
Strategy:       drain
Group:          web-asg
Hook:           ecs-drain (heartbeat timeout 1 h, global timeout 48 h)
Other hooks:    backup, inventory; each can hold it after the ecs-drain hook
After the wait: the instance is terminated; the group keeps it when it is abandoned
Controller:     default
Record:         generation 1, version 0, written 2023-11-14T19:13:20Z (3 h ago)

Container instances
  web: arn:aws:ecs:eu-west-1:123456789012:container-instance/web/c0ffee; DRAINING was set by ecs-drain

History
  2023-11-14T19:13:20Z  Pending        seen waiting under hook ecs-drain of group web-asg; container instance of cluster web
  2023-11-14T19:13:20Z  Pending        its deadline is cut from 2023-11-17T07:13:20Z to 2023-11-16T19:08:20Z: the hook itself ends the wait at 2023-11-16T19:13:20Z; a longer heartbeat timeout gives it up to 48 h
");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let texts: String =
            unread().iter().map(|(key, read)| sheet(key, read, now(), Screen::default())).collect();
        assert_eq!(texts, "\
123456789012/eu-west-1/i-0new: this record was written by a newer ecs-drain (schema 7); it is left alone, and that version can show it
123456789012/eu-west-1/i-0bad: this record cannot be read: phase is \"Wating\"
It is left alone until someone corrects it in the table; the instance is held meanwhile.
");
    }
}
