# The hook on existing groups.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "by_default" {
  module {
    source = "./modules/hook"
  }

  variables {
    group_names = ["web", "batch"]
  }

  assert {
    condition = {
      for group, hook in aws_autoscaling_lifecycle_hook.this : group => [
        hook.autoscaling_group_name, hook.name, hook.lifecycle_transition, hook.heartbeat_timeout, hook.default_result
      ]
      } == {
      for group in ["web", "batch"] : group => [
        group, "ecs-drain", "autoscaling:EC2_INSTANCE_TERMINATING", 3600, "CONTINUE"
      ]
    }
    error_message = "Each group has the hook, with CONTINUE."
  }

  assert {
    condition = alltrue([
      for hook in values(aws_autoscaling_lifecycle_hook.this) : hook.notification_target_arn == null
    ])
    error_message = "The hook has no notification target."
  }
}

run "never_ecs_s_own" {
  module {
    source = "./modules/hook"
  }

  command = plan

  variables {
    group_names = ["web"]
    name        = "ecs-managed-draining-termination-hook"
  }

  expect_failures = [var.name]
}

run "no_patterns" {
  module {
    source = "./modules/hook"
  }

  command = plan

  variables {
    group_names = ["web-*"]
  }

  expect_failures = [var.group_names]
}

run "what_auto_scaling_does_not_know" {
  module {
    source = "./modules/hook"
  }

  command = plan

  variables {
    group_names       = ["web"]
    heartbeat_timeout = 29
    default_result    = "continue"
  }

  expect_failures = [var.heartbeat_timeout, var.default_result]
}
