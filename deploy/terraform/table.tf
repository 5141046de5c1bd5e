# The table as `ecs-drain init` makes it: the program checks its key, its indexes and its TTL. Everything else is free.

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

  # Without this block the table is encrypted with a key that DynamoDB owns.
  dynamic "server_side_encryption" {
    for_each = var.table_kms_key_arn == null ? [] : [var.table_kms_key_arn]
    content {
      enabled     = true
      kms_key_arn = server_side_encryption.value
    }
  }
}

locals {
  table_arn = var.create_table ? aws_dynamodb_table.this[0].arn : (
    "arn:${local.partition}:dynamodb:${local.region}:${local.account_id}:table/${var.table_name}"
  )
}
