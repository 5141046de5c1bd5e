//! Sends the calls that were decided and saved.
//!
//! Actions are idempotent: *done now*, *already done* and *not found* are all successes. The reader
//! checks whether the world has changed. Only the answer to a completion is evidence by itself.
//!
//! A worker waits for a permit at the call's rate, then chooses the action to send, and passes it
//! through the [guard](Actor::may_send). An action that the guard refuses is skipped until its
//! drain is decided again. The SDK does not retry these calls.

use crate::aws::calls::{
    COMPLETE_LIFECYCLE_ACTION, DEREGISTER_CONTAINER_INSTANCE, STOP_TASK,
    TERMINATE_INSTANCE_IN_AUTO_SCALING_GROUP, UPDATE_CONTAINER_INSTANCES_STATE,
};
use crate::aws::{AwsError, Permit, Session, State};
use crate::clock::{Clock, Leadership};
use crate::fleet::{Fleet, Slot, Work};
use ecs_drain_state::{Action, CompletionAnswer, Record};
use futures_util::future::{LocalBoxFuture, join_all};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// Container instances in one call, at most. (Source: ECS API reference,
/// UpdateContainerInstancesState.)
const IN_A_CHANGE: usize = 10;

/// Age at which the process's copy of a record is too old for a call that cannot be undone. The
/// record is read again first.
const KNOWN_LASTS: Duration = Duration::from_secs(10);

/// Interval at which an idle worker checks again: the guard may pass an action that it refused
/// before.
const TICK: Duration = Duration::from_millis(500);

/// Result of one action.
#[derive(Debug)]
pub(crate) struct Report {
    /// Key of the drain.
    pub key: String,
    pub action: Action,
    /// Auto Scaling's answer, if the action was a completion.
    pub answer: Result<Option<CompletionAnswer>, AwsError>,
}

/// Sends the actions of one scope's drains.
pub(crate) struct Actor<'a> {
    pub session: &'a Session,
    pub clock: &'a Clock,
    pub fleet: &'a Fleet,
    /// Lease of this replica. It must lead to act.
    pub leadership: &'a Leadership,
    /// Check for a pause of the drain's cluster, or of everything.
    pub paused: &'a dyn Fn(&Record) -> bool,
    /// Reads a drain's record again.
    pub confirm: &'a dyn Fn(String) -> LocalBoxFuture<'a, ()>,
    /// Receiver of each action's result.
    pub reports: UnboundedSender<Report>,
}

/// Returns the number of calls of a kind that may be under way or wait for a permit at once.
const fn workers(work: Work) -> usize {
    match work {
        Work::States => 4,
        Work::Tasks => 8,
        Work::Terminations => 2,
        Work::Completions => 16,
    }
}

impl Actor<'_> {
    /// Runs the workers; never returns.
    pub(crate) async fn run(&self) {
        let workers =
            Work::ALL.into_iter().flat_map(|work| (0..workers(work)).map(move |_| self.work(work)));
        join_all(workers.collect::<Vec<_>>()).await;
    }

    async fn work(&self, work: Work) {
        loop {
            let Some((key, action)) = self.first(work) else {
                tokio::select! {
                    biased;
                    () = self.fleet.act.notified() => {}
                    () = tokio::time::sleep(TICK) => {}
                }
                continue;
            };
            if !self.is_known(&key, &action) {
                (self.confirm)(key).await;
                continue;
            }
            match work {
                Work::States => self.set_states().await,
                Work::Tasks | Work::Terminations | Work::Completions => {
                    self.one(work, &action).await
                }
            }
        }
    }

    /// Returns the first drain that has such an action to do and passes the guard now.
    fn first(&self, work: Work) -> Option<(String, Action)> {
        let now = self.clock.mono();
        self.fleet.first_to_do(work, now, |key, slot, action| {
            self.may_send(slot, action).then(|| (key.to_owned(), action.clone()))
        })
    }

    /// The guard, checked immediately before each call. This replica leads, the drain is not
    /// paused, and the evidence holds now. The record is the one that the decision was made on,
    /// because a slot drops its actions when its record changes.
    ///
    /// The checks use the current time, so a process that was suspended finds its evidence too old.
    fn may_send(&self, slot: &Slot, action: &Action) -> bool {
        let now = self.clock.both();
        self.leadership.leads()
            && !(self.paused)(&slot.drain.record)
            && slot.drain.may_send(action, &slot.policy, now).is_ok()
    }

    /// Checks that the record was written or read recently enough for this action.
    fn is_known(&self, key: &str, action: &Action) -> bool {
        match action {
            Action::SetDraining { .. } | Action::SetActive { .. } | Action::StopTask { .. } => true,
            Action::Complete(_) | Action::Terminate { .. } | Action::Deregister { .. } => {
                let now = self.clock.mono();
                self.fleet.with(key, |slot| now.since(slot.known_at) <= KNOWN_LASTS).unwrap_or(true)
            }
        }
    }

    async fn one(&self, work: Work, action: &Action) {
        let call = match action {
            Action::StopTask { .. } => &STOP_TASK,
            Action::Deregister { .. } => &DEREGISTER_CONTAINER_INSTANCE,
            Action::Terminate { .. } => &TERMINATE_INSTANCE_IN_AUTO_SCALING_GROUP,
            Action::Complete(_) | Action::SetDraining { .. } | Action::SetActive { .. } => {
                &COMPLETE_LIFECYCLE_ACTION
            }
        };
        let permit = self.session.permit(call).await;
        // Chosen again after the wait, among actions of the same call, because the permit is for
        // that call.
        let same = std::mem::discriminant(action);
        let now = self.clock.mono();
        let chosen = self.fleet.first_to_do(work, now, |key, slot, action| {
            let fits = std::mem::discriminant(action) == same;
            let known = now.since(slot.known_at) <= KNOWN_LASTS
                || matches!(action, Action::StopTask { .. });
            (fits && known && self.may_send(slot, action))
                .then(|| (key.to_owned(), action.clone(), slot.drain.record.clone()))
        });
        let Some((key, action, record)) = chosen else {
            // Another worker has sent it meanwhile. Heartbeats share this rate, so the permit is
            // returned.
            permit.give_back();
            return;
        };
        self.fleet.begin_action(&key, &action, now);
        let answer = self.send(permit, &record, &action).await;
        self.report(key, action, answer);
    }

    async fn send(
        &self,
        permit: Permit,
        record: &Record,
        action: &Action,
    ) -> Result<Option<CompletionAnswer>, AwsError> {
        let instance = &record.instance_id;
        match action {
            Action::StopTask { cluster, task } => {
                let reason = format!("ecs-drain: {instance} is taken out of service");
                self.session.ecs.stop(permit, cluster, task, &reason).await.map(|()| None)
            }
            Action::Deregister { cluster, container_instance } => self
                .session
                .ecs
                .deregister_one(permit, cluster, container_instance)
                .await
                .map(|()| None),
            Action::Terminate { group, shrink } => self
                .session
                .autoscaling
                .terminate_one(permit, group, instance, *shrink)
                .await
                .map(|()| None),
            Action::Complete(intent) => {
                let Some(lifecycle) = &record.lifecycle else { return Ok(None) };
                let (group, hook) = (&lifecycle.group, &lifecycle.hook);
                self.session
                    .urgent
                    .complete_action(permit, group, hook, instance, intent.result)
                    .await
                    .map(Some)
            }
            // `set_states` sends these in batches.
            Action::SetDraining { .. } | Action::SetActive { .. } => Ok(None),
        }
    }

    /// Changes the state of up to ten container instances of one cluster in one call.
    async fn set_states(&self) {
        let permit = self.session.permit(&UPDATE_CONTAINER_INSTANCES_STATE).await;
        let mut batch: Vec<(String, Action, String)> = Vec::new();
        let mut place: Option<(String, State)> = None;
        let mut met = BTreeSet::new();
        while batch.len() < IN_A_CHANGE {
            let now = self.clock.mono();
            let next = self.fleet.first_to_do(Work::States, now, |key, slot, action| {
                let (cluster, arn, state) = change(action)?;
                let fits = place.as_ref().is_none_or(|(of, to)| of == cluster && *to == state);
                let new = !met.contains(arn);
                (fits && new && self.may_send(slot, action)).then(|| {
                    (key.to_owned(), action.clone(), cluster.to_owned(), arn.to_owned(), state)
                })
            });
            let Some((key, action, cluster, arn, state)) = next else { break };
            place = Some((cluster, state));
            met.insert(arn.clone());
            self.fleet.begin_action(&key, &action, now);
            batch.push((key, action, arn));
        }
        match place {
            Some((cluster, state)) => self.change(permit, &cluster, state, batch).await,
            None => permit.give_back(),
        }
    }

    /// Sends one batch. If ECS rejects the batch because of a member, it is sent again in halves,
    /// until the rejected container instance is alone and the others have succeeded.
    async fn change(
        &self,
        permit: Permit,
        cluster: &str,
        state: State,
        batch: Vec<(String, Action, String)>,
    ) {
        let mut permit = Some(permit);
        let mut batches = vec![batch];
        let mut first = true;
        while let Some(mut batch) = batches.pop() {
            let permit = match permit.take() {
                Some(permit) => permit,
                None => self.session.permit(&UPDATE_CONTAINER_INSTANCES_STATE).await,
            };
            if !std::mem::take(&mut first) {
                // Time has passed while waiting for the permit, so the guard is checked again.
                batch.retain(|(key, action, _)| {
                    let may =
                        self.fleet.with(key, |slot| self.may_send(slot, action)) == Some(true);
                    if !may {
                        self.fleet.end_action(key, action, self.clock.mono(), false);
                    }
                    may
                });
                if batch.is_empty() {
                    permit.give_back();
                    continue;
                }
            }
            let arns: Vec<String> = batch.iter().map(|(_, _, arn)| arn.clone()).collect();
            match self.session.ecs.set_state_of(permit, cluster, &arns, state).await {
                Ok(answers) => {
                    let mut answers: Vec<_> = answers.into_iter().collect();
                    for (key, action, arn) in batch {
                        let found = answers.iter().position(|(of, _)| *of == arn);
                        let answer = found.map_or(Ok(()), |index| answers.swap_remove(index).1);
                        self.report(key, action, answer.map(|()| None));
                    }
                }
                Err(error) if error.blames_a_member() && batch.len() > 1 => {
                    let second = batch.split_off(batch.len() / 2);
                    batches.extend([second, batch]);
                }
                Err(error) => {
                    for (key, action, _) in batch {
                        self.report(key, action, Err(error.clone()));
                    }
                }
            }
        }
    }

    fn report(
        &self,
        key: String,
        action: Action,
        answer: Result<Option<CompletionAnswer>, AwsError>,
    ) {
        // The receiver is gone only after the controller has stopped.
        let _ = self.reports.send(Report { key, action, answer });
    }
}

/// Returns the cluster, the container instance and its new state, if the action changes a state.
fn change(action: &Action) -> Option<(&str, &str, State)> {
    match action {
        Action::SetDraining { cluster, container_instance } => {
            Some((cluster, container_instance, State::Draining))
        }
        Action::SetActive { cluster, container_instance } => {
            Some((cluster, container_instance, State::Active))
        }
        Action::StopTask { .. }
        | Action::Deregister { .. }
        | Action::Complete(_)
        | Action::Terminate { .. } => None,
    }
}
