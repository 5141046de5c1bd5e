output "member" {
  description = "This account and region, for the controller's `members`."
  value = {
    region      = local.region
    role_arn    = aws_iam_role.this.arn
    external_id = var.external_id
    queue_url   = one(module.queue[*].url)
    hooks       = var.hooks
    clusters    = var.clusters
    group_names = var.group_names
  }
}

output "role_arn" {
  description = "ARN of the role."
  value       = aws_iam_role.this.arn
}

output "queue_url" {
  description = "URL of the queue; null without one."
  value       = one(module.queue[*].url)
}

output "dead_letter_queue_url" {
  description = "URL of the dead-letter queue; null without one."
  value       = one(module.queue[*].dead_letter_queue_url)
}
