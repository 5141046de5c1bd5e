# The controller's permissions.

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
    condition = toset(flatten([for s in jsondecode(local.task_policy).Statement : s.Action])) == setsubtract(
      toset(flatten([for s in jsondecode(file("${path.module}/../iam/policy.json")).Statement : s.Action])),
      [
        # For people.
        "dynamodb:CreateTable", "dynamodb:Scan", "dynamodb:UpdateTimeToLive",
        # Not asked for.
        "autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup",
        "ecs:DeregisterContainerInstance", "ecs:StopTask",
        "sts:AssumeRole",
      ]
    )
    error_message = "The task role's actions are those of deploy/iam/policy.json, without what is not asked for."
  }

  assert {
    condition     = alltrue([for s in jsondecode(local.task_policy).Statement : s.Effect == "Allow"])
    error_message = "Every statement allows."
  }

  # Safety by what is not there.
  assert {
    condition = alltrue([
      for action in flatten([for s in jsondecode(local.task_policy).Statement : s.Action]) :
      !startswith(action, "ec2:") && !strcontains(action, "*") &&
      (!startswith(action, "elasticloadbalancing:") || startswith(action, "elasticloadbalancing:Describe"))
    ])
    error_message = "No EC2 action, no wildcard, and nothing that writes to a load balancer."
  }

  assert {
    condition = [
      for s in jsondecode(local.task_policy).Statement : s.Sid if contains(s.Resource, "*")
    ] == ["ReadWhatHasNoArnOfItsOwn"]
    error_message = "Only reads that have no ARN of their own are allowed on everything."
  }

  assert {
    condition = [
      for s in jsondecode(local.task_policy).Statement : s.Resource if contains(s.Action, "sqs:ReceiveMessage")
    ] == [["arn:aws:sqs:eu-west-1:123456789012:ecs-drain"]]
    error_message = "Only the queue of this module is read."
  }

  assert {
    condition = [
      for s in jsondecode(local.task_policy).Statement : s.Resource if contains(s.Action, "dynamodb:Query")
      ] == [[
        "arn:aws:dynamodb:eu-west-1:123456789012:table/ecs-drain",
        "arn:aws:dynamodb:eu-west-1:123456789012:table/ecs-drain/index/*",
    ]]
    error_message = "The table and its indexes are queried, and nothing else."
  }

  assert {
    condition = [
      for s in jsondecode(local.task_policy).Statement : s.Condition if contains(s.Action, "dynamodb:DeleteItem")
    ] == [{ "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = ["lease/default"] } }]
    error_message = "Of the table's items the controller may delete its lease alone."
  }
}

run "rollouts_alone" {
  variables {
    allow_rollouts = true
  }

  assert {
    condition = length(setintersection(
      flatten([for s in jsondecode(local.task_policy).Statement : s.Action]),
      ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    )) == 2
    error_message = "A rollout raises the desired capacity, and terminates."
  }
}

run "with_everything" {
  variables {
    allow_rollouts        = true
    strategy              = "deregister"
    standalone_stop_after = "30m"
    members = [{
      region   = "us-east-1"
      role_arn = "arn:aws:iam::210987654321:role/ecs-drain-member-us-east-1"
    }]
  }

  assert {
    condition = toset(flatten([for s in jsondecode(local.task_policy).Statement : s.Action])) == setsubtract(
      toset(flatten([for s in jsondecode(file("${path.module}/../iam/policy.json")).Statement : s.Action])),
      ["dynamodb:CreateTable", "dynamodb:Scan", "dynamodb:UpdateTimeToLive"]
    )
    error_message = "With every feature the actions are those of deploy/iam/policy.json but for those that people use."
  }

  # The same kind of resource for each action as in deploy/iam/policy.json: what comes before the first name.
  assert {
    condition = alltrue(flatten([
      for ours in jsondecode(local.task_policy).Statement : [
        for theirs in jsondecode(file("${path.module}/../iam/policy.json")).Statement : alltrue([
          for action in setintersection(ours.Action, theirs.Action) : (
            toset([for arn in ours.Resource : regex("^[^/]*", replace(arn, ":ecs-drain", ":"))]) ==
            toset([
              for arn in flatten([theirs.Resource]) : regex("^[^/]*", replace(
                replace(replace(arn, "REGION", "eu-west-1"), "ACCOUNT", "123456789012"), ":ecs-drain", ":"
              ))
            ])
          ) if !startswith(action, "sts:") && !startswith(action, "dynamodb:")
        ])
      ]
    ]))
    error_message = "An action is allowed on another kind of resource than in deploy/iam/policy.json."
  }

  assert {
    condition = [
      for s in jsondecode(local.task_policy).Statement : s.Resource if contains(s.Action, "sts:AssumeRole")
    ] == [["arn:aws:iam::210987654321:role/ecs-drain-member-us-east-1"]]
    error_message = "Only the members' roles may be assumed."
  }
}

run "without_what_is_optional" {
  variables {
    create_queue = false
    create_table = false
    table_name   = "records"
  }

  assert {
    condition = length(setintersection(
      flatten([for s in jsondecode(local.task_policy).Statement : s.Action]),
      [
        "autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup",
        "ecs:DeregisterContainerInstance", "ecs:StopTask",
        "sqs:DeleteMessage", "sqs:ReceiveMessage", "sts:AssumeRole",
      ]
    )) == 0
    error_message = "An unused feature is allowed."
  }

  assert {
    condition = [
      for s in jsondecode(local.task_policy).Statement : s.Resource if s.Sid == "KeepRecordsAndLease"
    ] == [["arn:aws:dynamodb:eu-west-1:123456789012:table/records"]]
    error_message = "The existing table is the one that may be used."
  }
}

run "chosen_clusters_and_groups" {
  variables {
    allow_terminate       = true
    strategy              = "deregister"
    standalone_stop_after = "30m"
    clusters              = ["web", "batch-*"]
    group_names           = ["web-asg"]
  }

  assert {
    condition = [
      for s in jsondecode(local.task_policy).Statement : s.Resource
      if contains(s.Action, "ecs:UpdateContainerInstancesState")
      ] == [[
        "arn:aws:ecs:eu-west-1:123456789012:container-instance/web/*",
        "arn:aws:ecs:eu-west-1:123456789012:container-instance/batch-*/*",
    ]]
    error_message = "Container instances of other clusters can be set to DRAINING."
  }

  assert {
    condition = [
      for s in jsondecode(local.task_policy).Statement : s.Resource if contains(s.Action, "ecs:StopTask")
      ] == [[
        "arn:aws:ecs:eu-west-1:123456789012:task/web/*",
        "arn:aws:ecs:eu-west-1:123456789012:task/batch-*/*",
    ]]
    error_message = "Tasks of other clusters can be stopped."
  }

  assert {
    condition = [
      for s in jsondecode(local.task_policy).Statement : s.Resource
      if contains(s.Action, "ecs:DeregisterContainerInstance")
      ] == [[
        "arn:aws:ecs:eu-west-1:123456789012:cluster/web",
        "arn:aws:ecs:eu-west-1:123456789012:cluster/batch-*",
    ]]
    error_message = "Container instances of other clusters can be deregistered."
  }

  assert {
    condition = {
      for s in jsondecode(local.task_policy).Statement : s.Sid => s.Resource
      if anytrue([for action in s.Action : !strcontains(action, ":Describe") && startswith(action, "autoscaling:")])
      } == {
      for sid in ["HoldAndCompleteLifecycleActions", "OnlyForOperatorsDrainsThatTerminate"] :
      sid => ["arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:*:autoScalingGroupName/web-asg"]
    }
    error_message = "Instances of other groups can be held, released or terminated."
  }

  assert {
    condition = [
      for s in jsondecode(local.task_policy).Statement : s.Resource if contains(s.Action, "ecs:ListContainerInstances")
    ] == [["arn:aws:ecs:eu-west-1:123456789012:cluster/*"]]
    error_message = "The search for an instance looks in every cluster."
  }
}

run "rules_in_the_extra_configuration_count" {
  variables {
    extra_configuration = <<-TOML
      deadline = "2h"

      [[override]]
      clusters = ["batch"]
      strategy = "deregister"
      standalone_tasks = { stop_after = "1h" }
    TOML
  }

  assert {
    condition = length(setintersection(
      flatten([for s in jsondecode(local.task_policy).Statement : s.Action]),
      ["ecs:DeregisterContainerInstance", "ecs:StopTask"]
    )) == 2
    error_message = "A rule of the extra configuration is not allowed."
  }
}

run "comments_in_the_extra_configuration_do_not_count" {
  variables {
    extra_configuration = <<-TOML
      # rebalance = "terminate"
      # strategy = "deregister"
      # standalone_tasks = { stop_after = "1h" }
    TOML
  }

  assert {
    condition = length(setintersection(
      flatten([for s in jsondecode(local.task_policy).Statement : s.Action]),
      ["autoscaling:TerminateInstanceInAutoScalingGroup", "ecs:DeregisterContainerInstance", "ecs:StopTask"]
    )) == 0
    error_message = "A comment allows something."
  }
}

run "a_table_with_a_key_of_ones_own" {
  variables {
    table_kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition = [
      for s in jsondecode(local.task_policy).Statement : [s.Resource, s.Condition] if contains(s.Action, "kms:Decrypt")
      ] == [[
        ["arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"],
        { StringLike = { "kms:ViaService" = "dynamodb.eu-west-1.amazonaws.*" } },
    ]]
    error_message = "The key is used for the table alone."
  }
}

run "roles" {
  variables {
    ecr_repository_arn       = "arn:aws:ecr:eu-west-1:123456789012:repository/ecs-drain"
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/boundary"
    role_path                = "/platform/"
  }

  assert {
    condition = alltrue([
      for role in [aws_iam_role.task, aws_iam_role.execution] :
      [for s in jsondecode(role.assume_role_policy).Statement : [s.Effect, s.Principal, s.Action]] ==
      [["Allow", { Service = "ecs-tasks.amazonaws.com" }, "sts:AssumeRole"]]
    ])
    error_message = "Only tasks have the roles."
  }

  assert {
    condition = [
      for role in [aws_iam_role.task, aws_iam_role.execution] :
      try(jsondecode(role.assume_role_policy).Statement[0].Condition, null)
      ] == [
      {
        StringEquals = { "aws:SourceAccount" = "123456789012" }
        ArnLike      = { "aws:SourceArn" = "arn:aws:ecs:eu-west-1:123456789012:*" }
      },
      null,
    ]
    error_message = "Only tasks of this account and region have the task role."
  }

  assert {
    condition = alltrue([
      for role in [aws_iam_role.task, aws_iam_role.execution] :
      role.permissions_boundary == "arn:aws:iam::123456789012:policy/boundary" && role.path == "/platform/"
    ])
    error_message = "Both roles have the boundary and the path."
  }

  assert {
    condition = {
      for s in jsondecode(local.execution_policy).Statement : s.Sid => s.Resource
      } == {
      WriteTheLog  = ["arn:aws:logs:eu-west-1:123456789012:log-group:/ecs-drain/ecs-drain:*"]
      SignInToEcr  = ["*"]
      PullTheImage = ["arn:aws:ecr:eu-west-1:123456789012:repository/ecs-drain"]
    }
    error_message = "The execution role writes its own log and pulls its own image."
  }
}

run "no_ecr_where_the_image_is_elsewhere" {
  assert {
    condition     = !strcontains(local.execution_policy, "ecr:")
    error_message = "The execution role may use ECR although the image is not there."
  }
}
