//! The tasks of an instance, their services, and the registrations that those give it.

use super::{Caches, Counters, Subject, matters};
use crate::aws::{Desired, ServiceView, Session, TaskView};
use crate::controller::Clock;
use ecs_drain_state::{Balancer, ContainerInstanceSight, Mono, Obligation, Seen, Target, TaskKind, TaskSight};
use jiff::Timestamp;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// How long a listing that is known to show tasks may be shown again while ECS's counters say that tasks are there. An
/// empty listing is never shown again.
const LISTING_LASTS: Mono = Mono::from_secs(60);

/// How long a service's description is believed. What a task is bound to does not change; what new tasks get does.
const SERVICES_LAST: Mono = Mono::from_secs(300);

/// What was listed and described, by container instance and by cluster.
#[derive(Default)]
pub struct TaskCache {
    listings: RefCell<BTreeMap<String, Listing>>,
    services: RefCell<BTreeMap<(String, String), (Mono, Option<ServiceView>)>>,
}

impl TaskCache {
    /// Forgets a container instance whose drain is done.
    pub fn forget(&self, container_instance: &str) {
        self.listings.borrow_mut().remove(container_instance);
    }
}

#[derive(Clone)]
struct Listing {
    read: Mono,
    tasks: Vec<TaskView>,
}

/// What one look at an instance's tasks says.
pub(super) struct Looked {
    pub(super) tasks: Seen<Vec<TaskSight>>,
    pub(super) obligations: Seen<Vec<Obligation>>,
}

/// Looks at the tasks of one subject on all of its container instances.
pub(super) async fn look(
    session: &Session,
    clock: &Clock,
    caches: &Caches,
    subject: &Subject<'_>,
    instances: &Seen<Vec<(ContainerInstanceSight, Counters)>>,
) -> Looked {
    let instances = match instances {
        Seen::Yes(all) => all,
        Seen::Unknown(why) => return unknown(why.clone()),
    };
    let mut tasks = Vec::new();
    let mut obligations = Vec::new();
    for (mine, (sight, counters)) in subject.record.container_instances.iter().zip(instances) {
        let views = match listing(session, clock, caches, &mine.cluster, sight, *counters, subject).await {
            Ok(views) => views,
            Err(why) => return unknown(why),
        };
        let services = match services(session, clock, caches, &mine.cluster, &views).await {
            Ok(services) => services,
            Err(why) => return unknown(why),
        };
        let now = clock.now();
        for view in &views {
            let service = service_name(view).and_then(|name| services.get(name));
            if let Some(service) = service {
                add_obligations(&mut obligations, view, service, &subject.record.instance_id, now);
            }
            if view.last_status != "STOPPED" {
                tasks.push(task_sight(view, service, &mine.cluster));
            }
        }
    }
    Looked { tasks: Seen::Yes(tasks), obligations: Seen::Yes(obligations) }
}

fn unknown(why: String) -> Looked {
    Looked { tasks: Seen::Unknown(why.clone()), obligations: Seen::Unknown(why) }
}

/// Every task of a container instance: those that ECS wants running and those that it wants stopped, because a task
/// that is being stopped leaves the first list before its containers have ended. Running ones are listed first, so that
/// a task that changes over in between is in the second list. (Source: ECS API reference, ListTasks.)
async fn listing(
    session: &Session,
    clock: &Clock,
    caches: &Caches,
    cluster: &str,
    sight: &ContainerInstanceSight,
    counters: Counters,
    subject: &Subject<'_>,
) -> Result<Vec<TaskView>, String> {
    if sight.status.is_gone() {
        // ECS lists nothing for a container instance that it has forgotten; what was noted earlier stays in the record.
        return Ok(Vec::new());
    }
    if let Some(again) = caches.tasks.listings.borrow().get(&sight.arn) {
        let kept = again.tasks.iter().filter(|t| t.last_status != "STOPPED");
        let daemons = kept.clone().filter(|t| !matters_by(t, caches, cluster, subject)).count();
        let young = clock.mono() < again.read + LISTING_LASTS;
        if young && kept.count() > daemons && usize::try_from(counters.live).unwrap_or(usize::MAX) > daemons {
            return Ok(again.tasks.clone());
        }
    }
    let read = clock.mono();
    let mut arns = BTreeSet::new();
    for desired in [Desired::Running, Desired::Stopped] {
        let listed = session.ecs.list_tasks(cluster, Some(&sight.arn), desired).await.map_err(|e| e.to_string())?;
        arns.extend(listed);
    }
    let arns: Vec<String> = arns.into_iter().collect();
    let described = session.ecs.describe_tasks(cluster, &arns).await.map_err(|e| e.to_string())?;
    if let Some((arn, reason)) = described.failed.first() {
        return Err(format!("ecs:DescribeTasks said of {arn}: {reason}"));
    }
    // MISSING: a stopped task that ECS has forgotten since it was listed.
    let tasks: Vec<_> = described
        .found
        .into_iter()
        .filter(|t| t.container_instance.as_ref().is_none_or(|arn| *arn == sight.arn))
        .collect();
    caches.tasks.listings.borrow_mut().insert(sight.arn.clone(), Listing { read, tasks: tasks.clone() });
    Ok(tasks)
}

fn matters_by(task: &TaskView, caches: &Caches, cluster: &str, subject: &Subject<'_>) -> bool {
    let services = caches.tasks.services.borrow();
    let service = service_name(task)
        .and_then(|name| services.get(&(cluster.to_owned(), name.to_owned())))
        .and_then(|(_, view)| view.as_ref());
    matters(&task_sight(task, service, cluster), subject.policy)
}

/// The services of these tasks, by name; one that no longer exists is left out.
async fn services(
    session: &Session,
    clock: &Clock,
    caches: &Caches,
    cluster: &str,
    tasks: &[TaskView],
) -> Result<BTreeMap<String, ServiceView>, String> {
    let names: BTreeSet<&str> = tasks.iter().filter_map(service_name).collect();
    let now = clock.mono();
    let stale: Vec<String> = {
        let known = caches.tasks.services.borrow();
        let fresh = |name: &str| {
            known.get(&(cluster.to_owned(), name.to_owned())).is_some_and(|(read, _)| now < *read + SERVICES_LAST)
        };
        names.iter().filter(|name| !fresh(name)).map(|name| (*name).to_owned()).collect()
    };
    if !stale.is_empty() {
        let described = session.ecs.describe_services(cluster, &stale).await.map_err(|e| e.to_string())?;
        if let Some((name, reason)) = described.failed.first() {
            return Err(format!("ecs:DescribeServices said of {name}: {reason}"));
        }
        let mut known = caches.tasks.services.borrow_mut();
        for name in stale {
            let view = described.found.iter().find(|s| s.name == name).cloned();
            known.insert((cluster.to_owned(), name), (now, view));
        }
    }
    let known = caches.tasks.services.borrow();
    Ok(names
        .into_iter()
        .filter_map(|name| {
            let (_, view) = known.get(&(cluster.to_owned(), name.to_owned()))?;
            Some((name.to_owned(), view.clone()?))
        })
        .collect())
}

/// The service that a task says it belongs to.
fn service_name(task: &TaskView) -> Option<&str> {
    task.group.as_deref()?.strip_prefix("service:")
}

fn task_sight(task: &TaskView, service: Option<&ServiceView>, cluster: &str) -> TaskSight {
    // Whoever calls RunTask may set any group. Only a deployment's id in `startedBy` makes a task the service's own,
    // and only then is it believed to be a daemon, which may be ignored.
    let deployed = task.started_by.as_deref().is_some_and(|by| by.starts_with("ecs-svc/"));
    let kind = match (service_name(task), service) {
        (Some(name), Some(service)) if service.daemon && deployed => TaskKind::Daemon(name.to_owned()),
        (Some(name), _) => TaskKind::Replica(name.to_owned()),
        (None, _) => TaskKind::Standalone,
    };
    TaskSight {
        arn: task.arn.clone(),
        cluster: cluster.to_owned(),
        last_status: task.last_status.clone(),
        stopping: task.desired_status == "STOPPED",
        kind,
        protected_until: None,
    }
}

/// What a task's service has registered for it: its own address where it has one (awsvpc), else the instance.
///
/// Stopped tasks count too, as long as ECS remembers them: a registration can outlive its task.
fn add_obligations(
    obligations: &mut Vec<Obligation>,
    task: &TaskView,
    service: &ServiceView,
    instance_id: &str,
    now: Timestamp,
) {
    let targets: Vec<Target> = if task.ips.is_empty() {
        vec![Target::Instance(instance_id.to_owned())]
    } else {
        task.ips.iter().cloned().map(Target::Ip).collect()
    };
    for target_group in &service.target_groups {
        for target in &targets {
            note(obligations, Balancer::TargetGroup(target_group.clone()), target.clone(), now);
        }
    }
    for name in &service.classic {
        let target = Target::Instance(instance_id.to_owned());
        note(obligations, Balancer::ClassicLoadBalancer(name.clone()), target, now);
    }
}

fn note(obligations: &mut Vec<Obligation>, balancer: Balancer, target: Target, now: Timestamp) {
    let new = Obligation { balancer, target, delay_seconds: None, noted_at: now };
    if !obligations.iter().any(|o| o.is_same(&new)) {
        obligations.push(new);
    }
}
