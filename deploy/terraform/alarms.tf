# Alarms on the metrics that the program writes into its log (embedded metric format), one value each minute.
# The queue's alarms are beside the queue (modules/queue).

locals {
  # Breached when the statistic of `points` of the last `of` minutes is above `above` (or below `below`).
  all_alarms = {
    StuckDrains = {
      text      = "A drain is stuck: `ecs-drain get` shows which one, and `ecs-drain describe` why."
      statistic = "Maximum", above = 0, points = 3, of = 3
    }
    StoppedRollouts = {
      text      = "A rollout stopped by itself: `ecs-drain rollout describe` shows why."
      statistic = "Maximum", above = 0, points = 1, of = 1
    }
    HeartbeatFailures = {
      text      = "Heartbeats fail: instances are terminated when their hook times out. The log has the reason."
      statistic = "Sum", above = 0, points = 3, of = 5
    }
    UnreadableRecords = {
      text      = "A record cannot be read, so its drain stops: `ecs-drain get` shows which one."
      statistic = "Maximum", above = 0, points = 1, of = 1
    }
    CallErrors = {
      text      = "Calls to AWS are denied or fail: the log names them."
      statistic = "Sum", above = 20, points = 5, of = 5
    }
    WaitsLost = {
      text      = "An instance was terminated before ecs-drain released it: its hook was deleted, timed out or was completed."
      statistic = "Sum", above = 0, points = 1, of = 1
    }
    Leads = {
      text      = "No controller acts, so nothing is drained: check the service's tasks, events and log."
      statistic = "Sum", below = 1, points = 5, of = 5
    }
    GroupsUnreadSeconds = {
      text      = "ecs-drain cannot read the Auto Scaling groups of an account and region: it sees no new waits there."
      statistic = "Maximum", above = 300, points = 1, of = 1
    }
    HooksUnreadSeconds = {
      text      = "ecs-drain cannot read the lifecycle hooks of a group: its instances are held, and not drained."
      statistic = "Maximum", above = 300, points = 1, of = 1
    }
    SearchUnreadSeconds = {
      text      = "ecs-drain cannot search the clusters for an instance: it is held, and not drained."
      statistic = "Maximum", above = 300, points = 1, of = 1
    }
    QueueUnreadSeconds = {
      text      = "ecs-drain cannot read a queue: it hears of spot interruptions late or never."
      statistic = "Maximum", above = 300, points = 1, of = 1
    }
    TableUnreadSeconds = {
      text      = "ecs-drain cannot read its table or renew its lease: no drain begins, continues or ends."
      statistic = "Maximum", above = 300, points = 1, of = 1
    }
    ScopesUnreachedSeconds = {
      text      = "ecs-drain cannot reach an account and region: it drains and holds nothing there."
      statistic = "Maximum", above = 300, points = 1, of = 1
    }
    UnopenedSeconds = {
      text      = "An instance has waited for 15 minutes without a drain. It is held; the log has the reason."
      statistic = "Maximum", above = 900, points = 1, of = 1
    }
    DeniedOperations = {
      text      = "AWS keeps denying an operation: the log has the policy statement that allows it."
      statistic = "Maximum", above = 0, points = 1, of = 1
    }
  }

  # A member may have one: the URLs of queues that are made in the same plan are not known in it.
  may_have_queue = var.create_queue || length(var.members) > 0

  alarms = {
    for name, alarm in local.all_alarms : name => alarm
    # A dry run takes no lease, so it never leads.
    if !(name == "Leads" && var.dry_run) && !(name == "QueueUnreadSeconds" && !local.may_have_queue)
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = var.create_alarms ? local.alarms : {}

  alarm_name        = "${var.name}-${each.key}"
  alarm_description = "${each.value.text} See docs/runbook.md#${lower(each.key)}."

  namespace   = "ecs-drain"
  metric_name = each.key
  dimensions  = { Controller = var.controller }

  statistic           = each.value.statistic
  comparison_operator = can(each.value.below) ? "LessThanThreshold" : "GreaterThanThreshold"
  threshold           = can(each.value.below) ? each.value.below : each.value.above
  period              = 60
  datapoints_to_alarm = each.value.points
  evaluation_periods  = each.value.of

  # No value at all means that no controller runs. Only `Leads` is for that.
  treat_missing_data = each.key == "Leads" ? "breaching" : "notBreaching"

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns

  # Before the first task runs, missing values would breach `Leads`.
  depends_on = [aws_ecs_service.this]
}

# In a dry run ecs-drain receives nothing, so every message gets old; after one, the new task has to read first.
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

  depends_on = [aws_ecs_service.this]
}
