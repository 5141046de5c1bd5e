//! Tests of the arguments, and of the groups of the instances.

#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::cli::rollout::RolloutCommand;
use crate::cli::samples::compare;
use crate::cli::{Cli, Command};
use clap::Parser;

fn parse(line: &str) -> StartArgs {
    let words = ["ecs-drain", "rollout", "start", "january"].into_iter().chain(line.split(' '));
    let Command::Rollout(RolloutCommand::Start(args)) = Cli::parse_from(words).command else {
        panic!("{line}")
    };
    args
}

#[test]
fn arguments_say_which_instances_are_old() {
    let web = || Patterns::new(vec!["web".to_owned()]);
    let clusters = |pick| Wanted::Clusters(web(), pick);
    let groups = |pick| Wanted::Groups(web(), Some(pick));
    let (ami, agent) = ("ami-1".to_owned(), "1.90.0".to_owned());
    let day = Duration::from_secs(86_400);
    for (line, wanted, old) in [
        ("i-1", Wanted::Instances(vec!["i-1".to_owned()]), Old::Listed),
        ("--cluster web --all", clusters(Pick::All), Old::All),
        ("--cluster web --ami ami-1", clusters(Pick::Ami(ami.clone())), Old::Ami(ami.clone())),
        ("--group web --ami ami-1", groups(Pick::Ami(ami.clone())), Old::Ami(ami)),
        ("--group web --older-than 1d", groups(Pick::OlderThan(day)), Old::OlderThan(86_400)),
        (
            "--cluster web --agent-not 1.90.0",
            clusters(Pick::AgentNot(agent.clone())),
            Old::AgentNot(agent),
        ),
        ("--group web --old-template", groups(Pick::All), Old::LaunchTemplate),
    ] {
        let args = parse(line);
        assert_eq!((args.wanted(), args.old()), (Ok(wanted), old), "{line}");
    }
    let everything = parse("--all-clusters --all").wanted();
    assert_eq!(everything, Ok(Wanted::Clusters(Patterns::all(), Pick::All)));
    assert!(matches!(parse("web").wanted(), Err(Failure::Usage(_))));
}

#[test]
fn options_are_those_of_the_rollout() {
    assert_eq!(parse("i-1").options(), Options::default());
    let surge = |text: &str| parse(&format!("i-1 --surge {text}")).surge;
    assert_eq!(
        [surge("none"), surge("3"), surge("25%"), surge("100%")],
        [Surge::None, Surge::Count(3), Surge::Percent(25), Surge::Percent(100)]
    );
    let other = parse("i-1 --wave 2 --soak 0 --stop-after 1h").options();
    let expected = Options { wave: 2, soak_seconds: 0, stuck_seconds: 3_600, ..Options::default() };
    assert_eq!(other, expected);
}

#[test]
fn an_instance_is_current_by_template_and_version_in_digits() {
    let template = |id: &str, version: &str| {
        Some(LaunchTemplate { id: id.to_owned(), version: version.to_owned() })
    };
    for (of, now, current) in [
        (template("lt-1", "3"), template("lt-1", "3"), Some(true)),
        (template("lt-1", "2"), template("lt-1", "3"), Some(false)),
        (template("lt-2", "3"), template("lt-1", "3"), Some(false)),
        (template("lt-2", "3"), template("lt-1", "$Latest"), Some(false)),
        (template("lt-1", "3"), template("lt-1", "$Latest"), None),
        (template("lt-1", "3"), template("lt-1", "$Default"), None),
        (None, template("lt-1", "3"), Some(false)),
        (None, template("lt-1", "$Latest"), Some(false)),
        (template("lt-1", "3"), None, None),
    ] {
        assert_eq!(is_current(of.as_ref(), now.as_ref()), current, "{of:?} {now:?}");
    }
}

fn member(id: &str, state: &str, version: &str) -> MemberView {
    MemberView {
        instance_id: id.to_owned(),
        lifecycle_state: state.to_owned(),
        healthy: true,
        protected: false,
        template: Some(LaunchTemplate { id: "lt-1".to_owned(), version: version.to_owned() }),
    }
}

fn place() -> (String, String) {
    ("123456789012".to_owned(), "eu-west-1".to_owned())
}

fn found(clusters: &[(&str, &str)], members: &[(&str, &str, &str)]) -> Found {
    let mut found = Found::default();
    let clusters = clusters.iter().map(|(id, of)| ((*id).to_owned(), (*of).to_owned()));
    let members = members
        .iter()
        .map(|(id, state, group)| (member(id, state, "1"), (*group).to_owned()))
        .collect();
    found.take(place(), clusters.collect(), members, None);
    found
}

#[test]
fn instances_are_counted_by_cluster_and_group() {
    let found = found(
        &[("i-1", "web"), ("i-2", "web"), ("i-3", "jobs"), ("i-4", "jobs")],
        &[
            ("i-1", "InService", "web-asg"),
            ("i-2", "InService", "web-asg"),
            ("i-3", "Standby", "jobs-asg"),
            ("i-4", "Terminating:Wait", "jobs-asg"),
        ],
    );
    let parts = found.parts().unwrap();
    let groups = &parts[&place()];
    assert_eq!(groups["web-asg"].1.len(), 2);
    assert_eq!(groups["jobs-asg"], ("jobs".to_owned(), ["i-3".to_owned()].into()));
    let left_out = left_out(1, found.leaving);
    let args = parse("--all-clusters --ami ami-0123456789abcdef0");
    compare("rollout-start", &question(&args, &parts, 3, &left_out));
    let args = parse("--all-clusters --all --surge none --wave 2");
    let none = question(&args, &parts, 3, "");
    assert!(none.contains("No capacity is added: 2 of a group drain at a time"), "{none}");
}

#[test]
fn an_instance_in_no_group_and_a_group_of_two_clusters_are_refused() {
    let loose = found(&[("i-1", "web"), ("i-2", "web")], &[("i-1", "InService", "web-asg")]);
    let Err(Failure::Failed(said)) = loose.parts() else { panic!("i-2 is in no group") };
    assert!(said.starts_with("in no Auto Scaling group") && said.contains(": i-2;"), "{said}");
    let members = [("i-1", "InService", "web-asg"), ("i-2", "InService", "web-asg")];
    let mixed = found(&[("i-1", "web"), ("i-2", "jobs")], &members);
    let Err(Failure::Failed(said)) = mixed.parts() else { panic!("two clusters") };
    assert!(said.contains(r#"several clusters: {"jobs", "web"}"#), "{said}");
}
