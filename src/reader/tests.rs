//! Answers to reads that the simulated world never gives.
#![allow(clippy::unwrap_used)]

use super::search::one_cluster;
use super::targets::owner;
use super::tasks::discover;
use super::*;
use crate::aws::calls::LIST_CONTAINER_INSTANCES;
use crate::aws::tests::{json_error, session};
use crate::config::Policies;
use crate::fleet::tests::opened;
use futures_util::future::join;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// One container instance and one task, as ECS writes their ARNs in the new form and in the old
/// one.
const NEW: &str = "arn:aws:ecs:eu-west-1:123456789012:container-instance/web/c1";
const OLD: &str = "arn:aws:ecs:eu-west-1:123456789012:container-instance/c1";
const NEW_TASK: &str = "arn:aws:ecs:eu-west-1:123456789012:task/web/t1";
const OLD_TASK: &str = "arn:aws:ecs:eu-west-1:123456789012:task/t1";

/// Account whose AWS gives canned answers.
struct World {
    session: Session,
    seen: Arc<Mutex<Vec<String>>>,
    clock: Clock,
    clusters: Patterns,
    fleet: Fleet,
    searches: Searches,
    caches: Caches,
    leadership: Leadership,
}

impl World {
    /// Creates a world with one drain, of the container instance [`NEW`].
    async fn new(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> World {
        let (session, seen) = session(answer).await;
        let clock = Clock::start(None);
        let leadership = Leadership::none(clock.clone());
        let fleet = Fleet::new(Policies::default());
        fleet.learn(opened("i-1", "web", NEW), clock.mono());
        let (clusters, searches, caches) =
            (Patterns::all(), Searches::default(), Caches::default());
        World { session, seen, clock, clusters, fleet, searches, caches, leadership }
    }

    fn reader(&self) -> Reader<'_> {
        Reader {
            session: &self.session,
            clock: &self.clock,
            clusters: &self.clusters,
            fleet: &self.fleet,
            searches: &self.searches,
            caches: &self.caches,
            leadership: &self.leadership,
        }
    }

    /// Returns the number of calls of this operation.
    fn count(&self, operation: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|request| request.contains(operation)).count()
    }
}

/// The task, described in the old form, with an address of its own.
fn described() -> (u16, String) {
    let task = format!(
        r#"{{"tasks":[{{"taskArn":"{OLD_TASK}","containerInstanceArn":"{OLD}","lastStatus":"RUNNING",
            "desiredStatus":"RUNNING","containers":[{{"networkInterfaces":[{{"privateIpv4Address":"10.0.0.7"}}]}}]}}]}}"#
    );
    (200, task)
}

fn listed() -> (u16, String) {
    (200, format!(r#"{{"taskArns":["{NEW_TASK}"]}}"#))
}

fn denied() -> (u16, String) {
    json_error("AccessDeniedException", "no")
}

/// ECS lists ARNs in the new form here, and describes them in the old one.
#[tokio::test(start_paused = true)]
async fn arns_of_the_old_form_are_the_same_container_instances_and_tasks() {
    let world = World::new(|request| {
        if request.contains("DescribeTasks") {
            return described();
        }
        if request.contains("ListContainerInstances") {
            return (200, format!(r#"{{"containerInstanceArns":["{NEW}"]}}"#));
        }
        let view = format!(
            r#"{{"containerInstances":[{{"containerInstanceArn":"{OLD}","ec2InstanceId":"i-1","status":"ACTIVE"}}]}}"#
        );
        (200, view)
    })
    .await;
    let reader = world.reader();
    let found = discover(&reader, "web", &[NEW_TASK.to_owned()], Mono::START).await.unwrap();
    let arns: Vec<(&str, &str)> = found
        .iter()
        .flat_map(|(on, tasks)| tasks.iter().map(move |(arn, _)| (on.as_str(), arn.as_str())))
        .collect();
    assert_eq!(arns, [("c1", NEW_TASK)]);
    let (permit, _) = reader.turn(&LIST_CONTAINER_INSTANCES, Mono::START).await;
    let found =
        one_cluster(&reader, permit, Mono::START, "web", &["i-1".to_owned()], None).await.unwrap();
    let arns: Vec<(&str, &str)> =
        found.iter().map(|(id, one)| (id.as_str(), one.arn.as_str())).collect();
    assert_eq!(arns, [("i-1", NEW)]);
    assert!(world.searches.take_sight(NEW, Mono::START).is_some());
}

/// A description that fails once is repeated, so that the drains of the cluster get their answer. A
/// second failure fails the whole read.
#[tokio::test(start_paused = true)]
async fn a_failed_part_of_a_clusters_tasks_is_read_once_more() {
    for (failures, calls) in [(1, 2), (2, 2)] {
        let asked = AtomicUsize::new(0);
        let world = World::new(move |_| {
            if asked.fetch_add(1, Ordering::Relaxed) < failures { denied() } else { described() }
        })
        .await;
        let found = discover(&world.reader(), "web", &[NEW_TASK.to_owned()], Mono::START).await;
        assert_eq!((found.is_ok(), world.count("DescribeTasks")), (failures == 1, calls));
    }
}

/// The owner of an address is read at most every half minute, even if the read fails.
#[tokio::test(start_paused = true)]
async fn a_failed_read_of_owners_is_not_repeated_at_once() {
    let world =
        World::new(|request| if request.contains("ListTasks") { listed() } else { denied() }).await;
    let reader = world.reader();
    for _ in 0..3 {
        assert_eq!(owner(&reader, "web", "10.0.0.7").await, None);
    }
    assert_eq!((world.count("ListTasks"), world.count("DescribeTasks")), (1, 1));
    tokio::time::sleep(Duration::from_secs(31)).await;
    world.caches.prune(world.clock.mono());
    assert_eq!(owner(&reader, "web", "10.0.0.7").await, None);
    assert_eq!(world.count("ListTasks"), 2);
    let world =
        World::new(|request| if request.contains("ListTasks") { listed() } else { described() })
            .await;
    // Of two at once, one waits for the other's read.
    let reader = world.reader();
    let both = join(owner(&reader, "web", "10.0.0.7"), owner(&reader, "web", "10.0.0.8"));
    assert_eq!(both.await, (Some(OLD.to_owned()), None));
    assert_eq!(owner(&reader, "web", "10.0.0.7").await.as_deref(), Some(OLD));
    assert_eq!((world.count("ListTasks"), world.count("DescribeTasks")), (1, 1));
}
