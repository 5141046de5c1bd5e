//! The tasks of an instance, their services, and the registrations that those give it.

use super::{Caches, Counters, Subject, matters};
use crate::aws::{Desired, ServiceView, Session, TaskView};
use crate::controller::Clock;
use ecs_drain_state::{
    Balancer, ContainerInstanceSight, Mono, Obligation, Policy, Seen, Strategy, Target, TaskKind, TaskSight,
};
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// How long a listing is built upon while it shows tasks that matter. An empty listing is never shown again.
const LISTING_LASTS: Mono = Mono::from_secs(60);

/// The same where nothing can be listed any more once it is deregistered, so that a late listing is needed.
const LISTING_LASTS_BEFORE_DEREGISTRATION: Mono = Mono::from_secs(10);

/// How long a service's description is believed. What a task is bound to does not change; what new tasks get does.
const SERVICES_LAST: Mono = Mono::from_secs(300);

/// How many lists are read at once.
const AT_ONCE: usize = 8;

/// A service: its cluster's name and its own.
type ServiceKey = (String, String);

/// What was listed and described, by container instance and by cluster.
#[derive(Default)]
pub struct TaskCache {
    listings: RefCell<BTreeMap<String, Listing>>,
    /// By cluster and name: when it was described, and as what; None where it no longer exists.
    services: RefCell<BTreeMap<ServiceKey, (Mono, Option<ServiceView>)>>,
}

impl TaskCache {
    /// Forgets a container instance whose drain is done.
    pub fn forget(&self, container_instance: &str) {
        self.listings.borrow_mut().remove(container_instance);
    }

    /// Has a container instance listed anew at the next look. What is known of its tasks stays known.
    fn list_again(&self, container_instance: &str) {
        if let Some(listing) = self.listings.borrow_mut().get_mut(container_instance) {
            listing.read = None;
        }
    }
}

/// Every task of a container instance, as it was listed, and as each was last described.
#[derive(Clone, Default)]
struct Listing {
    /// When it was read; None where it was not read to its end: then it only names tasks that must still be asked for.
    read: Option<Mono>,
    tasks: Vec<TaskView>,
}

/// What one look at an instance's tasks says.
pub(super) struct Looked {
    /// When the oldest listing began that the rest is cut from.
    pub(super) listed: Mono,
    pub(super) tasks: Seen<Vec<TaskSight>>,
    pub(super) obligations: Seen<Vec<Obligation>>,
}

/// One container instance that is looked at.
struct Place<'a> {
    cluster: &'a str,
    arn: &'a str,
    policy: &'a Policy,
    counters: Counters,
    /// How long a listing of its tasks is built upon.
    listing_lasts: Mono,
    answer: Seen<Vec<TaskView>>,
}

/// What a place needs read.
enum Need {
    /// Nothing: tasks are there for certain.
    Nothing,
    /// The state of these tasks, which were not stopped when last described.
    States(Vec<String>),
    /// Everything, from the beginning.
    Listing,
}

/// Looks at the tasks of every subject on all of its container instances, as few calls as it takes.
pub(super) async fn look(
    session: &Session,
    clock: &Clock,
    caches: &Caches,
    subjects: &[Subject<'_>],
    instances: &[Seen<Vec<(ContainerInstanceSight, Counters)>>],
) -> Vec<Looked> {
    let mut places = Vec::new();
    for (subject, instances) in subjects.iter().zip(instances) {
        for (mine, (sight, counters)) in
            subject.record.container_instances.iter().zip(instances.known().into_iter().flatten())
        {
            // ECS lists nothing for a container instance that it has forgotten; what was noted stays in the record.
            if !sight.status.is_gone() {
                let (policy, counters) = (subject.policy, *counters);
                let answer = Seen::Unknown("not read yet".to_owned());
                let listing_lasts = match subject.record.strategy {
                    Strategy::Drain => LISTING_LASTS,
                    Strategy::Deregister => LISTING_LASTS_BEFORE_DEREGISTRATION,
                };
                places.push(Place { cluster: &mine.cluster, arn: &mine.arn, policy, counters, listing_lasts, answer });
            }
        }
    }
    read(session, clock, caches, &mut places).await;
    let services = services(session, clock, caches, &places).await;
    let answers: BTreeMap<&str, &Place<'_>> = places.iter().map(|place| (place.arn, place)).collect();
    let (now, ended) = (clock.now(), clock.mono());
    subjects
        .iter()
        .zip(instances)
        .map(|(subject, instances)| match instances {
            Seen::Yes(_) => Looked {
                listed: oldest(caches, subject, &answers).unwrap_or(ended),
                ..cut(subject, &answers, &services, now)
            },
            Seen::Unknown(why) => unknown(why.clone()),
        })
        .collect()
}

/// When the oldest listing began that was made of those of a subject's container instances that are there.
fn oldest(caches: &Caches, subject: &Subject<'_>, answers: &BTreeMap<&str, &Place<'_>>) -> Option<Mono> {
    let listings = caches.tasks.listings.borrow();
    let there = subject.record.container_instances.iter().filter(|one| answers.contains_key(one.arn.as_str()));
    there.filter_map(|one| listings.get(&one.arn)?.read).min()
}

/// What the reads say of one subject.
fn cut(
    subject: &Subject<'_>,
    answers: &BTreeMap<&str, &Place<'_>>,
    services: &Seen<BTreeMap<ServiceKey, ServiceView>>,
    now: Timestamp,
) -> Looked {
    let mut tasks = Vec::new();
    let mut obligations = Vec::new();
    for mine in &subject.record.container_instances {
        let Some(place) = answers.get(mine.arn.as_str()) else { continue };
        let views = match &place.answer {
            Seen::Yes(views) => views,
            Seen::Unknown(why) => return unknown(why.clone()),
        };
        let services = match services {
            Seen::Yes(services) => services,
            Seen::Unknown(why) if views.iter().any(|v| service_name(v).is_some()) => return unknown(why.clone()),
            Seen::Unknown(_) => &BTreeMap::new(),
        };
        for view in views {
            let service = service_name(view).and_then(|name| services.get(&(mine.cluster.clone(), name.to_owned())));
            if let Some(service) = service {
                add_obligations(&mut obligations, view, service, &subject.record.instance_id, now);
            }
            if view.last_status != "STOPPED" {
                tasks.push(task_sight(view, service, &mine.cluster));
            }
        }
    }
    Looked { listed: Mono::ZERO, tasks: Seen::Yes(tasks), obligations: Seen::Yes(obligations) }
}

fn unknown(why: String) -> Looked {
    Looked { listed: Mono::ZERO, tasks: Seen::Unknown(why.clone()), obligations: Seen::Unknown(why) }
}

/// Reads what each place needs. A place whose known tasks have all stopped is listed anew in the same look: only a
/// fresh listing can say that nothing is left.
async fn read(session: &Session, clock: &Clock, caches: &Caches, places: &mut [Place<'_>]) {
    let now = clock.mono();
    let mut listed = Vec::new();
    let mut asked = Vec::new();
    for (index, place) in places.iter_mut().enumerate() {
        match need(place, caches, now) {
            Need::Nothing => place.answer = kept(caches, place.arn),
            Need::States(arns) => asked.push((index, arns)),
            Need::Listing => listed.push(index),
        }
    }
    describe(session, caches, places, &asked).await;
    let stopped = asked.iter().map(|(index, _)| *index).filter(|index| {
        let place = &places[*index];
        place.answer.known().is_some_and(|tasks| !tasks.iter().any(|t| is_left(t, caches, place)))
    });
    listed.extend(stopped.collect::<Vec<_>>());
    let asked = list(session, clock, caches, places, &listed).await;
    describe(session, caches, places, &asked).await;
}

/// ECS's counters leave out every task that is stopping, so they can never say that nothing is left; they can say that
/// something is. A listing that shows tasks is built upon: nothing new can land on an instance that is drained, and
/// while it is not, a new task is found within [`LISTING_LASTS`].
fn need(place: &Place<'_>, caches: &Caches, now: Mono) -> Need {
    let listings = caches.tasks.listings.borrow();
    let is_young = |listing: &&Listing| listing.read.is_some_and(|read| now < read + place.listing_lasts);
    let Some(listing) = listings.get(place.arn).filter(is_young) else {
        return Need::Listing;
    };
    let running = listing.tasks.iter().filter(|t| t.last_status != "STOPPED");
    let left: Vec<String> = running.clone().filter(|t| is_left(t, caches, place)).map(|t| t.arn.clone()).collect();
    let ignored = running.count() - left.len();
    if left.is_empty() {
        Need::Listing
    } else if usize::try_from(place.counters.live).unwrap_or(usize::MAX) > ignored {
        Need::Nothing
    } else {
        Need::States(left)
    }
}

/// Whether a task still holds its drain up, as far as is known.
fn is_left(task: &TaskView, caches: &Caches, place: &Place<'_>) -> bool {
    let services = caches.tasks.services.borrow();
    let service = service_name(task)
        .and_then(|name| services.get(&(place.cluster.to_owned(), name.to_owned())))
        .and_then(|(_, view)| view.as_ref());
    task.last_status != "STOPPED" && matters(&task_sight(task, service, place.cluster), place.policy)
}

fn kept(caches: &Caches, arn: &str) -> Seen<Vec<TaskView>> {
    match caches.tasks.listings.borrow().get(arn) {
        Some(listing) => Seen::Yes(listing.tasks.clone()),
        None => Seen::Unknown(format!("the tasks of {arn} were not listed")),
    }
}

/// Lists places anew: the tasks that ECS wants running and those that it wants stopped, because a task that is being
/// stopped leaves the first list before its containers have ended. Running ones are listed first, so that a task that
/// changes over in between is in the second list. (Source: ECS API reference, ListTasks.)
///
/// Where the two reads lag, it can be in neither all the same: a task that is known is asked for until it has stopped.
async fn list(
    session: &Session,
    clock: &Clock,
    caches: &Caches,
    places: &mut [Place<'_>],
    indices: &[usize],
) -> Vec<(usize, Vec<String>)> {
    let wanted: Vec<_> = indices.iter().map(|index| (*index, places[*index].cluster, places[*index].arn)).collect();
    let lists: Vec<_> = stream::iter(wanted)
        .map(|(index, cluster, arn)| async move {
            let read = clock.mono();
            let mut found = BTreeSet::new();
            for desired in [Desired::Running, Desired::Stopped] {
                found.extend(session.ecs.list_tasks(cluster, Some(arn), desired).await?);
            }
            Ok::<_, crate::aws::AwsError>((index, read, found))
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut asked = Vec::new();
    for (index, answer) in indices.iter().zip(lists) {
        match answer {
            Ok((index, read, mut found)) => {
                let mut listings = caches.tasks.listings.borrow_mut();
                let listing = listings.entry(places[index].arn.to_owned()).or_default();
                listing.read = Some(read);
                listing.tasks.retain(|task| task.last_status != "STOPPED");
                found.extend(listing.tasks.iter().map(|task| task.arn.clone()));
                asked.push((index, found.into_iter().collect()));
            }
            Err(error) => {
                caches.tasks.list_again(places[*index].arn);
                places[*index].answer = Seen::Unknown(error.to_string());
            }
        }
    }
    asked
}

/// Describes these tasks of these places, a hundred a call whatever place they are of, and takes them over.
async fn describe(session: &Session, caches: &Caches, places: &mut [Place<'_>], asked: &[(usize, Vec<String>)]) {
    let mut clusters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (index, arns) in asked {
        clusters.entry(places[*index].cluster.to_owned()).or_default().extend(arns.iter().cloned());
    }
    let mut answers = BTreeMap::new();
    for (cluster, arns) in clusters {
        answers.insert(cluster.clone(), session.ecs.describe_tasks(&cluster, &arns).await);
    }
    for (index, arns) in asked {
        let place = &mut places[*index];
        let described = match answers.get(place.cluster) {
            Some(Ok(described)) => described,
            Some(Err(error)) => {
                caches.tasks.list_again(place.arn);
                place.answer = Seen::Unknown(error.to_string());
                continue;
            }
            None => continue,
        };
        if let Some((arn, reason)) = described.failed.iter().find(|(arn, _)| arns.contains(arn)) {
            caches.tasks.list_again(place.arn);
            place.answer = Seen::Unknown(format!("ecs:DescribeTasks said of {arn}: {reason}"));
            continue;
        }
        let mut listings = caches.tasks.listings.borrow_mut();
        let Some(listing) = listings.get_mut(place.arn) else { continue };
        // MISSING: a stopped task that ECS has forgotten since it was listed.
        listing.tasks.retain(|t| !arns.contains(&t.arn));
        let mine = described.found.iter().filter(|t| arns.contains(&t.arn));
        listing
            .tasks
            .extend(mine.filter(|t| t.container_instance.as_deref().is_none_or(|arn| arn == place.arn)).cloned());
        place.answer = Seen::Yes(listing.tasks.clone());
    }
}

/// The services of the tasks of these places, by cluster and name; one that no longer exists is left out.
async fn services(
    session: &Session,
    clock: &Clock,
    caches: &Caches,
    places: &[Place<'_>],
) -> Seen<BTreeMap<ServiceKey, ServiceView>> {
    let now = clock.mono();
    let mut stale: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for place in places {
        for name in place.answer.known().into_iter().flatten().filter_map(service_name) {
            let key = (place.cluster.to_owned(), name.to_owned());
            let known = caches.tasks.services.borrow();
            if known.get(&key).is_none_or(|(read, _)| now >= *read + SERVICES_LAST) {
                stale.entry(place.cluster).or_default().insert(name);
            }
        }
    }
    for (cluster, names) in stale {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let described = match session.ecs.describe_services(cluster, &names).await {
            Ok(described) => described,
            Err(error) => return Seen::Unknown(error.to_string()),
        };
        if let Some((name, reason)) = described.failed.first() {
            return Seen::Unknown(format!("ecs:DescribeServices said of {name}: {reason}"));
        }
        let mut known = caches.tasks.services.borrow_mut();
        for name in names {
            let view = described.found.iter().find(|s| s.name == name).cloned();
            known.insert((cluster.to_owned(), name), (now, view));
        }
    }
    let known = caches.tasks.services.borrow();
    Seen::Yes(known.iter().filter_map(|(key, (_, view))| Some((key.clone(), view.clone()?))).collect())
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
    let new = Obligation::new(balancer, target, now);
    if !obligations.iter().any(|o| o.is_same(&new)) {
        obligations.push(new);
    }
}
