//! The IAM policy allows exactly the calls that the program makes, on what each needs, and nothing else.

use ecs_drain::aws::calls;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Calls that need no permission. (Source: STS API reference, GetCallerIdentity.)
const FREE: &[&str] = &["sts:GetCallerIdentity"];

/// Each action of the policy, with what it is allowed on.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/iam/policy.json");
    let policy: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let texts = |value: &Value| -> Vec<String> {
        let one = |v: &Value| v.as_str().unwrap().to_owned();
        value.as_array().map_or_else(|| vec![one(value)], |all| all.iter().map(one).collect())
    };
    let mut allowed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for statement in policy["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        for action in texts(&statement["Action"]) {
            assert!(!action.contains('*'), "{action} allows more than one call");
            allowed.entry(action).or_default().extend(texts(&statement["Resource"]));
        }
    }
    allowed
}

#[test]
fn the_policy_allows_every_call_that_is_made_and_no_other() {
    let made: BTreeSet<&str> = calls::ALL.iter().map(|c| c.iam_action).filter(|a| !FREE.contains(a)).collect();
    let allowed = allowed();
    let allowed: BTreeSet<&str> = allowed.keys().map(String::as_str).collect();
    assert_eq!(allowed, made);
}

#[test]
fn each_call_is_allowed_on_the_kind_of_resource_that_it_acts_on() {
    let allowed = allowed();
    for call in calls::ALL.iter().filter(|c| !FREE.contains(&c.iam_action)) {
        // The kind is what comes before the name: arn:…:container-instance/, arn:…:table/.
        let kind =
            |arn: &str| arn.split('/').next().unwrap().trim_end_matches("*").trim_end_matches("ecs-drain").to_owned();
        let needed = kind(&call.iam_resource.replace("PARTITION", "aws"));
        let granted: BTreeSet<String> = allowed[call.iam_action].iter().map(|arn| kind(arn)).collect();
        assert_eq!(granted, BTreeSet::from([needed]), "{}", call.iam_action);
    }
}

/// Safety by what is not there: no load balancer is written, no group or hook is changed, and nothing is terminated but by an operator's order.
#[test]
fn nothing_else_can_be_touched() {
    for action in allowed().keys() {
        let (service, operation) = action.split_once(':').unwrap();
        let reads = ["Describe", "List", "Get"].iter().any(|r| operation.starts_with(r));
        match service {
            "elasticloadbalancing" => assert!(reads, "{action} writes to a load balancer"),
            "autoscaling" => assert!(
                reads
                    || [
                        "CompleteLifecycleAction",
                        "RecordLifecycleActionHeartbeat",
                        "TerminateInstanceInAutoScalingGroup",
                    ]
                    .contains(&operation),
                "{action} changes a group"
            ),
            "ecs" => assert!(
                reads
                    || ["UpdateContainerInstancesState", "StopTask", "DeregisterContainerInstance"]
                        .contains(&operation),
                "{action} changes more than a container instance"
            ),
            "sqs" => assert!(["ReceiveMessage", "DeleteMessage"].contains(&operation), "{action} does more than read"),
            "dynamodb" | "sts" => {}
            other => panic!("a service that is not used: {other}"),
        }
    }
}
