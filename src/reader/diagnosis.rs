//! Reads possible causes for drains without progress, all of them together, and finds the causes of
//! each.
//!
//! Diagnoses are rare, and only for drains without progress, so little is cached: task definitions,
//! whose revisions never change. A call that is denied, throttled or fails is a cause of its own;
//! no other cause is concluded from the missing answer.

#[cfg(test)]
mod tests;

use crate::aws::ecs::{CapacityView, ServiceStateView, TaskDefinitionView};
use crate::aws::{AwsError, Described, ErrorClass, Session, TaskView};
use crate::clock::Clock;
use ecs_drain_state::diagnosis::{
    self as state, Cause, Constraint, Facts, InstanceFacts, Others, Protection, ServiceFacts,
    TargetFacts, TaskFacts,
};
use ecs_drain_state::{
    ContainerInstanceStatus, Facts as DrainFacts, Policy, Record, TargetSight, TaskKind, TaskSight,
};
use futures_util::future::join_all;
use jiff::Timestamp;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Other container instances of a cluster that are read, at most: ten calls.
const OTHERS: usize = 500;

/// Task definitions that are read at once.
const AT_ONCE: usize = 8;

/// Task definitions in the cache, at most: some hundred bytes each. When it is full, it is emptied.
const KEPT: usize = 4096;

/// One drain without progress.
pub(crate) struct Stuck {
    pub record: Record,
    pub policy: Policy,
    /// Tasks left at the last read; `None` if they were never listed.
    pub tasks: Option<Vec<StuckTask>>,
    /// Targets in the last answers of their balancers.
    pub targets: Vec<TargetFacts>,
    /// Time since which every agent of the instance is disconnected, if so.
    pub agent_lost_since: Option<Timestamp>,
}

/// Task that was left.
#[derive(Clone, Debug)]
pub(crate) struct StuckTask {
    pub arn: String,
    /// Name of its cluster.
    pub cluster: String,
    /// Last answer of ECS about it.
    pub sight: TaskSight,
}

impl Stuck {
    /// Collects a drain's facts for its diagnosis.
    pub(crate) fn of(
        record: &Record,
        policy: &Policy,
        facts: &DrainFacts,
        agent_lost_since: Option<Timestamp>,
    ) -> Stuck {
        let listed = facts.instances.iter().all(|one| one.discovered.is_some() || one.is_gone());
        let cluster = |on: usize| {
            let arn = &facts.instances.get(on)?.arn;
            record
                .container_instances
                .iter()
                .find(|mine| mine.arn == *arn)
                .map(|mine| mine.cluster.clone())
        };
        let tasks = facts.tasks_there().filter_map(|(arn, task)| {
            Some(StuckTask {
                arn: arn.to_owned(),
                cluster: cluster(task.on)?,
                sight: task.sight.as_ref()?.1.clone(),
            })
        });
        let targets = record.obligations.iter().filter_map(|obligation| {
            let (_, TargetSight::Present { state, draining, .. }) =
                facts.target(obligation)?.sight.as_ref()?
            else {
                return None;
            };
            Some(TargetFacts {
                name: obligation.to_string(),
                state: state.clone(),
                draining: *draining,
                delay_seconds: obligation.delay_seconds,
                draining_since: obligation.draining_since,
            })
        });
        Stuck {
            tasks: listed.then(|| tasks.collect()),
            targets: targets.collect(),
            record: record.clone(),
            policy: policy.clone(),
            agent_lost_since,
        }
    }
}

/// Cache between diagnoses. Losing it costs only calls.
#[derive(Default)]
pub(crate) struct DiagnosisCache {
    definitions: RefCell<BTreeMap<String, TaskDefinitionView>>,
}

impl DiagnosisCache {
    /// Returns a task definition, if it was read.
    pub(super) fn definition(&self, arn: Option<&str>) -> Option<TaskDefinitionView> {
        self.definitions.borrow().get(arn?).cloned()
    }
}

/// Returns the causes for each of these drains by the record's key, the most decisive cause first.
pub(crate) async fn diagnose(
    session: &Session,
    clock: &Clock,
    cache: &DiagnosisCache,
    stuck: &[&Stuck],
) -> BTreeMap<String, Vec<Cause>> {
    let mut clusters: BTreeMap<&str, Vec<&StuckTask>> = BTreeMap::new();
    for task in stuck.iter().flat_map(|stuck| stuck.tasks.iter().flatten()) {
        clusters.entry(&task.cluster).or_default().push(task);
    }
    let mut reads = BTreeMap::new();
    let session = &session.at_leisure();
    for (cluster, tasks) in clusters {
        reads.insert(cluster, read(session, cache, cluster, &tasks).await);
    }
    let now = clock.now();
    stuck
        .iter()
        .map(|stuck| (stuck.record.key(), state::diagnose(&cut(stuck, &reads, cache), now)))
        .collect()
}

/// Answers about one cluster.
#[derive(Default)]
pub(super) struct Reads {
    pub(super) services: BTreeMap<String, ServiceFacts>,
    others: Option<Others>,
    pub(super) protection: BTreeMap<String, Protection>,
    /// Tasks that are being stopped.
    tasks: BTreeMap<String, TaskView>,
    pub(super) throttled: BTreeSet<String>,
    pub(super) unreadable: BTreeMap<String, String>,
}

impl Reads {
    /// Returns the answer, or notes its error as a cause.
    pub(super) fn keep<T>(&mut self, answer: Result<T, AwsError>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) if error.class == ErrorClass::Throttled => {
                self.throttled.insert(error.call.iam_action.to_owned());
                None
            }
            Err(error) => {
                self.unreadable.insert(error.call.iam_action.to_owned(), error.to_string());
                None
            }
        }
    }

    /// Returns the items that were found, and notes errors of the others as causes. A missing item
    /// is gone, and no cause.
    pub(super) fn keep_found<T>(
        &mut self,
        action: &str,
        answer: Result<Described<T>, AwsError>,
    ) -> Option<Vec<T>> {
        let described = self.keep(answer)?;
        if let Some((what, reason)) = described.failed.first() {
            self.unreadable
                .insert(action.to_owned(), format!("{action}, which said of {what}: {reason}"));
        }
        Some(described.found)
    }
}

/// Reads one cluster, as far as these tasks require it.
async fn read(
    session: &Session,
    cache: &DiagnosisCache,
    cluster: &str,
    tasks: &[&StuckTask],
) -> Reads {
    let mut reads = Reads::default();
    let (stopping, staying): (Vec<&StuckTask>, Vec<&StuckTask>) =
        tasks.iter().partition(|task| task.sight.stopping);
    let stopping: Vec<String> = stopping.into_iter().map(|task| task.arn.clone()).collect();
    if !stopping.is_empty() {
        let answer = session.ecs.describe_tasks(cluster, &stopping).await;
        let found = reads.keep_found("ecs:DescribeTasks", answer).unwrap_or_default();
        reads.tasks = found.into_iter().map(|view| (view.arn.clone(), view)).collect();
    }
    let replicas = staying.into_iter().filter_map(|task| match &task.sight.kind {
        TaskKind::Replica(service) => Some((task.arn.clone(), service.clone())),
        TaskKind::Daemon(_) | TaskKind::Standalone => None,
    });
    let (replicas, names): (Vec<String>, BTreeSet<String>) = replicas.unzip();
    let mut states = Vec::new();
    if !replicas.is_empty() {
        let names: Vec<String> = names.into_iter().collect();
        let answer = session.ecs.service_states(cluster, &names, false).await;
        states = reads.keep_found("ecs:DescribeServices", answer).unwrap_or_default();
        read_deployments(session, &mut reads, &mut states).await;
        let answer = session.ecs.task_protection(cluster, &replicas).await;
        reads.protection = reads.keep(answer).unwrap_or_default();
        reads.others = others(session, cluster, &mut reads).await;
    }
    let definitions = states.iter().filter_map(|state| state.task_definition.clone());
    let definitions =
        definitions.chain(reads.tasks.values().filter_map(|view| view.task_definition.clone()));
    let definitions: BTreeSet<String> = definitions.collect();
    read_definitions(session, cache, &mut reads, definitions).await;
    for state in states {
        let facts = complete(session, cache, cluster, &mut reads, &state).await;
        reads.services.insert(state.name, facts);
    }
    reads
}

/// Adds the deployments in progress to their services.
pub(super) async fn read_deployments(
    session: &Session,
    reads: &mut Reads,
    states: &mut [ServiceStateView],
) {
    let wanted: Vec<String> = states.iter().filter_map(|state| state.deployment.clone()).collect();
    if wanted.is_empty() {
        return;
    }
    let answer = session.ecs.service_deployments(&wanted).await;
    let found = reads.keep_found("ecs:DescribeServiceDeployments", answer).unwrap_or_default();
    for state in states {
        let mine =
            found.iter().find(|deployment| state.deployment.as_ref() == Some(&deployment.arn));
        state.facts.rollout.deployment = mine.cloned();
    }
}

/// Reads the container instances on which ECS can place tasks.
async fn others(session: &Session, cluster: &str, reads: &mut Reads) -> Option<Others> {
    let answer = session.ecs.active_container_instances(cluster, OTHERS).await;
    let (arns, more) = reads.keep(answer)?;
    let described = reads.keep(session.ecs.capacity(cluster, &arns).await)?;
    // An instance without an answer may be the one with room.
    let more = more || !described.failed.is_empty();
    let active =
        |view: CapacityView| (view.status == ContainerInstanceStatus::Active).then_some(view.facts);
    let instances: Vec<InstanceFacts> = described.found.into_iter().filter_map(active).collect();
    Some(Others { instances, more })
}

/// Reads the task definitions that are not cached.
pub(super) async fn read_definitions(
    session: &Session,
    cache: &DiagnosisCache,
    reads: &mut Reads,
    mut wanted: BTreeSet<String>,
) {
    {
        let mut known = cache.definitions.borrow_mut();
        if known.len() > KEPT {
            known.clear();
        }
        wanted.retain(|arn| !known.contains_key(arn));
    }
    let wanted: Vec<String> = wanted.into_iter().collect();
    for some in wanted.chunks(AT_ONCE) {
        let answers = join_all(some.iter().map(|arn| session.ecs.task_definition(arn))).await;
        let mut go_on = true;
        for (arn, answer) in some.iter().zip(answers) {
            // If one is denied, all are: IAM does not distinguish task definitions for this call.
            go_on &= !answer.as_ref().is_err_and(|error| error.class == ErrorClass::Denied);
            if let Some(view) = reads.keep(answer) {
                cache.definitions.borrow_mut().insert(arn.clone(), view);
            }
        }
        if !go_on {
            return;
        }
    }
}

/// Completes a service's state: its own answer, the needs of its new tasks, and, if it matters, the
/// places of its tasks.
pub(super) async fn complete(
    session: &Session,
    cache: &DiagnosisCache,
    cluster: &str,
    reads: &mut Reads,
    state: &ServiceStateView,
) -> ServiceFacts {
    let mut facts = state.facts.clone();
    facts.need = cache.definition(state.task_definition.as_deref()).map(|view| view.need);
    if facts.constraints.contains(&Constraint::DistinctInstance) {
        facts.placed_on = placed_on(session, cluster, reads, &state.name).await;
    }
    facts
}

/// Returns the container instances that hold tasks of a service, or `None` if any of them is
/// unknown.
async fn placed_on(
    session: &Session,
    cluster: &str,
    reads: &mut Reads,
    service: &str,
) -> Option<BTreeSet<String>> {
    let answer = session.ecs.list_tasks_of_service(cluster, service).await;
    let arns = reads.keep(answer)?;
    let described = reads.keep(session.ecs.describe_tasks(cluster, &arns).await)?;
    let running = described.found.into_iter().filter(|task| task.last_status != "STOPPED");
    described
        .failed
        .is_empty()
        .then(|| running.filter_map(|task| task.container_instance).collect())
}

/// Selects the facts of one drain from the answers.
fn cut(stuck: &Stuck, reads: &BTreeMap<&str, Reads>, cache: &DiagnosisCache) -> Facts {
    let mut facts = Facts {
        daemon_tasks: stuck.policy.daemon_tasks,
        standalone_tasks: stuck.policy.standalone_tasks,
        agent_lost_since: stuck.agent_lost_since,
        targets: stuck.targets.clone(),
        delay_seconds: stuck
            .record
            .obligations
            .iter()
            .try_fold(0, |longest, o| Some(o.delay_seconds?.max(longest))),
        ..Facts::default()
    };
    let Some(sights) = &stuck.tasks else { return facts };
    let of = |task: &StuckTask| reads.get(task.cluster.as_str());
    facts.tasks = Some(sights.iter().filter_map(|sight| task(sight, of(sight), cache)).collect());
    let clusters: BTreeSet<&String> = sights.iter().map(|sight| &sight.cluster).collect();
    for (cluster, reads) in
        clusters.into_iter().filter_map(|cluster| Some((cluster, reads.get(cluster.as_str())?)))
    {
        let named = reads
            .services
            .iter()
            .map(|(name, service)| ((cluster.clone(), name.clone()), service.clone()));
        facts.services.extend(named);
        if let Some(mut others) = reads.others.clone() {
            others.instances.retain(|other| other.ec2_instance_id != stuck.record.instance_id);
            facts.others.insert(cluster.clone(), others);
        }
        facts.throttled.extend(reads.throttled.iter().cloned());
        facts.unreadable.extend(reads.unreadable.clone());
    }
    facts
}

/// Returns the facts of a task, with the status that was just read. A task that has stopped
/// meanwhile holds nothing up.
fn task(task: &StuckTask, reads: Option<&Reads>, cache: &DiagnosisCache) -> Option<TaskFacts> {
    let sight = &task.sight;
    let view = reads.and_then(|reads| reads.tasks.get(&task.arn));
    let definition = cache.definition(view.and_then(|view| view.task_definition.as_deref()));
    let seen = sight.protected_until.map(|until| Protection::On { until: Some(until) });
    let asked = reads.and_then(|reads| reads.protection.get(&task.arn)).copied();
    let status = view.map_or(&sight.last_status, |view| &view.last_status);
    (status != "STOPPED").then(|| TaskFacts {
        id: ecs_drain_state::sight::id(&task.arn).to_owned(),
        cluster: task.cluster.clone(),
        last_status: status.clone(),
        stopping: sight.stopping,
        kind: sight.kind.clone(),
        protection: asked.or(seen).unwrap_or_default(),
        stopping_at: view.and_then(|view| view.stopping_at),
        stop_timeout_seconds: definition.and_then(|definition| definition.stop_timeout_seconds),
    })
}
