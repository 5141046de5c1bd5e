//! `ecs-drain iam`: prints the least IAM policy for a configuration.

use crate::cli::{Failure, Global, TableArgs};
use crate::iam::{May, Orders, Verb, Whom, policy, subject};
use crate::quote;
use clap::{Args, ValueEnum};
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain iam --config ecs-drain.toml --account 123456789012   for the task role of the controller
  ecs-drain iam --config ecs-drain.toml --allow-terminate        where operators drain and terminate
  ecs-drain iam --config ecs-drain.toml --allow-rollouts         where operators roll out, too
  ecs-drain iam --config ecs-drain.toml --for dry-run            for a dry run: reads alone
  ecs-drain iam --config ecs-drain.toml --for operator           for people who drain, cancel, pause
  ecs-drain iam --config ecs-drain.toml --for operator --may pause,resume --clusters 'web-*'
  ecs-drain iam --config ecs-drain.toml --role arn:aws:iam::210987654321:role/ecs-drain

The policy allows what the configuration uses: ecs:StopTask only with stop_after,
ecs:DeregisterContainerInstance only with strategy deregister, terminations only with rebalance =
\"terminate\", --allow-terminate or --allow-rollouts, autoscaling:SetDesiredCapacity only with --allow-rollouts.
Calls that change something are limited to the clusters and groups of the scopes. The command makes no AWS
calls.

An operator's policy allows requests and pauses, by their keys in the table: a key has the verb and the
cluster. It does not have the end of a drain: an operator who may drain may also have the group terminate the
instance, if the controller may. With --clusters, instances in no cluster are out of reach, only these
clusters can be paused, and rollouts are not allowed: their keys have a name in the cluster's place.";

/// Identity that a policy is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum For {
    /// The process of `ecs-drain run`
    #[default]
    Controller,
    /// The process of `ecs-drain run --dry-run`; changes nothing
    DryRun,
    /// People who request: drain, rollout, cancel, pause, resume, extend, retry, force
    Operator,
    /// People who look: get, describe
    Reader,
    /// The creator of the table: init
    Init,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct IamArgs {
    /// Reader of the policy: the controller, or people
    #[arg(
        long = "for",
        value_name = "WHOM",
        default_value = "controller",
        conflicts_with = "role"
    )]
    pub whom: For,
    /// A role of a scope that the controller assumes
    #[arg(long, value_name = "ARN")]
    pub role: Option<String>,
    /// Account id of the controller [default: *, any]
    #[arg(long, value_name = "NUMBER", value_parser = account)]
    pub account: Option<String>,
    /// Controller or role: also allow terminations after requested drains
    #[arg(long)]
    pub allow_terminate: bool,
    /// Controller or role: also allow rollouts, and their terminations
    #[arg(long)]
    pub allow_rollouts: bool,
    /// Operators: only these requests
    #[arg(long, value_name = "VERBS", value_delimiter = ',')]
    pub may: Vec<Verb>,
    /// Operators: only these clusters; names, or patterns such as 'web-*'
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = cluster)]
    pub clusters: Vec<String>,
    #[command(flatten)]
    pub table: TableArgs,
}

fn account(text: &str) -> Result<String, String> {
    if text == "*" || (text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())) {
        Ok(text.to_owned())
    } else {
        Err("an account id has 12 digits".to_owned())
    }
}

/// Checks that a text has only the characters of a cluster's name and IAM's wildcards. (Source: ECS
/// API reference, CreateCluster, `clusterName`.)
fn cluster(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_*?".contains(c)) {
        Ok(text.to_owned())
    } else {
        Err("a cluster's name has letters, digits, hyphens and underscores; * and ? are wildcards"
            .to_owned())
    }
}

/// Prints the policy.
///
/// # Errors
/// Returns an error if the configuration is refused, no scope has the role, the table's region is
/// not known, or an option belongs to another policy.
pub(crate) fn run(args: &IamArgs, global: &Global, out: &mut dyn Write) -> Result<(), Failure> {
    let config = global.load(&args.table.given())?;
    let may = May { verbs: args.may.iter().copied().collect(), clusters: args.clusters.clone() };
    if args.whom != For::Operator && may != May::default() {
        return Err(Failure::usage("--may and --clusters need --for operator"));
    }
    if may.verbs.contains(&Verb::Rollout) && !may.clusters.is_empty() {
        return Err(Failure::usage(
            "rollouts cannot be limited to clusters: leave out --clusters, or rollout of --may",
        ));
    }
    let orders = match (args.allow_rollouts, args.allow_terminate) {
        (true, _) => Orders::RollOut,
        (false, true) => Orders::Terminate,
        (false, false) => Orders::Keep,
    };
    if !matches!(args.whom, For::Controller) && orders > Orders::Keep {
        return Err(Failure::usage(
            "--allow-terminate and --allow-rollouts need --for controller or --role: no other policy terminates",
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
    // A policy without the table needs no region. In a policy with the table, a wrong region would
    // allow nothing.
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
    let document = policy(&subject(&config, whom, account, &region, orders));
    if args.account.is_none() && document.is_of_any_account() {
        eprintln!(
            "note: the account in these ARNs is *, which is any account; --account NUMBER limits them to one"
        );
    }
    writeln!(out, "{}", quote::json(&document)?)?;
    Ok(())
}
