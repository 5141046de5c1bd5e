//! Permissions that no configuration grants: the templates hold no more than [`SHAPES`], as the
//! module `templates` checks.

use ecs_drain::iam::SHAPES;

/// Safety by absence: no call writes to a load balancer or a hook. A group's desired capacity is
/// changed, and an instance terminated, by an operator's request alone.
#[test]
fn nothing_else_can_be_touched() {
    for action in SHAPES.iter().flat_map(|shape| shape.calls).map(|call| call.iam_action) {
        let (service, operation) = action.split_once(':').unwrap();
        let reads = ["Describe", "List", "Get"].iter().any(|r| operation.starts_with(r));
        match service {
            "elasticloadbalancing" => assert!(reads, "{action} writes to a load balancer"),
            "autoscaling" => assert!(
                reads
                    || [
                        "CompleteLifecycleAction",
                        "RecordLifecycleActionHeartbeat",
                        "SetDesiredCapacity",
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
            "sqs" => assert!(
                ["ReceiveMessage", "DeleteMessage"].contains(&operation),
                "{action} does more than read"
            ),
            "dynamodb" | "sts" => {}
            other => panic!("a service that is not used: {other}"),
        }
    }
}
