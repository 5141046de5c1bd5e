//! `ecs-drain hooks`: lists the groups of the configuration with their lifecycle hooks, and prints
//! commands or template resources that add or correct the ecs-drain hook.
//!
//! It changes nothing itself: a hook belongs to the template or tool that made its group, and a
//! template without the hook would remove it again.

use crate::aws::{self, Environment, GroupView, HookView};
use crate::cli::{Failure, Global};
use crate::config::{Given, Patterns};
use crate::doctor::hooks::{Fault, HEARTBEAT_TIMEOUT, faults};
use crate::quote::{plain, word};
use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain hooks --config ecs-drain.toml                     the groups, their hooks, and aws commands
  ecs-drain hooks --config ecs-drain.toml --group 'web-*'
  ecs-drain hooks --config ecs-drain.toml --print terraform   or cloudformation, or none

Exit codes: 0: every group has one correct ecs-drain hook; 1: a group has none, or no group was found;
2: wrong arguments or configuration.";

/// Format of the commands that add or correct hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Print {
    /// Commands of the AWS CLI
    #[default]
    Aws,
    /// Resources of a CloudFormation template
    Cloudformation,
    /// Resources of a Terraform module
    Terraform,
    /// The list alone
    None,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HooksArgs {
    /// Only groups with these names or patterns
    #[arg(long, value_name = "NAME")]
    pub group: Vec<String>,
    /// Format of the commands that add or correct hooks
    #[arg(long, value_name = "HOW", default_value = "aws")]
    pub print: Print,
}

/// Row of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    region: String,
    group: String,
    state: State,
    others: Vec<String>,
}

/// State of a group's ecs-drain hook.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// One correct hook.
    Right(String),
    /// Misconfigured: its name, and the fault.
    Wrong(String, String),
    /// No such hook.
    Missing,
    /// Several ecs-drain hooks.
    Several(Vec<String>),
}

impl State {
    fn words(&self) -> String {
        match self {
            State::Right(name) => format!("{name}: OK"),
            State::Wrong(name, why) => format!("{name}: {why}"),
            State::Missing => "missing".to_owned(),
            State::Several(names) => format!("several: {}", names.join(", ")),
        }
    }
}

/// Lists groups and hooks.
///
/// # Errors
/// Returns an error if the configuration is refused, a read fails, no group was found, or a group
/// has a missing or misconfigured hook.
pub(crate) async fn run(
    args: &HooksArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let config = global.load(&Given::default())?;
    let wanted =
        if args.group.is_empty() { Patterns::all() } else { Patterns::new(args.group.clone()) };
    let environment = Environment::default();
    let mut rows = Vec::new();
    let mut fixes = Vec::new();
    for scope in &config.scopes {
        let because = |error: aws::AwsError| Failure::because(&error);
        let session = aws::connect(&environment, &scope.region, scope.role.as_ref())
            .await
            .map_err(because)?;
        let groups = session.autoscaling.groups(None, false).await.map_err(because)?;
        for group in groups
            .iter()
            .filter(|g| wanted.matches(&g.name) && scope.groups.selects(&g.name, &g.tags))
        {
            let hooks = session.autoscaling.hooks(&group.name).await.map_err(because)?;
            let row = row(&session.region, group, &hooks, &scope.hooks);
            let first = scope.hooks.first().map_or("ecs-drain", String::as_str);
            fixes.extend(fix(&row, first, args.print));
            rows.push(row);
        }
    }
    out.write_all(page(&rows, &fixes, args.print).as_bytes())?;
    if rows.is_empty() {
        return Err(Failure::failed(
            "no Auto Scaling group was found: correct `groups`, or the region or account of the scopes",
        ));
    }
    match rows.iter().filter(|row| !matches!(row.state, State::Right(_))).count() {
        0 => Ok(()),
        1 => Err(Failure::failed("1 group has a missing or misconfigured hook")),
        n => Err(Failure::failed(format!("{n} groups have a missing or misconfigured hook"))),
    }
}

fn row(region: &str, group: &GroupView, hooks: &[HookView], ours: &BTreeSet<String>) -> Row {
    let named: Vec<&HookView> = hooks.iter().filter(|hook| ours.contains(&hook.name)).collect();
    let state = match named.as_slice() {
        [] => State::Missing,
        [hook] => match wrong(hook) {
            None => State::Right(hook.name.clone()),
            Some(why) => State::Wrong(hook.name.clone(), why),
        },
        several => State::Several(several.iter().map(|hook| hook.name.clone()).collect()),
    };
    let others = hooks.iter().filter(|hook| hook.terminating && !ours.contains(&hook.name));
    Row {
        region: region.to_owned(),
        group: group.name.clone(),
        state,
        others: others.map(|hook| hook.name.clone()).collect(),
    }
}

/// Returns the faults of a hook in words, or `None` if it has none.
fn wrong(hook: &HookView) -> Option<String> {
    let words = |fault| match fault {
        Fault::HoldsLaunches => "it is a hook for launches".to_owned(),
        Fault::Abandons => "its default result is ABANDON".to_owned(),
        Fault::EndsSoon | Fault::RunsOutSoon => {
            format!("its heartbeat timeout is {} s", hook.heartbeat_timeout_seconds)
        }
    };
    let wrong: Vec<String> = faults(hook).into_iter().map(words).collect();
    (!wrong.is_empty()).then(|| wrong.join(", "))
}

/// Returns the command or resource that adds or corrects the hook. It returns `None` if the hook is
/// correct, or if there are several, since a person must choose which one stays.
fn fix(row: &Row, first: &str, print: Print) -> Option<String> {
    let hook = match &row.state {
        State::Missing => first,
        State::Wrong(name, _) => name,
        State::Right(_) | State::Several(_) => return None,
    };
    let (region, group) = (&row.region, &plain(&row.group));
    let id: String = group.chars().filter(char::is_ascii_alphanumeric).collect();
    let label: String =
        group.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    Some(match print {
        Print::Aws => format!(
            "aws autoscaling put-lifecycle-hook --region {region} --auto-scaling-group-name {} \\\n  \
             --lifecycle-hook-name {hook} --lifecycle-transition autoscaling:EC2_INSTANCE_TERMINATING \\\n  \
             --heartbeat-timeout {HEARTBEAT_TIMEOUT} --default-result CONTINUE\n",
            word(group)
        ),
        Print::Cloudformation => format!(
            "EcsDrainHook{id}:\n  Type: AWS::AutoScaling::LifecycleHook\n  Properties:\n    \
             AutoScalingGroupName: {group:?}\n    LifecycleHookName: {hook}\n    \
             LifecycleTransition: autoscaling:EC2_INSTANCE_TERMINATING\n    \
             HeartbeatTimeout: {HEARTBEAT_TIMEOUT}\n    DefaultResult: CONTINUE\n"
        ),
        Print::Terraform => format!(
            "resource \"aws_autoscaling_lifecycle_hook\" \"ecs_drain_{label}\" {{\n  \
             name                   = {hook:?}\n  autoscaling_group_name = {group:?}\n  \
             lifecycle_transition   = \"autoscaling:EC2_INSTANCE_TERMINATING\"\n  \
             heartbeat_timeout      = {HEARTBEAT_TIMEOUT}\n  default_result         = \"CONTINUE\"\n}}\n"
        ),
        Print::None => return None,
    })
}

fn page(rows: &[Row], fixes: &[String], print: Print) -> String {
    if rows.is_empty() {
        return "no Auto Scaling group was found\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["GROUP", "REGION", "HOOK", "OTHER HOOKS"]);
    for row in rows {
        let others = if row.others.is_empty() { "-".to_owned() } else { row.others.join(", ") };
        table.add_row([
            plain(&row.group),
            row.region.clone(),
            plain(&row.state.words()),
            plain(&others),
        ]);
    }
    let mut page: String = table.lines().map(|line| format!("{}\n", line.trim())).collect();
    if !fixes.is_empty() {
        let how = match print {
            Print::Aws => {
                "These commands add or correct the hooks. If a template made the group, change the template instead:"
            }
            Print::Cloudformation => "Add to the template that makes the group:",
            Print::Terraform => "Add to the module that makes the group:",
            Print::None => "",
        };
        let _ = write!(page, "\n{how}\n\n{}", fixes.join("\n"));
    }
    if rows.iter().any(|row| matches!(row.state, State::Several(_))) {
        page.push_str(
            "\nOf several ecs-drain hooks, keep one. Deleting a hook releases the instances that wait under it: check first that none waits.\n",
        );
    }
    page
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ecs_drain_state::ActionResult;
    use std::collections::BTreeMap;

    fn group(name: &str) -> GroupView {
        GroupView {
            name: name.to_owned(),
            tags: BTreeMap::new(),
            members: Vec::new(),
            desired: 0,
            minimum: 0,
            maximum: 0,
            template: None,
            suspended: Default::default(),
            target_groups: Vec::new(),
            classic: Vec::new(),
            has_warm_pool: false,
            retains_abandoned: false,
            deleting: false,
        }
    }

    fn hook(name: &str) -> HookView {
        HookView {
            name: name.to_owned(),
            terminating: true,
            heartbeat_timeout_seconds: 3600,
            global_timeout_seconds: 172_800,
            default_result: ActionResult::Continue,
        }
    }

    fn of(name: &str, hooks: &[HookView]) -> Row {
        row(
            "eu-west-1",
            &group(name),
            hooks,
            &BTreeSet::from(["ecs-drain".to_owned(), "ecs-drain-2".to_owned()]),
        )
    }

    #[test]
    fn a_hook_is_right_wrong_missing_or_one_too_many() {
        let launch = HookView { terminating: false, ..hook("ecs-drain") };
        let worst = HookView {
            default_result: ActionResult::Abandon,
            heartbeat_timeout_seconds: 60,
            ..hook("ecs-drain")
        };
        let told = |hooks: &[HookView]| of("web", hooks).state.words();
        assert_eq!(told(&[hook("ecs-drain"), hook("backup")]), "ecs-drain: OK");
        assert_eq!(told(&[hook("backup")]), "missing");
        assert_eq!(told(&[launch]), "ecs-drain: it is a hook for launches");
        assert_eq!(
            told(&[worst]),
            "ecs-drain: its heartbeat timeout is 60 s, its default result is ABANDON"
        );
        assert_eq!(
            told(&[hook("ecs-drain"), hook("ecs-drain-2")]),
            "several: ecs-drain, ecs-drain-2"
        );
        assert_eq!(of("web", &[hook("ecs-drain"), hook("backup")]).others, ["backup"]);
    }

    #[test]
    fn a_missing_hook_is_printed_in_the_requested_format() {
        let missing = of("it's web", &[]);
        let print = |how| fix(&missing, "ecs-drain", how).unwrap_or_default();
        assert_eq!(
            print(Print::Aws),
            "aws autoscaling put-lifecycle-hook --region eu-west-1 --auto-scaling-group-name 'it'\\''s web' \\\n  \
             --lifecycle-hook-name ecs-drain --lifecycle-transition autoscaling:EC2_INSTANCE_TERMINATING \\\n  \
             --heartbeat-timeout 3600 --default-result CONTINUE\n"
        );
        assert!(
            print(Print::Cloudformation)
                .starts_with("EcsDrainHookitsweb:\n  Type: AWS::AutoScaling::LifecycleHook\n")
        );
        assert!(
            print(Print::Terraform).starts_with(
                "resource \"aws_autoscaling_lifecycle_hook\" \"ecs_drain_it_s_web\" {\n"
            )
        );
        assert_eq!(print(Print::None), "");
        assert_eq!(
            fix(&of("web", &[hook("ecs-drain")]), "ecs-drain", Print::Aws),
            None,
            "it is right"
        );
        let several = of("web", &[hook("ecs-drain"), hook("ecs-drain-2")]);
        assert_eq!(
            fix(&several, "ecs-drain", Print::Aws),
            None,
            "which one goes is for a person to say"
        );
    }

    #[test]
    fn the_page_lists_hooks_and_warns_before_one_is_deleted() {
        let rows = [
            of("web", &[hook("ecs-drain")]),
            of("batch", &[hook("ecs-drain"), hook("ecs-drain-2")]),
        ];
        let told = page(&rows, &[], Print::Aws);
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].starts_with("GROUP") && lines[0].ends_with("OTHER HOOKS"), "{told}");
        assert!(lines[1].starts_with("web") && lines[1].contains("ecs-drain: OK"), "{told}");
        assert!(
            told.contains("Deleting a hook releases the instances that wait under it"),
            "{told}"
        );
        assert_eq!(page(&[], &[], Print::Aws), "no Auto Scaling group was found\n");
    }
}
