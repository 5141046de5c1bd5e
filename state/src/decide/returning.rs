//! Returning: the instance lives on. The `DRAINING` that ecs-drain set is undone: once the instance
//! is back in service (warm pool, new root volume), or at once (a cancelled drain).

use super::{Action, Step, View, unknown};
use crate::facts::InstanceFacts;
use crate::phase::Outcome;
use crate::record::{ContainerInstance, Record};
use crate::sight::{ContainerInstanceStatus, GroupSight, LifecycleState, Seen};
use crate::why::Why;
use std::time::Duration;

/// A warm pool keeps an instance for days: there is no hurry.
const POLL: Duration = Duration::from_secs(60);

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    if draft.orders.cancel.is_some() {
        return cancelled(draft, view);
    }
    // Without an intent, our action ended without us.
    let outcome = draft.intent().map_or(Outcome::WaitLost, |i| i.outcome);
    match view.facts.group.seen() {
        Seen::Unknown(why) => return unknown(&why),
        Seen::Yes(GroupSight::Member { state: LifecycleState::InService, .. }) => {}
        // It cannot be the old wait, read late: that one was of another kind. The new one opens a
        // drain of its own.
        Seen::Yes(GroupSight::Member { state: LifecycleState::Waiting(kind), .. })
            if !kind.lives_on() =>
        {
            return Step::End(
                outcome,
                "it does not come back: it waits to be terminated".to_owned(),
            );
        }
        // Of the same kind, it can be the old one, which another hook of the group holds on: only
        // heartbeats tell. What is DRAINING stays ours: the new drain takes that over.
        Seen::Yes(GroupSight::Member { state: LifecycleState::Waiting(_), .. })
            if view.facts.group.held_again =>
        {
            return Step::End(outcome, "it waits once more".to_owned());
        }
        Seen::Yes(GroupSight::Member { state, .. }) => {
            return Step::Wait(Why::WaitingForReturn(state.to_string()), POLL);
        }
        Seen::Yes(GroupSight::Absent) => {
            return Step::Wait(Why::WaitingForReturn("in no group".to_owned()), POLL);
        }
    }
    let Some(ours) = ours(draft, view) else { return unknown(UNREAD) };
    let back = |status: &ContainerInstanceStatus| {
        *status == ContainerInstanceStatus::Active || status.is_gone()
    };
    // Where our action ended before DRAINING was seen, it may have been asked for a moment ago, and
    // be seen late. Where it was seen, another process may have: what this one read before, while
    // it led once, is of another time.
    let late = if outcome == Outcome::Drained { Duration::ZERO } else { view.policy.read_lag };
    let settled = is_settled(draft, view, late);
    if settled && ours.iter().all(|(_, status)| back(status)) {
        draft.container_instances.iter_mut().for_each(|mine| mine.draining_is_ours = false);
        return Step::End(outcome, "it is in service again and ACTIVE".to_owned());
    }
    // Whether its agent is connected is no matter: the status is ECS's own, and nothing is placed
    // without an agent. An instance that has a new root volume may have registered anew, and that
    // agent never comes back.
    let actions = ours
        .iter()
        .filter(|(_, status)| {
            *status == ContainerInstanceStatus::Draining || !(settled || status.is_gone())
        })
        .map(|(mine, _)| Action::SetActive {
            cluster: mine.cluster.clone(),
            container_instance: mine.arn.clone(),
        })
        .collect();
    Step::Act(actions, Why::AskedToReturn, view.policy.poll)
}

/// A cancelled drain: what we made `DRAINING` is made `ACTIVE`, and asked for until no late word of
/// ours can undo it.
fn cancelled(draft: &mut Record, view: &View<'_>) -> Step {
    if let Some(LifecycleState::Waiting(_) | LifecycleState::Terminating) = view.facts.group.state()
    {
        return Step::End(Outcome::Cancelled, "its group terminates it meanwhile".to_owned());
    }
    let settled = is_settled(draft, view, view.policy.read_lag);
    let Some(ours) = ours(draft, view) else { return unknown(UNREAD) };
    let draining = |status: &ContainerInstanceStatus| *status == ContainerInstanceStatus::Draining;
    if ours.is_empty() {
        return Step::End(
            Outcome::Cancelled,
            "its DRAINING was set by someone else, and stays".to_owned(),
        );
    }
    if settled && !ours.iter().any(|(_, status)| draining(status)) {
        draft.container_instances.iter_mut().for_each(|mine| mine.draining_is_ours = false);
        return Step::End(Outcome::Cancelled, "it is ACTIVE again".to_owned());
    }
    let actions = ours.iter().filter(|(_, status)| !status.is_gone()).map(|(mine, _)| {
        Action::SetActive { cluster: mine.cluster.clone(), container_instance: mine.arn.clone() }
    });
    Step::Act(actions.collect(), Why::AskedToReturn, view.policy.looks_apart)
}

/// Whether each container instance whose `DRAINING` is ours was read since it returns, and so late
/// that this shows whatever we asked for before.
fn is_settled(draft: &Record, view: &View<'_>, late: Duration) -> bool {
    let Some(returning) = view.facts.returning else { return false };
    let seen_from = returning + late;
    let mut ours = draft.container_instances.iter().filter(|mine| mine.draining_is_ours);
    ours.all(|mine| {
        let sight = view.facts.of(&mine.arn).and_then(|one| one.sight.as_ref());
        sight.is_some_and(|(read, _)| read.began >= seen_from)
    })
}

/// Said while the status of a container instance was not read since this process began.
const UNREAD: &str = "its container instances have not been looked at yet";

/// The container instances whose `DRAINING` is to be undone, with what ECS says of each; None
/// before that was read.
fn ours(
    draft: &Record,
    view: &View<'_>,
) -> Option<Vec<(ContainerInstance, ContainerInstanceStatus)>> {
    let status = |mine: &ContainerInstance| {
        view.facts.of(&mine.arn).and_then(InstanceFacts::status).cloned()
    };
    let all = draft.container_instances.iter().map(|mine| Some((mine.clone(), status(mine)?)));
    let all: Option<Vec<_>> = all.collect();
    Some(all?.into_iter().filter(|(mine, _)| mine.draining_is_ours).collect())
}
