//! `ecs-drain cancel`, `extend`, `retry`, `force`: what can be asked of a drain that is under way.
//! They need no configuration file.

use crate::cli::asking::{AskArgs, Desk, Subject};
use crate::cli::confirm::confirm;
use crate::cli::find::{self, is_name};
use crate::cli::words::age;
use crate::cli::{Failure, Global};
use crate::config::span;
use crate::quote::plain;
use crate::store::Read;
use clap::{ArgGroup, Args};
use ecs_drain_state::{Record, What};
use jiff::{SignedDuration, Timestamp};
use std::io::Write;
use std::time::Duration;

/// What `cancel --help` says at its end.
pub const CANCEL: &str = "\
Examples:
  ecs-drain cancel i-0123456789abcdef0
  ecs-drain cancel i-0123456789abcdef0 --reason 'the image is broken too'

Only a drain that no lifecycle action asked for can be cancelled: an operator's, a rebalance's. A
DRAINING that is ours is undone, anybody else's stays. Where a group is terminating the instance
already, no API calls that off: pause it, extend its deadline, or force it.";

/// What `retry --help` says at its end.
pub const RETRY: &str = "\
Examples:
  ecs-drain retry i-0123456789abcdef0

A step that fails is tried again by itself, with growing pauses. This forgets the pause.";

const EXTEND: &str = "\
Examples:
  ecs-drain extend i-0123456789abcdef0 --by 2h
  ecs-drain extend i-0123456789abcdef0 --until 2026-01-05T18:00:00Z

--by counts from the deadline, or from now if that has passed. A deadline is only ever moved to a
later moment, and cut to what the hook's own limit leaves: the answer says so.";

const FORCE: &str = "\
Examples:
  ecs-drain force i-0123456789abcdef0 --reason 'the job may be cut, says Bob'

The instance is let go whatever still runs on it or is still sent to it, as outcome Forced. The
reason is required; it stands in the record. What was left at the last look is said first, and it
is asked about on a terminal; --yes answers for a script.";

/// Which drains, to cancel them or to try again.
#[derive(Debug, Args)]
pub struct InstancesArgs {
    /// EC2 instance ids, or ACCOUNT/REGION/INSTANCE
    #[arg(value_name = "INSTANCE", required = true)]
    pub instances: Vec<String>,
    /// Why; it stands in the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// How it is asked.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Which deadlines to move.
#[derive(Debug, Args)]
#[command(after_help = EXTEND, group = ArgGroup::new("when").required(true).args(["by", "until"]))]
pub struct ExtendArgs {
    /// EC2 instance ids, or ACCOUNT/REGION/INSTANCE
    #[arg(value_name = "INSTANCE", required = true)]
    pub instances: Vec<String>,
    /// How much later, such as 2h
    #[arg(long, value_name = "DURATION", value_parser = span::parse)]
    pub by: Option<Duration>,
    /// The moment, such as 2026-01-05T18:00:00Z
    #[arg(long, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// Why; it stands in the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// How it is asked.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Which instance to let go.
#[derive(Debug, Args)]
#[command(after_help = FORCE)]
pub struct ForceArgs {
    /// The EC2 instance id, or ACCOUNT/REGION/INSTANCE
    #[arg(value_name = "INSTANCE")]
    pub instance: String,
    /// Why; it stands in the record
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Do not ask first
    #[arg(long, short)]
    pub yes: bool,
    /// How it is asked.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Cancels drains, or tries them again.
///
/// # Errors
/// It cannot be asked, or is refused.
pub async fn simple(
    what: What,
    args: &InstancesArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let desk = Desk::open(global, &args.ask, args.reason.as_deref()).await?;
    each(&desk, &args.instances, |_| what, out).await
}

/// Moves deadlines.
///
/// # Errors
/// It cannot be asked, or is refused.
pub async fn extend(
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
    each(&desk, &args.instances, |record| What::Extend { until: until(record) }, out).await
}

/// A deadline that much later: counted from now, if it has passed.
fn later_by(deadline: Option<Timestamp>, by: Duration, now: Timestamp) -> Timestamp {
    let from = deadline.filter(|deadline| *deadline > now).unwrap_or(now);
    ecs_drain_state::record::later(
        from,
        SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX),
    )
}

/// Lets an instance go.
///
/// # Errors
/// It is not confirmed, cannot be asked, or is refused.
pub async fn force(args: &ForceArgs, global: &Global, out: &mut dyn Write) -> Result<(), Failure> {
    if args.reason.trim().is_empty() {
        return Err(Failure::usage("--reason is empty: say why, it stands in the record"));
    }
    is_name(&args.instance)?;
    let desk = Desk::open(global, &args.ask, Some(&args.reason)).await?;
    let record = match subjects(&desk, std::slice::from_ref(&args.instance)).await?.pop() {
        Some((_, Ok(record))) => record,
        Some((_, Err(why))) => return Err(Failure::failed(plain(&why))),
        None => return Err(Failure::failed(format!("{} is not there", args.instance))),
    };
    if !record.is_done() {
        confirm(&what_is_left(&record, Timestamp::now()), args.yes, out)?;
    }
    desk.ask(&[(Subject::of(record), What::Force)], out).await
}

/// What is given up when an instance is let go now.
fn what_is_left(record: &Record, now: Timestamp) -> String {
    let of = |count: u32, things: &str, names: &[String]| {
        let beside = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(names.len());
        let more = if beside > 0 { format!("    and {beside} more\n") } else { String::new() };
        let names: String = names.iter().map(|name| format!("    {}\n", plain(name))).collect();
        format!("  {things}: {count}\n{names}{more}")
    };
    let end = match (&record.lifecycle, record.then) {
        (Some(lifecycle), _) => {
            format!(
                "hook {} of group {} is completed with CONTINUE",
                lifecycle.hook, lifecycle.group
            )
        }
        (None, Some(then)) => {
            format!("its drain ends as it would after the last task ({})", then.name())
        }
        (None, None) => "its drain ends".to_owned(),
    };
    format!(
        "{}\nLeft when this was last written, {} ago, in phase {}:\n{}{}",
        plain(&format!("{} is let go whatever is left on it: {end}.", record.instance_id)),
        age(record.updated_at, now),
        record.phase(),
        of(record.shown.tasks_left_count, "tasks", &record.shown.tasks_left),
        of(
            record.shown.targets_left_count,
            "registrations with load balancers",
            &record.shown.targets_left
        ),
    )
}

/// Asks the same for each instance; one that has no drain is told, and keeps none of the others.
///
/// # Errors
/// It cannot be asked, is refused, or one has no drain.
pub(super) async fn each(
    desk: &Desk,
    instances: &[String],
    what: impl Fn(&Record) -> What,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    for instance in instances {
        is_name(instance)?;
    }
    let (mut asked, mut missing) = (Vec::new(), 0);
    for (instance, found) in subjects(desk, instances).await? {
        match found {
            Ok(record) => {
                let what = what(&record);
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
        0 => Ok(()),
        n => Err(Failure::failed(format!("{n} of {} not asked for", instances.len()))),
    }
}

/// The records of instances, or why one cannot be asked about.
async fn subjects(
    desk: &Desk,
    instances: &[String],
) -> Result<Vec<(String, Result<Record, String>)>, Failure> {
    let found = find::records(&desk.store, &desk.places, instances).await?;
    let ours = |found: find::Found| match found? {
        (_, Read::Record(record)) if record.controller != desk.store.controller() => Err(format!(
            "its drain is controller {}'s, not {}'s: give --controller {}",
            record.controller,
            desk.store.controller(),
            record.controller
        )),
        (_, Read::Record(record)) => Ok(*record),
        (_, Read::Newer { schema }) => Err(format!(
            "a newer ecs-drain wrote its record (schema {schema}), which alone may touch it"
        )),
        (_, Read::Unreadable { why }) => Err(format!("its record cannot be read: {why}")),
    };
    Ok(found.into_iter().map(|(instance, found)| (instance, ours(found))).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::Cli;
    use crate::cli::samples::{now, waiting};
    use clap::Parser;

    #[test]
    fn what_is_taken_and_what_is_not() {
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
    fn what_is_left_is_said_first() {
        let (_, Read::Record(record)) = waiting() else { return };
        assert_eq!(
            what_is_left(&record, now()),
            "\
i-0waiting is let go whatever is left on it: hook ecs-drain of group web-asg is completed with CONTINUE.
Left when this was last written, 1 min ago, in phase Waiting:
  tasks: 3
    task 0a1b of service shop
    task 2c3d of service shop
    and 1 more
  registrations with load balancers: 1
    i-0waiting in target group shop
"
        );
    }
}
