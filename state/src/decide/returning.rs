//! Returning: the instance lives on. Our `DRAINING` is undone: once it is back in service (warm pool, new root volume), or
//! at once (a cancelled drain).

use super::{Action, Step, View, unknown};
use crate::observation::{ContainerInstanceStatus, GroupSight, LifecycleState, Seen};
use crate::phase::Outcome;
use crate::record::{Record, later};
use crate::why::Why;
use jiff::SignedDuration;
use std::time::Duration;

/// A warm pool keeps an instance for days: there is no hurry.
const POLL: Duration = Duration::from_secs(60);

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    if draft.cancel.is_some() {
        return cancelled(draft, view);
    }
    // Without an intent, our action ended without us.
    let outcome = draft.intent.as_ref().map_or(Outcome::WaitLost, |i| i.outcome);
    match &view.seen.group {
        Seen::Unknown(why) => return unknown(why, view.policy),
        Seen::Yes(GroupSight::Member { state: LifecycleState::InService, .. }) => {}
        // It cannot be the old wait, read late: that one was of another kind. The new one opens a drain of its own.
        Seen::Yes(GroupSight::Member { state: LifecycleState::Waiting(kind), .. }) if !kind.lives_on() => {
            return Step::End(outcome, "it does not come back: it waits to be terminated".to_owned());
        }
        // Of the same kind, it is the old one until a look that began long enough after has shown it too. What is
        // DRAINING stays ours: the new drain takes that over.
        Seen::Yes(GroupSight::Member { state: LifecycleState::Waiting(_), .. })
            if view.sightings.shown.as_ref().is_some_and(|s| s.returning && s.is_present(view.seen.group_begun)) =>
        {
            return Step::End(outcome, "it waits once more".to_owned());
        }
        Seen::Yes(GroupSight::Member { state, .. }) => {
            return Step::Wait(Why::WaitingForReturn(state.to_string()), POLL);
        }
        Seen::Yes(GroupSight::Absent) => return Step::Wait(Why::WaitingForReturn("in no group".to_owned()), POLL),
    }
    let all = match &view.seen.container_instances {
        Seen::Unknown(why) => return unknown(why, view.policy),
        Seen::Yes(all) => all,
    };
    let ours: Vec<_> = draft.container_instances.iter().zip(all).filter(|(mine, _)| mine.draining_is_ours).collect();
    let back = |status: &ContainerInstanceStatus| *status == ContainerInstanceStatus::Active || status.is_gone();
    // Where our action ended without us, DRAINING may have been asked for a moment ago, and be seen late.
    let settled = draft.intent.is_some() || is_settled(draft, view);
    if settled && ours.iter().all(|(_, seen)| back(&seen.status)) {
        draft.container_instances.iter_mut().for_each(|mine| mine.draining_is_ours = false);
        return Step::End(outcome, "it is in service again and ACTIVE".to_owned());
    }
    // Whether its agent is connected is no matter: the status is ECS's own, and nothing is placed without an agent. An
    // instance that has a new root volume may have registered anew, and that agent never comes back.
    let actions = ours
        .iter()
        .filter(|(_, seen)| seen.status == ContainerInstanceStatus::Draining || !(settled || seen.status.is_gone()))
        .map(|(mine, _)| Action::SetActive { cluster: mine.cluster.clone(), container_instance: mine.arn.clone() })
        .collect();
    Step::Act(actions, Why::AskedToReturn, view.policy.poll)
}

/// A cancelled drain: what we made `DRAINING` is made `ACTIVE`, and asked for until no late word of ours can undo it.
fn cancelled(draft: &Record, view: &View<'_>) -> Step {
    if let Some(LifecycleState::Waiting(_) | LifecycleState::Terminating) =
        view.seen.group.known().and_then(|group| group.state())
    {
        return Step::End(Outcome::Cancelled, "its group terminates it meanwhile".to_owned());
    }
    let all = match &view.seen.container_instances {
        Seen::Unknown(why) => return unknown(why, view.policy),
        Seen::Yes(all) => all,
    };
    let settled = is_settled(draft, view);
    let ours: Vec<_> = draft.container_instances.iter().zip(all).filter(|(mine, _)| mine.draining_is_ours).collect();
    let draining = |status: &ContainerInstanceStatus| *status == ContainerInstanceStatus::Draining;
    if ours.is_empty() {
        return Step::End(Outcome::Cancelled, "its DRAINING was not ours, and stays".to_owned());
    }
    if settled && !ours.iter().any(|(_, seen)| draining(&seen.status)) {
        return Step::End(Outcome::Cancelled, "it is ACTIVE again".to_owned());
    }
    let actions = ours
        .iter()
        .filter(|(_, seen)| !seen.status.is_gone())
        .map(|(mine, _)| Action::SetActive { cluster: mine.cluster.clone(), container_instance: mine.arn.clone() });
    Step::Act(actions.collect(), Why::AskedToReturn, view.policy.looks_apart)
}

/// Whether whatever we asked for before is seen by now.
fn is_settled(draft: &Record, view: &View<'_>) -> bool {
    let settle = SignedDuration::try_from(view.policy.settle).unwrap_or(SignedDuration::MAX);
    view.now >= later(draft.phase_since, settle)
}
