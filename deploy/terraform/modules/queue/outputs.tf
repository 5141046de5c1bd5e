output "url" {
  description = "URL of the queue."
  value       = aws_sqs_queue.events.url
}

output "arn" {
  description = "ARN of the queue."
  value       = aws_sqs_queue.events.arn
}

output "dead_letter_queue_url" {
  description = "URL of the dead-letter queue."
  value       = aws_sqs_queue.dead_letters.url
}
