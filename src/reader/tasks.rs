//! Reads tasks by name, a hundred a call, with the targets that their services register for them.

use super::services::{know, service_name};
use super::{Reader, workers};
use crate::aws::calls::DESCRIBE_TASKS;
use crate::aws::{AwsError, Described, ServiceView, TaskView};
use crate::fleet::{Choice, Slot};
use ecs_drain_state::sight::id;
use ecs_drain_state::{
    Answer, Balancer, Facts, Kind, Mono, Obligation, Read, Seen, Target, TaskAnswer, TaskKind,
    TaskSight,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Calls that wait for a permit at once, at most.
const WORKERS: usize = 4;

/// Tasks in one call. (Source: ECS API reference, DescribeTasks.)
pub(super) const IN_A_CALL: usize = 100;

/// Time by which tasks are read early if a call is made anyway.
const SOON: Duration = Duration::from_secs(8);

/// Tasks to read, by drain.
type Asked = BTreeMap<String, Vec<String>>;

pub(super) async fn sweep(reader: &Reader<'_>) {
    workers(WORKERS, || async {
        loop {
            let (permit, began) = reader.turn_of(Kind::Tasks, &DESCRIBE_TASKS).await;
            let Some((cluster, mut asked)) = first(reader) else {
                permit.give_back();
                continue;
            };
            fill(reader, &cluster, &mut asked);
            let arns: BTreeSet<String> = asked.values().flatten().cloned().collect();
            let arns: Vec<String> = arns.into_iter().collect();
            match reader.session.ecs.tasks(permit, &cluster, &arns).await {
                Ok(described) => {
                    let read = reader.read(began);
                    let answers = answers(reader, &cluster, &described).await;
                    let mut without = BTreeSet::new();
                    for (key, arns) in &asked {
                        if !hand_out(reader, read, key, arns, &answers, &described) {
                            without.insert(key.clone());
                        }
                    }
                    reader.end(Kind::Tasks, asked.keys(), &without);
                }
                Err(error) => reader.failed(Kind::Tasks, asked.keys(), began, &error),
            }
        }
    })
    .await;
}

fn first(reader: &Reader<'_>) -> Option<(String, Asked)> {
    let key = reader.fleet.pick_first(Kind::Tasks, reader.clock.mono())?;
    let mut all = reader.fleet.with(&key, |slot| unstopped(slot)).unwrap_or_default();
    all.sort();
    let Some((_, _, cluster)) = all.first().cloned() else {
        reader.ended(Kind::Tasks, [&key]);
        return None;
    };
    // If there are more than a call can hold, the oldest reads come first.
    let mine =
        all.into_iter().filter(|(.., of)| *of == cluster).take(IN_A_CALL).map(|(_, arn, _)| arn);
    let asked = Asked::from([(key, mine.collect())]);
    Some((cluster, asked))
}

/// Fills the call with the tasks of other drains in the cluster.
fn fill(reader: &Reader<'_>, cluster: &str, asked: &mut Asked) {
    let mut room = IN_A_CALL.saturating_sub(asked.values().map(Vec::len).sum());
    reader.fleet.pick(Kind::Tasks, reader.clock.mono(), SOON, |key, slot| {
        if room == 0 {
            return Choice::Stop;
        }
        if slot.drain.record.container_instances.iter().all(|mine| mine.cluster != cluster) {
            return Choice::Leave;
        }
        let mine: Vec<String> = unstopped(slot)
            .into_iter()
            .filter(|(.., of)| of == cluster)
            .map(|(_, arn, _)| arn)
            .collect();
        if mine.is_empty() || mine.len() > room {
            return Choice::Leave;
        }
        room -= mine.len();
        asked.insert(key.to_owned(), mine);
        Choice::Take
    });
}

/// Returns a drain's tasks that were not seen stopped, or whose targets are unknown: the time of
/// the last read, the ARN, and the cluster.
fn unstopped(slot: &Slot) -> Vec<(Mono, String, String)> {
    let (facts, record) = (&slot.drain.facts, &slot.drain.record);
    let cluster = |on: usize| {
        let arn = &facts.instances.get(on)?.arn;
        record
            .container_instances
            .iter()
            .find(|mine| id(&mine.arn) == id(arn))
            .map(|mine| mine.cluster.clone())
    };
    let open =
        facts.tasks.iter().filter(|(_, task)| task.stopped.is_none() || !task.registrations_known);
    let read = |sight: &Option<(Read, TaskSight)>| {
        sight.as_ref().map_or(Mono::START, |(read, _)| read.began)
    };
    open.filter_map(|(arn, task)| Some((read(&task.sight), arn.clone(), cluster(task.on)?)))
        .collect()
}

/// Answers by the id in the task's ARN, because ECS may write the ARN itself in an old form and in
/// a new one: its container instance, its status, and its registrations.
type Answers = BTreeMap<String, (Option<String>, TaskSight, Seen<Vec<(Balancer, Option<String>)>>)>;

/// Interprets each task that was found, with the registrations by its service.
async fn answers(reader: &Reader<'_>, cluster: &str, described: &Described<TaskView>) -> Answers {
    let unknown = know(reader, cluster, &described.found).await;
    let mut answers = BTreeMap::new();
    for view in &described.found {
        let name = service_name(view);
        let service = name.and_then(|name| reader.caches.services.get(cluster, name)).flatten();
        let balancers = match name.and_then(|name| unknown.get(name)) {
            Some(why) => Seen::Unknown(why.clone()),
            None => Seen::Yes(
                service.as_deref().map_or_else(Vec::new, |service| registers(view, service)),
            ),
        };
        let sight = task_sight(view, service.as_deref());
        answers
            .insert(id(&view.arn).to_owned(), (view.container_instance.clone(), sight, balancers));
    }
    answers
}

/// Passes the answers to a drain. Returns false if an answer was incomplete, so that it is read
/// again after a pause.
fn hand_out(
    reader: &Reader<'_>,
    read: Read,
    key: &str,
    arns: &[String],
    answers: &Answers,
    described: &Described<TaskView>,
) -> bool {
    let Some(record) = reader.fleet.record(key) else { return true };
    let now = reader.clock.now();
    let mut tasks = Vec::new();
    let (mut failed, mut whole) = (None, true);
    for arn in arns {
        if let Some((_, sight, balancers)) = answers.get(id(arn)) {
            let found = obligations(reader, balancers, &record.instance_id, now);
            whole &= matches!(found, Seen::Yes(_));
            tasks.push((arn.clone(), TaskAnswer::Found(sight.clone(), found)));
        } else if let Some((_, reason)) = described.failed.iter().find(|(failed, _)| failed == arn)
        {
            failed = Some(format!("ecs:DescribeTasks said of {arn}: {reason}"));
        } else {
            tasks.push((arn.clone(), TaskAnswer::Missing));
        }
    }
    reader.fleet.answer(key, read, Answer::Tasks(tasks));
    // A read that lags may not know a task that was listed a moment ago. Such a task stays open.
    let missing = |arn: &&String| !answers.contains_key(id(arn));
    let is_open = |facts: &Facts, arn: &String| {
        facts.tasks.get(arn).is_some_and(|task| task.stopped.is_none())
    };
    let open =
        |slot: &mut Slot| arns.iter().filter(missing).any(|arn| is_open(&slot.drain.facts, arn));
    whole &= !reader.fleet.with(key, open).unwrap_or(false);
    if let Some(why) = failed {
        reader.fleet.answer(key, read, Answer::Failed(Kind::Tasks, why));
        return false;
    }
    whole
}

fn obligations(
    reader: &Reader<'_>,
    balancers: &Seen<Vec<(Balancer, Option<String>)>>,
    instance_id: &str,
    now: Timestamp,
) -> Seen<Vec<Obligation>> {
    match balancers {
        Seen::Unknown(why) => Seen::Unknown(why.clone()),
        Seen::Yes(all) => Seen::Yes(
            all.iter()
                .map(|(balancer, ip)| {
                    let target = ip
                        .clone()
                        .map_or_else(|| Target::Instance(instance_id.to_owned()), Target::Ip);
                    reader.caches.balancers.complete(Obligation::new(balancer.clone(), target, now))
                })
                .collect(),
        ),
    }
}

/// Describes these tasks to discover those of the drains. Returns the tasks of the drains'
/// container instances, by the id in the ARN of each.
pub(super) async fn discover(
    reader: &Reader<'_>,
    cluster: &str,
    arns: &[String],
    due: Mono,
) -> Result<BTreeMap<String, Vec<(String, TaskAnswer)>>, AwsError> {
    let mut by_instance: BTreeMap<String, Vec<(String, TaskAnswer)>> = BTreeMap::new();
    // Only the EC2 instances of the drains' own container instances matter.
    let ec2: BTreeMap<String, String> = {
        let slots = reader.fleet.slots();
        let all = slots.values().flat_map(|slot| {
            let record = &slot.drain.record;
            record
                .container_instances
                .iter()
                .map(|mine| (id(&mine.arn).to_owned(), record.instance_id.clone()))
        });
        all.collect()
    };
    for batch in arns.chunks(IN_A_CALL) {
        let described = describe(reader, cluster, batch, due).await?;
        let now = reader.clock.now();
        let answers = answers(reader, cluster, &described).await;
        for arn in batch {
            let Some((Some(on), sight, balancers)) = answers.get(id(arn)) else { continue };
            let Some(ec2) = ec2.get(id(on)) else { continue };
            let found = obligations(reader, balancers, ec2, now);
            let mine = by_instance.entry(id(on).to_owned()).or_default();
            mine.push((arn.clone(), TaskAnswer::Found(sight.clone(), found)));
        }
    }
    Ok(by_instance)
}

/// Describes a part of a cluster's tasks. The container instance of a task without an answer is
/// unknown, so one failed part would leave every drain of the cluster without an answer. It is
/// therefore tried a second time, with a permit of its own.
async fn describe(
    reader: &Reader<'_>,
    cluster: &str,
    batch: &[String],
    due: Mono,
) -> Result<Described<TaskView>, AwsError> {
    let (permit, _) = reader.turn(&DESCRIBE_TASKS, due).await;
    match reader.session.ecs.tasks(permit, cluster, batch).await {
        Ok(described) => Ok(described),
        Err(error) => {
            tracing::debug!(%error, "Tasks not described; retrying once");
            let (permit, _) = reader.turn(&DESCRIBE_TASKS, due).await;
            reader.session.ecs.tasks(permit, cluster, batch).await
        }
    }
}

/// Returns the registrations that a task's service made for it: its own address if it has one
/// (awsvpc), else the instance.
///
/// Stopped tasks count too, as long as ECS remembers them: a registration can outlive its task.
pub(super) fn registers(task: &TaskView, service: &ServiceView) -> Vec<(Balancer, Option<String>)> {
    let targets: Vec<Option<String>> =
        if task.ips.is_empty() { vec![None] } else { task.ips.iter().cloned().map(Some).collect() };
    let groups = service.target_groups.iter().map(|arn| Balancer::TargetGroup(arn.clone()));
    let groups = groups
        .flat_map(|balancer| targets.iter().map(move |target| (balancer.clone(), target.clone())));
    let classic =
        service.classic.iter().map(|name| (Balancer::ClassicLoadBalancer(name.clone()), None));
    groups.chain(classic).collect()
}

/// Returns ECS's description of a task, with the kind that its service gives it.
pub(super) fn task_sight(task: &TaskView, service: Option<&ServiceView>) -> TaskSight {
    // Any caller of RunTask may set any group. Only a deployment's id in `startedBy` proves that
    // the task belongs to the service, and may therefore be ignored as a daemon's.
    let deployed = task.started_by.as_deref().is_some_and(|by| by.starts_with("ecs-svc/"));
    let kind = match (service_name(task), service) {
        (Some(name), Some(service)) if service.daemon && deployed => {
            TaskKind::Daemon(name.to_owned())
        }
        (Some(name), _) => TaskKind::Replica(name.to_owned()),
        (None, _) => TaskKind::Standalone,
    };
    TaskSight {
        last_status: task.last_status.clone(),
        stopping: task.desired_status == "STOPPED",
        kind,
        protected_until: None,
    }
}
