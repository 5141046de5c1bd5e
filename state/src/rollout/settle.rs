//! The results of what was ordered: drains that ended, capacity that changed.

use super::sight::{CapacityAnswer, DrainSight, Sight};
use super::{Change, ChangeState, Group, Rollout, Stage, Turn};
use crate::phase::Outcome;
use crate::record::Then;
use jiff::{SignedDuration, Timestamp};

/// Time after which a change of capacity whose answer was lost is not applied any more.
const LATE: SignedDuration = SignedDuration::from_secs(60);

/// Takes over the results. Returns the first one that stops the rollout, in a sentence.
pub(super) fn settle(next: &mut Rollout, sight: &Sight, now: Timestamp) -> Option<String> {
    let ends = matches!(next.stage, Stage::Aborting | Stage::Undoing);
    let (mut trouble, mut notes) = (None, Vec::new());
    for (name, group) in &mut next.groups {
        let answer = sight.answers.get(name);
        let shown = sight.groups.get(name).map(|group| group.desired);
        let settled = capacity(name, group, answer, shown, ends, now, &mut notes);
        trouble = trouble.or(settled);
        let old = group.old.iter_mut().map(|(id, turn)| (id, turn, ends));
        // An operator may keep an instance that was to give capacity back.
        let returned = group.returned.iter_mut().map(|(id, turn)| (id, turn, true));
        for (id, turn, ends) in old.chain(returned) {
            let drain = sight.drains.get(id);
            let (after, why) = instance(*turn, drain, sight.members.contains_key(id), ends);
            if after != *turn {
                *turn = after;
                if after == Turn::Gone {
                    notes.push(format!("{id} left without this rollout"));
                }
            }
            trouble = trouble.or_else(|| why.map(|why| format!("the drain of {id} {why}")));
        }
        // Its termination lowered no desired capacity, so another instance has to.
        group.returned.retain(|_, turn| *turn != Turn::Gone);
    }
    for what in notes {
        next.note(now, what);
    }
    trouble
}

/// Returns the progress of an instance, and the reason to stop if its drain ended badly.
fn instance(
    turn: Turn,
    drain: Option<&DrainSight>,
    is_there: bool,
    ends: bool,
) -> (Turn, Option<&'static str>) {
    let mine = drain.filter(|drain| drain.ours);
    if let (Turn::Waiting | Turn::Kept, Some(drain)) = (turn, mine.filter(|drain| drain.runs())) {
        // It was ordered by a process that died, or was called back too late.
        let shrinks = drain.then == Some(Then::TerminateAndShrink);
        return (if shrinks { Turn::Shrink } else { Turn::Terminate }, None);
    }
    if turn.ordered().is_none() {
        let gone = turn == Turn::Waiting && !is_there;
        return (if gone { Turn::Gone } else { turn }, None);
    }
    let outcome = match mine {
        Some(DrainSight { outcome: None, .. }) => return (turn, None),
        Some(drain) => drain.outcome,
        None => None,
    };
    let left = match (turn, mine.is_some_and(|drain| drain.asked)) {
        (Turn::Shrink, true) => Turn::GivenBack,
        (Turn::Terminate, true) => Turn::Replaced,
        _ => Turn::Gone,
    };
    match outcome {
        // No drain is there: it is ordered again, unless the instance has left.
        None => (if is_there { turn } else { Turn::Gone }, None),
        Some(Outcome::Cancelled) => (Turn::Kept, (!ends).then_some("was cancelled")),
        Some(Outcome::Drained | Outcome::Forced | Outcome::InstanceGone) => (left, None),
        Some(Outcome::NotInCluster | Outcome::WaitLost) => (left, None),
        Some(Outcome::TimedOut | Outcome::Abandoned) => {
            (left, (!ends).then_some("was ended by its deadline, with tasks left"))
        }
    }
}

/// Settles the change of a group's capacity that is under way. Returns the reason to stop if it was
/// refused.
fn capacity(
    name: &str,
    group: &mut Group,
    answer: Option<&CapacityAnswer>,
    shown: Option<u32>,
    ends: bool,
    now: Timestamp,
    notes: &mut Vec<String>,
) -> Option<String> {
    if let Some(raise) = group.raise.filter(|raise| raise.state == ChangeState::Sending) {
        let (state, why) = result(raise, answer, shown);
        // A rollout that ends does not send it again, but a call whose answer was lost may still
        // be under way.
        let never = Change { to: raise.from, state: ChangeState::Applied, ..raise };
        group.raise = match state {
            Settled::Is(state) => Some(Change { state, ..raise }),
            Settled::Never if ends => Some(never),
            Settled::Never => None,
            Settled::Open if ends && now.duration_since(raise.at) > LATE => Some(never),
            Settled::Open => Some(raise),
        };
        if group.raised() > 0 {
            let sure = match group.raise {
                Some(Change { state: ChangeState::Unsure, .. }) => {
                    "; others changed it at the same time"
                }
                Some(_) | None => "",
            };
            notes.push(format!(
                "desired capacity of group {name} raised from {} to {}{sure}",
                raise.from, raise.to
            ));
        }
        if let Some(why) = why {
            return Some(format!(
                "the desired capacity of group {name} cannot be raised from {} to {}: {why}",
                raise.from, raise.to
            ));
        }
    }
    if let Some(lower) = group.lower {
        let (state, why) = result(lower, answer, shown);
        match state {
            // An instance may have come for the capacity: it is decided again.
            Settled::Open if now.duration_since(lower.at) > LATE => group.lower = None,
            Settled::Open => {}
            Settled::Never => group.lower = None,
            Settled::Is(_) => {
                group.lower = None;
                group.lowered = group.lowered.saturating_add(lower.from.saturating_sub(lower.to));
                notes.push(format!(
                    "desired capacity of group {name} lowered from {} to {}: no instance came for it",
                    lower.from, lower.to
                ));
            }
        }
        return why.map(|why| {
            format!("the desired capacity of group {name} cannot be lowered to {}: {why}", lower.to)
        });
    }
    None
}

enum Settled {
    Is(ChangeState),
    /// It was not applied.
    Never,
    /// It is to be sent, perhaps again.
    Open,
}

fn result(
    change: Change,
    answer: Option<&CapacityAnswer>,
    shown: Option<u32>,
) -> (Settled, Option<String>) {
    match (answer, shown) {
        (Some(CapacityAnswer::Accepted), _) => (Settled::Is(ChangeState::Applied), None),
        (Some(CapacityAnswer::NotSent), _) => (Settled::Never, None),
        (Some(CapacityAnswer::Refused(why)), _) => (Settled::Never, Some(why.clone())),
        (None, Some(shown)) if shown == change.to => (Settled::Is(ChangeState::Applied), None),
        (None, Some(shown)) if shown == change.from => (Settled::Open, None),
        (None, Some(_)) => (Settled::Is(ChangeState::Unsure), None),
        // The group is gone, and its capacity with it.
        (None, None) => (Settled::Never, None),
    }
}
