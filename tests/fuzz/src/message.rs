//! The body of a queue message, as anyone with write access to the queue can write it.

use super::{ACCOUNT, REGION, assert_plain};
use ecs_drain::events::{Broken, Event, read};

/// Checks that every body has an answer. An accepted body has the form of its kind and is of the
/// controller's account. Inside a notification of SNS, a body of a lifecycle hook has the same
/// content, and any other has no effect. A refusal is one line. Returns true if it is accepted.
pub fn message(data: &[u8]) -> bool {
    let body = String::from_utf8_lossy(data);
    let event = read(&body, ACCOUNT, REGION);
    match &event {
        Ok(event) => assert_well_formed(event),
        Err(Broken { why }) => assert_plain(why),
    }
    if body.len() < 100_000 {
        let inside = read(&in_sns(&body), ACCOUNT, REGION);
        match (&event, &inside) {
            (Ok(event), Ok(inside)) if event == inside && (is_of_a_hook(event) || !acts(event)) => {
            }
            (Ok(event), Ok(inside)) => {
                assert!(!is_of_a_hook(event) && !acts(inside), "within SNS it is {inside:?}")
            }
            (Err(_), Ok(inside)) => panic!("refused, but within SNS it is {inside:?}"),
            (Ok(_), Err(Broken { why })) => assert!(why.contains("SNS notifications"), "{why}"),
            (Err(_), Err(_)) => {}
        }
    }
    if event.as_ref().is_ok_and(acts) {
        let others = read(&body, "210987654321", REGION);
        assert!(!others.as_ref().is_ok_and(acts), "it is of two accounts: {others:?}");
    }
    event.is_ok()
}

/// Returns true if it can arrive through a topic.
fn is_of_a_hook(event: &Event) -> bool {
    matches!(event, Event::LifecycleAction { .. } | Event::TestNotification { .. })
}

fn acts(event: &Event) -> bool {
    !matches!(event, Event::NotForUs { .. })
}

fn in_sns(message: &str) -> String {
    serde_json::json!({ "Type": "Notification", "Message": message }).to_string()
}

fn assert_well_formed(event: &Event) {
    match event {
        Event::LifecycleAction { instance_id, group, hook, origin, destination, at: _ } => {
            assert_instance(instance_id);
            assert_name(group);
            assert_name(hook);
            origin.iter().chain(destination).for_each(|place| assert_name(place));
        }
        Event::TestNotification { group } => assert_name(group),
        Event::SpotInterruption { instance_id, action, at: _ } => {
            assert_instance(instance_id);
            assert_plain(action.as_str());
        }
        Event::RebalanceRecommendation { instance_id, at: _ } => assert_instance(instance_id),
        Event::TaskChanged { cluster, container_instance, task } => {
            assert_ecs_name(cluster);
            assert_arn(task, "task/");
            container_instance.iter().for_each(|arn| assert_arn(arn, "container-instance/"));
        }
        Event::ContainerInstanceChanged { cluster, container_instance, instance_id } => {
            assert_ecs_name(cluster);
            assert_arn(container_instance, "container-instance/");
            instance_id.iter().for_each(|id| assert_instance(id));
        }
        Event::NotForUs { what } => assert_plain(what),
    }
    assert_plain(event.name());
}

fn assert_instance(id: &str) {
    let digits = id.strip_prefix("i-").unwrap_or_default();
    let hexadecimal = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    assert!(matches!(digits.len(), 8 | 17) && hexadecimal, "no id of an instance: {id:?}");
}

/// Checks a name of Auto Scaling.
fn assert_name(name: &str) {
    assert!(
        (1..=255).contains(&name.chars().count()) && !name.contains(char::is_control),
        "no name: {name:?}"
    );
}

/// Checks the name of a cluster.
fn assert_ecs_name(name: &str) {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    assert!((1..=255).contains(&name.len()) && name.bytes().all(allowed), "no name: {name:?}");
}

fn assert_arn(arn: &str, kind: &str) {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    let ours = arn.contains(&format!(":ecs:{REGION}:{ACCOUNT}:"));
    assert!(
        arn.len() <= 2048 && ours && resource.starts_with(kind) && arn.is_ascii(),
        "no ARN of ours: {arn:?}"
    );
}
