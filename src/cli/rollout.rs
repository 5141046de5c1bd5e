//! `ecs-drain rollout`: the replacement of the old instances of Auto Scaling groups. These commands
//! write requests and read the table; the controller carries rollouts out.
//!
//! | file | command |
//! | --- | --- |
//! | `start` | begin a rollout of the selected instances |
//! | `get` | all rollouts, as a table |
//! | `page` | everything about one rollout |
//! | `ask` | pause, resume, abort, undo |
//! | `follow` | print the steps of rollouts until they end |

mod ask;
mod follow;
mod get;
mod page;
mod start;

pub(crate) use ask::{EndArgs, NameArgs};
pub(crate) use get::GetArgs;
pub(crate) use page::DescribeArgs;
pub(crate) use start::StartArgs;

use crate::cli::{Failure, Global};
use crate::store::{Read, ReadRollout, Store};
use clap::Subcommand;
use ecs_drain_state::Phase;
use ecs_drain_state::rollout::{KEY_PREFIX, Progress, Rollout, Stage, What};
use std::collections::BTreeMap;
use std::io::Write;

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Begin a rollout: replace the selected instances
    Start(StartArgs),
    /// List the rollouts
    Get(GetArgs),
    /// Show one rollout: its progress, why it waits, and what you can do
    Describe(DescribeArgs),
    /// Begin no further drain; drains under way continue
    Pause(NameArgs),
    /// Continue a rollout that is paused, or that stopped
    Resume(NameArgs),
    /// End a rollout: drains under way finish, extra capacity is given back
    Abort(EndArgs),
    /// End a rollout: drains under way are cancelled, extra capacity is given back
    Undo(EndArgs),
}

/// Runs a command about rollouts.
///
/// # Errors
/// Returns an error if the command fails.
pub(crate) async fn run(
    command: &RolloutCommand,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        RolloutCommand::Start(args) => start::run(args, global, out).await,
        RolloutCommand::Get(args) => get::run(args, global, out).await,
        RolloutCommand::Describe(args) => page::run(args, global, out).await,
        RolloutCommand::Pause(args) => ask::simple(What::Pause, args, global, out).await,
        RolloutCommand::Resume(args) => ask::simple(What::Resume, args, global, out).await,
        RolloutCommand::Abort(args) => ask::end(What::Abort, args, global, out).await,
        RolloutCommand::Undo(args) => ask::end(What::Undo, args, global, out).await,
    }
}

/// Returns account, region and name, from the key of a rollout.
fn place(key: &str) -> [String; 3] {
    let mut parts = key.strip_prefix(KEY_PREFIX).unwrap_or(key).rsplitn(4, '/');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let (name, region, account) = (next(), next(), next());
    [account, region, name]
}

/// Checks whether a key is that of a rollout with this name: `NAME`, or `ACCOUNT/REGION/NAME`.
fn is_named(key: &str, name: &str) -> bool {
    let place = place(key);
    place[2] == name || place.join("/") == name
}

/// Reads the rollouts of a name, in the order of their keys.
///
/// # Errors
/// Returns an error if the table cannot be read, or has none.
async fn named(store: &Store, name: &str) -> Result<Vec<(String, ReadRollout)>, Failure> {
    let mut found = store.all_rollouts().await?;
    found.retain(|(key, _)| is_named(key, name));
    if found.is_empty() {
        return Err(Failure::failed(format!(
            "table {} has no rollout {name}; `ecs-drain rollout get` shows all",
            store.table()
        )));
    }
    Ok(found)
}

/// Returns the reason why a rollout cannot be shown, or carried out.
fn unread(read: &ReadRollout) -> Option<String> {
    match read {
        ReadRollout::Rollout(_) => None,
        ReadRollout::Newer { schema } => {
            Some(format!("written by a newer ecs-drain (schema {schema}); use that version"))
        }
        ReadRollout::Unreadable { why } => Some(format!("cannot be read: {why}")),
    }
}

/// Returns the keys of the drains of old instances that were ordered and have not ended.
fn drains(rollout: &Rollout) -> Vec<String> {
    let old = rollout.groups.values().flat_map(|group| &group.old);
    old.filter(|(_, turn)| turn.ordered().is_some())
        .map(|(id, _)| ecs_drain_state::record::key(&rollout.account, &rollout.region, id))
        .collect()
}

/// Returns how many of these drains have not begun: in the queue, or without a record yet.
fn queued(drains: &[String], records: &BTreeMap<String, Read>) -> u32 {
    let waits = |key: &&String| match records.get(*key) {
        Some(Read::Record(record)) => record.phase() == Phase::Pending,
        Some(Read::Newer { .. } | Read::Unreadable { .. }) => false,
        None => true,
    };
    u32::try_from(drains.iter().filter(waits).count()).unwrap_or(u32::MAX)
}

/// Returns the numbers of instances in words: `2 of 6 replaced, 1 draining, 1 queued, 2 waiting`.
/// The drains of `queued` instances are ordered, and have not begun.
fn counts(progress: Progress, queued: u32) -> String {
    let Progress { total, left, draining, waiting, kept, surplus: _ } = progress;
    let mut text = format!("{left} of {total} replaced");
    for (count, what) in [
        (draining.saturating_sub(queued), "draining"),
        (queued.min(draining), "queued"),
        (waiting, "waiting"),
        (kept, "kept"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

/// Returns the stage, with the outcome if the rollout is done.
fn stage(rollout: &Rollout) -> String {
    match rollout.stage {
        Stage::Done { outcome } => format!("{}: {}", rollout.stage.name(), outcome.name()),
        Stage::Counting
        | Stage::Running
        | Stage::Paused { .. }
        | Stage::Stopped { .. }
        | Stage::Aborting
        | Stage::Undoing => rollout.stage.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::cli::samples::{rollouts, waiting};
    use clap::Parser;
    use ecs_drain_state::Stage as DrainStage;
    use ecs_drain_state::rollout::Turn;

    #[test]
    fn ordered_drains_that_have_not_begun_are_queued() {
        let Some((_, ReadRollout::Rollout(mut rollout))) = rollouts().into_iter().next() else {
            return;
        };
        for group in rollout.groups.values_mut() {
            group.old.values_mut().filter(|turn| **turn == Turn::Waiting).for_each(|turn| {
                *turn = Turn::Terminate;
            });
        }
        let keys = drains(&rollout);
        assert_eq!(keys.len(), 3);
        // One drains, one is in the queue, and the request for one was not carried out yet.
        let (_, drains) = waiting();
        let mut pending = drains.clone();
        if let Read::Record(record) = &mut pending {
            record.stage = DrainStage::Pending;
        }
        let records = [(keys[0].clone(), drains), (keys[1].clone(), pending)].into();
        let text = counts(rollout.progress(), queued(&keys, &records));
        assert_eq!(text, "3 of 6 replaced, 1 draining, 2 queued");
    }

    #[test]
    fn a_rollout_is_named_alone_or_with_its_place() {
        let key = "rollout/default/123456789012/eu-west-1/january";
        assert_eq!(place(key), ["123456789012", "eu-west-1", "january"]);
        for (name, named) in [
            ("january", true),
            ("123456789012/eu-west-1/january", true),
            ("jan", false),
            ("eu-west-1/january", false),
            ("123456789012/us-east-1/january", false),
        ] {
            assert_eq!(is_named(key, name), named, "{name}");
        }
    }

    #[test]
    fn commands_take_complete_arguments_only() {
        for (line, taken) in [
            ("start january --cluster web --ami ami-1", true),
            ("start january --cluster web --cluster jobs --all", true),
            ("start january --group web-asg --older-than 30d --surge 50%", true),
            ("start january --group web-asg --old-template --surge none --wave 2", true),
            ("start january --all-clusters --agent-not 1.90.0 --soak 0 --yes", true),
            ("start january i-1 i-2 --surge 3 --stop-after 1h", true),
            ("start january --all-clusters --all --dry-run", true),
            ("start --cluster web --ami ami-1", false),
            ("start january", false),
            ("start january --cluster web", false),
            ("start january --group web-asg", false),
            ("start january --all", false),
            ("start january i-1 --ami ami-1", false),
            ("start january i-1 --cluster web", false),
            ("start january --cluster web --group web-asg --all", false),
            ("start january --cluster web --all --ami ami-1", false),
            ("start january --cluster web --all --surge 0", false),
            ("start january --cluster web --all --surge 0%", false),
            ("start january --cluster web --all --surge 101%", false),
            ("start january --cluster web --all --surge many", false),
            ("start january --cluster web --all --wave 0", false),
            ("start a/b --cluster web --all", false),
            ("start january --cluster web --all --dry-run --follow", false),
            ("get", true),
            ("get january -o json", true),
            ("describe january -o yaml", true),
            ("describe", false),
            ("pause january --reason x", true),
            ("pause january --yes", false),
            ("resume january --wait 0", true),
            ("abort january --yes", true),
            ("undo 123456789012/eu-west-1/january -y --follow", true),
            ("undo", false),
        ] {
            let words = ["ecs-drain", "rollout"].into_iter().chain(line.split(' '));
            assert_eq!(Cli::try_parse_from(words).is_ok(), taken, "{line}");
        }
    }
}
