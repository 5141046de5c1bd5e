//! `ecs-drain drain`: requests drains of one instance or of a fleet. It reads ECS to find the
//! instances; the controller makes every change.

use crate::cli::asking::{AskArgs, Desk, Subject};
use crate::cli::confirm::confirm;
use crate::cli::follow::follow;
use crate::cli::select::{Chosen, ClusterArgs, Selection, Wanted, select};
use crate::cli::{Failure, Global};
use crate::config::Policies;
use crate::quote::plain;
use crate::store::Read;
use clap::{ArgGroup, Args, ValueEnum};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use ecs_drain_state::{Record, Then, What};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain drain i-0123456789abcdef0                       drain it, then its group replaces it
  ecs-drain drain i-0123456789abcdef0 --then keep           drain it, and leave it as it is
  ecs-drain drain --cluster web --ami ami-0123456789abcdef0
  ecs-drain drain --cluster 'web-*' --older-than 30d --reason 'kernel update'
  ecs-drain drain --all-clusters --older-than 90d --yes     in a script
  ecs-drain drain --cluster web --all --then terminate --shrink
  ecs-drain drain i-0123456789abcdef0 --follow              print its steps until it ends

The controller carries the request out. It drains as many instances of a cluster at once as the
policy's max_concurrent allows; `ecs-drain get` shows the queue. A cluster without --all, --ami or
--older-than means all its ACTIVE container instances. The command first counts the instances and
asks; scripts pass --yes. Only clusters of the configuration's scopes can be named.

  --then terminate   when drained, its Auto Scaling group terminates and replaces it (the desired
                     capacity stays); --shrink lowers the desired capacity by one instead
  --then keep        when drained, it stays, in DRAINING

Undo: `ecs-drain cancel`. Stop everything: `ecs-drain pause --everything`.";

/// Meaning of the column AT ONCE.
const AT_ONCE: &str = "AT ONCE: how many of the cluster drain together (max_concurrent). Other budgets can lower it.\n";

/// Number of AMIs that a message names.
const AMIS: usize = 5;

/// The instances, and their future.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("where").required(true).args(["instances", "cluster", "all_clusters"]),
    group = ArgGroup::new("pick").args(["all", "ami", "older_than"]).conflicts_with("instances"),
)]
pub(crate) struct DrainArgs {
    /// EC2 instance ids
    #[arg(value_name = "INSTANCE")]
    pub instances: Vec<String>,
    #[command(flatten)]
    pub clusters: ClusterArgs,
    /// Terminate a drained instance, or keep it
    #[arg(long, value_name = "WHAT", default_value = "terminate")]
    pub then: ThenArg,
    /// With --then terminate: lower the group's desired capacity by one for each instance
    #[arg(long)]
    pub shrink: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
    /// Print the steps of the drains until they end
    #[arg(long)]
    pub follow: bool,
    /// Reason, saved in the records
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub ask: AskArgs,
}

/// End of a drained instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ThenArg {
    /// Let its Auto Scaling group terminate it
    Terminate,
    /// Keep it, drained
    Keep,
}

impl DrainArgs {
    fn then(&self) -> Result<Then, Failure> {
        match (self.then, self.shrink) {
            (ThenArg::Terminate, false) => Ok(Then::Terminate),
            (ThenArg::Terminate, true) => Ok(Then::TerminateAndShrink),
            (ThenArg::Keep, false) => Ok(Then::Keep),
            (ThenArg::Keep, true) => Err(Failure::usage("--shrink needs --then terminate")),
        }
    }

    fn wanted(&self) -> Result<Wanted, Failure> {
        if !self.instances.is_empty() {
            return Wanted::instances(&self.instances);
        }
        Ok(self.clusters.wanted())
    }
}

/// Requests drains.
///
/// # Errors
/// Returns an error if the instances cannot be found, the operator does not confirm, a request
/// cannot be written, or a request is refused or not answered.
pub(crate) async fn run(
    args: &DrainArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let (then, wanted) = (args.then()?, args.wanted()?);
    let config = global.load(&args.ask.table.given())?;
    let desk = Desk::open(global, &args.ask, args.reason.as_deref()).await?;
    let selection = select(&config, &wanted, Timestamp::now()).await?;
    if !selection.nowhere.is_empty() {
        let nowhere = selection.nowhere.join(", ");
        return Err(Failure::failed(format!(
            "not in any cluster of the configuration's scopes: {nowhere}; no drain was requested"
        )));
    }
    let keys: Vec<String> = selection
        .chosen
        .values()
        .map(|one| ecs_drain_state::record::key(&one.account, &one.region, &one.instance_id))
        .collect();
    let records: BTreeMap<String, Read> = desk.store.get_many(&keys).await?.into_iter().collect();
    let plan = plan(&selection, &records, &wanted);
    if plan.subjects.is_empty() {
        return Err(Failure::failed(nothing(&plan, &selection)));
    }
    let asked = Asked { wanted: &wanted, selection: &selection, policies: &config.policies, then };
    confirm(&asked.question(&plan), args.yes, out)?;
    let keys: Vec<String> = plan.subjects.iter().map(Subject::key).collect();
    let asked: Vec<(Subject, What)> =
        plan.subjects.into_iter().map(|one| (one, What::Drain { then })).collect();
    desk.ask(&asked, out).await?;
    if args.follow { follow(&desk.store, &keys, out).await } else { desk.show_next(out) }
}

/// Instances whose drains are requested, and instances that are left out.
struct Plan {
    subjects: Vec<Subject>,
    /// Instances of each cluster, by account, region and name.
    counts: BTreeMap<(String, String, String), usize>,
    /// Number of instances that are already draining.
    draining: usize,
    /// Instances whose record cannot be read.
    unread: Vec<String>,
    unjudged: usize,
}

impl Plan {
    /// Returns a line for each reason for which instances are left out.
    fn left_out(&self) -> String {
        let kinds = [
            (self.draining, "already draining: left out"),
            (self.unjudged, "without an AMI or a registration time in ECS: left out"),
            (self.unread.len(), "with a record that cannot be read: left out"),
        ];
        kinds.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}\n")).collect()
    }
}

/// Returns why there is no instance to drain, with the AMIs that the clusters run.
fn nothing(plan: &Plan, selection: &Selection) -> String {
    let active: usize = selection.sizes.values().sum();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for ((.., ami), image) in &selection.amis {
        *counts.entry(ami.as_deref().unwrap_or("not known")).or_default() += image.count;
    }
    let amis: Vec<String> =
        counts.iter().take(AMIS).map(|(ami, n)| format!("{ami} ({n})")).collect();
    let amis = match amis.as_slice() {
        [] => String::new(),
        some => format!("; their AMIs: {} (`ecs-drain amis` counts by cluster)", some.join(", ")),
    };
    let clusters = match selection.sizes.len() {
        0 => "no cluster with ACTIVE container instances matches".to_owned(),
        clusters => format!(
            "none of the {active} ACTIVE container instances of {clusters} clusters is selected{amis}"
        ),
    };
    plain(&format!("{clusters}; no drain was requested")) + "\n" + &plan.left_out()
}

fn plan(selection: &Selection, records: &BTreeMap<String, Read>, wanted: &Wanted) -> Plan {
    let mut plan = Plan {
        subjects: Vec::new(),
        counts: BTreeMap::new(),
        draining: 0,
        unread: Vec::new(),
        unjudged: selection.unjudged,
    };
    let named = matches!(wanted, Wanted::Instances(_));
    for one in selection.chosen.values() {
        let key = ecs_drain_state::record::key(&one.account, &one.region, &one.instance_id);
        let record = match records.get(&key) {
            Some(Read::Newer { .. } | Read::Unreadable { .. }) => {
                plan.unread.push(one.instance_id.clone());
                continue;
            }
            Some(Read::Record(record)) => Some(record.as_ref()),
            None => None,
        };
        // For a named instance the controller's answer reports that it is already draining.
        if !named && record.is_some_and(|record| !record.is_done()) {
            plan.draining += 1;
            continue;
        }
        let place = (one.account.clone(), one.region.clone(), one.cluster.clone());
        *plan.counts.entry(place).or_default() += 1;
        plan.subjects.push(subject(one, record));
    }
    plan
}

fn subject(one: &Chosen, record: Option<&Record>) -> Subject {
    Subject {
        account: one.account.clone(),
        region: one.region.clone(),
        instance_id: one.instance_id.clone(),
        container_instances: one.container_instances.clone(),
        record: record.cloned(),
    }
}

/// A request that was not confirmed yet.
struct Asked<'a> {
    wanted: &'a Wanted,
    selection: &'a Selection,
    policies: &'a Policies,
    then: Then,
}

impl Asked<'_> {
    /// Returns the question before the request, with the instances counted by cluster.
    fn question(&self, plan: &Plan) -> String {
        let after = match self.then {
            Then::Terminate => "then terminated and replaced by the Auto Scaling group",
            Then::TerminateAndShrink => {
                "then terminated and not replaced: the desired capacity falls by one for each"
            }
            Then::Keep | Then::Leave => "and then kept, in DRAINING",
        };
        let of = self.wanted.pick().map_or_else(String::new, |pick| format!(" {pick}"));
        let count = match plan.subjects.len() {
            1 => format!("1 instance{of} will be drained"),
            n => format!("{n} instances{of} will be drained"),
        };
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["CLUSTER", "INSTANCES", "AT ONCE", "ACCOUNT", "REGION"]);
        for ((account, region, cluster), n) in &plan.counts {
            let size =
                self.selection.sizes.get(&(account.clone(), region.clone(), cluster.clone()));
            let of = size.map_or_else(String::new, |size| format!(" of {size}"));
            // Its ACTIVE container instances, and never fewer than are named here.
            let all = u32::try_from(*n.max(size.unwrap_or(n))).unwrap_or(u32::MAX);
            let at_once = self.policies.for_drain(Some(cluster), None).max_concurrent.of(all);
            table.add_row([
                plain(cluster),
                format!("{n}{of}"),
                at_once.to_string(),
                plain(account),
                plain(region),
            ]);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        let rows: String =
            table.trim_fmt().lines().map(|line| format!("  {}\n", line.trim_end())).collect();
        format!("{count}, {after}:\n\n{rows}\n{AT_ONCE}{}", plan.left_out())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::cli::samples::{done, waiting};
    use crate::cli::select::{Image, Pick};
    use crate::cli::{Cli, Command};
    use crate::config::{Config, Given, Patterns};
    use clap::Parser;
    use std::time::Duration;

    fn parse(line: &str) -> Option<DrainArgs> {
        let words = std::iter::once("ecs-drain").chain(line.split(' '));
        let Command::Drain(args) = Cli::try_parse_from(words).ok()?.command else { return None };
        Some(args)
    }

    #[test]
    fn arguments_select_instances_or_clusters() {
        let wanted = |line: &str| parse(line).map(|args| args.wanted());
        let clusters = |names: &[&str], pick: Pick| {
            Some(Ok(Wanted::Clusters(
                Patterns::new(names.iter().map(|n| (*n).to_owned()).collect()),
                pick,
            )))
        };
        let instances = Wanted::Instances(vec!["i-1".to_owned(), "i-2".to_owned()]);
        assert_eq!(wanted("drain i-1 i-2"), Some(Ok(instances)));
        assert!(matches!(wanted("drain web"), Some(Err(Failure::Usage(_)))));
        assert_eq!(wanted("drain --cluster web"), clusters(&["web"], Pick::All));
        assert_eq!(
            wanted("drain --cluster web-* -c jobs --all"),
            clusters(&["web-*", "jobs"], Pick::All)
        );
        assert_eq!(
            wanted("drain --all-clusters --ami ami-1"),
            clusters(&["*"], Pick::Ami("ami-1".to_owned()))
        );
        let month = Pick::OlderThan(Duration::from_secs(30 * 86_400));
        assert_eq!(wanted("drain --cluster web --older-than 30d"), clusters(&["web"], month));
        for line in [
            "drain",
            "drain --all",
            "drain i-1 --cluster web",
            "drain i-1 --ami ami-1",
            "drain --cluster web --all-clusters",
            "drain --cluster web --all --ami ami-1",
            "drain --cluster web --ami ami-1 --older-than 30d",
            "drain --cluster web --older-than soon",
            "drain i-1 --then sleep",
        ] {
            assert!(wanted(line).is_none(), "{line}");
        }
    }

    #[test]
    fn arguments_choose_the_future_of_a_drained_instance() {
        let then = |line: &str| parse(line).unwrap().then();
        assert_eq!(then("drain i-1"), Ok(Then::Terminate));
        assert_eq!(then("drain i-1 --shrink"), Ok(Then::TerminateAndShrink));
        assert_eq!(then("drain i-1 --then keep"), Ok(Then::Keep));
        assert!(matches!(then("drain i-1 --then keep --shrink"), Err(Failure::Usage(_))));
    }

    fn selection() -> Selection {
        let place =
            |name: &str| ("123456789012".to_owned(), "eu-west-1".to_owned(), name.to_owned());
        let mut selection = Selection { unjudged: 2, ..Selection::default() };
        let instances = [
            ("web-blue", "i-1"),
            ("web-blue", "i-0done"),
            ("web-blue", "i-0waiting"),
            ("web-green", "i-2"),
        ];
        for (cluster, id) in instances {
            let chosen = Chosen {
                account: "123456789012".to_owned(),
                region: "eu-west-1".to_owned(),
                cluster: cluster.to_owned(),
                instance_id: id.to_owned(),
                container_instances: Vec::new(),
            };
            selection.chosen.insert(place(id), chosen);
        }
        selection.sizes = BTreeMap::from([(place("web-blue"), 10), (place("web-green"), 1)]);
        selection
    }

    #[test]
    fn where_nothing_is_selected_the_amis_are_named() {
        let mut selection = selection();
        for (cluster, ami, count) in
            [("web-blue", "ami-new", 8), ("web-blue", "ami-old", 2), ("web-green", "ami-new", 1)]
        {
            let of = |text: &str| text.to_owned();
            let key = (of("123456789012"), of("eu-west-1"), of(cluster), Some(of(ami)));
            selection.amis.insert(key, Image { count, oldest: None });
        }
        selection.chosen.clear();
        let none = plan(&selection, &BTreeMap::new(), &Wanted::Instances(Vec::new()));
        assert_eq!(
            nothing(&none, &selection),
            "none of the 11 ACTIVE container instances of 2 clusters is selected; their AMIs: ami-new (9), \
             ami-old (2) (`ecs-drain amis` counts by cluster); no drain was requested\n2 without an AMI or a registration time in ECS: left out\n"
        );
        let none = nothing(&none, &Selection::default());
        assert!(none.starts_with("no cluster with ACTIVE container instances matches;"), "{none}");
    }

    #[test]
    fn a_fleet_is_counted_by_cluster() {
        let records = BTreeMap::from([waiting(), done()]);
        let (wanted, selection) =
            (Wanted::Clusters(Patterns::all(), Pick::Ami("ami-old".to_owned())), selection());
        let fleet = plan(&selection, &records, &wanted);
        let generations: Vec<_> = fleet
            .subjects
            .iter()
            .map(|one| one.record.as_ref().map(|record| record.generation))
            .collect();
        assert_eq!(generations, [Some(1), None, None], "a finished record's generation is meant");
        let config = "[policy]\nmax_concurrent = \"25%\"\n[[scope]]\nregion = \"eu-west-1\"\nhooks = [\"h\"]\n";
        let config = Config::parse(config, "c.toml", &Given::default()).unwrap();
        let policies = config.policies;
        let asked = Asked {
            wanted: &wanted,
            selection: &selection,
            policies: &policies,
            then: Then::Terminate,
        };
        assert_eq!(
            asked.question(&fleet),
            "\
3 instances of ami-old will be drained, then terminated and replaced by the Auto Scaling group:

  CLUSTER    INSTANCES  AT ONCE  ACCOUNT       REGION
  web-blue   2 of 10    2        123456789012  eu-west-1
  web-green  1 of 1     1        123456789012  eu-west-1

AT ONCE: how many of the cluster drain together (max_concurrent). Other budgets can lower it.
1 already draining: left out
2 without an AMI or a registration time in ECS: left out
"
        );
        let named = plan(&selection, &records, &Wanted::Instances(Vec::new()));
        assert_eq!(named.subjects.len(), 4, "of a named one the controller says how it stands");
    }
}
