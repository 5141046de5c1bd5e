//! `ecs-drain rollout get`: lists the rollouts. It reads the DynamoDB table and nothing else.

use super::{is_named, place, stage, unread};
use crate::cli::words::{Screen, brief, short, wrapped};
use crate::cli::{Failure, Global, TableArgs, yaml};
use crate::quote::{self, plain};
use crate::store::ReadRollout;
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use ecs_drain_state::rollout::{Rollout, Stage};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain rollout get
  ecs-drain rollout get january -o json
  ecs-drain rollout get -o name

A rollout that stopped comes first. Finished ones are kept for a week. The command reads the whole
table.";

const HEADINGS: [&str; 6] = ["NAME", "SCOPE", "STAGE", "REPLACED", "DRAINING", "AGE"];
const STATUS: &str = "STATUS";
/// Terminal width, in columns, below which the status has a line of its own.
const NARROW: u16 = 130;
/// Indentation of such a line.
const INDENT: &str = "    ";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GetArgs {
    /// Only rollouts of this name; NAME, or ACCOUNT/REGION/NAME
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Accepted, as by `ecs-drain get`: finished rollouts are always listed
    #[arg(long, short, hide = true)]
    pub all: bool,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    #[command(flatten)]
    pub table: TableArgs,
}

/// Format of the rollouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// One line for each rollout
    Table,
    /// The rollouts as a JSON array
    Json,
    /// The rollouts as a YAML list
    Yaml,
    /// ACCOUNT/REGION/NAME, one a line
    Name,
}

/// Lists rollouts.
///
/// # Errors
/// Returns an error if the table cannot be read.
pub(super) async fn run(
    args: &GetArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let store = global.store(&args.table).await?;
    let mut found = store.all_rollouts().await?;
    found.retain(|(key, _)| args.name.as_ref().is_none_or(|name| is_named(key, name)));
    sort(&mut found);
    let screen = Screen::detect();
    let text = match args.output {
        Output::Json => quote::json(&values(&found)?)? + "\n",
        Output::Yaml => yaml::document(&Value::Array(values(&found)?))?,
        Output::Name => found.iter().map(|(key, _)| plain(&place(key).join("/")) + "\n").collect(),
        Output::Table if found.is_empty() => {
            let named = args.name.as_ref().map_or_else(String::new, |name| format!(" {name}"));
            let none = format!("no rollouts{named} in table {}", store.table());
            screen.fit(&(plain(&none) + "\n"))
        }
        Output::Table => table(&found, Timestamp::now(), screen),
    };
    out.write_all(text.as_bytes())?;
    Ok(())
}

/// Sorts rollouts: those that need a person, those under way, those that are done; the newest
/// first.
fn sort(rollouts: &mut [(String, ReadRollout)]) {
    rollouts.sort_by_key(|(key, read)| {
        let ReadRollout::Rollout(rollout) = read else { return (1, 0, key.clone()) };
        let rank = match rollout.stage {
            Stage::Stopped { .. } => 0,
            Stage::Paused { .. } => 2,
            Stage::Counting | Stage::Running | Stage::Aborting | Stage::Undoing => 3,
            Stage::Done { .. } => 4,
        };
        (rank, -rollout.created_at.as_second(), key.clone())
    });
}

fn values(rollouts: &[(String, ReadRollout)]) -> Result<Vec<Value>, serde_json::Error> {
    rollouts.iter().map(|(key, read)| value(key, read)).collect()
}

/// Returns one rollout as JSON.
pub(super) fn value(key: &str, read: &ReadRollout) -> Result<Value, serde_json::Error> {
    match read {
        ReadRollout::Rollout(rollout) => serde_json::to_value(rollout),
        ReadRollout::Newer { schema } => Ok(json!({ "key": key, "newer_schema": schema })),
        ReadRollout::Unreadable { why } => Ok(json!({ "key": key, "unreadable": why })),
    }
}

/// Returns the rollouts as a table, in the order given.
fn table(rollouts: &[(String, ReadRollout)], now: Timestamp, screen: Screen) -> String {
    let fits = |text: &str, width: u16| {
        text.lines().all(|line| line.chars().count() <= usize::from(width))
    };
    let Some(width) = screen.width else { return draw(rollouts, true, None, now, screen) };
    if width >= NARROW {
        let whole = draw(rollouts, true, None, now, screen);
        if fits(&whole, width) {
            return whole;
        }
    }
    let below = draw(rollouts, true, Some(width), now, screen);
    if fits(&below, width) { below } else { draw(rollouts, false, Some(width), now, screen) }
}

/// Draws the table. The status is a column, or a line of its own at most `below` columns wide,
/// which also has the scope and the draining instances if `scope` is false.
fn draw(
    rollouts: &[(String, ReadRollout)],
    scope: bool,
    below: Option<u16>,
    now: Timestamp,
    screen: Screen,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let last = below.is_none().then_some(STATUS);
    let kept = |n: &usize| scope || ![1, 4].contains(n);
    let headings = HEADINGS.into_iter().enumerate().filter(|(n, _)| kept(n)).map(|(_, text)| text);
    table.set_header(headings.chain(last));
    for (key, read) in rollouts {
        let cells = row(key, read, now).into_iter().enumerate().filter(|(n, _)| kept(n));
        let status = last.map(|_| status(read));
        table.add_row(cells.map(|(_, text)| text).chain(status).map(|text| plain(&text)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.trim_fmt();
    let mut lines = text.lines().map(str::trim_end);
    // The heading gets its escape sequences after the column widths are computed.
    let mut shown = screen.heading(lines.next().unwrap_or_default()) + "\n";
    for (line, (key, read)) in lines.zip(rollouts) {
        shown.push_str(line);
        shown.push('\n');
        let Some(width) = below else { continue };
        let aside = if scope { String::new() } else { aside(key, read) };
        for line in wrapped(&plain(&(aside + &status(read))), usize::from(width) - INDENT.len()) {
            shown.push_str(&format!("{INDENT}{line}\n"));
        }
    }
    shown
}

/// Returns the columns for which the table has no room.
fn aside(key: &str, read: &ReadRollout) -> String {
    let draining = match read {
        ReadRollout::Rollout(rollout) => rollout.progress().draining,
        ReadRollout::Newer { .. } | ReadRollout::Unreadable { .. } => 0,
    };
    let draining = if draining > 0 { format!("; {draining} draining") } else { String::new() };
    format!("[{}{draining}] ", scope_of(key))
}

fn scope_of(key: &str) -> String {
    let [account, region, _] = place(key);
    format!("{account}/{region}")
}

fn row(key: &str, read: &ReadRollout, now: Timestamp) -> [String; 6] {
    let [_, _, name] = place(key);
    let scope = scope_of(key);
    let ReadRollout::Rollout(rollout) = read else {
        return [name, scope, "?".to_owned(), "?".to_owned(), "?".to_owned(), "-".to_owned()];
    };
    let progress = rollout.progress();
    [
        name,
        scope,
        stage(rollout),
        format!("{}/{}", progress.left, progress.total),
        progress.draining.to_string(),
        brief(now.duration_since(rollout.created_at)),
    ]
}

/// Returns the reason for which a rollout waits, in one line. For one that replaced everything the
/// text is empty.
fn status(read: &ReadRollout) -> String {
    let ReadRollout::Rollout(rollout) = read else { return unread(read).unwrap_or_default() };
    match &rollout.stage {
        Stage::Stopped { why } => short(why),
        Stage::Done { .. } => ended(rollout),
        Stage::Counting
        | Stage::Running
        | Stage::Paused { .. }
        | Stage::Aborting
        | Stage::Undoing => short(&rollout.message),
    }
}

fn ended(rollout: &Rollout) -> String {
    match rollout.progress().kept {
        0 => String::new(),
        kept => format!("old instances that stay: {kept}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::samples::{compare, now, rollouts};

    fn sorted() -> Vec<(String, ReadRollout)> {
        let mut rollouts = rollouts();
        sort(&mut rollouts);
        rollouts
    }

    #[test]
    fn a_rollout_that_stopped_comes_first() {
        compare("rollout-get", &table(&sorted(), now(), Screen::default()));
    }

    #[test]
    fn every_line_fits_on_a_terminal() {
        let screen = Screen { width: Some(80), terminal: true, ..Screen::default() };
        let shown = table(&sorted(), now(), screen);
        compare("rollout-get-80", &shown);
        let mut long = sorted();
        for (key, read) in &mut long {
            let ReadRollout::Rollout(rollout) = read else { continue };
            rollout.name = format!("kernel-update-of-the-second-week-{:.7}", rollout.name);
            *key = rollout.key();
        }
        let long = table(&long, now(), screen);
        assert!(long.contains("    [123456789012/eu-west-1; 1 draining] the drain of"), "{long}");
        for line in shown.lines().chain(long.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn json_holds_every_rollout() {
        let values = values(&sorted()).unwrap();
        assert_eq!(values[0]["name"], "january");
        assert!(values[1]["unreadable"].as_str().unwrap().starts_with("attribute stage"));
        assert_eq!(values[2]["newer_schema"], 7);
        assert_eq!(values[4]["stage"]["done"]["outcome"], "Replaced");
    }
}
