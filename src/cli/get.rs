//! `ecs-drain get`: lists the drains. It reads the DynamoDB table and nothing else.

use crate::blind::Spot;
use crate::cli::left::Left;
use crate::cli::out::CLEAR;
use crate::cli::pause::called;
use crate::cli::selector::{Selector, Sort};
use crate::cli::words::{Screen, age, brief, iso, short, wrapped};
use crate::cli::{Failure, Global, TableArgs, yaml};
use crate::quote::{self, plain};
use crate::store::pauses::Pauses;
use crate::store::{Read, Store, StoreError};
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use ecs_drain_state::{Order, Origin, Outcome, Record};
use jiff::Timestamp;
use std::io::Write;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  ecs-drain get                         the unfinished drains of the controller
  ecs-drain get --watch                 the same, every two seconds
  ecs-drain get --all                   finished ones too, and those of other controllers
  ecs-drain get --selector stuck        only those that are stuck
  ecs-drain get -l cluster=web-*,phase=Waiting --sort-by expires
  ecs-drain get --cluster web -o wide
  ecs-drain get --all -l outcome=TimedOut -o name

Fields of a selector: cluster, group, phase, stuck, outcome, origin, account, region. FIELD=PATTERN
selects, FIELD!=PATTERN leaves out; several conditions are separated by commas.";

/// Time between two reads of `--watch`.
const WATCH: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct GetArgs {
    /// Output format
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    /// Include finished drains and other controllers (reads the whole table)
    #[arg(long, short)]
    pub all: bool,
    /// Only drains of this cluster, of any controller
    #[arg(long, short, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Only drains that meet these conditions, such as stuck,cluster=web-*
    #[arg(long, short = 'l', value_name = "CONDITIONS", default_value = "")]
    pub selector: Selector,
    /// Order of the drains
    #[arg(long, value_name = "ORDER", default_value = "attention")]
    pub sort_by: Sort,
    /// Repeat every two seconds until interrupted
    #[arg(long, short)]
    pub watch: bool,
    #[command(flatten)]
    pub table: TableArgs,
}

/// Format of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// One line for each drain
    Table,
    /// More columns
    Wide,
    /// The records as a JSON array
    Json,
    /// The records as a YAML list
    Yaml,
    /// ACCOUNT/REGION/INSTANCE, one a line
    Name,
}

/// Lists drains.
///
/// # Errors
/// Returns an error if the table cannot be read.
pub async fn run(args: &GetArgs, global: &Global, out: &mut dyn Write) -> Result<(), Failure> {
    let store = global.store(&args.table).await?;
    let screen = Screen::detect();
    loop {
        let text = match read(&store, args).await {
            Ok(records) => show(&records, args, &store, screen).await?,
            // A transient error does not end `--watch`.
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
            let keys: Vec<String> =
                store.unfinished().await?.into_iter().map(|unfinished| unfinished.key).collect();
            store.get_many(&keys).await?
        }
    };
    // The indexes lag, so drains that have ended since are removed. Unreadable records stay.
    records.retain(|(key, read)| {
        let done = matches!(read, Read::Record(record) if record.is_done());
        (args.all || !done) && args.selector.matches(key, read)
    });
    args.sort_by.sort(&mut records);
    Ok(records)
}

async fn show(
    records: &[(String, Read)],
    args: &GetArgs,
    store: &Store,
    screen: Screen,
) -> Result<String, Failure> {
    let now = Timestamp::now();
    match args.output {
        Output::Json => return json(records),
        Output::Yaml => return Ok(yaml::document(&serde_json::Value::Array(values(records)?))?),
        Output::Name => {
            return Ok(records.iter().map(|(key, _)| plain(key) + "\n").collect());
        }
        Output::Table | Output::Wide => {}
    }
    let paused = blind(store.blind(now).await, now) + &paused(store.pauses().await, now);
    let paused = screen.fit(&paused);
    let footer = if screen.terminal { footer(store, now).await } else { String::new() };
    if records.is_empty() {
        let hint = if args.all {
            ""
        } else {
            "; --all shows finished ones, and those of other controllers"
        };
        let whose = match (&args.cluster, args.all) {
            (Some(cluster), _) => format!(" of cluster {cluster}"),
            (None, true) => String::new(),
            (None, false) => format!(" of controller {}", store.controller()),
        };
        let selected =
            if args.selector == Selector::default() { "" } else { " that the selector matches" };
        let none = format!("no drains{whose}{selected} in table {}{hint}", store.table());
        return Ok(format!("{paused}{}\n{footer}", screen.fit(&plain(&none))));
    }
    let wide = args.output == Output::Wide;
    let rest = paused.lines().count() + footer.lines().count();
    let height = screen.height.filter(|_| args.watch).map(usize::from);
    let shown = match height {
        Some(height) => {
            first(records, height.saturating_sub(rest), |records| table(records, wide, now, screen))
        }
        None => table(records, wide, now, screen),
    };
    Ok(paused + &shown + &footer)
}

/// Returns as many of the first drains as fit on a screen that is drawn again and again, and how
/// many there are beside them.
fn first(
    records: &[(String, Read)],
    lines: usize,
    table: impl Fn(&[(String, Read)]) -> String,
) -> String {
    // The last line of a screen stays empty.
    let fits = |text: &str, more: usize| text.lines().count() + more < lines;
    let whole = table(records);
    if fits(&whole, 0) {
        return whole;
    }
    let cut = (1..records.len()).rev().map(|n| (n, table(&records[..n])));
    let (n, text) = cut
        .into_iter()
        .find(|(_, text)| fits(text, 1))
        .unwrap_or_else(|| (1, table(&records[..records.len().min(1)])));
    format!("{text}and {} more; --selector chooses among them\n", records.len() - n)
}

/// Returns the time of the read and the leader of the controller.
async fn footer(store: &Store, now: Timestamp) -> String {
    let leads = match store.leader().await {
        Ok(Some(leader)) => {
            let holder: Vec<&str> = leader.holder.split('/').take(2).collect();
            format!("led by {}", holder.join("/"))
        }
        Ok(None) => "which no process leads now".to_owned(),
        Err(_) => "whose leader cannot be read".to_owned(),
    };
    format!(
        "\n{}\n",
        plain(&format!("read at {}; controller {}, {leads}", iso(now), store.controller()))
    )
}

/// Returns a line for each read of the controller that fails.
fn blind(spots: Result<Vec<Spot>, StoreError>, now: Timestamp) -> String {
    let lasts = |spot: &Spot| now.duration_since(spot.since).unsigned_abs();
    match spots {
        Ok(spots) => spots
            .iter()
            .map(|spot| plain(&format!("read failing: {}", spot.line(lasts(spot)))) + "\n")
            .collect(),
        Err(error) => plain(&format!("failing reads of the controller not known: {error}")) + "\n",
    }
}

/// Returns a line for each pause of a cluster, of an account and region, or of everything.
fn paused(pauses: Result<Pauses, StoreError>, now: Timestamp) -> String {
    let line = |(place, order): (&String, &Order)| {
        plain(&format!("paused: {}, by {order}, {} ago", called(place), age(order.at, now))) + "\n"
    };
    match pauses {
        Ok(pauses) => pauses.places.iter().map(line).collect(),
        Err(error) => plain(&format!("pauses not known: {error}")) + "\n",
    }
}

/// Returns the records as a JSON array. An unreadable record is an object with its key and the
/// reason.
///
/// # Errors
/// Returns an error if a record cannot be written as JSON.
pub fn json(records: &[(String, Read)]) -> Result<String, Failure> {
    Ok(quote::json(&values(records)?)? + "\n")
}

fn values(records: &[(String, Read)]) -> Result<Vec<serde_json::Value>, serde_json::Error> {
    records.iter().map(|(key, read)| value(key, read)).collect()
}

/// Returns one record as JSON.
///
/// # Errors
/// Returns an error if the record cannot be written as JSON.
pub fn value(key: &str, read: &Read) -> Result<serde_json::Value, serde_json::Error> {
    match read {
        Read::Record(record) => serde_json::to_value(record),
        Read::Newer { schema } => Ok(serde_json::json!({ "key": key, "newer_schema": schema })),
        Read::Unreadable { why } => Ok(serde_json::json!({ "key": key, "unreadable": why })),
    }
}

const HEADINGS: [&str; 7] = ["INSTANCE", "CLUSTER", "PHASE", "AGE", "TASKS", "TARGETS", "EXPIRES"];
/// Column with the origin of a drain and the future of its instance. Without `--output wide` it is
/// shown only if a drain has another origin than a lifecycle hook.
const ORIGIN: &str = "ORIGIN";
const MORE_HEADINGS: [&str; 5] = ["ACCOUNT", "REGION", "GROUP", "HOOK", "CONTROLLER"];
const STATUS: &str = "STATUS";
/// Terminal width, in columns, below which the status has a line of its own.
const NARROW: u16 = 130;
/// Indentation of such a line.
const INDENT: &str = "    ";

/// Returns the records as a table, in the order given.
pub fn table(records: &[(String, Read)], wide: bool, now: Timestamp, screen: Screen) -> String {
    let Some(width) = screen.width.filter(|_| !wide) else {
        return draw(records, wide, now, screen, None);
    };
    let shown = draw(records, wide, now, screen, None);
    let longest = shown.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    if width >= NARROW && longest <= usize::from(width) {
        return shown;
    }
    draw(records, wide, now, screen, Some(width))
}

/// Draws the table; the status is a column, or a line of its own at most `below` columns wide.
fn draw(
    records: &[(String, Read)],
    wide: bool,
    now: Timestamp,
    screen: Screen,
    below: Option<u16>,
) -> String {
    let columns = Columns {
        origin: wide
            || records.iter().any(
                |(_, read)| matches!(read, Read::Record(r) if r.origin != Origin::LifecycleHook),
            ) && below.is_none(),
        more: wide,
        narrow: below.is_some(),
    };
    let origin = columns.origin.then_some(&ORIGIN);
    let more = if wide { MORE_HEADINGS.as_slice() } else { &[] };
    let last = below.is_none().then_some(&STATUS);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(HEADINGS.iter().chain(origin).chain(more).chain(last));
    for (key, read) in records {
        let status = last.map(|_| status(read, now));
        table.add_row(
            row(key, read, columns, now).into_iter().chain(status).map(|text| plain(&text)),
        );
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.trim_fmt();
    let mut lines = text.lines().map(str::trim_end);
    // The heading gets its escape sequences after the column widths are computed.
    let mut shown = screen.heading(lines.next().unwrap_or_default()) + "\n";
    for (line, (_, read)) in lines.zip(records) {
        shown.push_str(line);
        shown.push('\n');
        if let Some(width) = below {
            let text = plain(&(aside(read, now) + &status(read, now)));
            for line in wrapped(&text, usize::from(width) - INDENT.len()) {
                shown.push_str(&format!("{INDENT}{line}\n"));
            }
        }
    }
    shown
}

/// Optional columns, in addition to [`HEADINGS`].
#[derive(Clone, Copy)]
struct Columns {
    origin: bool,
    more: bool,
    /// True if the deadline is in the line below.
    narrow: bool,
}

fn row(key: &str, read: &Read, columns: Columns, now: Timestamp) -> Vec<String> {
    let Read::Record(record) = read else { return unread(key, columns) };
    let (tasks, targets) = left(record);
    let mut row = vec![
        record.instance_id.clone(),
        record.cluster.clone().unwrap_or_else(|| "-".to_owned()),
        phase(record),
        brief(now.duration_since(record.created_at)),
        tasks,
        targets,
        if columns.narrow { hook_expires(record, now) } else { expires(record, now) },
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
            record.controller.clone(),
        ]);
    }
    row
}

/// Returns the row of an unreadable record, of which only the key is known.
fn unread(key: &str, columns: Columns) -> Vec<String> {
    let mut parts = key.split('/');
    let (account, region) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let dash = || "-".to_owned();
    let mut row = vec![parts.next().unwrap_or(key).to_owned(), dash(), "?".to_owned()];
    row.extend([dash(), "?".to_owned(), "?".to_owned(), dash()]);
    if columns.origin {
        row.push(dash());
    }
    if columns.more {
        row.extend([account.to_owned(), region.to_owned(), dash(), dash(), dash()]);
    }
    row
}

/// Returns the phase, with the outcome if the drain is done.
fn phase(record: &Record) -> String {
    match record.outcome() {
        Some(outcome) => format!("Done: {outcome}"),
        None => record.phase().to_string(),
    }
}

/// Returns the origin of the drain and, if no hook holds the instance, the future of the instance.
fn origin(record: &Record) -> String {
    match (record.then, &record.lifecycle) {
        (Some(then), None) => format!("{}, {}", record.origin.name(), then.name()),
        (Some(_) | None, _) => record.origin.name().to_owned(),
    }
}

/// Returns the numbers of tasks and targets that were left when the record was written; `?`: not
/// read yet.
fn left(record: &Record) -> (String, String) {
    let shown = |count: Option<u32>| count.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let left = Left::of(record);
    (shown(left.tasks), shown(left.targets))
}

/// Returns the reason for which a drain waits, in one line, with the time for which it is stuck and
/// the last error of a step that fails repeatedly. For the outcome `Drained` the text is empty.
fn status(read: &Read, now: Timestamp) -> String {
    let record = match read {
        Read::Record(record) => record,
        Read::Newer { schema } => {
            return format!("written by a newer ecs-drain (schema {schema}); use that version");
        }
        Read::Unreadable { why } => return format!("cannot be read: {why}"),
    };
    let message = short(&record.shown.message);
    if record.is_done() {
        return if record.outcome() == Some(Outcome::Drained) { String::new() } else { message };
    }
    let stuck = record
        .shown
        .stuck_since
        .map_or_else(String::new, |since| format!("STUCK for {}: ", age(since, now)));
    let failed = record.last_error.as_ref().filter(|_| record.attempts > 0);
    let failed = failed.map_or_else(String::new, |error| {
        format!(" (failed {}: {})", times(record.attempts), error.what)
    });
    let more = match record.shown.causes.len().saturating_sub(1) {
        0 => String::new(),
        1 => " (1 more cause: see describe)".to_owned(),
        n => format!(" ({n} more causes: see describe)"),
    };
    format!("{stuck}{message}{failed}{more}")
}

/// Returns a count in words: `once`, `3 times`.
pub fn times(n: u32) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

/// The origin and the deadline, where the table has no room for them.
fn aside(read: &Read, now: Timestamp) -> String {
    let Read::Record(record) = read else { return String::new() };
    let origin = (record.origin != Origin::LifecycleHook).then(|| origin(record));
    let deadline = record.deadline.filter(|_| !record.is_done());
    let deadline = deadline.map(|at| format!("deadline {}", moment(at, now)));
    let parts: Vec<String> = origin.into_iter().chain(deadline).collect();
    if parts.is_empty() { String::new() } else { format!("[{}] ", parts.join("; ")) }
}

/// A moment in one unit: `in 47 h`, `20 min ago`.
fn moment(at: Timestamp, now: Timestamp) -> String {
    match now.duration_since(at) {
        ago if at < now => format!("{} ago", brief(ago)),
        left => format!("in {}", brief(-left)),
    }
}

/// The hook expiry or, marked so, the policy's deadline.
fn expires(record: &Record, now: Timestamp) -> String {
    match record.deadline.filter(|_| !record.is_done()) {
        Some(deadline) => format!("deadline {}", moment(deadline, now)),
        None => hook_expires(record, now),
    }
}

/// The hook expiry.
fn hook_expires(record: &Record, now: Timestamp) -> String {
    let limit = record.global_limit.filter(|_| !record.is_done());
    limit.map_or_else(|| "-".to_owned(), |limit| moment(limit, now))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::cli::samples::{asked, compare, done, now, stuck, unread, waiting};
    use jiff::SignedDuration;

    fn records() -> Vec<(String, Read)> {
        let mut records = vec![done(), waiting(), stuck()];
        records.extend(unread());
        Sort::Attention.sort(&mut records);
        records
    }

    #[test]
    fn a_line_for_each_drain_and_those_first_that_need_a_person() {
        compare("get", &table(&records(), false, now(), Screen::default()));
    }

    #[test]
    fn an_origin_other_than_a_hook_has_a_column() {
        let screen = Screen { width: Some(120), terminal: true, ..Screen::default() };
        compare("get-origin-120", &table(&[asked(), waiting()], false, now(), screen));
    }

    #[test]
    fn a_failing_read_is_printed_with_its_duration_and_error() {
        let spot = Spot {
            place: "account 123456789012, region eu-west-1".to_owned(),
            what: crate::blind::What::Queue,
            since: now() - SignedDuration::from_mins(12),
            error: "denied\u{1b}[2J".to_owned(),
        };
        assert_eq!(
            blind(Ok(vec![spot]), now()),
            "read failing: account 123456789012, region eu-west-1: its queue cannot be read; Spot interruptions are missed, polling finds all else later; for 12 min: denied [2J\n"
        );
    }

    #[test]
    fn each_pause_of_a_place_has_a_line() {
        let order = Order { by: "Ada".to_owned(), reason: Some("incident".to_owned()), at: now() };
        let places =
            ["*", "123456789012/eu-west-1/web"].map(|place| (place.to_owned(), order.clone()));
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
    fn wide_output_has_more_columns() {
        compare("get-wide", &table(&records(), true, now(), Screen::default()));
    }

    #[test]
    fn on_a_narrow_terminal_the_status_is_below_and_a_heading_is_set_off() {
        let screen = Screen { width: Some(80), colour: true, terminal: true, ..Screen::default() };
        compare("get-80-colour", &table(&records(), false, now(), screen));
    }

    #[test]
    fn a_screen_that_is_drawn_again_keeps_its_heading() {
        let screen = Screen { width: Some(80), terminal: true, ..Screen::default() };
        let all = [stuck(), waiting(), asked(), done()];
        let draw = |records: &[(String, Read)]| table(records, false, now(), screen);
        assert_eq!(first(&all, 100, draw), draw(&all));
        let short = first(&all, 12, draw);
        assert_eq!(short.lines().count(), 10, "{short}");
        assert!(short.ends_with("and 2 more; --selector chooses among them\n"), "{short}");
        assert!(first(&all, 3, draw).ends_with("and 3 more; --selector chooses among them\n"));
    }

    #[test]
    fn on_a_terminal_of_80_columns() {
        let screen = Screen { width: Some(80), terminal: true, ..Screen::default() };
        let shown = table(&[stuck(), waiting()], false, now(), screen);
        compare("get-80", &shown);
        // Ids of AWS's length, a deadline, and another origin.
        let mut records = [asked(), stuck()];
        for ((key, read), id) in records.iter_mut().zip(["05d3a0fb70424a47f", "0527625b73b6f1f85"])
        {
            let Read::Record(record) = read else { continue };
            record.instance_id = format!("i-{id}");
            record.stage = ecs_drain_state::Stage::Deregistering;
            record.deadline = Some(now() - SignedDuration::from_mins(20));
            *key = record.key();
        }
        let shown = table(&records, false, now(), screen);
        compare("get-80-long", &shown);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        // A column that does not fit is a line of its own on a wide terminal, too.
        let screen = Screen { width: Some(150), ..screen };
        let shown = table(&records, false, now(), screen);
        assert!(shown.lines().all(|line| line.chars().count() <= 150), "{shown}");
    }

    #[test]
    fn json_holds_every_record() {
        let values: Vec<serde_json::Value> =
            serde_json::from_str(&json(&records()).unwrap()).unwrap();
        assert_eq!(values[0]["unreadable"], "phase is \"Wating\"");
        assert_eq!(
            values[1],
            serde_json::json!({ "key": "123456789012/eu-west-1/i-0new", "newer_schema": 7 })
        );
        assert_eq!(values[3]["phase"], "Waiting");
        assert_eq!(values[4]["outcome"], "TimedOut");
    }
}
