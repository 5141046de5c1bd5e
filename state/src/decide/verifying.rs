//! Verifying: no task is left; every registration must be seen gone, in two looks.

use super::clear::{Remains, clear};
use super::pending::SEARCHES_APART;
use super::{Step, View, soon, unknown};
use crate::observation::TargetSight;
use crate::phase::{Outcome, Phase};
use crate::record::{ActionResult, Intent, Record, Then};
use crate::why::Why;
use std::time::Duration;

/// How often to look while nothing but time is missing: only to notice that something came back.
const WHILE_SETTLING: Duration = Duration::from_secs(30);

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    if let Some(what) = &view.sightings.came_back {
        return Step::Enter(Phase::Waiting, format!("it is in service again: {what}"));
    }
    match clear(draft, view.seen, view.policy, view.sightings.agent_lost) {
        Ok(()) => prove(draft, view),
        Err(Remains::Unknown(why)) => unknown(&why, view.policy),
        Err(Remains::TakesWork) => Step::Enter(Phase::Deregistering, Why::ActiveAgain.to_string()),
        Err(Remains::Tasks(left)) => Step::Enter(Phase::Waiting, format!("a task came back: {left}")),
        Err(Remains::Targets(left)) if is_in_service(view) => {
            // What nobody deregisters may belong to a second registration of the instance that is not known yet.
            let last = view.seen.lookup.as_ref().map(|lookup| lookup.begun);
            let next = last.map_or(view.seen.begun, |last| last + SEARCHES_APART);
            Step::Search(next, Why::TargetsLeft(left), view.policy.poll)
        }
        Err(Remains::Targets(left)) => Step::Wait(Why::TargetsLeft(left), view.policy.poll),
    }
}

/// Whether a balancer still sends traffic to the instance.
fn is_in_service(view: &View<'_>) -> bool {
    let mut targets = view.seen.targets.known().into_iter().flatten();
    targets.any(|target| matches!(target, TargetSight::Present { draining: false, .. }))
}

/// Everything is gone by this look. Two looks are needed, far enough apart, both begun long enough after ECS confirmed
/// that nothing new can land: from then on a read that lags can only show too much, never too little. Two reads that lag
/// can still overlook a task that changes over from the one list to the other; the last look is late enough for that too.
fn prove(draft: &Record, view: &View<'_>) -> Step {
    let (sightings, policy) = (view.sightings, view.policy);
    let Some(since) = sightings.takes_no_work else {
        return Step::Wait(Why::Settling { left: policy.settle }, policy.poll);
    };
    let left = network_settle_left(draft, view);
    if !left.is_zero() {
        return Step::Wait(Why::NetworkSettling { left }, soon(left, WHILE_SETTLING));
    }
    let Some(first) = sightings.clear else {
        let left = (since + policy.settle).saturating_sub(view.seen.begun);
        return Step::Wait(Why::Settling { left }, soon(left, WHILE_SETTLING));
    };
    let apart = (first + policy.looks_apart).saturating_sub(view.seen.begun);
    let left = apart.max(sightings.listing_left(view.seen, policy));
    if left > policy.looks_apart {
        return Step::Wait(Why::SecondLook { left }, soon(left - policy.looks_apart, WHILE_SETTLING));
    }
    // An agent that lost its state registers the same instance a second time, ACTIVE and unknown to this record: every
    // cluster is searched between the two looks.
    match &view.seen.lookup {
        Some(lookup) if lookup.begun >= first => {}
        _ => return Step::Search(first, Why::LookingForRegistrations, policy.poll),
    }
    if !left.is_zero() {
        return Step::Wait(Why::SecondLook { left }, soon(left, policy.looks_apart));
    }
    if draft.lifecycle.is_none() && draft.then == Some(Then::Leave) {
        return Step::Wait(Why::WaitsForItsEnd, policy.poll);
    }
    let registrations = match draft.obligations.len() {
        0 => "it had no load-balancer registration".to_owned(),
        1 => "its load-balancer registration was seen gone".to_owned(),
        n => format!("its {n} load-balancer registrations were seen gone"),
    };
    Step::Intend(Intent {
        result: ActionResult::Continue,
        outcome: Outcome::Drained,
        reason: format!("no task that matters is left, and {registrations}, in two looks"),
        at: view.now,
    })
}

/// Network load balancers can send new connections for a while after a target was deregistered, even once it reads
/// `unused`: as long as the policy says, counted from when it was first seen to leave. One whose kind is not known
/// counts as one. (Source: network load balancers' user guide, "Deregistration delay": 120 s are recommended.)
///
/// It is longer than a process that is killed again and again may live, so what earlier ones watched counts too.
fn network_settle_left(draft: &Record, view: &View<'_>) -> Duration {
    let settling = draft.obligations.iter().filter(|o| o.settles() && draft.waits_for(o));
    let left = settling.map(|obligation| {
        let watched = view.sightings.leaving.get(&obligation.to_string());
        let span = watched.map_or(Duration::ZERO, |watch| watch.span(view.seen.begun));
        view.policy.network_settle.saturating_sub(span)
    });
    left.max().unwrap_or_default()
}
