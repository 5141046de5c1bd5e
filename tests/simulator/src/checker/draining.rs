//! The owner of each `DRAINING`: followed call by call, never read from the records of the program
//! under test.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::{Checkers, Violation, last};
use crate::SimTime;
use crate::cloud::World;
use crate::ecs::InstanceStatus;
use crate::wire::Call;
use crate::wire::json::{text, texts};

/// The time during which the owner of a `DRAINING` is uncertain. A program that finds `DRAINING` so
/// soon after someone else has set it may have read `ACTIVE` before: a read can lag by a minute,
/// and its consequences take time. No answer of ECS names the owner then. The same is true of a
/// `DRAINING` that was set so soon after the program under test has undone its own, or has
/// requested it: the request may have been applied whatever its answer was.
const AT_ONCE: Duration = Duration::from_secs(120);

/// Container instances, by id, and the owner of their `DRAINING`.
#[derive(Clone, Debug, Default)]
pub(super) struct Draining {
    /// Set by the program under test.
    ours: BTreeSet<String>,
    /// Made `ACTIVE` by someone while they were `DRAINING`: the program's reaction depends on the
    /// time of its reads.
    meddled: BTreeSet<String>,
    /// The moment at which someone else last set them to `DRAINING`.
    by_hand: BTreeMap<String, SimTime>,
    /// The moment at which the program under test last undid it.
    undone: BTreeMap<String, SimTime>,
    /// The moment at which the program under test last requested it.
    asked: BTreeMap<String, SimTime>,
}

impl Draining {
    /// Returns true if someone else has set it within [`AT_ONCE`].
    fn was_just_set(&self, now: SimTime, id: &str) -> bool {
        self.by_hand.get(id).is_some_and(|set| now.saturating_sub(*set) < AT_ONCE)
    }

    /// Returns true if the program under test has undone its own, or has requested it, within
    /// [`AT_ONCE`].
    fn may_be_taken_for_ours(&self, now: SimTime, id: &str) -> bool {
        let of = [self.undone.get(id), self.asked.get(id)];
        of.into_iter().flatten().any(|at| now.saturating_sub(*at) < AT_ONCE)
    }
}

impl Checkers {
    /// Notes and judges a call in which the program sets states of container instances.
    pub(super) fn sets_states(&mut self, now: SimTime, body: &Value, world: &World) {
        let cluster = last(text(body, "cluster").unwrap_or("default"));
        for id in texts(body, "containerInstances").into_iter().map(last) {
            let Some(instance) = world.ecs.ec2_of_instance(cluster, id) else { continue };
            let status = world
                .ecs
                .instances_of(instance)
                .find(|(_, one)| one.id == id)
                .map(|(_, one)| one.status);
            match (text(body, "status"), status) {
                (Some("DRAINING"), Some(InstanceStatus::Active)) => {
                    self.draining.ours.insert(id.to_owned());
                }
                (Some("DRAINING"), Some(InstanceStatus::Draining))
                    if self.draining.was_just_set(now, id) =>
                {
                    self.draining.meddled.insert(id.to_owned());
                }
                (Some("ACTIVE"), Some(InstanceStatus::Draining)) => {
                    self.draining.undone.insert(id.to_owned(), now);
                    let was_ours =
                        self.draining.ours.remove(id) || self.draining.meddled.contains(id);
                    if !was_ours {
                        let text = format!("{id} of {cluster} was set to DRAINING by someone else");
                        self.violated(now, "foreign DRAINING undone", instance, text);
                    }
                }
                _ => {}
            }
        }
    }

    /// Notes a request of the program for `DRAINING`, whatever its result.
    pub(crate) fn asks_for_draining(&mut self, now: SimTime, call: &Call) {
        if !call.controller || call.operation != "UpdateContainerInstancesState" {
            return;
        }
        if let Some(body) = call.json().filter(|body| text(body, "status") == Some("DRAINING")) {
            let ids = texts(body, "containerInstances").into_iter().map(|id| last(id).to_owned());
            self.draining.asked.extend(ids.map(|id| (id, now)));
        }
    }

    /// Notes that someone else sets the state of all container instances of an instance.
    pub(crate) fn set_by_hand(
        &mut self,
        now: SimTime,
        instance: &str,
        status: InstanceStatus,
        world: &World,
    ) {
        for id in world.ecs.instances_of(instance).map(|(_, one)| one.id.clone()) {
            if status == InstanceStatus::Draining {
                if self.draining.may_be_taken_for_ours(now, &id) {
                    self.draining.meddled.insert(id.clone());
                }
                self.draining.by_hand.insert(id, now);
            } else if status == InstanceStatus::Active && self.draining.ours.contains(&id) {
                self.draining.meddled.insert(id);
            }
        }
    }

    /// Requires that at the end no container instance of this instance is still `DRAINING` because
    /// of the program.
    pub fn must_be_undone(&mut self, instance_id: impl Into<String>) {
        self.must_be_undone.insert(instance_id.into());
    }

    /// Returns the violations of that.
    pub(super) fn not_undone(&self, now: SimTime, world: &World) -> Vec<Violation> {
        let mut left = Vec::new();
        for instance in &self.must_be_undone {
            let ours = world.ecs.instances_of(instance).filter(|(_, one)| {
                one.status == InstanceStatus::Draining
                    && self.draining.ours.contains(&one.id)
                    && !self.draining.meddled.contains(&one.id)
            });
            left.extend(ours.map(|(cluster, one)| Violation {
                at: now,
                checker: "DRAINING left behind",
                instance: instance.clone(),
                text: format!("{} of {cluster} is DRAINING, by the program", one.id),
            }));
        }
        left
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{CLUSTER, cloud, send};
    use crate::{Cloud, Fault, Rule};
    use serde_json::json;

    fn sets(cloud: &mut Cloud, status: &str) {
        let id = cloud.world.ecs.instances_of("i-1").next().unwrap().1.id.clone();
        let body = json!({ "cluster": CLUSTER, "containerInstances": [id], "status": status });
        send(cloud, "AmazonEC2ContainerServiceV20141113.UpdateContainerInstancesState", &body);
    }

    /// Returns the violations when the program requests `DRAINING`, someone sets it by hand
    /// `seconds` later, and the program undoes it.
    fn said_after(fault: Fault, seconds: u64) -> Vec<&'static str> {
        let mut cloud = cloud();
        cloud.faults.add(Rule::on("UpdateContainerInstancesState", fault).times(1));
        sets(&mut cloud, "DRAINING");
        cloud.advance(cloud.now() + SimTime::from_secs(seconds));
        cloud.set_container_instance_state("i-1", InstanceStatus::Draining);
        sets(&mut cloud, "ACTIVE");
        let said = cloud.violations().iter().map(|violation| violation.checker);
        said.filter(|checker| *checker == "foreign DRAINING undone").collect()
    }

    #[test]
    fn a_draining_may_be_taken_for_one_that_was_asked_for_in_vain_and_only_for_so_long() {
        for fault in [Fault::FailBefore, Fault::Hang, Fault::Http500, Fault::CrashBefore] {
            assert!(said_after(fault, 100).is_empty(), "{fault}");
            assert_eq!(said_after(fault, 130), ["foreign DRAINING undone"], "{fault}");
        }
    }
}
