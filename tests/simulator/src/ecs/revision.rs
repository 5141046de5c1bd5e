//! What a service was before its load balancers were changed: its tasks of then are registered as
//! they were.

use super::model::{Service, Task};
use crate::SimTime;

/// A revision of a service: where its tasks are registered. (Source: ECS API reference,
/// ServiceRevision.)
#[derive(Clone, Debug)]
pub struct Revision {
    /// The id of the deployment that made it, and of its tasks: `ecs-svc/<digits>`.
    pub deployment: String,
    /// Its task definition, `family:revision`.
    pub definition: String,
    /// Target group ARNs.
    pub target_groups: Vec<String>,
    /// Classic load balancer names.
    pub classics: Vec<String>,
    /// When it was made.
    pub created_at: SimTime,
}

impl Service {
    /// What it is now.
    pub fn revision(&self) -> Revision {
        Revision {
            deployment: self.deployment.clone(),
            definition: self.definition.clone(),
            target_groups: self.target_groups.clone(),
            classics: self.classics.clone(),
            created_at: self.deployed_at,
        }
    }

    /// The revision that a task of it runs.
    pub fn revision_of(&self, task: &Task) -> Revision {
        let earlier = self
            .earlier
            .iter()
            .find(|revision| task.started_by.as_ref() == Some(&revision.deployment));
        earlier.cloned().unwrap_or_else(|| self.revision())
    }
}
