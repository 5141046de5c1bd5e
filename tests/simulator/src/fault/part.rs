//! Partial answers: the operations that can give them, and their form.

use serde_json::{Value, json};

use crate::wire::json::text;
use crate::wire::{Body, Call};

/// The reason of a failed entry. AWS's own list of reasons for these calls has `MISSING` only,
/// which means something else.
const REASON: &str = "INTERNAL";

/// Returns the texts that an answer of a listing holds when it lists nothing; `None` for an
/// operation that is no listing. (Both generations of load balancing have a DescribeLoadBalancers.)
pub(crate) fn paged(operation: &str) -> Option<&'static [&'static str]> {
    match operation {
        "ListClusters" => Some(&["\"clusterArns\":[]"]),
        "ListContainerInstances" => Some(&["\"containerInstanceArns\":[]"]),
        "ListServices" => Some(&["\"serviceArns\":[]"]),
        "ListTasks" => Some(&["\"taskArns\":[]"]),
        "DescribeAutoScalingGroups" => Some(&["<AutoScalingGroups></AutoScalingGroups>"]),
        "DescribeAutoScalingInstances" => Some(&["<AutoScalingInstances></AutoScalingInstances>"]),
        "DescribeInstanceRefreshes" => Some(&["<InstanceRefreshes></InstanceRefreshes>"]),
        "DescribeScalingActivities" => Some(&["<Activities></Activities>"]),
        "DescribeWarmPool" => Some(&["<Instances></Instances>"]),
        "DescribeTargetGroups" => Some(&["<TargetGroups></TargetGroups>"]),
        "DescribeLoadBalancers" => Some(&[
            "<LoadBalancers></LoadBalancers>",
            "<LoadBalancerDescriptions></LoadBalancerDescriptions>",
        ]),
        "Query" | "Scan" => Some(&["\"Count\":0"]),
        "BatchGetItem" => Some(&[]),
        _ => None,
    }
}

/// Returns the list of an answer whose entries can be `failures` instead, and the field with an
/// entry's ARN.
pub(crate) fn failing(operation: &str) -> Option<(&'static str, &'static str)> {
    match operation {
        "DescribeClusters" => Some(("clusters", "clusterArn")),
        "DescribeContainerInstances" | "UpdateContainerInstancesState" => {
            Some(("containerInstances", "containerInstanceArn"))
        }
        "DescribeServices" => Some(("services", "serviceArn")),
        "DescribeServiceDeployments" => Some(("serviceDeployments", "serviceDeploymentArn")),
        "DescribeServiceRevisions" => Some(("serviceRevisions", "serviceRevisionArn")),
        "DescribeTasks" => Some(("tasks", "taskArn")),
        "GetTaskProtection" => Some(("protectedTasks", "taskArn")),
        _ => None,
    }
}

/// Returns true if an answer has entries of which a part could be missing.
pub(crate) fn lists(call: &Call, answer: &str) -> bool {
    match (call.operation.as_str(), failing(&call.operation), paged(&call.operation)) {
        ("BatchGetItem", ..) => match &call.body {
            Body::Text(body) => {
                serde_json::from_slice(body).is_ok_and(|request| keys(&request) > 1)
            }
            Body::Json(_) | Body::Form(_) => false,
        },
        (_, Some((list, _)), _) => {
            answer.contains(list) && !answer.contains(&format!("\"{list}\":[]"))
        }
        (_, None, Some(empty)) => !empty.iter().any(|empty| answer.contains(empty)),
        (_, None, None) => false,
    }
}

/// Counts the keys in a BatchGetItem.
fn keys(request: &Value) -> usize {
    let tables = request.get("RequestItems").and_then(Value::as_object).into_iter().flatten();
    tables.filter_map(|(_, table)| table.get("Keys").and_then(Value::as_array)).map(Vec::len).sum()
}

/// Moves one entry of a description, chosen by `number`, to `failures`.
pub(crate) fn fail_one(operation: &str, answer: &str, number: u64) -> Option<String> {
    let (mut answer, arn) = without_one(operation, answer, number)?;
    add_failure(&mut answer, &arn);
    Some(answer.to_string())
}

/// Removes one entry of a description, chosen by `number`.
pub(crate) fn leave_one_out(operation: &str, answer: &str, number: u64) -> Option<String> {
    without_one(operation, answer, number).map(|(answer, _)| answer.to_string())
}

/// Returns a description without one of its entries, and the ARN of that entry.
fn without_one(operation: &str, answer: &str, number: u64) -> Option<(Value, String)> {
    let (list, arn) = failing(operation)?;
    let mut answer: Value = serde_json::from_str(answer).ok()?;
    let entries =
        answer.get_mut(list).and_then(Value::as_array_mut).filter(|entries| !entries.is_empty())?;
    let chosen = entries.remove(choose(number, entries.len()));
    Some((answer, text(&chosen, arn).unwrap_or_default().to_owned()))
}

/// Takes one container instance, chosen by `number`, out of a change of state, and returns its ARN.
pub(crate) fn refuse_one(body: &mut Value, number: u64) -> Option<String> {
    let asked = body
        .get_mut("containerInstances")
        .and_then(Value::as_array_mut)
        .filter(|asked| !asked.is_empty())?;
    asked.remove(choose(number, asked.len())).as_str().map(str::to_owned)
}

/// Adds an entry to an answer's `failures`.
pub(crate) fn add_failure(answer: &mut Value, arn: &str) {
    let failure = json!({ "arn": arn, "reason": REASON, "detail": "simulated" });
    match answer.get_mut("failures").and_then(Value::as_array_mut) {
        Some(failures) => failures.push(failure),
        None => answer["failures"] = json!([failure]),
    }
}

fn choose(number: u64, of: usize) -> usize {
    usize::try_from(number).unwrap_or_default() % of.max(1)
}
