# The lifecycle hook on existing Auto Scaling groups. With it, a group waits before it terminates an instance, even if
# ecs-drain is not running. It has no notification target: ecs-drain polls, and EventBridge receives an event for every
# wait.

resource "aws_autoscaling_lifecycle_hook" "this" {
  for_each = toset(var.group_names)

  name                   = var.name
  autoscaling_group_name = each.value
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout      = var.heartbeat_timeout

  # The default of AWS is ABANDON, which ends the waits under a group's other hooks.
  # (Source: Auto Scaling API reference, PutLifecycleHook; user guide, "Amazon EC2 Auto Scaling lifecycle hooks".)
  default_result = var.default_result
}
