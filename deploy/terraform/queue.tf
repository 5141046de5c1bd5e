module "queue" {
  source = "./modules/queue"
  count  = var.create_queue ? 1 : 0

  name             = var.name
  hooks            = var.hooks
  clusters         = var.clusters
  sns_topics       = var.sns_topics
  create_alarms    = var.create_alarms
  alarm_topic_arns = var.alarm_topic_arns
}
