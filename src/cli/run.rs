//! `ecs-drain run`: runs the controller until SIGTERM or SIGINT.

use crate::aws::Environment;
use crate::cli::config::{of_scope, stray_variables};
use crate::cli::{Failure, Global, TableArgs};
use crate::config::Given;
use crate::controller;
use clap::Args;
use clap::builder::BoolishValueParser;
use std::future::Future;
use tokio::signal::unix::{Signal, SignalKind, signal};

const EXAMPLES: &str = "\
Examples:
  ecs-drain run --config ecs-drain.toml
  ecs-drain run --config ecs-drain.toml --dry-run      change nothing, log what would be done
  ECS_DRAIN_CONFIG_TOML=\"$(cat ecs-drain.toml)\" ecs-drain run

At SIGTERM or SIGINT it finishes the work in hand within `shutdown` (20 s), gives the lease back, and
exits with 0. A second signal stops it at once; the table has everything that the next process needs.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// Dry run: change nothing in AWS or the table, and log what would be done; the variable
    /// DRYRUN, with any value, does the same
    #[arg(
        long,
        env = "ECS_DRAIN_DRY_RUN",
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    pub dry_run: Option<bool>,
    /// Address for /healthz, /readyz and /metrics, such as 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS", env = "ECS_DRAIN_LISTEN")]
    pub listen: Option<String>,
    /// Write metrics to standard output every minute, in CloudWatch's embedded metric format
    #[arg(
        long,
        env = "ECS_DRAIN_CLOUDWATCH_METRICS",
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    pub cloudwatch_metrics: Option<bool>,
    #[command(flatten)]
    pub table: TableArgs,
}

impl RunArgs {
    /// Returns the values that override the configuration file.
    fn given(&self) -> Given {
        // DRYRUN is the variable of the tool that ecs-drain replaces. With any value, nothing may
        // be changed.
        let dry_run = if std::env::var_os("DRYRUN").is_some() { Some(true) } else { self.dry_run };
        let listen = self.listen.clone().filter(|address| !address.is_empty());
        Given { dry_run, listen, cloudwatch_metrics: self.cloudwatch_metrics, ..self.table.given() }
    }
}

/// Runs the controller.
///
/// # Errors
/// Returns an error if the configuration is refused, or the controller ends by itself.
pub(crate) async fn run(args: &RunArgs, global: &Global) -> Result<(), Failure> {
    let config = global.load(&args.given())?;
    let stop = stop_signal()?;
    tracing::info!(
        controller = config.controller,
        table = config.table.name,
        table_region = config.table.region,
        dry_run = config.dry_run,
        overrides = config.policies.overrides().len(),
        "Configuration read"
    );
    for scope in &config.scopes {
        tracing::info!(region = scope.region, "Scope configured: {}", of_scope(scope));
    }
    for stray in stray_variables() {
        tracing::warn!("Variable ignored: {stray}");
    }
    controller::run(config, Environment::default(), stop)
        .await
        .map_err(|error| Failure::because(&error))
}

/// Returns a future that resolves at the first SIGTERM or SIGINT. The second one ends the process.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = name, "Signal received; a second one stops the process at once");
        tokio::task::spawn_local(async move {
            let name = either(&mut terminate, &mut interrupt).await;
            tracing::warn!(signal = name, "Second signal received; stopping at once");
            std::process::exit(1);
        });
    })
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        biased;
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
