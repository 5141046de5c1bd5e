variable "controller_role_arn" {
  description = "The controller's task role (output `task_role_arn`), which may assume the role. It must exist."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[[:graph:]]+$", var.controller_role_arn))
    error_message = "controller_role_arn looks like \"arn:aws:iam::123456789012:role/NAME\"."
  }
}

variable "external_id" {
  description = "The external id that the controller must give. It is no secret; it keeps the role for this controller."
  type        = string
  nullable    = false

  # (Source: STS API reference, AssumeRole.)
  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@:/-]{2,}$", var.external_id)) && length(var.external_id) <= 1224
    error_message = "external_id has 2 to 1224 letters, digits and _+=,.@:/-."
  }
}

variable "name" {
  description = "What the queue is called, and what the names of the role, the rules and the alarms begin with."
  type        = string
  default     = "ecs-drain"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,31}$", var.name))
    error_message = "name has 1 to 32 letters, digits and hyphens, and begins with a letter."
  }
}

variable "hooks" {
  description = "The terminating lifecycle hooks of this account and region that ecs-drain owns, by exact name."
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
    error_message = "ecs-managed-draining-termination-hook is ECS's own hook, and only ECS may complete it."
  }
}

variable "clusters" {
  description = "The clusters to work in, by name or pattern (`*`, `?`): only there may anything be changed."
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
  description = "The Auto Scaling groups, by name or pattern: only their instances may be held and let go."
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
  description = "Whether container instances may be deregistered: for the strategy `deregister`."
  type        = bool
  default     = false
  nullable    = false
}

variable "allow_stop_task" {
  description = "Whether tasks may be stopped: for `standalone_stop_after`."
  type        = bool
  default     = false
  nullable    = false
}

variable "allow_terminate" {
  description = "Whether groups may be asked to terminate instances: for operators' drains and `rebalance = \"terminate\"`."
  type        = bool
  default     = false
  nullable    = false
}

variable "create_queue" {
  description = "Whether to make a queue with EventBridge rules."
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
    error_message = "sns_topics needs the queue: create_queue is false."
  }
}

variable "create_alarms" {
  description = "Whether to make the alarms on the two queues."
  type        = bool
  default     = true
  nullable    = false
}

variable "dry_run" {
  description = "Whether the controller runs dry: it receives nothing, so there is no alarm on old messages."
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
  description = "A permissions boundary for the role, where the account asks for one."
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
