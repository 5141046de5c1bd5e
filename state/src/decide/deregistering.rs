//! Deregistering: the obligations are in the record, and ECS is asked to place nothing more on the instance. Strategy
//! `deregister` then also takes the container instance out of its cluster.

use super::clear::{NEW_INSTANCE, describe_task};
use super::{Action, Step, View, left_of, soon, unknown, waiting};
use crate::observation::{ContainerInstanceSight, ContainerInstanceStatus, Seen, TaskKind};
use crate::phase::Phase;
use crate::record::{Record, Strategy};
use crate::why::Why;

pub(super) fn step(draft: &mut Record, view: &View<'_>) -> Step {
    if draft.container_instances.is_empty() {
        return Step::Enter(Phase::Waiting, "it is in no cluster".to_owned());
    }
    let all = match &view.seen.container_instances {
        Seen::Unknown(why) => return unknown(why, view.policy),
        Seen::Yes(all) if all.len() != draft.container_instances.len() => {
            return unknown(NEW_INSTANCE, view.policy);
        }
        Seen::Yes(all) => all,
    };
    if all.iter().all(|c| c.status.takes_no_work()) {
        return match draft.strategy {
            Strategy::Drain => Step::Enter(Phase::Waiting, "ECS places nothing more on it".to_owned()),
            Strategy::Deregister => deregister(draft, all, view),
        };
    }
    // Also for one that was found late, or came back: what must be seen gone is noted before anything makes it go.
    if let Seen::Unknown(why) = &view.seen.obligations {
        return unknown(why, view.policy);
    }
    let mut actions = Vec::new();
    for (mine, seen) in draft.container_instances.iter_mut().zip(all) {
        if seen.status == ContainerInstanceStatus::Active {
            mine.draining_is_ours = true;
            actions.push(Action::SetDraining { cluster: mine.cluster.clone(), container_instance: mine.arn.clone() });
        }
    }
    // REGISTERING and DEREGISTERING cannot be set to DRAINING; they pass by themselves.
    Step::Act(actions, Why::AskedToDrain, view.policy.poll)
}

/// The older way: ECS forgets the container instance. Its tasks' containers keep running until the instance ends, so
/// everything that must be known about them is noted first.
fn deregister(draft: &mut Record, all: &[ContainerInstanceSight], view: &View<'_>) -> Step {
    if all.iter().all(|c| c.status.is_gone()) {
        return Step::Enter(Phase::Waiting, "ECS has deregistered it".to_owned());
    }
    let tasks = match (&view.seen.tasks, &view.seen.obligations) {
        (Seen::Unknown(why), _) | (_, Seen::Unknown(why)) => return unknown(why, view.policy),
        (Seen::Yes(tasks), Seen::Yes(_)) => tasks,
    };
    let standalone: Vec<_> = tasks.iter().filter(|t| t.kind == TaskKind::Standalone).collect();
    if !standalone.is_empty() {
        let why = Why::BeforeDeregistration { tasks: left_of(standalone.iter().map(|t| describe_task(t)).collect()) };
        return waiting::stop_standalone(draft, &standalone, why, view);
    }
    // A read that lags can leave out what was placed in the last moments before DRAINING, and once it is deregistered no
    // listing names that any more.
    let left = view.sightings.listing_left(view.seen, view.policy);
    if !left.is_zero() {
        return Step::Wait(Why::ListsOnceMore { left }, soon(left, view.policy.poll));
    }
    let mut actions = Vec::new();
    for (mine, seen) in draft.container_instances.iter_mut().zip(all) {
        if !seen.status.is_gone() {
            mine.deregistered_at.get_or_insert(view.now);
            actions.push(Action::Deregister { cluster: mine.cluster.clone(), container_instance: mine.arn.clone() });
        }
    }
    Step::Act(actions, Why::AskedToDeregister, view.policy.poll)
}
