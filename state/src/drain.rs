//! One drain as one value: its record, which is durable, and its facts, which may be lost.

#[cfg(test)]
mod tests;

use crate::decide::{Action, Context, Decision, decide, waits_for_window};
use crate::facts::{Answer, Facts, InstanceFacts};
use crate::phase::{Outcome, Phase};
use crate::policy::Policy;
use crate::proof::{self, Verdict};
use crate::record::{Intent, Record};
use crate::sight::{ContainerInstanceStatus, TaskKind};
use crate::time::{Mono, Now, Read, Run};
use jiff::Timestamp;
use std::time::Duration;

/// Longest time between the decision to terminate an instance and the call.
pub(crate) const SENT_WITHIN: Duration = Duration::from_secs(30);

/// Maximum age of the status by which a change that can be undone is made.
const YOUNG: Duration = Duration::from_secs(60);

/// One drain: record and facts.
#[derive(Clone, Debug)]
pub struct Drain {
    /// The record, as it was last committed.
    pub record: Record,
    /// AWS's last answers.
    pub facts: Facts,
}

/// Reason why a call that was decided is not sent. It is skipped until its drain is decided again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(pub &'static str);

impl Drain {
    /// Creates a drain of which this process has read nothing yet.
    pub fn new(record: Record, now: Mono) -> Drain {
        let mut drain = Drain { facts: Facts::default(), record };
        drain.facts.saved(&drain.record, now);
        drain
    }

    /// Takes over one answer of AWS.
    pub fn heed(&mut self, policy: &Policy, read: Read, answer: Answer) {
        self.facts.note(&self.record, policy, read, answer);
    }

    /// Takes over the record that was written or read. Another generation is another drain, so its
    /// facts start empty.
    pub fn take(&mut self, record: Record, now: Mono) {
        if record.generation != self.record.generation {
            self.facts = Facts::default();
        }
        self.record = record;
        self.facts.saved(&self.record, now);
    }

    /// Decides what to save, which calls to make then, and what to read next.
    pub fn decide(&self, policy: &Policy, context: &Context<'_>, now: Now) -> Decision {
        decide(&self.record, &self.facts, policy, context, now)
    }

    /// Returns whether a closed window keeps it from beginning.
    pub fn waits_for_window(&self, policy: &Policy, now: Timestamp) -> bool {
        waits_for_window(&self.record, &self.facts, policy, now)
    }

    /// Checks that an action that was decided may be sent at this moment. The check comes right
    /// before each call, because calls wait for their rate limit. The caller has checked before
    /// that this process leads, and that nothing is paused.
    ///
    /// # Errors
    /// Returns the reason if the action may not be sent.
    pub fn may_send(&self, action: &Action, policy: &Policy, now: Now) -> Result<(), Refusal> {
        if self.record.orders.pause.is_some() {
            return Err(Refusal("the drain is paused"));
        }
        match action {
            Action::SetDraining { container_instance, .. } => {
                let one = self.young(container_instance, now.mono)?;
                let active = one.status() == Some(&ContainerInstanceStatus::Active);
                ensure(
                    active && self.record.phase() == Phase::Deregistering,
                    "the container instance is not ACTIVE",
                )
            }
            Action::SetActive { container_instance, .. } => {
                let ours = self
                    .record
                    .container_instances
                    .iter()
                    .any(|c| c.arn == *container_instance && c.draining_is_ours);
                ensure(
                    ours && self.record.phase() == Phase::Returning,
                    "its DRAINING is not to be undone",
                )
            }
            Action::StopTask { task, .. } => self.may_stop(task, now.mono),
            Action::Deregister { container_instance, .. } => {
                let one = self.young(container_instance, now.mono)?;
                let closed = one.status().is_some_and(ContainerInstanceStatus::takes_no_work);
                ensure(closed, "its container instance takes tasks")?;
                let noted = |c: &&crate::record::ContainerInstance| {
                    c.arn == *container_instance && c.deregistered_at.is_some()
                };
                let noted = self.record.container_instances.iter().find(noted).is_some();
                ensure(
                    noted && self.record.phase() == Phase::Deregistering,
                    "its deregistration is not in the record",
                )?;
                let missing = proof::lists_missing(&self.record, &self.facts, policy, now.mono);
                ensure(missing.is_none(), "its tasks have to be listed again")
            }
            Action::Terminate { .. } => {
                ensure(
                    self.record.termination_asked_at.is_some(),
                    "the termination request is not in the record",
                )?;
                ensure(
                    self.record.lifecycle.is_none(),
                    "a lifecycle hook keeps it waiting by now",
                )?;
                // The effect of the call is read for a limited time after the decision, so a call
                // that is sent late could be sent twice.
                let asked = self
                    .facts
                    .group
                    .termination_asked
                    .is_some_and(|(_, at)| now.mono.since(at) <= SENT_WITHIN);
                ensure(asked, "the termination request is too old")?;
                let intent =
                    self.record.intent().ok_or(Refusal("there is no intent in the record"))?;
                self.may_end(intent, policy, now)
            }
            Action::Complete(intent) => {
                ensure(self.record.intent() == Some(intent), "another intent is in the record")?;
                self.may_end(intent, policy, now)
            }
        }
    }

    /// Checks that the evidence for this end still holds: a saved intent alone is not enough.
    fn may_end(&self, intent: &Intent, policy: &Policy, now: Now) -> Result<(), Refusal> {
        ensure(self.record.phase() == Phase::Completing, "the drain is not being completed")?;
        match intent.outcome {
            Outcome::Drained => {
                let verdict = proof::judge(&self.record, &self.facts, policy, now);
                ensure(verdict == Verdict::Proved, "the checks are out of date")
            }
            Outcome::TimedOut | Outcome::Abandoned => {
                let passed = self.record.deadline.is_some_and(|deadline| deadline <= now.wall);
                ensure(passed, "its deadline has not passed")
            }
            Outcome::NotInCluster => {
                ensure(
                    self.record.container_instances.is_empty(),
                    "it registered with a cluster after all",
                )?;
                // Measured from its end: a search of hundreds of clusters takes minutes.
                let young = |run: Run| now.mono.since(run.last.ended) <= policy.read_lag * 2;
                ensure(
                    self.facts.search.nowhere.is_some_and(young),
                    "no recent search found it in no cluster",
                )
            }
            Outcome::Forced => {
                ensure(self.record.orders.force.is_some(), "the order to force it was withdrawn")
            }
            Outcome::Cancelled | Outcome::InstanceGone | Outcome::WaitLost => {
                Err(Refusal("no call ends a drain so"))
            }
        }
    }

    fn may_stop(&self, task: &str, now: Mono) -> Result<(), Refusal> {
        let known = self.facts.tasks.get(task).ok_or(Refusal("the task is not known any more"))?;
        let on = self
            .facts
            .instances
            .get(known.on)
            .ok_or(Refusal("the task is on no container instance"))?;
        self.young(&on.arn, now)?;
        ensure(
            on.status().is_some_and(ContainerInstanceStatus::takes_no_work),
            "its container instance takes tasks",
        )?;
        let (_, sight) = known.sight.as_ref().ok_or(Refusal("the task has stopped"))?;
        ensure(
            sight.kind == TaskKind::Standalone && !sight.stopping,
            "the task is not to be stopped",
        )
    }

    fn young(&self, container_instance: &str, now: Mono) -> Result<&InstanceFacts, Refusal> {
        let one = self.facts.of(container_instance);
        let young = one.filter(|one| {
            one.sight.as_ref().is_some_and(|(read, _)| now.since(read.began) <= YOUNG)
        });
        young.ok_or(Refusal("its status was not read lately"))
    }
}

fn ensure(holds: bool, why: &'static str) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal(why)) }
}
