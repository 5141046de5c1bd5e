# The table as `ecs-drain init` creates it. ecs-drain checks its key, its indexes and its TTL, and nothing else.

resource "aws_dynamodb_table" "this" {
  count = var.create_table ? 1 : 0

  name                        = var.table_name
  billing_mode                = "PAY_PER_REQUEST"
  deletion_protection_enabled = var.table_deletion_protection

  hash_key = "key"

  dynamic "attribute" {
    for_each = ["key", "unfinished_of", "unfinished", "cluster"]
    content {
      name = attribute.value
      type = "S"
    }
  }

  global_secondary_index {
    name            = "unfinished"
    hash_key        = "unfinished_of"
    range_key       = "unfinished"
    projection_type = "KEYS_ONLY"
  }

  global_secondary_index {
    name            = "by_cluster"
    hash_key        = "cluster"
    range_key       = "key"
    projection_type = "KEYS_ONLY"
  }

  ttl {
    enabled        = true
    attribute_name = "expires_at"
  }

  point_in_time_recovery {
    enabled = true
  }

  # Without this block DynamoDB encrypts the table with a key that it owns.
  dynamic "server_side_encryption" {
    for_each = var.table_kms_key_arn == null ? [] : [var.table_kms_key_arn]
    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }
}

# Principals that are not named are denied, even if IAM allows them. For an assumed role the key has the role's ARN, not
# the session's. (Source: IAM user guide, "AWS global condition context keys", aws:PrincipalArn.)
resource "aws_dynamodb_resource_policy" "this" {
  count = length(var.operator_role_arns) > 0 ? 1 : 0

  resource_arn = local.table_arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyTheControllerAndOperatorsWrite"
      Effect    = "Deny"
      Principal = "*"
      # All actions that write items, PartiQL's too. (Source: Service Authorization Reference, DynamoDB.)
      Action = [
        "dynamodb:BatchWriteItem",
        "dynamodb:DeleteItem",
        "dynamodb:PartiQLDelete",
        "dynamodb:PartiQLInsert",
        "dynamodb:PartiQLUpdate",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
      ]
      Resource  = local.table_arn
      Condition = { ArnNotLike = { "aws:PrincipalArn" = concat([aws_iam_role.task.arn], var.operator_role_arns) } }
    }]
  })
}

locals {
  table_region = coalesce(var.table_region, local.region)
  table_arn = var.create_table ? aws_dynamodb_table.this[0].arn : (
    "arn:${local.partition}:dynamodb:${local.table_region}:${local.account_id}:table/${var.table_name}"
  )
}
