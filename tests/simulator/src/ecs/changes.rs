//! State change events of tasks and container instances.
//!
//! Every change that increases `version` causes an event. Several changes at the same moment cause
//! one event, as AWS may do; the version shows how many there were (source: ECS developer guide,
//! ECS events).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Ecs;
use crate::SimTime;
use crate::events::{Notice, iso_times, millisecond_time};

/// Changes that have no event yet: cluster name and id.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// True if a queue takes these events.
    wanted: bool,
    tasks: BTreeSet<(String, String)>,
    instances: BTreeSet<(String, String)>,
}

impl Changes {
    /// Notes a change of a task.
    pub(super) fn task(&mut self, cluster: &str, id: &str) {
        if self.wanted {
            self.tasks.insert((cluster.to_owned(), id.to_owned()));
        }
    }

    /// Notes a change of a container instance.
    pub(super) fn instance(&mut self, cluster: &str, id: &str) {
        if self.wanted {
            self.instances.insert((cluster.to_owned(), id.to_owned()));
        }
    }
}

impl Ecs {
    /// Starts to note changes.
    pub(crate) fn tell_changes(&mut self) {
        self.changes.wanted = true;
    }

    /// Takes the events of all changes since the last call.
    pub(crate) fn take_notices(&mut self, now: SimTime) -> Vec<Notice> {
        let tasks = std::mem::take(&mut self.changes.tasks);
        let instances = std::mem::take(&mut self.changes.instances);
        let tasks = tasks.iter().filter_map(|(cluster, id)| self.task_event(now, cluster, id));
        let instances =
            instances.iter().filter_map(|(cluster, id)| self.instance_event(now, cluster, id));
        tasks.chain(instances).collect()
    }

    /// Returns an event with the API's task, in which times are texts and network interfaces have
    /// another type name (source: ECS developer guide, task state change events).
    fn task_event(&self, now: SimTime, cluster: &str, id: &str) -> Option<Notice> {
        let cluster = self.clusters.get(cluster)?;
        let mut detail = self.show_task(cluster, cluster.tasks.get(id)?);
        for attachment in
            detail.get_mut("attachments").and_then(Value::as_array_mut).into_iter().flatten()
        {
            if let Some(kind) = attachment.get_mut("type") {
                *kind = json!("eni");
            }
        }
        self.finish(now, &mut detail, &["tags"]);
        let resources = vec![self.task_arn(&cluster.name, id)];
        Some(Notice::Event {
            detail_type: "ECS Task State Change",
            source: "aws.ecs",
            resources,
            detail,
        })
    }

    /// Returns an event with the API's container instance and its cluster, without its counters
    /// (source: ECS developer guide, container instance state change events).
    fn instance_event(&self, now: SimTime, cluster: &str, id: &str) -> Option<Notice> {
        let cluster = self.clusters.get(cluster)?;
        let mut detail = self.show_instance(cluster, cluster.instances.get(id)?, false);
        if let Some(fields) = detail.as_object_mut() {
            fields.insert("clusterArn".to_owned(), json!(self.cluster_arn(&cluster.name)));
        }
        for list in ["registeredResources", "remainingResources"] {
            for resource in detail.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
            {
                only_its_own_value(resource);
            }
        }
        self.finish(
            now,
            &mut detail,
            &["runningTasksCount", "pendingTasksCount", "tags", "attachments"],
        );
        let resources = vec![self.instance_arn(&cluster.name, id)];
        Some(Notice::Event {
            detail_type: "ECS Container Instance State Change",
            source: "aws.ecs",
            resources,
            detail,
        })
    }

    fn finish(&self, now: SimTime, detail: &mut Value, without: &[&str]) {
        iso_times(detail);
        let Some(fields) = detail.as_object_mut() else { return };
        for name in without {
            fields.remove(*name);
        }
        fields.insert("updatedAt".to_owned(), json!(millisecond_time(self.start, now)));
    }
}

/// Reduces an event's resource to the value of its own type.
fn only_its_own_value(resource: &mut Value) {
    let Some(fields) = resource.as_object_mut() else { return };
    fields.remove("doubleValue");
    fields.remove("longValue");
    if fields.contains_key("stringSetValue") {
        fields.remove("integerValue");
    }
}
