//! What Auto Scaling has shown of a drain's instance.

use crate::phase::Outcome;
use crate::policy::Policy;
use crate::record::Record;
use crate::sight::{GroupSight, LifecycleState, Seen};
use crate::time::{Mono, Read};
use jiff::Timestamp;

/// What Auto Scaling says of the instance, and what it has said unbroken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GroupFacts {
    /// The newest answer, and when it was read.
    pub sight: Option<(Read, GroupSight)>,
    /// Why the newest read could not tell, if it could not.
    pub unknown: Option<String>,
    /// In how many complete reads in a row the instance was in no group and lost to ECS.
    pub gone_reads: u32,
    /// In how many reads in a row the group showed the instance past the wait.
    pub past_wait_reads: u32,
    /// The state that the group has shown unbroken.
    pub shown: Option<Shown>,
    /// Whether heartbeats were accepted after the completion was: our hook holds the instance once
    /// more.
    pub held_again: bool,
    /// When the record says that the group was asked to terminate the instance, and when this
    /// process first knew: the record's own time may be another machine's.
    pub termination_asked: Option<(Timestamp, Mono)>,
}

/// A state that the group has shown at every read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The state.
    pub state: LifecycleState,
    /// The end of the first such read.
    pub since: Mono,
}

impl GroupFacts {
    /// What Auto Scaling says, or why that is not known.
    pub fn seen(&self) -> Seen<&GroupSight> {
        match (&self.unknown, &self.sight) {
            (Some(why), _) => Seen::Unknown(why.clone()),
            (None, Some((_, sight))) => Seen::Yes(sight),
            (None, None) => Seen::Unknown("the groups have not been read yet".to_owned()),
        }
    }

    /// What Auto Scaling says, if it is known.
    pub fn known(&self) -> Option<&GroupSight> {
        self.sight.as_ref().filter(|_| self.unknown.is_none()).map(|(_, sight)| sight)
    }

    /// The state of the instance in its group, if it is known to be in one.
    pub fn state(&self) -> Option<&LifecycleState> {
        self.known().and_then(GroupSight::state)
    }

    /// When the newest answer's read began.
    pub fn began(&self) -> Mono {
        self.sight.as_ref().map_or(Mono::START, |(read, _)| read.began)
    }

    /// Returns whether the group calls the instance unhealthy.
    pub fn is_unhealthy(&self) -> bool {
        matches!(self.known(), Some(GroupSight::Member { healthy: false, .. }))
    }

    /// Returns whether what the group shows is so, and is not the state from before the first read
    /// that showed it.
    pub fn is_present(&self, policy: &Policy) -> bool {
        self.shown.as_ref().is_some_and(|shown| self.began() >= shown.since + policy.read_lag)
    }

    /// Returns whether the newest read shows what came of asking the group to terminate the
    /// instance.
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

    /// Takes over an answer; `lost` says whether ECS has lost the instance, if that is known.
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
            // An instance that its group keeps after an ABANDON is not over: it is to be terminated
            // yet.
            Some(GroupSight::Member { state: LifecycleState::Retained(_), .. })
                if was_abandoned(record) =>
            {
                0
            }
            Some(GroupSight::Member {
                state: LifecycleState::PastWait(_) | LifecycleState::Retained(_),
                ..
            }) => self.past_wait_reads + 1,
            // It was in service before the wait too: that read may have been of then.
            Some(GroupSight::Member { state: LifecycleState::InService, .. })
                if record.lives_on() && self.is_present(policy) =>
            {
                self.past_wait_reads + 1
            }
            Some(GroupSight::Member { .. }) => 0,
            // An instance that leaves its group after the wait was past it once.
            Some(GroupSight::Absent) | None => self.past_wait_reads,
        }
    }
}

fn was_abandoned(record: &Record) -> bool {
    record.intent().is_some_and(|intent| intent.outcome == Outcome::Abandoned)
}
