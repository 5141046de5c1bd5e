//! A configuration's text.

use super::assert_plain;
use ecs_drain::config::scope::ECS_HOOK;
use ecs_drain::config::{Config, ConfigError, Given, Scope, keys, names};

/// Checks that a text is a valid configuration, or is refused: with a place in that text, or none
/// where something is missing, and each mistake on a line of its own. Returns true if it is
/// accepted.
pub fn config(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    match Config::parse(&text, "fuzz.toml", &Given::default()) {
        Ok(config) => {
            assert_right(&config);
            true
        }
        Err(error) => {
            assert_told(&error, &text);
            false
        }
    }
}

fn assert_right(config: &Config) {
    assert!(!config.scopes.is_empty(), "it works nowhere");
    assert!(
        names::controller_name(&config.controller).is_ok()
            && names::table_name(&config.table.name).is_ok()
    );
    assert_eq!(
        [keys::POLL_GROUPS.check(config.poll.groups), keys::SHUTDOWN.check(config.shutdown)],
        [Ok(()), Ok(())]
    );
    for scope in &config.scopes {
        assert!(names::region(&scope.region).is_ok(), "{:?}", scope.region);
        assert!(!scope.hooks.is_empty(), "it would never drain anything");
        let exact =
            |hook: &String| hook != ECS_HOOK && !hook.is_empty() && !hook.contains(['*', '?']);
        assert!(scope.hooks.iter().all(exact), "{:?}", scope.hooks);
        let places = |other: &&Scope| {
            other.region == scope.region
                && other.role.as_ref().map(|r| &r.arn) == scope.role.as_ref().map(|r| &r.arn)
        };
        assert_eq!(
            config.scopes.iter().filter(places).count(),
            1,
            "{} is there twice",
            scope.region
        );
        for (cluster, group) in [(None, None), (Some(""), Some("")), (Some("web"), Some("web-asg"))]
        {
            let policy = config.policies.for_drain(cluster, group);
            let spans = [
                keys::READ_LAG.check(policy.read_lag),
                keys::LOOKS_APART.check(policy.looks_apart),
                keys::BLIND_MARGIN.check(policy.blind_margin),
                keys::POLL.check(policy.poll),
                policy.deadline.map_or(Ok(()), |deadline| keys::DEADLINE.check(deadline)),
            ];
            assert_eq!(spans, [const { Ok(()) }; 5]);
        }
    }
}

fn assert_told(error: &ConfigError, text: &str) {
    let lines = text.matches('\n').count() + 1;
    assert!(!error.problems().is_empty(), "it does not say what is wrong");
    for problem in error.problems() {
        assert!(
            problem.line.is_none_or(|line| (1..=lines).contains(&line)),
            "{problem:?} of {lines}"
        );
        assert!(!problem.message.is_empty());
        // As long as the text that it quotes.
        problem
            .message
            .as_bytes()
            .chunks(1_000)
            .for_each(|part| assert_plain(&String::from_utf8_lossy(part)));
    }
    let said = error.to_string();
    let heading = usize::from(error.problems().len() > 1);
    assert_eq!(said.lines().count(), error.problems().len() + heading, "{said}");
    assert!(
        said.lines().skip(heading).all(|line| line.trim_start().starts_with("fuzz.toml:")),
        "{said}"
    );
}
