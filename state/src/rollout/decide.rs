//! The decision about a rollout: total and pure, like that about a drain.
//!
//! Everything that cannot be taken back is in the record before it is sent: a change of capacity,
//! and the order of each drain. Each action can be sent again: the drain of an instance is opened
//! once, and a change of capacity names the value that it replaces.

use super::settle::settle;
use super::sight::{MemberSight, Sight};
use super::why::Why;
use super::{
    Change, ChangeState, Group, MOST_SHORT, Outcome, Rollout, Stage, Turn, count, ending, trouble,
};
use crate::record::Then;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A call, to be made once the record of its decision is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Change the desired capacity of a group, if it is still `from`.
    SetDesired {
        /// Name of the group.
        group: String,
        /// Desired capacity that the group must show right before the call.
        from: u32,
        /// Desired capacity after it.
        to: u32,
    },
    /// Open the drain of an instance, unless this rollout did so before.
    Drain {
        /// EC2 instance id.
        instance: String,
        /// Action after the drain.
        then: Then,
    },
    /// Cancel the drain of an instance that this rollout opened.
    Cancel {
        /// EC2 instance id.
        instance: String,
    },
}

/// Result of a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The record.
    pub rollout: Rollout,
    /// True if the record must be saved before the actions.
    pub save: bool,
    /// Calls to make then.
    pub actions: Vec<Action>,
    /// Reason.
    pub why: Why,
}

/// Decides about a rollout.
pub fn decide(rollout: &Rollout, sight: &Sight, now: Timestamp) -> Decision {
    let mut next = rollout.clone();
    let mut actions = Vec::new();
    let why = if rollout.is_done() {
        reason(&next)
    } else {
        let bad = settle(&mut next, sight, now);
        step(&mut next, sight, bad, now, &mut actions)
    };
    why.name().clone_into(&mut next.why);
    next.message = why.sentence();
    if sight.paused.is_some() {
        actions.clear();
    }
    Decision { save: differs(rollout, &next, now), rollout: next, actions, why }
}

/// Time after which a message with other numbers is saved, for display.
const MESSAGE_LASTS: SignedDuration = SignedDuration::from_mins(1);

/// Returns whether a record differs in more than its message, or its message is old.
fn differs(before: &Rollout, after: &Rollout, now: Timestamp) -> bool {
    let mut same = after.clone();
    same.message.clone_from(&before.message);
    let is_old = now.duration_since(before.updated_at) >= MESSAGE_LASTS;
    same != *before || (is_old && after.message != before.message)
}

/// Returns the reason that the stage itself gives.
fn reason(rollout: &Rollout) -> Why {
    match &rollout.stage {
        Stage::Paused { by } => Why::Paused(by.to_string()),
        Stage::Stopped { why } => Why::Stopped(why.clone()),
        Stage::Done { outcome } => Why::Done(outcome.name()),
        Stage::Counting | Stage::Running | Stage::Aborting | Stage::Undoing => {
            Why::Reads("its groups")
        }
    }
}

fn step(
    next: &mut Rollout,
    sight: &Sight,
    bad: Option<String>,
    now: Timestamp,
    actions: &mut Vec<Action>,
) -> Why {
    if sight.paused.is_some() {
        // The limits do not count while it must not act.
        next.groups.values_mut().for_each(|group| group.waits_since = None);
    }
    match next.stage {
        Stage::Counting => count_first(next, sight, now),
        Stage::Running => {
            if let Some(why) = bad.or_else(|| trouble::find(next, sight, now)) {
                next.stop(why, now);
                return reason(next);
            }
            if let Some(by) = &sight.paused {
                return Why::Paused(by.clone());
            }
            advance(next, sight, now, actions)
        }
        Stage::Paused { .. } | Stage::Stopped { .. } | Stage::Done { .. } => reason(next),
        Stage::Aborting | Stage::Undoing => ending::end(next, sight, bad, now, actions),
    }
}

/// Notes how everything was before the first change.
fn count_first(next: &mut Rollout, sight: &Sight, now: Timestamp) -> Why {
    let Some(short) = &sight.short else { return Why::Reads("its groups and services") };
    next.short_before = short.iter().map(super::ShortService::key).take(MOST_SHORT).collect();
    if let Some(why) = trouble::find(next, sight, now) {
        next.stop(why, now);
        return reason(next);
    }
    for (name, group) in &mut next.groups {
        group.before = sight.groups.get(name).map(|group| group.desired);
    }
    next.started_at = Some(now);
    let total = next.progress().total;
    next.note(now, format!("began; old instances: {total}, groups: {}", next.groups.len()));
    next.enter(Stage::Running, now);
    Why::Reads("its groups")
}

/// Takes the next step of each group. Returns the reason of the first group that has one.
fn advance(next: &mut Rollout, sight: &Sight, now: Timestamp, actions: &mut Vec<Action>) -> Why {
    if sight.short.is_none() {
        return Why::Reads("its groups and services");
    }
    let options = next.options.clone();
    let mut first = None;
    let mut notes = Vec::new();
    for (name, group) in &mut next.groups {
        let mut pass = Pass { name, sight, options: &options, now, actions, notes: &mut notes };
        let waits = pass.of_group(group);
        first = first.or(waits);
    }
    for what in notes {
        next.note(now, what);
    }
    first.unwrap_or_else(|| {
        next.note(now, "every old instance has left");
        next.enter(Stage::Done { outcome: Outcome::Replaced }, now);
        reason(next)
    })
}

/// The decision about one group.
struct Pass<'a> {
    name: &'a str,
    sight: &'a Sight,
    options: &'a super::Options,
    now: Timestamp,
    actions: &'a mut Vec<Action>,
    notes: &'a mut Vec<String>,
}

impl Pass<'_> {
    /// Returns the reason for which the group is not done, or `None` if it is.
    fn of_group(&mut self, group: &mut Group) -> Option<Why> {
        let waiting = count(group.old.values().filter(|turn| **turn == Turn::Waiting));
        if let Some(why) = drains(group, self.sight, self.actions) {
            group.waits_since = None;
            return Some(why);
        }
        if let Some(why) = self.capacity(group, waiting) {
            return Some(why);
        }
        if let Some(why) = self.replacements(group) {
            group.waits_since.get_or_insert(self.now);
            return Some(why);
        }
        group.waits_since = None;
        if waiting == 0 {
            return ending::give_back(self.name, group, self.sight, self.now, self.actions);
        }
        self.order(group, waiting);
        drains(group, self.sight, self.actions)
    }

    /// Raises the desired capacity, once.
    fn capacity(&mut self, group: &mut Group, waiting: u32) -> Option<Why> {
        let shown = self.sight.groups.get(self.name)?;
        if group.raise.is_none() {
            let room = shown.max.saturating_sub(shown.desired);
            let more = self.options.surge.of(waiting, room);
            let state = if more > 0 { ChangeState::Sending } else { ChangeState::Applied };
            let (from, to) = (shown.desired, shown.desired.saturating_add(more));
            group.raise = Some(Change { from, to, at: self.now, state });
        }
        let raise = group.raise.filter(|raise| raise.state == ChangeState::Sending)?;
        let Change { from, to, .. } = raise;
        self.actions.push(Action::SetDesired { group: self.name.to_owned(), from, to });
        Some(Why::Capacity { group: self.name.to_owned(), from, to })
    }

    /// Returns the reason to wait until the instances that are not old are fit: as many as the
    /// desired capacity needs besides the old ones.
    fn replacements(&self, group: &Group) -> Option<Why> {
        let shown = self.sight.groups.get(self.name)?;
        let soak = Duration::from_secs(self.options.soak_seconds.into());
        let of_group = |member: &&MemberSight| member.group == self.name && !member.leaves;
        let members = || self.sight.members.iter().filter(|(_, member)| of_group(member));
        let is_old = |id: &String| group.old.contains_key(id);
        let old = count(members().filter(|(id, member)| is_old(id) && member.in_service));
        let needed = shown.desired.saturating_sub(old);
        let (mut fit, mut missing) = (0, None);
        for (id, _) in members().filter(|(id, _)| !is_old(id)) {
            let one = self.sight.instances.get(id);
            match one.and_then(|one| one.fit_for) {
                Some(span) if span >= soak => fit += 1,
                Some(span) => {
                    missing = missing.or_else(|| {
                        Some(format!(
                            "{id} has been fit for {} of {} s",
                            span.as_secs(),
                            soak.as_secs()
                        ))
                    });
                }
                None => {
                    let why = one.and_then(|one| one.unfit.clone());
                    let why = why.unwrap_or_else(|| "has not registered with a cluster".to_owned());
                    missing = Some(format!("{id} {why}"));
                }
            }
        }
        let missing = missing.unwrap_or_else(|| "the group has launched no other".to_owned());
        let group = self.name.to_owned();
        (fit < needed).then_some(Why::Replacements { group, fit, needed, missing })
    }

    /// Orders the next drains: all that are left if their capacity is there, else a wave.
    fn order(&mut self, group: &mut Group, waiting: u32) {
        let Some(shown) = self.sight.groups.get(self.name) else { return };
        let surplus = group.surplus();
        let (some, turn) = if surplus == 0 {
            (waiting.min(self.options.wave.max(1)), Turn::Terminate)
        } else if waiting <= surplus {
            (waiting, Turn::Shrink)
        } else {
            // The last ones give the capacity back, so that it serves every wave.
            ((waiting - surplus).min(surplus), Turn::Terminate)
        };
        // Nobody else may have taken the capacity: the group keeps its minimum, and where it is
        // not sure that ecs-drain raised it, the capacity before.
        let floor = match group.raise {
            Some(Change { state: ChangeState::Unsure, from, .. }) => from.max(shown.min),
            Some(_) | None => shown.min,
        };
        let mut room = shown.desired.saturating_sub(floor);
        let waits = group.old.iter_mut().filter(|(_, turn)| **turn == Turn::Waiting);
        let mut ordered = 0_u32;
        for (_, one) in waits.take(usize::try_from(some).unwrap_or(usize::MAX)) {
            let shrinks = turn == Turn::Shrink && room > 0;
            room = room.saturating_sub(u32::from(shrinks));
            *one = if shrinks { Turn::Shrink } else { Turn::Terminate };
            ordered += 1;
        }
        self.notes.push(format!(
            "drains of {ordered} of {waiting} old instances of group {} ordered",
            self.name
        ));
    }
}

/// Opens ordered drains that do not exist yet. Returns the reason to wait while any is left.
pub(super) fn drains(group: &Group, sight: &Sight, actions: &mut Vec<Action>) -> Option<Why> {
    let mut open = 0;
    for (instance, then) in group.ordered() {
        open += 1;
        if !sight.drains.get(instance).is_some_and(|drain| drain.ours) {
            actions.push(Action::Drain { instance: instance.clone(), then });
        }
    }
    let surplus = group.old.values().all(|turn| turn.ordered().is_none());
    (open > 0).then_some(Why::Drains { count: open, surplus })
}
