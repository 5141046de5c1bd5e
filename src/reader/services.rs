//! Reads services as far as drains need them: whether they are daemons, and where they register
//! their tasks.

use super::Reader;
use crate::aws::calls::DESCRIBE_SERVICES;
use crate::aws::{ServiceView, TaskView};
use ecs_drain_state::Mono;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// Time for which a service's description is used. The registrations of existing tasks do not
/// change; those of new tasks can.
const LASTS: Duration = Duration::from_secs(300);

/// Time after which a service is described again for a task of a deployment that the answer did not
/// name. Reads lag, and tasks can outlive their deployment.
const UNNAMED_LASTS: Duration = Duration::from_secs(60);

/// Time for which an unused description is kept.
const KEPT: Duration = Duration::from_secs(3600);

/// Services in one call. (Source: ECS API reference, DescribeServices.)
const IN_A_CALL: usize = 10;

/// Names of a service's cluster and of the service.
type Key = (String, String);

/// Services by cluster and name.
#[derive(Default)]
pub(super) struct ServiceCache(RefCell<BTreeMap<Key, Kept>>);

/// Description of one service.
struct Kept {
    /// Time of the read.
    read: Mono,
    /// The answer; `None` if the service no longer exists.
    view: Option<Rc<ServiceView>>,
    /// Deployments of the tasks for which it was described, even if the answer does not name them.
    asked: BTreeSet<String>,
}

impl Kept {
    fn names(&self, deployment: &str) -> bool {
        self.view
            .as_ref()
            .is_some_and(|view| view.deployments.iter().any(|named| named == deployment))
    }

    /// Checks that it was described after these deployments had begun. A newer deployment may
    /// register its tasks elsewhere.
    fn covers(&self, deployments: &BTreeSet<String>) -> bool {
        deployments.iter().all(|one| self.names(one) || self.asked.contains(one))
    }

    /// Checks that the description may be used for tasks of these deployments.
    fn is_fresh(&self, deployments: &BTreeSet<String>, now: Mono) -> bool {
        let lasts =
            if deployments.iter().all(|one| self.names(one)) { LASTS } else { UNNAMED_LASTS };
        now < self.read + lasts && self.covers(deployments)
    }
}

impl ServiceCache {
    /// Returns a service's description: `None` if unknown, `Some(None)` if the service does not
    /// exist.
    pub(super) fn get(&self, cluster: &str, name: &str) -> Option<Option<Rc<ServiceView>>> {
        self.0.borrow().get(&(cluster.to_owned(), name.to_owned())).map(|kept| kept.view.clone())
    }

    pub(super) fn prune(&self, now: Mono) {
        self.0.borrow_mut().retain(|_, kept| now.since(kept.read) < KEPT);
    }
}

/// Returns the name of the service that a task's group gives.
pub(super) fn service_name(task: &TaskView) -> Option<&str> {
    task.group.as_deref()?.strip_prefix("service:")
}

/// Returns the services of these tasks by name, with the deployments that started the tasks.
fn deployments(tasks: &[TaskView]) -> BTreeMap<&str, BTreeSet<String>> {
    let mut services: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for task in tasks {
        let Some(name) = service_name(task) else { continue };
        let started_by = task.started_by.iter().filter(|by| by.starts_with("ecs-svc/")).cloned();
        services.entry(name).or_default().extend(started_by);
    }
    services
}

/// Reads those services of these tasks whose description is missing or too old. Returns the errors
/// by name.
pub(super) async fn know(
    reader: &Reader<'_>,
    cluster: &str,
    tasks: &[TaskView],
) -> BTreeMap<String, String> {
    let now = reader.clock.mono();
    let wanted = deployments(tasks);
    let key = |name: &str| (cluster.to_owned(), name.to_owned());
    let stale: Vec<String> = {
        let known = reader.caches.services.0.borrow();
        let fresh = |name: &str, of: &BTreeSet<String>| {
            known.get(&key(name)).is_some_and(|kept| kept.is_fresh(of, now))
        };
        wanted
            .iter()
            .filter(|(name, of)| !fresh(name, of))
            .map(|(name, _)| (*name).to_owned())
            .collect()
    };
    let mut unknown = BTreeMap::new();
    for batch in stale.chunks(IN_A_CALL) {
        let (permit, began) = reader.turn(&DESCRIBE_SERVICES, reader.clock.mono()).await;
        let answer = reader.session.ecs.services(permit, cluster, batch).await;
        let described = match answer {
            Ok(described) => described,
            Err(error) => {
                unknown.extend(batch.iter().map(|name| (name.clone(), error.to_string())));
                continue;
            }
        };
        let mut known = reader.caches.services.0.borrow_mut();
        for name in batch {
            if let Some((_, reason)) = described.failed.iter().find(|(failed, _)| failed == name) {
                unknown
                    .insert(name.clone(), format!("ecs:DescribeServices said of {name}: {reason}"));
                continue;
            }
            let view = described.found.iter().find(|view| view.name == *name).cloned().map(Rc::new);
            let mut asked = wanted.get(name.as_str()).cloned().unwrap_or_default();
            // Deployments for which it was read a moment ago stay covered.
            let before = known.get(&key(name)).filter(|kept| began < kept.read + UNNAMED_LASTS);
            asked.extend(before.into_iter().flat_map(|kept| kept.asked.iter().cloned()));
            known.insert(key(name), Kept { read: began, view, asked });
        }
    }
    // If the read failed, an old description is used, except for tasks of a deployment that began
    // later.
    let known = reader.caches.services.0.borrow();
    let none = BTreeSet::new();
    unknown.retain(|name, _| {
        let of = wanted.get(name.as_str()).unwrap_or(&none);
        known.get(&key(name)).is_none_or(|kept| !kept.covers(of))
    });
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Mono {
        Mono::at(Duration::from_secs(second))
    }

    fn some(deployments: &str) -> BTreeSet<String> {
        deployments.split_whitespace().map(str::to_owned).collect()
    }

    /// A newly deployed service is described again. A service whose old tasks continue to run is
    /// not described for each of them.
    #[test]
    fn a_service_is_described_again_for_a_task_of_another_deployment() {
        let view = ServiceView {
            name: "api".to_owned(),
            daemon: false,
            target_groups: Vec::new(),
            classic: Vec::new(),
            revisions: Vec::new(),
            deployments: vec!["ecs-svc/2".to_owned()],
        };
        let kept = Kept { read: at(1000), view: Some(Rc::new(view)), asked: some("ecs-svc/1") };
        for (of, second, fresh, covers) in [
            ("", 1299, true, true),
            ("ecs-svc/2", 1299, true, true),
            ("ecs-svc/2", 1300, false, true),
            ("ecs-svc/1 ecs-svc/2", 1059, true, true),
            ("ecs-svc/1 ecs-svc/2", 1060, false, true),
            ("ecs-svc/2 ecs-svc/3", 1001, false, false),
        ] {
            let of = some(of);
            assert_eq!(
                (kept.is_fresh(&of, at(second)), kept.covers(&of)),
                (fresh, covers),
                "{of:?} at {second}"
            );
        }
    }
}
