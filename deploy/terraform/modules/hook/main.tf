# The lifecycle hook on existing Auto Scaling groups. From then on a group waits before it terminates an instance,
# whether ecs-drain runs or not. It has no notification target: the controller polls, and EventBridge hears of every
# wait in any case.

resource "aws_autoscaling_lifecycle_hook" "this" {
  for_each = toset(var.group_names)

  name                   = var.name
  autoscaling_group_name = each.value
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout      = var.heartbeat_timeout

  # AWS's own default is ABANDON, which would end the waits under a group's other hooks.
  # (Source: Auto Scaling API reference, PutLifecycleHook; user guide, "Amazon EC2 Auto Scaling lifecycle hooks".)
  default_result = var.default_result
}
