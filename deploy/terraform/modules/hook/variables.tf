variable "group_names" {
  description = "The existing Auto Scaling groups that get the hook, by exact names that are known in the plan."
  type        = list(string)
  nullable    = false

  validation {
    condition = alltrue([
      for name in var.group_names : can(regex("^[^[:cntrl:]*?]{1,255}$", name)) && !startswith(name, "arn:")
    ])
    error_message = "group_names are exact names of Auto Scaling groups, without * and ?. Give names, not ARNs."
  }
}

variable "name" {
  description = "The hook's name, one of the controller's `hooks`."
  type        = string
  default     = "ecs-drain"
  nullable    = false

  # (Source: Auto Scaling API reference, PutLifecycleHook.)
  validation {
    condition     = can(regex("^[A-Za-z0-9_/-]{1,255}$", var.name))
    error_message = "name has 1 to 255 letters, digits, hyphens, underscores and slashes."
  }

  validation {
    condition     = var.name != "ecs-managed-draining-termination-hook"
    error_message = "ecs-managed-draining-termination-hook is the hook of ECS, and only ECS may complete it."
  }
}

variable "heartbeat_timeout" {
  description = "Seconds until the hook expires without a heartbeat. Its limit is 100 of them or 48 hours, the smaller."
  type        = number
  default     = 3600
  nullable    = false

  # (Source: Auto Scaling API reference, PutLifecycleHook.)
  validation {
    condition = (
      var.heartbeat_timeout >= 30 && var.heartbeat_timeout <= 7200 &&
      floor(var.heartbeat_timeout) == var.heartbeat_timeout
    )
    error_message = "heartbeat_timeout is 30 to 7200 seconds."
  }
}

variable "default_result" {
  description = "The default result, which applies when the hook expires. `ABANDON` ends the waits under other hooks too."
  type        = string
  default     = "CONTINUE"
  nullable    = false

  validation {
    condition     = contains(["CONTINUE", "ABANDON"], var.default_result)
    error_message = "default_result is \"CONTINUE\" or \"ABANDON\"."
  }
}
