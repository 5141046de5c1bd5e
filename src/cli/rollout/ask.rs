//! `ecs-drain rollout pause`, `resume`, `abort`, `undo`: requests about rollouts under way. They need
//! no configuration file.

use super::follow::follow;
use super::{counts, is_named, named, place, stage, unread};
use crate::cli::asking::{AskArgs, Desk};
use crate::cli::confirm::confirm;
use crate::cli::words::{age, iso};
use crate::cli::{Failure, Global};
use crate::quote::plain;
use crate::store::{ReadRollout, Store};
use clap::Args;
use ecs_drain_state::rollout::{Rollout, What};
use jiff::Timestamp;
use std::io::Write;

const NAME: &str = "\
A name stands for the rollout of this name in every account and region; ACCOUNT/REGION/NAME is one of them.";

const END: &str = "\
A name stands for the rollout of this name in every account and region; ACCOUNT/REGION/NAME is one of them.

The command first shows what stays and asks; scripts pass --yes. Capacity that the rollout added is
given back: as many instances as were added are drained and terminated, and the desired capacity is
what it would be without the rollout. An ended rollout cannot be resumed; start another one.";

/// Arguments of `pause` and `resume`.
#[derive(Debug, Args)]
#[command(after_help = NAME)]
pub(crate) struct NameArgs {
    /// Name of the rollout, or ACCOUNT/REGION/NAME
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Reason, saved in the rollout
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Arguments of `abort` and `undo`.
#[derive(Debug, Args)]
#[command(after_help = END)]
pub(crate) struct EndArgs {
    /// Name of the rollout, or ACCOUNT/REGION/NAME
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Reason, saved in the rollout
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
    /// Print the steps of the rollout until it ends
    #[arg(long)]
    pub follow: bool,
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Requests `pause` or `resume`.
///
/// # Errors
/// Returns an error if no unfinished rollout has the name, or the request is refused or not
/// answered.
pub(super) async fn simple(
    what: What,
    args: &NameArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let desk = Desk::open(global, &args.ask, args.reason.as_deref()).await?;
    let rollouts = unfinished(&desk.store, &args.name).await?;
    ask(&desk, &rollouts, &what, out).await
}

/// Requests `abort` or `undo`.
///
/// # Errors
/// Returns an error if no unfinished rollout has the name, the operator does not confirm, or the
/// request is refused or not answered.
pub(super) async fn end(
    what: What,
    args: &EndArgs,
    global: &Global,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    answered(args.follow, &args.ask)?;
    let desk = Desk::open(global, &args.ask, args.reason.as_deref()).await?;
    let rollouts = unfinished(&desk.store, &args.name).await?;
    let now = Timestamp::now();
    let question: String = rollouts.iter().map(|one| question(&what, one, now)).collect();
    confirm(&question, args.yes, out)?;
    ask(&desk, &rollouts, &what, out).await?;
    let keys: Vec<String> = rollouts.iter().map(Rollout::key).collect();
    if args.follow { follow(&desk.store, &keys, true, out).await } else { Ok(()) }
}

/// Checks that the steps are not followed before the request was carried out.
pub(super) fn answered(follow: bool, ask: &AskArgs) -> Result<(), Failure> {
    if follow && ask.wait.is_zero() {
        return Err(Failure::usage("--follow needs the controller's answer; leave --wait 0 out"));
    }
    Ok(())
}

async fn ask(
    desk: &Desk,
    rollouts: &[Rollout],
    what: &What,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let asked = rollouts.iter().map(|one| (place(&one.key()), what.clone())).collect();
    desk.ask_rollouts(asked, out).await
}

/// Reads the unfinished rollouts of a name.
async fn unfinished(store: &Store, name: &str) -> Result<Vec<Rollout>, Failure> {
    // The index shows those of this controller. All others are read to report why not.
    let keys: Vec<String> =
        store.open_work().await?.rollouts.into_iter().map(|one| one.key).collect();
    let keys: Vec<String> = keys.into_iter().filter(|key| is_named(key, name)).collect();
    let mut found = if keys.is_empty() { Vec::new() } else { store.rollouts(&keys).await? };
    if found.is_empty() {
        found = named(store, name).await?;
    }
    of(found, name, store.controller())
}

/// Returns the rollouts that a request can be made for, or the reason why there are none.
fn of(
    found: Vec<(String, ReadRollout)>,
    name: &str,
    controller: &str,
) -> Result<Vec<Rollout>, Failure> {
    let (mut rollouts, mut ended) = (Vec::new(), String::new());
    for (key, read) in found {
        if let Some(why) = unread(&read) {
            return Err(Failure::failed(plain(&format!("rollout {key}: {why}"))));
        }
        let ReadRollout::Rollout(rollout) = read else { continue };
        if rollout.is_done() {
            ended = stage(&rollout);
        } else if rollout.controller == controller {
            rollouts.push(*rollout);
        } else {
            let whose = &rollout.controller;
            return Err(Failure::failed(plain(&format!(
                "rollout {name} belongs to controller {whose}, not {controller}: pass --controller {whose}"
            ))));
        }
    }
    if rollouts.is_empty() {
        return Err(Failure::failed(plain(&format!(
            "rollout {name} has ended ({ended}); start another one"
        ))));
    }
    Ok(rollouts)
}

/// Returns the effect of an early end, with the age of the data.
fn question(what: &What, rollout: &Rollout, now: Timestamp) -> String {
    let progress = rollout.progress();
    let cancelled = matches!(what, What::Undo);
    let draining = match (progress.draining, cancelled) {
        (0, _) => "no drain is under way".to_owned(),
        (n, true) => format!(
            "drains under way: {n}; each is cancelled unless its group terminates the instance already"
        ),
        (n, false) => format!("drains under way: {n}; each finishes"),
    };
    let surplus = match progress.surplus {
        0 => "no extra capacity is left to give back".to_owned(),
        n => format!("extra capacity: {n}; the group launches nothing for {n} of the drained ones"),
    };
    format!(
        "{}\n  old instances that stay: {}\n  {draining}\n  {surplus}\n{}\n",
        plain(&format!(
            "This will end rollout {} in {}, account {} ({}):",
            rollout.name,
            rollout.region,
            rollout.account,
            counts(progress, 0)
        )),
        progress.waiting,
        plain(&format!(
            "The data is from {}, {} ago; the stage is {}.",
            iso(rollout.updated_at),
            age(rollout.updated_at, now),
            rollout.stage.name()
        )),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;
    use crate::cli::samples::{compare, now, rollouts};

    #[test]
    fn an_early_end_shows_what_stays_and_what_is_given_back() {
        let Some((_, ReadRollout::Rollout(rollout))) = rollouts().into_iter().next() else {
            panic!("a rollout")
        };
        let page = question(&What::Abort, &rollout, now());
        compare("rollout-abort", &(page + "\n" + &question(&What::Undo, &rollout, now())));
    }

    #[test]
    fn a_request_is_for_unfinished_rollouts_of_the_controller() {
        let all = rollouts();
        let of = |n: usize, controller: &str| {
            let found = of(vec![all[n].clone()], "x", controller);
            found.map(|found| found.into_iter().map(|one| one.name).collect::<Vec<_>>())
        };
        assert_eq!(of(0, "default"), Ok(vec!["agent-1.90".to_owned()]));
        let said = "rollout x belongs to controller default, not blue: pass --controller default";
        assert_eq!(of(0, "blue"), Err(Failure::failed(said)));
        let said = "rollout x has ended (Done: Replaced); start another one";
        assert_eq!(of(2, "default"), Err(Failure::failed(said)));
        let Err(Failure::Failed(said)) = of(3, "default") else { panic!("it cannot be read") };
        assert!(said.contains("cannot be read: attribute stage"), "{said}");
    }
}
