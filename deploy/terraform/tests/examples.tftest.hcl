# The examples can be planned and applied, each in one go.

mock_provider "aws" {
  source = "./tests/mocks"
}

mock_provider "aws" {
  alias  = "shop"
  source = "./tests/mocks"
}

mock_provider "aws" {
  alias  = "shop_virginia"
  source = "./tests/mocks"

  override_data {
    target = module.shop_virginia.data.aws_region.current
    values = { id = "us-east-1" }
  }
}

mock_provider "aws" {
  alias  = "reports"
  source = "./tests/mocks"

  override_resource {
    target = module.reports.aws_iam_role.this
    values = { arn = "arn:aws:iam::222222222222:role/ecs-drain-member-eu-west-1" }
  }
}

variables {
  image              = "registry.example/ecs-drain:1.2.3"
  vpc_id             = "vpc-0123456789abcdef0"
  private_subnet_ids = ["subnet-0123456789abcdef0"]
}

run "single_account" {
  module {
    source = "./examples/single-account"
  }

  assert {
    condition     = strcontains(output.configuration, "clusters = [\"web\",\"batch\"]")
    error_message = "The configuration names the clusters."
  }

  assert {
    condition     = length(output.hooked_groups) == 0
    error_message = "A dry run completes nothing: no hook as long as it lasts."
  }
}

run "single_account_in_earnest" {
  module {
    source = "./examples/single-account"
  }

  variables {
    dry_run = false
  }

  assert {
    condition     = output.hooked_groups == tolist(["web", "batch"])
    error_message = "The groups have their hooks."
  }
}

run "hub_and_members" {
  module {
    source = "./examples/hub-and-members"
  }

  variables {
    deployment_roles = {
      shop    = "arn:aws:iam::111111111111:role/terraform"
      reports = "arn:aws:iam::222222222222:role/terraform"
    }
  }

  assert {
    condition = [
      for scope in slice(split("[[scope]]", output.configuration), 1, 5) : regex("region = \"([^\"]*)\"", scope)[0]
    ] == ["eu-west-1", "eu-west-1", "us-east-1", "eu-west-1"]
    error_message = "The hub and each member are scopes: ${output.configuration}"
  }

  assert {
    condition     = length(regexall("external_id = \"ecs-drain-of-the-hub\"", output.configuration)) == 3
    error_message = "Each member is given the external id: ${output.configuration}"
  }

  assert {
    condition     = length(regexall("hooks = \\[\"drain-before-termination\"\\]", output.configuration)) == 1
    error_message = "One member has another hook: ${output.configuration}"
  }
}
