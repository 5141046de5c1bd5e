variable "name" {
  description = "Name of the queue, and prefix of the names of the dead-letter queue, the rules and the alarms."
  type        = string
}

variable "hooks" {
  description = "The lifecycle hooks whose events are delivered, by exact name."
  type        = list(string)
}

variable "clusters" {
  description = "The clusters whose events are delivered, by name or pattern. A list too long for an event pattern selects all."
  type        = list(string)
}

variable "sns_topics" {
  description = "Existing SNS topics to subscribe the queue to: any name, and the topic's ARN."
  type        = map(string)
}

variable "create_alarms" {
  description = "Creates the alarms on the two queues."
  type        = bool
}

variable "alarm_topic_arns" {
  description = "SNS topics that the alarms notify."
  type        = list(string)
}
