//! What has been seen unbroken, and since when.
//!
//! Sightings are folded from observations and nothing else, and live in memory: losing them (a restart, another
//! replica) only costs looking again. They are measured on the monotonic clock, so that a wall clock that jumps cannot
//! make a wait shorter.

use crate::Mono;
use crate::decide::clear::{clear, container_instances, is_stopped};
use crate::observation::{
    ContainerInstanceSight, ContainerInstanceStatus, GroupSight, LifecycleState, Observation, Seen, TargetSight,
};
use crate::phase::{Outcome, Phase};
use crate::policy::Policy;
use crate::record::{ContainerInstance, Record};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Longer than any read lags.
pub(crate) const READS_LAG: Duration = Duration::from_secs(60);

/// What has been seen of one drain, unbroken, by this process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sightings {
    /// Since when ECS has shown, at every look, that no new task can land on any of the container instances: the *end*
    /// of the first such look, because the truth that it shows may be as young as that.
    pub takes_no_work: Option<Mono>,
    /// The *beginning* of the first listing of tasks that began late enough ([`Policy::settle`] after `takes_no_work`).
    /// Whatever it showed is asked for by name until it has stopped.
    pub listed: Option<Mono>,
    /// Since when everything was seen gone at every look: the *beginning* of the first such look that began late
    /// enough.
    pub clear: Option<Mono>,
    /// When the newest answer of Auto Scaling that was counted here began: the same answer does not count twice.
    pub group_begun: Option<Mono>,
    /// In how many complete passes in a row the instance was in no group and dead in ECS.
    pub gone_passes: u32,
    /// What the group has shown of the instance, unbroken.
    pub shown: Option<Shown>,
    /// In how many passes in a row the group showed the instance past the wait.
    pub past_wait_passes: u32,
    /// Since when complete searches of every cluster found nothing: the beginning of the first one.
    pub nowhere: Option<Mono>,
    /// The beginning of the newest such search.
    pub nowhere_last: Option<Mono>,
    /// Each registration that has been seen to drain or to be gone, unbroken, by its name.
    pub leaving: BTreeMap<String, Watch>,
    /// Each container instance that has been seen taking no new task, unbroken, by its ARN.
    pub drained: BTreeMap<String, Watch>,
    /// Each container instance that has been seen gone from its cluster, unbroken, by its ARN.
    pub gone: BTreeMap<String, Watch>,
    /// When the record says that the group was asked to terminate the instance, and the end of the first look at which it
    /// said so: the record's own time is another machine's, maybe.
    pub termination_asked: Option<(Timestamp, Mono)>,
    /// A registration that was leaving, and was in service again at this look.
    pub came_back: Option<String>,
    /// That every agent of the instance is disconnected.
    pub agent_lost: Option<AgentLost>,
    /// How many tasks that matter were left at the last look that could tell.
    pub tasks_left: Option<usize>,
    /// How many registrations were left at the last look that could tell: balancers are seldom looked at while tasks
    /// are left.
    pub targets_left: Option<usize>,
    /// When that last became fewer, or this process first looked.
    pub progress: Option<Mono>,
}

/// How long something has been so, without trust in a wall clock: what is in the record of earlier processes, and what
/// this one has watched itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// What the record said when this process began to watch.
    pub before: Duration,
    /// The *end* of the first look that showed it, because it may be as young as that.
    pub since: Mono,
}

impl Watch {
    /// For how long, at this moment.
    pub fn span(&self, now: Mono) -> Duration {
        self.before + now.saturating_sub(self.since)
    }
}

/// A state that the group has shown at every look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The state.
    pub state: LifecycleState,
    /// Whether the drain was Returning all the while.
    pub returning: bool,
    /// The *end* of the first such look.
    pub since: Mono,
}

impl Shown {
    /// Whether a look that began at this moment cannot have read the state from before the first one: then it is so, and
    /// is not the past.
    pub fn is_present(&self, look: Mono) -> bool {
        look >= self.since + READS_LAG
    }
}

/// Every agent of an instance is disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentLost {
    /// Since when: the end of the first such look.
    pub since: Mono,
    /// Whether a balancer has said since then that the instance is stopped or terminated. It stays said until an agent
    /// is back: a balancer that drops the target falls silent.
    pub stopped: bool,
}

impl Sightings {
    /// What is known after one more observation.
    pub fn fold(&self, record: &Record, seen: &Observation, policy: &Policy) -> Sightings {
        let takes_no_work = match container_instances(record, seen) {
            Ok(()) => Some(self.takes_no_work.unwrap_or(seen.ended)),
            // A look that failed breaks the chain too, and so does a container instance that was just found: what
            // happened meanwhile was not seen.
            Err(_) => None,
        };
        let listed = self.takes_no_work.filter(|_| takes_no_work.is_some()).and_then(|since| {
            let is_late = seen.tasks.known().is_some() && seen.tasks_listed >= since + policy.settle;
            self.listed.or(is_late.then_some(seen.tasks_listed))
        });
        let late_enough = self.takes_no_work.is_some_and(|since| seen.begun >= since + policy.settle);
        let agent_lost = match seen.container_instances.known() {
            Some(all) if is_agent_lost(all) => {
                let before = self.agent_lost.unwrap_or(AgentLost { since: seen.ended, stopped: false });
                Some(AgentLost { stopped: before.stopped || is_stopped(record, seen), ..before })
            }
            _ => None,
        };
        let (leaving, came_back) = self.leaving(record, seen);
        let clear_now = clear(record, seen, policy, agent_lost).is_ok();
        let (nowhere, nowhere_last) = match &seen.lookup {
            Some(lookup) if lookup.found.is_empty() => (Some(self.nowhere.unwrap_or(lookup.begun)), Some(lookup.begun)),
            Some(_) => (None, None),
            None => (self.nowhere, self.nowhere_last),
        };
        let is_new = self.group_begun.is_none_or(|last| seen.group_begun > last);
        let shown = self.shown(record, seen);
        let tasks_left = tasks_left(seen, policy).or(self.tasks_left);
        let targets_left = targets_left(record, seen).or(self.targets_left);
        let fewer =
            |before: Option<usize>, now: Option<usize>| before.zip(now).is_some_and(|(before, now)| now < before);
        let progressed = fewer(self.tasks_left, tasks_left) || fewer(self.targets_left, targets_left);
        Sightings {
            takes_no_work,
            listed,
            clear: if clear_now && (self.clear.is_some() || late_enough) {
                Some(self.clear.unwrap_or(seen.begun))
            } else {
                None
            },
            group_begun: if is_new { Some(seen.group_begun) } else { self.group_begun },
            gone_passes: match is_gone(seen) {
                Some(true) => self.gone_passes + u32::from(is_new),
                Some(false) => 0,
                None => self.gone_passes,
            },
            past_wait_passes: match seen.group.known() {
                // An instance that its group keeps after our ABANDON is not over: it is to be terminated yet.
                Some(GroupSight::Member { state: LifecycleState::Retained(_), .. }) if was_abandoned(record) => 0,
                Some(GroupSight::Member {
                    state: LifecycleState::PastWait(_) | LifecycleState::Retained(_), ..
                }) => self.past_wait_passes + u32::from(is_new),
                // It was in service before the wait too: that look may have been of then.
                Some(GroupSight::Member { state: LifecycleState::InService, .. })
                    if record.lives_on() && shown.as_ref().is_some_and(|shown| shown.is_present(seen.group_begun)) =>
                {
                    self.past_wait_passes + u32::from(is_new)
                }
                Some(GroupSight::Member { .. }) => 0,
                // An instance that leaves its group after the wait was past it once.
                Some(GroupSight::Absent) | None => self.past_wait_passes,
            },
            shown,
            nowhere,
            nowhere_last,
            leaving,
            drained: watches(
                &self.drained,
                record,
                seen,
                |status| status.takes_no_work(),
                |one| one.drained_for_seconds,
            ),
            gone: watches(&self.gone, record, seen, |status| status.is_gone(), |one| one.gone_for_seconds),
            termination_asked: record.termination_asked_at.map(|at| {
                let before = self.termination_asked.filter(|(known, _)| *known == at);
                before.unwrap_or((at, seen.ended))
            }),
            came_back,
            agent_lost,
            tasks_left,
            targets_left,
            progress: if progressed { Some(seen.ended) } else { Some(self.progress.unwrap_or(seen.ended)) },
        }
    }
}

impl Sightings {
    /// How long it takes, after this look, until one can begin whose listing of tasks overlooks nothing.
    ///
    /// A listing is two reads, of the tasks that ECS wants running and of those that it wants stopped, and each may lag by
    /// its own amount: a task that began to stop within the lag can be in neither. What the first listing overlooked for
    /// that reason is in every one that begins [`Policy::settle`] later; and what it showed is followed by name.
    pub(crate) fn listing_left(&self, seen: &Observation, policy: &Policy) -> Duration {
        let Some(since) = self.takes_no_work else { return policy.settle };
        let is_gone = |all: &Vec<ContainerInstanceSight>| all.iter().all(|one| one.status.is_gone());
        if seen.container_instances.known().is_some_and(is_gone) {
            // Nothing can be listed any more.
            return Duration::ZERO;
        }
        (self.listed.unwrap_or(since + policy.settle) + policy.settle).saturating_sub(seen.tasks_listed)
    }

    /// Whether a look at the group that began at this moment shows what came of asking it to terminate the instance.
    pub(crate) fn shows_termination(&self, look: Mono) -> bool {
        self.termination_asked.is_some_and(|(_, since)| look >= since + READS_LAG)
    }
}

/// One that is gone from its cluster has no agent that could come back.
fn is_agent_lost(all: &[ContainerInstanceSight]) -> bool {
    let mut there = all.iter().filter(|one| !one.status.is_gone()).peekable();
    there.peek().is_some() && there.all(|one| !one.agent_connected)
}

fn was_abandoned(record: &Record) -> bool {
    record.intent.as_ref().is_some_and(|intent| intent.outcome == Outcome::Abandoned)
}

impl Sightings {
    /// A look that failed breaks nothing: what it did not see was seen before and after.
    fn shown(&self, record: &Record, seen: &Observation) -> Option<Shown> {
        let Some(group) = seen.group.known() else { return self.shown.clone() };
        let state = group.state()?;
        let returning = record.phase == Phase::Returning;
        let before = self.shown.as_ref().filter(|before| before.state == *state && before.returning == returning);
        Some(before.cloned().unwrap_or(Shown { state: state.clone(), returning, since: seen.ended }))
    }

    fn leaving(&self, record: &Record, seen: &Observation) -> (BTreeMap<String, Watch>, Option<String>) {
        let mut leaving = self.leaving.clone();
        let mut came_back = None;
        for (obligation, target) in record.obligations.iter().zip(seen.targets.known().into_iter().flatten()) {
            let name = obligation.to_string();
            match target {
                TargetSight::Gone | TargetSight::Present { draining: true, .. } => {
                    let before = Duration::from_secs(u64::from(obligation.left_for_seconds));
                    leaving.entry(name).or_insert(Watch { before, since: seen.ended });
                }
                TargetSight::Present { draining: false, state, .. } => {
                    if leaving.remove(&name).is_some() {
                        came_back = Some(format!("{name} is {state}"));
                    }
                }
            }
        }
        (leaving, came_back)
    }
}

/// For how long each container instance has been so; a look that failed breaks nothing, since nothing can be so for a
/// moment only.
fn watches(
    known: &BTreeMap<String, Watch>,
    record: &Record,
    seen: &Observation,
    is_so: fn(&ContainerInstanceStatus) -> bool,
    before: fn(&ContainerInstance) -> u32,
) -> BTreeMap<String, Watch> {
    let Some(sights) = seen.container_instances.known() else { return known.clone() };
    let so = record.container_instances.iter().zip(sights).filter(|(_, sight)| is_so(&sight.status));
    let watches = so.map(|(one, _)| {
        let before = Duration::from_secs(u64::from(before(one)));
        (one.arn.clone(), known.get(&one.arn).copied().unwrap_or(Watch { before, since: seen.ended }))
    });
    watches.collect()
}

/// Whether the instance no longer exists: in no group, and ECS has lost it or its agent. None when that was not seen.
fn is_gone(seen: &Observation) -> Option<bool> {
    match (&seen.group, &seen.container_instances) {
        (Seen::Yes(GroupSight::Member { .. }), _) => Some(false),
        (Seen::Yes(GroupSight::Absent), Seen::Yes(all)) => {
            Some(all.iter().all(|c| c.status.is_gone() || !c.agent_connected))
        }
        (Seen::Unknown(_), _) | (_, Seen::Unknown(_)) => None,
    }
}

fn tasks_left(seen: &Observation, policy: &Policy) -> Option<usize> {
    let tasks = seen.tasks.known()?;
    Some(tasks.iter().filter(|t| crate::decide::clear::matters(t, policy)).count())
}

fn targets_left(record: &Record, seen: &Observation) -> Option<usize> {
    let targets = seen.targets.known()?;
    Some(targets.iter().zip(&record.obligations).filter(|(t, _)| crate::decide::clear::is_present(t)).count())
}
