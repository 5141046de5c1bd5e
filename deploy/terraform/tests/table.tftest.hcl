# The table must be what the program checks for: src/store/schema.rs, docs/table.md.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  image      = "registry.example/ecs-drain:1.2.3"
  vpc_id     = "vpc-0123456789abcdef0"
  subnet_ids = ["subnet-0123456789abcdef0"]
}

run "shape" {
  assert {
    condition     = aws_dynamodb_table.this[0].hash_key == "key" && aws_dynamodb_table.this[0].range_key == null
    error_message = "The primary key is `key` alone."
  }

  assert {
    condition = { for index in aws_dynamodb_table.this[0].global_secondary_index : index.name => [
      index.hash_key, index.range_key, index.projection_type
      ] } == {
      unfinished = ["unfinished_of", "unfinished", "KEYS_ONLY"]
      by_cluster = ["cluster", "key", "KEYS_ONLY"]
    }
    error_message = "The indexes are `unfinished` and `by_cluster`, keys only."
  }

  assert {
    condition = {
      for attribute in aws_dynamodb_table.this[0].attribute : attribute.name => attribute.type
    } == { key = "S", unfinished_of = "S", unfinished = "S", cluster = "S" }
    error_message = "All keys are strings."
  }

  # The names, read from the program's own source.
  assert {
    condition = alltrue([
      for constant, value in {
        KEY              = aws_dynamodb_table.this[0].hash_key
        UNFINISHED_OF    = "unfinished_of"
        UNFINISHED       = "unfinished"
        EXPIRES_AT       = aws_dynamodb_table.this[0].ttl[0].attribute_name
        CLUSTER          = "cluster"
        UNFINISHED_INDEX = "unfinished"
        CLUSTER_INDEX    = "by_cluster"
      } :
      strcontains(
        file("${path.module}/../../src/store/schema.rs"), "pub const ${constant}: &str = ${jsonencode(value)};"
      )
    ])
    error_message = "src/store/schema.rs has other names."
  }

  assert {
    condition = (
      aws_dynamodb_table.this[0].ttl[0].enabled && aws_dynamodb_table.this[0].ttl[0].attribute_name == "expires_at"
    )
    error_message = "The TTL looks at `expires_at`."
  }

  assert {
    condition = (
      aws_dynamodb_table.this[0].billing_mode == "PAY_PER_REQUEST" &&
      aws_dynamodb_table.this[0].point_in_time_recovery[0].enabled &&
      aws_dynamodb_table.this[0].deletion_protection_enabled &&
      length(aws_dynamodb_table.this[0].server_side_encryption) == 0
    )
    error_message = "On demand, recoverable, protected, encrypted with DynamoDB's own key."
  }
}

run "options" {
  variables {
    table_name                = "records"
    table_deletion_protection = false
    table_kms_key_arn         = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition = (
      aws_dynamodb_table.this[0].name == "records" &&
      !aws_dynamodb_table.this[0].deletion_protection_enabled &&
      aws_dynamodb_table.this[0].server_side_encryption[0].enabled &&
      aws_dynamodb_table.this[0].server_side_encryption[0].kms_key_arn == var.table_kms_key_arn
    )
    error_message = "Name, protection and key can be chosen."
  }

  assert {
    condition     = local.environment.ECS_DRAIN_TABLE == "records"
    error_message = "The program uses the table that is made."
  }
}

run "an_existing_table" {
  variables {
    create_table = false
    table_name   = "records"
  }

  assert {
    condition     = length(aws_dynamodb_table.this) == 0 && local.environment.ECS_DRAIN_TABLE == "records"
    error_message = "No table is made, and the program uses the existing one."
  }
}

run "a_table_of_another_region" {
  variables {
    create_table = false
    table_region = "eu-central-1"
  }

  assert {
    condition = (
      local.environment.ECS_DRAIN_TABLE_REGION == "eu-central-1" &&
      local.table_arn == "arn:aws:dynamodb:eu-central-1:123456789012:table/ecs-drain"
    )
    error_message = "The program uses the table over there, and may."
  }
}

run "by_default_iam_alone_says_who_may_write" {
  assert {
    condition     = length(aws_dynamodb_resource_policy.this) == 0
    error_message = "The table has no policy of its own."
  }
}

run "operators_of_a_table_that_is_there" {
  variables {
    create_table       = false
    table_name         = "ecs-drain-restored"
    operator_role_arns = ["arn:aws:iam::123456789012:role/operators"]
  }

  assert {
    condition = (
      aws_dynamodb_resource_policy.this[0].resource_arn ==
      "arn:aws:dynamodb:eu-west-1:123456789012:table/ecs-drain-restored"
    )
    error_message = "A table that was restored is protected as the one before."
  }
}

run "only_operators_and_the_controller_write" {
  variables {
    operator_role_arns = ["arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/*AWSReservedSSO_Operators_*"]
  }

  assert {
    condition = [
      for s in jsondecode(aws_dynamodb_resource_policy.this[0].policy).Statement :
      [s.Effect, s.Principal, s.Resource, s.Condition]
      ] == [[
        "Deny", "*", "arn:aws:dynamodb:eu-west-1:123456789012:table/ecs-drain",
        { ArnNotLike = { "aws:PrincipalArn" = [
          "arn:aws:iam::123456789012:role/ecs-drain",
          "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/*AWSReservedSSO_Operators_*",
        ] } },
    ]]
    error_message = "Everyone else is denied."
  }

  # Reads stay what IAM allows, and so does what the table itself is changed with.
  assert {
    condition = alltrue([
      for action in jsondecode(aws_dynamodb_resource_policy.this[0].policy).Statement[0].Action :
      can(regex("^dynamodb:(BatchWriteItem|(Delete|Put|Update)Item|PartiQL(Delete|Insert|Update))$", action))
    ])
    error_message = "Only writes of items are denied."
  }
}
