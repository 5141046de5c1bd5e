//! Configuration: turns a TOML file, the environment and flags into one validated [`Config`].
//!
//! There are two stages. The text is *parsed* into a tree that knows the place of each value. Then
//! every value is *validated* once, into the types below. The tree is read by hand and not by
//! `serde`, because `serde` stops at the first mistake. Here all mistakes of a file are reported
//! together, each with its line, the value found and the values allowed.
//!
//! | module | contents |
//! | --- | --- |
//! | [`keys`] | the list of all keys: source of the reference, the unknown-key messages and the allowed spans |
//! | [`environment`] | the variables that are read |
//! | [`error`] | mistakes, and their messages |
//! | [`reader`] | a tree of TOML with places, read value by value |
//! | [`names`] | allowed names |
//! | [`pattern`] | names with `*` and `?` |
//! | [`span`] | durations in words |
//! | [`scope`] | accounts, regions, clusters, groups and hooks that the controller works in |
//! | [`policies`] | the rules for a drain, by cluster and group |
//! | [`closed`] | recurring times in which drains do not begin |
//! | [`tags`] | the same rules in the tags of a group |
//!
//! Nothing here reaches AWS. The users of a configuration find out whether a table, a role or a
//! hook exists.

pub(crate) mod closed;
pub mod environment;
pub(crate) mod error;
pub mod keys;
pub mod names;
pub(crate) mod pattern;
pub(crate) mod policies;
pub(crate) mod reader;
pub mod scope;
pub mod span;
pub(crate) mod tags;
#[cfg(test)]
mod tests;

pub use error::{ConfigError, Problem};
pub(crate) use pattern::Patterns;
pub(crate) use policies::Policies;
pub use scope::{Groups, Role, Scope};
pub(crate) use tags::GroupTags;

use error::Problems;
use reader::Fields;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A complete commented configuration: the output of `ecs-drain config example`.
pub(crate) const EXAMPLE: &str = include_str!("example.toml");

/// Everything that an operator can configure, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this controller. Records and the lease carry it.
    pub controller: String,
    pub table: Table,
    /// Accounts and regions to work in; at least one.
    pub scopes: Vec<Scope>,
    /// Policies for drains.
    pub policies: Policies,
    /// True to change nothing, in AWS and in the table, and to log the actions instead.
    pub dry_run: bool,
    /// Intervals of the polls.
    pub poll: Polling,
    /// Time that work in hand may take to finish after SIGTERM.
    pub shutdown: Duration,
    /// Address of health and metrics; `None` if they are not served.
    pub listen: Option<SocketAddr>,
    /// True to write metrics for CloudWatch to standard output.
    pub cloudwatch_metrics: bool,
}

/// The DynamoDB table that holds the drain records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    /// Its region; `None` for the region of the environment (`AWS_REGION`, the profile, or the
    /// instance's metadata).
    pub region: Option<String>,
}

/// Intervals of the polls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polling {
    /// Time between two reads of all Auto Scaling groups of a scope.
    pub groups: Duration,
}

/// Default name of the table.
pub(crate) const DEFAULT_TABLE: &str = "ecs-drain";
/// Default name of the controller.
pub(crate) const DEFAULT_CONTROLLER: &str = "default";
/// Default time between two reads of the groups. A heartbeat timeout can be as short as 30 seconds
/// (source: Auto Scaling API reference, `PutLifecycleHook`), and the first heartbeat needs a read.
pub const DEFAULT_POLL_GROUPS: Duration = Duration::from_secs(15);
/// Default time for work in hand after SIGTERM: less than the 30 seconds that ECS waits before
/// SIGKILL (source: ECS API reference, `StopTask`).
pub(crate) const DEFAULT_SHUTDOWN: Duration = Duration::from_secs(20);

/// Source of the configuration's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    File(PathBuf),
    /// The text itself, from the variable `ECS_DRAIN_CONFIG_TOML`, for a Fargate task without a
    /// configuration file.
    Inline(String),
}

/// Single values from flags or environment variables, which override the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// `--controller` or `ECS_DRAIN_CONTROLLER`.
    pub controller: Option<String>,
    /// `--table` or `ECS_DRAIN_TABLE`.
    pub table: Option<String>,
    /// `--table-region` or `ECS_DRAIN_TABLE_REGION`.
    pub table_region: Option<String>,
    /// `--dry-run`, `ECS_DRAIN_DRY_RUN` or `DRYRUN`.
    pub dry_run: Option<bool>,
    /// `--listen` or `ECS_DRAIN_LISTEN`.
    pub listen: Option<String>,
    /// `--cloudwatch-metrics` or `ECS_DRAIN_CLOUDWATCH_METRICS`.
    pub cloudwatch_metrics: Option<bool>,
}

impl Config {
    /// Reads and validates a configuration.
    ///
    /// # Errors
    /// Returns all mistakes, or the reason why the file could not be read.
    pub(crate) fn load(source: &Source, given: &Given) -> Result<Config, ConfigError> {
        match source {
            Source::File(path) => {
                let origin = path.display().to_string();
                match std::fs::read_to_string(path) {
                    Ok(text) => Config::parse(&text, &origin, given),
                    Err(error) => Err(ConfigError::unreadable(origin, &error)),
                }
            }
            Source::Inline(text) => Config::parse(text, "ECS_DRAIN_CONFIG_TOML", given),
        }
    }

    /// Validates the text of a configuration. `origin` is its name in messages: a path, or a
    /// variable's name.
    ///
    /// # Errors
    /// Returns all mistakes.
    pub fn parse(text: &str, origin: &str, given: &Given) -> Result<Config, ConfigError> {
        let mut problems = Problems::new(text, origin);
        let config = reader::parse(text, &mut problems)
            .map(|file| read(&file.root(&mut problems), given, &mut problems));
        match (config, problems.finish()) {
            (Some(config), None) => Ok(config),
            (None | Some(_), Some(error)) => Err(error),
            (None, None) => Err(ConfigError::new(origin, Vec::new())),
        }
    }
}

/// Reads the whole file. A wrong value is reported and read as its default, so the result counts
/// only if nothing was reported.
fn read(root: &Fields<'_>, given: &Given, problems: &mut Problems) -> Config {
    let controller =
        root.get("controller").and_then(|node| node.text(names::controller_name, problems));
    let table = root.table("table", "table", problems);
    let table_name = table
        .as_ref()
        .and_then(|t| t.get("name"))
        .and_then(|node| node.text(names::table_name, problems));
    let table_region = table
        .as_ref()
        .and_then(|t| t.get("region"))
        .and_then(|node| node.text(names::region, problems));
    let poll = root.table("poll", "poll", problems);
    let groups = poll
        .as_ref()
        .and_then(|p| p.get("groups"))
        .and_then(|node| node.span(&keys::POLL_GROUPS, problems));
    let shutdown = root.get("shutdown").and_then(|node| node.span(&keys::SHUTDOWN, problems));
    let dry_run = root.get("dry_run").and_then(|node| node.flag(problems));
    let listen = root.get("listen").and_then(|node| node.text(names::address, problems));
    let listen =
        given_name(given.listen.as_deref(), "--listen", names::address, problems).or(listen);
    let cloudwatch_metrics = root.get("cloudwatch_metrics").and_then(|node| node.flag(problems));
    Config {
        controller: given_name(
            given.controller.as_deref(),
            "--controller",
            names::controller_name,
            problems,
        )
        .or(controller)
        .unwrap_or_else(|| DEFAULT_CONTROLLER.to_owned()),
        table: Table {
            name: given_name(given.table.as_deref(), "--table", names::table_name, problems)
                .or(table_name)
                .unwrap_or_else(|| DEFAULT_TABLE.to_owned()),
            region: given_name(
                given.table_region.as_deref(),
                "--table-region",
                names::region,
                problems,
            )
            .or(table_region),
        },
        scopes: scope::read_all(root, problems),
        policies: policies::read_all(root, problems),
        dry_run: given.dry_run.or(dry_run).unwrap_or(false),
        poll: Polling { groups: groups.unwrap_or(DEFAULT_POLL_GROUPS) },
        shutdown: shutdown.unwrap_or(DEFAULT_SHUTDOWN),
        listen: listen.and_then(|address| address.parse().ok()),
        cloudwatch_metrics: given.cloudwatch_metrics.or(cloudwatch_metrics).unwrap_or(false),
    }
}

/// Validates a single value from a flag or its environment variable, as its key in the file is
/// validated.
fn given_name(
    value: Option<&str>,
    flag: &str,
    check: fn(&str) -> Result<(), String>,
    problems: &mut Problems,
) -> Option<String> {
    let value = value?;
    if let Err(wrong) = check(value) {
        let variable =
            format!("ECS_DRAIN_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
        problems.anywhere(format!("{flag} (or {variable}) is {value:?}: {wrong}"));
    }
    Some(value.to_owned())
}

/// Returns the controller's name and the table, for commands that only read the table. They work
/// without a file.
///
/// # Errors
/// Returns the mistakes in the given values.
pub(crate) fn table_only(given: &Given) -> Result<(String, Table), ConfigError> {
    let mut problems = Problems::new("", "flags and environment");
    let controller = given_name(
        given.controller.as_deref(),
        "--controller",
        names::controller_name,
        &mut problems,
    );
    let name = given_name(given.table.as_deref(), "--table", names::table_name, &mut problems);
    let region =
        given_name(given.table_region.as_deref(), "--table-region", names::region, &mut problems);
    match problems.finish() {
        Some(error) => Err(error),
        None => Ok((
            controller.unwrap_or_else(|| DEFAULT_CONTROLLER.to_owned()),
            Table { name: name.unwrap_or_else(|| DEFAULT_TABLE.to_owned()), region },
        )),
    }
}
