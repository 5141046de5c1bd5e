# Two roles. ECS uses the execution role to pull the image and to write the log. ecs-drain uses the task role.

locals {
  # Conditions for the task role alone: AWS documents none for the execution role. (Source: ECS developer guide, "Amazon
  # ECS task IAM role", on the confused deputy.)
  trust = {
    for role, condition in {
      execution = {}
      task = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:*" }
      }
    } :
    role => jsonencode({
      Version = "2012-10-17"
      Statement = [merge(
        {
          Effect    = "Allow"
          Principal = { Service = "ecs-tasks.amazonaws.com" }
          Action    = "sts:AssumeRole"
        },
        length(condition) > 0 ? { Condition = condition } : {}
      )]
    })
  }
}

module "policy" {
  source = "./modules/policy"

  partition        = local.partition
  account_id       = local.account_id
  region           = local.region
  clusters         = var.clusters
  group_names      = var.group_names
  allow_deregister = local.deregisters
  allow_stop_task  = local.stops_tasks
  allow_terminate  = var.allow_terminate
  allow_rollouts   = var.allow_rollouts
  queue_arns       = module.queue[*].arn
  table_arns       = [local.table_arn]
  lease_keys       = ["lease/${var.controller}"]
  role_arns        = [for member in var.members : member.role_arn]
}

locals {
  # An identity that reads or writes a table with a customer managed key needs the key too, through DynamoDB. These are
  # the actions for the table's use; CreateGrant is for its creation. (Source: DynamoDB developer guide,
  # "DynamoDB encryption at rest: How it works", on customer managed keys.)
  table_key_statements = var.table_kms_key_arn == null ? [] : [{
    Sid    = "UseTheTablesKey"
    Effect = "Allow"
    Action = [
      "kms:Decrypt",
      "kms:DescribeKey",
      "kms:Encrypt",
      "kms:GenerateDataKey*",
      "kms:ReEncrypt*",
    ]
    Resource  = [var.table_kms_key_arn]
    Condition = { StringLike = { "kms:ViaService" = "dynamodb.${local.table_region}.amazonaws.*" } }
  }]

  task_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(module.policy.statements, local.table_key_statements)
  })

  execution_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "WriteTheLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.this.arn}:*"]
      }],
      var.ecr_repository_arn == null ? [] : [
        {
          Sid      = "SignInToEcr"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"]
        },
        {
          Sid      = "PullTheImage"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = [var.ecr_repository_arn]
        },
      ],
      var.registry_secret_arn == null ? [] : [{
        Sid      = "ReadTheRegistrysPassword"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue"]
        Resource = [var.registry_secret_arn]
      }]
    )
  })
}

# Roles belong to the account. The region in the name lets each region have its own controller.
resource "aws_iam_role" "task" {
  name                 = "${var.name}-task-${local.region}"
  description          = "Permissions of ecs-drain"
  assume_role_policy   = local.trust.task
  path                 = var.role_path
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_role_policy" "task" {
  name   = "ecs-drain"
  role   = aws_iam_role.task.id
  policy = local.task_policy
}

resource "aws_iam_role" "execution" {
  name                 = "${var.name}-execution-${local.region}"
  description          = "Lets ECS pull the image of ecs-drain and write its log"
  assume_role_policy   = local.trust.execution
  path                 = var.role_path
  permissions_boundary = var.permissions_boundary_arn
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = local.execution_policy
}
