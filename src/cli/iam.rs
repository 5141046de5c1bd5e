//! `ecs-drain iam`: the least IAM policy for a configuration.

use crate::cli::{Failure, Global, TableArgs};
use crate::iam::{Whom, policy, subject};
use crate::quote;
use clap::{Args, ValueEnum};
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain iam --config ecs-drain.toml                   for the task role of the controller
  ecs-drain iam --config ecs-drain.toml --for dry-run     for a dry run: nothing but reads
  ecs-drain iam --config ecs-drain.toml --for operator    for people who drain, cancel, pause
  ecs-drain iam --config ecs-drain.toml --role arn:aws:iam::210987654321:role/ecs-drain

A policy has what the configuration uses, and nothing else: no ecs:StopTask without stop_after, no
ecs:DeregisterContainerInstance without strategy deregister. What changes something is limited to the
clusters and groups of its scopes. It reaches nothing in AWS.

An operator's policy writes requests and pauses alone. Narrow its dynamodb:LeadingKeys for people who may
do less: request/CONTROLLER/pause/* for one verb, request/CONTROLLER/*/*/*/web-*/* for some clusters.";

/// For whom a policy is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum For {
    /// The process that runs `ecs-drain run`.
    #[default]
    Controller,
    /// A process that runs `ecs-drain run --dry-run`, and can change nothing.
    DryRun,
    /// People who ask for something: drain, cancel, pause, resume, extend, retry, force.
    Operator,
    /// People who look: get, describe.
    Reader,
    /// Whoever creates the table: init.
    Init,
}

/// Which policy.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct IamArgs {
    /// For whom
    #[arg(long = "for", value_name = "WHOM", default_value = "controller", conflicts_with = "role")]
    pub whom: For,
    /// For this role of a scope, which the controller assumes
    #[arg(long, value_name = "ARN")]
    pub role: Option<String>,
    /// The number of the controller's own account [default: *, which is any: identity policies of an account reach
    /// others only where those allow it]
    #[arg(long, value_name = "NUMBER", default_value = "*", hide_default_value = true, value_parser = account)]
    pub account: String,
    /// Which table.
    #[command(flatten)]
    pub table: TableArgs,
}

fn account(text: &str) -> Result<String, String> {
    if text == "*" || (text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())) {
        Ok(text.to_owned())
    } else {
        Err("an account's number has 12 digits".to_owned())
    }
}

/// Prints it.
///
/// # Errors
/// The configuration is refused, no scope has that role, or the table's region is not known.
pub fn run(args: &IamArgs, global: &Global, out: &mut dyn Write) -> Result<(), Failure> {
    let config = global.load(&args.table.given())?;
    let whom = match (&args.role, args.whom) {
        (Some(arn), _) => {
            let roles: Vec<&str> =
                config.scopes.iter().filter_map(|scope| scope.role.as_ref()).map(|role| role.arn.as_str()).collect();
            if !roles.contains(&arn.as_str()) {
                let known = if roles.is_empty() { "no scope has a role".to_owned() } else { roles.join(", ") };
                return Err(Failure::usage(format!("no scope of the configuration has the role {arn}: {known}")));
            }
            Whom::Role(arn)
        }
        (None, For::Controller) => Whom::Controller,
        (None, For::DryRun) => Whom::DryRun,
        (None, For::Operator) => Whom::Operator,
        (None, For::Reader) => Whom::Reader,
        (None, For::Init) => Whom::Init,
    };
    // Any region will do where the policy has no table in it; where it has, a wrong one would allow nothing.
    let region = config.table.region.clone().or_else(|| std::env::var("AWS_REGION").ok());
    let region = match (region, whom) {
        (Some(region), _) => region,
        (None, Whom::Role(_) | Whom::DryRun) => "*".to_owned(),
        (None, Whom::Controller | Whom::Operator | Whom::Reader | Whom::Init) => {
            return Err(Failure::usage(
                "the table's region is not known: set `region` under [table], --table-region, or AWS_REGION",
            ));
        }
    };
    let document = policy(&subject(&config, whom, &args.account, &region));
    writeln!(out, "{}", quote::json(&document)?)?;
    Ok(())
}
