//! The table of drains: its columns, and the status of each drain.

use crate::cli::left::Left;
use crate::cli::reason::current;
use crate::cli::words::{Screen, age as since_then, brief, length, short, wrapped};
use crate::quote::plain;
use crate::store::Read;
use comfy_table::{ContentArrangement, Table, presets};
use ecs_drain_state::{Origin, Outcome, Record};
use jiff::Timestamp;

const CLUSTER: &str = "CLUSTER";
const HEADINGS: [&str; 7] = ["INSTANCE", CLUSTER, "PHASE", "AGE", "TASKS", "TARGETS", "EXPIRES"];
/// Column with the origin of a drain and the future of its instance. Without `--output wide` it is
/// shown only if a drain has another origin than a lifecycle hook.
const ORIGIN: &str = "ORIGIN";
const MORE_HEADINGS: [&str; 5] = ["ACCOUNT", "REGION", "GROUP", "HOOK", "CONTROLLER"];
const STATUS: &str = "STATUS";
/// Mark of a deadline in the column of the hook's expiry.
const MARK: &str = "*";
/// Terminal width, in columns, below which the status has a line of its own.
const NARROW: u16 = 130;
/// Indentation of such a line.
const INDENT: &str = "    ";

/// Returns the records as a table, in the order given.
pub fn table(records: &[(String, Read)], wide: bool, now: Timestamp, screen: Screen) -> String {
    let asked = |read: &Read| matches!(read, Read::Record(r) if r.origin != Origin::LifecycleHook);
    let whole = Columns {
        cluster: true,
        origin: wide || records.iter().any(|(_, read)| asked(read)),
        more: wide,
        below: None,
    };
    let (shown, longest) = draw(records, whole, wide, now, screen);
    let Some(width) = screen.width else { return shown };
    if width >= NARROW && longest <= usize::from(width) {
        return shown;
    }
    let below = Columns { cluster: true, origin: false, more: false, below: Some(width) };
    let (shown, longest) = draw(records, below, wide, now, screen);
    if longest <= usize::from(width) {
        return shown;
    }
    draw(records, Columns { cluster: false, ..below }, wide, now, screen).0
}

/// Columns for which the table has room. The others are in the line below a drain.
#[derive(Clone, Copy)]
struct Columns {
    cluster: bool,
    origin: bool,
    more: bool,
    /// Width of the lines below the drains, which have the status; None if it is a column.
    below: Option<u16>,
}

/// Draws the table, and returns it with the width of its longest row.
fn draw(
    records: &[(String, Read)],
    columns: Columns,
    wide: bool,
    now: Timestamp,
    screen: Screen,
) -> (String, usize) {
    let headings = HEADINGS.iter().filter(|heading| columns.cluster || **heading != CLUSTER);
    let origin = columns.origin.then_some(&ORIGIN);
    let more = if columns.more { MORE_HEADINGS.as_slice() } else { &[] };
    let last = columns.below.is_none().then_some(&STATUS);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.chain(origin).chain(more).chain(last));
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
    let longest = text.lines().map(|line| line.trim_end().chars().count()).max();
    let mut lines = text.lines().map(str::trim_end);
    // The heading gets its escape sequences after the column widths are computed.
    let mut shown = screen.heading(lines.next().unwrap_or_default()) + "\n";
    for (line, (key, read)) in lines.zip(records) {
        shown.push_str(line);
        shown.push('\n');
        if let Some(width) = columns.below {
            let text = plain(&(aside(key, read, columns, wide, now) + &status(read, now)));
            for line in wrapped(&text, usize::from(width) - INDENT.len()) {
                shown.push_str(&format!("{INDENT}{line}\n"));
            }
        }
    }
    (shown, longest.unwrap_or_default())
}

fn row(key: &str, read: &Read, columns: Columns, now: Timestamp) -> Vec<String> {
    let dash = || "-".to_owned();
    let cluster = |name: Option<&String>| {
        columns.cluster.then(|| name.map_or_else(dash, String::clone)).into_iter()
    };
    let mut row = vec![key.rsplit('/').next().unwrap_or(key).to_owned()];
    if let Read::Record(record) = read {
        let (tasks, targets) = left(record);
        row.extend(cluster(record.cluster.as_ref()));
        row.extend([phase(record), age(record, now), tasks, targets]);
        row.push(expires(record, columns, now));
    } else {
        row.extend(cluster(None));
        row.extend(["?".to_owned(), dash(), "?".to_owned(), "?".to_owned(), dash()]);
    }
    if columns.origin {
        row.push(if let Read::Record(record) = read { origin(record) } else { dash() });
    }
    if columns.more {
        row.extend(more(key, read).map(|value| value.unwrap_or_else(dash)));
    }
    row
}

/// Returns the values of [`MORE_HEADINGS`]. Of an unreadable record only the key is known.
fn more(key: &str, read: &Read) -> [Option<String>; 5] {
    let mut parts = key.split('/').map(str::to_owned);
    let (account, region) = (parts.next(), parts.next());
    let Read::Record(record) = read else { return [account, region, None, None, None] };
    let hook = record.lifecycle.as_ref().map(|lifecycle| lifecycle.hook.clone());
    [account, region, record.group().map(str::to_owned), hook, Some(record.controller.clone())]
}

/// Returns the time since the drain began or, with `ago`, since it ended.
fn age(record: &Record, now: Timestamp) -> String {
    if record.is_done() {
        return format!("{} ago", brief(now.duration_since(record.phase_since)));
    }
    brief(now.duration_since(record.created_at))
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
/// the last error of a step that fails repeatedly. For a drain that ended, the time that it took.
fn status(read: &Read, now: Timestamp) -> String {
    let record = match read {
        Read::Record(record) => record,
        Read::Newer { schema } => {
            return format!("written by a newer ecs-drain (schema {schema}); use that version");
        }
        Read::Unreadable { why } => return format!("cannot be read: {why}"),
    };
    let message = short(&current(record, &record.shown.message, now));
    if record.is_done() {
        let took = format!("took {}", length(record.phase_since.duration_since(record.created_at)));
        let drained = record.outcome() == Some(Outcome::Drained);
        return if drained { took } else { format!("{message}; {took}") };
    }
    let stuck = record
        .shown
        .stuck_since
        .map_or_else(String::new, |since| format!("STUCK for {}: ", since_then(since, now)));
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

/// The values for which the table has no room.
fn aside(key: &str, read: &Read, columns: Columns, wide: bool, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if let Read::Record(record) = read {
        parts.extend(record.cluster.clone().filter(|_| !columns.cluster));
        if wide || record.origin != Origin::LifecycleHook {
            parts.push(origin(record));
        }
        parts.extend(limits(record, now));
    }
    if wide {
        let named = MORE_HEADINGS.iter().zip(more(key, read));
        let named = named.filter_map(|(name, value)| Some((name.to_lowercase(), value?)));
        parts.extend(named.map(|(name, value)| format!("{name} {value}")));
    }
    if parts.is_empty() { String::new() } else { format!("[{}] ", parts.join("; ")) }
}

/// The deadline, if there is one. If the column has it, the hook's expiry.
fn limits(record: &Record, now: Timestamp) -> Option<String> {
    let deadline = record.deadline.filter(|_| !record.is_done())?;
    Some(match (ends_first(record), record.global_limit) {
        (Some((_, false)), _) => format!("deadline {}", moment(deadline, now)),
        (_, Some(limit)) => format!("{MARK}deadline; hook expires {}", moment(limit, now)),
        (_, None) => format!("{MARK}deadline"),
    })
}

/// A moment in one unit: `in 47 h`, `20 min ago`.
fn moment(at: Timestamp, now: Timestamp) -> String {
    match now.duration_since(at) {
        ago if at < now => format!("{} ago", brief(ago)),
        left => format!("in {}", brief(-left)),
    }
}

/// The hook's expiry or the policy's deadline, the earlier of both. A deadline is marked.
fn expires(record: &Record, columns: Columns, now: Timestamp) -> String {
    match ends_first(record).map(|(at, is_deadline)| (moment(at, now), is_deadline)) {
        None => "-".to_owned(),
        Some((at, false)) => at,
        Some((at, true)) if columns.below.is_some() => at + MARK,
        Some((at, true)) => format!("deadline {at}"),
    }
}

/// The earlier of the hook's expiry and the deadline; true: it is the deadline.
fn ends_first(record: &Record) -> Option<(Timestamp, bool)> {
    let limits = [record.deadline.map(|at| (at, true)), record.global_limit.map(|at| (at, false))];
    limits.into_iter().flatten().min_by_key(|(at, _)| *at).filter(|_| !record.is_done())
}
