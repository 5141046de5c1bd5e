//! Facts about a drain's instance in its Auto Scaling group.

use crate::phase::Outcome;
use crate::policy::Policy;
use crate::record::Record;
use crate::sight::{GroupSight, LifecycleState, Seen};
use crate::time::{Mono, Read};
use jiff::Timestamp;

/// Auto Scaling's answers about the instance, and the runs of equal answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GroupFacts {
    /// Newest answer, and its read.
    pub sight: Option<(Read, GroupSight)>,
    /// Reason why the newest read gave no answer, if it did not.
    pub unknown: Option<String>,
    /// Number of complete reads in a row that showed the instance in no group while ECS had lost
    /// it.
    pub gone_reads: u32,
    /// Number of reads in a row in which the group showed the instance past the wait.
    pub past_wait_reads: u32,
    /// State that every read since has shown.
    pub shown: Option<Shown>,
    /// True if heartbeats were accepted after the completion was: the ecs-drain hook holds the
    /// instance once more.
    pub held_again: bool,
    /// Time in the record at which the group was asked to terminate the instance, and the time at
    /// which this process first knew of it. The record's own time may be of another machine's
    /// clock.
    pub termination_asked: Option<(Timestamp, Mono)>,
}

/// A state that every read has shown since.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The state, as Auto Scaling reported it.
    pub state: LifecycleState,
    /// End of the first read that showed it.
    pub since: Mono,
}

impl GroupFacts {
    /// Returns Auto Scaling's answer, or the reason why it is not known.
    pub fn seen(&self) -> Seen<&GroupSight> {
        match (&self.unknown, &self.sight) {
            (Some(why), _) => Seen::Unknown(why.clone()),
            (None, Some((_, sight))) => Seen::Yes(sight),
            (None, None) => Seen::Unknown("the groups have not been read yet".to_owned()),
        }
    }

    /// Returns Auto Scaling's answer, if it is known.
    pub fn known(&self) -> Option<&GroupSight> {
        self.sight.as_ref().filter(|_| self.unknown.is_none()).map(|(_, sight)| sight)
    }

    /// Returns the state of the instance in its group, if it is known to be in one.
    pub fn state(&self) -> Option<&LifecycleState> {
        self.known().and_then(GroupSight::state)
    }

    /// Returns the beginning of the newest answer's read, or the process's start.
    pub fn began(&self) -> Mono {
        self.sight.as_ref().map_or(Mono::START, |(read, _)| read.began)
    }

    /// Returns whether the group calls the instance unhealthy.
    pub fn is_unhealthy(&self) -> bool {
        matches!(self.known(), Some(GroupSight::Member { healthy: false, .. }))
    }

    /// Returns whether the group shows a state of now: it has shown it for one lag, so this is not
    /// the state from before the first read that showed it.
    pub fn is_present(&self, policy: &Policy) -> bool {
        self.shown.as_ref().is_some_and(|shown| self.began() >= shown.since + policy.read_lag)
    }

    /// Returns whether the newest read is late enough to show the effect of the request to
    /// terminate the instance.
    pub fn shows_termination(&self, policy: &Policy) -> bool {
        let sent = |since: Mono| since + crate::drain::SENT_WITHIN;
        self.termination_asked
            .is_some_and(|(_, since)| self.began() >= sent(since) + policy.read_lag)
    }

    pub(super) fn saved(&mut self, record: &Record, now: Mono) {
        self.termination_asked = record.termination_asked_at.map(|at| {
            let before = self.termination_asked.filter(|(known, _)| *known == at);
            before.unwrap_or((at, now))
        });
    }

    /// Takes over an answer; `lost`: ECS has lost the instance, if that is known.
    pub(super) fn note(
        &mut self,
        record: &Record,
        policy: &Policy,
        read: Read,
        seen: Seen<GroupSight>,
        lost: Option<bool>,
    ) {
        let sight = match seen {
            Seen::Yes(sight) => sight,
            Seen::Unknown(why) => {
                self.unknown = Some(why);
                return;
            }
        };
        self.unknown = None;
        // The same answer does not count twice.
        if self.sight.as_ref().is_some_and(|(before, _)| read.began <= before.began) {
            return;
        }
        let before = self.shown.take().filter(|shown| Some(&shown.state) == sight.state());
        self.shown =
            before.or_else(|| Some(Shown { state: sight.state()?.clone(), since: read.ended }));
        self.gone_reads = match (&sight, lost) {
            (GroupSight::Member { .. }, _) | (GroupSight::Absent, Some(false)) => 0,
            (GroupSight::Absent, Some(true)) => self.gone_reads + 1,
            (GroupSight::Absent, None) => self.gone_reads,
        };
        self.held_again &= matches!(sight.state(), Some(LifecycleState::Waiting(_)));
        self.sight = Some((read, sight));
        self.past_wait_reads = self.past_wait(record, policy);
    }

    fn past_wait(&self, record: &Record, policy: &Policy) -> u32 {
        match self.known() {
            // An instance that its group retains after an ABANDON is not past the wait: it still
            // has to be terminated.
            Some(GroupSight::Member { state: LifecycleState::Retained(_), .. })
                if was_abandoned(record) =>
            {
                0
            }
            Some(GroupSight::Member {
                state: LifecycleState::PastWait(_) | LifecycleState::Retained(_),
                ..
            }) => self.past_wait_reads + 1,
            // The instance was in service before the wait too, and an early read may show that
            // time.
            Some(GroupSight::Member { state: LifecycleState::InService, .. })
                if record.lives_on() && self.is_present(policy) =>
            {
                self.past_wait_reads + 1
            }
            Some(GroupSight::Member { .. }) => 0,
            // An instance that leaves its group after the wait was past it before.
            Some(GroupSight::Absent) | None => self.past_wait_reads,
        }
    }
}

fn was_abandoned(record: &Record) -> bool {
    record.intent().is_some_and(|intent| intent.outcome == Outcome::Abandoned)
}
