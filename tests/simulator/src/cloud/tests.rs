#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::autoscaling::{RefreshSpec, RefreshStatus};
use crate::ecs::InstanceStatus;
use crate::testing::{CLUSTER, GROUP, autoscaling, cloud, ecs, list};
use serde_json::json;

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

/// The API shows all that makes an instance old or new, and a refresh while one runs.
#[test]
fn a_changed_image_is_on_instances_that_are_launched_afterwards() {
    let mut cloud = cloud();
    assert!(cloud.change_image(GROUP, "ami-new", 2) && cloud.change_agent(GROUP, "1.90.0"));
    assert!(cloud.registrations_take(GROUP, Duration::from_secs(30)));
    let desired = [("AutoScalingGroupName", GROUP), ("DesiredCapacity", "4")];
    autoscaling(&mut cloud, "SetDesiredCapacity", &desired);
    let registered = |cloud: &mut Cloud| {
        let arns = ecs(cloud, "ListContainerInstances", &json!({ "cluster": CLUSTER }));
        let arns =
            json!({ "cluster": CLUSTER, "containerInstances": arns["containerInstanceArns"] });
        let answer = ecs(cloud, "DescribeContainerInstances", &arns);
        let agents = list(&answer, "containerInstances").into_iter().map(|instance| {
            let attributes = list(instance, "attributes").into_iter();
            let ami = attributes.clone().find(|attribute| attribute["name"] == "ecs.ami-id");
            (
                instance["versionInfo"]["agentVersion"].as_str().unwrap().to_owned(),
                ami.unwrap()["value"].as_str().unwrap().to_owned(),
            )
        });
        agents.collect::<Vec<_>>()
    };
    later(&mut cloud, 75);
    assert_eq!(registered(&mut cloud).len(), 3, "in service, and not registered yet");
    later(&mut cloud, 30);
    let new = ("1.90.0".to_owned(), "ami-new".to_owned());
    assert_eq!(registered(&mut cloud).iter().filter(|one| **one == new).count(), 1);

    let groups = autoscaling(&mut cloud, "DescribeAutoScalingGroups", &[]);
    let shown = |version: u32| groups.matches(&format!("<Version>{version}</Version>")).count();
    assert_eq!((shown(1), shown(2)), (3, 2), "three old instances, a new one and the group");

    assert!(cloud.registrations_fail(GROUP));
    cloud.set_group_desired(GROUP, 5).unwrap();
    later(&mut cloud, 3600);
    assert_eq!((cloud.instance_ids(GROUP).len(), registered(&mut cloud).len()), (5, 4));

    let refreshes = [("AutoScalingGroupName", GROUP)];
    let none = autoscaling(&mut cloud, "DescribeInstanceRefreshes", &refreshes);
    assert!(!none.contains("<Status>"), "{none}");
    assert!(cloud.start_instance_refresh(GROUP, RefreshSpec::default()));
    let one = autoscaling(&mut cloud, "DescribeInstanceRefreshes", &refreshes);
    assert!(one.contains("<Status>InProgress</Status>"), "{one}");
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
