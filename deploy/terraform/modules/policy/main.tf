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
        # The hooks of a group.
        "autoscaling:DescribeLifecycleHooks",
        # The instances of a warm pool, which DescribeAutoScalingGroups leaves out.
        "autoscaling:DescribeWarmPool",
        # What a task needs, for a drain that does not move.
        "ecs:DescribeTaskDefinition",
        # Every cluster of the account and region.
        "ecs:ListClusters",
        # What a classic load balancer says of its instances.
        "elasticloadbalancing:DescribeInstanceHealth",
        # How long a classic load balancer drains.
        "elasticloadbalancing:DescribeLoadBalancerAttributes",
        # The instances of classic load balancers.
        "elasticloadbalancing:DescribeLoadBalancers",
        # How long a target group drains.
        "elasticloadbalancing:DescribeTargetGroupAttributes",
        # What protocol a target group speaks: network load balancers send new connections for a while.
        "elasticloadbalancing:DescribeTargetGroups",
        # Every target of a target group.
        "elasticloadbalancing:DescribeTargetHealth",
      ]
      resources = ["*"]
    },
    {
      sid = "FindContainerInstances"
      actions = [
        # How many container instances a cluster has: budgets in percent.
        "ecs:DescribeClusters",
        # The container instances of some EC2 instances in one cluster.
        "ecs:ListContainerInstances",
      ]
      resources = ["${local.ecs}:cluster/*"]
    },
    {
      sid = "ReadContainerInstances"
      actions = [
        # What ECS says of container instances.
        "ecs:DescribeContainerInstances",
        # Tasks, by what ECS wants of them.
        "ecs:ListTasks",
      ]
      resources = ["${local.ecs}:container-instance/*"]
    },
    {
      sid = "ReadTasks"
      actions = [
        # What ECS says of tasks.
        "ecs:DescribeTasks",
        # Until when tasks are protected from scale-in, for a drain that does not move.
        "ecs:GetTaskProtection",
      ]
      resources = ["${local.ecs}:task/*"]
    },
    {
      sid = "ReadServices"
      actions = [
        # Where a service registers its tasks.
        "ecs:DescribeServices",
      ]
      resources = ["${local.ecs}:service/*"]
    },
    {
      sid = "ReadServiceRevisions"
      actions = [
        # Where a service registered its tasks before its load balancers were changed, while tasks of then are left.
        "ecs:DescribeServiceRevisions",
      ]
      resources = ["${local.ecs}:service-revision/*"]
    },
    {
      sid = "ReadServiceDeployments"
      actions = [
        # Whether a service's deployment is paused or bakes, for a drain that does not move.
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
      resources = var.allow_terminate ? local.chosen_groups : []
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
        # Events that were taken care of; ten a call.
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
        # Whether the table is as it must be.
        "dynamodb:DescribeTable",
        # Whether finished records expire.
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
        # The lease, on the way out.
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
