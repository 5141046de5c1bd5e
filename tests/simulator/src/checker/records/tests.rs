#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::json;

use super::*;
use crate::testing::{GROUP, HOOK, ask, autoscaling, cloud, ecs, send, table};
use crate::{Cloud, Fault, Matcher, Rule};

const KEY: &str = "123456789012/us-east-1/i-1";

fn rules() -> RecordRules {
    RecordRules {
        table: "drains",
        key: "key",
        others: &["lease/"],
        phase: "phase",
        version: "version",
        generation: "generation",
        intent: ("intent", "result"),
        first: "Pending",
        last: "Done",
        completing: "Completing",
        returning: "Returning",
        moves: BTreeSet::from([
            ("Pending", "Waiting"),
            ("Waiting", "Verifying"),
            ("Verifying", "Waiting"),
            ("Verifying", "Completing"),
            ("Completing", "Done"),
        ]),
        through: &["Waiting", "Verifying"],
        noted_before: &[("TerminateInstanceInAutoScalingGroup", "asked_at")],
        paused: "paused",
        budget: None,
        deregistered: ("registrations", "arn", "deregistered_at"),
    }
}

/// Creates a cloud with this record in its table, which is judged from then on.
fn with(record: Option<&Value>) -> Cloud {
    let mut cloud = cloud();
    table(&mut cloud, record.map(std::slice::from_ref).unwrap_or_default());
    cloud.checkers.records(rules());
    cloud
}

fn record(phase: &str, version: u64, generation: u64) -> Value {
    json!({
        "key": { "S": KEY },
        "phase": { "S": phase },
        "version": { "N": version.to_string() },
        "generation": { "N": generation.to_string() },
    })
}

fn completing(result: &str) -> Value {
    let mut record = record("Completing", 3, 1);
    record["intent"] = json!({ "M": { "result": { "S": result } } });
    record
}

fn put(record: &Value) -> Value {
    json!({ "TableName": "drains", "Item": record })
}

fn broken(cloud: &Cloud) -> Vec<String> {
    cloud
        .violations()
        .iter()
        .map(|broken| format!("{}: {} {}", broken.checker, broken.instance, broken.text))
        .collect()
}

/// Returns the violations when one record becomes another.
fn becomes(before: Option<&Value>, after: &Value) -> Vec<String> {
    let mut cloud = with(before);
    ask(&mut cloud, "PutItem", &put(after));
    broken(&cloud)
}

#[test]
fn a_phase_moves_as_the_rules_say_and_no_other_way() {
    assert!(becomes(None, &record("Pending", 1, 1)).is_empty());
    assert_eq!(
        becomes(None, &record("Waiting", 1, 1)),
        ["illegal phase move: i-1 nothing → Waiting"]
    );
    let waiting = record("Waiting", 2, 1);
    assert!(becomes(Some(&waiting), &record("Completing", 3, 1)).is_empty());
    assert!(becomes(Some(&waiting), &record("Waiting", 3, 1)).is_empty());
    assert_eq!(
        becomes(Some(&waiting), &record("Done", 3, 1)),
        ["illegal phase move: i-1 Waiting → Done"]
    );
    assert_eq!(
        becomes(Some(&waiting), &record("Pending", 3, 1)),
        ["illegal phase move: i-1 Waiting → Pending"]
    );
    // By way of Waiting and Verifying, but never through Completing without a write in that phase.
    assert!(becomes(Some(&record("Pending", 2, 1)), &record("Completing", 3, 1)).is_empty());
    assert_eq!(
        becomes(Some(&record("Pending", 2, 1)), &record("Done", 3, 1)),
        ["illegal phase move: i-1 Pending → Done"]
    );
}

#[test]
fn a_version_grows_by_one_with_each_write() {
    let before = record("Waiting", 2, 1);
    assert_eq!(
        becomes(Some(&before), &record("Completing", 2, 1)),
        ["version going back: i-1 version 2 → 2"]
    );
    assert_eq!(
        becomes(Some(&before), &record("Waiting", 1, 1)),
        ["version going back: i-1 version 2 → 1"]
    );
    assert_eq!(
        becomes(Some(&before), &record("Waiting", 4, 1)),
        ["version going back: i-1 version 2 → 4"]
    );
    assert_eq!(becomes(None, &record("Pending", 2, 1)), ["version going back: i-1 version 0 → 2"]);
    assert!(becomes(Some(&before), &before).is_empty(), "nothing was changed");
}

#[test]
fn a_generation_follows_one_that_has_ended() {
    let done = record("Done", 5, 1);
    assert!(becomes(Some(&done), &record("Pending", 6, 2)).is_empty());
    assert_eq!(
        becomes(Some(&done), &record("Pending", 6, 1)),
        ["illegal phase move: i-1 Done → Pending"]
    );
    assert_eq!(
        becomes(Some(&done), &record("Waiting", 6, 2)),
        ["illegal phase move: i-1 Done → Waiting"]
    );
    assert_eq!(
        becomes(Some(&done), &record("Pending", 6, 3)),
        ["version going back: i-1 generation 1 → 3 of one that is Done"]
    );
    assert_eq!(
        becomes(Some(&record("Waiting", 5, 1)), &record("Pending", 6, 2)),
        ["version going back: i-1 generation 1 → 2 of one that is Waiting"]
    );
    assert_eq!(
        becomes(Some(&record("Done", 5, 2)), &record("Pending", 6, 1)),
        ["version going back: i-1 generation 2 → 1 of one that is Done"]
    );
}

#[test]
fn every_way_to_write_is_judged_once_it_is_applied_and_only_then() {
    let update = |condition: &str| {
        json!({
            "TableName": "drains",
            "Key": { "key": { "S": KEY } },
            "UpdateExpression": "SET phase = :done",
            "ConditionExpression": condition,
            "ExpressionAttributeValues": { ":done": { "S": "Done" } },
        })
    };
    let waiting = record("Waiting", 2, 1);
    let both = ["version going back: i-1 version 2 → 2", "illegal phase move: i-1 Waiting → Done"];
    let after = |target: &str, body: &Value| {
        let mut cloud = with(Some(&waiting));
        send(&mut cloud, target, body);
        broken(&cloud)
    };
    assert_eq!(after("UpdateItem", &update("attribute_exists(phase)")), both);
    assert!(after("UpdateItem", &update("attribute_not_exists(phase)")).is_empty(), "refused");
    let transaction = json!({ "TransactItems": [{ "Update": update("attribute_exists(phase)") }] });
    assert_eq!(after("TransactWriteItems", &transaction), both);
    let batch = json!({ "RequestItems": { "drains": [{ "PutRequest": { "Item": record("Done", 2, 1) } }] } });
    assert_eq!(after("BatchWriteItem", &batch), both);
    let delete = json!({ "TableName": "drains", "Key": { "key": { "S": KEY } } });
    assert_eq!(after("DeleteItem", &delete), ["record deleted: i-1 by the program itself"]);
    let lease = json!({ "TableName": "drains", "Key": { "key": { "S": "lease/main" } } });
    assert!(after("DeleteItem", &lease).is_empty(), "no record");

    let mut cloud = with(Some(&waiting));
    cloud.faults.add(Rule::new(
        Matcher::Number(cloud.controller_calls() + 1),
        Fault::LateApply(SimTime::from_secs(30)),
    ));
    send(&mut cloud, "UpdateItem", &update("attribute_exists(phase)"));
    assert!(broken(&cloud).is_empty());
    cloud.advance(cloud.now() + SimTime::from_secs(31));
    assert_eq!(broken(&cloud), both, "applied late");
}

/// Returns the violations of a completion, given the record.
fn completes(record: Option<&Value>, result: &str) -> Vec<String> {
    let mut cloud = with(record);
    cloud.checkers.may_be_premature("i-1");
    cloud.terminate("i-1", false).unwrap();
    cloud.advance(cloud.now() + SimTime::from_secs(10));
    let fields = [
        ("AutoScalingGroupName", GROUP),
        ("LifecycleHookName", HOOK),
        ("InstanceId", "i-1"),
        ("LifecycleActionResult", result),
    ];
    let answer = autoscaling(&mut cloud, "CompleteLifecycleAction", &fields);
    assert!(!answer.contains("Error"), "{answer}");
    broken(&cloud)
}

#[test]
fn a_completion_is_saved_before_it_is_sent() {
    assert!(completes(Some(&completing("CONTINUE")), "CONTINUE").is_empty());
    assert_eq!(
        completes(Some(&completing("CONTINUE")), "ABANDON"),
        ["wrong result sent: i-1 ABANDON, and the record says CONTINUE"]
    );
    let mut told_already = completing("CONTINUE");
    told_already["phase"] = json!({ "S": "Done" });
    assert!(
        completes(Some(&told_already), "CONTINUE").is_empty(),
        "by another replica, a moment ago"
    );
    let without = record("Completing", 3, 1);
    let unsaved = |phase: &str| {
        vec![format!("unsaved completion: i-1 CONTINUE while the record says {phase}")]
    };
    assert_eq!(completes(Some(&without), "CONTINUE"), unsaved("Completing"));
    assert_eq!(completes(Some(&record("Waiting", 2, 1)), "CONTINUE"), unsaved("Waiting"));
    assert_eq!(completes(None, "CONTINUE"), unsaved("no record"));
}

#[test]
fn a_termination_is_noted_before_it_is_sent() {
    let terminates = |record: &Value| {
        let mut cloud = with(Some(record));
        cloud.checkers.allow_terminate("i-1");
        cloud.checkers.may_be_premature("i-1");
        let fields = [("InstanceId", "i-1"), ("ShouldDecrementDesiredCapacity", "false")];
        autoscaling(&mut cloud, "TerminateInstanceInAutoScalingGroup", &fields);
        broken(&cloud)
    };
    let mut noted = record("Waiting", 2, 1);
    assert_eq!(
        terminates(&noted),
        [
            "unsaved act: i-1 TerminateInstanceInAutoScalingGroup without asked_at in a record (Waiting)"
        ]
    );
    noted["asked_at"] = json!({ "S": "2026-01-05T09:00:00Z" });
    assert!(terminates(&noted).is_empty());
}

#[test]
fn a_deregistration_is_noted_before_it_is_sent() {
    let deregisters = |field: &str, another: bool| {
        let mut cloud = with(None);
        cloud.checkers.allow_operator("i-1");
        let (_, instance) = cloud.world.ecs.instances_of("i-1").next().unwrap();
        let arn =
            format!("arn:aws:ecs:us-east-1:123456789012:container-instance/web/{}", instance.id);
        let noted = if another { format!("{arn}0") } else { arn.clone() };
        let mut record = record("Pending", 1, 1);
        record["registrations"] =
            json!({ "L": [{ "M": { "arn": { "S": noted }, field: { "S": "now" } } }] });
        ask(&mut cloud, "PutItem", &put(&record));
        let call = json!({ "cluster": "web", "containerInstance": arn, "force": true });
        ecs(&mut cloud, "DeregisterContainerInstance", &call);
        broken(&cloud)
            .iter()
            .map(|broken| broken.split(':').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(deregisters("deregistered_at", false).is_empty());
    assert_eq!(deregisters("seen_at", false), ["unsaved act"]);
    assert_eq!(deregisters("deregistered_at", true), ["unsaved act"]);
}

/// Creates a cloud whose budgets are judged: one drain of a cluster and two of a group at once.
fn with_budget(holds_lifecycle: bool) -> Cloud {
    let mut cloud = with(None);
    let budget = Budget {
        controller: "controller",
        cluster: "cluster",
        group: "group",
        lifecycle: "lifecycle",
        exempt: ("origin", "spot"),
        holds_lifecycle,
        over: ("retained", ("then", "leave")),
        of_cluster: Some(1),
        of_group: None,
        of_service: None,
    };
    cloud.checkers.records(rules().with_budget(budget));
    cloud
}

/// Returns a record of an instance of this cluster, with one more attribute.
fn drain_of(instance: &str, cluster: &str, phase: &str, version: u64, more: (&str, &str)) -> Value {
    let mut record = record(phase, version, 1);
    record["key"] = json!({ "S": format!("123456789012/us-east-1/{instance}") });
    record["cluster"] = json!({ "S": cluster });
    record[more.0] = json!({ "S": more.1 });
    record
}

#[test]
fn no_more_drains_begin_in_a_cluster_than_its_budget_allows() {
    let second = |cluster: &str, more: (&str, &str), holds_lifecycle: bool| {
        let mut cloud = with_budget(holds_lifecycle);
        for (instance, cluster) in [("i-1", "web"), ("i-2", cluster)] {
            ask(&mut cloud, "PutItem", &put(&drain_of(instance, cluster, "Pending", 1, more)));
            ask(&mut cloud, "PutItem", &put(&drain_of(instance, cluster, "Waiting", 2, more)));
        }
        broken(&cloud)
    };
    let asked = ("origin", "operator");
    let too_many = vec!["more than the budget: i-2 1 go on in web already".to_owned()];
    assert_eq!(second("web", asked, false), too_many);
    assert!(second("batch", asked, false).is_empty(), "another cluster");
    assert!(second("web", ("origin", "spot"), false).is_empty(), "waits for no turn");
    assert!(second("web", ("lifecycle", "hook"), false).is_empty(), "is not held back");
    assert_eq!(second("web", ("lifecycle", "hook"), true), too_many);

    let mut cloud = with_budget(false);
    for (instance, phase, version) in [
        ("i-1", "Pending", 1),
        ("i-1", "Completing", 2),
        ("i-1", "Done", 3),
        ("i-2", "Pending", 1),
        ("i-2", "Waiting", 2),
    ] {
        ask(&mut cloud, "PutItem", &put(&drain_of(instance, "web", phase, version, asked)));
    }
    assert!(broken(&cloud).is_empty(), "the first has ended");
}

#[test]
fn a_drain_that_is_paused_is_left_alone() {
    let stops_after = |seconds: u64, paused: bool| {
        let mut cloud = with_budget(false);
        cloud.checkers.allow_operator("i-1");
        let mut record = record("Waiting", 2, 1);
        ask(&mut cloud, "PutItem", &put(&record));
        record["version"] = json!({ "N": "3" });
        if paused {
            record["paused"] = json!({ "S": "by Ada" });
        }
        ask(&mut cloud, "PutItem", &put(&record));
        cloud.advance(cloud.now() + SimTime::from_secs(seconds));
        let (_, instance) = cloud.world.ecs.instances_of("i-1").next().unwrap();
        let call =
            json!({ "cluster": "web", "containerInstances": [instance.id], "status": "DRAINING" });
        ecs(&mut cloud, "UpdateContainerInstancesState", &call);
        let checkers = broken(&cloud);
        checkers.iter().filter(|broken| broken.starts_with("paused, and touched: i-1")).count()
    };
    assert_eq!(stops_after(300, true), 1);
    assert_eq!(stops_after(60, true), 0, "it may not be known yet");
    assert_eq!(stops_after(300, false), 0);
}

#[test]
fn a_drain_is_opened_again_only_while_a_hook_of_ours_holds_its_instance() {
    let opens_again = |waits: bool, lifecycle: bool| {
        let mut cloud = with_budget(false);
        if waits {
            cloud.terminate("i-1", false).unwrap();
            cloud.advance(cloud.now() + SimTime::from_secs(10));
        }
        ask(&mut cloud, "PutItem", &put(&record("Pending", 1, 1)));
        ask(&mut cloud, "PutItem", &put(&record("Done", 2, 1)));
        let mut again = record("Pending", 3, 2);
        if lifecycle {
            again["lifecycle"] = json!({ "M": {} });
        }
        ask(&mut cloud, "PutItem", &put(&again));
        broken(&cloud)
            .into_iter()
            .filter(|broken| broken.starts_with("opened again"))
            .collect::<Vec<_>>()
    };
    assert!(opens_again(true, true).is_empty());
    assert_eq!(opens_again(false, true), ["opened again: i-1 no action of ours holds it"]);
    assert!(opens_again(false, false).is_empty(), "an operator's");
}

#[test]
fn a_group_is_asked_once_to_terminate_an_instance() {
    let mut cloud = with(None);
    cloud.checkers.allow_terminate("i-1");
    cloud.checkers.may_be_premature("i-1");
    let mut noted = record("Pending", 1, 1);
    noted["asked_at"] = json!({ "S": "2026-01-05T09:00:00Z" });
    ask(&mut cloud, "PutItem", &put(&noted));
    let fields = [("InstanceId", "i-1"), ("ShouldDecrementDesiredCapacity", "true")];
    autoscaling(&mut cloud, "TerminateInstanceInAutoScalingGroup", &fields);
    assert!(broken(&cloud).is_empty());
    autoscaling(&mut cloud, "TerminateInstanceInAutoScalingGroup", &fields);
    assert_eq!(
        broken(&cloud),
        ["terminated twice: i-1 asked once more, while the first request is being carried out"]
    );
}

#[test]
fn a_log_with_contents_tells_answers_apart() {
    let said = |n: u32| {
        let mut cloud = with(None);
        cloud.log.clear();
        cloud.log.contents = true;
        ask(
            &mut cloud,
            "PutItem",
            &put(&json!({ "key": { "S": "lease/main" }, "n": { "N": n.to_string() } })),
        );
        ask(
            &mut cloud,
            "GetItem",
            &json!({ "TableName": "drains", "Key": { "key": { "S": "lease/main" } } }),
        );
        cloud.log.to_string()
    };
    assert_eq!(said(1), said(1));
    let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (lines(said(1)), lines(said(2)));
    let asked = |line: &str| {
        line.split('#').nth(1).map(|digests| digests.split('/').next().unwrap().to_owned())
    };
    assert_ne!(asked(&one[0]), asked(&other[0]), "another item was written");
    assert_eq!(asked(&one[1]), asked(&other[1]), "the same was asked");
    assert_ne!(one[1], other[1], "and another item was answered");
}
