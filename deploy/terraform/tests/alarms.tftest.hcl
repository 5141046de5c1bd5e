# What somebody is called for.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  image            = "registry.example/ecs-drain:1.2.3"
  vpc_id           = "vpc-0123456789abcdef0"
  subnet_ids       = ["subnet-0123456789abcdef0"]
  controller       = "blue"
  alarm_topic_arns = ["arn:aws:sns:eu-west-1:123456789012:alarms"]
}

run "alarms" {
  assert {
    condition = {
      for name, alarm in aws_cloudwatch_metric_alarm.this : name => join(" ", [
        alarm.statistic, alarm.comparison_operator, alarm.threshold,
        alarm.datapoints_to_alarm, "of", alarm.evaluation_periods, alarm.treat_missing_data
      ])
      } == {
      StuckDrains       = "Maximum GreaterThanThreshold 0 3 of 3 notBreaching"
      StoppedRollouts   = "Maximum GreaterThanThreshold 0 1 of 1 notBreaching"
      HeartbeatFailures = "Sum GreaterThanThreshold 0 3 of 5 notBreaching"
      UnreadableRecords = "Maximum GreaterThanThreshold 0 1 of 1 notBreaching"
      CallErrors        = "Sum GreaterThanThreshold 20 5 of 5 notBreaching"
      WaitsLost         = "Sum GreaterThanThreshold 0 1 of 1 notBreaching"
      Leads             = "Sum LessThanThreshold 1 5 of 5 breaching"

      GroupsUnreadSeconds    = "Maximum GreaterThanThreshold 300 1 of 1 notBreaching"
      HooksUnreadSeconds     = "Maximum GreaterThanThreshold 300 1 of 1 notBreaching"
      SearchUnreadSeconds    = "Maximum GreaterThanThreshold 300 1 of 1 notBreaching"
      QueueUnreadSeconds     = "Maximum GreaterThanThreshold 300 1 of 1 notBreaching"
      TableUnreadSeconds     = "Maximum GreaterThanThreshold 300 1 of 1 notBreaching"
      ScopesUnreachedSeconds = "Maximum GreaterThanThreshold 300 1 of 1 notBreaching"
      UnopenedSeconds        = "Maximum GreaterThanThreshold 900 1 of 1 notBreaching"
      DeniedOperations       = "Maximum GreaterThanThreshold 0 1 of 1 notBreaching"
    }
    error_message = "The alarms, and when each is breached."
  }

  assert {
    condition = alltrue([
      for name, alarm in aws_cloudwatch_metric_alarm.this : (
        alarm.namespace == "ecs-drain" && alarm.metric_name == name && alarm.period == 60 &&
        alarm.dimensions == tomap({ Controller = "blue" }) &&
        alarm.alarm_actions == toset(["arn:aws:sns:eu-west-1:123456789012:alarms"]) &&
        alarm.ok_actions == toset(["arn:aws:sns:eu-west-1:123456789012:alarms"])
      )
    ])
    error_message = "They look at this controller's metrics, minute by minute, and notify the topic."
  }
}

run "messages_that_nobody_receives" {
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.old_events[0].dimensions == tomap({ QueueName = "ecs-drain" }) &&
      aws_cloudwatch_metric_alarm.old_events[0].threshold == 900
    )
    error_message = "They are in alarm when they are 15 minutes old."
  }
}

run "in_a_dry_run_nobody_leads_and_nobody_receives" {
  variables {
    dry_run = true
  }

  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.this), "Leads")
    error_message = "Leads is 0 in a dry run: its alarm would last as long as that."
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.old_events) == 0
    error_message = "No alarm on messages that nobody is to receive."
  }
}

run "without_a_queue" {
  variables {
    create_queue = false
  }

  assert {
    condition = (
      !contains(keys(aws_cloudwatch_metric_alarm.this), "QueueUnreadSeconds") &&
      length(aws_cloudwatch_metric_alarm.old_events) == 0
    )
    error_message = "No queue, no alarm on it."
  }
}

run "with_the_queue_of_a_member" {
  variables {
    create_queue = false
    members = [{
      region    = "eu-west-1"
      role_arn  = "arn:aws:iam::111111111111:role/ecs-drain-member-eu-west-1"
      queue_url = "https://sqs.eu-west-1.amazonaws.com/111111111111/ecs-drain"
    }]
  }

  assert {
    condition     = contains(keys(aws_cloudwatch_metric_alarm.this), "QueueUnreadSeconds")
    error_message = "The controller reads the member's queue."
  }
}

run "none" {
  variables {
    create_alarms = false
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 0
    error_message = "No alarm is asked for."
  }
}
