//! Facts about the targets that must be seen gone.

use super::Facts;
use crate::policy::Policy;
use crate::record::{Balancer, Obligation, Record, Target};
use crate::sight::TargetSight;
use crate::time::{Mono, Read, Run, Watch};
use std::time::Duration;

/// Facts about one target of one balancer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetFacts {
    /// The target's obligation, in the record now or at the next save.
    pub obligation: Obligation,
    /// Time at which this process first knew of it.
    pub noted: Mono,
    /// Its balancer's last answer.
    pub sight: Option<(Read, TargetSight)>,
    /// First read that showed it registered, since it was last shown gone and since the last of its
    /// tasks was first shown `RUNNING`.
    pub registered: Option<Read>,
    /// Newest read that showed it in service.
    pub in_service: Option<Read>,
    /// Unbroken run of reads that showed it gone.
    pub gone: Option<Run>,
    /// First read of that run that is surely later than its registration: see
    /// [`Facts::seen_gone_from`].
    pub gone_since: Option<Read>,
    /// Time for which it has been draining or gone.
    pub leaving: Option<Watch>,
    /// True if the newest read showed it in service although it was leaving before.
    pub came_back: bool,
}

impl TargetFacts {
    /// Returns whether its balancer's last answer shows it.
    pub fn is_present(&self) -> bool {
        matches!(&self.sight, Some((_, TargetSight::Present { .. })))
    }

    /// Returns whether its balancer's last answer shows it, and not draining.
    pub fn is_in_service(&self) -> bool {
        matches!(&self.sight, Some((_, TargetSight::Present { draining: false, .. })))
    }

    /// Returns whether its balancer's last answer shows the instance stopped or terminated
    /// (`Target.InvalidState`).
    pub fn is_dead(&self) -> bool {
        matches!(&self.sight, Some((_, TargetSight::Present { instance_dead: true, .. })))
    }

    /// Returns the time by which its balancer has drained it at the latest, if it drains and its
    /// delay is known.
    pub fn drains_until(&self) -> Option<Mono> {
        let Some((_, TargetSight::Present { draining: true, .. })) = &self.sight else {
            return None;
        };
        Some(self.leaving?.since + Duration::from_secs(u64::from(self.obligation.delay_seconds?)))
    }

    /// Returns the time of the last read of it.
    pub fn read(&self) -> Option<Read> {
        self.sight.as_ref().map(|(read, _)| *read)
    }

    fn note(&mut self, read: Read, sight: TargetSight, left_before: Duration, gone_from: Mono) {
        if matches!(sight, TargetSight::Present { draining: false, .. }) {
            self.in_service = Some(read);
        }
        let is_leaving =
            matches!(sight, TargetSight::Gone | TargetSight::Present { draining: true, .. });
        self.came_back = !is_leaving && self.leaving.is_some();
        // The first read continues the time that earlier processes have watched. A watch that
        // begins at a later read begins at zero.
        let before = if self.sight.is_none() { left_before } else { Duration::ZERO };
        self.leaving =
            is_leaving.then(|| self.leaving.unwrap_or(Watch { before, since: read.ended }));
        if sight == TargetSight::Gone {
            self.gone = Some(Run::extend(self.gone, read));
            self.gone_since = self.gone_since.or((read.began >= gone_from).then_some(read));
        } else {
            // A target that is shown again after it was shown gone may have been registered anew,
            // so its absence before is no evidence.
            if self.gone.is_some() {
                self.registered = None;
            }
            self.registered.get_or_insert(read);
            (self.gone, self.gone_since) = (None, None);
        }
        self.sight = Some((read, sight));
    }
}

impl Facts {
    /// Adds a target, or the newly known properties of one, and returns its index.
    pub(super) fn register(&mut self, found: Obligation, now: Mono) -> usize {
        if let Some(index) =
            self.targets.iter().position(|target| target.obligation.is_same(&found))
        {
            let known = &mut self.targets[index].obligation;
            known.delay_seconds = found.delay_seconds.or(known.delay_seconds);
            known.network = found.network.or(known.network);
            known.of_group_alone &= found.of_group_alone;
            return index;
        }
        if self.targets.is_empty() {
            // Two are usual, and a vector that grows by itself begins with four.
            self.targets.reserve_exact(2);
        }
        self.targets.push(TargetFacts {
            obligation: found,
            noted: now,
            sight: None,
            registered: None,
            in_service: None,
            gone: None,
            gone_since: None,
            leaving: None,
            came_back: false,
        });
        self.targets.len() - 1
    }

    pub(super) fn note_target(
        &mut self,
        record: &Record,
        policy: &Policy,
        read: Read,
        about: (&Balancer, &Target),
        sight: TargetSight,
    ) {
        let is_same = |obligation: &Obligation| {
            obligation.balancer == *about.0 && obligation.target == *about.1
        };
        let left_before = record
            .obligations
            .iter()
            .find(|one| is_same(one))
            .map_or(0, |one| one.left_for_seconds);
        let Some(index) = self.targets.iter().position(|target| is_same(&target.obligation)) else {
            return;
        };
        let left_before = Duration::from_secs(u64::from(left_before));
        let gone_from = self.seen_gone_from(&self.targets[index], policy);
        self.targets[index].note(read, sight, left_before, gone_from);
    }

    /// Returns the time from which a read that shows a target gone counts: one lag after the target
    /// was first seen registered. If it never was, one lag after this process first knew of it, and
    /// after all of its tasks were seen stopped.
    pub fn seen_gone_from(&self, target: &TargetFacts, policy: &Policy) -> Mono {
        let from = target.registered.map(|registered| registered.ended);
        let never = || {
            let index =
                self.targets.iter().position(|one| one.obligation.is_same(&target.obligation));
            let names = |task: &&super::TaskFacts| {
                index.is_some_and(|index| task.registrations.contains(&index))
            };
            let stopped = self
                .tasks
                .values()
                .filter(names)
                .filter_map(|task| task.stopped.map(|read| read.ended));
            stopped.max().unwrap_or(target.noted).max(target.noted)
        };
        from.unwrap_or_else(never) + policy.read_lag
    }

    /// Forgets that targets were seen registered and gone, because a task may have registered them
    /// just now.
    pub(super) fn unsee(&mut self, registrations: &[usize]) {
        for index in registrations {
            let target = &mut self.targets[*index];
            (target.registered, target.gone_since) = (None, None);
        }
    }

    /// Forgets that targets which were never seen registered were seen gone, if a task of theirs
    /// was running until recently.
    pub(super) fn unsee_gone(&mut self, policy: &Policy, registrations: &[usize]) {
        for index in registrations {
            let from = self.seen_gone_from(&self.targets[*index], policy);
            let target = &mut self.targets[*index];
            if target.gone_since.is_some_and(|read| read.began < from) {
                target.gone_since = None;
            }
        }
    }

    /// Restarts the time for which targets that were never seen registered have been leaving: their
    /// task was there until now, so they may have been registered until now.
    pub(super) fn leave_anew(&mut self, registrations: &[usize], stopped: Read) {
        for index in registrations {
            let target = &mut self.targets[*index];
            if let (None, Some(_)) = (target.registered, target.leaving) {
                target.leaving = Some(Watch { before: Duration::ZERO, since: stopped.ended });
            }
        }
    }

    /// Returns the facts about one of the record's obligations.
    pub fn target(&self, obligation: &Obligation) -> Option<&TargetFacts> {
        self.targets.iter().find(|target| target.obligation.is_same(obligation))
    }
}
