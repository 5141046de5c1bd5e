//! Carries out what was decided and saved. Done now, already done and gone are all successes:
//! whether the world has changed is read. Nothing is concluded from an answer but from that to a
//! completion.
//!
//! Calls queue for their rate, so what is sent is chosen after the permit is there, and the
//! [guard](Actor::may_send) is asked then. A drain that the guard refuses is passed over until it
//! is decided anew. Nothing is sent twice by the SDK.

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

/// Container instances in one change. (Source: ECS API reference, UpdateContainerInstancesState.)
const IN_A_CHANGE: usize = 10;

/// How old what is known of a record may be when a call is made that cannot be undone: it is read
/// again before.
const KNOWN_LASTS: Duration = Duration::from_secs(10);

/// How often it is looked whether something may be done that could not be a moment ago.
const TICK: Duration = Duration::from_millis(500);

/// What came of one action.
#[derive(Debug)]
pub struct Report {
    /// The drain's key.
    pub key: String,
    /// What was done.
    pub action: Action,
    /// What Auto Scaling answered, where it was told of the end of a lifecycle action.
    pub answer: Result<Option<CompletionAnswer>, AwsError>,
}

/// What acting needs.
pub struct Actor<'a> {
    /// How AWS is reached.
    pub session: &'a Session,
    /// The clock.
    pub clock: &'a Clock,
    /// The drains.
    pub fleet: &'a Fleet,
    /// Only a replica that leads acts.
    pub leadership: &'a Leadership,
    /// Whether a drain's cluster, or everything, is paused.
    pub paused: &'a dyn Fn(&Record) -> bool,
    /// Reads a drain's record again.
    pub confirm: &'a dyn Fn(String) -> LocalBoxFuture<'a, ()>,
    /// Where it is told what came of an action.
    pub reports: UnboundedSender<Report>,
}

/// How many calls of a kind are under way or wait for their turn at once, at most.
const fn workers(work: Work) -> usize {
    match work {
        Work::States => 4,
        Work::Tasks => 8,
        Work::Terminations => 2,
        Work::Completions => 16,
    }
}

impl Actor<'_> {
    /// Acts for ever.
    pub async fn run(&self) {
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

    /// The first drain that waits for such an action and passes the guard now.
    fn first(&self, work: Work) -> Option<(String, Action)> {
        let now = self.clock.mono();
        self.fleet.first_to_do(work, now, |key, slot, action| {
            self.may_send(slot, action).then(|| (key.to_owned(), action.clone()))
        })
    }

    /// Asked right before each call: this replica leads, nothing is paused, the record is the one
    /// that was decided on (the slot drops its actions with any other), and the evidence holds now.
    /// A process that stood still finds its evidence old.
    fn may_send(&self, slot: &Slot, action: &Action) -> bool {
        let now = self.clock.both();
        self.leadership.leads()
            && !(self.paused)(&slot.drain.record)
            && slot.drain.may_send(action, &slot.policy, now).is_ok()
    }

    /// Whether the record was written or read lately enough for this action.
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
        // Chosen anew: of the same call, so that the permit is for it.
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
            // Another worker has sent it meanwhile: heartbeats need what it would take of the rate.
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
            // Sent for many at once.
            Action::SetDraining { .. } | Action::SetActive { .. } => Ok(None),
        }
    }

    /// Changes container instances of one cluster together, ten a call.
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

    /// One that ECS refuses does not hold up the others: the batch that it is in is sent again in
    /// halves, until it stands alone.
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
                // The permit was waited for, so the guard is asked again.
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
        // Nobody listens only once the controller has stopped.
        let _ = self.reports.send(Report { key, action, answer });
    }
}

/// The change of a container instance's state that an action is.
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
