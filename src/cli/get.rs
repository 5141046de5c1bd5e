//! `ecs-drain get`: lists the drains. It reads the DynamoDB table and nothing else.

mod table;
mod watched;

use crate::blind::Spot;
use crate::cli::options::Flags;
use crate::cli::out::CLEAR;
use crate::cli::pause::{called, resumed_by};
use crate::cli::selector::{Selector, Sort};
use crate::cli::words::{Screen, age, iso, short};
use crate::cli::{Failure, Global, TableArgs, yaml};
use crate::quote::{self, plain};
use crate::store::pauses::Pauses;
use crate::store::{Read, Store, StoreError};
use clap::{Args, ValueEnum};
use ecs_drain_state::{Order, Why};
use jiff::Timestamp;
use std::io::Write;
use std::time::Duration;
use watched::Watched;

pub use table::{table, times};

const EXAMPLES: &str = "\
Examples:
  ecs-drain get                         the unfinished drains of the controller
  ecs-drain get --watch                 the same, every two seconds, and those that end
  ecs-drain get --all                   finished ones too, and those of other controllers
  ecs-drain get --selector stuck        only those that are stuck
  ecs-drain get -l cluster=web-*,phase=Waiting --sort-by expires
  ecs-drain get --cluster web -o wide
  ecs-drain get --all -l outcome=TimedOut -o name

Fields of a selector: cluster, group, phase, stuck, outcome, origin, account, region. FIELD=PATTERN
selects, FIELD!=PATTERN leaves out; several conditions are separated by commas.";

/// Time between two reads of `--watch`.
const WATCH: Duration = Duration::from_secs(2);

/// Number of paused drains up to which a command names each.
const NAMED: usize = 3;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GetArgs {
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
pub(crate) enum Output {
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
pub(crate) async fn run(
    args: &GetArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let store = global.store(&args.table).await?;
    let screen = Screen::detect();
    let flags = Flags::of(&args.table, store.controller(), store.controller());
    let flags = flags.with_config(global);
    let tabular = matches!(args.output, Output::Table | Output::Wide);
    let mut watched = (args.watch && tabular).then(|| Watched::new(Timestamp::now()));
    loop {
        let text = match read(&store, args, watched.as_mut()).await {
            Ok(records) => {
                let look = Look { args, flags: &flags, screen, watched: watched.as_ref() };
                show(records, &look, &store).await?
            }
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

async fn read(
    store: &Store,
    args: &GetArgs,
    mut watched: Option<&mut Watched>,
) -> Result<Vec<(String, Read)>, StoreError> {
    let now = Timestamp::now();
    let mut keys = match &args.cluster {
        Some(cluster) => store.by_cluster(cluster).await?,
        None if args.all => Vec::new(),
        None => store.unfinished().await?.into_iter().map(|unfinished| unfinished.key).collect(),
    };
    keys.extend(watched.iter().flat_map(|watched| watched.keys(now)));
    let mut records = match args.cluster {
        None if args.all => store.all().await?,
        Some(_) | None => store.get_many(&keys).await?,
    };
    if let Some(watched) = &mut watched {
        watched.see(&records, &args.selector);
    }
    // The indexes lag, so drains that have ended since are removed. Unreadable records stay.
    let ended_lately =
        |key: &str| watched.as_ref().is_some_and(|watched| watched.ended_lately(key, now));
    records.retain(|(key, read)| {
        (args.all || !is_done(read) || ended_lately(key)) && args.selector.matches(key, read)
    });
    args.sort_by.sort(&mut records);
    if !args.all {
        records.sort_by_key(|(_, read)| is_done(read));
    }
    Ok(records)
}

fn is_done(read: &Read) -> bool {
    matches!(read, Read::Record(record) if record.is_done())
}

/// Properties of the output that do not change between two reads, and the drains seen.
struct Look<'a> {
    args: &'a GetArgs,
    flags: &'a Flags,
    screen: Screen,
    watched: Option<&'a Watched>,
}

async fn show(
    mut records: Vec<(String, Read)>,
    look: &Look<'_>,
    store: &Store,
) -> Result<String, Failure> {
    let (&Look { args, flags, screen, watched }, now) = (look, Timestamp::now());
    match args.output {
        Output::Json => return json(&records),
        Output::Yaml => return Ok(yaml::document(&serde_json::Value::Array(values(&records)?))?),
        Output::Name => {
            return Ok(records.iter().map(|(key, _)| plain(key) + "\n").collect());
        }
        Output::Table | Output::Wide => {}
    }
    let pauses = store.pauses().await;
    if let Ok(pauses) = &pauses {
        refer_to(pauses, &mut records);
    }
    let above = blind(store.blind(now).await, now)
        + &paused(pauses, flags, now)
        + &paused_by_id(&records, flags);
    let above = screen.fit(&above);
    let done = watched.map_or_else(String::new, Watched::line);
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
        return Ok(format!("{above}{}\n{done}{footer}", screen.fit(&plain(&none))));
    }
    let wide = args.output == Output::Wide;
    let rest = above.lines().count() + done.lines().count() + footer.lines().count();
    let height = screen.height.filter(|_| args.watch).map(usize::from);
    let shown = match height {
        Some(height) => first(&records, height.saturating_sub(rest), |records| {
            table(records, wide, now, screen)
        }),
        None => table(&records, wide, now, screen),
    };
    Ok(above + &shown + &done + &footer)
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

/// Returns each pause of a cluster, of an account and region, or of everything, with the command
/// that ends it.
fn paused(pauses: Result<Pauses, StoreError>, flags: &Flags, now: Timestamp) -> String {
    let line = |(place, order): (&String, &Order)| {
        let (by, ago) = (short(&order.to_string()), age(order.at, now));
        plain(&format!("paused: {}, by {by}, {ago} ago; resume with:", called(place)))
            + &format!("\n  {}\n", plain(&resumed_by(place, flags)))
    };
    match pauses {
        Ok(pauses) => pauses.places.iter().map(line).collect(),
        Err(error) => plain(&format!("pauses not known: {error}")) + "\n",
    }
}

/// Returns the number of drains that are paused by their id, with the command that resumes them.
fn paused_by_id(records: &[(String, Read)], flags: &Flags) -> String {
    let ids: Vec<&str> = records
        .iter()
        .filter_map(|(_, read)| match read {
            Read::Record(record) if !record.is_done() => Some(record),
            Read::Record(_) | Read::Newer { .. } | Read::Unreadable { .. } => None,
        })
        .filter(|record| record.orders.pause.is_some())
        .map(|record| record.instance_id.as_str())
        .collect();
    if ids.is_empty() {
        return String::new();
    }
    let named = if ids.len() > NAMED { "INSTANCE".to_owned() } else { ids.join(" ") };
    let command = plain(&format!("ecs-drain resume {named}{}", flags.0));
    format!("paused by id: {}; resume with:\n  {command}\n", ids.len())
}

/// Shortens the reason of drains that are paused by one of these pauses, which are shown above.
fn refer_to(pauses: &Pauses, records: &mut [(String, Read)]) {
    for (_, read) in records {
        let Read::Record(record) = read else { continue };
        if record.orders.pause.is_some() || record.shown.why != "Paused" {
            continue;
        }
        let message = &mut record.shown.message;
        let rest = pauses.places.values().find_map(|order| {
            message.strip_prefix(&Why::Paused(order.to_string()).to_string()).map(str::to_owned)
        });
        if let Some(rest) = rest {
            *message = format!("paused (see above); heartbeats continue{rest}");
        }
    }
}

/// Returns the records as a JSON array. An unreadable record is an object with its key and the
/// reason.
///
/// # Errors
/// Returns an error if a record cannot be written as JSON.
pub(crate) fn json(records: &[(String, Read)]) -> Result<String, Failure> {
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

    fn pauses() -> Pauses {
        let by = "arn:aws:sts::123456789012:assumed-role/Ops/ada".to_owned();
        let order = Order { by, reason: Some("incident".to_owned()), at: now() };
        let places =
            ["*", "123456789012/eu-west-1/web"].map(|place| (place.to_owned(), order.clone()));
        Pauses { places: places.into_iter().collect() }
    }

    #[test]
    fn each_pause_is_named_once_with_the_command_that_ends_it() {
        let flags = Flags(" --table drains".to_owned());
        assert_eq!(
            paused(Ok(pauses()), &flags, now()),
            "\
paused: everything, by assumed-role/Ops/ada (incident), 0 s ago; resume with:
  ecs-drain resume --everything --table drains
paused: cluster 123456789012/eu-west-1/web, by assumed-role/Ops/ada (incident), 0 s ago; resume with:
  ecs-drain resume --cluster 123456789012/eu-west-1/web --table drains
"
        );
        assert_eq!(paused(Ok(Pauses::default()), &flags, now()), "");
        assert_eq!(
            paused_by_id(&[asked(), waiting()], &flags),
            "paused by id: 1; resume with:\n  ecs-drain resume i-0asked --table drains\n"
        );
        assert_eq!(paused_by_id(&[waiting()], &flags), "");
        let many = paused_by_id(&[asked(), asked(), asked(), asked()], &flags);
        assert!(many.ends_with("  ecs-drain resume INSTANCE --table drains\n"), "{many}");
    }

    #[test]
    fn a_drain_of_a_paused_place_does_not_repeat_who_paused_it() {
        let mut all = [waiting(), asked()];
        let by = pauses().places["*"].to_string();
        if let (_, Read::Record(record)) = &mut all[0] {
            record.explain(&Why::Paused(by), now());
        }
        let before = table(&all[1..], false, now(), Screen::default());
        refer_to(&pauses(), &mut all);
        let shown = table(&all[..1], false, now(), Screen::default());
        assert!(shown.contains("paused (see above); heartbeats continue"), "{shown}");
        assert_eq!(table(&all[1..], false, now(), Screen::default()), before, "paused by its id");
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
    fn columns_without_room_are_below_each_drain() {
        let screen = Screen { width: Some(80), terminal: true, ..Screen::default() };
        compare(
            "get-wide-80",
            &table(&[asked(), stuck(), unread().remove(0)], true, now(), screen),
        );
        let mut all = [waiting(), done()];
        for (_, read) in &mut all {
            let Read::Record(record) = read else { continue };
            record.cluster = Some("a-cluster-with-a-name-of-many-words".to_owned());
        }
        let shown = table(&all, false, now(), screen);
        assert!(
            shown.contains("    [a-cluster-with-a-name-of-many-words] 3 tasks left"),
            "{shown}"
        );
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        let shown = table(&all, true, now(), Screen { width: Some(400), ..screen });
        assert_eq!(shown.lines().count(), 3, "{shown}");
    }

    #[test]
    fn the_column_has_the_earlier_of_deadline_and_hook_expiry() {
        let (key, Read::Record(mut record)) = waiting() else { return };
        let expires = |record: &ecs_drain_state::Record, width: u16| {
            let screen = Screen { width: Some(width), ..Screen::default() };
            let all = [(key.clone(), Read::Record(Box::new(record.clone())))];
            table(&all, false, now(), screen).lines().skip(1).collect::<Vec<_>>().join(" ")
        };
        assert!(expires(&record, 80).contains("  in 47 h     3 tasks left"));
        record.deadline = Some(now() + SignedDuration::from_mins(20));
        let narrow = expires(&record, 80);
        assert!(
            narrow.contains("  in 20 min*     [*deadline; hook expires in 47 h] 3"),
            "{narrow}"
        );
        assert!(expires(&record, 300).contains("  deadline in 20 min  3 tasks"));
        record.deadline = Some(now() + SignedDuration::from_hours(60));
        assert!(expires(&record, 80).contains("  in 47 h     [deadline in 2 d] 3"));
        record.global_limit = None;
        assert!(expires(&record, 80).contains("  in 2 d*     [*deadline] 3"));
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
