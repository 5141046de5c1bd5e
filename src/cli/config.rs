//! `ecs-drain config`: checks a configuration, and prints an example or the reference.

use crate::cli::{Failure, Global};
use crate::config::{Config, EXAMPLE, Given, Scope, Source, environment, keys};
use clap::Subcommand;
use std::io::Write;

/// Subcommands of `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a configuration; report every mistake; makes no AWS calls
    Check,
    /// Print a commented configuration with every default
    Example,
    /// Print the reference of all keys as Markdown
    Reference,
}

/// Runs a subcommand of `config`.
///
/// # Errors
/// Returns an error if the configuration is refused, or the output cannot be written.
pub(crate) fn run(
    command: &ConfigCommand,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check => {
            let config = global.load(&Given::default())?;
            let origin = match global.source() {
                Some(Source::File(path)) => path.display().to_string(),
                Some(Source::Inline(_)) | None => "ECS_DRAIN_CONFIG_TOML".to_owned(),
            };
            writeln!(out, "{origin} is valid")?;
            out.write_all(summary(&config).as_bytes())?;
            for stray in stray_variables() {
                writeln!(out, "warning: {stray}")?;
            }
        }
        ConfigCommand::Example => out.write_all(EXAMPLE.as_bytes())?,
        ConfigCommand::Reference => out.write_all(keys::reference().as_bytes())?,
    }
    Ok(())
}

/// Returns a warning for each environment variable of this process that looks like one of
/// ecs-drain's and is not.
pub(crate) fn stray_variables() -> Vec<String> {
    environment::stray(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
}

/// Returns a summary of a configuration in a few lines.
pub(crate) fn summary(config: &Config) -> String {
    let region =
        config.table.region.as_deref().map_or_else(String::new, |region| format!(" in {region}"));
    let mut lines = vec![
        format!("controller {}, table {}{region}", config.controller, config.table.name),
        format!("dry run: {}", if config.dry_run { "yes (nothing is changed)" } else { "no" }),
    ];
    lines.extend(config.scopes.iter().map(|scope| format!("scope {}", of_scope(scope))));
    lines.push(match config.policies.overrides().len() {
        0 => "one policy for all".to_owned(),
        1 => "one policy with 1 override".to_owned(),
        n => format!("one policy with {n} overrides"),
    });
    let closed: Vec<_> = config.policies.closed_windows().collect();
    if !closed.is_empty() {
        lines.push(format!("closed windows: {}", closed.join(", ")));
    }
    let tagged: Vec<&str> = config.policies.tagged().iter().copied().collect();
    if !tagged.is_empty() {
        lines.push(format!("tags of groups may set {}", tagged.join(", ")));
    }
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// Returns a scope and its settings in a line.
pub(crate) fn of_scope(scope: &Scope) -> String {
    let hooks: Vec<_> = scope.hooks.iter().map(String::as_str).collect();
    let role = scope.role.as_ref().map_or_else(String::new, |role| format!(" as {}", role.arn));
    let tags: Vec<_> = scope
        .groups
        .tags
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_deref().unwrap_or("*")))
        .collect();
    let tags = if tags.is_empty() { String::new() } else { format!(" tagged {}", tags.join(", ")) };
    format!(
        "{}{role}: hooks {}; clusters {}; groups {}{tags}",
        scope.region,
        hooks.join(", "),
        scope.clusters,
        scope.groups.names
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_configuration_in_a_few_lines() {
        let text = "[table]\nregion = \"eu-west-1\"\n[[scope]]\nregion = \"eu-west-1\"\nhooks = [\"a\", \"b\"]\n\
                    groups = { tags = { team = \"*\" } }\n[[override]]\nclusters = [\"x\"]\npoll = \"9s\"\n\
                    [[closed]]\nname = \"night\"\nschedule = \"0 22 * * *\"\nduration = \"8h\"\n";
        let config = Config::parse(text, "x", &Given::default()).unwrap();
        assert_eq!(
            summary(&config),
            "  controller default, table ecs-drain in eu-west-1\n  dry run: no\n  \
             scope eu-west-1: hooks a, b; clusters *; groups * tagged team=*\n  one policy with 1 override\n  \
             closed windows: night\n"
        );
    }
}
