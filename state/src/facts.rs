//! Memory of AWS's last answers about one drain's instance, with the times of the reads.
//!
//! Facts are keyed by the thing that they describe and live in memory: losing them (a restart,
//! another replica) costs reading again. An answer changes only the things that it names. A failed
//! read changes no fact; its message is kept. For a property that the [proof](crate::proof) uses, a
//! fact keeps its unbroken run: the first and the last read that showed it.

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

/// Facts about one task that a list has named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TaskFacts {
    /// Container instance of the task: an index into [`Facts::instances`].
    pub on: usize,
    /// First list that named it.
    pub listed: Read,
    /// ECS's last description of it. `None` once it has stopped, and before its first description.
    pub sight: Option<(Read, TaskSight)>,
    /// First read that showed it stopped.
    pub stopped: Option<Read>,
    /// True if it was ever shown `RUNNING`: only then can it have been registered with a balancer.
    pub ran: bool,
    /// True if the targets that its service registers for it are known.
    pub registrations_known: bool,
    /// Its targets: indices into [`Facts::targets`].
    pub registrations: Vec<usize>,
}

/// Results of searches for the instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SearchFacts {
    /// The complete searches in a row that found it in no cluster.
    pub nowhere: Option<Run>,
    /// Newest search of every cluster.
    pub sweep: Option<Read>,
    /// Names of the clusters that this search could not read.
    pub unread: Vec<String>,
    /// Names of the clusters that have the instance although the configuration leaves them out, as
    /// far as searches have shown.
    pub left_out: Vec<String>,
    /// Newest search of the drain's own clusters.
    pub own: Option<Read>,
    /// Container instances that were found and are not in the record yet.
    pub found: Vec<ContainerInstance>,
}

/// Progress of the drain, and the time of the last progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Number of tasks that matter, when it was last known.
    pub tasks_left: Option<usize>,
    /// Number of targets, when it was last known.
    pub targets_left: Option<usize>,
    /// Time at which either number last fell, or at which this process first read anything.
    pub at: Option<Mono>,
}

/// Everything that this process knows about one drain's instance besides its record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Its container instances.
    pub instances: Vec<InstanceFacts>,
    /// Every task that a list has named, by ARN.
    pub tasks: BTreeMap<String, TaskFacts>,
    /// Its targets.
    pub targets: Vec<TargetFacts>,
    /// Auto Scaling's answers.
    pub group: GroupFacts,
    /// Results of searches.
    pub search: SearchFacts,
    /// True if a balancer has reported, since every agent was disconnected, that the instance is
    /// stopped or terminated. It stays set until an agent is back, because a balancer that drops
    /// the target reports nothing more.
    pub stopped: bool,
    /// Beginning of the first lists (b) that leave no task, unchanged until a task is left again.
    pub emptied: Option<Mono>,
    /// Progress of the drain.
    pub progress: Progress,
    /// Time at which this process first knew that the drain is Returning, if it is. The record's
    /// own time may be of another machine's clock.
    pub returning: Option<Mono>,
    /// Newest failed read of each kind since its last success: time and message.
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

    /// Takes over a record that was saved or read.
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

    /// Returns the index of a container instance, and adds it if it is new.
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

    /// Returns the facts about a container instance.
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
            // A stopped task stays stopped, even if a read that lags shows it running.
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
                // This holds for a task that was never seen before too: its run time is unknown.
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
            // The own search began when the drain joined the round, which may have taken minutes.
            let newer = self.search.own.filter(|own| own.began > read.began);
            self.search.own = Some(newer.unwrap_or(read));
        }
        self.search.sweep = Some(read);
        self.search.unread = unread;
    }

    /// Returns whether every container instance that is there has lost its agent. False if none is
    /// there.
    pub fn all_away(&self) -> bool {
        let mut there = self.instances.iter().filter(|one| !one.is_gone()).peekable();
        there.peek().is_some() && there.all(InstanceFacts::is_away)
    }

    /// Returns the time since which every agent has been disconnected, if all are.
    pub fn away_since(&self) -> Option<Mono> {
        if !self.all_away() {
            return None;
        }
        let there = self.instances.iter().filter(|one| !one.is_gone());
        there.filter_map(|one| one.away.map(|run| run.first.ended)).max()
    }

    /// Returns whether ECS has lost the instance: every container instance is gone, or has lost its
    /// agent. `None` while that is not known. If no group terminates the instance, its absence from
    /// the groups proves little: it may have been detached, or was never in one. Then its agent
    /// must have been disconnected for the grace.
    fn is_lost(&self, record: &Record, policy: &Policy, now: Mono) -> Option<bool> {
        let mine = || record.container_instances.iter().map(|mine| self.of(&mine.arn));
        if mine().any(|one| one.is_none_or(|one| one.sight.is_none())) {
            return None;
        }
        if mine().flatten().all(InstanceFacts::is_gone) {
            // A deregistration by ecs-drain proves nothing about an instance that stays.
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

    /// Returns whether the instance is dead, which excuses its tasks: its agent has been
    /// disconnected for longer than the grace, so that their states are frozen. Unless the policy
    /// needs no more than that, its group must also call it unhealthy, or a balancer must have
    /// reported meanwhile that it does not run. (Source: ECS leaves tasks `RUNNING` for ever when
    /// an agent is gone.)
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

    /// Returns the known tasks that are not stopped, on container instances that are not gone. ECS
    /// lists nothing for a container instance that is gone.
    pub fn tasks_there(&self) -> impl Iterator<Item = (&str, &TaskFacts)> {
        let there = |task: &TaskFacts| self.instances.get(task.on).is_none_or(|one| !one.is_gone());
        self.tasks
            .iter()
            .filter(move |(_, task)| task.stopped.is_none() && there(task))
            .map(|(arn, task)| (arn.as_str(), task))
    }

    /// Returns whether a container instance is gone from its cluster although a task may have been
    /// placed on it after its tasks were listed: it was `ACTIVE` for a moment, or its counters
    /// rose.
    pub(crate) fn is_gone_unlisted(&self, arn: &str) -> bool {
        self.of(arn).is_some_and(|one| {
            one.gone.is_some() && one.discovered.is_some() && one.running.is_none()
        })
    }

    /// Returns whether a container instance is gone from its cluster while tasks that matter may
    /// have run on it: it was deregistered by force, and their containers still run.
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

    /// Returns the beginning of the lists (b) that, after lists (a), leave no task that matters;
    /// `None` if a task is left.
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

    /// Returns list (b) of a container instance, if it began late enough: one lag after list (a)
    /// ended, and after every task that was known before it was seen stopped.
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

    /// Returns the number of a container instance's known tasks that run and do not matter.
    pub fn ignored(&self, index: usize, policy: &Policy) -> u32 {
        let running = |task: &&TaskFacts| task.on == index && task.stopped.is_none();
        let ignored = self.tasks.values().filter(running).filter_map(|task| task.sight.as_ref());
        let ignored =
            ignored.filter(|(_, sight)| !sight.stopping && !matters(sight, policy)).count();
        u32::try_from(ignored).unwrap_or(u32::MAX)
    }

    /// Returns whether ECS's counters of a container instance name tasks besides those that do not
    /// matter.
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

/// Returns whether a task that is not stopped holds up its instance's drain. `DEACTIVATING`,
/// `STOPPING` and `DEPROVISIONING` count, although ECS's own counters leave them out.
pub fn matters(task: &TaskSight, policy: &Policy) -> bool {
    match (&task.kind, policy.daemon_tasks) {
        (TaskKind::Daemon(_), DaemonTasks::Ignore) => false,
        (TaskKind::Daemon(_), DaemonTasks::Wait)
        | (TaskKind::Replica(_) | TaskKind::Standalone, _) => true,
    }
}
