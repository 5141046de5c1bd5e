# --- The service ---------------------------------------------------------------------------------------------------

variable "image" {
  description = "The container image, with a tag or, better, a digest."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[^[:space:]]+$", var.image))
    error_message = "image is the name of a container image, without spaces."
  }
}

variable "vpc_id" {
  description = "The VPC of the task."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id looks like \"vpc-0123456789abcdef0\"."
  }
}

variable "subnet_ids" {
  description = "Subnets of the task that reach AWS's APIs: through NAT, VPC endpoints, or a public address."
  type        = list(string)
  nullable    = false

  validation {
    condition = (
      length(var.subnet_ids) > 0 && alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    )
    error_message = "subnet_ids is one or more ids that look like \"subnet-0123456789abcdef0\"."
  }
}

variable "assign_public_ip" {
  description = "Gives the task a public address. Set it in public subnets. The security group admits no traffic."
  type        = bool
  default     = false
  nullable    = false
}

variable "security_group_ids" {
  description = "More security groups of the task, for VPC endpoints or for your own DNS server."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.security_group_ids : can(regex("^sg-[0-9a-f]+$", id))])
    error_message = "security_group_ids are ids that look like \"sg-0123456789abcdef0\"."
  }
}

variable "cluster_arn" {
  description = "The existing ECS cluster for the service, which runs on Fargate. Null: create a cluster."
  type        = string
  default     = null

  validation {
    condition = (
      var.cluster_arn == null ||
      can(regex("^arn:aws[a-z-]*:ecs:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9_-]+$", var.cluster_arn))
    )
    error_message = "cluster_arn looks like \"arn:aws:ecs:eu-west-1:123456789012:cluster/NAME\"."
  }
}

variable "name" {
  description = "Name of the service and of the queue, and prefix of most other names."
  type        = string
  default     = "ecs-drain"
  nullable    = false

  # A role's name has 64 characters, and the region and the kind of role are in it.
  # (Source: IAM API reference, CreateRole.)
  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,31}$", var.name))
    error_message = "name has 1 to 32 letters, digits and hyphens, and begins with a letter."
  }
}

variable "architecture" {
  description = "Processor architecture of the image: `X86_64` or `ARM64`."
  type        = string
  default     = "X86_64"
  nullable    = false

  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "architecture is \"ARM64\" or \"X86_64\"."
  }
}

variable "cpu" {
  description = "CPU units of the task. 256 are enough."
  type        = number
  default     = 256
  nullable    = false

  validation {
    condition     = contains([256, 512, 1024], var.cpu)
    error_message = "cpu is 256, 512 or 1024."
  }
}

variable "memory" {
  description = "Memory of the task in MiB. 512 are enough."
  type        = number
  default     = 512
  nullable    = false

  # (Source: ECS API reference, RegisterTaskDefinition, on cpu.)
  validation {
    condition = contains(
      var.cpu == 256 ? [512, 1024, 2048] : var.cpu == 512 ? [1024, 2048, 3072, 4096] : [2048, 3072, 4096],
      var.memory
    )
    error_message = "memory is 512, 1024 or 2048 with 256 CPU units; 1024 to 4096 with 512, and 2048 to 4096 with 1024."
  }
}

variable "desired_count" {
  description = "Number of tasks: 1, or 2, of which one acts and the other takes over within seconds."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = contains([1, 2], var.desired_count)
    error_message = "desired_count is 1 or 2. A third task would only wait."
  }
}

variable "ecr_repository_arn" {
  description = "The image's repository, if it is in ECR. The execution role may then pull from it."
  type        = string
  default     = null

  validation {
    condition = (
      var.ecr_repository_arn == null ||
      can(regex("^arn:aws[a-z-]*:ecr:[a-z0-9-]+:[0-9]{12}:repository/.+$", var.ecr_repository_arn))
    )
    error_message = "ecr_repository_arn looks like \"arn:aws:ecr:eu-west-1:123456789012:repository/NAME\"."
  }
}

variable "registry_secret_arn" {
  description = "A Secrets Manager secret with user name and password of a private registry other than ECR."
  type        = string
  default     = null

  validation {
    condition = (
      var.registry_secret_arn == null ||
      can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+$", var.registry_secret_arn))
    )
    error_message = "registry_secret_arn looks like \"arn:aws:secretsmanager:eu-west-1:123456789012:secret:NAME-AbCdEf\"."
  }
}

variable "wait_for_steady_state" {
  description = "Makes `terraform apply` wait until the service is stable, and fail if it is not."
  type        = bool
  default     = true
  nullable    = false
}

variable "role_path" {
  description = "The path of the roles, such as `/platform/`."
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
  description = "A permissions boundary for the roles, if the account requires one."
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

variable "log_level" {
  description = "Log level, or a list such as `warn,ecs_drain=debug` (`ECS_DRAIN_LOG`)."
  type        = string
  default     = "info"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_:=,-]+$", var.log_level))
    error_message = "log_level is error, warn, info, debug or trace, or a list such as \"warn,ecs_drain=debug\"."
  }
}

variable "log_retention_days" {
  description = "Days that the log is kept."
  type        = number
  default     = 90
  nullable    = false

  # (Source: CloudWatch Logs API reference, PutRetentionPolicy.)
  validation {
    condition = contains(
      [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
      var.log_retention_days
    )
    error_message = "log_retention_days is a number of days that CloudWatch Logs accepts, such as 7, 14, 30, 90 or 365."
  }
}

variable "log_kms_key_arn" {
  description = "Your KMS key for the log. Its policy must allow CloudWatch Logs to use it."
  type        = string
  default     = null

  validation {
    condition = (
      var.log_kms_key_arn == null ||
      can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.log_kms_key_arn))
    )
    error_message = "log_kms_key_arn looks like \"arn:aws:kms:eu-west-1:123456789012:key/ID\"."
  }
}

# --- Scope and policy ----------------------------------------------------------------------------------------------

variable "controller" {
  description = "The controller's name. Several controllers can share one table; each has its own records."
  type        = string
  default     = "default"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{1,64}$", var.controller))
    error_message = "controller has 1 to 64 letters, digits, dots, underscores or hyphens."
  }
}

variable "dry_run" {
  description = "Makes ecs-drain log each step instead, and change nothing in AWS or in the table."
  type        = bool
  default     = false
  nullable    = false
}

variable "hooks" {
  description = "The ecs-drain lifecycle hooks, by exact name; also for members without `hooks`."
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

variable "group_tags" {
  description = "Tags that a group must have as well; `*` is any value. They do not limit the IAM policy."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for value in values(var.group_tags) : value == "*" || !strcontains(value, "*")])
    error_message = "A tag's value in group_tags is exact, or \"*\" for any; patterns are for group_names."
  }
}

variable "strategy" {
  description = "`drain`, or `deregister`, which also deregisters the container instance with force."
  type        = string
  default     = "drain"
  nullable    = false

  validation {
    condition     = contains(["drain", "deregister"], var.strategy)
    error_message = "strategy is \"drain\" or \"deregister\"."
  }
}

variable "standalone_stop_after" {
  description = "Time that a drain waits for standalone tasks before it stops them, such as `30m`. Null: no limit."
  type        = string
  default     = null

  validation {
    condition     = var.standalone_stop_after == null || can(regex("^([0-9]+[smhd])+$", var.standalone_stop_after))
    error_message = "standalone_stop_after is a number with a unit, such as \"90s\", \"10m\" or \"1h30m\"."
  }
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

variable "extra_configuration" {
  description = "More configuration in TOML. It begins inside `[policy]`, and can continue with `[[override]]`."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition = !can(
      regex("(?m)^\\s*\\[+\\s*(policy|table|poll|scope)\\s*\\]", var.extra_configuration)
    )
    error_message = "extra_configuration begins inside [policy], without its heading. Set the table and scopes with variables."
  }

  validation {
    condition     = !can(regex("(?m)^\\s*(strategy|standalone_tasks)\\b", split("[[", var.extra_configuration)[0]))
    error_message = "Before an [[override]], use the variables strategy and standalone_stop_after."
  }

  validation {
    condition = var.allow_terminate || var.allow_rollouts || !can(
      regex("(?m)^[^#\n]*rebalance[\"']?\\s*=\\s*[\"']terminate[\"']", var.extra_configuration)
    )
    error_message = "rebalance = \"terminate\" needs allow_terminate = true."
  }
}

variable "members" {
  description = <<-EOT
    Other accounts and regions, each with the role to assume there (module `member`). Without `hooks` a member has the
    `hooks` of this module. This module's own account and region need no member.
  EOT
  type = list(object({
    region      = string
    role_arn    = string
    external_id = optional(string)
    queue_url   = optional(string)
    hooks       = optional(list(string))
    clusters    = optional(list(string), ["*"])
    group_names = optional(list(string), ["*"])
    group_tags  = optional(map(string), {})
  }))
  default  = []
  nullable = false

  validation {
    condition     = alltrue([for member in var.members : can(regex("^[a-z]+(-[a-z]+)+-[0-9]+$", member.region))])
    error_message = "A member's region looks like \"eu-west-1\"."
  }

  validation {
    condition = alltrue([
      for member in var.members : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[[:graph:]]+$", member.role_arn))
    ])
    error_message = "A member's role_arn looks like \"arn:aws:iam::123456789012:role/NAME\"."
  }

  # (Source: STS API reference, AssumeRole.)
  validation {
    condition = alltrue([
      for member in var.members :
      member.external_id == null || (
        can(regex("^[A-Za-z0-9_+=,.@:/-]{2,}$", member.external_id)) &&
        length(coalesce(member.external_id, "-")) <= 1224
      )
    ])
    error_message = "A member's external_id has 2 to 1224 letters, digits and _+=,.@:/-."
  }

  validation {
    condition = alltrue([
      for member in var.members :
      member.queue_url == null ||
      (can(regex("^https?://[^/]+/.+$", member.queue_url)) && !can(regex("\\.fifo$", member.queue_url)))
    ])
    error_message = "A member's queue_url looks like \"https://sqs.REGION.amazonaws.com/ACCOUNT/NAME\"; no FIFO queue."
  }

  validation {
    condition = alltrue([
      for hook in flatten([for member in var.members : coalesce(member.hooks, var.hooks)]) :
      can(regex("^[A-Za-z0-9_/-]{1,255}$", hook)) && hook != "ecs-managed-draining-termination-hook"
    ])
    error_message = "A member's hooks are exact names, without ecs-managed-draining-termination-hook, which belongs to ECS."
  }

  validation {
    condition = alltrue([
      for member in var.members :
      length(member.clusters) > 0 &&
      alltrue([for cluster in member.clusters : can(regex("^[A-Za-z0-9_*?-]{1,255}$", cluster))])
    ])
    error_message = "A member's clusters are one or more names or patterns. Give names, not ARNs."
  }

  validation {
    condition = alltrue([
      for member in var.members :
      length(member.group_names) > 0 &&
      alltrue([for name in member.group_names : name != "" && !startswith(name, "arn:")])
    ])
    error_message = "A member's group_names are one or more names or patterns. Give names, not ARNs."
  }

  validation {
    condition = alltrue(flatten([
      for member in var.members : [for value in values(member.group_tags) : value == "*" || !strcontains(value, "*")]
    ]))
    error_message = "A tag's value in a member's group_tags is exact, or \"*\" for any."
  }

  validation {
    condition = (
      length(distinct([for member in var.members : "${member.region} ${member.role_arn}"])) == length(var.members)
    )
    error_message = "Two members have the same region and role. Combine them."
  }
}

# --- The table -----------------------------------------------------------------------------------------------------

variable "create_table" {
  description = "Creates the table. False: it exists in this account and region."
  type        = bool
  default     = true
  nullable    = false
}

variable "table_name" {
  description = "Name of the table."
  type        = string
  default     = "ecs-drain"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]{3,255}$", var.table_name))
    error_message = "table_name has 3 to 255 letters, digits, dots, underscores or hyphens."
  }
}

variable "table_region" {
  description = "The table's region, if it is another one. Only for an existing table."
  type        = string
  default     = null

  validation {
    condition     = var.table_region == null || can(regex("^[a-z0-9-]+$", var.table_region))
    error_message = "table_region looks like \"eu-central-1\"."
  }

  validation {
    condition     = var.table_region == null || !var.create_table
    error_message = "table_region is for an existing table. Set create_table = false."
  }
}

variable "table_deletion_protection" {
  description = "Protects the table against deletion. Apply `false` before `terraform destroy`."
  type        = bool
  default     = true
  nullable    = false
}

variable "table_kms_key_arn" {
  description = "Your KMS key for the table. Null: a key that DynamoDB owns."
  type        = string
  default     = null

  validation {
    condition = (
      var.table_kms_key_arn == null ||
      can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.table_kms_key_arn))
    )
    error_message = "table_kms_key_arn looks like \"arn:aws:kms:eu-west-1:123456789012:key/ID\"."
  }
}

variable "operator_role_arns" {
  description = <<-EOT
    Roles that may write to the table besides the controller's, by ARN or pattern (`*`). With any, a policy of the table
    denies writes to all other identities. Only one module may set this, in the table's region.
  EOT
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition = alltrue([
      for arn in var.operator_role_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[[:graph:]]+$", arn))
    ])
    error_message = "operator_role_arns look like \"arn:aws:iam::123456789012:role/NAME\", and may have * in the name."
  }

  validation {
    condition     = length(var.operator_role_arns) == 0 || var.table_region == null
    error_message = "operator_role_arns needs a table in this region. Do not set table_region."
  }
}

# --- The queue and the alarms --------------------------------------------------------------------------------------

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
  description = "Creates alarms on the metrics of ecs-drain and on the queues."
  type        = bool
  default     = true
  nullable    = false
}

variable "alarm_topic_arns" {
  description = "SNS topics that the alarms notify."
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
