//! Returning: the instance lives on, and the `DRAINING` that ecs-drain set is undone: once the
//! instance is back in service (warm pool, new root volume), or at once (a cancelled drain).

use super::{Action, Step, View, unknown};
use crate::facts::InstanceFacts;
use crate::phase::Outcome;
use crate::record::{ContainerInstance, Record};
use crate::sight::{ContainerInstanceStatus, GroupSight, LifecycleState, Seen};
use crate::why::Why;
use std::time::Duration;

/// Time between two checks. A warm pool keeps an instance for days, so there is no hurry.
const POLL: Duration = Duration::from_secs(60);

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    if draft.orders.cancel.is_some() {
        return cancelled(draft, view);
    }
    // Without an intent, the lifecycle action ended, but not by ecs-drain.
    let outcome = draft.intent().map_or(Outcome::WaitLost, |i| i.outcome);
    match view.facts.group.seen() {
        Seen::Unknown(why) => return unknown(&why),
        Seen::Yes(GroupSight::Member { state: LifecycleState::InService, .. }) => {}
        // This is not a late read of the old wait, because that one was of another kind. The new
        // wait opens a drain of its own.
        Seen::Yes(GroupSight::Member { state: LifecycleState::Waiting(kind), .. })
            if !kind.lives_on() =>
        {
            return Step::End(
                outcome,
                "it does not return; it waits for its termination".to_owned(),
            );
        }
        // A wait of the same kind can be the old one, if another hook of the group still holds it.
        // Accepted heartbeats show that it is a new one. `draining_is_ours` stays set: the new
        // drain takes the `DRAINING` over.
        Seen::Yes(GroupSight::Member { state: LifecycleState::Waiting(_), .. })
            if view.facts.group.held_again =>
        {
            return Step::End(outcome, "it waits under the hook again".to_owned());
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
    // If the lifecycle action ended before DRAINING was seen, DRAINING may have been requested a
    // moment ago and show late. If it was seen, another process may have seen it. This process's
    // own reads may be of an earlier time at which it led.
    let late = if outcome == Outcome::Drained { Duration::ZERO } else { view.policy.read_lag };
    let settled = is_settled(draft, view, late);
    if settled && ours.iter().all(|(_, status)| back(status)) {
        draft.container_instances.iter_mut().for_each(|mine| mine.draining_is_ours = false);
        return Step::End(outcome, "it is in service again and ACTIVE".to_owned());
    }
    // A disconnected agent does not matter: the status is ECS's own, and nothing is placed without
    // an agent. An instance with a new root volume may have registered anew, and the old agent
    // never comes back.
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

/// Returns the step of a cancelled drain: it sets the container instances that ecs-drain made
/// `DRAINING` back to `ACTIVE`. It repeats that until no late `DRAINING` request of ecs-drain can
/// undo it.
fn cancelled(draft: &mut Record, view: &View<'_>) -> Step {
    if let Some(LifecycleState::Waiting(_) | LifecycleState::Terminating) = view.facts.group.state()
    {
        return Step::End(Outcome::Cancelled, "its group is terminating it".to_owned());
    }
    let settled = is_settled(draft, view, view.policy.read_lag);
    let Some(ours) = ours(draft, view) else { return unknown(UNREAD) };
    let draining = |status: &ContainerInstanceStatus| *status == ContainerInstanceStatus::Draining;
    if ours.is_empty() {
        return Step::End(
            Outcome::Cancelled,
            "its DRAINING was set by someone else and stays".to_owned(),
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

/// Returns whether each container instance that ecs-drain set to `DRAINING` was read at least
/// `late` after the return began, so that the read shows the effect of every earlier request.
fn is_settled(draft: &Record, view: &View<'_>, late: Duration) -> bool {
    let Some(returning) = view.facts.returning else { return false };
    let seen_from = returning + late;
    let mut ours = draft.container_instances.iter().filter(|mine| mine.draining_is_ours);
    ours.all(|mine| {
        let sight = view.facts.of(&mine.arn).and_then(|one| one.sight.as_ref());
        sight.is_some_and(|(read, _)| read.began >= seen_from)
    })
}

/// Reason while this process has not read the status of a container instance.
const UNREAD: &str = "its container instances have not been read yet";

/// Returns the container instances whose `DRAINING` must be undone, with their status, or `None`
/// until every status was read.
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
