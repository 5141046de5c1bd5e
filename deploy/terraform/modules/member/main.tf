# A member account and region: a role that the controller's task role may assume, and a queue for events. The table stays
# in the controller's account.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  # The attribute's name depends on the provider's version; the id is the region's name in all of them.
  region = data.aws_region.current.id
}

module "queue" {
  source = "../queue"
  count  = var.create_queue ? 1 : 0

  name             = var.name
  hooks            = var.hooks
  clusters         = var.clusters
  sns_topics       = var.sns_topics
  create_alarms    = var.create_alarms
  alarm_topic_arns = var.alarm_topic_arns
}

module "policy" {
  source = "../policy"

  partition        = data.aws_partition.current.partition
  account_id       = data.aws_caller_identity.current.account_id
  region           = local.region
  clusters         = var.clusters
  group_names      = var.group_names
  allow_deregister = var.allow_deregister
  allow_stop_task  = var.allow_stop_task
  allow_terminate  = var.allow_terminate
  allow_rollouts   = var.allow_rollouts
  queue_arns       = module.queue[*].arn
  table_arns       = []
  lease_keys       = []
  role_arns        = []
}

# Roles belong to the account. The region in the name lets each region have its own member.
resource "aws_iam_role" "this" {
  name                 = "${var.name}-member-${local.region}"
  description          = "Permissions of ecs-drain in this account and region"
  path                 = var.role_path
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = var.controller_role_arn }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "sts:ExternalId" = var.external_id } }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "ecs-drain"
  role = aws_iam_role.this.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = module.policy.statements
  })
}

# In a dry run ecs-drain receives nothing, so every message gets old.
resource "aws_cloudwatch_metric_alarm" "old_events" {
  count = var.create_alarms && var.create_queue && !var.dry_run ? 1 : 0

  alarm_name        = "${var.name}-old-events"
  alarm_description = "ecs-drain does not receive messages. See docs/runbook.md#old-messages-in-the-queue."

  namespace   = "AWS/SQS"
  metric_name = "ApproximateAgeOfOldestMessage"
  dimensions  = { QueueName = var.name }

  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 900
  period              = 60
  evaluation_periods  = 5
  treat_missing_data  = "notBreaching"

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns
}
