# One account, one region: a controller with its table, its queue and its alarms, and the hook on two groups.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80"
    }
  }
}

provider "aws" {
  region = "eu-west-1"

  default_tags {
    tags = { service = "ecs-drain" }
  }
}

variable "image" {
  description = "The container image."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "private_subnet_ids" {
  description = "Subnets with NAT or VPC endpoints."
  type        = list(string)
}

variable "group_names" {
  description = "The Auto Scaling groups whose instances are drained."
  type        = list(string)
  default     = ["web", "batch"]
}

variable "dry_run" {
  description = "Makes ecs-drain only log its steps. False creates the hooks, because a dry run sends no heartbeats."
  type        = bool
  default     = true
}

resource "aws_sns_topic" "alarms" {
  # checkov:skip=CKV_AWS_26:CloudWatch cannot publish with the key of SNS. Your own key must allow CloudWatch.
  name = "ecs-drain-alarms"
}

module "ecs_drain" {
  source = "../.."

  image            = var.image
  vpc_id           = var.vpc_id
  subnet_ids       = var.private_subnet_ids
  alarm_topic_arns = [aws_sns_topic.alarms.arn]

  clusters    = ["web", "batch"]
  group_names = var.group_names

  # Standalone tasks get half an hour.
  standalone_stop_after = "30m"

  extra_configuration = <<-TOML
    stuck_after = "10m"

    [[override]]
    clusters = ["batch"]
    standalone_tasks = { stop_after = "6h" }
    deadline = "12h"
    at_deadline = "continue"
  TOML

  # For `ecs-drain drain`, which ends with the termination of the instance.
  allow_terminate = true

  dry_run = var.dry_run
}

locals {
  hooked_groups = var.dry_run ? [] : var.group_names
}

# With the hook, a group waits before it terminates an instance, even if ecs-drain is not running. So it is created after
# the service, and deleted before it.

module "hook" {
  source = "../../modules/hook"

  group_names = local.hooked_groups

  depends_on = [module.ecs_drain]
}

output "hooked_groups" {
  description = "The groups that wait for ecs-drain."
  value       = local.hooked_groups
}

output "configuration" {
  description = "The configuration of ecs-drain."
  value       = module.ecs_drain.configuration
}
