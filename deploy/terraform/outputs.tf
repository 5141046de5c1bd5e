output "task_role_arn" {
  description = "ARN of the task role, which roles in member accounts trust."
  value       = aws_iam_role.task.arn
}

output "execution_role_arn" {
  description = "ARN of the execution role."
  value       = aws_iam_role.execution.arn
}

output "table_name" {
  description = "Name of the table, for `ecs-drain get --table`."
  value       = local.environment.ECS_DRAIN_TABLE
}

output "table_arn" {
  description = "ARN of the table."
  value       = local.table_arn
}

output "queue_url" {
  description = "URL of the queue; null without one."
  value       = one(module.queue[*].url)
}

output "dead_letter_queue_url" {
  description = "URL of the dead-letter queue; null without one."
  value       = one(module.queue[*].dead_letter_queue_url)
}

output "security_group_id" {
  description = "Id of the service's security group. VPC endpoints must admit it."
  value       = aws_security_group.this.id
}

output "log_group_name" {
  description = "Name of the log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "service" {
  description = "Cluster ARN and name of the ECS service."
  value = {
    cluster_arn = aws_ecs_service.this.cluster
    name        = aws_ecs_service.this.name
  }
}

output "configuration" {
  description = "The configuration of ecs-drain, for `ecs-drain config check`."
  value       = local.configuration
}
