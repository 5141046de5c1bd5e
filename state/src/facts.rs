//! What AWS was last seen to say of one drain's instance, and when the reads that showed it were
//! made.
//!
//! Facts are keyed by what they are about and live in memory: losing them (a restart, another
//! replica) costs reading again. An answer concerns what it names and nothing else. A read that
//! failed changes no fact and leaves its message. For a property that the [proof](crate::proof)
//! uses, a fact keeps its unbroken run: the first and the last read that showed it.

mod answer;
mod group;
mod instance;
mod target;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Kind, TaskAnswer, Wanted};
pub use group::{GroupFacts, Shown};
pub use instance::InstanceFacts;
pub use target::TargetFacts;

use crate::phase::Phase;
use crate::policy::{DaemonTasks, DisconnectedAgent, Policy};
use crate::record::{ContainerInstance, Record, Target, Then};
use crate::sight::{Seen, TaskKind, TaskSight};
use crate::time::{Mono, Read, Run};
use std::collections::BTreeMap;

/// What is known of one task that some list has named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskFacts {
    /// Which container instance it is on: an index into [`Facts::instances`].
    pub on: usize,
    /// The first list that named it.
    pub listed: Read,
    /// What ECS said last of it by name. None once it has stopped, and before it was first
    /// described.
    pub sight: Option<(Read, TaskSight)>,
    /// The first read that showed it stopped.
    pub stopped: Option<Read>,
    /// Whether it was ever shown `RUNNING`: only then can it have been registered.
    pub ran: bool,
    /// Whether the targets that its service registers for it are known.
    pub registrations_known: bool,
    /// Its targets: indices into [`Facts::targets`].
    pub registrations: Vec<usize>,
}

/// What searches for the instance have found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SearchFacts {
    /// The complete searches in a row that found nothing anywhere.
    pub nowhere: Option<Run>,
    /// The newest search of every cluster.
    pub sweep: Option<Read>,
    /// The clusters that it could not read.
    pub unread: Vec<String>,
    /// The clusters that have the instance although the configuration leaves them out, as far as
    /// searches have shown.
    pub left_out: Vec<String>,
    /// The newest search of its own clusters.
    pub own: Option<Read>,
    /// Container instances that were found and are not in the record yet.
    pub found: Vec<ContainerInstance>,
}

/// How far the drain has come, and when it last came further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// How many tasks that matter were left when that was last known.
    pub tasks_left: Option<usize>,
    /// How many targets were left when that was last known.
    pub targets_left: Option<usize>,
    /// When either last became fewer, or this process first read anything.
    pub at: Option<Mono>,
}

/// Everything that this process knows of one drain's instance beside its record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Its container instances.
    pub instances: Vec<InstanceFacts>,
    /// Every task that some list has named, by ARN.
    pub tasks: BTreeMap<String, TaskFacts>,
    /// Its targets.
    pub targets: Vec<TargetFacts>,
    /// What Auto Scaling says.
    pub group: GroupFacts,
    /// What searches have found.
    pub search: SearchFacts,
    /// Whether a balancer has said, since every agent was lost, that the instance is stopped or
    /// terminated. It stays said until an agent is back: a balancer that drops the target says
    /// nothing more.
    pub stopped: bool,
    /// When the lists were made, at the latest, that leave no task: the beginning of the first
    /// lists (b) since then.
    pub emptied: Option<Mono>,
    /// How far it has come.
    pub progress: Progress,
    /// When this process first knew that the drain is Returning, if it is: the record's own time
    /// may be another machine's.
    pub returning: Option<Mono>,
    /// The newest failed read of each kind since the last one that succeeded: when, and what came
    /// back.
    pub trouble: BTreeMap<Kind, (Mono, String)>,
}

impl Facts {
    /// Takes over one answer.
    pub fn note(&mut self, record: &Record, policy: &Policy, read: Read, answer: Answer) {
        match answer {
            Answer::Status { of, sight } => {
                self.trouble.remove(&Kind::Status);
                let mine = record.container_instances.iter().find(|mine| mine.arn == of);
                let index = self.instance(&of);
                self.instances[index].note_status(read, sight, mine);
            }
            Answer::List { of, wanted, tasks } => self.note_list(policy, read, &of, wanted, tasks),
            Answer::Discovered { of, tasks } => {
                let index = self.instance(&of);
                self.name(index, read, tasks);
                self.instances[index].discovered = Some(read);
            }
            Answer::Tasks(tasks) => {
                self.trouble.remove(&Kind::Tasks);
                for (arn, answer) in tasks {
                    self.note_task(policy, read, &arn, answer);
                }
            }
            Answer::Targets(targets) => {
                self.trouble.remove(&Kind::Targets);
                for (balancer, target, sight) in targets {
                    self.note_target(record, policy, read, (&balancer, &target), sight);
                }
            }
            Answer::Search { unread, left_out, found } => {
                self.note_search(record, read, unread, left_out, found);
            }
            Answer::Own { found } => {
                self.trouble.remove(&Kind::Own);
                self.search.own = Some(read);
                self.find(record, found);
            }
            Answer::Group(sight) => {
                let dead = self.is_lost(record, policy, read.ended);
                self.group.note(record, policy, read, sight, dead);
            }
            Answer::HeldAgain => self.group.held_again = record.phase() == Phase::Returning,
            Answer::Registrations(found) => {
                for one in found {
                    self.register(one, read.ended);
                }
            }
            Answer::Failed(kind, why) => {
                self.trouble.insert(kind, (read.ended, why));
            }
        }
        let dead = |target: &TargetFacts| {
            target.is_dead() && matches!(target.obligation.target, Target::Instance(_))
        };
        self.stopped = self.all_away() && (self.stopped || self.targets.iter().any(dead));
        self.emptied =
            self.lists_leave_nothing(policy, read.ended).map(|at| self.emptied.unwrap_or(at));
        self.note_progress(policy, read.ended);
    }

    /// Takes over that the record was saved, or read.
    pub fn saved(&mut self, record: &Record, now: Mono) {
        self.search
            .found
            .retain(|found| !record.container_instances.iter().any(|mine| mine.arn == found.arn));
        for mine in &record.container_instances {
            self.instance(&mine.arn);
        }
        for obligation in &record.obligations {
            self.register(obligation.clone(), now);
        }
        self.group.saved(record, now);
        self.returning =
            (record.phase() == Phase::Returning).then(|| self.returning.unwrap_or(now));
    }

    /// The index of a container instance, which is added where it is new.
    fn instance(&mut self, arn: &str) -> usize {
        let known = self
            .instances
            .iter()
            .position(|one| crate::sight::id(&one.arn) == crate::sight::id(arn));
        known.unwrap_or_else(|| {
            // Most drains have one, and a vector that grows by itself begins with four.
            self.instances.reserve_exact(1);
            self.instances.push(InstanceFacts { arn: arn.to_owned(), ..InstanceFacts::default() });
            self.instances.len() - 1
        })
    }

    /// What is known of a container instance.
    pub fn of(&self, arn: &str) -> Option<&InstanceFacts> {
        self.instances.iter().find(|one| crate::sight::id(&one.arn) == crate::sight::id(arn))
    }

    fn name(&mut self, on: usize, read: Read, tasks: Vec<String>) {
        for arn in tasks {
            self.tasks.entry(arn).or_insert(TaskFacts {
                on,
                listed: read,
                sight: None,
                stopped: None,
                ran: false,
                registrations_known: false,
                registrations: Vec::new(),
            });
        }
    }

    fn note_list(
        &mut self,
        policy: &Policy,
        read: Read,
        of: &str,
        wanted: Wanted,
        tasks: Vec<String>,
    ) {
        let on = self.instance(of);
        self.name(on, read, tasks);
        let one = &mut self.instances[on];
        match wanted {
            Wanted::Running => {
                self.trouble.remove(&Kind::Running);
                one.discovered = Some(read);
                let late = one.closed.is_some() && read.began >= one.list_from + policy.read_lag;
                if late && one.running.is_none() {
                    one.running = Some(read);
                }
            }
            Wanted::Stopped => {
                self.trouble.remove(&Kind::Stopped);
                one.stopped = Some(read);
            }
        }
    }

    fn note_task(&mut self, policy: &Policy, read: Read, arn: &str, answer: TaskAnswer) {
        let Some(listed) = self.tasks.get(arn).map(|task| task.listed) else { return };
        let (sight, found) = match answer {
            TaskAnswer::Found(sight, found) => (Some(sight), found),
            // A read that lags does not know a task that was listed a moment ago.
            TaskAnswer::Missing if read.began < listed.ended + policy.read_lag => return,
            TaskAnswer::Missing => (None, Seen::Yes(Vec::new())),
        };
        let mut known = false;
        let mut indices = Vec::new();
        match found {
            Seen::Yes(found) => {
                known = true;
                indices = found.into_iter().map(|one| self.register(one, read.ended)).collect();
            }
            Seen::Unknown(why) => {
                self.trouble.insert(Kind::Tasks, (read.ended, why));
            }
        }
        let Some(task) = self.tasks.get_mut(arn) else { return };
        if known {
            task.registrations_known = true;
            for index in indices {
                if !task.registrations.contains(&index) {
                    task.registrations.push(index);
                }
            }
        }
        if task.stopped.is_some() {
            // What has stopped stays stopped, whatever a read that lags shows.
            return;
        }
        let (seen_before, registrations) = (task.sight.is_some(), task.registrations.clone());
        match sight.filter(|sight| !sight.is_stopped()) {
            Some(sight) => {
                let runs = sight.last_status == "RUNNING" && !task.ran;
                task.ran |= runs;
                task.sight = Some((read, sight));
                if runs {
                    self.unsee(&registrations);
                }
            }
            None => {
                // Also one that was never seen before: nobody says when it ran.
                let ran_unseen = !task.ran;
                task.sight = None;
                task.stopped = Some(read);
                if ran_unseen {
                    self.unsee(&registrations);
                }
                self.unsee_gone(policy, &registrations);
                if seen_before {
                    self.leave_anew(&registrations, read);
                }
            }
        }
    }

    fn find(&mut self, record: &Record, found: Vec<ContainerInstance>) {
        for one in found {
            let known = record
                .container_instances
                .iter()
                .chain(&self.search.found)
                .any(|mine| mine.arn == one.arn);
            if !known {
                self.search.found.push(one);
            }
        }
    }

    fn note_search(
        &mut self,
        record: &Record,
        read: Read,
        unread: Vec<String>,
        mut left_out: Vec<String>,
        found: Vec<ContainerInstance>,
    ) {
        self.trouble.remove(&Kind::Sweep);
        let before = std::mem::take(&mut self.search.left_out).into_iter();
        left_out.extend(before.filter(|cluster| unread.contains(cluster)));
        self.search.left_out = left_out;
        if !found.is_empty() || !self.search.left_out.is_empty() {
            self.search.nowhere = None;
        } else if unread.is_empty() {
            self.search.nowhere = Some(Run::extend(self.search.nowhere, read));
        }
        self.find(record, found);
        if record.container_instances.iter().all(|mine| !unread.contains(&mine.cluster)) {
            // It began when the round was joined, which may have taken minutes.
            let newer = self.search.own.filter(|own| own.began > read.began);
            self.search.own = Some(newer.unwrap_or(read));
        }
        self.search.sweep = Some(read);
        self.search.unread = unread;
    }

    /// Returns whether every container instance that is there has lost its agent; false where none
    /// is there.
    pub fn all_away(&self) -> bool {
        let mut there = self.instances.iter().filter(|one| !one.is_gone()).peekable();
        there.peek().is_some() && there.all(InstanceFacts::is_away)
    }

    /// Since when every agent has been disconnected, if that is so.
    pub fn away_since(&self) -> Option<Mono> {
        if !self.all_away() {
            return None;
        }
        let there = self.instances.iter().filter(|one| !one.is_gone());
        there.filter_map(|one| one.away.map(|run| run.first.ended)).max()
    }

    /// Returns whether ECS has lost the instance: every registration is gone, or has lost its
    /// agent. Where no group terminates it, absence from the groups says little: it may have been
    /// detached, or no group ever had it. Then its agent must have been away for the grace.
    fn is_lost(&self, record: &Record, policy: &Policy, now: Mono) -> Option<bool> {
        let mine = || record.container_instances.iter().map(|mine| self.of(&mine.arn));
        if mine().any(|one| one.is_none_or(|one| one.sight.is_none())) {
            return None;
        }
        if mine().flatten().all(InstanceFacts::is_gone) {
            // What we deregistered says nothing of an instance that stays.
            let stays =
                record.lifecycle.is_none() && matches!(record.then, Some(Then::Keep) | None);
            return Some(
                !(stays
                    && record
                        .container_instances
                        .iter()
                        .any(|mine| mine.deregistered_at.is_some())),
            );
        }
        let long =
            |since: Mono| record.lifecycle.is_some() || now.since(since) >= policy.agent_grace;
        Some(self.away_since().is_some_and(long))
    }

    /// Returns whether the instance's tasks are excused: its agent has been disconnected for longer
    /// than the grace, so that their states are frozen, and, unless the policy does without, its
    /// group calls it unhealthy or a balancer has said meanwhile that it does not run. (Source: ECS
    /// leaves tasks `RUNNING` for ever when an agent is gone.)
    pub fn is_dead(&self, policy: &Policy, now: Mono) -> bool {
        if self.away_since().is_none_or(|since| now.since(since) < policy.agent_grace) {
            return false;
        }
        match policy.disconnected_agent {
            DisconnectedAgent::Wait => false,
            DisconnectedAgent::ExcuseDead => self.stopped || self.group.is_unhealthy(),
            DisconnectedAgent::Excuse => true,
        }
    }

    /// The tasks that are known and not stopped, on container instances that are not gone: ECS
    /// lists nothing for one that it has forgotten, and what was noted of its tasks stays in the
    /// record.
    pub fn tasks_there(&self) -> impl Iterator<Item = (&str, &TaskFacts)> {
        let there = |task: &TaskFacts| self.instances.get(task.on).is_none_or(|one| !one.is_gone());
        self.tasks
            .iter()
            .filter(move |(_, task)| task.stopped.is_none() && there(task))
            .map(|(arn, task)| (arn.as_str(), task))
    }

    /// Returns whether a container instance is gone from its cluster although something may have
    /// been placed on it after its tasks were listed: it was `ACTIVE` for a moment, or its counters
    /// rose.
    pub(crate) fn is_gone_unlisted(&self, arn: &str) -> bool {
        self.of(arn).is_some_and(|one| {
            one.gone.is_some() && one.discovered.is_some() && one.running.is_none()
        })
    }

    /// Returns whether a container instance is gone from its cluster while tasks that matter may
    /// have run on it: somebody has deregistered it by force, and their containers run on.
    pub(crate) fn is_cut_off(&self, arn: &str, policy: &Policy) -> bool {
        let Some(index) = self
            .instances
            .iter()
            .position(|one| crate::sight::id(&one.arn) == crate::sight::id(arn))
        else {
            return false;
        };
        let one = &self.instances[index];
        let Some(gone) = one.gone else { return false };
        let mine = self.tasks.values().filter(|task| task.on == index);
        let ran = |task: &TaskFacts| match (task.stopped, &task.sight) {
            (Some(stopped), _) => stopped.began >= gone.first.began,
            (None, Some((_, sight))) => matters(sight, policy),
            (None, None) => true,
        };
        one.discovered.is_none() || mine.into_iter().any(ran)
    }

    /// The beginning of the lists (b) that, after lists (a), leave no task that matters; None while
    /// they do not.
    fn lists_leave_nothing(&self, policy: &Policy, now: Mono) -> Option<Mono> {
        let dead = self.is_dead(policy, now);
        let left =
            |task: &TaskFacts| task.sight.as_ref().is_none_or(|(_, sight)| matters(sight, policy));
        if self.instances.is_empty() || !dead && self.tasks_there().any(|(_, task)| left(task)) {
            return None;
        }
        let mut latest = Mono::START;
        for (index, one) in self.instances.iter().enumerate() {
            let at = match (one.gone, self.list_b(index, policy)) {
                (Some(gone), _) => gone.first.began,
                (None, Some(read)) => read.began,
                (None, None) => return None,
            };
            latest = latest.max(at);
        }
        Some(latest)
    }

    /// List (b) of a container instance, if it began late enough: a lag after list (a) ended, and
    /// after every task that was known before was seen stopped.
    pub fn list_b(&self, index: usize, policy: &Policy) -> Option<Read> {
        let one = self.instances.get(index)?;
        let (running, stopped) = (one.running?, one.stopped?);
        let mut known = self
            .tasks
            .values()
            .filter(|task| task.on == index && task.listed.began < stopped.began);
        let late = stopped.began >= running.ended + policy.read_lag;
        (late && known.all(|task| task.stopped.is_none_or(|read| read.ended <= stopped.began)))
            .then_some(stopped)
    }

    /// How many of a container instance's known tasks are running and do not matter.
    pub fn ignored(&self, index: usize, policy: &Policy) -> u32 {
        let running = |task: &&TaskFacts| task.on == index && task.stopped.is_none();
        let ignored = self.tasks.values().filter(running).filter_map(|task| task.sight.as_ref());
        let ignored =
            ignored.filter(|(_, sight)| !sight.stopping && !matters(sight, policy)).count();
        u32::try_from(ignored).unwrap_or(u32::MAX)
    }

    /// Whether ECS's counters of a container instance name tasks beside those that do not matter.
    pub(crate) fn may_run(&self, index: usize, policy: &Policy) -> bool {
        let live = self
            .instances
            .get(index)
            .and_then(|one| one.sight.as_ref())
            .map_or(0, |(_, sight)| sight.live);
        live > self.ignored(index, policy)
    }

    fn note_progress(&mut self, policy: &Policy, now: Mono) {
        let listed = !self.instances.is_empty()
            && self.instances.iter().all(|one| one.discovered.is_some() || one.is_gone());
        let left =
            |task: &TaskFacts| task.sight.as_ref().is_none_or(|(_, sight)| matters(sight, policy));
        let tasks = listed.then(|| self.tasks_there().filter(|(_, task)| left(task)).count());
        let known = self.targets.iter().all(|target| target.sight.is_some());
        let targets =
            known.then(|| self.targets.iter().filter(|target| target.is_present()).count());
        let fewer = |before: Option<usize>, now: Option<usize>| {
            before.zip(now).is_some_and(|(before, now)| now < before)
        };
        let progressed =
            fewer(self.progress.tasks_left, tasks) || fewer(self.progress.targets_left, targets);
        self.progress = Progress {
            tasks_left: tasks.or(self.progress.tasks_left),
            targets_left: targets.or(self.progress.targets_left),
            at: if progressed { Some(now) } else { Some(self.progress.at.unwrap_or(now)) },
        };
    }
}

/// Whether a task that is not stopped holds its instance's drain up. `DEACTIVATING`, `STOPPING` and
/// `DEPROVISIONING` count, although ECS's own counters leave them out.
pub fn matters(task: &TaskSight, policy: &Policy) -> bool {
    match (&task.kind, policy.daemon_tasks) {
        (TaskKind::Daemon(_), DaemonTasks::Ignore) => false,
        (TaskKind::Daemon(_), DaemonTasks::Wait)
        | (TaskKind::Replica(_) | TaskKind::Standalone, _) => true,
    }
}
