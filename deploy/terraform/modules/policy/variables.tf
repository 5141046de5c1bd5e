variable "partition" {
  description = "The AWS partition, such as `aws`."
  type        = string
}

variable "account_id" {
  description = "The account that the policy is for."
  type        = string
}

variable "region" {
  description = "The region that the policy is for."
  type        = string
}

variable "clusters" {
  description = "Names or patterns of the clusters whose container instances and tasks may be changed."
  type        = list(string)
}

variable "group_names" {
  description = "Names or patterns of the Auto Scaling groups whose lifecycle actions may be held and completed."
  type        = list(string)
}

variable "allow_deregister" {
  description = "Whether container instances may be deregistered (strategy `deregister`)."
  type        = bool
}

variable "allow_stop_task" {
  description = "Whether tasks may be stopped (`stop_after`)."
  type        = bool
}

variable "allow_terminate" {
  description = "Whether groups may be asked to terminate instances: for operators' drains and `rebalance = \"terminate\"`."
  type        = bool
}

variable "queue_arns" {
  description = "The queue that is read, if there is one."
  type        = list(string)
}

variable "table_arns" {
  description = "The table; none for a role in a member account."
  type        = list(string)
}

variable "lease_keys" {
  description = "The key of the controller's lease in the table; none for a role in a member account."
  type        = list(string)
}

variable "role_arns" {
  description = "The roles in member accounts that may be assumed."
  type        = list(string)
}
