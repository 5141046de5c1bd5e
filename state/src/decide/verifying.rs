//! Verifying: no task is left; the proof that everything is gone is completed.

use super::clear::Remains;
use super::waiting::came_back;
use super::{AT_LATEST, Step, View, need, soon, unknown};
use crate::facts::{Kind, TargetFacts};
use crate::needs::Class;
use crate::phase::Outcome;
use crate::proof::{Verdict, judge};
use crate::record::{ActionResult, Intent, Record, Stage, Then};
use crate::why::Why;

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    if let Some(what) = came_back(view.facts) {
        return Step::Enter(Stage::Waiting, format!("it is in service again: {what}"));
    }
    match judge(draft, view.facts, view.policy, view.now) {
        Verdict::Proved => proved(draft, view),
        // Nothing is left and no call is due, so evidence that must be fresh at a call is not read
        // again and again. Targets are still read now and then, because one may be registered anew.
        Verdict::Missing(_, _, needs)
            if is_left(draft)
                && needs
                    .iter()
                    .all(|(kind, need)| need.class == Class::Last && kind != Kind::Targets) =>
        {
            Step::Wait(Why::WaitsForItsEnd, AT_LATEST)
        }
        Verdict::Missing(why, left, needs) => Step::Read(needs, why, soon(left, AT_LATEST)),
        Verdict::Remains(Remains::Unknown(why)) => unknown(&why),
        Verdict::Remains(Remains::TakesWork) => {
            Step::Enter(Stage::Deregistering, Why::ActiveAgain.to_string())
        }
        Verdict::Remains(Remains::Tasks(left)) => {
            Step::Enter(Stage::Waiting, format!("a task is running again: {left}"))
        }
        Verdict::Remains(Remains::Targets(left))
            if view.facts.targets.iter().any(TargetFacts::is_in_service) =>
        {
            // A target that is not being deregistered may belong to another container instance of
            // the EC2 instance, one that no search has found yet.
            let last = view.facts.search.sweep.map(|sweep| sweep.began + view.policy.read_lag);
            let from = last.map_or(view.now.mono, |next| next.max(view.now.mono));
            Step::Read(need(Kind::Sweep, from, Class::Show), Why::TargetsLeft(left), AT_LATEST)
        }
        Verdict::Remains(Remains::Targets(left)) => Step::Wait(Why::TargetsLeft(left), AT_LATEST),
    }
}

/// Returns whether ecs-drain does not end it: an operator's drain that leaves the instance as it
/// is.
fn is_left(draft: &Record) -> bool {
    draft.lifecycle.is_none() && draft.then == Some(Then::Leave)
}

fn proved(draft: &Record, view: &View<'_>) -> Step {
    if is_left(draft) {
        return Step::Wait(Why::WaitsForItsEnd, AT_LATEST);
    }
    let registrations = match draft.obligations.len() {
        0 => "it had no load balancer targets".to_owned(),
        1 => "its load balancer target was gone".to_owned(),
        n => format!("its {n} load balancer targets were gone"),
    };
    Step::Intend(Intent {
        result: ActionResult::Continue,
        outcome: Outcome::Drained,
        reason: format!("no task was left, and {registrations}, in two checks"),
        at: view.now.wall,
    })
}
