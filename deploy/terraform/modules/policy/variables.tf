variable "partition" {
  description = "The AWS partition, such as `aws`."
  type        = string
}

variable "account_id" {
  description = "The account of the policy."
  type        = string
}

variable "region" {
  description = "The region of the policy."
  type        = string
}

variable "clusters" {
  description = "The clusters whose container instances and tasks may be changed, by name or pattern."
  type        = list(string)
}

variable "group_names" {
  description = "The Auto Scaling groups whose lifecycle actions may get heartbeats and be completed, by name or pattern."
  type        = list(string)
}

variable "allow_deregister" {
  description = "Allows deregistering container instances (strategy `deregister`)."
  type        = bool
}

variable "allow_stop_task" {
  description = "Allows stopping tasks (`stop_after`)."
  type        = bool
}

variable "allow_terminate" {
  description = "Allows asking groups to terminate instances: for operators' drains and `rebalance = \"terminate\"`."
  type        = bool
}

variable "allow_rollouts" {
  description = "Allows setting the desired capacity of groups for rollouts, and terminating instances."
  type        = bool
}

variable "queue_arns" {
  description = "The queue, if there is one."
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
  description = "The roles in member accounts that the controller may assume."
  type        = list(string)
}
