# The configuration, as the program gets it: docs/configuration.md.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  image      = "registry.example/ecs-drain:1.2.3"
  vpc_id     = "vpc-0123456789abcdef0"
  subnet_ids = ["subnet-0123456789abcdef0"]
}

run "by_default" {
  assert {
    condition     = output.configuration == <<-TOML
      [[scope]]
      region = "eu-west-1"
      hooks = ["ecs-drain"]
      clusters = ["*"]
      groups = { names = ["*"], tags = {} }
      queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/ecs-drain"

      [policy]
      strategy = "drain"
    TOML
    error_message = "The configuration: ${output.configuration}"
  }
}

run "with_everything" {
  variables {
    hooks                 = ["drain-a", "drain-b"]
    clusters              = ["web", "batch-*"]
    group_names           = ["web \"<1>\" & more"]
    group_tags            = { "team" = "web", "drain me" = "*" }
    strategy              = "deregister"
    standalone_stop_after = "1h30m"
    create_queue          = false

    members = [
      {
        region      = "us-east-1"
        role_arn    = "arn:aws:iam::210987654321:role/ecs-drain-member-us-east-1"
        external_id = "a-shared-word"
        queue_url   = "https://sqs.us-east-1.amazonaws.com/210987654321/ecs-drain"
      },
      {
        region      = "eu-west-1"
        role_arn    = "arn:aws:iam::210987654321:role/ecs-drain-member-eu-west-1"
        hooks       = ["other"]
        clusters    = ["reports"]
        group_names = ["reports-*"]
        group_tags  = { team = "reports" }
      },
    ]

    extra_configuration = <<-TOML

      deadline = "2h"
      at_deadline = "continue"

      [[override]]
      clusters = ["batch-*"]
      deadline = "12h"

    TOML
  }

  assert {
    condition     = output.configuration == <<-TOML
      [[scope]]
      region = "eu-west-1"
      hooks = ["drain-a","drain-b"]
      clusters = ["web","batch-*"]
      groups = { names = ["web \"\u003c1\u003e\" \u0026 more"], tags = {"drain me" = "*", "team" = "web"} }

      [[scope]]
      region = "us-east-1"
      hooks = ["drain-a","drain-b"]
      clusters = ["*"]
      groups = { names = ["*"], tags = {} }
      queue = "https://sqs.us-east-1.amazonaws.com/210987654321/ecs-drain"
      role = { arn = "arn:aws:iam::210987654321:role/ecs-drain-member-us-east-1", external_id = "a-shared-word" }

      [[scope]]
      region = "eu-west-1"
      hooks = ["other"]
      clusters = ["reports"]
      groups = { names = ["reports-*"], tags = {"team" = "reports"} }
      role = { arn = "arn:aws:iam::210987654321:role/ecs-drain-member-eu-west-1" }

      [policy]
      strategy = "deregister"
      standalone_tasks = { stop_after = "1h30m" }
      deadline = "2h"
      at_deadline = "continue"

      [[override]]
      clusters = ["batch-*"]
      deadline = "12h"
    TOML
    error_message = "The configuration: ${output.configuration}"
  }
}
