# Values that are refused before anything is made.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  image      = "registry.example/ecs-drain:1.2.3"
  vpc_id     = "vpc-0123456789abcdef0"
  subnet_ids = ["subnet-0123456789abcdef0"]
}

run "what_is_no_such_thing" {
  command = plan

  variables {
    image                    = ""
    vpc_id                   = "main"
    subnet_ids               = []
    security_group_ids       = ["default"]
    cluster_arn              = "tools"
    name                     = "ecs_drain"
    architecture             = "arm64"
    cpu                      = 128
    desired_count            = 3
    ecr_repository_arn       = "ecs-drain"
    permissions_boundary_arn = "boundary"
    log_level                = "info please"
    log_retention_days       = 31
    controller               = "one controller"
    hooks                    = []
    clusters                 = []
    group_names              = []
    group_tags               = { team = "web-*" }
    strategy                 = "stop"
    standalone_stop_after    = "30"
    table_name               = "t"
    table_region             = "eu-central-1"
    table_kms_key_arn        = "alias/mine"
    alarm_topic_arns         = ["alarms"]
  }

  expect_failures = [
    var.image,
    var.vpc_id,
    var.subnet_ids,
    var.security_group_ids,
    var.cluster_arn,
    var.name,
    var.architecture,
    var.cpu,
    var.desired_count,
    var.ecr_repository_arn,
    var.permissions_boundary_arn,
    var.log_level,
    var.log_retention_days,
    var.controller,
    var.hooks,
    var.clusters,
    var.group_names,
    var.group_tags,
    var.strategy,
    var.standalone_stop_after,
    var.table_name,
    var.table_region,
    var.table_kms_key_arn,
    var.alarm_topic_arns,
  ]
}

run "arns_for_names_and_patterns_for_hooks" {
  command = plan

  variables {
    desired_count = 0
    hooks         = ["drain-*"]
    clusters      = ["arn:aws:ecs:eu-west-1:123456789012:cluster/web"]
    group_names   = ["arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:1:autoScalingGroupName/web"]
    name          = "a-name-that-leaves-no-room-for-the-rest-of-it"
    sns_topics    = { web = "arn:aws:sns:eu-west-1:123456789012:web.fifo" }
  }

  expect_failures = [
    var.desired_count,
    var.hooks,
    var.clusters,
    var.group_names,
    var.name,
    var.sns_topics,
  ]
}

run "ecs_s_own_hook" {
  command = plan

  variables {
    hooks = ["ecs-drain", "ecs-managed-draining-termination-hook"]
  }

  expect_failures = [
    var.hooks,
  ]
}

run "group_names_that_iam_would_expand" {
  command = plan

  variables {
    group_names = ["$${aws:username}"]
  }

  expect_failures = [
    var.group_names,
  ]
}

run "too_little_memory_for_the_cpu" {
  command = plan

  variables {
    cpu    = 512
    memory = 512
  }

  expect_failures = [
    var.memory,
  ]
}

run "topics_without_a_queue" {
  command = plan

  variables {
    create_queue = false
    sns_topics   = { web = "arn:aws:sns:eu-west-1:123456789012:web" }
  }

  expect_failures = [
    var.sns_topics,
  ]
}

run "a_second_policy" {
  command = plan

  variables {
    extra_configuration = "[policy]\ndeadline = \"2h\""
  }

  expect_failures = [
    var.extra_configuration,
  ]
}

run "a_second_scope" {
  command = plan

  variables {
    extra_configuration = "[[scope]]\nregion = \"eu-west-2\""
  }

  expect_failures = [
    var.extra_configuration,
  ]
}

run "a_second_strategy" {
  command = plan

  variables {
    extra_configuration = "strategy = \"deregister\""
  }

  expect_failures = [
    var.extra_configuration,
  ]
}

run "second_standalone_tasks" {
  command = plan

  variables {
    extra_configuration = "deadline = \"2h\"\nstandalone_tasks = \"wait\""
  }

  expect_failures = [
    var.extra_configuration,
  ]
}

run "a_member_without_a_region" {
  command = plan

  variables {
    members = [{
      region   = "Ireland"
      role_arn = "arn:aws:iam::210987654321:role/ecs-drain"
    }]
  }

  expect_failures = [
    var.members,
  ]
}

run "a_member_without_a_role" {
  command = plan

  variables {
    members = [{
      region   = "eu-west-1"
      role_arn = "ecs-drain"
    }]
  }

  expect_failures = [
    var.members,
  ]
}

run "a_member_with_a_bad_external_id" {
  command = plan

  variables {
    members = [{
      region      = "eu-west-1"
      role_arn    = "arn:aws:iam::210987654321:role/ecs-drain"
      external_id = "a shared word"
    }]
  }

  expect_failures = [
    var.members,
  ]
}

run "a_member_with_a_fifo_queue" {
  command = plan

  variables {
    members = [{
      region    = "eu-west-1"
      role_arn  = "arn:aws:iam::210987654321:role/ecs-drain"
      queue_url = "https://sqs.eu-west-1.amazonaws.com/210987654321/ecs-drain.fifo"
    }]
  }

  expect_failures = [
    var.members,
  ]
}

run "a_member_with_ecs_s_own_hook" {
  command = plan

  variables {
    members = [{
      region   = "eu-west-1"
      role_arn = "arn:aws:iam::210987654321:role/ecs-drain"
      hooks    = ["ecs-managed-draining-termination-hook"]
    }]
  }

  expect_failures = [
    var.members,
  ]
}

run "a_member_with_a_cluster_s_arn" {
  command = plan

  variables {
    members = [{
      region   = "eu-west-1"
      role_arn = "arn:aws:iam::210987654321:role/ecs-drain"
      clusters = ["arn:aws:ecs:eu-west-1:210987654321:cluster/web"]
    }]
  }

  expect_failures = [
    var.members,
  ]
}

run "a_member_without_groups" {
  command = plan

  variables {
    members = [{
      region      = "eu-west-1"
      role_arn    = "arn:aws:iam::210987654321:role/ecs-drain"
      group_names = []
    }]
  }

  expect_failures = [
    var.members,
  ]
}

run "a_member_with_a_pattern_in_a_tag" {
  command = plan

  variables {
    members = [{
      region     = "eu-west-1"
      role_arn   = "arn:aws:iam::210987654321:role/ecs-drain"
      group_tags = { team = "web-*" }
    }]
  }

  expect_failures = [
    var.members,
  ]
}

run "the_same_member_twice" {
  command = plan

  variables {
    members = [
      { region = "eu-west-1", role_arn = "arn:aws:iam::210987654321:role/ecs-drain" },
      { region = "eu-west-1", role_arn = "arn:aws:iam::210987654321:role/ecs-drain" },
    ]
  }

  expect_failures = [
    var.members,
  ]
}

run "a_member_s_own_module" {
  module {
    source = "./modules/member"
  }

  command = plan

  variables {
    controller_role_arn      = "ecs-drain"
    external_id              = "x"
    name                     = "-"
    clusters                 = [""]
    group_names              = [""]
    sns_topics               = { web = "web" }
    alarm_topic_arns         = ["alarms"]
    permissions_boundary_arn = "boundary"
  }

  expect_failures = [
    var.controller_role_arn,
    var.external_id,
    var.name,
    var.clusters,
    var.group_names,
    var.sns_topics,
    var.alarm_topic_arns,
    var.permissions_boundary_arn,
  ]
}

run "a_rebalance_that_may_not_terminate" {
  command = plan

  variables {
    extra_configuration = "rebalance = \"terminate\""
  }

  expect_failures = [
    var.extra_configuration,
  ]
}

run "arns_paths_and_operators_of_other_forms" {
  command = plan

  variables {
    registry_secret_arn = "registry-password"
    role_path           = "platform"
    log_kms_key_arn     = "alias/logs"
    operator_role_arns  = ["operators"]
  }

  expect_failures = [
    var.registry_secret_arn,
    var.role_path,
    var.log_kms_key_arn,
    var.operator_role_arns,
  ]
}

run "operators_of_a_table_in_another_region" {
  command = plan

  variables {
    create_table       = false
    table_region       = "eu-central-1"
    operator_role_arns = ["arn:aws:iam::123456789012:role/operators"]
  }

  expect_failures = [
    var.operator_role_arns,
  ]
}
