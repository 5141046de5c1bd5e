resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_338:The retention is a variable. The records are in the table.
  name              = "/ecs-drain/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn
}

# The cluster needs no instances: the task runs on Fargate.
resource "aws_ecs_cluster" "this" {
  count = var.cluster_arn == null ? 1 : 0
  name  = var.name
}

# No traffic in, HTTPS out to AWS's APIs. Security groups do not filter traffic to Amazon's DNS and to the task's
# metadata. (Source: VPC user guide, "Control traffic to your AWS resources using security groups".)
# A changed VPC needs another group, and the old one can be deleted only after the service has left it.
resource "aws_security_group" "this" {
  name_prefix = "${var.name}-"
  description = "ecs-drain: nothing in, HTTPS out"
  vpc_id      = var.vpc_id

  # Explicit, so that Terraform removes a rule that was added by hand.
  ingress = []

  egress {
    description      = "AWS APIs"
    protocol         = "tcp"
    from_port        = 443
    to_port          = 443
    cidr_blocks      = ["0.0.0.0/0"]
    ipv6_cidr_blocks = ["::/0"]
  }

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  environment = {
    ECS_DRAIN_CONFIG_TOML        = local.configuration
    ECS_DRAIN_TABLE              = var.create_table ? aws_dynamodb_table.this[0].name : var.table_name
    ECS_DRAIN_TABLE_REGION       = local.table_region
    ECS_DRAIN_CONTROLLER         = var.controller
    ECS_DRAIN_DRY_RUN            = tostring(var.dry_run)
    ECS_DRAIN_LOG                = var.log_level
    ECS_DRAIN_LOG_FORMAT         = "json"
    ECS_DRAIN_LISTEN             = "127.0.0.1:8080"
    ECS_DRAIN_CLOUDWATCH_METRICS = "true"
  }

  container = merge(local.container_itself, var.registry_secret_arn == null ? {} : {
    repositoryCredentials = { credentialsParameter = var.registry_secret_arn }
  })

  container_itself = {
    name        = "ecs-drain"
    image       = var.image
    essential   = true
    command     = ["run"]
    user        = "65532:65532"
    environment = [for name, value in local.environment : { name = name, value = value }]

    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { add = [], drop = ["ALL"] } }

    # SIGTERM ends ecs-drain within 20 s.
    stopTimeout = 30

    healthCheck = {
      command     = ["CMD", "/usr/local/bin/ecs-drain", "healthcheck"]
      interval    = 30
      timeout     = 5
      retries     = 3
      startPeriod = 60
    }

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.this.name
        "awslogs-region"        = local.region
        "awslogs-stream-prefix" = "ecs-drain"
        # When the log cannot be written, lines are lost. In mode `blocking`, ecs-drain and its heartbeats would stop
        # instead. (Source: ECS API reference, LogConfiguration.)
        "mode"            = "non-blocking"
        "max-buffer-size" = "16m"
      }
    }
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = jsonencode([local.container])

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  # Old revisions stay registered: a service cannot be updated to one that was deregistered, and the circuit breaker
  # rolls back to the previous revision. (Source: ECS API reference, DeregisterTaskDefinition.)
  skip_destroy = true
}

resource "aws_ecs_service" "this" {
  name             = var.name
  cluster          = var.cluster_arn == null ? aws_ecs_cluster.this[0].arn : var.cluster_arn
  task_definition  = aws_ecs_task_definition.this.arn
  launch_type      = "FARGATE"
  platform_version = "LATEST"
  desired_count    = var.desired_count
  propagate_tags   = "SERVICE"

  # As CloudFormation does: alarms and hooks are created only after the service runs.
  wait_for_steady_state = var.wait_for_steady_state

  # The new task starts before the old one stops. Both may run for a while: the lease in the table decides which of
  # them acts.
  deployment_maximum_percent         = 200
  deployment_minimum_healthy_percent = 100

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = concat([aws_security_group.this.id], var.security_group_ids)
    assign_public_ip = var.assign_public_ip
  }

  # The first task needs its permissions at its start, and the last one until it has released its lease.
  depends_on = [aws_iam_role_policy.task, aws_iam_role_policy.execution]
}
