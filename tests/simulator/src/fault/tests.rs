#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use super::*;
use crate::Cloud;
use crate::testing::{CLUSTER, GROUP, autoscaling, cloud, ecs, list, outcome, table};

fn with(fault: Fault) -> Cloud {
    let mut cloud = cloud();
    cloud.faults.add(Rule::new(Matcher::Any, fault));
    cloud
}

/// Reads every page. Returns the number of items on each, and all items.
fn pages(
    first: Value,
    name: &str,
    mut next: impl FnMut(&Value) -> Value,
) -> (Vec<usize>, Vec<Value>) {
    let (mut sizes, mut all, mut page) = (Vec::new(), Vec::new(), first);
    loop {
        let items: Vec<Value> = list(&page, name).into_iter().cloned().collect();
        sizes.push(items.len());
        all.extend(items);
        let token =
            ["nextToken", "LastEvaluatedKey"].iter().find_map(|token| page.get(*token)).cloned();
        let Some(token) = token else { return (sizes, all) };
        page = next(&token);
    }
}

#[test]
fn a_listing_of_ecs_in_part_has_an_empty_page_first_and_lacks_nothing() {
    let mut cloud = with(Fault::PartialPage);
    let first = ecs(&mut cloud, "ListTasks", &json!({ "cluster": CLUSTER }));
    assert_eq!(outcome(&cloud), "200 (a part of the answer)");
    let next = |token: &Value| {
        ecs(&mut cloud, "ListTasks", &json!({ "cluster": CLUSTER, "nextToken": token }))
    };
    let (sizes, tasks) = pages(first, "taskArns", next);
    assert_eq!(sizes, [0, 1, 1, 1, 1, 1, 1]);
    cloud.faults.clear();
    assert_eq!(
        json!(tasks),
        ecs(&mut cloud, "ListTasks", &json!({ "cluster": CLUSTER }))["taskArns"]
    );
}

#[test]
fn a_listing_of_auto_scaling_in_part_continues_by_its_token() {
    let mut cloud = with(Fault::PartialPage);
    let first = autoscaling(&mut cloud, "DescribeAutoScalingInstances", &[]);
    assert!(first.contains("<AutoScalingInstances></AutoScalingInstances>"), "{first}");
    let token = first
        .split("<NextToken>")
        .nth(1)
        .and_then(|rest| rest.split('<').next())
        .unwrap()
        .to_owned();
    let second = autoscaling(&mut cloud, "DescribeAutoScalingInstances", &[("NextToken", &token)]);
    assert_eq!(second.matches("<InstanceId>").count(), 1, "{second}");
    cloud.faults.clear();
    let rest = autoscaling(&mut cloud, "DescribeAutoScalingInstances", &[("NextToken", &token)]);
    assert_eq!(rest.matches("<InstanceId>").count(), 3, "{rest}");
}

#[test]
fn a_scan_in_part_has_an_empty_page_first_and_a_batch_leaves_keys_over() {
    let mut cloud = cloud();
    let key = |n: u32| json!({ "key": { "S": format!("k{n}") } });
    table(&mut cloud, &[key(1), key(2), key(3)]);
    cloud.faults.add(Rule::new(Matcher::Any, Fault::PartialPage));
    let first = crate::testing::ask(&mut cloud, "Scan", &json!({ "TableName": "drains" }));
    let next = |token: &Value| {
        crate::testing::ask(
            &mut cloud,
            "Scan",
            &json!({ "TableName": "drains", "ExclusiveStartKey": token }),
        )
    };
    let (sizes, items) = pages(first, "Items", next);
    // A request that continues after an empty page is a first page for the database, which reads it
    // as a whole.
    assert_eq!((sizes[0], items.len()), (0, 3), "{sizes:?}");

    let batch = json!({ "RequestItems": { "drains": { "Keys": [key(1), key(2), key(3)], "ConsistentRead": true } } });
    let answer = crate::testing::ask(&mut cloud, "BatchGetItem", &batch);
    assert_eq!(answer["Responses"]["drains"], json!([key(1)]));
    let left = json!({ "Keys": [key(2), key(3)], "ConsistentRead": true });
    assert_eq!(answer["UnprocessedKeys"]["drains"], left);
    let one = json!({ "RequestItems": { "drains": { "Keys": [key(1)] } } });
    let answer = crate::testing::ask(&mut cloud, "BatchGetItem", &one);
    assert_eq!(
        answer["UnprocessedKeys"],
        json!({}),
        "a batch of which nothing is processed is an error"
    );
}

#[test]
fn an_entry_that_failed_is_in_the_answer_once_and_is_not_missing() {
    let mut cloud = with(Fault::Failures);
    let tasks = ecs(&mut cloud, "ListTasks", &json!({ "cluster": CLUSTER }))["taskArns"].clone();
    assert_eq!(outcome(&cloud), "200", "a listing has no failures");
    let answer = ecs(&mut cloud, "DescribeTasks", &json!({ "cluster": CLUSTER, "tasks": tasks }));
    assert_eq!(outcome(&cloud), "200 (one entry failed)");
    assert_eq!((list(&answer, "tasks").len(), list(&answer, "failures").len()), (5, 1));
    assert_eq!(answer["failures"][0]["reason"], "INTERNAL");
    let failed = &answer["failures"][0]["arn"];
    assert!(tasks.as_array().unwrap().contains(failed));
    assert!(list(&answer, "tasks").iter().all(|task| task["taskArn"] != *failed));
}

#[test]
fn an_entry_that_is_left_out_is_nowhere_in_the_answer() {
    let mut cloud = with(Fault::LeavesOut);
    let tasks = ecs(&mut cloud, "ListTasks", &json!({ "cluster": CLUSTER }))["taskArns"].clone();
    let answer = ecs(&mut cloud, "DescribeTasks", &json!({ "cluster": CLUSTER, "tasks": tasks }));
    assert_eq!(outcome(&cloud), "200 (one entry left out)");
    assert_eq!((list(&answer, "tasks").len(), list(&answer, "failures").len()), (5, 0));
    let arns = ecs(&mut cloud, "ListContainerInstances", &json!({ "cluster": CLUSTER }));
    let set = json!({ "cluster": CLUSTER, "status": "DRAINING", "containerInstances": arns["containerInstanceArns"] });
    let answer = ecs(&mut cloud, "UpdateContainerInstancesState", &set);
    assert_eq!(list(&answer, "containerInstances").len(), 3, "a change is answered whole");
}

#[test]
fn a_container_instance_that_is_refused_stays_as_it_is() {
    let mut cloud = with(Fault::Failures);
    let arns =
        ecs(&mut cloud, "ListContainerInstances", &json!({ "cluster": CLUSTER }))["containerInstanceArns"].clone();
    let set = |arns: &Value| json!({ "cluster": CLUSTER, "status": "DRAINING", "containerInstances": arns });
    let answer = ecs(&mut cloud, "UpdateContainerInstancesState", &set(&arns));
    assert_eq!(
        (list(&answer, "containerInstances").len(), list(&answer, "failures").len()),
        (2, 1)
    );
    let draining = json!({ "cluster": CLUSTER, "status": "DRAINING" });
    assert_eq!(
        list(&ecs(&mut cloud, "ListContainerInstances", &draining), "containerInstanceArns").len(),
        2
    );
    let refused = json!([answer["failures"][0]["arn"]]);
    let again = ecs(&mut cloud, "UpdateContainerInstancesState", &set(&refused));
    assert_eq!((list(&again, "containerInstances").len(), list(&again, "failures").len()), (0, 1));
    cloud.faults.clear();
    let answer = ecs(&mut cloud, "UpdateContainerInstancesState", &set(&refused));
    assert!(list(&answer, "failures").is_empty());
}

#[test]
fn the_log_knows_which_calls_a_fault_can_change() {
    let mut cloud = cloud();
    table(&mut cloud, &[]);
    let mut applies = |operation: &str, answer: fn(&mut Cloud)| {
        answer(&mut cloud);
        let entry = cloud.log.entries().last().unwrap();
        assert_eq!(entry.operation, operation);
        [Fault::PartialPage, Fault::Failures, Fault::Stale(Duration::from_secs(1)), Fault::Hang]
            .map(|fault| fault.applies_to(entry))
    };
    let listed =
        applies("ListTasks", |cloud| drop(ecs(cloud, "ListTasks", &json!({ "cluster": CLUSTER }))));
    assert_eq!(listed, [true, false, true, true]);
    let empty = |cloud: &mut Cloud| {
        drop(ecs(cloud, "ListTasks", &json!({ "cluster": CLUSTER, "family": "none" })))
    };
    assert_eq!(applies("ListTasks", empty), [false, false, true, true], "nothing to list");
    let described =
        |cloud: &mut Cloud| drop(ecs(cloud, "DescribeClusters", &json!({ "clusters": [CLUSTER] })));
    assert_eq!(applies("DescribeClusters", described), [false, true, true, true]);
    let missing =
        |cloud: &mut Cloud| drop(ecs(cloud, "DescribeClusters", &json!({ "clusters": ["none"] })));
    assert_eq!(
        applies("DescribeClusters", missing),
        [false, false, true, true],
        "nothing that could fail"
    );
    let groups = |cloud: &mut Cloud| {
        drop(autoscaling(
            cloud,
            "DescribeAutoScalingGroups",
            &[("AutoScalingGroupNames.member.1", GROUP)],
        ));
    };
    assert_eq!(applies("DescribeAutoScalingGroups", groups), [true, false, true, true]);
    let scan = |cloud: &mut Cloud| {
        drop(crate::testing::ask(cloud, "Scan", &json!({ "TableName": "drains" })))
    };
    assert_eq!(
        applies("Scan", scan),
        [false, false, false, true],
        "nothing there, and DynamoDB's reads do not lag"
    );
    let beat = |cloud: &mut Cloud| drop(autoscaling(cloud, "RecordLifecycleActionHeartbeat", &[]));
    assert_eq!(applies("RecordLifecycleActionHeartbeat", beat), [false, false, false, true]);
}
