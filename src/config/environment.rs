//! The environment variables that this program reads, and misspelt ones.

use crate::config::error::nearest;

/// Every variable of ecs-drain, with its purpose.
pub const VARIABLES: &[(&str, &str)] = &[
    ("ECS_DRAIN_CONFIG", "The configuration file (`--config`)"),
    ("ECS_DRAIN_CONFIG_TOML", "The configuration's text, where there is no place for a file"),
    ("ECS_DRAIN_CONTROLLER", "The controller's name (`--controller`)"),
    ("ECS_DRAIN_TABLE", "The table's name (`--table`)"),
    ("ECS_DRAIN_TABLE_REGION", "The table's region (`--table-region`)"),
    ("ECS_DRAIN_DRY_RUN", "`true` or `false`: change nothing (`--dry-run`)"),
    ("ECS_DRAIN_LISTEN", "Where health and metrics are served (`--listen`)"),
    (
        "ECS_DRAIN_CLOUDWATCH_METRICS",
        "`true` or `false`: metrics for CloudWatch (`--cloudwatch-metrics`)",
    ),
    (
        "DRYRUN",
        "Set to any value, also to an empty one: change nothing, whatever flags and file say",
    ),
    ("ECS_DRAIN_LOG", "How much to log (`--log`)"),
    ("ECS_DRAIN_LOG_FORMAT", "`auto`, `human` or `json` (`--log-format`)"),
];

/// Returns a warning for each unknown variable that begins with `ECS_DRAIN_`: a misspelt one would
/// otherwise have no effect without notice. They are no errors, since orchestrators create
/// variables from service names.
pub(crate) fn stray(names: impl Iterator<Item = String>) -> Vec<String> {
    let known = || VARIABLES.iter().map(|(name, _)| *name);
    let mut stray: Vec<String> = names
        .filter(|name| name.starts_with("ECS_DRAIN_") && !known().any(|known| known == name))
        .map(|name| match nearest(&name, known()) {
            Some(like) => format!("{name} is not a variable of ecs-drain; did you mean {like}?"),
            None => format!("{name} is not a variable of ecs-drain"),
        })
        .collect();
    stray.sort();
    stray
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_said() {
        let names =
            ["PATH", "ECS_DRAIN_TABEL", "ECS_DRAIN_TABLE", "ECS_DRAIN_SOMETHING_ELSE_ENTIRELY"];
        assert_eq!(
            stray(names.into_iter().map(str::to_owned)),
            [
                "ECS_DRAIN_SOMETHING_ELSE_ENTIRELY is not a variable of ecs-drain",
                "ECS_DRAIN_TABEL is not a variable of ecs-drain; did you mean ECS_DRAIN_TABLE?",
            ]
        );
    }
}
