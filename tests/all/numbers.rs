//! Numbers in the sentences of the pages are those of the code: a default that changes must change
//! each page that names it.

use ecs_drain::config::DEFAULT_POLL_GROUPS;
use ecs_drain_state::Policy;
use ecs_drain_state::diagnosis::Cause;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Writes a span as sentences do: `10 minutes`, `7 days`.
fn span(span: Duration) -> String {
    match span.as_secs() {
        days if days % 86_400 == 0 => format!("{} days", days / 86_400),
        minutes if minutes % 60 == 0 => format!("{} minutes", minutes / 60),
        seconds => format!("{seconds} seconds"),
    }
}

/// Writes a small number as a word.
fn word(number: u64) -> String {
    match number {
        1 => "one".to_owned(),
        2 => "two".to_owned(),
        n => n.to_string(),
    }
}

#[test]
fn the_numbers_of_the_pages_are_those_of_the_code() {
    let policy = Policy::default();
    let groups = DEFAULT_POLL_GROUPS.as_secs();
    let (stuck, nowhere) = (span(policy.stuck_after), span(policy.not_in_cluster_after));
    let (lag, apart) = (policy.read_lag.as_secs(), policy.looks_apart.as_secs());
    let settle = format!("{} minutes", word(policy.network_settle.as_secs() / 60));
    let kept = span(policy.keep_finished);
    let poll = policy.poll.as_secs();
    let said = [
        ("README.md", format!("It reads the groups every {groups} seconds")),
        ("README.md", format!("[{} causes](docs/diagnosis.md)", Cause::NAMES.len())),
        ("README.md", format!("waits until {settle} after it began to leave (`network_settle`)")),
        ("docs/concepts.md", format!("reads the groups every {groups} seconds")),
        ("docs/concepts.md", format!("{lag} and {} seconds after ECS showed `DRAINING`", 2 * lag)),
        ("docs/concepts.md", format!("gone in two reads, {apart} s apart")),
        ("docs/concepts.md", format!("the record stays for {kept}")),
        ("docs/concepts.md", format!("found it nowhere for {nowhere}; released")),
        ("docs/concepts.md", format!("reported as stuck after {stuck} without progress")),
        ("docs/concepts.md", format!("without progress for `stuck_after`, {stuck} by default")),
        ("docs/behaviour.md", format!("have found it nowhere for {nowhere}")),
        ("docs/behaviour.md", format!("{settle} from when its target was first seen leaving")),
        ("docs/cost.md", format!("and {settle} after its target began to leave")),
        ("docs/faq.md", format!("It reads the groups every {groups} seconds")),
        (
            "docs/install.md",
            format!("Polling finds every instance that waits, within {groups} seconds"),
        ),
        ("docs/internals.md", format!("every `poll` ({poll} s)")),
        ("docs/migrate-cdk.md", format!("released after {nowhere}")),
        ("docs/migrate-lambda.md", format!("one process reads the groups every {groups} s")),
        ("docs/migrate.md", format!("no progress for `stuck_after` ({stuck})")),
        ("docs/migrate.md", format!("an instance in no cluster waits {nowhere}")),
        ("docs/practice.md", format!("Within {groups} seconds it is listed")),
        ("docs/runbook.md", format!("no progress for `stuck_after` ({stuck})")),
        ("docs/use.md", format!("no progress for [`stuck_after`](configuration.md) ({stuck})")),
        ("docs/quickstart.md", format!("Within {groups} seconds the instance is listed")),
        ("docs/quickstart.md", format!("`ecs-drain get --all` keeps it for {kept}")),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let missing = said.iter().filter(|(page, text)| {
        let page = fs::read_to_string(root.join(page)).unwrap();
        !page.split_whitespace().collect::<Vec<_>>().join(" ").contains(text)
    });
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "sentences that no longer say what the code does: {missing:#?}");
}
