//! The reads that each phase needs.
//!
//! A drain that waits in the queue of its cluster or group, or for the end of a window, is paused, is
//! retained, or rests in a warm pool needs nothing but its group's state, which is read for all
//! drains at once. Once no group has the instance, it needs the status too.

use super::clear::Remains;
use super::pending::{is_urgent, waits_to_begin};
use super::{Turn, View, clear};
use crate::facts::{InstanceFacts, Kind, TargetFacts, TaskFacts, matters};
use crate::needs::{Class, Needs};
use crate::phase::{Outcome, Phase};
use crate::proof::{self, STATUS_LASTS, Verdict};
use crate::record::{Record, Strategy};
use crate::sight::{GroupSight, LifecycleState, TargetSight};
use crate::time::{Mono, Read};
use crate::why::Why;
use jiff::Timestamp;
use std::time::Duration;

/// Time between two reads of the status while ECS's counters show running tasks.
const WHILE_TASKS_RUN: Duration = Duration::from_secs(15);

/// Time between two reads of the status while only time is missing: they only notice that something
/// came back.
const KEEP: Duration = Duration::from_secs(30);

/// Delay of the first list of a drain's tasks, so that drains that begin at the same time share it.
const TOGETHER: Duration = Duration::from_millis(1500);

/// Time between two reads of the tasks of a drain that waits in the queue.
const QUEUED: Duration = Duration::from_secs(60);

/// Time between two searches of every cluster while a cluster that the configuration leaves out has
/// the instance.
const LEFT_OUT: Duration = Duration::from_secs(60);

/// Time between two reads of targets that are still in service.
const IN_SERVICE: Duration = Duration::from_secs(30);

/// Shortest time until a task is read again once it is expected to be gone; it grows with the time
/// that has passed.
const HOT: Duration = Duration::from_secs(4);

/// The same for a target, shorter because one read serves all that share its group.
const HOT_TARGETS: Duration = Duration::from_secs(1);

/// Returns the reads that a drain needs in its phase.
pub(super) fn of(draft: &Record, view: &View<'_>) -> Needs {
    let wants = Wants { draft, view, now: view.now.mono };
    // If the group does not have the instance, only ECS can confirm that the instance exists at
    // all. A drain of an instance that does not exist ends, even if it is paused.
    let absent = view.facts.group.known() == Some(&GroupSight::Absent);
    let lost = if absent { wants.status(KEEP, Class::Show) } else { Needs::default() };
    if draft.is_done() {
        return Needs::default();
    }
    if draft.orders.pause.is_some() || view.paused.is_some() {
        return lost;
    }
    let mut needs = match draft.phase() {
        Phase::Pending if draft.container_instances.is_empty() => Needs::default(),
        Phase::Pending => match waits_to_begin(draft, view) {
            None => wants.begin(),
            Some(Why::WindowClosed { .. }) => Needs::default(),
            Some(_) => wants.queue(),
        },
        Phase::Deregistering => wants.close(),
        Phase::Waiting => wants.wait(),
        Phase::Verifying => wants.prove(),
        Phase::Completing => wants.complete(),
        Phase::Returning => wants.come_back(),
        Phase::Done => Needs::default(),
    };
    needs = needs.and(lost);
    if let (Some(sweep), false) = (view.facts.search.sweep, view.facts.search.left_out.is_empty()) {
        needs.want(Kind::Sweep, sweep.ended + LEFT_OUT, Class::Show);
    }
    if let (Some(deadline), true) = (draft.deadline, draft.phase() < Phase::Completing) {
        needs = needs.and(wants.decide_at(deadline));
    }
    if is_urgent(draft) && draft.phase() < Phase::Waiting {
        return needs.at_least(Class::Spot);
    }
    let age =
        Duration::try_from(view.now.wall.duration_since(draft.created_at)).unwrap_or_default();
    needs.of_one_since(view.now.mono.before(age))
}

struct Wants<'a> {
    draft: &'a Record,
    view: &'a View<'a>,
    now: Mono,
}

impl Wants<'_> {
    fn there(&self) -> impl Iterator<Item = (usize, &InstanceFacts)> {
        self.view.facts.instances.iter().enumerate().filter(|(_, one)| !one.is_gone())
    }

    /// Returns the needs for the status of every container instance, at least this often.
    fn status(&self, every: Duration, class: Class) -> Needs {
        let mut needs = Needs::default();
        let failed = self.view.facts.trouble.get(&Kind::Status).map(|(at, _)| *at);
        for one in &self.view.facts.instances {
            let read = one.sight.as_ref().map(|(read, _)| *read);
            // No drain continues before the status was read, after a restart too. A read that
            // failed may be the evidence that is missing.
            match read {
                Some(read) if failed.is_none_or(|at| at <= read.ended) => {
                    needs.want(Kind::Status, read.ended + every, class);
                }
                _ => needs.want(
                    Kind::Status,
                    read.map_or(Mono::START, |read| read.ended),
                    class.min(Class::Begun),
                ),
            }
        }
        needs
    }

    /// Returns the needs for the list of each container instance's tasks, once, and the description
    /// of every task that was only listed.
    fn discover(&self, class: Class) -> Needs {
        let mut needs = Needs::default();
        let unlisted = self.there().filter(|(_, one)| one.discovered.is_none());
        // Counts from the first read that showed this version: the status may be read again before
        // the delay is over.
        if let Some(since) =
            unlisted.filter_map(|(_, one)| one.unchanged.map(|run| run.first.ended)).max()
        {
            // Other drains of the same wave come a moment later, and one list of the whole cluster
            // may serve all of them.
            needs.want(Kind::Running, since + TOGETHER, class);
        }
        let new =
            |(_, task): &(&str, &TaskFacts)| task.sight.is_none() || !task.registrations_known;
        let unknown = self
            .view
            .facts
            .tasks
            .values()
            .any(|task| task.stopped.is_some() && !task.registrations_known);
        let listed = self.view.facts.tasks_there().filter(new).map(|(_, task)| task.listed.ended);
        if let Some(listed) = listed.min() {
            needs.want(Kind::Tasks, listed, class);
        } else if unknown {
            needs.want(Kind::Tasks, Mono::START, class);
        }
        needs
    }

    /// Returns the time since which the tasks and their targets are known, once they are.
    fn discovered(&self) -> Option<Mono> {
        if self.discover(Class::Begun) != Needs::default() {
            return None;
        }
        let tasks = self
            .view
            .facts
            .tasks
            .values()
            .filter_map(|task| task.sight.as_ref().map(|(read, _)| read.ended));
        let lists = self.there().filter_map(|(_, one)| one.discovered.map(|read| read.ended));
        Some(tasks.chain(lists).max().unwrap_or(self.now))
    }

    fn begin(&self) -> Needs {
        let unread = self.view.facts.instances.iter().any(|one| one.sight.is_none());
        let status = self.status(KEEP, if unread { Class::Begin } else { Class::Later });
        if is_urgent(self.draft) { status } else { status.and(self.discover(Class::Begun)) }
    }

    /// Returns the needs of a drain that waits in the queue. If its place depends on its tasks, they
    /// are read again now and then, because ECS starts and stops tasks there meanwhile.
    fn queue(&self) -> Needs {
        match &self.view.turn {
            Turn::Wait { scope, .. } if !scope.needs_tasks() => return Needs::default(),
            Turn::Now | Turn::Read { .. } | Turn::Wait { .. } => {}
        }
        let mut needs = self.begin();
        for read in self.there().filter_map(|(_, one)| one.discovered) {
            needs.want(Kind::Running, read.ended + QUEUED, Class::Later);
        }
        let tasks = self.view.facts.tasks_there().filter_map(|(_, task)| task.sight.as_ref());
        if let Some(read) = tasks.map(|(read, _)| read.ended).min() {
            needs.want(Kind::Tasks, read + QUEUED, Class::Later);
        }
        needs
    }

    fn close(&self) -> Needs {
        let closing = || self.status(self.view.policy.poll, Class::Begun);
        if is_urgent(self.draft) {
            return closing();
        }
        let discover = self.discover(Class::Begun);
        let needs = match self.discovered() {
            // ECS is asked for DRAINING once the tasks and their targets are known.
            None => self.status(KEEP, Class::Later).and(discover),
            Some(since) if self.now.since(since) < KEEP * 4 => closing(),
            // ECS does not show DRAINING: reads of other drains go first.
            Some(_) => self.status(KEEP, Class::Finish),
        };
        match self.draft.strategy {
            Strategy::Drain => needs,
            // ECS forgets the tasks at the deregistration, so they are waited for before it.
            Strategy::Deregister => needs.and(self.tasks()),
        }
    }

    fn wait(&self) -> Needs {
        let status = match self.may_run() {
            true => self.status(WHILE_TASKS_RUN, Class::Show),
            false => self.status(KEEP, Class::Later),
        };
        let needs = status.and(self.discover(Class::Begun)).and(self.tasks());
        needs.and(self.targets(Class::Show)).and(proof::ahead(
            self.draft,
            self.view.facts,
            self.view.policy,
            self.now,
        ))
    }

    fn prove(&self) -> Needs {
        let needs = self
            .status(KEEP, Class::Later)
            .and(self.discover(Class::Finish))
            .and(self.targets(Class::Finish));
        needs.and(proof::ahead(self.draft, self.view.facts, self.view.policy, self.now))
    }

    fn complete(&self) -> Needs {
        match self.draft.intent().map(|intent| intent.outcome) {
            Some(Outcome::Drained) => {}
            _ => return Needs::default(),
        }
        // While the call waits in the queue, its evidence is read again before it becomes too old.
        let fresh =
            self.status(STATUS_LASTS.mul_f32(0.8), Class::Finish).and(self.discover(Class::Finish));
        match proof::judge(self.draft, self.view.facts, self.view.policy, self.view.now) {
            Verdict::Proved => fresh,
            Verdict::Missing(_, _, needs) => needs,
            Verdict::Remains(Remains::Unknown(_)) => fresh.and(self.targets(Class::Finish)),
            Verdict::Remains(_) => Needs::default(),
        }
    }

    fn come_back(&self) -> Needs {
        let state = self.view.facts.group.state();
        let wanted =
            self.draft.orders.cancel.is_some() || state == Some(&LifecycleState::InService);
        if wanted { self.status(self.view.policy.poll, Class::Begin) } else { Needs::default() }
    }

    /// Returns whether ECS's counters name tasks besides those that do not matter.
    fn may_run(&self) -> bool {
        self.there().any(|(index, _)| self.view.facts.may_run(index, self.view.policy))
    }

    /// Returns the need for the description of tasks, once ECS's counters name no task that
    /// matters: the counters leave out every task that is stopping. Before that, a read now and
    /// then, and more often when the counters show that some have begun to stop.
    fn tasks(&self) -> Needs {
        let facts = self.view.facts;
        let mut needs = Needs::default();
        let sights = facts.tasks_there().filter_map(|(_, task)| task.sight.as_ref());
        let left: Vec<_> = sights.filter(|(_, sight)| matters(sight, self.view.policy)).collect();
        let Some(last) = left.iter().map(|(read, _)| read.ended).min() else { return needs };
        if facts.all_away() {
            // Their states are frozen until an agent is back.
            needs.want(Kind::Tasks, last + KEEP * 2, Class::Show);
            return needs;
        }
        if self.may_run() {
            let running = left.iter().filter(|(_, sight)| !sight.stopping).count();
            let live: usize = self
                .there()
                .filter_map(|(_, one)| one.sight.as_ref())
                .map(|(_, sight)| sight.live as usize)
                .sum();
            let ignored: usize = self
                .there()
                .map(|(index, _)| facts.ignored(index, self.view.policy) as usize)
                .sum();
            let every = if live < running + ignored { KEEP } else { KEEP * 10 };
            needs.want(Kind::Tasks, last + every, Class::Show);
            return needs;
        }
        // A task stops only once its targets are drained. (Source: ECS developer guide, load
        // balancer connection draining.)
        let drained = facts.targets.iter().filter_map(|target| self.drains_until(target)).max();
        let drained = drained.filter(|at| *at > self.now);
        let since = facts.progress.at.unwrap_or(Mono::START).max(drained.unwrap_or(Mono::START));
        let from = match drained {
            Some(at) => (last + HOT).max(at.min(last + KEEP * 10)),
            // ECS deregisters its targets within moments.
            None if self.may_be_drained() => last + KEEP * 2,
            None => last + patiently(self.now.since(since), 8, HOT),
        };
        needs.want(Kind::Tasks, from, Class::Finish);
        needs
    }

    /// Returns whether the container instance stopped taking tasks a moment ago and has a target
    /// that is not gone yet.
    fn may_be_drained(&self) -> bool {
        let closed = self
            .view
            .facts
            .instances
            .iter()
            .filter_map(|one| one.closed)
            .map(|run| run.first.ended)
            .max();
        let early = closed.is_some_and(|closed| self.now.since(closed) < KEEP * 2);
        let awaited = |target: &&TargetFacts| self.draft.waits_for(&target.obligation);
        let whole = |target: &TargetFacts| !matches!(&target.sight, Some((_, TargetSight::Gone)));
        early && self.view.facts.targets.iter().filter(awaited).any(whole)
    }

    /// Returns the earliest time at which a draining target has drained, if its delay is known.
    fn drains_until(&self, target: &TargetFacts) -> Option<Mono> {
        let Some((_, TargetSight::Present { draining: true, .. })) = &target.sight else {
            return None;
        };
        let delay = Duration::from_secs(u64::from(target.obligation.delay_seconds?));
        let closed = self
            .view
            .facts
            .instances
            .iter()
            .filter_map(|one| one.closed)
            .map(|run| run.first.began)
            .min();
        let began = target.in_service.map(|read| read.began).max(closed)?;
        Some(began + delay)
    }

    /// Returns the need for the targets: once, to see them registered; then when they can be gone.
    fn targets(&self, class: Class) -> Needs {
        let mut needs = Needs::default();
        if self.view.facts.instances.iter().any(|one| one.closed.is_none()) {
            return needs;
        }
        for target in
            self.view.facts.targets.iter().filter(|target| self.draft.waits_for(&target.obligation))
        {
            let Some((read, sight)) = &target.sight else {
                needs.want(Kind::Targets, Mono::START, class);
                continue;
            };
            let from = match sight {
                TargetSight::Gone => continue,
                // The balancer may report that the instance does not run.
                TargetSight::Present { .. } if self.view.facts.all_away() => {
                    let away = self
                        .view
                        .facts
                        .away_since()
                        .map_or(Duration::ZERO, |since| self.now.since(since));
                    read.ended + patiently(away, 8, HOT)
                }
                TargetSight::Present { draining: false, .. } => read.ended + IN_SERVICE,
                TargetSight::Present { draining: true, .. } => {
                    let due = self.drains_until(target).unwrap_or(Mono::START);
                    let late = self
                        .now
                        .since(due.max(target.leaving.map_or(Mono::START, |watch| watch.since)));
                    // The target group may be deleted meanwhile.
                    due.min(read.ended + KEEP * 4).max(read.ended + patiently(late, 4, HOT_TARGETS))
                }
            };
            needs.want(Kind::Targets, from, class);
        }
        needs
    }

    /// Returns the needs at a deadline: it acts only on reads from after it passed.
    fn decide_at(&self, deadline: Timestamp) -> Needs {
        let mut needs = Needs::default();
        let Some(passed) = passed_at(deadline, self.view) else { return needs };
        let facts = self.view.facts;
        let old = |read: Option<Read>| read.is_none_or(|read| read.began < passed);
        if facts.instances.iter().any(|one| old(one.sight.as_ref().map(|(read, _)| *read))) {
            needs.want(Kind::Status, passed, Class::Begin);
        }
        if self.there().any(|(_, one)| old(one.discovered)) {
            needs.want(Kind::Running, passed, Class::Begin);
        }
        if facts.tasks_there().any(|(_, task)| old(task.sight.as_ref().map(|(read, _)| *read))) {
            needs.want(Kind::Tasks, passed, Class::Begin);
        }
        if facts.targets.iter().any(|target| old(target.read())) {
            needs.want(Kind::Targets, passed, Class::Begin);
        }
        needs
    }
}

/// Returns the monotonic moment at which a deadline passed, if it has.
pub(super) fn passed_at(deadline: Timestamp, view: &View<'_>) -> Option<Mono> {
    let ago = Duration::try_from(view.now.wall.duration_since(deadline)).ok()?;
    Some(view.now.mono.before(ago))
}

/// Returns the time until the next read: it grows with the time that has passed, from `soonest` to
/// [`KEEP`].
fn patiently(so_far: Duration, part: u32, soonest: Duration) -> Duration {
    (so_far / part).clamp(soonest, KEEP)
}

/// Returns whether everything that the record names was read since this moment.
pub(super) fn is_complete_since(draft: &Record, view: &View<'_>, passed: Mono) -> bool {
    let facts = view.facts;
    let young = |read: Option<Read>| read.is_some_and(|read| read.began >= passed);
    let group = facts.group.known().is_some();
    // An instance that is in no cluster has nothing else to read.
    let searched = !draft.container_instances.is_empty()
        || facts.search.nowhere.is_some_and(|run| run.last.began >= passed);
    let instances = draft.container_instances.iter().all(|mine| {
        let one = facts.of(&mine.arn);
        one.is_some_and(|one| {
            young(one.sight.as_ref().map(|(read, _)| *read))
                && (one.is_gone() || young(one.discovered))
        })
    });
    let tasks =
        facts.tasks_there().all(|(_, task)| young(task.sight.as_ref().map(|(read, _)| *read)));
    let targets =
        draft.obligations.iter().all(|o| young(facts.target(o).and_then(TargetFacts::read)));
    group && searched && instances && tasks && targets && clear::registrations_known(facts).is_ok()
}
