# Who may send to the queue, and what is sent.

mock_provider "aws" {
  source = "./tests/mocks"

  override_resource {
    target = aws_cloudwatch_event_rule.this["autoscaling"]
    values = { arn = "arn:aws:events:eu-west-1:123456789012:rule/ecs-drain-autoscaling" }
  }

  override_resource {
    target = aws_cloudwatch_event_rule.this["ec2"]
    values = { arn = "arn:aws:events:eu-west-1:123456789012:rule/ecs-drain-ec2" }
  }

  override_resource {
    target = aws_cloudwatch_event_rule.this["ecs"]
    values = { arn = "arn:aws:events:eu-west-1:123456789012:rule/ecs-drain-ecs" }
  }

  override_resource {
    target = aws_sqs_queue.dead_letters
    values = {
      arn = "arn:aws:sqs:eu-west-1:123456789012:ecs-drain-dead-letters"
      id  = "https://sqs.eu-west-1.amazonaws.com/123456789012/ecs-drain-dead-letters"
      url = "https://sqs.eu-west-1.amazonaws.com/123456789012/ecs-drain-dead-letters"
    }
  }
}

variables {
  name             = "ecs-drain"
  hooks            = ["ecs-drain", "drain-before-termination"]
  clusters         = ["*"]
  sns_topics       = {}
  create_alarms    = true
  alarm_topic_arns = ["arn:aws:sns:eu-west-1:123456789012:alarms"]
}

run "only_the_rules_may_send" {
  module {
    source = "./modules/queue"
  }

  assert {
    condition = {
      for s in jsondecode(aws_sqs_queue_policy.events.policy).Statement :
      s.Sid => [s.Effect, s.Principal, s.Action, s.Resource, s.Condition]
      } == {
      SendFromTheseRules = [
        "Allow", { Service = "events.amazonaws.com" }, "sqs:SendMessage",
        "arn:aws:sqs:eu-west-1:123456789012:ecs-drain",
        { ArnEquals = { "aws:SourceArn" = [
          "arn:aws:events:eu-west-1:123456789012:rule/ecs-drain-autoscaling",
          "arn:aws:events:eu-west-1:123456789012:rule/ecs-drain-ec2",
          "arn:aws:events:eu-west-1:123456789012:rule/ecs-drain-ecs",
        ] } },
      ]
      DenyEveryOtherSender = [
        "Deny", "*", "sqs:SendMessage", "arn:aws:sqs:eu-west-1:123456789012:ecs-drain",
        { ArnNotEquals = { "aws:SourceArn" = [
          "arn:aws:events:eu-west-1:123456789012:rule/ecs-drain-autoscaling",
          "arn:aws:events:eu-west-1:123456789012:rule/ecs-drain-ec2",
          "arn:aws:events:eu-west-1:123456789012:rule/ecs-drain-ecs",
        ] } },
      ]
      DenyWithoutTls = [
        "Deny", "*", "sqs:*", "arn:aws:sqs:eu-west-1:123456789012:ecs-drain",
        { Bool = { "aws:SecureTransport" = "false" } },
      ]
    }
    error_message = "The queue's policy admits only the three rules, over TLS."
  }

  assert {
    condition = {
      for s in jsondecode(aws_sqs_queue_policy.dead_letters.policy).Statement : s.Effect => s.Resource
    } == { Deny = "arn:aws:sqs:eu-west-1:123456789012:ecs-drain-dead-letters" }
    error_message = "The dead-letter queue's policy admits no sender."
  }

  assert {
    condition     = length(aws_sns_topic_subscription.this) == 0
    error_message = "No topic is subscribed."
  }
}

run "the_topics_may_send_too" {
  module {
    source = "./modules/queue"
  }

  variables {
    sns_topics = {
      web   = "arn:aws:sns:eu-west-1:123456789012:web-hooks"
      batch = "arn:aws:sns:eu-west-1:123456789012:batch-hooks"
    }
  }

  assert {
    condition = [
      for s in jsondecode(aws_sqs_queue_policy.events.policy).Statement :
      [s.Action, s.Condition] if s.Principal == { Service = "sns.amazonaws.com" }
      ] == [["sqs:SendMessage", { ArnEquals = { "aws:SourceArn" = [
        "arn:aws:sns:eu-west-1:123456789012:batch-hooks",
        "arn:aws:sns:eu-west-1:123456789012:web-hooks",
    ] } }]]
    error_message = "Exactly the topics may send."
  }

  assert {
    condition = [
      for s in jsondecode(aws_sqs_queue_policy.events.policy).Statement : s.Condition.ArnNotEquals["aws:SourceArn"]
      if s.Sid == "DenyEveryOtherSender"
      ] == [[
        "arn:aws:events:eu-west-1:123456789012:rule/ecs-drain-autoscaling",
        "arn:aws:events:eu-west-1:123456789012:rule/ecs-drain-ec2",
        "arn:aws:events:eu-west-1:123456789012:rule/ecs-drain-ecs",
        "arn:aws:sns:eu-west-1:123456789012:batch-hooks",
        "arn:aws:sns:eu-west-1:123456789012:web-hooks",
    ]]
    error_message = "The topics are not denied what they are allowed."
  }

  assert {
    condition = {
      for name, subscription in aws_sns_topic_subscription.this :
      name => [subscription.topic_arn, subscription.protocol, subscription.endpoint, subscription.raw_message_delivery]
      } == {
      for name, arn in var.sns_topics : name => [arn, "sqs", "arn:aws:sqs:eu-west-1:123456789012:ecs-drain", false]
    }
    error_message = "Each topic is subscribed, and what it brings shows that it came through a topic."
  }
}

run "queues" {
  module {
    source = "./modules/queue"
  }

  assert {
    condition = (
      aws_sqs_queue.events.visibility_timeout_seconds == 60 &&
      aws_sqs_queue.events.message_retention_seconds == 3600 &&
      aws_sqs_queue.events.sqs_managed_sse_enabled &&
      jsondecode(aws_sqs_queue.events.redrive_policy) == {
        deadLetterTargetArn = "arn:aws:sqs:eu-west-1:123456789012:ecs-drain-dead-letters"
        maxReceiveCount     = 5
      }
    )
    error_message = "The queue hides a message for a minute, keeps it for an hour, and gives it up after five receives."
  }

  assert {
    condition = (
      aws_sqs_queue.dead_letters.message_retention_seconds == 1209600 &&
      aws_sqs_queue.dead_letters.sqs_managed_sse_enabled
    )
    error_message = "The dead-letter queue keeps its messages for two weeks."
  }

  assert {
    condition = jsondecode(aws_sqs_queue_redrive_allow_policy.dead_letters.redrive_allow_policy) == {
      redrivePermission = "byQueue"
      sourceQueueArns   = ["arn:aws:sqs:eu-west-1:123456789012:ecs-drain"]
    }
    error_message = "No other queue may use it."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.dead_letters[0].dimensions == tomap({ QueueName = "ecs-drain-dead-letters" }) &&
      aws_cloudwatch_metric_alarm.dead_letters[0].threshold == 0 &&
      aws_cloudwatch_metric_alarm.dead_letters[0].alarm_actions == toset(["arn:aws:sns:eu-west-1:123456789012:alarms"])
    )
    error_message = "The alarm looks at the dead-letter queue."
  }
}

run "events" {
  module {
    source = "./modules/queue"
  }

  assert {
    condition = { for name, rule in aws_cloudwatch_event_rule.this : name => jsondecode(rule.event_pattern) } == {
      autoscaling = {
        source        = ["aws.autoscaling"]
        "detail-type" = ["EC2 Instance-terminate Lifecycle Action"]
        detail        = { LifecycleHookName = ["ecs-drain", "drain-before-termination"] }
      }
      ec2 = {
        source        = ["aws.ec2"]
        "detail-type" = ["EC2 Spot Instance Interruption Warning", "EC2 Instance Rebalance Recommendation"]
      }
      ecs = {
        source        = ["aws.ecs"]
        "detail-type" = ["ECS Task State Change", "ECS Container Instance State Change"]
        detail = {
          containerInstanceArn = [{ exists = true }]
          clusterArn           = [{ wildcard = "arn:aws:ecs:eu-west-1:123456789012:cluster/*" }]
        }
      }
    }
    error_message = "The rules take what the program reads (src/events/message.rs)."
  }

  # The same words in the program's source.
  assert {
    condition = alltrue(flatten([
      for rule in values(aws_cloudwatch_event_rule.this) : [
        for kind in jsondecode(rule.event_pattern)["detail-type"] : strcontains(
          file("${path.module}/../../../../src/events/message.rs"),
          "(${jsonencode(jsondecode(rule.event_pattern).source[0])}, ${jsonencode(kind)})"
        )
      ]
    ]))
    error_message = "src/events/message.rs reads no such event."
  }

  assert {
    condition = alltrue([
      for target in values(aws_cloudwatch_event_target.this) :
      target.arn == "arn:aws:sqs:eu-west-1:123456789012:ecs-drain"
    ]) && length(aws_cloudwatch_event_target.this) == 3
    error_message = "Each rule sends to the queue."
  }
}

run "events_of_chosen_clusters" {
  module {
    source = "./modules/queue"
  }

  variables {
    clusters = ["web", "batch-*", "team-?*-x"]
  }

  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.this["ecs"].event_pattern).detail == {
      containerInstanceArn = [{ exists = true }]
      clusterArn = [
        { wildcard = "arn:aws:ecs:eu-west-1:123456789012:cluster/web" },
        { wildcard = "arn:aws:ecs:eu-west-1:123456789012:cluster/batch-*" },
        { wildcard = "arn:aws:ecs:eu-west-1:123456789012:cluster/team-*-x" },
      ]
    }
    error_message = "Only those clusters' events are taken; EventBridge has no ? and no **."
  }
}

run "events_of_more_clusters_than_a_pattern_holds" {
  module {
    source = "./modules/queue"
  }

  variables {
    clusters      = [for number in range(40) : "cluster-${number}"]
    create_alarms = false
  }

  assert {
    condition     = !can(jsondecode(aws_cloudwatch_event_rule.this["ecs"].event_pattern).detail.clusterArn)
    error_message = "EventBridge would refuse the pattern."
  }

  assert {
    condition = (
      length(aws_cloudwatch_metric_alarm.dead_letters) == 0
    )
    error_message = "No alarm is asked for."
  }
}
