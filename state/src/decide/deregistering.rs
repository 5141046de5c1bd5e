//! Deregistering: the obligations are in the record, and ECS is asked to place nothing more on the
//! instance. Strategy `deregister` then also takes the container instance out of its cluster.

use super::clear::{Remains, container_instances, describe_task, registrations_known, tasks};
use super::pending::is_urgent;
use super::{AT_LATEST, Action, Step, View, left_of, soon, unknown, waiting};
use crate::facts::InstanceFacts;
use crate::proof;
use crate::record::{Record, Stage, Strategy};
use crate::sight::{ContainerInstanceStatus, TaskKind};
use crate::why::Why;

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    if draft.container_instances.is_empty() {
        return Step::Enter(Stage::Waiting, "it is in no cluster".to_owned());
    }
    match container_instances(draft, view.facts, view.now.mono) {
        Err(Remains::Unknown(why)) => return unknown(&why),
        Ok(()) => {
            return match draft.strategy {
                Strategy::Drain => {
                    Step::Enter(Stage::Waiting, "ECS places nothing more on it".to_owned())
                }
                Strategy::Deregister => deregister(draft, view),
            };
        }
        Err(Remains::TakesWork | Remains::Tasks(_) | Remains::Targets(_)) => {}
    }
    // Also for one that was found late, or came back: what must be seen gone is noted before
    // anything makes it go.
    if let (false, Err(Remains::Unknown(why))) = (is_urgent(draft), registrations_known(view.facts))
    {
        return unknown(&why);
    }
    let mut actions = Vec::new();
    for mine in &mut draft.container_instances {
        let status = view.facts.of(&mine.arn).and_then(InstanceFacts::status);
        if status == Some(&ContainerInstanceStatus::Active) {
            mine.draining_is_ours = true;
            actions.push(Action::SetDraining {
                cluster: mine.cluster.clone(),
                container_instance: mine.arn.clone(),
            });
        }
    }
    // REGISTERING and DEREGISTERING cannot be set to DRAINING; they pass by themselves.
    Step::Act(actions, Why::AskedToDrain, view.policy.poll)
}

/// The older way: ECS forgets the container instance. Its tasks' containers keep running until the
/// instance ends, so everything that must be known about them is noted first.
fn deregister(draft: &mut Record, view: &View<'_>) -> Step {
    if view.facts.instances.iter().all(InstanceFacts::is_gone) {
        return Step::Enter(Stage::Waiting, "ECS has deregistered it".to_owned());
    }
    if let Err(Remains::Unknown(why)) = registrations_known(view.facts) {
        return unknown(&why);
    }
    if let Err(Remains::Unknown(why)) = tasks(view.facts, view.policy, view.now.mono) {
        return unknown(&why);
    }
    let standalone = waiting::standalone(view.facts);
    // What a dead instance ran is frozen.
    if !standalone.is_empty() && !view.facts.is_dead(view.policy, view.now.mono) {
        let words = standalone.iter().map(|(arn, _, task)| describe_task(arn, task));
        let why = Why::BeforeDeregistration { tasks: left_of(words.collect()) };
        return waiting::stop_standalone(draft, &standalone, why, view);
    }
    // A read that lags can leave out what was placed in the last moments before DRAINING, and once
    // it is deregistered no list names that any more.
    if let Some((left, needs)) = proof::lists_missing(draft, view.facts, view.policy, view.now.mono)
    {
        return Step::Read(needs, Why::ListsOnceMore { left }, soon(left, AT_LATEST));
    }
    let mut actions = Vec::new();
    for mine in &mut draft.container_instances {
        if view.facts.of(&mine.arn).is_some_and(|one| !one.is_gone()) {
            mine.deregistered_at.get_or_insert(view.now.wall);
            actions.push(Action::Deregister {
                cluster: mine.cluster.clone(),
                container_instance: mine.arn.clone(),
            });
        }
    }
    Step::Act(actions, Why::AskedToDeregister, view.policy.poll)
}

/// Whether any standalone task is left: they hold up a forced deregistration, by policy.
pub(super) const fn is_standalone(kind: &TaskKind) -> bool {
    matches!(kind, TaskKind::Standalone)
}
