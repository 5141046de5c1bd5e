variable "name" {
  description = "Name of the queue, and what the names of the dead-letter queue, the rules and the alarms begin with."
  type        = string
}

variable "hooks" {
  description = "The lifecycle hooks whose events are taken, by exact name."
  type        = list(string)
}

variable "clusters" {
  description = "The clusters whose events are taken, by name or pattern. A list too long for an event pattern takes all."
  type        = list(string)
}

variable "sns_topics" {
  description = "Existing SNS topics to subscribe the queue to: any name, and the topic's ARN."
  type        = map(string)
}

variable "create_alarms" {
  description = "Whether to make the alarms on the two queues."
  type        = bool
}

variable "alarm_topic_arns" {
  description = "SNS topics that the alarms notify."
  type        = list(string)
}
