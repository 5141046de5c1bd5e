//! The end of a rollout: extra capacity is given back, and instances are kept.
//!
//! Capacity is given back by the drain of an instance whose termination lowers the desired
//! capacity. Only capacity for which no instance came is lowered directly: nothing is terminated
//! for it.

use super::decide::{Action, drains};
use super::sight::Sight;
use super::why::Why;
use super::{Change, ChangeState, Group, Outcome, Rollout, Stage, Turn, count};
use jiff::Timestamp;

/// Takes the next step of a rollout that was aborted or is undone.
pub(super) fn end(
    next: &mut Rollout,
    sight: &Sight,
    bad: Option<String>,
    now: Timestamp,
    actions: &mut Vec<Action>,
) -> Why {
    if let Some(what) = bad.filter(|what| next.history.last().is_none_or(|e| e.what != *what)) {
        next.note(now, what);
    }
    let undo = next.stage == Stage::Undoing;
    let mut first = None;
    for (name, group) in &mut next.groups {
        keep(group, sight);
        if undo {
            cancel(group, sight, actions);
        }
        let waits = of_group(name, group, sight, now, actions);
        first = first.or(waits);
    }
    first.unwrap_or_else(|| {
        let outcome = if undo { Outcome::Undone } else { Outcome::Aborted };
        next.enter(Stage::Done { outcome }, now);
        next.note(now, format!("ended: {}", outcome.name()));
        Why::Done(outcome.name())
    })
}

/// Keeps instances whose drain has not begun.
fn keep(group: &mut Group, sight: &Sight) {
    for (id, turn) in &mut group.old {
        let begun = sight.drains.get(id).is_some_and(|drain| drain.ours);
        if *turn == Turn::Waiting || (turn.ordered().is_some() && !begun) {
            *turn = Turn::Kept;
        }
    }
}

/// Cancels the drains of old instances that can still be cancelled.
fn cancel(group: &Group, sight: &Sight, actions: &mut Vec<Action>) {
    for (id, turn) in &group.old {
        let can = sight
            .drains
            .get(id)
            .is_some_and(|drain| drain.runs() && !drain.held && !drain.cancelled);
        if turn.ordered().is_some() && can {
            actions.push(Action::Cancel { instance: id.clone() });
        }
    }
}

fn of_group(
    name: &str,
    group: &mut Group,
    sight: &Sight,
    now: Timestamp,
    actions: &mut Vec<Action>,
) -> Option<Why> {
    if let Some(raise) = group.raise.filter(|raise| raise.state == ChangeState::Sending) {
        return Some(Why::Capacity { group: name.to_owned(), from: raise.from, to: raise.to });
    }
    if let Some(why) = drains(group, sight, actions) {
        return Some(why);
    }
    give_back(name, group, sight, now, actions)
}

/// Gives extra capacity back that no old instance takes with it: lowers the desired capacity by
/// what no instance came for, and drains instances that are not old for the rest, the newest first.
/// Returns `None` if the rest cannot be given back: others took it already.
pub(super) fn give_back(
    name: &str,
    group: &mut Group,
    sight: &Sight,
    now: Timestamp,
    actions: &mut Vec<Action>,
) -> Option<Why> {
    let shown = sight.groups.get(name)?;
    let members = || sight.members.iter().filter(|(_, one)| one.group == name && !one.leaves);
    let empty = shown.desired.saturating_sub(count(members()));
    if let Some(Change { from, to, .. }) = group.lower {
        if empty >= from.saturating_sub(to) {
            actions.push(Action::SetDesired { group: name.to_owned(), from, to });
        }
        return Some(Why::Capacity { group: name.to_owned(), from, to });
    }
    let unsure = |raise: &Change| raise.state == ChangeState::Unsure;
    let floor = group.raise.filter(unsure).map_or(0, |raise| raise.from).max(shown.min);
    let surplus = group.surplus().min(shown.desired.saturating_sub(floor));
    if surplus == 0 {
        return None;
    }
    let empty = empty.min(surplus);
    if empty > 0 {
        let (from, to) = (shown.desired, shown.desired - empty);
        group.lower = Some(Change { from, to, at: now, state: ChangeState::Sending });
        actions.push(Action::SetDesired { group: name.to_owned(), from, to });
        return Some(Why::Capacity { group: name.to_owned(), from, to });
    }
    let mut new: Vec<_> = members()
        .filter(|(id, member)| {
            let busy = sight.drains.get(*id).is_some_and(|drain| drain.outcome.is_none());
            let ours = group.old.contains_key(*id) || group.returned.contains_key(*id);
            member.in_service && !busy && !ours
        })
        .map(|(id, _)| {
            let registered = sight.instances.get(id).and_then(|one| one.traits.registered_at);
            (std::cmp::Reverse(registered), id.clone())
        })
        .collect();
    new.sort();
    // The others are still launched.
    for (_, id) in new.into_iter().take(usize::try_from(surplus).unwrap_or(usize::MAX)) {
        group.returned.insert(id, Turn::Shrink);
    }
    drains(group, sight, actions).or(Some(Why::Drains { count: surplus, surplus: true }))
}
