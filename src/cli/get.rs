//! `ecs-drain get`: the drains, as a table. Reads the DynamoDB table and nothing else.

use crate::blind::Spot;
use crate::cli::out::CLEAR;
use crate::cli::pause::called;
use crate::cli::words::{Screen, age, when};
use crate::cli::{Failure, Global, TableArgs};
use crate::quote::{self, plain};
use crate::store::pauses::Pauses;
use crate::store::{Read, Store, StoreError};
use clap::{Args, ValueEnum};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use ecs_drain_state::{Order, Origin, Record};
use jiff::Timestamp;
use std::io::Write;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  ecs-drain get                         the unfinished drains of the controller
  ecs-drain get --watch                 the same, every two seconds
  ecs-drain get --all                   finished ones too, and those of other controllers
  ecs-drain get --cluster web -o wide
  ecs-drain get --all -o json | jq '.[] | select(.outcome == \"TimedOut\") | .instance_id'";

/// How long between two looks of `--watch`.
const WATCH: Duration = Duration::from_secs(2);

/// Which drains, and how they are shown.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct GetArgs {
    /// How to show them
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    /// Show finished drains too, and those of other controllers (reads the whole table)
    #[arg(long, short)]
    pub all: bool,
    /// Only instances of this cluster, whichever controller drains them
    #[arg(long, short, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Look again every two seconds, until it is interrupted
    #[arg(long, short)]
    pub watch: bool,
    /// Which table.
    #[command(flatten)]
    pub table: TableArgs,
}

/// How records are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A line for each drain.
    Table,
    /// More columns.
    Wide,
    /// The records, as JSON.
    Json,
}

/// Lists drains.
///
/// # Errors
/// The table cannot be read.
pub async fn run(args: &GetArgs, global: &Global, out: &mut dyn Write) -> Result<(), Failure> {
    let store = global.store(&args.table).await?;
    let screen = Screen::detect();
    loop {
        let text = match read(&store, args).await {
            Ok(records) => show(&records, args, &store, screen).await?,
            // A look that failed for a moment does not end the watching.
            Err(error) if args.watch && error.is_transient() => plain(&error.to_string()) + "\n",
            Err(error) => return Err(error.into()),
        };
        if args.watch && screen.terminal {
            write!(out, "{CLEAR}")?;
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(WATCH).await;
    }
}

async fn read(store: &Store, args: &GetArgs) -> Result<Vec<(String, Read)>, StoreError> {
    let mut records = match &args.cluster {
        Some(cluster) => store.get_many(&store.by_cluster(cluster).await?).await?,
        None if args.all => store.all().await?,
        None => {
            let keys: Vec<String> = store.unfinished().await?.into_iter().map(|unfinished| unfinished.key).collect();
            store.get_many(&keys).await?
        }
    };
    // The indexes lag: what has ended meanwhile is not shown. What cannot be read always is.
    records.retain(|(_, read)| args.all || !matches!(read, Read::Record(record) if record.is_done()));
    Ok(records)
}

async fn show(records: &[(String, Read)], args: &GetArgs, store: &Store, screen: Screen) -> Result<String, Failure> {
    let now = Timestamp::now();
    if args.output == Output::Json {
        return json(records);
    }
    let paused = blind(store.blind(now).await, now) + &paused(store.pauses().await, now);
    if records.is_empty() {
        let hint = if args.all { "" } else { "; --all shows finished ones, and those of other controllers" };
        let whose = match (&args.cluster, args.all) {
            (Some(cluster), _) => format!("of cluster {cluster}"),
            (None, true) => "at all".to_owned(),
            (None, false) => format!("of controller {}", store.controller()),
        };
        return Ok(format!("{paused}no drains {whose} in table {}{hint}\n", store.table()));
    }
    Ok(paused + &table(records, args.output == Output::Wide, now, screen))
}

/// What the controller cannot read, a line each.
fn blind(spots: Result<Vec<Spot>, StoreError>, now: Timestamp) -> String {
    let lasts = |spot: &Spot| now.duration_since(spot.since).unsigned_abs();
    match spots {
        Ok(spots) => spots.iter().map(|spot| plain(&format!("blind: {}", spot.line(lasts(spot)))) + "\n").collect(),
        Err(error) => plain(&format!("blind: perhaps; it cannot be read whether the controller is: {error}")) + "\n",
    }
}

/// What is paused as a whole, a line each.
fn paused(pauses: Result<Pauses, StoreError>, now: Timestamp) -> String {
    let line = |(place, order): (&String, &Order)| {
        plain(&format!("paused: {}, by {order}, {} ago", called(place), age(order.at, now))) + "\n"
    };
    match pauses {
        Ok(pauses) => pauses.places.iter().map(line).collect(),
        Err(error) => plain(&format!("paused: perhaps; it cannot be read what is: {error}")) + "\n",
    }
}

/// The records as JSON; one that cannot be read is there too, with the reason in its place.
///
/// # Errors
/// A record cannot be written as JSON.
pub fn json(records: &[(String, Read)]) -> Result<String, Failure> {
    let values: Vec<serde_json::Value> =
        records.iter().map(|(key, read)| value(key, read)).collect::<Result<_, _>>()?;
    Ok(quote::json(&values)? + "\n")
}

/// One record as JSON.
///
/// # Errors
/// It cannot be written as JSON.
pub fn value(key: &str, read: &Read) -> Result<serde_json::Value, serde_json::Error> {
    match read {
        Read::Record(record) => serde_json::to_value(record),
        Read::Newer { schema } => Ok(serde_json::json!({ "key": key, "newer_schema": schema })),
        Read::Unreadable { why } => Ok(serde_json::json!({ "key": key, "unreadable": why })),
    }
}

const WAITING_FOR: &str = "WAITING FOR";
const HEADINGS: [&str; 6] = ["INSTANCE", "CLUSTER", "PHASE", "SINCE", WAITING_FOR, "DEADLINE"];
/// Why the drain exists, and what comes after: shown where some drain has another origin than a hook of ours.
const ORIGIN: &str = "ORIGIN";
const MORE_HEADINGS: [&str; 7] = ["ACCOUNT", "REGION", "GROUP", "HOOK", "TASKS LEFT", "TARGETS LEFT", "CONTROLLER"];

/// The records as a table, those first that need a person, then the oldest.
pub fn table(records: &[(String, Read)], wide: bool, now: Timestamp, screen: Screen) -> String {
    let mut sorted: Vec<&(String, Read)> = records.iter().collect();
    sorted.sort_by_key(|(key, read)| match read {
        Read::Unreadable { .. } | Read::Newer { .. } => (0, Timestamp::MIN, key),
        Read::Record(record) => (1 + i32::from(record.is_done()), record.created_at, key),
    });
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(match screen.width {
        Some(_) => ContentArrangement::Dynamic,
        None => ContentArrangement::Disabled,
    });
    if let Some(width) = screen.width {
        table.set_width(width);
    }
    let columns = Columns {
        origin: wide
            || records.iter().any(|(_, read)| matches!(read, Read::Record(r) if r.origin != Origin::LifecycleHook)),
        more: wide,
    };
    let origin = columns.origin.then_some(&ORIGIN);
    table.set_header(HEADINGS.iter().chain(origin).chain(if wide { MORE_HEADINGS.as_slice() } else { &[] }));
    for (key, read) in sorted {
        // The line breaks of `waiting_for` are this program's own.
        let row =
            row(key, read, columns, now).into_iter().zip(HEADINGS.map(Some).into_iter().chain(std::iter::repeat(None)));
        table.add_row(row.map(|(text, heading)| if heading == Some(WAITING_FOR) { text } else { plain(&text) }));
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        // Only sentences are broken into lines: half an instance id helps nobody.
        column.set_constraint(match HEADINGS.get(i) {
            Some(&WAITING_FOR) => ColumnConstraint::LowerBoundary(Width::Fixed(24)),
            Some(_) | None => ColumnConstraint::ContentWidth,
        });
    }
    // A heading set off by colour is set off after the widths are counted.
    table.trim_fmt().split_inclusive('\n').enumerate().fold(String::new(), |text, (i, line)| {
        let line = line.trim_end();
        text + &if i == 0 { screen.heading(line) } else { line.to_owned() } + "\n"
    })
}

/// Which columns there are beside [`HEADINGS`].
#[derive(Clone, Copy)]
struct Columns {
    origin: bool,
    more: bool,
}

fn row(key: &str, read: &Read, columns: Columns, now: Timestamp) -> Vec<String> {
    let record = match read {
        Read::Record(record) => record,
        Read::Newer { schema } => {
            return unread(
                key,
                columns,
                &format!("written by a newer ecs-drain (schema {schema}), which alone may touch it"),
            );
        }
        Read::Unreadable { why } => return unread(key, columns, &format!("cannot be read: {why}")),
    };
    let mut row = vec![
        record.instance_id.clone(),
        record.cluster.clone().unwrap_or_else(|| "-".to_owned()),
        phase(record),
        age(record.phase_since, now),
        waiting_for(record),
        deadline(record, now),
    ];
    let dash = || "-".to_owned();
    if columns.origin {
        row.push(origin(record));
    }
    if columns.more {
        row.extend([
            record.account.clone(),
            record.region.clone(),
            record.group().map_or_else(dash, str::to_owned),
            record.lifecycle.as_ref().map_or_else(dash, |lifecycle| lifecycle.hook.clone()),
            record.shown.tasks_left_count.to_string(),
            record.shown.targets_left_count.to_string(),
            record.controller.clone(),
        ]);
    }
    row
}

/// A record that says nothing but its key.
fn unread(key: &str, columns: Columns, why: &str) -> Vec<String> {
    let mut parts = key.split('/');
    let (account, region) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let dash = || "-".to_owned();
    let instance = parts.next().unwrap_or(key).to_owned();
    let mut row = vec![instance, dash(), "?".to_owned(), dash(), plain(why), dash()];
    if columns.origin {
        row.push(dash());
    }
    if columns.more {
        row.extend([account.to_owned(), region.to_owned(), dash(), dash(), dash(), dash(), dash()]);
    }
    row
}

/// The phase; once it is done, how it ended.
fn phase(record: &Record) -> String {
    match record.outcome() {
        Some(outcome) => format!("Done: {outcome}"),
        None => record.phase().to_string(),
    }
}

/// Why the drain exists and, where no hook of ours holds the instance, what comes after.
fn origin(record: &Record) -> String {
    match (record.then, &record.lifecycle) {
        (Some(then), None) => format!("{}, {}", record.origin.name(), then.name()),
        (Some(_) | None, _) => record.origin.name().to_owned(),
    }
}

/// What the drain waits for, and what went wrong, if the present step fails again and again; then, a line each, why it
/// does not move (the message has the first cause). The only line breaks are those between causes.
fn waiting_for(record: &Record) -> String {
    let message = plain(&record.shown.message);
    if record.is_done() {
        return message;
    }
    let failed = record.last_error.as_ref().filter(|_| record.attempts > 0);
    let failed = failed
        .map_or_else(String::new, |error| format!(" (failed {}: {})", times(record.attempts), plain(&error.what)));
    let more: String = record.shown.causes.iter().skip(1).map(|cause| format!("\n{}", plain(&cause.text))).collect();
    format!("{message}{failed}{more}")
}

/// `once`, `3 times`.
pub fn times(n: u32) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

/// When the policy's deadline passes, or else the hook's own limit.
fn deadline(record: &Record, now: Timestamp) -> String {
    match record.deadline {
        _ if record.is_done() => "-".to_owned(),
        Some(deadline) => when(deadline, now),
        None => record.global_limit.map_or_else(|| "-".to_owned(), |limit| format!("{} (hook)", when(limit, now))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::samples::{asked, done, now, unread, waiting};
    use jiff::SignedDuration;

    fn records() -> Vec<(String, Read)> {
        let mut records = vec![done(), waiting()];
        records.extend(unread());
        records
    }

    #[test]
    fn a_line_for_each_drain_and_those_first_that_need_a_person() {
        assert_eq!(table(&records(), false, now(), Screen::default()), "\
INSTANCE    CLUSTER  PHASE           SINCE   WAITING FOR                                                                                     DEADLINE
i-0bad      -        ?               -       cannot be read: phase is \"Wating\"                                                               -
i-0new      -        ?               -       written by a newer ecs-drain (schema 7), which alone may touch it                               -
i-0waiting  web      Waiting         3 min   task 0a1b of service shop and 2 more (failed 2 times: ecs:ListTasks on cluster web: throttled)  in 47 h 55 min (hook)
i-0done     web      Done: TimedOut  30 min  let go at its deadline                                                                          -
");
    }

    #[test]
    fn where_a_drain_has_another_origin_it_is_shown() {
        let screen = Screen { width: Some(120), colour: false, terminal: true };
        assert_eq!(
            table(&[asked(), waiting()], false, now(), screen),
            "\
INSTANCE    CLUSTER  PHASE    SINCE   WAITING FOR                           DEADLINE               ORIGIN
i-0asked    web      Waiting  19 min  paused by bob@desk (incident):        -                      operator, terminate
                                      heartbeats go on, and nothing else
                                      is done until it is resumed; service
                                      shop finds no room: 512 CPU units
                                      are missing
                                      task 0a1b is protected until 22:40
i-0waiting  web      Waiting  3 min   task 0a1b of service shop and 2 more  in 47 h 55 min (hook)  lifecycle-hook
                                      (failed 2 times: ecs:ListTasks on
                                      cluster web: throttled)
"
        );
    }

    #[test]
    fn what_the_controller_cannot_read_is_said_with_for_how_long_and_why() {
        let spot = Spot {
            place: "account 123456789012, region eu-west-1".to_owned(),
            what: crate::blind::What::Queue,
            since: now() - SignedDuration::from_mins(12),
            error: "denied\u{1b}[2J".to_owned(),
        };
        assert_eq!(
            blind(Ok(vec![spot]), now()),
            "blind: account 123456789012, region eu-west-1: its queue cannot be read: Spot interruptions are not heard, all else is \
             found later; for 12 min: denied [2J\n"
        );
    }

    #[test]
    fn what_is_paused_as_a_whole_is_said_first() {
        let order = Order { by: "Ada".to_owned(), reason: Some("incident".to_owned()), at: now() };
        let places = ["*", "123456789012/eu-west-1/web"].map(|place| (place.to_owned(), order.clone()));
        let pauses = Pauses { places: places.into_iter().collect() };
        assert_eq!(
            paused(Ok(pauses), now()),
            "\
paused: everything, by Ada (incident), 0 s ago
paused: cluster 123456789012/eu-west-1/web, by Ada (incident), 0 s ago
"
        );
        assert_eq!(paused(Ok(Pauses::default()), now()), "");
    }

    #[test]
    fn more_columns() {
        assert_eq!(table(&records(), true, now(), Screen::default()), "\
INSTANCE    CLUSTER  PHASE           SINCE   WAITING FOR                                                                                     DEADLINE               ORIGIN          ACCOUNT       REGION     GROUP    HOOK       TASKS LEFT  TARGETS LEFT  CONTROLLER
i-0bad      -        ?               -       cannot be read: phase is \"Wating\"                                                               -                      -               123456789012  eu-west-1  -        -          -           -             -
i-0new      -        ?               -       written by a newer ecs-drain (schema 7), which alone may touch it                               -                      -               123456789012  eu-west-1  -        -          -           -             -
i-0waiting  web      Waiting         3 min   task 0a1b of service shop and 2 more (failed 2 times: ecs:ListTasks on cluster web: throttled)  in 47 h 55 min (hook)  lifecycle-hook  123456789012  eu-west-1  web-asg  ecs-drain  3           1             default
i-0done     web      Done: TimedOut  30 min  let go at its deadline                                                                          -                      lifecycle-hook  123456789012  eu-west-1  web-asg  ecs-drain  0           0             default
");
    }

    #[test]
    fn a_narrow_terminal_wraps_and_a_heading_is_set_off() {
        let screen = Screen { width: Some(100), colour: true, terminal: true };
        assert_eq!(
            table(&records(), false, now(), screen),
            "\
\u{1b}[1mINSTANCE    CLUSTER  PHASE           SINCE   WAITING FOR                     DEADLINE\u{1b}[0m
i-0bad      -        ?               -       cannot be read: phase is        -
                                             \"Wating\"
i-0new      -        ?               -       written by a newer ecs-drain    -
                                             (schema 7), which alone may
                                             touch it
i-0waiting  web      Waiting         3 min   task 0a1b of service shop and   in 47 h 55 min (hook)
                                             2 more (failed 2 times:
                                             ecs:ListTasks on cluster web:
                                             throttled)
i-0done     web      Done: TimedOut  30 min  let go at its deadline          -
"
        );
    }

    #[test]
    fn json_holds_every_record() {
        let values: Vec<serde_json::Value> = serde_json::from_str(&json(&records()).unwrap()).unwrap();
        assert_eq!(values[0]["outcome"], "TimedOut");
        assert_eq!(values[1]["phase"], "Waiting");
        assert_eq!(values[2], serde_json::json!({ "key": "123456789012/eu-west-1/i-0new", "newer_schema": 7 }));
        assert_eq!(values[3]["unreadable"], "phase is \"Wating\"");
    }
}
