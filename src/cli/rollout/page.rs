//! `ecs-drain rollout describe`: one rollout on a page. First its stage and the reason, then the
//! commands that can be used now. It reads the DynamoDB table and nothing else.

use super::get::value;
use super::{counts, drains, named, place, queued, stage, unread};
use crate::cli::describe::Output;
use crate::cli::options::{Choice, Flags};
use crate::cli::sheet::Sheet;
use crate::cli::words::{Screen, age, iso, length, short};
use crate::cli::{Failure, Global, TableArgs, yaml};
use crate::quote::{self, plain, word};
use crate::store::ReadRollout;
use clap::Args;
use ecs_drain_state::rollout::{Change, ChangeState, Group, Rollout, Stage, Surge, Turn};
use jiff::{SignedDuration, Timestamp};
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  ecs-drain rollout describe january
  ecs-drain rollout describe 123456789012/eu-west-1/january -o json";

/// Instances that a line lists, at most.
const LISTED: usize = 10;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DescribeArgs {
    /// Name of the rollout, or ACCOUNT/REGION/NAME
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Output format
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
    #[command(flatten)]
    pub table: TableArgs,
}

/// Shows a rollout.
///
/// # Errors
/// Returns an error if there is no rollout of the name or several, or the table cannot be read.
pub(super) async fn run(
    args: &DescribeArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let store = global.store(&args.table).await?;
    let mut found = named(&store, &args.name).await?;
    if found.len() > 1 {
        let all: Vec<String> = found.iter().map(|(key, _)| place(key).join("/")).collect();
        return Err(Failure::failed(plain(&format!(
            "{} is in several places; use one of {}",
            args.name,
            all.join(", ")
        ))));
    }
    let Some((key, read)) = found.pop() else {
        return Err(Failure::failed(format!("{} was not found", args.name)));
    };
    let text = match (args.output, &read) {
        (Output::Json, _) => quote::json(&value(&key, &read)?)? + "\n",
        (Output::Yaml, _) => yaml::document(&value(&key, &read)?)?,
        (Output::Text, ReadRollout::Rollout(rollout)) => {
            let flags = Flags::of(&args.table, &rollout.controller, store.controller());
            let flags = flags.with_config(global);
            let drains = drains(rollout);
            let records = store.get_many(&drains).await?.into_iter().collect();
            let queued = queued(&drains, &records);
            page(rollout, queued, &flags, Timestamp::now(), Screen::detect())
        }
        (Output::Text, ReadRollout::Newer { .. } | ReadRollout::Unreadable { .. }) => {
            plain(&format!("rollout {key}: {}", unread(&read).unwrap_or_default())) + "\n"
        }
    };
    out.write_all(text.as_bytes())?;
    Ok(())
}

/// Returns the commands for a rollout in its present stage, the mildest first.
fn choices(rollout: &Rollout, flags: &Flags) -> Vec<Choice> {
    let Flags(flags) = flags;
    let name = word(&rollout.name);
    let on = |verb: &str, effect: &str| Choice {
        command: format!("ecs-drain rollout {verb} {name}{flags}"),
        effect: effect.to_owned(),
    };
    let pause = on("pause", "begin no further drain; drains under way continue");
    let again = on("resume", "try again, once the reason is gone");
    let resume = on("resume", "continue");
    let abort = on("abort", "end it: drains under way finish, extra capacity is given back");
    let undo = on("undo", "end it: drains under way are cancelled, extra capacity is given back");
    let mut choices = match rollout.stage {
        Stage::Counting | Stage::Running => vec![pause, abort, undo],
        Stage::Stopped { .. } => vec![again, abort, undo],
        Stage::Paused { .. } => vec![resume, abort, undo],
        Stage::Aborting => vec![undo],
        Stage::Undoing | Stage::Done { .. } => Vec::new(),
    };
    let draining = rollout.groups.values().flat_map(Group::ordered).map(|(id, _)| id).next();
    if let Some(id) = draining {
        choices.push(Choice {
            command: format!("ecs-drain describe {}{flags}", word(id)),
            effect: "show one of its drains".to_owned(),
        });
    }
    choices
}

/// Returns everything about a rollout, for people.
fn page(rollout: &Rollout, queued: u32, flags: &Flags, now: Timestamp, screen: Screen) -> String {
    let mut sheet = Sheet::new(screen);
    standing(&mut sheet, rollout, queued, now);
    sheet.choices(&choices(rollout, flags));
    sheet.heading("Auto Scaling groups");
    for (name, group) in &rollout.groups {
        sheet.broken("  ", &plain(&format!("{name} (cluster {})", group.cluster)), 4);
        for line in lines(group) {
            sheet.broken("    ", &plain(&line), 6);
        }
    }
    sheet.heading("Facts");
    sheet.indent = 2;
    facts(&mut sheet, rollout, now);
    sheet.list(
        "Services that were short of tasks before, and do not stop it",
        rollout.short_before.iter().cloned(),
    );
    sheet.heading("History");
    for event in &rollout.history {
        let first = format!("  {}  ", iso(event.at));
        sheet.broken(&first, &plain(&event.what), first.chars().count());
    }
    sheet.text
}

/// Writes identity, stage, reason and progress.
fn standing(sheet: &mut Sheet, rollout: &Rollout, queued: u32, now: Timestamp) {
    let at = |at: Timestamp| format!("{} ({} ago)", iso(at), age(at, now));
    sheet.line(
        "Rollout",
        format!("{} in {}, account {}", rollout.name, rollout.region, rollout.account),
    );
    sheet.line("Stage", format!("{}, since {}", stage(rollout), at(rollout.stage_since)));
    match &rollout.stage {
        Stage::Stopped { why } => sheet.line("STOPPED", short(why)),
        Stage::Paused { by } => sheet.line("Paused by", format!("{by}, {}", at(by.at))),
        Stage::Counting | Stage::Running | Stage::Aborting | Stage::Undoing => {
            sheet.line("Status", short(&rollout.message));
        }
        Stage::Done { .. } => {}
    }
    sheet.line("Instances", counts(rollout.progress(), queued));
    if let Some(left) = rollout.estimate(now) {
        let text = format!("{} until the last old instance has left, at this pace", length(left));
        sheet.line("Estimate", text);
    }
    sheet.line("As of", format!("{}, when it was last written", at(rollout.updated_at)));
}

/// Returns the lines about a group: desired capacity, and its instances by their turn.
fn lines(group: &Group) -> Vec<String> {
    let mut lines = vec![capacity(group)];
    let kinds = [Turn::Terminate, Turn::Waiting, Turn::Kept, Turn::Replaced, Turn::Gone];
    for kind in kinds {
        let of = group.old.iter().filter(|(_, turn)| turn.name() == kind.name());
        let ids: Vec<&str> = of.map(|(id, _)| id.as_str()).collect();
        if ids.is_empty() {
            continue;
        }
        lines.push(match kind {
            Turn::Replaced | Turn::Gone => format!("{}: {}", kind.name(), ids.len()),
            Turn::Waiting | Turn::Terminate | Turn::Shrink | Turn::GivenBack | Turn::Kept => {
                format!("{}: {}", kind.name(), listed(&ids))
            }
        });
    }
    let returned: Vec<&str> = group.returned.keys().map(String::as_str).collect();
    if !returned.is_empty() {
        lines.push(format!("drained to give capacity back: {}", listed(&returned)));
    }
    lines
}

/// Returns the first ids, and the number of the others.
fn listed(ids: &[&str]) -> String {
    let first = ids.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(LISTED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn capacity(group: &Group) -> String {
    let Some(before) = group.before else { return "desired capacity: not read yet".to_owned() };
    let change = |change: Change, what: &str| match change.state {
        ChangeState::Applied => format!("{what} {} to {}", change.from, change.to),
        ChangeState::Sending => {
            format!("{what} {} to {}, not confirmed yet", change.from, change.to)
        }
        ChangeState::Unsure => {
            format!("{what} {} to {}; others changed it meanwhile", change.from, change.to)
        }
    };
    let mut parts = vec![format!("desired capacity before: {before}")];
    match group.raise {
        Some(raise) if raise.to > raise.from => parts.push(change(raise, "raised from")),
        Some(_) => parts.push("not raised".to_owned()),
        None => {}
    }
    if group.raised() > 0 {
        parts.push(format!("given back: {} of {}", group.given_back(), group.raised()));
    }
    if let Some(lower) = group.lower {
        parts.push(change(lower, "being lowered from"));
    }
    parts.join("; ")
}

fn facts(sheet: &mut Sheet, rollout: &Rollout, now: Timestamp) {
    let span = |seconds: u32| length(SignedDuration::from_secs(i64::from(seconds)));
    let order = &rollout.requested;
    sheet.line("Old", rollout.selection.to_string());
    sheet.line("Requested by", format!("{order}, {} ({} ago)", iso(order.at), age(order.at, now)));
    let options = &rollout.options;
    sheet.line("New capacity", surge(options.surge));
    sheet.line(
        "Wave",
        format!("{} of a group at a time, where it has no new capacity", options.wave),
    );
    sheet.line(
        "Soak",
        format!("{} of fitness before old instances drain", span(options.soak_seconds)),
    );
    sheet.line("Stops after", format!("{} without progress", span(options.stuck_seconds)));
    sheet.line("Controller", &rollout.controller);
    let (generation, version) = (rollout.generation, rollout.version);
    sheet.line("Record", format!("generation {generation}, version {version}"));
    if let Some(expires) = rollout.expires_at.and_then(|at| Timestamp::from_second(at).ok()) {
        sheet.line("Expires", iso(expires));
    }
}

/// Returns the capacity that is added first, in words.
pub(super) fn surge(surge: Surge) -> String {
    match surge {
        Surge::All => "one new instance for each old one".to_owned(),
        Surge::Count(1) => "1 new instance".to_owned(),
        Surge::Count(count) => format!("{count} new instances"),
        Surge::Percent(percent) => {
            format!("new instances for {percent}% of the old ones")
        }
        Surge::None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::cli::Cli;
    use crate::cli::samples::{compare, now, rollouts};
    use clap::Parser;
    use ecs_drain_state::rollout::{Applied, Outcome, Request, What, apply};
    use std::collections::BTreeMap;

    fn sample(n: usize) -> Rollout {
        let (_, ReadRollout::Rollout(rollout)) = rollouts().swap_remove(n) else {
            panic!("a rollout")
        };
        *rollout
    }

    #[test]
    fn a_rollout_under_way() {
        compare(
            "rollout-describe",
            &page(&sample(0), 0, &Flags::default(), now(), Screen::default()),
        );
    }

    #[test]
    fn one_that_stopped_says_why_first_on_a_narrow_terminal() {
        let screen = Screen { width: Some(80), terminal: true, ..Screen::default() };
        let shown = page(&sample(1), 0, &Flags::default(), now(), screen);
        compare("rollout-describe-stopped-80", &shown);
        assert!(shown.lines().nth(2).unwrap().starts_with("STOPPED:"), "{shown}");
        for line in shown.lines().filter(|line| !line.starts_with("  ecs-drain ")) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn one_that_is_done() {
        let shown = page(&sample(2), 0, &Flags::default(), now(), Screen::default());
        compare("rollout-describe-done", &shown);
    }

    /// Tries every stage: the program parses each printed command, and the controller does not
    /// refuse it.
    #[test]
    fn a_command_that_is_printed_is_carried_out() {
        let by = sample(0).requested;
        let stages = [
            Stage::Counting,
            Stage::Running,
            Stage::Paused { by },
            Stage::Stopped { why: "x".to_owned() },
            Stage::Aborting,
            Stage::Undoing,
            Stage::Done { outcome: Outcome::Aborted },
        ];
        let mut tried = 0;
        for stage in stages {
            let rollout = Rollout { stage, ..sample(0) };
            for Choice { command, .. } in choices(&rollout, &Flags::default()) {
                let words: Vec<&str> = command.split(' ').collect();
                Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{command}: {error}"));
                let what = match words[2] {
                    "pause" => What::Pause,
                    "resume" => What::Resume,
                    "abort" => What::Abort,
                    "undo" => What::Undo,
                    _ => continue,
                };
                let request = Request {
                    id: "new".to_owned(),
                    controller: rollout.controller.clone(),
                    account: rollout.account.clone(),
                    region: rollout.region.clone(),
                    rollout: rollout.name.clone(),
                    what,
                    by: "Ada".to_owned(),
                    reason: None,
                    at: now(),
                    schema: ecs_drain_state::request::SCHEMA,
                };
                let applied = apply(&request, Some(&rollout), &BTreeMap::new(), now());
                assert!(matches!(applied, Applied::Changed { .. }), "{command}: {applied:?}");
                tried += 1;
            }
        }
        assert_eq!(tried, 13);
    }
}
