output "statements" {
  description = "The statements of the policy, for `jsonencode`."
  value = [
    for statement in local.statements : merge(
      {
        Sid      = statement.sid
        Effect   = "Allow"
        Action   = statement.actions
        Resource = statement.resources
      },
      # The keys of the table's items that it is for, where it is not for all of them.
      can(statement.keys) ? {
        Condition = { "ForAllValues:StringLike" = { "dynamodb:LeadingKeys" = statement.keys } }
      } : {}
    ) if length(statement.resources) > 0
  ]
}
