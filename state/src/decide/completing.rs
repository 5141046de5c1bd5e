//! Completing: the intent is saved; Auto Scaling is told until our action is over.
//!
//! The intent is permission, not evidence. Each call for `Drained` also needs this very look to show everything still
//! gone; for the other outcomes the evidence is read again from the record.

use super::clear::{Remains, clear};
use super::pending::SEARCHES_APART;
use super::{Action, Step, View, unknown};
use crate::phase::{Outcome, Phase};
use crate::record::{Intent, Record};
use crate::why::Why;
use std::time::Duration;

/// How soon to ask again after a call that did not end our action.
const AGAIN: Duration = Duration::from_secs(10);

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    let Some(intent) = draft.intent.clone() else {
        return Step::Enter(Phase::Waiting, "there is no intent in the record".to_owned());
    };
    match intent.outcome {
        Outcome::Drained => drained(draft, intent, view),
        Outcome::NotInCluster => not_in_cluster(draft, intent, view),
        Outcome::TimedOut | Outcome::Abandoned => match draft.deadline {
            Some(deadline) if view.now < deadline => {
                Step::Enter(Phase::Waiting, format!("its deadline is now {deadline:.0}"))
            }
            Some(_) => tell(intent),
            None => Step::Enter(Phase::Waiting, "it has no deadline any more".to_owned()),
        },
        Outcome::Released => tell(intent),
        Outcome::Cancelled | Outcome::InstanceGone | Outcome::WaitLost => {
            Step::Enter(Phase::Waiting, format!("an intent cannot be {}", intent.outcome))
        }
    }
}

fn drained(draft: &Record, intent: Intent, view: &View<'_>) -> Step {
    match clear(draft, view.seen, view.policy, view.sightings.agent_lost) {
        Ok(()) => tell(intent),
        Err(Remains::Unknown(why)) => unknown(&why, view.policy),
        Err(Remains::TakesWork) => Step::Enter(Phase::Deregistering, Why::ActiveAgain.to_string()),
        Err(Remains::Tasks(left) | Remains::Targets(left)) => {
            Step::Enter(Phase::Waiting, format!("it is not gone: {left}"))
        }
    }
}

fn not_in_cluster(draft: &Record, intent: Intent, view: &View<'_>) -> Step {
    if !draft.container_instances.is_empty() {
        return Step::Enter(Phase::Deregistering, "it is in a cluster after all".to_owned());
    }
    // While Auto Scaling cannot be told it may register after all: an old search is no evidence.
    let next_search = view.sightings.nowhere_last.map_or(Duration::ZERO, |last| last + SEARCHES_APART);
    if view.seen.begun < next_search {
        return tell(intent);
    }
    Step::Search(next_search, Why::Completing(intent.outcome), view.policy.poll)
}

fn tell(intent: Intent) -> Step {
    let why = Why::Completing(intent.outcome);
    Step::Act(vec![Action::Complete(intent)], why, AGAIN)
}
