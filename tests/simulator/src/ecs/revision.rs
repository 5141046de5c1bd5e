//! Revisions of a service whose load balancers were changed: tasks of an earlier one keep its
//! registrations.

use super::model::{Service, Task};
use crate::SimTime;

/// A revision of a service: the registrations of its tasks. (Source: ECS API reference,
/// ServiceRevision.)
#[derive(Clone, Debug)]
pub struct Revision {
    /// The id of the deployment that created it, and its tasks' `startedBy`: `ecs-svc/<digits>`.
    pub deployment: String,
    /// Its task definition, `family:revision`.
    pub definition: String,
    /// Target group ARNs.
    pub target_groups: Vec<String>,
    /// Classic load balancer names.
    pub classics: Vec<String>,
    /// The moment of its creation.
    pub created_at: SimTime,
}

impl Service {
    /// Returns the present revision.
    pub fn revision(&self) -> Revision {
        Revision {
            deployment: self.deployment.clone(),
            definition: self.definition.clone(),
            target_groups: self.target_groups.clone(),
            classics: self.classics.clone(),
            created_at: self.deployed_at,
        }
    }

    /// Returns the revision that a task of the service runs.
    pub fn revision_of(&self, task: &Task) -> Revision {
        let earlier = self
            .earlier
            .iter()
            .find(|revision| task.started_by.as_ref() == Some(&revision.deployment));
        earlier.cloned().unwrap_or_else(|| self.revision())
    }
}
