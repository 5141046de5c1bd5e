//! Accepted configurations, and the message of each mistake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use ecs_drain_state::{AtDeadline, Concurrency, Policy, StandaloneTasks, Strategy};
use std::collections::BTreeMap;

pub(crate) const SCOPE: &str = "[[scope]]\nregion = \"eu-west-1\"\nhooks = [\"ecs-drain\"]\n";

pub(crate) fn parse(text: &str) -> Config {
    Config::parse(text, "test.toml", &Given::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the error of a text, as an operator reads it.
pub(crate) fn refusal(text: &str) -> String {
    match Config::parse(text, "test.toml", &Given::default()) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(error) => error.to_string(),
    }
}

/// Returns the error of a policy; its first line is line 5.
fn policy_refusal(rules: &str) -> String {
    refusal(&format!("{SCOPE}[policy]\n{rules}\n"))
}

#[test]
fn the_smallest_file_gives_the_defaults() {
    let config = parse(SCOPE);
    assert_eq!(config.controller, "default");
    assert_eq!(config.table, Table { name: "ecs-drain".to_owned(), region: None });
    assert_eq!(config.policies, Policies::default());
    assert_eq!(config.policies.for_drain(Some("web"), Some("web-asg")), Policy::default());
    assert_eq!(config.poll.groups, Duration::from_secs(15));
    assert_eq!(config.shutdown, Duration::from_secs(20));
    assert!(!config.dry_run);
    let scope = &config.scopes[0];
    assert!(scope.clusters.is_all() && scope.groups == Groups::default() && scope.role.is_none());
}

#[test]
fn the_example_parses_and_its_defaults_are_the_defaults() {
    let example = parse(EXAMPLE);
    assert_eq!(example.policies, Policies::default());
    // "#key = value" is a default, "# words" is not.
    let is_default = |line: &str| {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_alphabetic()))
    };
    let uncommented: String = EXAMPLE
        .lines()
        .map(
            |line| if is_default(line) { format!("{}\n", &line[1..]) } else { format!("{line}\n") },
        )
        .collect();
    let config = parse(&uncommented);
    let defaults = parse(SCOPE);
    assert_eq!(format!("{config:?}"), format!("{defaults:?}"));
    // Every key of the reference is in the example.
    for key in keys::KEYS {
        assert!(EXAMPLE.contains(key.name), "the example does not show {}", key.name);
    }
}

#[test]
fn the_samples_of_the_example_parse() {
    // "#   key = value" is a sample of another value than the default.
    let sampled: String = EXAMPLE
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("#   ").unwrap_or(line)))
        .collect();
    let config = parse(&sampled);
    assert_eq!(
        config.scopes[0].role.as_ref().and_then(|role| role.external_id.as_deref()),
        Some("a-shared-word")
    );
    assert_eq!(config.policies.overrides().len(), 2);
}

#[test]
fn the_reference_gives_the_true_defaults() {
    // Each default of the list, written out, changes nothing.
    let mut text = String::new();
    for section in ["", "table", "poll", "scope", "policy"] {
        match section {
            "" => {}
            "scope" => text.push_str(SCOPE),
            section => text.push_str(&format!("[{section}]\n")),
        }
        for key in keys::KEYS.iter().filter(|key| key.section == section) {
            // An at_deadline needs a deadline.
            if !matches!(key.default, "" | "required") && key.name != "at_deadline" {
                text.push_str(&format!("{} = {}\n", key.name, key.default));
            }
        }
    }
    assert_eq!(format!("{:?}", parse(&text)), format!("{:?}", parse(SCOPE)));
    let at_deadline = keys::KEYS.iter().find(|key| key.name == "at_deadline").unwrap().default;
    assert_eq!(at_deadline, "\"hold\"");
    assert_eq!(Policy::default().at_deadline, AtDeadline::Hold);
}

#[test]
fn the_words_of_the_reference_are_the_words_that_are_allowed() {
    for key in keys::KEYS {
        if let keys::Kind::OneOf(words) = key.kind {
            let refused = policy_refusal(&format!("{} = \"nonsense\"", key.name));
            for word in words {
                assert!(refused.contains(&format!("{word:?}")), "{refused} does not name {word}");
                let deadline = if key.name == "at_deadline" { "deadline = \"1h\"\n" } else { "" };
                parse(&format!("{SCOPE}[policy]\n{deadline}{} = {word:?}\n", key.name));
            }
            assert_eq!(refused.matches('"').count(), 2 * (words.len() + 1), "{refused}");
        }
    }
}

#[test]
fn the_page_in_docs_is_the_reference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == keys::reference(),
        "docs/configuration.md differs from the list of keys; \
         write it anew with `cargo run -- config reference > docs/configuration.md`"
    );
}

#[test]
fn everything_can_be_said() {
    let config = parse(
        r#"
        controller = "blue"
        dry_run = true
        shutdown = "1m"
        [table]
        name = "drains"
        region = "us-gov-west-1"
        [poll]
        groups = "5s"
        [[scope]]
        region = "eu-west-1"
        hooks = ["ecs-drain", "old/hook_1"]
        clusters = ["web", "batch-*"]
        role = { arn = "arn:aws:iam::123456789012:role/x/ecs-drain", external_id = "word" }
        [scope.groups]
        names = ["*-ecs"]
        tags = { team = "web", "ecs:managed" = "*" }
        [[scope]]
        region = "eu-west-1"
        hooks = ["ecs-drain"]
        [policy]
        strategy = "deregister"
        standalone_tasks = { stop_after = "10m" }
        deadline = "2h"
        [[override]]
        clusters = ["web"]
        at_deadline = "continue"
        deadline = "1h30m"
        [[override]]
        groups = ["*-spot"]
        deadline = "none"
        "#,
    );
    assert_eq!(config.controller, "blue");
    assert!(config.dry_run);
    assert_eq!(config.table.region.as_deref(), Some("us-gov-west-1"));
    let tags = BTreeMap::from([
        ("team".to_owned(), "web".to_owned()),
        ("ecs:managed".to_owned(), "yes".to_owned()),
    ]);
    let groups = &config.scopes[0].groups;
    assert!(groups.selects("a-ecs", &tags));
    assert!(!groups.selects("a-ec2", &tags) && !groups.selects("a-ecs", &BTreeMap::new()));

    let policy = config.policies.for_drain(Some("other"), Some("x"));
    assert_eq!(
        (policy.strategy, policy.deadline),
        (Strategy::Deregister, Some(Duration::from_secs(7200)))
    );
    assert_eq!(policy.standalone_tasks, StandaloneTasks::StopAfter(Duration::from_secs(600)));
    let web = config.policies.for_drain(Some("web"), Some("x"));
    assert_eq!(
        (web.deadline, web.at_deadline),
        (Some(Duration::from_secs(5400)), AtDeadline::Continue)
    );
    // The later override wins, and keys that it does not give stay.
    let spot = config.policies.for_drain(Some("web"), Some("web-spot"));
    assert_eq!((spot.deadline, spot.at_deadline), (None, AtDeadline::Continue));
    // An instance in no cluster matches no override that names clusters.
    assert_eq!(config.policies.for_drain(None, Some("x")).at_deadline, AtDeadline::Hold);
}

#[test]
fn single_values_win_over_the_file() {
    let given = Given {
        controller: Some("green".to_owned()),
        table: Some("other".to_owned()),
        table_region: Some("eu-north-1".to_owned()),
        dry_run: Some(true),
        ..Given::default()
    };
    let config =
        Config::parse(&format!("controller = \"blue\"\n{SCOPE}"), "test.toml", &given).unwrap();
    assert_eq!((config.controller.as_str(), config.table.name.as_str()), ("green", "other"));
    assert_eq!(config.table.region.as_deref(), Some("eu-north-1"));
    assert!(config.dry_run);
    let wrong = Given { table: Some("a b".to_owned()), ..Given::default() };
    assert_eq!(
        Config::parse(SCOPE, "test.toml", &wrong).unwrap_err().to_string(),
        "test.toml: --table (or ECS_DRAIN_TABLE) is \"a b\": a table's name has 3 to 255 letters, digits, dots, \
         underscores or hyphens"
    );
}

#[test]
fn an_unknown_key_names_the_nearest() {
    assert_eq!(
        policy_refusal("deadlin = \"2h\""),
        "test.toml:5: unknown key \"deadlin\" in [policy]; did you mean \"deadline\"?"
    );
    assert_eq!(
        policy_refusal("stuck-after = \"2h\""),
        "test.toml:5: unknown key \"stuck-after\" in [policy]; did you mean \"stuck_after\"?"
    );
    assert_eq!(
        refusal(&format!("hooks = [\"x\"]\n{SCOPE}")),
        "test.toml:1: the key \"hooks\" does not belong in the top of the file, but in [[scope]]"
    );
    assert_eq!(
        refusal(&format!("{SCOPE}[table]\ncolour = 1")),
        "test.toml:5: unknown key \"colour\" in [table]; the keys are name, region"
    );
}

#[test]
fn every_mistake_has_its_place() {
    let text = "\
controller = \"a b\"
shutdown = 20
[[scope]]
region = \"Ireland\"
hooks = [\"ecs-drain-*\", \"ecs-managed-draining-termination-hook\"]
clusters = \"web\"
[policy]
read_lag = \"5s\"
deadline = \"3d\"
daemon_tasks = true
";
    assert_eq!(
        refusal(text),
        "\
the configuration has 9 mistakes
  test.toml:1: controller is \"a b\": a controller's name has 1 to 64 letters, digits, dots, underscores or hyphens
  test.toml:2: shutdown is 20: a duration is a string with a unit, such as \"90s\", \"10m\" or \"2h\"
  test.toml:4: scope 1.region is \"Ireland\": a region looks like \"eu-west-1\"
  test.toml:5: an entry of scope 1.hooks is \"ecs-drain-*\": hooks are named exactly, without * and ?, so that no \
other hook is ever completed
  test.toml:5: an entry of scope 1.hooks is \"ecs-managed-draining-termination-hook\": this hook is ECS's own (managed \
instance draining), and only ECS may complete it; add a hook of your own to the group
  test.toml:6: scope 1.clusters is \"web\": it must be an array, such as [\"web\"]
  test.toml:8: policy.read_lag is \"5s\": it must be at least 1m (the proof that everything is gone must outlast reads \
that lag)
  test.toml:9: policy.deadline is \"3d\": it may be at most 48h (Auto Scaling ends every wait after 48 hours)
  test.toml:10: policy.daemon_tasks is true: it must be \"ignore\" or \"wait\""
    );
}

#[test]
fn what_is_missing_is_said() {
    assert_eq!(
        refusal(""),
        "test.toml: there is no [[scope]]: name at least one region and the hooks of ecs-drain in it"
    );
    assert_eq!(
        refusal("[[scope]]\n"),
        "the configuration has 2 mistakes\n  test.toml:1: scope 1.hooks is missing\n  test.toml:1: scope 1.region is missing"
    );
    assert_eq!(
        refusal("[[scope]]\nregion = \"eu-west-1\"\nhooks = []\n"),
        "test.toml:3: scope 1.hooks is an empty array: name at least one hook; without one nothing would ever \
         be drained"
    );
    assert_eq!(
        refusal("[scope]\nregion = \"eu-west-1\"\n"),
        "test.toml:1: scope is a table: it is written [[scope]], with two brackets, once for each"
    );
    assert_eq!(
        refusal("a = \n").split(": ").take(2).collect::<Vec<_>>(),
        ["test.toml:1", "this is not TOML"]
    );
}

#[test]
fn contradictory_keys_are_refused() {
    assert_eq!(
        policy_refusal("at_deadline = \"continue\""),
        "test.toml:5: policy.at_deadline is \"continue\": it has no effect without a deadline; give one, such as \
         deadline = \"2h\""
    );
    // The deadline may come from another section, and a deadline alone is allowed.
    parse(&format!(
        "{SCOPE}[policy]\nat_deadline = \"abandon\"\n[[override]]\nclusters = [\"x\"]\ndeadline = \"1h\"\n"
    ));
    parse(&format!("{SCOPE}[policy]\ndeadline = \"1h\"\n"));
    assert!(policy_refusal("deadline = \"none\"\nat_deadline = \"hold\"").contains("no effect"));
    assert_eq!(
        refusal(&format!("{SCOPE}{SCOPE}")),
        "test.toml:4: scope 2 is a second scope with region eu-west-1 and no role: join the two"
    );
    let queue = "queue = \"https://sqs.eu-west-1.amazonaws.com/123456789012/drain\"\n";
    let other = SCOPE.replace("eu-west-1", "eu-west-2");
    assert_eq!(
        refusal(&format!("{SCOPE}{queue}{other}{queue}")),
        "test.toml:5: scope 2 has the queue of another scope, \
         https://sqs.eu-west-1.amazonaws.com/123456789012/drain: each needs one of its own"
    );
    assert_eq!(
        refusal(&format!("{SCOPE}[[override]]\npoll = \"10s\"\n")),
        "test.toml:4: override 1 names neither clusters nor groups; rules for all belong in [policy]"
    );
    assert_eq!(
        policy_refusal("standalone_tasks = \"stop\""),
        "test.toml:5: policy.standalone_tasks is \"stop\": it must be \"wait\" or { stop_after = \"10m\" }"
    );
}

#[test]
fn hostile_text_is_refused_and_not_more() {
    let deep = format!("x = {}", "[".repeat(100_000));
    for text in [
        "\u{0}",
        "= = =",
        "[[scope]\n",
        deep.as_str(),
        "scope = 1",
        "policy = []",
        "scope = [1, \"x\"]",
    ] {
        assert!(Config::parse(text, "test.toml", &Given::default()).is_err());
    }
}

#[test]
fn the_table_alone_needs_no_file() {
    let (controller, table) = table_only(&Given::default()).unwrap();
    assert_eq!(
        (controller.as_str(), table.name.as_str(), table.region),
        ("default", "ecs-drain", None)
    );
    assert!(table_only(&Given { table: Some("x".to_owned()), ..Given::default() }).is_err());
}

#[test]
fn budgets_are_numbers_or_shares() {
    let policy = |line: &str| {
        let config = parse(&format!("{SCOPE}[policy]\n{line}"));
        config.policies.default_policy().clone()
    };
    assert_eq!(policy("max_concurrent = 3").max_concurrent, Concurrency::Count(3));
    assert_eq!(policy("max_concurrent = \"10%\"").max_concurrent, Concurrency::Percent(10));
    assert_eq!(policy("max_concurrent_group = \"none\"").max_concurrent_group, None);
    assert_eq!(
        policy("max_concurrent_group = 5").max_concurrent_group,
        Some(Concurrency::Count(5))
    );
    assert_eq!(
        policy("max_concurrent_service = \"20%\"").max_concurrent_service,
        Some(Concurrency::Percent(20))
    );
    assert!(policy("require_steady = true").require_steady);
    assert!(policy("service_tags = true").service_tags);
    assert!(policy("hold_lifecycle = true").hold_lifecycle);
    for wrong in ["0", "-1", "1.5", "\"0%\"", "\"101%\"", "\"many\"", "\"10\"", "true", "[1]"] {
        let said = refusal(&format!("{SCOPE}[policy]\nmax_concurrent = {wrong}"));
        assert!(
            said.contains("it must be a number, 1 or more, or a share such as \"10%\""),
            "{said}"
        );
    }
}

#[test]
fn a_queue_is_a_url_of_a_standard_queue() {
    let queue = |url: &str| format!("{SCOPE}queue = \"{url}\"");
    let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/ecs-drain";
    assert_eq!(parse(&queue(url)).scopes[0].queue.as_deref(), Some(url));
    for wrong in
        ["", "ecs-drain", "arn:aws:sqs:eu-west-1:1:x", "https://", "https://sqs/", "https:///1/x"]
    {
        assert!(refusal(&queue(wrong)).contains("a queue's URL looks like"), "{wrong}");
    }
    assert!(refusal(&queue(&format!("{url}.fifo"))).contains("a FIFO queue cannot"));
}

/// Otherwise it would start, and work nowhere.
#[test]
fn an_empty_list_of_scopes_is_no_scope() {
    let said = "test.toml:2: there is no [[scope]]: name at least one region and the hooks of ecs-drain in it";
    assert_eq!(refusal("\nscope = []\n"), said);
}

/// People see the line; nothing in it steers their terminal, and a value of several lines is cut.
#[test]
fn for_people_each_mistake_is_marked_in_its_line() {
    let text = "[[scope]]\nregion = \"eu-west-1\"\nhoks = [\"a\"]\nhooks = [\n\"b\",\n3]\n[policy]\n\
                strategy = '''\nx\n'''\n";
    let error = Config::parse(text, "test.toml", &Given::default()).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "\
the configuration has 3 mistakes
test.toml:3: unknown key \"hoks\" in [[scope]]; did you mean \"hooks\"?
  |
3 | hoks = [\"a\"]
  | ^^^^
test.toml:6: an entry of scope 1.hooks is 3: it must be a string, in quotes
  |
6 | 3]
  | ^
test.toml:8: policy.strategy is \"x\\n\": it must be \"drain\" or \"deregister\"
  |
8 | strategy = '''
  |            ^^^"
    );
    let hostile = Config::parse("foo\u{202e} = 1\u{1b}[2J", "test.toml", &Given::default());
    let text = format!("{:#}", hostile.unwrap_err());
    assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text:?}");
}

#[test]
fn every_mistake_is_one_line_whatever_it_quotes() {
    let scope = |more: &str| refusal(&format!("{SCOPE}{more}\n"));
    assert_eq!(
        scope(r#"groups = { tags = { "a\nb\u001b[31m" = 1, "" = 2 } }"#),
        "the configuration has 2 mistakes\n  \
         test.toml:4: scope 1.groups.tags.\"a\\nb\\u{1b}[31m\" is 1: it must be a string, in quotes\n  \
         test.toml:4: scope 1.groups.tags.\"\" is 2: it must be a string, in quotes"
    );
    let role = scope(r#"role = { arn = "arn:aws:iam::123456789012:role/a\nb" }"#);
    assert!(
        role.starts_with(
            "test.toml:4: scope 1.role.arn is \"arn:aws:iam::123456789012:role/a\\nb\": a role's"
        ),
        "{role}"
    );
    let queue = scope(r#"queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/a b""#);
    assert!(queue.contains("a queue's URL looks like"), "{queue}");
}
