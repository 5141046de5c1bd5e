//! Pending: we have seen the instance; nothing was done to it.

use super::clear::NEW_INSTANCE;
use super::{Step, Turn, View, unknown};
use crate::observation::Seen;
use crate::phase::{Outcome, Phase};
use crate::policy::NotInCluster;
use crate::record::{ActionResult, Intent, Record, later};
use crate::why::Why;
use jiff::SignedDuration;
use std::time::Duration;

/// How far apart two searches of every cluster are, at least: a second one that begins earlier could read the same
/// stale answer.
pub(super) const SEARCHES_APART: Duration = Duration::from_secs(60);

/// How soon to ask again whether the turn has come.
const TURN: Duration = Duration::from_secs(10);

/// How much of a lifecycle action's time is kept for the drain itself: so much, or half of the time where that is less.
const RESERVE: SignedDuration = SignedDuration::from_mins(30);

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    if draft.container_instances.is_empty() {
        return in_no_cluster(draft, view);
    }
    // What will have to be seen gone must be in the record before anything is done that makes it go.
    if let Seen::Unknown(why) = &view.seen.obligations {
        return unknown(why, view.policy);
    }
    match &view.seen.container_instances {
        Seen::Unknown(why) => unknown(why, view.policy),
        Seen::Yes(all) if all.len() != draft.container_instances.len() => unknown(NEW_INSTANCE, view.policy),
        Seen::Yes(_) => {
            if let Some(why) = waits_for_turn(draft, view) {
                return Step::Wait(why, TURN);
            }
            let note = match draft.obligations.len() {
                0 => "no load balancer sends it traffic".to_owned(),
                1 => "one load-balancer registration to see gone".to_owned(),
                n => format!("{n} load-balancer registrations to see gone"),
            };
            Step::Enter(Phase::Deregistering, note)
        }
    }
}

/// Whether its turn has not come. A lifecycle action's wait does not last for ever: in the last part of it (the reserve)
/// the drain begins whatever the budget says.
fn waits_for_turn(draft: &Record, view: &View<'_>) -> Option<Why> {
    let Turn::Wait { running, limit, ahead } = view.turn else { return None };
    let end = draft.deadline.into_iter().chain(draft.global_limit).min();
    let reserve = end.map(|end| later(end, -RESERVE.min(end.duration_since(draft.created_at) / 2)));
    let in_reserve = reserve.is_some_and(|reserve| view.now >= reserve);
    (!in_reserve).then_some(Why::WaitsForTurn { running, limit, ahead })
}

/// "In no cluster" is said only after two complete searches of every cluster, a grace apart; then the policy decides.
pub(super) fn in_no_cluster(draft: &Record, view: &View<'_>) -> Step {
    if draft.lifecycle.is_none() {
        return Step::End(Outcome::NotInCluster, "it is in no cluster any more".to_owned());
    }
    let next_search = view.sightings.nowhere_last.map_or(Duration::ZERO, |last| last + SEARCHES_APART);
    if view.policy.not_in_cluster == NotInCluster::Hold {
        return Step::Search(next_search, Why::HeldNotInCluster, view.policy.poll);
    }
    let grace = SignedDuration::try_from(view.policy.not_in_cluster_after).unwrap_or(SignedDuration::MAX);
    let due = later(draft.created_at, grace);
    let twice = match (view.sightings.nowhere, view.sightings.nowhere_last) {
        (Some(first), Some(last)) => last >= first + SEARCHES_APART,
        _ => false,
    };
    if twice && view.now >= due {
        return Step::Intend(Intent {
            result: ActionResult::Continue,
            outcome: Outcome::NotInCluster,
            reason: "two complete searches found it in no cluster".to_owned(),
            at: view.now,
        });
    }
    let left = due.duration_since(view.now).unsigned_abs();
    let left = if view.now >= due { Duration::ZERO } else { left };
    Step::Search(next_search, Why::NotInCluster { left }, view.policy.poll)
}
