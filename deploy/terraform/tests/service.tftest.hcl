# How the program runs.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  image      = "registry.example/ecs-drain:1.2.3"
  vpc_id     = "vpc-0123456789abcdef0"
  subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
}

run "by_default" {
  assert {
    condition = (
      aws_ecs_service.this.desired_count == 1 &&
      aws_ecs_service.this.deployment_maximum_percent == 200 &&
      aws_ecs_service.this.deployment_minimum_healthy_percent == 100 &&
      aws_ecs_service.this.deployment_circuit_breaker[0].enable &&
      aws_ecs_service.this.deployment_circuit_breaker[0].rollback &&
      aws_ecs_service.this.propagate_tags == "SERVICE" && aws_ecs_service.this.wait_for_steady_state
    )
    error_message = "The new task starts before the old one stops, one that fails is rolled back, and its tasks have its tags."
  }

  assert {
    condition     = length(aws_security_group.this.ingress) == 0
    error_message = "Nothing comes in."
  }

  assert {
    condition = [
      for rule in aws_security_group.this.egress : [rule.protocol, rule.from_port, rule.to_port]
    ] == [["tcp", 443, 443]]
    error_message = "Only HTTPS goes out."
  }

  assert {
    condition = (
      !aws_ecs_service.this.network_configuration[0].assign_public_ip &&
      aws_ecs_service.this.network_configuration[0].security_groups == toset(["sg-0123456789abcdef0"]) &&
      aws_ecs_service.this.network_configuration[0].subnets == toset(var.subnet_ids)
    )
    error_message = "The task is in the given subnets, without a public address, in its own security group."
  }

  assert {
    condition = (
      toset(aws_ecs_task_definition.this.requires_compatibilities) == toset(["FARGATE"]) &&
      aws_ecs_task_definition.this.cpu == "256" && aws_ecs_task_definition.this.memory == "512" &&
      aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture == "X86_64" &&
      aws_ecs_task_definition.this.skip_destroy
    )
    error_message = "A small task on Fargate, whose old revisions stay for a rollback."
  }

  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].user == "65532:65532" &&
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem &&
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].linuxParameters.capabilities == {
        add = [], drop = ["ALL"]
      } &&
      !can(jsondecode(aws_ecs_task_definition.this.container_definitions)[0].portMappings)
    )
    error_message = "No root, no writable file system, no capabilities, no ports."
  }

  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].command == ["run"] &&
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].stopTimeout == 30 &&
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].healthCheck == {
        command     = ["CMD", "/usr/local/bin/ecs-drain", "healthcheck"]
        interval    = 30
        timeout     = 5
        retries     = 3
        startPeriod = 60
      }
    )
    error_message = "It runs, has time to stop, and its health is checked."
  }

  assert {
    condition = {
      for variable in jsondecode(aws_ecs_task_definition.this.container_definitions)[0].environment :
      variable.name => variable.value
      } == {
      ECS_DRAIN_CONFIG_TOML        = local.configuration
      ECS_DRAIN_TABLE              = "ecs-drain"
      ECS_DRAIN_TABLE_REGION       = "eu-west-1"
      ECS_DRAIN_CONTROLLER         = "default"
      ECS_DRAIN_DRY_RUN            = "false"
      ECS_DRAIN_LOG                = "info"
      ECS_DRAIN_LOG_FORMAT         = "json"
      ECS_DRAIN_LISTEN             = "127.0.0.1:8080"
      ECS_DRAIN_CLOUDWATCH_METRICS = "true"
    }
    error_message = "The program gets its configuration through these variables."
  }

  assert {
    condition = jsondecode(aws_ecs_task_definition.this.container_definitions)[0].logConfiguration == {
      logDriver = "awslogs"
      options = {
        awslogs-group         = "/ecs-drain/ecs-drain"
        awslogs-region        = "eu-west-1"
        awslogs-stream-prefix = "ecs-drain"
        mode                  = "non-blocking"
        max-buffer-size       = "16m"
      }
    } && aws_cloudwatch_log_group.this.retention_in_days == 90
    error_message = "The log goes to its own group, and does not hold the program up."
  }

  assert {
    condition     = aws_ecs_service.this.cluster == "arn:aws:ecs:eu-west-1:123456789012:cluster/ecs-drain"
    error_message = "A cluster of its own is made."
  }
}

run "options" {
  variables {
    desired_count      = 2
    dry_run            = true
    controller         = "blue"
    architecture       = "ARM64"
    cpu                = 512
    memory             = 1024
    assign_public_ip   = true
    security_group_ids = ["sg-0aaaaaaaaaaaaaaaa"]
    cluster_arn        = "arn:aws:ecs:eu-west-1:123456789012:cluster/tools"
    log_retention_days = 365
    log_level          = "warn,ecs_drain=debug"
  }

  assert {
    condition = (
      aws_ecs_service.this.desired_count == 2 &&
      aws_ecs_service.this.cluster == "arn:aws:ecs:eu-west-1:123456789012:cluster/tools" &&
      length(aws_ecs_cluster.this) == 0 &&
      aws_ecs_service.this.network_configuration[0].assign_public_ip &&
      aws_ecs_service.this.network_configuration[0].security_groups == toset([
        "sg-0123456789abcdef0", "sg-0aaaaaaaaaaaaaaaa"
      ])
    )
    error_message = "Two replicas in an existing cluster, with a public address and one more security group."
  }

  assert {
    condition = (
      local.environment.ECS_DRAIN_DRY_RUN == "true" && local.environment.ECS_DRAIN_CONTROLLER == "blue" &&
      local.environment.ECS_DRAIN_LOG == "warn,ecs_drain=debug"
    )
    error_message = "A dry run of another controller, with more in its log."
  }

  assert {
    condition = (
      aws_ecs_task_definition.this.cpu == "512" && aws_ecs_task_definition.this.memory == "1024" &&
      aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture == "ARM64" &&
      aws_cloudwatch_log_group.this.retention_in_days == 365
    )
    error_message = "A larger task on another processor, with a log that is kept for longer."
  }
}

run "a_private_registry_and_a_key_for_the_log" {
  variables {
    registry_secret_arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:registry-AbCdEf"
    log_kms_key_arn     = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].repositoryCredentials ==
      { credentialsParameter = var.registry_secret_arn }
    )
    error_message = "ECS is told where the password is."
  }

  assert {
    condition = [
      for s in jsondecode(local.execution_policy).Statement : s.Resource
      if s.Action == ["secretsmanager:GetSecretValue"]
    ] == [[var.registry_secret_arn]]
    error_message = "ECS may read that secret, and no other."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.kms_key_id == var.log_kms_key_arn
    error_message = "The log is encrypted with the key."
  }
}
