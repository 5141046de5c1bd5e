//! `ecs-drain plan`: whether instances would end by themselves if they were drained now. It reads
//! AWS with the operator's own credentials, and changes nothing.

use crate::aws::{self, Environment, Session};
use crate::cli::drain::ThenArg;
use crate::cli::select::{ClusterArgs, Selection, Wanted, select};
use crate::cli::words::{Screen, length, short};
use crate::cli::{Failure, Global, TableArgs};
use crate::config::{Config, Patterns};
use crate::quote::{self, plain};
use crate::reader::{Candidate, survey};
use clap::{ArgGroup, Args, ValueEnum};
use ecs_drain_state::Then;
use ecs_drain_state::plan::{Move, Pace, Plan, Verdict, Wait, at_once, by_turns};
use ecs_drain_state::rollout::Surge;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  ecs-drain plan i-0123456789abcdef0
  ecs-drain plan --group web-asg                            before an instance refresh
  ecs-drain plan --cluster web --ami ami-0123456789abcdef0  before `ecs-drain drain` with the same flags
  ecs-drain plan --cluster web --older-than 30d -o json
  ecs-drain plan --group web-asg --at-once                  before the group is made smaller

It takes the instances by turns, as `ecs-drain drain` does: max_concurrent of a cluster at a time,
and each is replaced by an equal instance of its group. With --at-once, or --then keep, all of them
are DRAINING together, and none is replaced. It looks for room for their tasks on the other ACTIVE
instances and on the new ones.

ECS learns whether a new task starts only by starting it, so a broken image is not foreseen; nor are
network interfaces that an instance lacks for tasks of mode awsvpc.

Nothing is changed. A fact that cannot be read counts as `not known`.

Exit codes: 0: all drains would end by themselves; 1: AWS could not be read, or no instance was
found; 2: wrong arguments or configuration; 3: at least one would get stuck, or is not known.";

/// Instances that a list of ids shows, at most.
const SHOWN: usize = 4;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A page for people
    #[default]
    Text,
    /// One JSON document
    Json,
}

#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("where").required(true).args(["instances", "group", "cluster", "all_clusters"]),
    group = ArgGroup::new("pick").args(["all", "ami", "older_than"]).conflicts_with_all(["instances", "group"]),
)]
pub(crate) struct PlanArgs {
    /// EC2 instance ids
    #[arg(value_name = "INSTANCE")]
    pub instances: Vec<String>,
    /// Instances of this Auto Scaling group; a name, or a pattern such as 'web-*'
    #[arg(long, short, value_name = "NAME")]
    pub group: Vec<String>,
    #[command(flatten)]
    pub clusters: ClusterArgs,
    /// Terminate a drained instance, or keep it
    #[arg(long, value_name = "WHAT", default_value = "terminate")]
    pub then: ThenArg,
    /// Take all instances as DRAINING together, and none as replaced, as in a scale-in
    #[arg(long)]
    pub at_once: bool,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    #[command(flatten)]
    pub table: TableArgs,
}

impl PlanArgs {
    fn wanted(&self) -> Result<Wanted, Failure> {
        if !self.instances.is_empty() {
            return Wanted::instances(&self.instances);
        }
        if !self.group.is_empty() {
            return Ok(Wanted::Groups(Patterns::new(self.group.clone()), None));
        }
        Ok(self.clusters.wanted())
    }
}

/// The plan of one account and region.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// Account and region.
    pub name: (String, String),
    pub plan: Plan,
    /// Instances that would end if all were taken together. `None`: the plan takes them so.
    pub together: Option<usize>,
}

/// Way in which the instances of a plan leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// All together, and none is replaced.
    AtOnce(Then),
    /// Some at a time, and each is replaced.
    ByTurns(Pace),
}

/// Prints the plan.
///
/// # Errors
/// Returns an error if the instances cannot be found, or not all drains would end by themselves.
pub(crate) async fn run(
    args: &PlanArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let wanted = args.wanted()?;
    let config = global.load(&args.table.given())?;
    let now = Timestamp::now();
    let selection = select(&config, &wanted, now).await?;
    if !selection.nowhere.is_empty() {
        let nowhere = selection.nowhere.join(", ");
        return Err(Failure::failed(format!(
            "not in any cluster of the configuration's scopes: {nowhere}"
        )));
    }
    if selection.chosen.is_empty() {
        return Err(Failure::failed(
            "no container instance matches; `ecs-drain amis` counts them by cluster and AMI",
        ));
    }
    let way = match (args.then, args.at_once) {
        (ThenArg::Terminate, false) => Way::ByTurns(Pace::default()),
        (ThenArg::Terminate, true) => Way::AtOnce(Then::Terminate),
        (ThenArg::Keep, _) => Way::AtOnce(Then::Keep),
    };
    print(&config, &selection, way, args.output, now, out).await
}

/// Judges the drains of the selected instances, and prints the page or the document.
///
/// # Errors
/// Returns an error if AWS cannot be read, or not all drains would end by themselves.
pub(super) async fn print(
    config: &Config,
    selection: &Selection,
    way: Way,
    output: Output,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let places = plans(config, selection, way, now).await?;
    match output {
        Output::Text => {
            let screen = Screen::detect();
            out.write_all(screen.fit(&page(&places, way, selection.unjudged, screen)).as_bytes())?;
        }
        Output::Json => writeln!(out, "{}", quote::json(&document(&places))?)?,
    }
    match worst(&places) {
        Verdict::Ends => Ok(()),
        Verdict::NotKnown | Verdict::Stuck => Err(Failure::WouldNotEnd),
    }
}

/// Reads each scope of the selected instances, and judges them.
async fn plans(
    config: &Config,
    selection: &Selection,
    way: Way,
    now: Timestamp,
) -> Result<Vec<Place>, Failure> {
    let mut places = Vec::new();
    for scope in &config.scopes {
        let session: Session =
            aws::connect(&Environment::default(), &scope.region, scope.role.as_ref())
                .await
                .map_err(|error| Failure::because(&error))?;
        let here = selection
            .chosen
            .values()
            .filter(|one| one.account == session.account && one.region == session.region);
        let candidates: Vec<Candidate> = here
            .flat_map(|one| {
                one.container_instances.iter().map(|mine| Candidate {
                    instance_id: one.instance_id.clone(),
                    cluster: mine.cluster.clone(),
                    arn: mine.arn.clone(),
                })
            })
            .collect();
        if candidates.is_empty() {
            continue;
        }
        let facts = survey(&session, &candidates, &config.policies, &scope.hooks, now).await;
        let (plan, together) = match way {
            Way::AtOnce(then) => (at_once(&facts, then, now), None),
            Way::ByTurns(pace) => {
                let together = at_once(&facts, Then::Terminate, now);
                (by_turns(&facts, pace, now), Some(ends(&together)))
            }
        };
        let name = (session.account.clone(), session.region.clone());
        places.push(Place { name, plan, together });
    }
    Ok(places)
}

/// Returns the number of instances whose drain would end.
fn ends(plan: &Plan) -> usize {
    plan.instances.values().filter(|one| one.verdict() == Verdict::Ends).count()
}

fn worst(places: &[Place]) -> Verdict {
    places.iter().map(|place| place.plan.verdict()).max().unwrap_or(Verdict::Ends)
}

impl Way {
    /// Returns its meaning for a plan of several drains.
    const fn words(self) -> &'static str {
        match self {
            Way::AtOnce(_) => "all are taken as DRAINING together, and none as replaced",
            Way::ByTurns(Pace { surge: Surge::None, .. }) => {
                "taken by turns, max_concurrent of a cluster at a time; each is replaced by an equal \
                 instance of its group"
            }
            Way::ByTurns(_) => {
                "first new instances come, equal to the old ones, as far as each group's maximum \
                 allows; then the old ones are taken by turns, max_concurrent of a cluster at a time"
            }
        }
    }
}

/// Waits that a page lists.
const MOST_WAITS: usize = 12;

/// Returns the page: the verdict first, then the causes, the moves, the waits and the estimate.
pub(crate) fn page(places: &[Place], way: Way, unjudged: usize, screen: Screen) -> String {
    let of = |verdict: Verdict| -> Vec<&str> {
        let all = places.iter().flat_map(|place| &place.plan.instances);
        all.filter(|(_, one)| one.verdict() == verdict).map(|(id, _)| id.as_str()).collect()
    };
    let [ends, unknown, stuck] = [Verdict::Ends, Verdict::NotKnown, Verdict::Stuck].map(of);
    let mut page = format!("{}\n", verdict(ends.len(), unknown.len(), stuck.len()));
    for (ids, what) in [(&stuck, "stuck"), (&unknown, "not known"), (&ends, "would end")] {
        if !ids.is_empty() {
            let _ = writeln!(page, "  {what}: {}", listed(ids));
        }
    }
    let total: usize = places.iter().map(|place| place.plan.instances.len()).sum();
    let together: Option<usize> = places.iter().map(|place| place.together).sum();
    if total > 1 {
        let _ = writeln!(page, "  {}", way.words());
        if let Some(together) = together.filter(|together| *together < ends.len()) {
            let _ = writeln!(
                page,
                "  all together, as in a scale-in: {together} of {total} would end (plan --at-once)"
            );
        }
    }
    if unjudged > 0 {
        let _ =
            writeln!(page, "  {unjudged} without an AMI or a registration time in ECS: left out");
    }
    let mut section = |heading: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(page, "\n{}", screen.heading(heading));
            for line in lines {
                let _ = writeln!(page, "  {}", plain(&short(&line)));
            }
        }
    };
    section("Why, and what to do", reasons(places));
    section("Tasks that move (one way in which they fit)", moves(places));
    section("Waits", waits(places));
    let notes = places.iter().flat_map(|place| &place.plan.notes);
    section("Auto Scaling groups", notes.map(ToString::to_string).collect());
    let takes = places.iter().map(|place| place.plan.takes).max().unwrap_or_default();
    let _ = writeln!(
        page,
        "\nEstimate: {} at least, with max_concurrent; the time in which new tasks start comes on top.",
        long(takes)
    );
    page
}

fn verdict(ends: usize, unknown: usize, stuck: usize) -> String {
    match (ends, unknown, stuck) {
        (1, 0, 0) => "The drain would end by itself.".to_owned(),
        (2, 0, 0) => "Both drains would end by themselves.".to_owned(),
        (n, 0, 0) => format!("All {n} drains would end by themselves."),
        (ends, unknown, stuck) => {
            let all = ends + unknown + stuck;
            let parts = [(stuck, "would get stuck"), (unknown, "not known")];
            let parts: Vec<String> = parts
                .iter()
                .filter(|(n, _)| *n > 0)
                .map(|(n, what)| format!("{n} {what}"))
                .collect();
            format!("{ends} of {all} drains would end by themselves; {}.", parts.join(", "))
        }
    }
}

/// Returns the first ids, and the number of the others.
fn listed(ids: &[&str]) -> String {
    let first = ids.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(SHOWN) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Returns causes and doubts, each once with its instances, the causes first.
fn reasons(places: &[Place]) -> Vec<String> {
    let mut found: Vec<((String, String), BTreeSet<&str>)> = Vec::new();
    let mut add = |name: &str, text: String, id| {
        let key = (name.to_owned(), text);
        match found.iter_mut().find(|(known, _)| *known == key) {
            Some((_, ids)) => drop(ids.insert(id)),
            None => found.push((key, BTreeSet::from([id]))),
        }
    };
    let all = || places.iter().flat_map(|place| &place.plan.instances);
    for (id, one) in all() {
        one.causes.iter().for_each(|cause| add(cause.name(), cause.to_string(), id.as_str()));
    }
    for (id, one) in all() {
        one.doubts.iter().for_each(|doubt| add(doubt.name(), doubt.to_string(), id.as_str()));
    }
    let line = |((name, text), ids): ((String, String), BTreeSet<&str>)| {
        let ids: Vec<&str> = ids.into_iter().collect();
        format!("{name} ({}): {text}", listed(&ids))
    };
    found.into_iter().map(line).collect()
}

fn moves(places: &[Place]) -> Vec<String> {
    let line = |one: &Move| {
        let mut to: Vec<String> =
            one.places.iter().map(|(id, count)| format!("{count} to {id}")).collect();
        if one.without > 0 {
            to.push(format!("no place for {}", one.without));
        }
        let tasks =
            if one.tasks == 1 { "1 task".to_owned() } else { format!("{} tasks", one.tasks) };
        let to = if to.is_empty() { "places not known".to_owned() } else { to.join(", ") };
        format!("service {} of cluster {}: {tasks}: {to}", one.service, one.cluster)
    };
    places.iter().flat_map(|place| place.plan.moves.iter().map(line)).collect()
}

/// Returns the waits, each once with its instances.
fn waits(places: &[Place]) -> Vec<String> {
    let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (id, one) in places.iter().flat_map(|place| &place.plan.instances) {
        for wait in &one.waits {
            // Targets of one load balancer differ in the instance alone.
            let text = wait.to_string();
            let text = match (wait, text.split_once(" in ")) {
                (Wait::Target { .. }, Some((_, balancer))) => balancer.to_owned(),
                _ => text,
            };
            found.entry(text).or_default().insert(id);
        }
    }
    let line = |(text, ids): (String, BTreeSet<&str>)| {
        let ids: Vec<&str> = ids.into_iter().collect();
        format!("{text} ({})", listed(&ids))
    };
    let mut lines: Vec<String> = found.into_iter().map(line).collect();
    if lines.len() > MOST_WAITS {
        let more = lines.split_off(MOST_WAITS).len();
        lines.push(format!("and {more} more; `-o json` has all"));
    }
    lines
}

fn long(span: Duration) -> String {
    length(SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX))
}

/// Returns the plan as JSON.
fn document(places: &[Place]) -> Value {
    let named = |name: &str, text: String| json!({ "name": name, "text": text });
    let mut instances = Vec::new();
    let mut moves = Vec::new();
    for Place { name: (account, region), plan, .. } in places {
        instances.extend(plan.instances.iter().map(|(id, one)| {
            json!({
                "instance_id": id, "account": account, "region": region, "clusters": one.clusters,
                "verdict": one.verdict().name(), "tasks": one.tasks,
                "causes": one.causes.iter().map(|c| named(c.name(), c.to_string())).collect::<Vec<_>>(),
                "doubts": one.doubts.iter().map(|d| named(d.name(), d.to_string())).collect::<Vec<_>>(),
                "waits": one.waits.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "takes_seconds": one.takes.as_secs(),
            })
        }));
        moves.extend(plan.moves.iter().map(|one| {
            let places: &BTreeMap<String, usize> = &one.places;
            json!({
                "account": account, "region": region, "cluster": one.cluster, "service": one.service,
                "tasks": one.tasks, "start_first": one.first, "places": places, "without_place": one.without,
            })
        }));
    }
    let notes = places.iter().flat_map(|place| &place.plan.notes);
    let takes = places.iter().map(|place| place.plan.takes.as_secs()).max();
    json!({
        "verdict": worst(places).name(),
        "by_turns": places.iter().any(|place| place.together.is_some()),
        "instances": instances,
        "moves": moves,
        "groups": notes.map(ToString::to_string).collect::<Vec<_>>(),
        "takes_seconds": takes,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::cli::samples::{compare, now};
    use crate::cli::select::Pick;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use ecs_drain_state::diagnosis::{Cause, Lack, Looked, Tasks};
    use ecs_drain_state::plan::{Doubt, InstancePlan, Note};

    fn tasks(first: &str, service: &str) -> Tasks {
        Tasks {
            cluster: "web".to_owned(),
            first: first.to_owned(),
            service: Some(service.to_owned()),
            more: 0,
        }
    }

    fn instance(tasks: usize) -> InstancePlan {
        InstancePlan {
            clusters: ["web".to_owned()].into(),
            tasks: Some(tasks),
            waits: vec![Wait::Target {
                target: "i-0old in target group shop".to_owned(),
                delay_seconds: Some(120),
            }],
            takes: Duration::from_secs(330),
            ..InstancePlan::default()
        }
    }

    fn mixed() -> Vec<Place> {
        let (mut full, mut tight) = (instance(4), instance(2));
        full.causes = vec![Cause::NoRoom {
            service: "shop".to_owned(),
            closest: "i-0new".to_owned(),
            lacks: vec![Lack::Memory { needed: 2048, left: 1024 }],
            looked: Looked { count: 2, more: false },
        }];
        tight.doubts = vec![Doubt::TightRoom { service: "api".to_owned(), replacements: 2 }];
        tight.waits = vec![Wait::Protected {
            tasks: tasks("91105849128e2fca87298cac4bb31e7a", "worker"),
            until: now() + SignedDuration::from_mins(20),
        }];
        let moved = |service: &str, tasks, places: &[(&str, usize)], without| Move {
            cluster: "web".to_owned(),
            service: service.to_owned(),
            tasks,
            first: tasks,
            places: places.iter().map(|(id, count)| ((*id).to_owned(), *count)).collect(),
            without,
        };
        let plan = Plan {
            instances: [
                ("i-0full".to_owned(), full),
                ("i-0tight".to_owned(), tight),
                ("i-0old".to_owned(), instance(1)),
            ]
            .into(),
            moves: vec![
                moved("api", 3, &[("i-0new", 2), ("i-0newer", 1)], 0),
                moved("shop", 4, &[("i-0new", 1)], 3),
            ],
            notes: vec![Note::OtherHooks {
                group: "web-asg".to_owned(),
                hooks: vec!["backup".to_owned()],
            }],
            takes: Duration::from_secs(990),
        };
        let name = ("123456789012".to_owned(), "eu-west-1".to_owned());
        vec![Place { name, plan, together: None }]
    }

    #[test]
    fn the_verdict_comes_first_and_every_line_fits() {
        let screen = Screen { width: Some(80), terminal: true, ..Screen::default() };
        let shown = screen.fit(&page(&mixed(), Way::AtOnce(Then::Terminate), 1, screen));
        compare("plan", &shown);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    }

    #[test]
    fn drains_that_would_all_end() {
        let mut places = mixed();
        places[0].plan.instances.retain(|_, one| one.verdict() == Verdict::Ends);
        places[0].plan.moves.truncate(1);
        places[0].plan.notes.clear();
        let another = places[0].plan.instances["i-0old"].clone();
        places[0].plan.instances.insert("i-0older".to_owned(), another);
        places[0].together = Some(0);
        compare("plan-ends", &page(&places, Way::ByTurns(Pace::default()), 0, Screen::default()));
    }

    #[test]
    fn the_document_has_names_for_programs() {
        let document = document(&mixed());
        assert_eq!(document["verdict"], "Stuck");
        let full = &document["instances"][0];
        assert_eq!((&full["instance_id"], &full["verdict"]), (&json!("i-0full"), &json!("Stuck")));
        assert_eq!(full["causes"][0]["name"], "NoRoom");
        assert_eq!(document["instances"][2]["doubts"][0]["name"], "TightRoom");
        assert_eq!(document["moves"][1]["without_place"], 3);
    }

    #[test]
    fn arguments_select_instances_groups_or_clusters() {
        let wanted = |line: &str| {
            let words = std::iter::once("ecs-drain").chain(line.split(' '));
            let Command::Plan(args) = Cli::try_parse_from(words).ok()?.command else { return None };
            Some(args.wanted().unwrap())
        };
        assert_eq!(wanted("plan i-1"), Some(Wanted::Instances(vec!["i-1".to_owned()])));
        assert_eq!(
            wanted("plan --group web-*"),
            Some(Wanted::Groups(Patterns::new(vec!["web-*".to_owned()]), None))
        );
        let month = Pick::OlderThan(Duration::from_secs(30 * 86_400));
        assert_eq!(
            wanted("plan --all-clusters --older-than 30d"),
            Some(Wanted::Clusters(Patterns::all(), month))
        );
        for line in ["plan", "plan i-1 --group web", "plan --group web --ami ami-1"] {
            assert_eq!(wanted(line), None, "{line}");
        }
    }
}
