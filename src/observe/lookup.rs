//! Which container instances are one EC2 instance? No API says so directly: every cluster is asked.

use crate::aws::{AwsError, Session};
use crate::controller::Clock;
use ecs_drain_state::{ContainerInstance, Lookup, Mono};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Searches that are wanted, and the newest complete one of each instance.
#[derive(Default)]
pub struct Lookups {
    wanted: RefCell<BTreeMap<String, Mono>>,
    found: RefCell<BTreeMap<String, Lookup>>,
}

impl Lookups {
    /// Asks for a search that begins at `since` or later.
    pub fn want(&self, instance_id: &str, since: Mono) {
        if self.found.borrow().get(instance_id).is_none_or(|l| l.begun < since) {
            self.wanted.borrow_mut().insert(instance_id.to_owned(), since);
        }
    }

    /// The newest complete search for an instance.
    pub fn get(&self, instance_id: &str) -> Option<Lookup> {
        self.found.borrow().get(instance_id).cloned()
    }

    /// The instances whose search may begin now.
    pub fn due(&self, now: Mono) -> Vec<String> {
        self.wanted.borrow().iter().filter(|(_, since)| **since <= now).map(|(id, _)| id.clone()).collect()
    }

    /// Keeps the answers of a complete search.
    pub fn answer(&self, answers: BTreeMap<String, Lookup>) {
        let mut wanted = self.wanted.borrow_mut();
        for (id, lookup) in answers {
            if wanted.get(&id).is_some_and(|since| *since <= lookup.begun) {
                wanted.remove(&id);
            }
            self.found.borrow_mut().insert(id, lookup);
        }
    }

    /// Forgets an instance whose drain is done.
    pub fn forget(&self, instance_id: &str) {
        self.wanted.borrow_mut().remove(instance_id);
        self.found.borrow_mut().remove(instance_id);
    }
}

/// Searches every cluster of the account and region for these EC2 instances, all at once.
///
/// # Errors
/// As soon as one cluster could not be read completely: an instance is "nowhere" only after complete reads.
pub async fn search(session: &Session, clock: &Clock, ids: &[String]) -> Result<BTreeMap<String, Lookup>, AwsError> {
    let begun = clock.mono();
    let mut found: BTreeMap<String, Vec<ContainerInstance>> = ids.iter().map(|id| (id.clone(), Vec::new())).collect();
    for cluster in session.ecs.list_clusters().await? {
        let name = cluster.rsplit('/').next().unwrap_or(&cluster);
        let arns = session.ecs.list_container_instances(name, ids).await?;
        if arns.is_empty() {
            continue;
        }
        let described = session.ecs.describe_container_instances(name, &arns).await?;
        if let Some((arn, reason)) = described.failed.into_iter().next() {
            return Err(AwsError::incomplete(&crate::aws::calls::DESCRIBE_CONTAINER_INSTANCES, &arn, &reason));
        }
        // A filter narrows the answer, it does not prove it: what came back is matched here.
        for view in described.found {
            let Some(list) = view.ec2_instance_id.as_ref().and_then(|id| found.get_mut(id)) else { continue };
            if !view.status.is_gone() {
                list.push(ContainerInstance {
                    cluster: name.to_owned(),
                    arn: view.arn,
                    draining_is_ours: false,
                    deregistered_at: None,
                    drained_for_seconds: 0,
                    gone_for_seconds: 0,
                });
            }
        }
    }
    Ok(found.into_iter().map(|(id, found)| (id, Lookup { begun, found })).collect())
}
