variable "controller_role_arn" {
  description = "The controller's task role (output `task_role_arn`), which may assume this role. It must exist."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[[:graph:]]+$", var.controller_role_arn))
    error_message = "controller_role_arn looks like \"arn:aws:iam::123456789012:role/NAME\"."
  }
}

variable "external_id" {
  description = "The external id that the controller must give. It is no secret. It keeps the role for this controller."
  type        = string
  nullable    = false

  # (Source: STS API reference, AssumeRole.)
  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@:/-]{2,}$", var.external_id)) && length(var.external_id) <= 1224
    error_message = "external_id has 2 to 1224 letters, digits and _+=,.@:/-."
  }
}

variable "name" {
  description = "Name of the queue, and prefix of the names of the role, the rules and the alarms."
  type        = string
  default     = "ecs-drain"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,31}$", var.name))
    error_message = "name has 1 to 32 letters, digits and hyphens, and begins with a letter."
  }
}

variable "hooks" {
  description = "The ecs-drain lifecycle hooks of this account and region, by exact name."
  type        = list(string)
  default     = ["ecs-drain"]
  nullable    = false

  # (Source: Auto Scaling API reference, PutLifecycleHook.)
  validation {
    condition = (
      length(var.hooks) > 0 && alltrue([for hook in var.hooks : can(regex("^[A-Za-z0-9_/-]{1,255}$", hook))])
    )
    error_message = "hooks is one or more exact names (letters, digits, - _ /), without * and ?."
  }

  validation {
    condition     = !contains(var.hooks, "ecs-managed-draining-termination-hook")
    error_message = "ecs-managed-draining-termination-hook is the hook of ECS, and only ECS may complete it."
  }
}

variable "clusters" {
  description = "The clusters to change, by name or pattern (`*`, `?`)."
  type        = list(string)
  default     = ["*"]
  nullable    = false

  validation {
    condition = (
      length(var.clusters) > 0 &&
      alltrue([for cluster in var.clusters : can(regex("^[A-Za-z0-9_*?-]{1,255}$", cluster))])
    )
    error_message = "clusters is one or more names or patterns (letters, digits, - _ * ?). Give names, not ARNs."
  }
}

variable "group_names" {
  description = "The Auto Scaling groups to read, by name or pattern. Only their instances are held and released."
  type        = list(string)
  default     = ["*"]
  nullable    = false

  validation {
    # No $: IAM would read a policy variable in it.
    condition = (
      length(var.group_names) > 0 &&
      alltrue([for name in var.group_names : can(regex("^[^[:cntrl:]$]{1,255}$", name)) && !startswith(name, "arn:")])
    )
    error_message = "group_names is one or more names or patterns. Give names, not ARNs."
  }
}

variable "allow_deregister" {
  description = "Allows ecs-drain to deregister container instances, for the strategy `deregister`."
  type        = bool
  default     = false
  nullable    = false
}

variable "allow_stop_task" {
  description = "Allows ecs-drain to stop tasks, for `standalone_stop_after`."
  type        = bool
  default     = false
  nullable    = false
}

variable "allow_terminate" {
  description = "Allows ecs-drain to ask groups to terminate instances: for operators' drains and `rebalance = \"terminate\"`."
  type        = bool
  default     = false
  nullable    = false
}

variable "allow_rollouts" {
  description = "Allows ecs-drain to set the desired capacity of groups for rollouts, and to terminate instances."
  type        = bool
  default     = false
  nullable    = false
}

variable "create_queue" {
  description = "Creates a queue with EventBridge rules. Without it, spot interruptions are not noticed."
  type        = bool
  default     = true
  nullable    = false
}

variable "sns_topics" {
  description = "Existing SNS topics with lifecycle notifications, for the queue: any name, and the ARN."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([
      for arn in values(var.sns_topics) : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", arn))
    ])
    error_message = "A topic of sns_topics looks like \"arn:aws:sns:eu-west-1:123456789012:NAME\"; no FIFO topics."
  }

  validation {
    condition     = length(var.sns_topics) == 0 || var.create_queue
    error_message = "sns_topics needs create_queue = true."
  }
}

variable "create_alarms" {
  description = "Creates the alarms on the two queues."
  type        = bool
  default     = true
  nullable    = false
}

variable "dry_run" {
  description = "Set it while the controller runs dry. It receives no messages then, so the alarm on old ones is left out."
  type        = bool
  default     = false
  nullable    = false
}

variable "alarm_topic_arns" {
  description = "SNS topics of this account and region that the alarms notify."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition = alltrue([
      for arn in var.alarm_topic_arns : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", arn))
    ])
    error_message = "alarm_topic_arns are ARNs that look like \"arn:aws:sns:eu-west-1:123456789012:NAME\"."
  }
}

variable "role_path" {
  description = "The path of the role, such as `/platform/`."
  type        = string
  default     = "/"
  nullable    = false

  # (Source: IAM API reference, CreateRole.)
  validation {
    condition     = can(regex("^/([[:graph:]]+/)?$", var.role_path))
    error_message = "role_path begins and ends with a slash, as in \"/platform/\"."
  }
}

variable "permissions_boundary_arn" {
  description = "A permissions boundary for the role, if the account requires one."
  type        = string
  default     = null

  validation {
    condition = (
      var.permissions_boundary_arn == null ||
      can(regex("^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    )
    error_message = "permissions_boundary_arn looks like \"arn:aws:iam::123456789012:policy/NAME\"."
  }
}
