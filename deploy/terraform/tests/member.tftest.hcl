# The role and the queue in a member account.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  controller_role_arn = "arn:aws:iam::210987654321:role/ecs-drain-task-eu-west-1"
  external_id         = "a-shared-word"
}

run "by_default" {
  module {
    source = "./modules/member"
  }

  assert {
    condition = jsondecode(aws_iam_role.this.assume_role_policy).Statement == [{
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::210987654321:role/ecs-drain-task-eu-west-1" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "sts:ExternalId" = "a-shared-word" } }
    }]
    error_message = "Only the controller's task role may assume it, and must give the external id."
  }

  assert {
    condition = toset(flatten([for s in jsondecode(aws_iam_role_policy.this.policy).Statement : s.Action])) == toset([
      for action in flatten([
        for s in jsondecode(file("${path.module}/../../../iam/policy.json")).Statement : s.Action
      ]) :
      action if !startswith(action, "dynamodb:") && !startswith(action, "sts:") && !contains(
        [
          "autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup",
          "ecs:DeregisterContainerInstance", "ecs:StopTask",
        ],
        action
      )
    ])
    error_message = "The role's actions are those of policy.json, without the table, STS and what is not asked for."
  }

  assert {
    condition = output.member == {
      region      = "eu-west-1"
      role_arn    = "arn:aws:iam::123456789012:role/ecs-drain"
      external_id = "a-shared-word"
      queue_url   = "https://sqs.eu-west-1.amazonaws.com/123456789012/ecs-drain"
      hooks       = tolist(["ecs-drain"])
      clusters    = tolist(["*"])
      group_names = tolist(["*"])
    }
    error_message = "The output has what the controller needs."
  }

  assert {
    condition     = aws_iam_role.this.name == "ecs-drain-member-eu-west-1"
    error_message = "The role's name has the region in it: an account can have a member in each."
  }
}

run "options" {
  module {
    source = "./modules/member"
  }

  variables {
    clusters         = ["reports-*"]
    group_names      = ["reports"]
    allow_deregister = true
    allow_stop_task  = true
    create_queue     = false
    role_path        = "/platform/"
  }

  assert {
    condition     = aws_iam_role.this.path == "/platform/"
    error_message = "The role has the path."
  }

  assert {
    condition = {
      for s in jsondecode(aws_iam_role_policy.this.policy).Statement : s.Sid => s.Resource
      if !startswith(s.Sid, "Read") && !startswith(s.Sid, "Find")
      } == {
      SetDraining                     = ["arn:aws:ecs:eu-west-1:123456789012:container-instance/reports-*/*"]
      OnlyForStandaloneTasksStopAfter = ["arn:aws:ecs:eu-west-1:123456789012:task/reports-*/*"]
      OnlyForStrategyDeregister       = ["arn:aws:ecs:eu-west-1:123456789012:cluster/reports-*"]
      HoldAndCompleteLifecycleActions = [
        "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:*:autoScalingGroupName/reports"
      ]
    }
    error_message = "The role's changes are limited to its clusters and groups."
  }

  assert {
    condition     = output.queue_url == null && output.member.queue_url == null
    error_message = "No queue is asked for."
  }
}
