# One controller for several accounts and regions: it runs in the hub, and assumes a role in each member.

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
  description = "Subnets in the hub with NAT or VPC endpoints. The members' regions must be reached from them."
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

  # An older hook stays in use there. Only these may be touched, and polling is enough.
  hooks        = ["drain-before-termination"]
  clusters     = ["reports-*"]
  group_names  = ["reports-*"]
  create_queue = false
}

# From then on the groups wait before they terminate an instance, whether ecs-drain runs or not: so after the hub's
# service, and gone before it.
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
  description = "The configuration as the program gets it."
  value       = module.hub.configuration
}
