# Alarms on the metrics that the program writes into its log (embedded metric format), one value each minute.
# The dead-letter queue's alarm is beside the queue (modules/queue).

locals {
  # Breached when the statistic of `points` of the last `of` minutes is above `above` (or below `below`).
  alarms = {
    StuckDrains = {
      text      = "A drain makes no progress: `ecs-drain get` shows which, and `ecs-drain describe` why."
      statistic = "Maximum", above = 0, points = 3, of = 3
    }
    HeartbeatFailures = {
      text      = "Heartbeats fail: instances may be terminated before they are drained."
      statistic = "Sum", above = 0, points = 3, of = 5
    }
    UnreadableRecords = {
      text      = "Records in the table cannot be read: their drains stand still. The log says what is wrong with them."
      statistic = "Maximum", above = 0, points = 1, of = 1
    }
    CallErrors = {
      text      = "Calls to AWS are denied or fail: the log says which."
      statistic = "Sum", above = 20, points = 5, of = 5
    }
    WaitsLost = {
      text      = "An instance went without ecs-drain: its hook timed out, was deleted, or was completed by others."
      statistic = "Sum", above = 0, points = 1, of = 1
    }
    Leads = {
      text      = "No controller acts: the service does not run, or cannot reach its table."
      statistic = "Sum", below = 1, points = 5, of = 5
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = var.create_alarms ? local.alarms : {}

  alarm_name        = "${var.name}-${each.key}"
  alarm_description = "${each.value.text} What to do: docs/operations.md, ${each.key}."

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
}
