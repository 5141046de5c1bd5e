#![allow(clippy::unwrap_used)]
use super::*;
use crate::config::{Config, Given};
use ecs_drain_state::{AtDeadline, Concurrency, StandaloneTasks};
use std::time::Duration;

const SCOPE: &str = "[[scope]]\nregion = \"eu-west-1\"\nhooks = [\"ecs-drain\"]\n";

fn all() -> BTreeSet<&'static str> {
    keys::names(POLICY).collect()
}

fn tags(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn read_tags(given: &[(&str, &str)], listed: &BTreeSet<&'static str>) -> (Policy, Vec<String>) {
    let read = GroupTags::read(&tags(given), listed, &BTreeMap::new());
    let mut policy = Policy::default();
    read.apply(&mut policy);
    (policy, read.bad.into_iter().map(|bad| bad.text).collect())
}

/// A value of each key as a file writes it, and as a tag does. A new key needs a line.
const VALUES: &[(&str, &str, &str)] = &[
    ("strategy", "\"deregister\"", "deregister"),
    ("daemon_tasks", "\"wait\"", "wait"),
    ("standalone_tasks", "{ stop_after = \"10m\" }", "stop-after=10m"),
    ("not_in_cluster", "\"hold\"", "hold"),
    ("not_in_cluster_after", "\"20m\"", "20m"),
    ("deadline", "\"30m\"", "30m"),
    ("at_deadline", "\"continue\"", "continue"),
    ("stuck_after", "\"5m\"", "5m"),
    ("agent_grace", "\"20m\"", "20m"),
    ("disconnected_agent", "\"wait\"", "wait"),
    ("network_settle", "\"0s\"", "0s"),
    ("max_concurrent", "\"25%\"", "25%"),
    ("max_concurrent_group", "2", "2"),
    ("max_concurrent_service", "\"10%\"", "10%"),
    ("require_steady", "true", "true"),
    ("service_tags", "true", "true"),
    ("hold_lifecycle", "true", "true"),
    ("rebalance", "\"keep\"", "keep"),
    ("read_lag", "\"90s\"", "90s"),
    ("looks_apart", "\"30s\"", "30s"),
    ("blind_margin", "\"10m\"", "10m"),
    ("poll", "\"9s\"", "9s"),
    ("keep_finished", "\"1d\"", "1d"),
];

#[test]
fn a_tag_means_what_its_key_in_the_file_means() {
    let known: Vec<&str> = VALUES.iter().map(|(key, ..)| *key).collect();
    assert_eq!(known.into_iter().collect::<BTreeSet<_>>(), all());
    for (key, in_file, in_tag) in VALUES {
        // An at_deadline needs a deadline.
        let beside = if *key == "at_deadline" { "deadline = \"1h\"\n" } else { "" };
        let text = format!("{SCOPE}[policy]\n{beside}{key} = {in_file}\n");
        let file = Config::parse(&text, "test.toml", &Given::default()).unwrap();
        let mut wanted = file.policies.default_policy().clone();
        if *key == "at_deadline" {
            wanted.deadline = None;
        }
        assert_ne!(wanted, Policy::default(), "{key}");
        let given = [(&*tag_of(key), *in_tag)];
        assert_eq!(read_tags(&given, &all()), (wanted, Vec::new()), "{key}");
    }
}

#[test]
fn numbers_words_and_none_are_read_from_text() {
    let given = [
        ("ecs-drain:max-concurrent", "3"),
        ("ecs-drain:max-concurrent-group", "none"),
        ("ecs-drain:deadline", "none"),
        ("ecs-drain:standalone-tasks", "wait"),
        ("Name", "web"),
        ("ecs-drain", "no setting: the colon is missing"),
    ];
    let (policy, bad) = read_tags(&given, &all());
    assert!(bad.is_empty(), "{bad:?}");
    assert_eq!(policy.max_concurrent, Concurrency::Count(3));
    assert_eq!(policy.max_concurrent_group, None);
    assert_eq!((policy.deadline, policy.standalone_tasks), (None, StandaloneTasks::Wait));
}

#[test]
fn a_bad_tag_names_what_is_allowed_and_the_others_count() {
    let given = [
        ("ecs-drain:deadline", "30s"),
        ("ecs-drain:at-deadline", "Continue"),
        ("ecs-drain:dead-line", "30m"),
        ("ecs-drain:at_deadline", "continue"),
        ("ecs-drain:max-concurrent", "0"),
        ("ecs-drain:standalone-tasks", "stop-after=99x"),
        ("ecs-drain:stuck-after", "20m"),
        ("ecs-drain:stop-after", "20m"),
        ("ecs-drain:clusters", "web"),
        ("ecs-drain:", "1"),
        ("ecs-drain:poll", ""),
    ];
    let (policy, bad) = read_tags(&given, &all());
    assert_eq!(policy, Policy { stuck_after: Duration::from_secs(1200), ..Policy::default() });
    let wanted = [
        "ecs-drain:: it is the key of no setting",
        "ecs-drain:at-deadline is \"Continue\": it must be \"continue\", \"abandon\" or \"hold\"",
        "ecs-drain:at_deadline: did you mean ecs-drain:at-deadline?",
        "ecs-drain:clusters: it is the key of no setting",
        "ecs-drain:dead-line: did you mean ecs-drain:deadline?",
        "ecs-drain:deadline is \"30s\": it must be at least 1m",
        "ecs-drain:max-concurrent is \"0\": it must be a number, 1 or more, or a share such as \"10%\"",
        "ecs-drain:poll is \"\": a duration is a number with a unit, s, m, h or d, such as \"90s\", \"10m\" or \"1h30m\"",
        "ecs-drain:standalone-tasks.stop_after is \"99x\": a duration is a number with a unit, s, m, h or d, such as \"90s\", \"10m\" or \"1h30m\"",
        "ecs-drain:stop-after: did you mean ecs-drain:stuck-after?",
    ];
    assert_eq!(bad, wanted);
}

#[test]
fn a_key_that_is_not_listed_changes_nothing() {
    let given = [("ecs-drain:deadline", "1m"), ("ecs-drain:at-deadline", "continue")];
    let (policy, bad) = read_tags(&given, &BTreeSet::from(["deadline"]));
    assert_eq!(
        (policy.deadline, policy.at_deadline),
        (Some(Duration::from_secs(60)), AtDeadline::Hold)
    );
    assert_eq!(
        bad,
        ["ecs-drain:at-deadline: the configuration lets no tag set at_deadline (groups of [tags])"]
    );
    assert_eq!(read_tags(&given, &BTreeSet::new()).0, Policy::default());
}

#[test]
fn tags_that_select_groups_are_no_settings() {
    let selection = BTreeMap::from([("ecs-drain:managed".to_owned(), None)]);
    let given = tags(&[("ecs-drain:managed", "yes")]);
    assert!(GroupTags::read(&given, &all(), &selection).is_empty());
    assert!(!GroupTags::read(&given, &all(), &BTreeMap::new()).is_empty());
}

/// Whoever may tag a group chooses these texts.
#[test]
fn hostile_tags_neither_count_nor_control_a_terminal() {
    let long = "9".repeat(256);
    let texts = [
        "\u{1b}[2J\u{202e}\n[policy]\ndeadline = \"1m\"",
        "\"30m\"",
        "\"\"\"",
        "1m # ",
        "{ stop_after = \"0s\" }",
        "stop-after=",
        "stop-after=0s\nat_deadline=continue",
        "=",
        " 30m",
        "30m\0",
        "٣٠m",
        "-1",
        "1e9",
        &long,
    ];
    for text in texts {
        for (key, ..) in VALUES {
            let (policy, bad) = read_tags(&[(&tag_of(key), text)], &all());
            assert_eq!(policy, Policy::default(), "{key} = {text:?}");
            let [bad] = bad.as_slice() else { unreachable!("{key} = {text:?}: {bad:?}") };
            assert!(bad.chars().count() <= MESSAGE + 1 && bad.is_ascii(), "{bad}");
            assert!(!bad.contains('\n'), "{bad}");
        }
        let (policy, bad) = read_tags(&[(&format!("{PREFIX}{text}"), "1m")], &all());
        assert_eq!((policy, bad.len()), (Policy::default(), 1), "{text:?}");
    }
}

#[test]
fn the_configuration_lists_the_keys_that_tags_may_set() {
    let parse = |groups: &str| {
        let text = format!("{SCOPE}[tags]\ngroups = {groups}\n");
        Config::parse(&text, "test.toml", &Given::default()).map(|config| config.policies)
    };
    let listed = |groups: &str| parse(groups).unwrap().tagged().clone();
    assert_eq!(listed("[]"), BTreeSet::new());
    assert_eq!(listed("[\"deadline\"]"), BTreeSet::from(["deadline"]));
    assert_eq!(listed("[\"*\"]"), all());
    let wrong = parse("[\"dead-line\", \"clusters\"]").unwrap_err().to_string();
    for part in [
        "an entry of tags.groups is \"dead-line\": it must be a key of [policy], or \"*\" for all; did you mean \"deadline\"?",
        "an entry of tags.groups is \"clusters\": it must be a key of [policy], or \"*\" for all",
    ] {
        assert!(wrong.contains(part), "{wrong}");
    }
}

/// The permissions follow from the configuration alone.
#[test]
fn a_listed_key_counts_as_set_to_anything_for_permissions() {
    for (groups, wanted) in [("", false), ("groups = [\"*\"]", true)] {
        let text = format!("{SCOPE}[tags]\n{groups}\n");
        let policies = Config::parse(&text, "test.toml", &Given::default()).unwrap().policies;
        assert_eq!(
            [
                policies.deregister(),
                policies.stop_standalone_tasks(),
                policies.terminate(),
                policies.act_on_rebalance()
            ],
            [wanted; 4]
        );
    }
}

#[test]
fn at_deadline_may_stand_in_the_file_if_a_tag_may_set_the_deadline() {
    let text = format!("{SCOPE}[policy]\nat_deadline = \"continue\"\n");
    Config::parse(&text, "test.toml", &Given::default()).unwrap_err();
    let text = format!("{text}[tags]\ngroups = [\"deadline\"]\n");
    Config::parse(&text, "test.toml", &Given::default()).unwrap();
}
