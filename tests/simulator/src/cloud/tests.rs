#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::autoscaling::{RefreshSpec, RefreshStatus};
use crate::ecs::InstanceStatus;
use crate::testing::{CLUSTER, GROUP, cloud};

fn later(cloud: &mut Cloud, seconds: u64) {
    cloud.advance(cloud.now() + SimTime::from_secs(seconds));
}

fn services_on(cloud: &Cloud, instance: &str) -> usize {
    cloud
        .containers_running(instance)
        .iter()
        .filter(|container| container.service.is_some())
        .count()
}

#[test]
fn anyone_can_set_a_container_instance_draining_and_active_again() {
    let mut cloud = cloud();
    let status = |cloud: &Cloud| cloud.container_instance_status("i-1")[0].1;
    assert_eq!(cloud.set_container_instance_state("i-1", InstanceStatus::Draining), 1);
    assert_eq!(status(&cloud), "DRAINING");
    later(&mut cloud, 600);
    assert_eq!(services_on(&cloud, "i-1"), 0, "its service's tasks have moved away");
    assert_eq!(cloud.set_container_instance_state("i-1", InstanceStatus::Active), 1);
    assert_eq!(status(&cloud), "ACTIVE");
    assert_eq!(
        cloud.set_container_instance_state("i-1", InstanceStatus::Inactive),
        0,
        "nobody can ask for that"
    );
    assert_eq!(status(&cloud), "ACTIVE");
    assert!(cloud.violations().is_empty(), "it was not the program under test");
}

#[test]
fn a_service_has_nowhere_to_go_until_capacity_comes_back() {
    let mut cloud = cloud();
    assert!(cloud.capacity_runs_out(GROUP));
    for instance in ["i-1", "i-2", "i-3"] {
        cloud.terminate(instance, false).unwrap();
        cloud.set_container_instance_state(instance, InstanceStatus::Draining);
    }
    later(&mut cloud, 1200);
    assert_eq!(cloud.instance_ids(GROUP).len(), 3, "the three that wait");
    let left: usize =
        ["i-1", "i-2", "i-3"].iter().map(|instance| services_on(&cloud, instance)).sum();
    assert_eq!(left, 3);
    cloud.capacity_comes_back(GROUP);
    later(&mut cloud, 1200);
    let left: usize =
        ["i-1", "i-2", "i-3"].iter().map(|instance| services_on(&cloud, instance)).sum();
    assert_eq!((cloud.instance_ids(GROUP).len(), left), (6, 0));
}

#[test]
fn an_instance_refresh_brings_new_instances_into_the_cluster() {
    let mut cloud = cloud();
    assert!(cloud.start_instance_refresh(
        GROUP,
        RefreshSpec { min_healthy_percentage: 100, ..RefreshSpec::default() }
    ));
    later(&mut cloud, 120);
    assert_eq!(cloud.world.ecs.cluster(CLUSTER).unwrap().instances.len(), 4);
    // No caller completes the hook's actions: each termination waits for an hour.
    later(&mut cloud, 4 * 3600);
    assert_eq!(cloud.instance_refresh(GROUP), Some(RefreshStatus::Successful));
    assert!(
        cloud.instance_ids(GROUP).iter().all(|id| !["i-1", "i-2", "i-3"].contains(&id.as_str()))
    );
    assert_eq!(
        cloud.losses().iter().filter(|loss| loss.text.contains("api")).count(),
        3,
        "{:?}",
        cloud.losses()
    );
}
