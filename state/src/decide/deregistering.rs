//! Deregistering: the targets are in the record, and ECS is asked to place nothing more on the
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
    // This also holds for a container instance that was found late, or came back: its targets are
    // noted before a call makes them go.
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

/// Makes ECS forget the container instance (strategy `deregister`). The containers of its tasks run
/// until the instance ends, so everything that must be known about them is noted first.
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
    // The task states of a dead instance are frozen, so waiting for them is in vain.
    if !standalone.is_empty() && !view.facts.is_dead(view.policy, view.now.mono) {
        let words = standalone.iter().map(|(arn, _, task)| describe_task(arn, task));
        let why = Why::BeforeDeregistration { tasks: left_of(words.collect()) };
        return waiting::stop_standalone(draft, &standalone, why, view);
    }
    // A read that lags can omit tasks that were placed in the last moments before DRAINING. Once
    // the container instance is deregistered, no list names them any more.
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

/// Returns whether a task is standalone: such tasks hold up a forced deregistration.
pub(super) const fn is_standalone(kind: &TaskKind) -> bool {
    matches!(kind, TaskKind::Standalone)
}
