//! Services, as far as drains care: whether they are daemons, and where they register their tasks.

use super::Reader;
use crate::aws::calls::DESCRIBE_SERVICES;
use crate::aws::{ServiceView, TaskView};
use ecs_drain_state::Mono;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// How long a service's description is believed. What a task is bound to does not change; what new tasks get does.
const LASTS: Duration = Duration::from_secs(300);

/// How long a description is kept that nobody asks for.
const KEPT: Duration = Duration::from_secs(3600);

/// Services in one call. (Source: ECS API reference, DescribeServices.)
const IN_A_CALL: usize = 10;

/// A service: its cluster's name and its own.
type Key = (String, String);

/// Services by cluster and name: when each was described, and as what; None where it no longer exists.
#[derive(Default)]
pub(super) struct ServiceCache(RefCell<BTreeMap<Key, Kept>>);

type Kept = (Mono, Option<Rc<ServiceView>>);

impl ServiceCache {
    /// What is known of a service: None where it is not, `Some(None)` where there is none.
    pub(super) fn get(&self, cluster: &str, name: &str) -> Option<Option<Rc<ServiceView>>> {
        self.0.borrow().get(&(cluster.to_owned(), name.to_owned())).map(|(_, view)| view.clone())
    }

    pub(super) fn prune(&self, now: Mono) {
        self.0.borrow_mut().retain(|_, (read, _)| now.since(*read) < KEPT);
    }
}

/// The service that a task says it belongs to.
pub(super) fn service_name(task: &TaskView) -> Option<&str> {
    task.group.as_deref()?.strip_prefix("service:")
}

/// Reads the services of these tasks that are not known well enough; gives what could not be read, by name.
pub(super) async fn know(reader: &Reader<'_>, cluster: &str, tasks: &[TaskView]) -> BTreeMap<String, String> {
    let now = reader.clock.mono();
    let names: BTreeSet<&str> = tasks.iter().filter_map(service_name).collect();
    let stale: Vec<String> = {
        let known = reader.caches.services.0.borrow();
        let fresh =
            |name: &str| known.get(&(cluster.to_owned(), name.to_owned())).is_some_and(|(read, _)| now < *read + LASTS);
        names.into_iter().filter(|name| !fresh(name)).map(str::to_owned).collect()
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
                unknown.insert(name.clone(), format!("ecs:DescribeServices said of {name}: {reason}"));
                continue;
            }
            let view = described.found.iter().find(|view| view.name == *name).cloned().map(Rc::new);
            known.insert((cluster.to_owned(), name.clone()), (began, view));
        }
    }
    // What was known before, and could not be read anew, is still better than nothing.
    unknown.retain(|name, _| reader.caches.services.get(cluster, name).is_none());
    unknown
}
