# ecs-drain as a Fargate service, with its table, its queue and its alarms.
#
# | file | creates |
# | --- | --- |
# | table.tf | the DynamoDB table |
# | queue.tf | the queue for events of this account and region |
# | configuration.tf | the configuration of ecs-drain, in TOML |
# | iam.tf | the two roles |
# | service.tf | log group, security group, task definition, service |
# | alarms.tf | alarms on the metrics of ecs-drain |

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition  = data.aws_partition.current.partition
  account_id = data.aws_caller_identity.current.account_id
  # The attribute's name depends on the provider's version; the id is the region's name in all of them.
  region = data.aws_region.current.id
}
