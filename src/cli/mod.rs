//! The command line. It makes no decision about a drain: `run` passes a validated configuration to
//! the controller, some commands read the table, and others write requests to it, which the
//! controller carries out.
//!
//! | file | command |
//! | --- | --- |
//! | [`run`] | the controller |
//! | [`init`] | create or check the table |
//! | [`get`] | the drains, as a table |
//! | [`describe`] | everything about one instance |
//! | [`sheet`], [`left`], [`options`] | one drain on a page; its tasks and targets; commands that can be used now |
//! | [`find`], [`selector`] | the record of an instance; conditions on drains, and their order |
//! | [`drain`], [`select`] | request drains; the instances that its arguments select |
//! | [`plan`] | whether drains would end by themselves, before they are requested |
//! | [`orders`], [`pause`] | cancel, extend, retry, force; pause and resume |
//! | [`rollout`] | start, show, pause, resume and end rollouts |
//! | [`asking`], [`byhand`] | write requests and wait for the answers; `aws` commands while no controller runs |
//! | [`follow`] | print the steps of drains until they end |
//! | [`confirm`], [`who`] | confirmation on the terminal; identity of the requester |
//! | [`config`] | check a configuration, print an example or the reference |
//! | [`doctor`], [`hooks`] | check a configuration against AWS; list groups and their hooks |
//! | [`healthcheck`] | a container's health check |
//! | [`iam`] | the least IAM policy for a configuration |
//! | [`completions`] | shell completions |
//! | [`failure`] | error messages and exit codes |
//! | [`out`] | standard output, without control characters from outside |
//! | [`words`], [`yaml`] | times, widths and colour; JSON as YAML |

pub(crate) mod amis;
pub(crate) mod asking;
pub(crate) mod byhand;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod confirm;
pub(crate) mod describe;
pub mod doctor;
pub(crate) mod drain;
pub(crate) mod failure;
pub(crate) mod find;
pub(crate) mod follow;
pub mod get;
pub(crate) mod healthcheck;
pub(crate) mod hooks;
pub(crate) mod iam;
pub(crate) mod init;
pub(crate) mod left;
pub mod options;
pub(crate) mod orders;
pub(crate) mod out;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod reason;
pub(crate) mod rollout;
pub(crate) mod run;
#[cfg(test)]
mod samples;
pub(crate) mod select;
pub(crate) mod selector;
pub mod sheet;
pub(crate) mod who;
pub mod words;
pub mod yaml;

pub use failure::Failure;
use out::Out;

use crate::aws::Environment;
use crate::config::{Config, ConfigError, Given, Source, Table, table_only};
use crate::store::Store;
use crate::telemetry::{self, Format, Verbosity};
use aws_config::SdkConfig;
use clap::{Args, Parser, Subcommand};
use ecs_drain_state::What;
use std::future::Future;
use std::io::IsTerminal;
use std::path::PathBuf;
use tokio::task::LocalSet;

const EXAMPLES: &str = "\
Examples:
  Set up:
    ecs-drain config example > ecs-drain.toml
    ecs-drain config check --config ecs-drain.toml
    ecs-drain init --config ecs-drain.toml
    ecs-drain run --config ecs-drain.toml --dry-run

  Look:
    ecs-drain get --watch
    ecs-drain describe i-0123456789abcdef0
    ecs-drain amis

  Request (the controller carries it out):
    ecs-drain plan --cluster web --older-than 30d
    ecs-drain drain --cluster web --older-than 30d
    ecs-drain rollout start january --cluster web --ami ami-0123456789abcdef0
    ecs-drain cancel i-0123456789abcdef0
    ecs-drain pause --everything --reason 'incident 4711'

Exit codes: 0 success; 1 failure, refused or unanswered request; 2 wrong arguments or configuration;
3 `plan`, `rollout start --dry-run`: not every drain would end by itself.

Colour: on a terminal, unless NO_COLOR is set. Width: COLUMNS, else the terminal's.";

/// Drains Amazon ECS container instances before their Auto Scaling group terminates them.
///
/// A lifecycle hook keeps the instance waiting. ecs-drain sets the container instance to DRAINING,
/// waits until its tasks have stopped and its load balancer targets are gone, checks twice, and
/// completes the lifecycle action. One record in a DynamoDB table describes each drain.
#[derive(Debug, Parser)]
#[command(name = "ecs-drain", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Configuration file; ECS_DRAIN_CONFIG_TOML can hold its text instead
    #[arg(long, global = true, value_name = "FILE", env = "ECS_DRAIN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Log filter: a level, or a list such as warn,ecs_drain=debug
    #[arg(long, global = true, value_name = "FILTER", env = "ECS_DRAIN_LOG")]
    pub log: Option<String>,
    /// Log format: auto is human on a terminal, json elsewhere
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "ECS_DRAIN_LOG_FORMAT",
        default_value = "auto"
    )]
    pub log_format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the controller until SIGTERM
    Run(run::RunArgs),
    /// Create the DynamoDB table, or check it
    Init(init::InitArgs),
    /// Check that a configuration will work
    Doctor(doctor::DoctorArgs),
    /// List lifecycle hooks, and print commands that add missing ones
    Hooks(hooks::HooksArgs),
    /// List the drains
    Get(get::GetArgs),
    /// Show one drain: what is left, why, and what you can do
    Describe(describe::DescribeArgs),
    /// Say which drains would end by themselves, before anything is changed
    Plan(plan::PlanArgs),
    /// Count the container instances of each cluster by AMI
    Amis(amis::AmisArgs),
    /// Drain instances on demand, for maintenance or a new AMI
    Drain(drain::DrainArgs),
    /// Replace the old instances of Auto Scaling groups, new capacity first
    #[command(subcommand)]
    Rollout(rollout::RolloutCommand),
    /// Cancel requested drains and set the instances back to ACTIVE
    #[command(after_help = orders::CANCEL)]
    Cancel(orders::InstancesArgs),
    /// Pause drains of an instance, a cluster, or everything
    Pause(pause::PauseArgs),
    /// Resume paused drains
    Resume(pause::ResumeArgs),
    /// Extend deadlines
    Extend(orders::ExtendArgs),
    /// Retry a failed step now instead of after its back-off
    #[command(after_help = orders::RETRY)]
    Retry(orders::InstancesArgs),
    /// Release an instance now, even with tasks running
    Force(orders::ForceArgs),
    /// Check a configuration; print an example or the reference
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Container health check: exit code 0 or 1
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Print the least IAM policy for a configuration
    Iam(iam::IamArgs),
    /// Print shell completions
    Completions(completions::CompletionsArgs),
}

/// Options that name the table and the controller. They replace a configuration file.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Table options")]
pub struct TableArgs {
    /// Name of the DynamoDB table [default: as configured, else ecs-drain]
    #[arg(long, value_name = "NAME", env = "ECS_DRAIN_TABLE")]
    pub table: Option<String>,
    /// Region of the table [default: as configured, else the environment's]
    #[arg(long, value_name = "REGION", env = "ECS_DRAIN_TABLE_REGION")]
    pub table_region: Option<String>,
    /// Name of the controller [default: as configured, else default]
    #[arg(long, value_name = "NAME", env = "ECS_DRAIN_CONTROLLER")]
    pub controller: Option<String>,
}

impl TableArgs {
    /// Returns the values that override the configuration file.
    pub(crate) fn given(&self) -> Given {
        Given {
            controller: self.controller.clone(),
            table: self.table.clone(),
            table_region: self.table_region.clone(),
            ..Given::default()
        }
    }
}

impl Global {
    /// Returns the source of the configuration, if there is one. A named file wins over inline
    /// text.
    pub(crate) fn source(&self) -> Option<Source> {
        match &self.config {
            Some(path) => Some(Source::File(path.clone())),
            None => std::env::var("ECS_DRAIN_CONFIG_TOML")
                .ok()
                .filter(|text| !text.is_empty())
                .map(Source::Inline),
        }
    }

    /// Loads the whole configuration.
    ///
    /// # Errors
    /// Returns an error if there is no configuration, or it is refused.
    pub(crate) fn load(&self, given: &Given) -> Result<Config, ConfigError> {
        Config::load(&self.source().ok_or_else(ConfigError::absent)?, given)
    }

    /// Returns the controller's name and the table: from the configuration if there is one, else
    /// from flags and defaults.
    fn table(&self, args: &TableArgs) -> Result<(String, Table), ConfigError> {
        match self.source() {
            Some(source) => {
                Config::load(&source, &args.given()).map(|config| (config.controller, config.table))
            }
            None => table_only(&args.given()),
        }
    }

    /// Connects to the table.
    async fn store(&self, args: &TableArgs) -> Result<Store, Failure> {
        Ok(self.connect(args).await?.1)
    }

    /// Returns the SDK's configuration for the table's region, and the store of the table.
    async fn connect(&self, args: &TableArgs) -> Result<(SdkConfig, Store), Failure> {
        let (controller, table) = self.table(args)?;
        let sdk = Environment::default().load(table.region.as_deref()).await;
        if sdk.region().is_none() {
            return Err(Failure::usage(
                "the table's region is not known: set --table-region, AWS_REGION, or a profile with a region",
            ));
        }
        let store = Store::connect(&sdk, &table.name, &controller);
        Ok((sdk, store))
    }
}

/// Starts the log with the level and format of the arguments.
///
/// # Errors
/// Returns an error if the filter does not parse.
pub fn start_log(cli: &Cli) -> Result<(), Failure> {
    let verbosity = if matches!(cli.command, Command::Run(_)) {
        Verbosity::Service
    } else {
        Verbosity::Command
    };
    telemetry::init(cli.global.log.as_deref(), cli.global.log_format, verbosity)
        .map_err(|error| Failure::usage(error.to_string()))
}

/// Runs the command of the arguments.
///
/// # Errors
/// Returns an error if the command fails.
pub fn execute(cli: Cli) -> Result<(), Failure> {
    let global = cli.global;
    let out = &mut Out::new(std::io::stdout(), std::io::stdout().is_terminal());
    match cli.command {
        Command::Run(args) => block_on(run::run(&args, &global)),
        Command::Init(args) => block_on(init::run(&args, &global, out)),
        Command::Doctor(args) => block_on(doctor::run(&args, &global, out)),
        Command::Hooks(args) => block_on(hooks::run(&args, &global, out)),
        Command::Get(args) => block_on(get::run(&args, &global, out)),
        Command::Describe(args) => block_on(describe::run(&args, &global, out)),
        Command::Plan(args) => block_on(plan::run(&args, &global, out)),
        Command::Amis(args) => block_on(amis::run(&args, &global, out)),
        Command::Drain(args) => block_on(drain::run(&args, &global, out)),
        Command::Rollout(command) => block_on(rollout::run(&command, &global, out)),
        Command::Cancel(args) => block_on(orders::simple(What::Cancel, &args, &global, out)),
        Command::Pause(args) => block_on(pause::pause(&args, &global, out)),
        Command::Resume(args) => block_on(pause::resume(&args, &global, out)),
        Command::Extend(args) => block_on(orders::extend(&args, &global, out)),
        Command::Retry(args) => block_on(orders::simple(What::Retry, &args, &global, out)),
        Command::Force(args) => block_on(orders::force(&args, &global, out)),
        Command::Config(command) => config::run(&command, &global, out),
        Command::Healthcheck(args) => block_on(healthcheck::run(&args, &global, out)),
        Command::Iam(args) => iam::run(&args, &global, out),
        // The script has no text from outside, so it needs no cleaning by `Out`.
        Command::Completions(args) => completions::run(&args, &mut std::io::stdout()),
    }
}

/// Runs a future on a runtime of one thread, as the tests do.
fn block_on(future: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = LocalSet::new().block_on(&runtime, future);
    // A blocking call that hangs, such as name resolution, must not delay the exit.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_command_has_a_description() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{} says nothing of itself", command.get_name());
        }
    }
}
