# The configuration of ecs-drain. Terraform writes no TOML. jsonencode writes strings and lists of strings, and TOML reads
# them in the same way (basic strings with the same escapes, \u003c among them, and arrays).

locals {
  scopes = concat(
    [{
      region      = local.region
      hooks       = var.hooks
      clusters    = var.clusters
      group_names = var.group_names
      group_tags  = var.group_tags
      queue_url   = one(module.queue[*].url)
      role_arn    = null
      external_id = null
    }],
    [for member in var.members : merge(member, { hooks = member.hooks == null ? var.hooks : member.hooks })]
  )

  scope_texts = [
    for scope in local.scopes : join("\n", compact([
      "[[scope]]",
      "region = ${jsonencode(scope.region)}",
      "hooks = ${jsonencode(scope.hooks)}",
      "clusters = ${jsonencode(scope.clusters)}",
      format(
        "groups = { names = %s, tags = {%s} }",
        jsonencode(scope.group_names),
        join(", ", [for key, value in scope.group_tags : "${jsonencode(key)} = ${jsonencode(value)}"])
      ),
      scope.queue_url == null ? "" : "queue = ${jsonencode(scope.queue_url)}",
      scope.role_arn == null ? "" : format(
        "role = { %s }",
        join(", ", compact([
          "arn = ${jsonencode(scope.role_arn)}",
          scope.external_id == null ? "" : "external_id = ${jsonencode(scope.external_id)}",
        ]))
      ),
    ]))
  ]

  # At the end, so that `extra_configuration` continues in [policy] and can add [[override]]s.
  policy_text = join("\n", compact([
    "[policy]",
    "strategy = ${jsonencode(var.strategy)}",
    var.standalone_stop_after == null ? "" : (
      "standalone_tasks = { stop_after = ${jsonencode(var.standalone_stop_after)} }"
    ),
    trimspace(var.extra_configuration),
  ]))

  # The table, the controller's name and the dry run are environment variables (service.tf).
  configuration = "${join("\n\n", concat(local.scope_texts, [local.policy_text]))}\n"

  # The IAM policy follows from the rules, also from those in `extra_configuration`, without comments.
  deregisters = (
    var.strategy == "deregister" ||
    can(regex("(?m)^[^#\n]*strategy[\"']?\\s*=\\s*[\"']deregister[\"']", var.extra_configuration))
  )
  stops_tasks = (
    var.standalone_stop_after != null || can(regex("(?m)^[^#\n]*stop_after[\"']?\\s*=", var.extra_configuration))
  )
}
