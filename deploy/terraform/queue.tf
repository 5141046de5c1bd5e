module "queue" {
  source = "./modules/queue"
  count  = var.create_queue ? 1 : 0

  name             = var.name
  hooks            = var.hooks
  clusters         = var.clusters
  sns_topics       = var.sns_topics
  create_alarms    = var.create_alarms
  dry_run          = var.dry_run
  alarm_topic_arns = var.alarm_topic_arns
}
