# A queue of events for one scope, its dead-letter queue, and the EventBridge rules and SNS subscriptions that feed it.
# Messages only make ecs-drain read sooner: polling finds the same later, except spot interruptions.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition  = data.aws_partition.current.partition
  account_id = data.aws_caller_identity.current.account_id
  # The attribute's name depends on the provider's version; the id is the region's name in all of them.
  region = data.aws_region.current.id

  # EventBridge's wildcard is *, without two in a row. A ? becomes *, which admits more events; ecs-drain ignores events of
  # clusters that are not selected. An event pattern has at most 2,048 characters: a longer list is left out. (Source: EventBridge user guide, "Comparison operators"; API reference, PutRule.)
  cluster_arns = [
    for cluster in var.clusters : {
      wildcard = format(
        "arn:%s:ecs:%s:%s:cluster/%s",
        local.partition, local.region, local.account_id, replace(replace(cluster, "?", "*"), "/[*]+/", "*")
      )
    }
  ]
  fits = length(jsonencode(local.cluster_arns)) <= 1700

  rules = {
    autoscaling = {
      description = "Instances that start to wait under its hooks"
      pattern = {
        source        = ["aws.autoscaling"]
        "detail-type" = ["EC2 Instance-terminate Lifecycle Action"]
        detail        = { LifecycleHookName = var.hooks }
      }
    }
    ec2 = {
      description = "Spot interruption warnings and rebalance recommendations"
      pattern = {
        source = ["aws.ec2"]
        "detail-type" = [
          "EC2 Spot Instance Interruption Warning",
          "EC2 Instance Rebalance Recommendation",
        ]
      }
    }
    ecs = {
      description = "State changes of container instances and of the tasks on them"
      pattern = {
        source        = ["aws.ecs"]
        "detail-type" = ["ECS Task State Change", "ECS Container Instance State Change"]
        # Tasks on Fargate have no container instance. (Source: EventBridge user guide, "Exists matching".)
        detail = merge(
          { containerInstanceArn = [{ exists = true }] },
          local.fits ? { clusterArn = local.cluster_arns } : {}
        )
      }
    }
  }

  deny_without_tls = {
    Sid       = "DenyWithoutTls"
    Effect    = "Deny"
    Principal = "*"
    Action    = "sqs:*"
    Condition = { Bool = { "aws:SecureTransport" = "false" } }
  }

  # A sender can have an instance drained with a forged spot warning. So only these rules and topics may send. A statement
  # without a source is left out.
  senders = [
    {
      sid     = "SendFromTheseRules"
      service = "events.amazonaws.com"
      sources = [for rule in aws_cloudwatch_event_rule.this : rule.arn]
    },
    {
      sid     = "SendFromTheseTopics"
      service = "sns.amazonaws.com"
      sources = values(var.sns_topics)
    },
  ]

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        for sender in local.senders : {
          Sid       = sender.sid
          Effect    = "Allow"
          Principal = { Service = sender.service }
          Action    = "sqs:SendMessage"
          Resource  = aws_sqs_queue.events.arn
          Condition = { ArnEquals = { "aws:SourceArn" = sender.sources } }
        } if length(sender.sources) > 0
      ],
      # Identities of this account need no permission from the queue if their own policies allow sqs:SendMessage. Their
      # calls have no aws:SourceArn, which a negated operator matches. (Source: IAM user guide, "IAM
      # JSON policy elements: Condition operators".)
      [{
        Sid       = "DenyEveryOtherSender"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.events.arn
        Condition = { ArnNotEquals = { "aws:SourceArn" = flatten(local.senders[*].sources) } }
      }],
      [merge(local.deny_without_tls, { Resource = aws_sqs_queue.events.arn })]
    )
  })

  dead_letter_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [merge(local.deny_without_tls, { Resource = aws_sqs_queue.dead_letters.arn })]
  })
}

resource "aws_sqs_queue" "events" {
  name = var.name

  visibility_timeout_seconds = 60
  # An hour: by then polling has found the same.
  message_retention_seconds = 3600
  sqs_managed_sse_enabled   = true

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = 5
  })
}

# Messages that were received five times without being deleted.
resource "aws_sqs_queue" "dead_letters" {
  name = "${var.name}-dead-letters"

  # Two weeks, the longest that SQS allows. (Source: SQS API reference, SetQueueAttributes.)
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

# A separate resource, because the two queues name each other.
resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.events.arn]
  })
}

resource "aws_sqs_queue_policy" "events" {
  queue_url = aws_sqs_queue.events.id
  policy    = local.policy
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id
  policy    = local.dead_letter_policy
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.rules

  name          = "${var.name}-${each.key}"
  description   = "${each.value.description}, for ecs-drain"
  event_pattern = jsonencode(each.value.pattern)
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = local.rules

  rule      = aws_cloudwatch_event_rule.this[each.key].name
  target_id = "queue"
  arn       = aws_sqs_queue.events.arn

  # EventBridge cannot deliver before the policy exists.
  depends_on = [aws_sqs_queue_policy.events]
}

resource "aws_sns_topic_subscription" "this" {
  for_each = var.sns_topics

  topic_arn = each.value
  protocol  = "sqs"
  endpoint  = aws_sqs_queue.events.arn

  # With raw delivery, a published spot warning would look like one of EventBridge.
  raw_message_delivery = false

  depends_on = [aws_sqs_queue_policy.events]
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  count = var.create_alarms ? 1 : 0

  alarm_name        = "${var.name}-dead-letters"
  alarm_description = "Messages were never deleted. See docs/runbook.md#messages-in-the-dead-letter-queue."

  namespace   = "AWS/SQS"
  metric_name = "ApproximateNumberOfMessagesVisible"
  dimensions  = { QueueName = aws_sqs_queue.dead_letters.name }

  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns
}
