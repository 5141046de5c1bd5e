# ecs-drain as a Fargate service, with its table, its queue and its alarms.
#
# | file | what it makes |
# | --- | --- |
# | table.tf | the DynamoDB table |
# | queue.tf | the queue of this account's and region's events |
# | configuration.tf | the program's configuration, as TOML |
# | iam.tf | the two roles |
# | service.tf | log group, security group, task definition, service |
# | alarms.tf | alarms on the program's metrics |

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition  = data.aws_partition.current.partition
  account_id = data.aws_caller_identity.current.account_id
  # The attribute's name depends on the provider's version; the id is the region's name in all of them.
  region = data.aws_region.current.id
}
