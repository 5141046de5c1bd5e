output "statements" {
  description = "The statements of the policy, for `jsonencode`."
  value = [
    for statement in local.statements : {
      Sid      = statement.sid
      Effect   = "Allow"
      Action   = statement.actions
      Resource = statement.resources
    } if length(statement.resources) > 0
  ]
}
