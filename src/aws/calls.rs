//! Every AWS call that this program makes: the source of its IAM policy, of its request rates, and
//! of the first words of its error messages. A call that is not in [`ALL`] is not made.

/// Calls that share one bucket of requests.
///
/// (Source for ECS: ECS API reference, "Request throttling for the Amazon ECS API"; for load
/// balancers: Elastic Load Balancing user guide, "Request throttling", where each of the two
/// generations has its own bucket.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// ECS "cluster read".
    EcsClusterRead,
    /// ECS "cluster resource read": container instances and tasks.
    EcsClusterResourceRead,
    /// ECS "cluster resource modify".
    EcsClusterResourceModify,
    /// ECS "service read".
    EcsServiceRead,
    /// ECS "service revision read".
    EcsServiceRevisionRead,
    /// ECS "service deployment read".
    EcsServiceDeploymentRead,
    /// ECS "task definition read".
    EcsTaskDefinitionRead,
    /// ECS "task protection".
    EcsTaskProtection,
    /// Auto Scaling's reads.
    AutoScalingRead,
    /// Heartbeats: a bucket of their own here, so that they never queue behind a poll.
    AutoScalingHeartbeat,
    /// Completions: a bucket of their own here, so that ten thousand heartbeats after a restart do
    /// not delay one.
    AutoScalingCompletion,
    /// Terminations, and changes of desired capacity, that an operator requested.
    AutoScalingTermination,
    /// Reads of application, network and gateway load balancers.
    Elbv2Read,
    /// Reads of classic load balancers.
    ElbRead,
    /// SQS: AWS publishes no rate of calls for standard queues (source: SQS developer guide,
    /// "Message quotas").
    Sqs,
    /// STS: one or two calls in the life of a process.
    Sts,
    /// DynamoDB: limited by the table's capacity, not by a rate of calls.
    DynamoDb,
}

/// One operation of one AWS service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Service in the spelling of IAM's prefix.
    pub service: &'static str,
    /// Operation in the API's spelling.
    pub operation: &'static str,
    /// IAM action that allows it.
    pub iam_action: &'static str,
    /// Resource on which the action is allowed. `PARTITION`, `REGION` and `ACCOUNT` are
    /// placeholders (see [`Call::resource`]). (Source: Service Authorization Reference.)
    pub iam_resource: &'static str,
    /// Bucket of requests that it uses.
    pub family: Family,
    /// Purpose in a few words.
    pub why: &'static str,
}

impl Call {
    /// Returns the resource on which the action must be allowed, in this account and region.
    pub(crate) fn resource(&self, account: &str, region: &str) -> String {
        self.iam_resource
            .replace("PARTITION", partition(region))
            .replace("REGION", region)
            .replace("ACCOUNT", account)
    }

    /// Returns the policy statement that allows this call on `resource`, as JSON on one line.
    pub(crate) fn statement(&self, resource: &str) -> String {
        format!(r#"{{"Effect":"Allow","Action":"{}","Resource":"{resource}"}}"#, self.iam_action)
    }
}

/// Returns the partition that a region belongs to. (Source: the SDK's `partitions.json`; `aws-eusc`
/// is the European Sovereign Cloud.)
pub(crate) fn partition(region: &str) -> &'static str {
    const PREFIXES: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("eusc-", "aws-eusc"),
        ("us-isof-", "aws-iso-f"),
    ];
    PREFIXES
        .iter()
        .find(|(prefix, _)| region.starts_with(prefix))
        .map_or("aws", |(_, partition)| partition)
}

macro_rules! calls {
    ($($(#[doc = $doc:literal])+ $name:ident = $service:literal $operation:literal on $resource:expr, $family:ident;)*) => {
        $(
            $(#[doc = $doc])+
            pub(crate) const $name: Call = Call {
                service: $service,
                operation: $operation,
                iam_action: concat!($service, ":", $operation),
                iam_resource: $resource,
                family: Family::$family,
                why: concat!($($doc),+),
            };
        )*

        /// All calls.
        pub const ALL: &[&Call] = &[$(&$name),*];
    };
}

const ANY: &str = "*";
const CLUSTER: &str = "arn:PARTITION:ecs:REGION:ACCOUNT:cluster/*";
const CONTAINER_INSTANCE: &str = "arn:PARTITION:ecs:REGION:ACCOUNT:container-instance/*";
const TASK: &str = "arn:PARTITION:ecs:REGION:ACCOUNT:task/*";
const SERVICE: &str = "arn:PARTITION:ecs:REGION:ACCOUNT:service/*";
const SERVICE_DEPLOYMENT: &str = "arn:PARTITION:ecs:REGION:ACCOUNT:service-deployment/*";
const SERVICE_REVISION: &str = "arn:PARTITION:ecs:REGION:ACCOUNT:service-revision/*";
const GROUP: &str =
    "arn:PARTITION:autoscaling:REGION:ACCOUNT:autoScalingGroup:*:autoScalingGroupName/*";
const ROLE: &str = "arn:PARTITION:iam::*:role/*";
const TASK_DEFINITION: &str = "*";
const QUEUE: &str = "arn:PARTITION:sqs:REGION:ACCOUNT:*";
const TABLE: &str = "arn:PARTITION:dynamodb:REGION:ACCOUNT:table/*";

calls! {
    /// Every cluster of the account and region.
    LIST_CLUSTERS = "ecs" "ListClusters" on ANY, EcsClusterRead;
    /// The container instances of some EC2 instances in one cluster.
    LIST_CONTAINER_INSTANCES = "ecs" "ListContainerInstances" on CLUSTER, EcsClusterResourceRead;
    /// Status of container instances.
    DESCRIBE_CONTAINER_INSTANCES = "ecs" "DescribeContainerInstances" on CONTAINER_INSTANCE, EcsClusterResourceRead;
    /// Tasks, by desired status.
    LIST_TASKS = "ecs" "ListTasks" on CONTAINER_INSTANCE, EcsClusterResourceRead;
    /// Status of tasks.
    DESCRIBE_TASKS = "ecs" "DescribeTasks" on TASK, EcsClusterResourceRead;
    /// The services of a cluster, for a rollout.
    LIST_SERVICES = "ecs" "ListServices" on ANY, EcsServiceRead;
    /// The registrations of a service's tasks, and its state for budgets.
    DESCRIBE_SERVICES = "ecs" "DescribeServices" on SERVICE, EcsServiceRead;
    /// The registrations of a service's tasks before its load balancers were changed, while such
    /// tasks are left.
    DESCRIBE_SERVICE_REVISIONS = "ecs" "DescribeServiceRevisions" on SERVICE_REVISION, EcsServiceRevisionRead;
    /// A service's deployment, paused or baking, for a drain that does not move.
    DESCRIBE_SERVICE_DEPLOYMENTS = "ecs" "DescribeServiceDeployments" on SERVICE_DEPLOYMENT, EcsServiceDeploymentRead;
    /// The number of container instances of a cluster, for budgets in percent.
    DESCRIBE_CLUSTERS = "ecs" "DescribeClusters" on CLUSTER, EcsClusterRead;
    /// Protection of tasks from scale-in, for a drain that does not move.
    GET_TASK_PROTECTION = "ecs" "GetTaskProtection" on TASK, EcsTaskProtection;
    /// The needs of a task, for a drain that does not move.
    DESCRIBE_TASK_DEFINITION = "ecs" "DescribeTaskDefinition" on TASK_DEFINITION, EcsTaskDefinitionRead;
    /// `DRAINING`, and back to `ACTIVE`.
    UPDATE_CONTAINER_INSTANCES_STATE = "ecs" "UpdateContainerInstancesState" on CONTAINER_INSTANCE, EcsClusterResourceModify;
    /// Standalone tasks whose grace is over.
    STOP_TASK = "ecs" "StopTask" on TASK, EcsClusterResourceModify;
    /// Strategy `deregister` only.
    DEREGISTER_CONTAINER_INSTANCE = "ecs" "DeregisterContainerInstance" on CLUSTER, EcsClusterResourceModify;
    /// Groups and their instances.
    DESCRIBE_AUTO_SCALING_GROUPS = "autoscaling" "DescribeAutoScalingGroups" on ANY, AutoScalingRead;
    /// Instances by id.
    DESCRIBE_AUTO_SCALING_INSTANCES = "autoscaling" "DescribeAutoScalingInstances" on ANY, AutoScalingRead;
    /// The instances of a warm pool, which DescribeAutoScalingGroups leaves out.
    DESCRIBE_WARM_POOL = "autoscaling" "DescribeWarmPool" on ANY, AutoScalingRead;
    /// The hooks of a group.
    DESCRIBE_LIFECYCLE_HOOKS = "autoscaling" "DescribeLifecycleHooks" on ANY, AutoScalingRead;
    /// Instance refreshes of a group, which a rollout waits for.
    DESCRIBE_INSTANCE_REFRESHES = "autoscaling" "DescribeInstanceRefreshes" on ANY, AutoScalingRead;
    /// A heartbeat.
    RECORD_LIFECYCLE_ACTION_HEARTBEAT = "autoscaling" "RecordLifecycleActionHeartbeat" on GROUP, AutoScalingHeartbeat;
    /// The end of a drain.
    COMPLETE_LIFECYCLE_ACTION = "autoscaling" "CompleteLifecycleAction" on GROUP, AutoScalingCompletion;
    /// An operator's drain that ends with the instance's termination.
    TERMINATE_INSTANCE_IN_AUTO_SCALING_GROUP = "autoscaling" "TerminateInstanceInAutoScalingGroup" on GROUP, AutoScalingTermination;
    /// Capacity for a rollout's new instances.
    SET_DESIRED_CAPACITY = "autoscaling" "SetDesiredCapacity" on GROUP, AutoScalingTermination;
    /// The protocol of a target group: network load balancers send new connections for a while.
    DESCRIBE_TARGET_GROUPS = "elasticloadbalancing" "DescribeTargetGroups" on ANY, Elbv2Read;
    /// Every target of a target group.
    DESCRIBE_TARGET_HEALTH = "elasticloadbalancing" "DescribeTargetHealth" on ANY, Elbv2Read;
    /// The deregistration delay of a target group.
    DESCRIBE_TARGET_GROUP_ATTRIBUTES = "elasticloadbalancing" "DescribeTargetGroupAttributes" on ANY, Elbv2Read;
    /// The instances of classic load balancers.
    DESCRIBE_LOAD_BALANCERS = "elasticloadbalancing" "DescribeLoadBalancers" on ANY, ElbRead;
    /// The deregistration delay of a classic load balancer.
    DESCRIBE_LOAD_BALANCER_ATTRIBUTES = "elasticloadbalancing" "DescribeLoadBalancerAttributes" on ANY, ElbRead;
    /// The state of instances at a classic load balancer.
    DESCRIBE_INSTANCE_HEALTH = "elasticloadbalancing" "DescribeInstanceHealth" on ANY, ElbRead;
    /// Events of a scope, if it has a queue.
    RECEIVE_MESSAGE = "sqs" "ReceiveMessage" on QUEUE, Sqs;
    /// Handled events; ten a call.
    DELETE_MESSAGE = "sqs" "DeleteMessage" on QUEUE, Sqs;
    /// The account of the credentials. Needs no permission.
    GET_CALLER_IDENTITY = "sts" "GetCallerIdentity" on ANY, Sts;
    /// Another account's scope.
    ASSUME_ROLE = "sts" "AssumeRole" on ROLE, Sts;
    /// A record or the lease.
    GET_ITEM = "dynamodb" "GetItem" on TABLE, DynamoDb;
    /// Records, many at once.
    BATCH_GET_ITEM = "dynamodb" "BatchGetItem" on TABLE, DynamoDb;
    /// A new record.
    PUT_ITEM = "dynamodb" "PutItem" on TABLE, DynamoDb;
    /// A record's next version, or the lease's.
    UPDATE_ITEM = "dynamodb" "UpdateItem" on TABLE, DynamoDb;
    /// Release of the lease at the shutdown.
    DELETE_ITEM = "dynamodb" "DeleteItem" on TABLE, DynamoDb;
    /// All records, for a person's command.
    SCAN = "dynamodb" "Scan" on TABLE, DynamoDb;
    /// Unfinished records; `table/*` stands for the table's indexes too.
    QUERY = "dynamodb" "Query" on TABLE, DynamoDb;
    /// Check of the table's shape.
    DESCRIBE_TABLE = "dynamodb" "DescribeTable" on TABLE, DynamoDb;
    /// Check that finished records expire.
    DESCRIBE_TIME_TO_LIVE = "dynamodb" "DescribeTimeToLive" on TABLE, DynamoDb;
    /// `ecs-drain init` only.
    CREATE_TABLE = "dynamodb" "CreateTable" on TABLE, DynamoDb;
    /// `ecs-drain init` only.
    UPDATE_TIME_TO_LIVE = "dynamodb" "UpdateTimeToLive" on TABLE, DynamoDb;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_list_names_each_call_once_and_no_write_to_a_load_balancer() {
        let names: BTreeSet<&str> = ALL.iter().map(|call| call.iam_action).collect();
        assert_eq!(names.len(), ALL.len());
        let balancers = ALL.iter().filter(|call| call.service == "elasticloadbalancing");
        assert!(balancers.into_iter().all(|call| call.operation.starts_with("Describe")));
    }

    #[test]
    fn every_region_has_a_partition() {
        for (region, of) in [
            ("eu-west-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eu-isoe-west-1", "aws-iso-e"),
            ("us-isof-south-1", "aws-iso-f"),
            ("eusc-de-east-1", "aws-eusc"),
            ("eu-south-2", "aws"),
        ] {
            assert_eq!(partition(region), of, "{region}");
        }
    }

    #[test]
    fn resources_are_of_the_account_the_region_and_its_partition() {
        assert_eq!(
            LIST_TASKS.resource("123456789012", "eu-west-1"),
            "arn:aws:ecs:eu-west-1:123456789012:container-instance/*"
        );
        assert_eq!(
            COMPLETE_LIFECYCLE_ACTION.resource("1", "cn-north-1"),
            "arn:aws-cn:autoscaling:cn-north-1:1:autoScalingGroup:*:autoScalingGroupName/*"
        );
        assert_eq!(LIST_CLUSTERS.resource("1", "us-gov-west-1"), "*");
        assert_eq!(
            LIST_CLUSTERS.statement("*"),
            r#"{"Effect":"Allow","Action":"ecs:ListClusters","Resource":"*"}"#
        );
    }
}
