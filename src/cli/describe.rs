//! `ecs-drain describe`: everything about the drain of one instance. Reads the DynamoDB table and nothing else.

use crate::cli::get::{times, value};
use crate::cli::words::{Screen, age, iso, length, when, word};
use crate::cli::{Failure, Global, TableArgs};
use crate::store::{Read, Store};
use clap::{Args, ValueEnum};
use ecs_drain_state::{Phase, Record, WaitKind};
use jiff::{SignedDuration, Timestamp};
use std::fmt::Write as _;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain describe i-0123456789abcdef0
  ecs-drain describe 123456789012/eu-west-1/i-0123456789abcdef0
  ecs-drain describe i-0123456789abcdef0 -o json";

/// Which instance, and how it is shown.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DescribeArgs {
    /// The EC2 instance id, or ACCOUNT/REGION/INSTANCE, the key in the table
    #[arg(value_name = "INSTANCE")]
    pub instance: String,
    /// How to show it
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    /// Which table.
    #[command(flatten)]
    pub table: TableArgs,
}

/// How a record is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// The record, as JSON.
    Json,
}

/// Shows the drain of an instance.
///
/// # Errors
/// There is none, there are several, or the table cannot be read.
pub async fn run(args: &DescribeArgs, global: &Global, out: &mut dyn Write) -> Result<(), Failure> {
    let parts = args.instance.split('/').count();
    if (parts != 1 && parts != 3) || args.instance.split('/').any(str::is_empty) {
        return Err(Failure::usage(format!(
            "{:?} is neither an instance id, such as i-0123456789abcdef0, nor ACCOUNT/REGION/INSTANCE",
            args.instance
        )));
    }
    let store = global.store(&args.table).await?;
    let (key, read) = find(&store, &args.instance, parts == 3).await?;
    match args.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&value(&key, &read)?)?)?,
        Output::Text => out.write_all(sheet(&key, &read, Timestamp::now(), Screen::detect()).as_bytes())?,
    }
    Ok(())
}

/// The one record that is meant.
async fn find(store: &Store, instance: &str, is_key: bool) -> Result<(String, Read), Failure> {
    let none = || Failure::failed(format!("table {} holds no drain of {instance}", store.table()));
    if is_key {
        return store.get(instance).await?.map(|read| (instance.to_owned(), read)).ok_or_else(none);
    }
    let is_it = |key: &str| key.rsplit('/').next() == Some(instance);
    // An unfinished drain of this controller is found by the index; for anything else the table is searched.
    let unfinished = store.unfinished().await?;
    let mut keys: Vec<String> = unfinished.into_iter().map(|found| found.key).filter(|key| is_it(key)).collect();
    if keys.is_empty() {
        keys = store.all().await?.into_iter().map(|(key, _)| key).filter(|key| is_it(key)).collect();
    }
    match keys.as_slice() {
        [] => Err(none()),
        [key] => store.get(key).await?.map(|read| (key.clone(), read)).ok_or_else(none),
        several => Err(Failure::usage(format!("{instance} is in several places; name one: {}", several.join(", ")))),
    }
}

/// Everything about a drain, for people.
pub fn sheet(key: &str, read: &Read, now: Timestamp, screen: Screen) -> String {
    match read {
        Read::Record(record) => Sheet::new(screen).record(record, now),
        Read::Newer { schema } => format!(
            "{key}: this record was written by a newer ecs-drain (schema {schema}); it is left alone, and that version \
             can show it\n"
        ),
        Read::Unreadable { why } => format!(
            "{key}: this record cannot be read: {why}\nIt is left alone until someone corrects it in the table; the \
             instance is held meanwhile.\n"
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

impl Sheet {
    fn new(screen: Screen) -> Sheet {
        Sheet { screen, text: String::new() }
    }

    fn line(&mut self, name: &str, value: impl AsRef<str>) {
        let _ = writeln!(self.text, "{:<NAMES$}{}", format!("{name}:"), value.as_ref());
    }

    /// A list; nothing where it is empty.
    fn list(&mut self, heading: &str, entries: impl IntoIterator<Item = String>) {
        let mut entries = entries.into_iter().peekable();
        if entries.peek().is_some() {
            let _ = writeln!(self.text, "\n{}", self.screen.heading(heading));
            for entry in entries {
                let _ = writeln!(self.text, "  {entry}");
            }
        }
    }

    fn record(mut self, record: &Record, now: Timestamp) -> String {
        self.standing(record, now);
        self.limits(record, now);
        self.origin(record, now);
        self.lists(record);
        self.text
    }

    /// Where the drain stands, and what comes next.
    fn standing(&mut self, record: &Record, now: Timestamp) {
        let at = |at: Timestamp| format!("{} ({} ago)", iso(at), age(at, now));
        self.line("Instance", format!("{} in {}, account {}", record.instance_id, record.region, record.account));
        match record.outcome {
            Some(outcome) => {
                self.line("Phase", format!("{}: {outcome}, since {}", record.phase, at(record.phase_since)))
            }
            None => self.line("Phase", format!("{}, since {}", record.phase, at(record.phase_since))),
        }
        self.line(if record.is_done() { "Ended" } else { "Waiting for" }, &record.message);
        if let Some(next) = next(record) {
            self.line("Next", next);
        }
        if let Some(error) = &record.last_error {
            let tried =
                if record.attempts > 0 { format!(", {} in a row", times(record.attempts)) } else { String::new() };
            self.line("Last error", format!("{}{tried}: {}", at(error.at), error.what));
        }
        if let Some(intent) = &record.intent {
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

    /// What ends it by itself.
    fn limits(&mut self, record: &Record, now: Timestamp) {
        let at = |at: Timestamp| format!("{} ({})", iso(at), when(at, now));
        self.line("Deadline", record.deadline.map_or_else(|| "none".to_owned(), at));
        if !record.is_done() {
            let result = record.lifecycle.default_result;
            self.line("Hook's limit", format!("{}; then Auto Scaling decides: {result}", at(record.global_limit)));
        }
        if let Some(expires) = record.expires_at.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
            self.line("Record expires", at(expires));
        }
    }

    /// Why the drain exists, and whose it is.
    fn origin(&mut self, record: &Record, now: Timestamp) {
        let lifecycle = &record.lifecycle;
        let seconds = |seconds: u32| length(SignedDuration::from_secs(i64::from(seconds)));
        self.line("Origin", word(&record.origin));
        self.line("Strategy", record.strategy.name());
        self.line("Group", &lifecycle.group);
        self.line(
            "Hook",
            format!(
                "{} (heartbeat timeout {}, global timeout {})",
                lifecycle.hook,
                seconds(lifecycle.heartbeat_timeout_seconds),
                seconds(lifecycle.global_timeout_seconds)
            ),
        );
        self.line("After the wait", after(lifecycle.kind));
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

    fn lists(&mut self, record: &Record) {
        self.list(
            "Container instances",
            record.container_instances.iter().map(|one| {
                let ours = if one.draining_is_ours { "; DRAINING is ours" } else { "" };
                let gone =
                    one.deregistered_at.map_or_else(String::new, |at| format!("; deregistered by us {}", iso(at)));
                format!("{}: {}{ours}{gone}", one.cluster, one.arn)
            }),
        );
        self.list(
            &format!("Tasks left ({})", record.tasks_left_count),
            shown(&record.tasks_left, record.tasks_left_count),
        );
        self.list(
            &format!("Registrations left ({})", record.targets_left_count),
            shown(&record.targets_left, record.targets_left_count),
        );
        self.list(
            &format!("Registrations that must be seen gone ({})", record.obligations.len()),
            record.obligations.iter().map(|one| match one.delay_seconds {
                Some(delay) => format!("{one} (drains for {})", length(SignedDuration::from_secs(i64::from(delay)))),
                None => one.to_string(),
            }),
        );
        self.list(
            "History",
            record.history.iter().map(|event| format!("{}  {:<13}  {}", iso(event.at), event.phase, event.what)),
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

/// What happens next in each phase.
fn next(record: &Record) -> Option<&'static str> {
    match record.phase {
        Phase::Pending => Some("ECS is asked to place nothing more on it"),
        Phase::Deregistering => Some("once ECS shows that nothing new can land: wait for its tasks"),
        Phase::Waiting => Some("once every task that matters is STOPPED: see that every registration is gone, twice"),
        Phase::Verifying => Some("once everything was seen gone twice: complete the lifecycle action"),
        Phase::Completing if record.lifecycle.kind.lives_on() => {
            Some("once the lifecycle action is over: wait for the instance to return")
        }
        Phase::Completing => Some("once the lifecycle action is over: done"),
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
    use crate::cli::samples::{done, now, unread, waiting};

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
  web: arn:aws:ecs:eu-west-1:123456789012:container-instance/web/c0ffee; DRAINING is ours

Tasks left (3)
  task 0a1b of service shop
  task 2c3d of service shop
  and 1 more

Registrations left (1)
  i-0waiting in target group shop

Registrations that must be seen gone (1)
  i-0waiting in target group shop (drains for 5 min)

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
Ended:          let go at its deadline
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
  web: arn:aws:ecs:eu-west-1:123456789012:container-instance/web/c0ffee; DRAINING is ours

History
  2023-11-14T20:43:20Z  Pending        seen waiting under hook ecs-drain of group web-asg; container instance of cluster web
");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let texts: String = unread().iter().map(|(key, read)| sheet(key, read, now(), Screen::default())).collect();
        assert_eq!(texts, "\
123456789012/eu-west-1/i-0new: this record was written by a newer ecs-drain (schema 7); it is left alone, and that version can show it
123456789012/eu-west-1/i-0bad: this record cannot be read: phase is \"Wating\"
It is left alone until someone corrects it in the table; the instance is held meanwhile.
");
    }
}
