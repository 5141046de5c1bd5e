//! `ecs-drain rollout start`: requests a rollout of the selected instances. It reads ECS and Auto
//! Scaling to find them; the controller makes every change.

use super::ask::answered;
use super::follow::follow;
use super::page::surge as surge_words;
use crate::aws::{self, Environment, GroupView, LaunchTemplate, MemberView, Session};
use crate::cli::asking::{AskArgs, Desk};
use crate::cli::confirm::confirm;
use crate::cli::plan::{self, Way};
use crate::cli::select::{ClusterArgs, Pick, Selection, Wanted, select};
use crate::cli::words::length;
use crate::cli::{Failure, Global};
use crate::config::{Config, Patterns, span};
use crate::quote::plain;
use clap::{ArgGroup, Args};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use ecs_drain_state::plan::Pace;
use ecs_drain_state::rollout::{
    MOST, Options, Selection as Old, Start, Surge, What, check_name, key,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  ecs-drain rollout start january --cluster web --ami ami-0123456789abcdef0
  ecs-drain rollout start january --group web-asg --old-template --follow
  ecs-drain rollout start january --all-clusters --older-than 30d --surge 25%
  ecs-drain rollout start agent --cluster 'web-*' --agent-not 1.90.0 --reason 'agent update'
  ecs-drain rollout start january --cluster web --all --dry-run    would the drains end?
  ecs-drain rollout start january i-0123456789abcdef0 i-0123456789abcdef1

Each group first gets new instances (--surge), as far as its maximum allows. Once they have been fit
for --soak, the old ones drain together, and tasks move once. Each old instance is a drain like any
other. At the end the desired capacity is what it would be without the rollout. A group without room
for new instances replaces --wave instances at a time.

A rollout stops by itself if it makes no progress, or if services run short of tasks; `ecs-drain
rollout describe` says why, and what you can do. The command first counts the instances and asks;
scripts pass --yes. It writes one request for each account and region. Every selected instance must
be in an Auto Scaling group.

--old-template compares versions in digits: groups that use $Latest or $Default are left out.";

/// Groups of a rollout: cluster and instances of each.
type Groups = BTreeMap<String, (String, BTreeSet<String>)>;

#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "ecs-drain rollout start <NAME> <INSTANCE>... [OPTIONS]\n       \
        ecs-drain rollout start <NAME> <--group|--cluster|--all-clusters> \
        <--all|--ami|--older-than|--agent-not|--old-template> [OPTIONS]",
    group = ArgGroup::new("where").required(true).args(["instances", "group", "cluster", "all_clusters"]),
    group = ArgGroup::new("pick")
        .required(true)
        .args(["instances", "all", "ami", "older_than", "agent_not", "old_template"]),
)]
pub(crate) struct StartArgs {
    /// Name of the rollout, unique in its account and region
    #[arg(value_name = "NAME", value_parser = name)]
    pub name: String,
    /// EC2 instance ids
    #[arg(value_name = "INSTANCE")]
    pub instances: Vec<String>,
    /// Instances of this Auto Scaling group; a name, or a pattern such as 'web-*'
    #[arg(long, short, value_name = "NAME")]
    pub group: Vec<String>,
    #[command(flatten)]
    pub clusters: ClusterArgs,
    /// Only instances whose ECS agent has another version
    #[arg(long, value_name = "VERSION")]
    pub agent_not: Option<String>,
    /// Only instances that their group launched from another launch template version
    #[arg(long)]
    pub old_template: bool,
    /// New instances of each group before old ones drain: all, none, a number, or a part such as 25%
    #[arg(long, value_name = "N", default_value = "all", value_parser = surge)]
    pub surge: Surge,
    /// Number of instances of a group that drain at once where it has no extra capacity
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    pub wave: u32,
    /// Time for which new instances must have been fit, such as 2m; 0: none
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = seconds)]
    pub soak: u32,
    /// Time without progress after which the rollout stops
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = seconds)]
    pub stop_after: u32,
    /// Print what `ecs-drain plan` says about these instances, and request nothing
    #[arg(long, conflicts_with = "follow")]
    pub dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
    /// Print the steps of the rollout until it ends
    #[arg(long)]
    pub follow: bool,
    /// Reason, saved in the rollout and its drains
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub ask: AskArgs,
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

fn seconds(text: &str) -> Result<u32, String> {
    let span = if text == "0" { Duration::ZERO } else { span::parse(text)? };
    u32::try_from(span.as_secs()).map_err(|_| "it is too long".to_owned())
}

fn surge(text: &str) -> Result<Surge, String> {
    let wrong = || "it is all, none, a number such as 3, or a part such as 25%".to_owned();
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0).ok_or_else(wrong);
    match (text, text.strip_suffix('%')) {
        ("all", _) => Ok(Surge::All),
        ("none", _) => Ok(Surge::None),
        (_, Some(part)) => match number(part)? {
            percent @ 1..=100 => Ok(Surge::Percent(percent)),
            _ => Err(wrong()),
        },
        (_, None) => number(text).map(Surge::Count),
    }
}

impl StartArgs {
    fn wanted(&self) -> Result<Wanted, Failure> {
        if !self.instances.is_empty() {
            return Wanted::instances(&self.instances);
        }
        let pick = match (&self.clusters.wanted(), &self.agent_not) {
            (_, Some(version)) => Pick::AgentNot(version.clone()),
            (Wanted::Clusters(_, pick), None) => pick.clone(),
            (Wanted::Instances(_) | Wanted::Groups(..), None) => Pick::All,
        };
        if !self.group.is_empty() {
            return Ok(Wanted::Groups(Patterns::new(self.group.clone()), Some(pick)));
        }
        let clusters = match self.clusters.all_clusters {
            true => Patterns::all(),
            false => Patterns::new(self.clusters.cluster.clone()),
        };
        Ok(Wanted::Clusters(clusters, pick))
    }

    /// Returns the condition that makes instances old.
    fn old(&self) -> Old {
        let ClusterArgs { ami, older_than, .. } = &self.clusters;
        match (ami, older_than, &self.agent_not) {
            (Some(ami), _, _) => Old::Ami(ami.clone()),
            (None, Some(age), _) => Old::OlderThan(age.as_secs()),
            (None, None, Some(version)) => Old::AgentNot(version.clone()),
            (None, None, None) if self.old_template => Old::LaunchTemplate,
            (None, None, None) if self.instances.is_empty() => Old::All,
            (None, None, None) => Old::Listed,
        }
    }

    /// Returns the pace for a plan: without new instances, a wave of a group leaves at once.
    const fn pace(&self) -> Pace {
        let wave = if matches!(self.surge, Surge::None) { self.wave } else { u32::MAX };
        Pace { surge: self.surge, wave }
    }

    const fn options(&self) -> Options {
        Options {
            surge: self.surge,
            wave: self.wave,
            soak_seconds: self.soak,
            stuck_seconds: self.stop_after,
        }
    }
}

/// Requests a rollout.
///
/// # Errors
/// Returns an error if the instances cannot be found, one is in no group, the operator does not
/// confirm, or a request cannot be written, is refused or is not answered.
pub(super) async fn run(
    args: &StartArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    answered(args.follow, &args.ask)?;
    let wanted = args.wanted()?;
    let config = global.load(&args.ask.table.given())?;
    let now = Timestamp::now();
    let mut selection = select(&config, &wanted, now).await?;
    if !selection.nowhere.is_empty() {
        let nowhere = selection.nowhere.join(", ");
        return Err(Failure::failed(format!(
            "not in any cluster of the configuration's scopes: {nowhere}; no rollout was requested"
        )));
    }
    let found = find(&config, &selection, args.old_template).await?;
    let parts = found.parts()?;
    // The plan is about exactly these instances.
    selection.chosen.retain(|(account, region, id), _| {
        let place = (account.clone(), region.clone());
        parts.get(&place).is_some_and(|groups| groups.values().any(|(_, old)| old.contains(id)))
    });
    selection.unjudged += found.unjudged;
    let total = selection.chosen.len();
    if total == 0 {
        let left_out = left_out(selection.unjudged, found.leaving);
        return Err(Failure::failed(format!(
            "no instance is old; no rollout was requested\n{left_out}"
        )));
    }
    if total > MOST {
        return Err(Failure::failed(format!(
            "{total} instances are too many for one rollout: at most {MOST}; start one for each group or cluster"
        )));
    }
    if args.dry_run {
        let way = Way::ByTurns(args.pace());
        return plan::print(&config, &selection, way, plan::Output::Text, now, out).await;
    }
    let question = question(args, &parts, total, &left_out(selection.unjudged, found.leaving));
    confirm(&question, args.yes, out)?;
    let desk = Desk::open(global, &args.ask, args.reason.as_deref()).await?;
    let (mut asked, mut keys) = (Vec::new(), Vec::new());
    for ((account, region), groups) in parts {
        let start = Start { selection: args.old(), options: args.options(), groups };
        keys.push(key(desk.store.controller(), &account, &region, &args.name));
        let what = What::Start(Box::new(start));
        asked.push(([account, region, args.name.clone()], what));
    }
    desk.ask_rollouts(asked, out).await?;
    if args.follow { follow(&desk.store, &keys, false, out).await } else { Ok(()) }
}

/// Selected instances by their groups.
#[derive(Debug, Default)]
struct Found {
    /// Groups by account and region; each instance with its cluster.
    groups: BTreeMap<(String, String), BTreeMap<String, BTreeMap<String, String>>>,
    /// Instances that are in no group.
    loose: BTreeSet<String>,
    /// Number of instances that leave their group already.
    leaving: usize,
    /// Number of instances whose launch template version cannot be compared.
    unjudged: usize,
}

impl Found {
    /// Returns the content of the requests.
    fn parts(&self) -> Result<BTreeMap<(String, String), Groups>, Failure> {
        if !self.loose.is_empty() {
            let loose: Vec<&str> = self.loose.iter().map(String::as_str).collect();
            return Err(Failure::failed(plain(&format!(
                "in no Auto Scaling group, which a rollout needs to replace them: {}; no rollout was requested. `ecs-drain drain` drains them",
                loose.join(", ")
            ))));
        }
        let mut parts = BTreeMap::new();
        for (place, groups) in &self.groups {
            let mut mine = Groups::new();
            for (name, members) in groups {
                let clusters: BTreeSet<&String> = members.values().collect();
                let (Some(cluster), 1) = (clusters.first(), clusters.len()) else {
                    return Err(Failure::failed(plain(&format!(
                        "group {name} has instances of several clusters: {clusters:?}; name the instances of one cluster"
                    ))));
                };
                let old = members.keys().cloned().collect();
                mine.insert(name.clone(), ((*cluster).clone(), old));
            }
            parts.insert(place.clone(), mine);
        }
        Ok(parts)
    }
}

/// Finds the groups of the selected instances.
async fn find(
    config: &Config,
    selection: &Selection,
    old_template: bool,
) -> Result<Found, Failure> {
    let because = |error: aws::AwsError| Failure::because(&error);
    let mut found = Found::default();
    for scope in &config.scopes {
        let session: Session =
            aws::connect(&Environment::default(), &scope.region, scope.role.as_ref())
                .await
                .map_err(because)?;
        let place = (session.account.clone(), session.region.clone());
        // Two scopes can be parts of one account and region.
        if found.groups.contains_key(&place) {
            continue;
        }
        let here = selection
            .chosen
            .values()
            .filter(|one| (&one.account, &one.region) == (&place.0, &place.1));
        let clusters: BTreeMap<String, String> =
            here.map(|one| (one.instance_id.clone(), one.cluster.clone())).collect();
        if clusters.is_empty() {
            continue;
        }
        let ids: Vec<String> = clusters.keys().cloned().collect();
        let members = session.autoscaling.instances(&ids).await.map_err(because)?;
        let groups = match old_template {
            true => session.autoscaling.groups(None, true).await.map_err(because)?,
            false => Vec::new(),
        };
        found.take(place, clusters, members, old_template.then_some(groups.as_slice()));
    }
    Ok(found)
}

impl Found {
    /// Takes the instances of an account and region, each with its cluster. With `groups`, only
    /// those of another launch template than their group's.
    fn take(
        &mut self,
        place: (String, String),
        mut clusters: BTreeMap<String, String>,
        members: Vec<(MemberView, String)>,
        groups: Option<&[GroupView]>,
    ) {
        let mut mine: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (member, group) in members {
            let Some(cluster) = clusters.remove(&member.instance_id) else { continue };
            let leaves = ["Terminating", "Terminated", "Detaching", "Detached"];
            if leaves.iter().any(|state| member.lifecycle_state.starts_with(state)) {
                self.leaving += 1;
                continue;
            }
            if let Some(groups) = groups {
                let view = groups.iter().find(|view| view.name == group);
                match is_current(member.template.as_ref(), view.and_then(|v| v.template.as_ref())) {
                    Some(true) => continue,
                    Some(false) => {}
                    None => {
                        self.unjudged += 1;
                        continue;
                    }
                }
            }
            mine.entry(group).or_default().insert(member.instance_id, cluster);
        }
        self.loose.extend(clusters.into_keys());
        self.groups.insert(place, mine);
    }
}

/// Returns whether an instance was launched from the launch template and version that its group
/// uses now. `None` if that cannot be compared: the group's version is a name, or it has none.
fn is_current(of: Option<&LaunchTemplate>, now: Option<&LaunchTemplate>) -> Option<bool> {
    let now = now?;
    match of {
        Some(of) if of.id != now.id => Some(false),
        None => Some(false),
        Some(_) if now.version.starts_with('$') => None,
        Some(of) => Some(of.version == now.version),
    }
}

fn left_out(unjudged: usize, leaving: usize) -> String {
    let kinds = [
        (unjudged, "without the property that makes an instance old: left out"),
        (leaving, "leave their group already: left out"),
    ];
    kinds.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}\n")).collect()
}

/// Returns the question before a request, with the instances counted by cluster and group.
fn question(
    args: &StartArgs,
    parts: &BTreeMap<(String, String), Groups>,
    total: usize,
    left_out: &str,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["CLUSTER", "GROUP", "INSTANCES", "ACCOUNT", "REGION"]);
    for ((account, region), groups) in parts {
        for (name, (cluster, old)) in groups {
            let count = old.len().to_string();
            table.add_row([plain(cluster), plain(name), count, plain(account), plain(region)]);
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    let rows: String =
        table.trim_fmt().lines().map(|line| format!("  {}\n", line.trim_end())).collect();
    let count = match total {
        1 => "1 instance".to_owned(),
        n => format!("{n} instances"),
    };
    let span = |seconds: u32| length(SignedDuration::from_secs(i64::from(seconds)));
    let first = match args.surge {
        Surge::None => format!(
            "No capacity is added: {} of a group drain at a time, and their group replaces them.",
            args.wave
        ),
        surge @ (Surge::All | Surge::Count(_) | Surge::Percent(_)) => format!(
            "Each group first gets {}, as far as its maximum allows. Once they have been fit for {}, old instances drain.",
            surge_words(surge),
            span(args.soak)
        ),
    };
    format!(
        "Rollout {} replaces {count} ({}):\n\n{rows}\n{first} Without progress for {} it stops by itself.\n{left_out}",
        args.name,
        plain(&args.old().to_string()),
        span(args.stop_after)
    )
}

#[cfg(test)]
mod tests;
