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

resource "aws_sns_topic" "alarms" {
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

  # Look first: nothing is changed until this is gone.
  dry_run = true
}

module "hook" {
  source = "../../modules/hook"

  group_names = var.group_names
}

output "configuration" {
  description = "The configuration as the program gets it."
  value       = module.ecs_drain.configuration
}
