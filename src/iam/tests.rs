//! The permissions of each policy.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::config::Given;

fn config(text: &str) -> Config {
    Config::parse(text, "x", &Given::default()).unwrap()
}

fn of(text: &str, whom: Whom<'_>) -> Document {
    policy(&subject(&config(text), whom, "123456789012", "eu-west-1", Orders::Keep))
}

/// Returns the resources of each allowed action of a policy.
fn allowed(document: &Document) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut allowed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for statement in &document.statement {
        for action in &statement.action {
            allowed.entry(action).or_default().extend(statement.resource.iter().cloned());
        }
    }
    allowed
}

const SMALL: &str = "[[scope]]\nregion = \"eu-west-1\"\nhooks = [\"ecs-drain\"]\n";

#[test]
fn every_call_has_its_place_and_nothing_else_has() {
    let made: BTreeSet<&str> = calls::ALL.iter().map(|call| call.iam_action).collect();
    let free = FREE.iter().map(|call| call.iam_action);
    let placed: BTreeSet<&str> = SHAPES
        .iter()
        .flat_map(|shape| shape.calls)
        .map(|call| call.iam_action)
        .chain(free)
        .collect();
    assert_eq!(placed, made);
    let names: BTreeSet<&str> = SHAPES.iter().map(|shape| shape.sid).collect();
    assert_eq!(names.len(), SHAPES.len());
    assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric())));
}

#[test]
fn a_feature_that_is_off_needs_nothing() {
    let small = of(SMALL, Whom::Controller);
    let dear =
        ["ecs:StopTask", "ecs:DeregisterContainerInstance", "sqs:ReceiveMessage", "sts:AssumeRole"];
    for action in dear {
        assert!(!allowed(&small).contains_key(action), "{action}");
    }
    let text = format!(
        "{SMALL}queue = \"https://sqs.eu-west-1.amazonaws.com/123456789012/events\"\n\
         [[override]]\nclusters = [\"jobs\"]\nstrategy = \"deregister\"\nstandalone_tasks = {{ stop_after = \"1h\" }}\n\
         [[scope]]\nregion = \"eu-west-1\"\nhooks = [\"x\"]\nrole = {{ arn = \"arn:aws:iam::999999999999:role/r\" }}\n"
    );
    let all = of(&text, Whom::Controller);
    for action in dear {
        assert!(allowed(&all).contains_key(action), "{action}");
    }
    assert_eq!(
        allowed(&all)["sts:AssumeRole"],
        BTreeSet::from(["arn:aws:iam::999999999999:role/r".to_owned()])
    );
    assert_eq!(
        allowed(&all)["sqs:ReceiveMessage"],
        BTreeSet::from(["arn:aws:sqs:eu-west-1:123456789012:events".to_owned()])
    );
}

#[test]
fn mutating_calls_are_limited_to_the_chosen_resources() {
    let text = format!(
        "{SMALL}clusters = [\"web-*\", \"jobs\"]\ngroups = {{ names = [\"web-*\"], tags = {{ team = \"a\", drain = \"*\" }} }}\n"
    );
    let document = of(&text, Whom::Controller);
    let allowed = allowed(&document);
    assert_eq!(
        allowed["ecs:UpdateContainerInstancesState"],
        BTreeSet::from([
            "arn:aws:ecs:eu-west-1:123456789012:container-instance/jobs/*".to_owned(),
            "arn:aws:ecs:eu-west-1:123456789012:container-instance/web-*/*".to_owned(),
        ])
    );
    assert_eq!(
        allowed["ecs:ListContainerInstances"],
        BTreeSet::from(["arn:aws:ecs:eu-west-1:123456789012:cluster/*".to_owned()])
    );
    let complete = document
        .statement
        .iter()
        .find(|s| s.action.contains(&"autoscaling:CompleteLifecycleAction"));
    assert_eq!(
        serde_json::to_value(complete.unwrap()).unwrap()["Condition"],
        serde_json::json!({
            "Null": {"autoscaling:ResourceTag/drain": "false"},
            "StringEquals": {"autoscaling:ResourceTag/team": "a"},
        })
    );
}

#[test]
fn scopes_with_other_tags_have_statements_of_their_own() {
    let text = format!(
        "{SMALL}groups = {{ tags = {{ team = \"a\" }} }}\n[[scope]]\nregion = \"eu-west-2\"\nhooks = [\"h\"]\n"
    );
    let sids: Vec<String> =
        of(&text, Whom::Controller).statement.into_iter().map(|s| s.sid).collect();
    assert!(sids.contains(&"HoldAndCompleteLifecycleActions1".to_owned()), "{sids:?}");
    assert!(sids.contains(&"HoldAndCompleteLifecycleActions2".to_owned()), "{sids:?}");
    assert!(sids.contains(&"SetDraining".to_owned()), "{sids:?}");
}

#[test]
fn a_role_of_another_account_needs_its_own_scopes_and_no_table() {
    const ROLE: &str = "arn:aws:iam::999999999999:role/ecs-drain";
    let text = format!(
        "{SMALL}[[scope]]\nregion = \"us-gov-west-1\"\nhooks = [\"x\"]\nclusters = [\"far\"]\nrole = {{ arn = \"{ROLE}\" }}\n"
    );
    let allowed = allowed(&of(&text, Whom::Role(ROLE)));
    assert!(
        !allowed.keys().any(|action| action.starts_with("dynamodb:") || action.starts_with("sts:"))
    );
    assert_eq!(
        allowed["ecs:UpdateContainerInstancesState"],
        BTreeSet::from([
            "arn:aws-us-gov:ecs:us-gov-west-1:999999999999:container-instance/far/*".to_owned()
        ])
    );
}

#[test]
fn a_dry_run_can_change_nothing() {
    let dry = of(SMALL, Whom::DryRun);
    let allowed = allowed(&dry);
    assert!(
        allowed.contains_key("ecs:ListTasks")
            && !allowed.keys().any(|action| action.starts_with("dynamodb:"))
    );
    for action in allowed.keys() {
        let operation = action.split_once(':').unwrap().1;
        let reads = ["List", "Describe", "Get"].iter().any(|word| operation.starts_with(word));
        assert!(reads, "{action}");
    }
}

/// Returns the keys of the items that a person may write, and of those that they may delete.
fn keys(document: &Document) -> [Vec<String>; 2] {
    ["dynamodb:PutItem", "dynamodb:DeleteItem"].map(|action| {
        let of = document.statement.iter().filter(|statement| statement.action.contains(&action));
        let keys = of.flat_map(|statement| {
            match statement.condition["ForAllValues:StringLike"].get("dynamodb:LeadingKeys") {
                Some(Words::Several(keys)) => keys.clone(),
                Some(Words::One(_)) | None => panic!("{action} without keys"),
            }
        });
        keys.collect()
    })
}

#[test]
fn people_may_ask_and_not_act() {
    let everything = May::default();
    let document = of(SMALL, Whom::Operator(&everything));
    // Neither a record nor a lease, and nothing of another controller.
    assert_eq!(
        keys(&document),
        [vec!["request/default/*", "pause/default/*"], vec!["pause/default/*"]]
    );
    let operator = allowed(&document);
    assert!(!operator.contains_key("dynamodb:UpdateItem"));
    let reader = allowed(&of(SMALL, Whom::Reader));
    for action in operator.keys().filter(|action| !action.starts_with("dynamodb:")) {
        let operation = action.split_once(':').unwrap().1;
        assert!(operation.starts_with("List") || operation.starts_with("Describe"), "{action}");
    }
    assert_eq!(
        reader.keys().copied().collect::<Vec<_>>(),
        ["dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan"]
    );
}

#[test]
fn people_may_ask_for_less() {
    let may = |verbs: &[Verb], clusters: &[&str]| {
        let clusters = clusters.iter().map(|cluster| (*cluster).to_owned()).collect();
        of(SMALL, Whom::Operator(&May { verbs: verbs.iter().copied().collect(), clusters }))
    };
    let [asked, resumed] = keys(&may(&[Verb::Pause, Verb::Resume], &["web-*", "jobs"]));
    assert_eq!(
        asked,
        [
            "request/default/pause/*/*/web-*/*",
            "request/default/pause/*/*/jobs/*",
            "request/default/resume/*/*/web-*/*",
            "request/default/resume/*/*/jobs/*",
            "pause/default/*/*/web-*",
            "pause/default/*/*/jobs",
        ]
    );
    assert_eq!(resumed, ["pause/default/*/*/web-*", "pause/default/*/*/jobs"]);
    // Without pause and resume, no key of a pause.
    let cancel = may(&[Verb::Cancel], &[]);
    assert_eq!(keys(&cancel), [vec!["request/default/cancel/*"], vec![]]);
    let all = keys(&may(&[], &["web"]));
    let verbs = ["drain", "cancel", "pause", "resume", "extend", "retry", "force"];
    let mut asked = verbs.map(|verb| format!("request/default/{verb}/*/*/web/*")).to_vec();
    asked.push("pause/default/*/*/web".to_owned());
    assert_eq!(all, [asked, vec!["pause/default/*/*/web".to_owned()]]);
    // A rollout can have a cluster's name, and instances of any cluster.
    assert_eq!(keys(&may(&[Verb::Rollout], &["web"])), [vec![""; 0], vec![]]);
    let rollout = may(&[Verb::Rollout], &[]);
    assert_eq!(keys(&rollout), [vec!["request/default/rollout-*/*"], vec![]]);
    assert!(allowed(&rollout).contains_key("autoscaling:DescribeAutoScalingInstances"));
    // A person who only cancels reads no instance, and no cluster.
    let reads = |document: &Document| {
        allowed(document).keys().filter(|action| action.starts_with("ecs:")).count()
    };
    assert_eq!(
        [reads(&cancel), reads(&may(&[Verb::Pause], &[])), reads(&may(&[Verb::Drain], &[]))],
        [0, 1, 3]
    );
}

#[test]
fn a_controller_deletes_its_lease_alone() {
    let document = of(&format!("controller = \"blue\"\n{SMALL}"), Whom::Controller);
    let deletes: Vec<_> = document
        .statement
        .iter()
        .filter(|statement| statement.action.contains(&"dynamodb:DeleteItem"))
        .collect();
    assert_eq!(deletes.len(), 1);
    assert_eq!(
        serde_json::to_string(&deletes[0].condition).unwrap(),
        r#"{"ForAllValues:StringLike":{"dynamodb:LeadingKeys":["lease/blue"]}}"#
    );
}

#[test]
fn nothing_is_terminated_unless_something_needs_it() {
    const TERMINATE: &str = "autoscaling:TerminateInstanceInAutoScalingGroup";
    const CAPACITY: &str = "autoscaling:SetDesiredCapacity";
    let rebalance = |what: &str| format!("{SMALL}[policy]\nrebalance = \"{what}\"\n");
    for (text, orders, allows) in [
        (SMALL.to_owned(), Orders::Keep, false),
        (SMALL.to_owned(), Orders::Terminate, true),
        (SMALL.to_owned(), Orders::RollOut, true),
        (rebalance("keep"), Orders::Keep, false),
        (rebalance("terminate"), Orders::Keep, true),
    ] {
        let document = policy(&subject(&config(&text), Whom::Controller, "*", "eu-west-1", orders));
        let allowed = allowed(&document);
        assert_eq!(allowed.contains_key(TERMINATE), allows, "{text} {orders:?}");
        // A capacity can be set to zero: only rollouts need it.
        assert_eq!(allowed.contains_key(CAPACITY), orders == Orders::RollOut, "{text} {orders:?}");
    }
}

#[test]
fn an_account_that_is_not_known_is_noticed() {
    let any = |whom: Whom<'_>, account: &str| {
        policy(&subject(&config(SMALL), whom, account, "eu-west-1", Orders::Keep))
            .is_of_any_account()
    };
    assert!(any(Whom::Controller, "*") && any(Whom::Reader, "*"));
    assert!(!any(Whom::Controller, "123456789012"));
}
