//! `ecs-drain iam`: the least IAM policy for a configuration.

use crate::cli::{Failure, Global, TableArgs};
use crate::iam::{May, Verb, Whom, policy, subject};
use crate::quote;
use clap::{Args, ValueEnum};
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain iam --config ecs-drain.toml --account 123456789012   for the task role of the controller
  ecs-drain iam --config ecs-drain.toml --allow-terminate        where operators drain and terminate
  ecs-drain iam --config ecs-drain.toml --for dry-run            for a dry run: nothing but reads
  ecs-drain iam --config ecs-drain.toml --for operator           for people who drain, cancel, pause
  ecs-drain iam --config ecs-drain.toml --for operator --may pause,resume --clusters 'web-*'
  ecs-drain iam --config ecs-drain.toml --role arn:aws:iam::210987654321:role/ecs-drain

A policy has what the configuration uses, and nothing else: no ecs:StopTask without stop_after, no
ecs:DeregisterContainerInstance without strategy deregister, no termination without rebalance = \"terminate\"
or --allow-terminate. What changes something is limited to the clusters and groups of its scopes. It reaches
nothing in AWS.

An operator's policy writes requests and pauses alone, by their keys in the table. A key has the verb and the
cluster. It does not have what a drain ends with: whoever may drain may let the group terminate the instance,
where the controller may. With --clusters nothing can be asked for an instance that is in no cluster, and
nothing paused but these clusters.";

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
    #[arg(
        long = "for",
        value_name = "WHOM",
        default_value = "controller",
        conflicts_with = "role"
    )]
    pub whom: For,
    /// For this role of a scope, which the controller assumes
    #[arg(long, value_name = "ARN")]
    pub role: Option<String>,
    /// The number of the controller's own account [default: *, which is any]
    #[arg(long, value_name = "NUMBER", value_parser = account)]
    pub account: Option<String>,
    /// For the controller, or a role: also what ends an operator's drain with a termination
    #[arg(long)]
    pub allow_terminate: bool,
    /// For operators: only this
    #[arg(long, value_name = "VERBS", value_delimiter = ',')]
    pub may: Vec<Verb>,
    /// For operators: only instances of these clusters, and these clusters; names, or patterns such
    /// as 'web-*'
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = cluster)]
    pub clusters: Vec<String>,
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

/// What a cluster's name and IAM's wildcards are made of. (Source: ECS API reference,
/// CreateCluster, `clusterName`.)
fn cluster(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_*?".contains(c)) {
        Ok(text.to_owned())
    } else {
        Err("a cluster's name has letters, digits, hyphens and underscores; * and ? are wildcards"
            .to_owned())
    }
}

/// Prints it.
///
/// # Errors
/// The configuration is refused, no scope has that role, the table's region is not known, or an
/// option goes with another policy.
pub fn run(args: &IamArgs, global: &Global, out: &mut dyn Write) -> Result<(), Failure> {
    let config = global.load(&args.table.given())?;
    let may = May { verbs: args.may.iter().copied().collect(), clusters: args.clusters.clone() };
    if args.whom != For::Operator && may != May::default() {
        return Err(Failure::usage("--may and --clusters go with --for operator"));
    }
    if !matches!(args.whom, For::Controller) && args.allow_terminate {
        return Err(Failure::usage(
            "--allow-terminate is for the controller's policy, or a role's: nobody else terminates",
        ));
    }
    let whom = match (&args.role, args.whom) {
        (Some(arn), _) => {
            let roles: Vec<&str> = config
                .scopes
                .iter()
                .filter_map(|scope| scope.role.as_ref())
                .map(|role| role.arn.as_str())
                .collect();
            if !roles.contains(&arn.as_str()) {
                let known = if roles.is_empty() {
                    "no scope has a role".to_owned()
                } else {
                    roles.join(", ")
                };
                return Err(Failure::usage(format!(
                    "no scope of the configuration has the role {arn}: {known}"
                )));
            }
            Whom::Role(arn)
        }
        (None, For::Controller) => Whom::Controller,
        (None, For::DryRun) => Whom::DryRun,
        (None, For::Operator) => Whom::Operator(&may),
        (None, For::Reader) => Whom::Reader,
        (None, For::Init) => Whom::Init,
    };
    // Any region will do where the policy has no table in it; where it has, a wrong one would allow
    // nothing.
    let region = config.table.region.clone().or_else(|| std::env::var("AWS_REGION").ok());
    let region = match (region, whom) {
        (Some(region), _) => region,
        (None, Whom::Role(_) | Whom::DryRun) => "*".to_owned(),
        (None, Whom::Controller | Whom::Operator(_) | Whom::Reader | Whom::Init) => {
            return Err(Failure::usage(
                "the table's region is not known: set `region` under [table], --table-region, or AWS_REGION",
            ));
        }
    };
    let account = args.account.as_deref().unwrap_or("*");
    let document = policy(&subject(&config, whom, account, &region, args.allow_terminate));
    if args.account.is_none() && document.is_of_any_account() {
        eprintln!(
            "note: the account in these ARNs is *, which is any account; --account NUMBER limits them to one"
        );
    }
    writeln!(out, "{}", quote::json(&document)?)?;
    Ok(())
}
