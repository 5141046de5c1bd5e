//! `ecs-drain cancel`, `extend`, `retry`, `force`: requests for a drain that is under way. They
//! need no configuration file.

use crate::cli::asking::{AskArgs, Desk, Subject};
use crate::cli::confirm::confirm;
use crate::cli::find::{self, is_name};
use crate::cli::follow::follow;
use crate::cli::left::{self, Left};
use crate::cli::words::{age, iso};
use crate::cli::{Failure, Global};
use crate::config::span;
use crate::quote::plain;
use crate::store::Read;
use clap::{ArgGroup, Args};
use ecs_drain_state::{Record, Then, What};
use jiff::{SignedDuration, Timestamp};
use std::io::Write;
use std::time::Duration;

/// Last part of `cancel --help`.
pub(crate) const CANCEL: &str = "\
Examples:
  ecs-drain cancel i-0123456789abcdef0
  ecs-drain cancel i-0123456789abcdef0 --reason 'the image is broken too'

Only a drain that an operator or a rebalance recommendation began can be cancelled. If ecs-drain set
DRAINING, the container instance becomes ACTIVE again; a DRAINING that others set stays. A group
that already terminates the instance cannot be stopped by any API: pause the drain, extend its
deadline, or force it.";

/// Last part of `retry --help`.
pub(crate) const RETRY: &str = "\
Examples:
  ecs-drain retry i-0123456789abcdef0

ecs-drain repeats a failed step by itself, with growing pauses. This ends the pause.";

const EXTEND: &str = "\
Examples:
  ecs-drain extend i-0123456789abcdef0 --by 2h
  ecs-drain extend i-0123456789abcdef0 --until 2026-01-05T18:00:00Z

--by counts from the deadline, or from now if it has passed. A deadline only moves to a later moment,
and at most to the time that the hook's global timeout leaves; the answer says so. A drain without a
deadline (the default) needs none.";

const FORCE: &str = "\
Examples:
  ecs-drain force i-0123456789abcdef0 --reason 'Bob agrees that the job is cut'

Releases the instance now, with everything that still runs on it; the outcome is Forced. The reason
is required and saved in the record. The command first shows what it cuts and asks; scripts pass
--yes.";

/// Arguments of `cancel` and `retry`.
#[derive(Debug, Args)]
pub(crate) struct InstancesArgs {
    /// EC2 instance ids, or ACCOUNT/REGION/INSTANCE
    #[arg(value_name = "INSTANCE", required = true)]
    pub instances: Vec<String>,
    /// Print the steps of the drains until they end
    #[arg(long)]
    pub follow: bool,
    /// Reason, saved in the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(Debug, Args)]
#[command(after_help = EXTEND, group = ArgGroup::new("when").required(true).args(["by", "until"]))]
pub(crate) struct ExtendArgs {
    /// EC2 instance ids, or ACCOUNT/REGION/INSTANCE
    #[arg(value_name = "INSTANCE", required = true)]
    pub instances: Vec<String>,
    /// Time to add, such as 2h
    #[arg(long, value_name = "DURATION", value_parser = span::parse)]
    pub by: Option<Duration>,
    /// New deadline, such as 2026-01-05T18:00:00Z
    #[arg(long, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// Reason, saved in the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(Debug, Args)]
#[command(after_help = FORCE)]
pub(crate) struct ForceArgs {
    /// EC2 instance id, or ACCOUNT/REGION/INSTANCE
    #[arg(value_name = "INSTANCE")]
    pub instance: String,
    /// Reason, saved in the record
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
    /// Print the steps of the drain until it ends
    #[arg(long)]
    pub follow: bool,
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Requests `cancel` or `retry` for each instance.
///
/// # Errors
/// Returns an error if a request cannot be made, is refused, or is not answered.
pub(crate) async fn simple(
    what: What,
    args: &InstancesArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let desk = Desk::open(global, &args.ask, args.reason.as_deref()).await?;
    let asked = each(&desk, &args.instances, |_| what, out).await?;
    match (args.follow, asked.len()) {
        (true, _) => follow(&desk.store, &asked, out).await,
        (false, 0 | 1) => Ok(()),
        (false, _) => desk.show_next(out),
    }
}

/// Requests later deadlines.
///
/// # Errors
/// Returns an error if a request cannot be made, is refused, or is not answered.
pub(crate) async fn extend(
    args: &ExtendArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let desk = Desk::open(global, &args.ask, args.reason.as_deref()).await?;
    let now = Timestamp::now();
    let until = |record: &Record| match (args.until, args.by) {
        (Some(until), _) => until,
        (None, by) => later_by(record.deadline, by.unwrap_or_default(), now),
    };
    each(&desk, &args.instances, |record| What::Extend { until: until(record) }, out).await?;
    Ok(())
}

/// Returns a deadline that is later by `by`. If the deadline has passed, it counts from now.
fn later_by(deadline: Option<Timestamp>, by: Duration, now: Timestamp) -> Timestamp {
    let from = deadline.filter(|deadline| *deadline > now).unwrap_or(now);
    ecs_drain_state::record::later(
        from,
        SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX),
    )
}

/// Requests the release of an instance with everything that still runs on it.
///
/// # Errors
/// Returns an error if the operator does not confirm, or the request cannot be made, is refused, or
/// is not answered.
pub(crate) async fn force(
    args: &ForceArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if args.reason.trim().is_empty() {
        return Err(Failure::usage(
            "--reason is empty; give a reason, which is saved in the record",
        ));
    }
    is_name(&args.instance)?;
    let desk = Desk::open(global, &args.ask, Some(&args.reason)).await?;
    let record = match subjects(&desk, std::slice::from_ref(&args.instance)).await?.pop() {
        Some((_, Ok(record))) => record,
        Some((_, Err(why))) => return Err(Failure::failed(plain(&why))),
        None => return Err(Failure::failed(format!("{} has no drain", args.instance))),
    };
    if !record.is_done() {
        confirm(&warning(&record, Timestamp::now()), args.yes, out)?;
    }
    let key = record.key();
    desk.ask(&[(Subject::of(record), What::Force)], out).await?;
    if args.follow { follow(&desk.store, &[key], out).await } else { Ok(()) }
}

/// Returns the tasks and targets that a forced release cuts, the counts that were not checked, and
/// the age of the data.
fn warning(record: &Record, now: Timestamp) -> String {
    let (left, shown) = (Left::of(record), &record.shown);
    let list = |names: &[String], count: u32| -> String {
        left::names(names, count, now).iter().map(|name| format!("    {}\n", plain(name))).collect()
    };
    let (effect, then) = match (&record.lifecycle, record.then) {
        (Some(lifecycle), _) => (
            if record.lives_on() { "release" } else { "terminate" },
            format!(
                "hook {} of group {} is completed with CONTINUE",
                lifecycle.hook, lifecycle.group
            ),
        ),
        (None, Some(then @ (Then::Terminate | Then::TerminateAndShrink))) => {
            ("terminate", format!("its group gets a termination request ({})", then.name()))
        }
        (None, Some(then)) => ("end the drain of", format!("afterwards: {}", then.name())),
        (None, None) => ("end the drain of", "its drain is done".to_owned()),
    };
    let tasks = match left.tasks {
        Some(0) => "no tasks that the drain waits for".to_owned(),
        Some(1) => "1 running task".to_owned(),
        Some(count) => format!("{count} running tasks"),
        None => "an UNKNOWN number of tasks: they were not read yet".to_owned(),
    };
    let targets = match (left.targets, left.known) {
        (Some(0), _) => "no load balancer targets".to_owned(),
        (Some(1), _) => "1 load balancer target that may still get traffic".to_owned(),
        (Some(count), _) => format!("{count} load balancer targets that may still get traffic"),
        (None, known) => format!("load balancer targets NOT CHECKED ({known} known)"),
    };
    let tasks_left = list(&shown.tasks_left, shown.tasks_left_count);
    let targets_left = list(&shown.targets_left, shown.targets_left_count);
    format!(
        "{}\n  {tasks}\n{tasks_left}  {targets}\n{targets_left}{}\n",
        plain(&format!("This will {effect} {} ({then}) with:", record.instance_id)),
        plain(&format!(
            "The data is from {}, {} ago; the phase is {}.",
            iso(record.updated_at),
            age(record.updated_at, now),
            record.phase()
        )),
    )
}

/// Makes a request for each instance, and returns the keys of their records. An instance without a
/// drain is reported, and the others are still requested.
///
/// # Errors
/// Returns an error if a request cannot be made, is refused, or is not answered, or if an instance
/// has no drain.
pub(super) async fn each(
    desk: &Desk,
    instances: &[String],
    what: impl Fn(&Record) -> What,
    out: &mut dyn Write,
) -> Result<Vec<String>, Failure> {
    for instance in instances {
        is_name(instance)?;
    }
    let (mut asked, mut keys, mut missing) = (Vec::new(), Vec::new(), 0);
    for (instance, found) in subjects(desk, instances).await? {
        match found {
            Ok(record) => {
                let what = what(&record);
                keys.push(record.key());
                asked.push((Subject::of(record), what));
            }
            Err(why) => {
                missing += 1;
                writeln!(out, "{}", plain(&format!("{instance}: {why}")))?;
            }
        }
    }
    if !asked.is_empty() {
        desk.ask(&asked, out).await?;
    }
    match missing {
        0 => Ok(keys),
        n => Err(Failure::failed(format!("{n} of {} requests not made", instances.len()))),
    }
}

/// Reads the record of each instance, or the reason why no request can be made for it.
async fn subjects(
    desk: &Desk,
    instances: &[String],
) -> Result<Vec<(String, Result<Record, String>)>, Failure> {
    let found = find::records(&desk.store, &desk.places, instances).await?;
    let ours = |found: find::Found| match found? {
        (_, Read::Record(record)) if record.controller != desk.store.controller() => Err(format!(
            "its drain belongs to controller {}, not {}: pass --controller {}",
            record.controller,
            desk.store.controller(),
            record.controller
        )),
        (_, Read::Record(record)) => Ok(*record),
        (_, Read::Newer { schema }) => {
            Err(format!("a newer ecs-drain wrote its record (schema {schema}): use that version"))
        }
        (_, Read::Unreadable { why }) => Err(format!("its record cannot be read: {why}")),
    };
    Ok(found.into_iter().map(|(instance, found)| (instance, ours(found))).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::Cli;
    use crate::cli::samples::{compare, now, waiting};
    use clap::Parser;

    #[test]
    fn commands_take_complete_arguments_only() {
        let lines = [
            ("cancel i-1 i-2 --reason x", true),
            ("cancel", false),
            ("retry i-1 --wait 0", true),
            ("pause i-1", true),
            ("pause --cluster web --cluster jobs", true),
            ("pause --everything", true),
            ("pause", false),
            ("pause i-1 --everything", false),
            ("pause --cluster web --everything", false),
            ("resume --cluster web", true),
            ("extend i-1 --by 2h", true),
            ("extend i-1 --until 2026-01-05T18:00:00Z", true),
            ("extend i-1 --until 2026-01-05T18:00:00+01:00", true),
            ("extend i-1 --until tomorrow", false),
            ("extend i-1", false),
            ("extend i-1 --by 2h --until 2026-01-05T18:00:00Z", false),
            ("force i-1 --reason x", true),
            ("force i-1", false),
            ("force i-1 i-2 --reason x", false),
        ];
        for (line, taken) in lines {
            let words = std::iter::once("ecs-drain").chain(line.split(' '));
            assert_eq!(Cli::try_parse_from(words).is_ok(), taken, "{line}");
        }
    }

    #[test]
    fn later_is_counted_from_the_deadline_or_from_now() {
        let by = Duration::from_secs(7200);
        let at = |hours: i64| now() + SignedDuration::from_hours(hours);
        assert_eq!(later_by(Some(at(1)), by, now()), at(3));
        assert_eq!(later_by(Some(at(-1)), by, now()), at(2));
        assert_eq!(later_by(None, by, now()), at(2));
    }

    #[test]
    fn force_shows_what_it_cuts_and_what_was_not_checked() {
        let (_, Read::Record(mut record)) = waiting() else { return };
        compare("force", &warning(&record, now()));
        record.shown.targets_left.clear();
        record.shown.targets_left_count = 0;
        record.stage = ecs_drain_state::Stage::Pending;
        record.shown.tasks_left.clear();
        record.shown.tasks_left_count = 0;
        let unread = warning(&record, now());
        assert!(unread.contains("an UNKNOWN number of tasks: they were not read yet"), "{unread}");
        assert!(unread.contains("load balancer targets NOT CHECKED (1 known)"), "{unread}");
    }
}
