//! The table of drains: its columns, and the status of each drain.

use crate::cli::left::Left;
use crate::cli::words::{Screen, age, brief, short, wrapped};
use crate::quote::plain;
use crate::store::Read;
use comfy_table::{ContentArrangement, Table, presets};
use ecs_drain_state::{Origin, Outcome, Record};
use jiff::Timestamp;

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
