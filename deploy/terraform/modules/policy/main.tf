# The IAM policy of one account and region, as a value. This module creates nothing. The controller's task role and the
# roles in member accounts use the same statements.

locals {
  ecs         = "arn:${var.partition}:ecs:${var.region}:${var.account_id}"
  autoscaling = "arn:${var.partition}:autoscaling:${var.region}:${var.account_id}"

  # * and ? have the same meaning in IAM and in patterns of ecs-drain. (Source: IAM user guide, "IAM JSON policy elements:
  # Resource".)
  chosen_clusters            = [for cluster in var.clusters : "${local.ecs}:cluster/${cluster}"]
  chosen_container_instances = [for cluster in var.clusters : "${local.ecs}:container-instance/${cluster}/*"]
  chosen_tasks               = [for cluster in var.clusters : "${local.ecs}:task/${cluster}/*"]
  chosen_groups = [
    for group in var.group_names : "${local.autoscaling}:autoScalingGroup:*:autoScalingGroupName/${group}"
  ]

  # Each statement, with the resources of its actions. A statement without resources is left out of the policy. Generated
  # from the list of calls (tests/all/templates.rs): do not edit it here.
  # BEGIN policy
  statements = [
    {
      sid = "ReadWhatHasNoArnOfItsOwn"
      actions = [
        # Groups and their instances.
        "autoscaling:DescribeAutoScalingGroups",
        # Instances by id.
        "autoscaling:DescribeAutoScalingInstances",
        # Instance refreshes of a group, which a rollout waits for.
        "autoscaling:DescribeInstanceRefreshes",
        # The hooks of a group.
        "autoscaling:DescribeLifecycleHooks",
        # The instances of a warm pool, which DescribeAutoScalingGroups leaves out.
        "autoscaling:DescribeWarmPool",
        # The needs of a task, for a drain that does not move.
        "ecs:DescribeTaskDefinition",
        # Every cluster of the account and region.
        "ecs:ListClusters",
        # The services of a cluster, for a rollout.
        "ecs:ListServices",
        # The state of instances at a classic load balancer.
        "elasticloadbalancing:DescribeInstanceHealth",
        # The deregistration delay of a classic load balancer.
        "elasticloadbalancing:DescribeLoadBalancerAttributes",
        # The instances of classic load balancers.
        "elasticloadbalancing:DescribeLoadBalancers",
        # The deregistration delay of a target group.
        "elasticloadbalancing:DescribeTargetGroupAttributes",
        # The protocol of a target group: network load balancers send new connections for a while.
        "elasticloadbalancing:DescribeTargetGroups",
        # Every target of a target group.
        "elasticloadbalancing:DescribeTargetHealth",
      ]
      resources = ["*"]
    },
    {
      sid = "FindContainerInstances"
      actions = [
        # The number of container instances of a cluster, for budgets in percent.
        "ecs:DescribeClusters",
        # The container instances of some EC2 instances in one cluster.
        "ecs:ListContainerInstances",
      ]
      resources = ["${local.ecs}:cluster/*"]
    },
    {
      sid = "ReadContainerInstances"
      actions = [
        # Status of container instances.
        "ecs:DescribeContainerInstances",
        # Tasks, by desired status.
        "ecs:ListTasks",
      ]
      resources = ["${local.ecs}:container-instance/*"]
    },
    {
      sid = "ReadTasks"
      actions = [
        # Status of tasks.
        "ecs:DescribeTasks",
        # Protection of tasks from scale-in, for a drain that does not move.
        "ecs:GetTaskProtection",
      ]
      resources = ["${local.ecs}:task/*"]
    },
    {
      sid = "ReadServices"
      actions = [
        # The registrations of a service's tasks, and its state for budgets.
        "ecs:DescribeServices",
      ]
      resources = ["${local.ecs}:service/*"]
    },
    {
      sid = "ReadServiceRevisions"
      actions = [
        # The registrations of a service's tasks before its load balancers were changed, while such tasks are left.
        "ecs:DescribeServiceRevisions",
      ]
      resources = ["${local.ecs}:service-revision/*"]
    },
    {
      sid = "ReadServiceDeployments"
      actions = [
        # A service's deployment, paused or baking, for a drain that does not move.
        "ecs:DescribeServiceDeployments",
      ]
      resources = ["${local.ecs}:service-deployment/*"]
    },
    {
      sid = "SetDraining"
      actions = [
        # `DRAINING`, and back to `ACTIVE`.
        "ecs:UpdateContainerInstancesState",
      ]
      resources = local.chosen_container_instances
    },
    {
      sid = "HoldAndCompleteLifecycleActions"
      actions = [
        # The end of a drain.
        "autoscaling:CompleteLifecycleAction",
        # A heartbeat.
        "autoscaling:RecordLifecycleActionHeartbeat",
      ]
      resources = local.chosen_groups
    },
    {
      sid = "OnlyForOperatorsDrainsThatTerminate"
      actions = [
        # An operator's drain that ends with the instance's termination.
        "autoscaling:TerminateInstanceInAutoScalingGroup",
      ]
      resources = var.allow_terminate || var.allow_rollouts ? local.chosen_groups : []
    },
    {
      sid = "OnlyForRollouts"
      actions = [
        # Capacity for a rollout's new instances.
        "autoscaling:SetDesiredCapacity",
      ]
      resources = var.allow_rollouts ? local.chosen_groups : []
    },
    {
      sid = "OnlyForStandaloneTasksStopAfter"
      actions = [
        # Standalone tasks whose grace is over.
        "ecs:StopTask",
      ]
      resources = var.allow_stop_task ? local.chosen_tasks : []
    },
    {
      sid = "OnlyForStrategyDeregister"
      actions = [
        # Strategy `deregister` only.
        "ecs:DeregisterContainerInstance",
      ]
      resources = var.allow_deregister ? local.chosen_clusters : []
    },
    {
      sid = "OnlyForScopesWithAQueue"
      actions = [
        # Handled events; ten a call.
        "sqs:DeleteMessage",
        # Events of a scope, if it has a queue.
        "sqs:ReceiveMessage",
      ]
      resources = var.queue_arns
    },
    {
      sid = "OnlyForScopesWithARole"
      actions = [
        # Another account's scope.
        "sts:AssumeRole",
      ]
      resources = var.role_arns
    },
    {
      sid = "KeepRecordsAndLease"
      actions = [
        # Records, many at once.
        "dynamodb:BatchGetItem",
        # Check of the table's shape.
        "dynamodb:DescribeTable",
        # Check that finished records expire.
        "dynamodb:DescribeTimeToLive",
        # A record or the lease.
        "dynamodb:GetItem",
        # A new record.
        "dynamodb:PutItem",
        # A record's next version, or the lease's.
        "dynamodb:UpdateItem",
      ]
      resources = var.table_arns
    },
    {
      sid = "ReleaseLease"
      actions = [
        # Release of the lease at the shutdown.
        "dynamodb:DeleteItem",
      ]
      resources = var.table_arns
      keys      = var.lease_keys
    },
    {
      sid = "FindRecordsThroughIndexes"
      actions = [
        # Unfinished records; `table/*` stands for the table's indexes too.
        "dynamodb:Query",
      ]
      resources = flatten([for table in var.table_arns : [table, "${table}/index/*"]])
    },
  ]
  # END policy
}
