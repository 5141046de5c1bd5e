//! Configuration: a TOML file, the environment and flags become one [`Config`] that cannot be
//! wrong.
//!
//! Two stages. The text is *parsed* into a tree that knows where each value stands; then every
//! value is *validated* once, into the types below. The tree is read by hand and not by `serde`,
//! because `serde` stops at the first mistake: here all mistakes of a file are reported together,
//! each with its line, what was found and what is allowed.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`keys`] | the one list of keys: from it come the reference, the unknown-key messages and the allowed spans |
//! | [`environment`] | the variables that are read |
//! | [`error`] | mistakes, and how they are told |
//! | [`reader`] | a tree of TOML with places, read value by value |
//! | [`names`] | what things may be called |
//! | [`pattern`] | names with `*` and `?` |
//! | [`span`] | durations in words |
//! | [`scope`] | where the controller works |
//! | [`policies`] | the rules for a drain, by cluster and group |
//!
//! Nothing here reaches AWS: whether a table, a role or a hook exists is found out by those who use
//! it.

pub mod environment;
pub mod error;
pub mod keys;
pub mod names;
pub mod pattern;
pub mod policies;
pub mod reader;
pub mod scope;
pub mod span;
#[cfg(test)]
mod tests;

pub use error::{ConfigError, Problem};
pub use pattern::Patterns;
pub use policies::{Override, Policies};
pub use scope::{Groups, Role, Scope};

use error::Problems;
use reader::Fields;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A complete commented configuration: what `ecs-drain config example` prints.
pub const EXAMPLE: &str = include_str!("example.toml");

/// Everything that an operator can choose, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this controller: which records of the table, and which lease, are its own.
    pub controller: String,
    /// The DynamoDB table.
    pub table: Table,
    /// Where to work; at least one.
    pub scopes: Vec<Scope>,
    /// The rules for each drain.
    pub policies: Policies,
    /// Whether to change nothing, in AWS and in the table, and to say what would be done.
    pub dry_run: bool,
    /// How often to look for new work.
    pub poll: Polling,
    /// How long work in hand may take to finish after SIGTERM.
    pub shutdown: Duration,
    /// Where health and metrics are served. None: nowhere.
    pub listen: Option<SocketAddr>,
    /// Whether metrics are written to standard output for CloudWatch.
    pub cloudwatch_metrics: bool,
}

/// The DynamoDB table that holds the drain records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its region. None: the region of the environment (`AWS_REGION`, the profile, or the
    /// instance's metadata).
    pub region: Option<String>,
}

/// How often to look for new work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polling {
    /// How long between two looks at all Auto Scaling groups of a scope.
    pub groups: Duration,
}

/// The table's name where none is given.
pub const DEFAULT_TABLE: &str = "ecs-drain";
/// The controller's name where none is given.
pub const DEFAULT_CONTROLLER: &str = "default";
/// How long between two looks at the groups, where nothing is given. A heartbeat timeout can be as
/// short as 30 seconds (source: Auto Scaling API reference, `PutLifecycleHook`), and the first
/// heartbeat needs a look.
pub const DEFAULT_POLL_GROUPS: Duration = Duration::from_secs(15);
/// How long work in hand may take after SIGTERM, where nothing is given: less than the 30 seconds
/// that ECS waits before SIGKILL (source: ECS API reference, `StopTask`).
pub const DEFAULT_SHUTDOWN: Duration = Duration::from_secs(20);

/// Where the text of the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The text itself, from the variable `ECS_DRAIN_CONFIG_TOML`: a Fargate task has no file of
    /// ours.
    Inline(String),
}

/// Single values from flags or environment variables; each wins over the file.
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
    /// All mistakes that were found, or why the file could not be read.
    pub fn load(source: &Source, given: &Given) -> Result<Config, ConfigError> {
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

    /// Validates the text of a configuration. `origin` is what mistakes call it: a path, or a
    /// variable's name.
    ///
    /// # Errors
    /// All mistakes that were found.
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

/// Reads the whole file. A value that is wrong is reported and read as its default: the result
/// counts only if nothing was reported.
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

/// A single value from a flag or its environment variable, validated as its key in the file is.
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

/// What the commands that only read the table need of a configuration; they work without a file.
///
/// # Errors
/// The mistakes of what was given.
pub fn table_only(given: &Given) -> Result<(String, Table), ConfigError> {
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
