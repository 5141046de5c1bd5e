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
  description = "Look first. The hooks come with false: a dry run sends no heartbeat and completes nothing."
  type        = bool
  default     = true
}

resource "aws_sns_topic" "alarms" {
  # checkov:skip=CKV_AWS_26:CloudWatch cannot publish with the key of SNS. One of yours must let it.
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

  # Jobs that were started by hand or by a scheduler get half an hour.
  standalone_stop_after = "30m"

  extra_configuration = <<-TOML
    stuck_after = "10m"

    [[override]]
    clusters = ["batch"]
    standalone_tasks = { stop_after = "6h" }
    deadline = "12h"
    at_deadline = "continue"
  TOML

  # For `ecs-drain drain`, which ends with the instance's termination.
  allow_terminate = true

  dry_run = var.dry_run
}

locals {
  hooked_groups = var.dry_run ? [] : var.group_names
}

# From then on the groups wait before they terminate an instance, whether ecs-drain runs or not: so after the service,
# and gone before it.

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
  description = "The configuration as the program gets it."
  value       = module.ecs_drain.configuration
}
