variable "name" {
  description = "Name of the queue, and what the names of the dead-letter queue, the rules and the alarm begin with."
  type        = string
}

variable "clusters" {
  description = "The clusters. If all are exact names, and no more than ten, only their events are taken."
  type        = list(string)
}

variable "sns_topics" {
  description = "Existing SNS topics to subscribe the queue to: any name, and the topic's ARN."
  type        = map(string)
}

variable "create_alarm" {
  description = "Whether to make an alarm on the dead-letter queue."
  type        = bool
}

variable "alarm_topic_arns" {
  description = "SNS topics that the alarm notifies."
  type        = list(string)
}
