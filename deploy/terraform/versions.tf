terraform {
  # 1.9: a variable's validation may use other variables. (Source: Terraform's upgrade notes for 1.9.)
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80"
    }
  }
}
