# One controller for several accounts and regions. It runs in the hub, and assumes a role in each member.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80"
    }
  }
}

variable "image" {
  description = "The container image."
  type        = string
}

variable "vpc_id" {
  description = "The VPC in the hub."
  type        = string
}

variable "private_subnet_ids" {
  description = "Subnets in the hub with NAT or VPC endpoints, which reach the members' regions."
  type        = list(string)
}

variable "deployment_roles" {
  description = "A role in each member account that Terraform may assume."
  type = object({
    shop    = string
    reports = string
  })
}

# The hub.
provider "aws" {
  region = "eu-west-1"
}

provider "aws" {
  alias  = "shop"
  region = "eu-west-1"
  assume_role {
    role_arn = var.deployment_roles.shop
  }
}

provider "aws" {
  alias  = "shop_virginia"
  region = "us-east-1"
  assume_role {
    role_arn = var.deployment_roles.shop
  }
}

provider "aws" {
  alias  = "reports"
  region = "eu-west-1"
  assume_role {
    role_arn = var.deployment_roles.reports
  }
}

module "hub" {
  source = "../.."

  image         = var.image
  vpc_id        = var.vpc_id
  subnet_ids    = var.private_subnet_ids
  desired_count = 2

  members = [
    module.shop.member,
    module.shop_virginia.member,
    module.reports.member,
  ]
}

# One for each account and region.
module "shop" {
  source    = "../../modules/member"
  providers = { aws = aws.shop }

  controller_role_arn = module.hub.task_role_arn
  external_id         = "ecs-drain-of-the-hub"
}

module "shop_virginia" {
  source    = "../../modules/member"
  providers = { aws = aws.shop_virginia }

  controller_role_arn = module.hub.task_role_arn
  external_id         = "ecs-drain-of-the-hub"
}

module "reports" {
  source    = "../../modules/member"
  providers = { aws = aws.reports }

  controller_role_arn = module.hub.task_role_arn
  external_id         = "ecs-drain-of-the-hub"

  # This member keeps an older hook, limits ecs-drain to some clusters and groups, and needs no queue.
  hooks        = ["drain-before-termination"]
  clusters     = ["reports-*"]
  group_names  = ["reports-*"]
  create_queue = false
}

# With a hook, a group waits before it terminates an instance, even if ecs-drain is not running. So the hooks are created
# after the hub's service, and deleted before it.
module "hooks" {
  source    = "../../modules/hook"
  providers = { aws = aws.shop }

  group_names = ["web", "checkout"]
  depends_on  = [module.hub]
}

module "hooks_virginia" {
  source    = "../../modules/hook"
  providers = { aws = aws.shop_virginia }

  group_names = ["web"]
  depends_on  = [module.hub]
}

output "configuration" {
  description = "The configuration of ecs-drain."
  value       = module.hub.configuration
}
