//! ARNs, ids, names and URLs, from messages, from the configuration and from the table.

use super::{ACCOUNT, REGION, assert_plain, message};
use ecs_drain::config::{Config, Given, names};
use ecs_drain::events::{Event, read};
use ecs_drain_state::record::key;
use ecs_drain_state::{Balancer, Obligation, Target};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Checks that an accepted text is used exactly as it was given, and is shown whole or shortened to
/// a part of it. Returns true if it is accepted.
pub fn arn(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    // One call each, although one would do: no part may be skipped.
    let accepted = [in_messages(&text), in_the_configuration(&text), in_keys(&text)];
    shown(&text);
    accepted.contains(&true)
}

fn event(kind: &str, source: &str, detail: &Value) -> Option<Event> {
    let body = json!({
        "source": source, "detail-type": kind, "account": ACCOUNT, "region": REGION,
        "time": "2026-01-05T09:00:00Z", "detail": detail,
    })
    .to_string();
    message(body.as_bytes());
    read(&body, ACCOUNT, REGION).ok()
}

fn in_messages(text: &str) -> bool {
    let cluster = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/web");
    let task = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/web/1");
    let detail = json!({ "clusterArn": cluster, "taskArn": text, "containerInstanceArn": null });
    let as_task = event("ECS Task State Change", "aws.ecs", &detail).map(|event| {
        let Event::TaskChanged { cluster, task, container_instance: None } = &event else {
            panic!("{event:?}")
        };
        assert_eq!((cluster.as_str(), task.as_str()), ("web", text));
    });
    let detail = json!({ "clusterArn": cluster, "taskArn": task, "containerInstanceArn": text });
    let as_container_instance = event("ECS Task State Change", "aws.ecs", &detail).map(|event| {
        let Event::TaskChanged { container_instance: Some(arn), .. } = &event else {
            panic!("{event:?}")
        };
        assert_eq!(arn, text);
    });
    let detail = json!({ "clusterArn": text, "taskArn": task });
    let as_cluster = event("ECS Task State Change", "aws.ecs", &detail).map(|event| {
        let Event::TaskChanged { cluster, .. } = &event else { panic!("{event:?}") };
        assert!(text.ends_with(&format!(":cluster/{cluster}")));
    });
    let detail = json!({ "instance-id": text, "instance-action": "terminate" });
    let as_instance =
        event("EC2 Spot Instance Interruption Warning", "aws.ec2", &detail).map(|event| {
            let Event::SpotInterruption { instance_id, .. } = &event else { panic!("{event:?}") };
            assert_eq!(instance_id, text);
        });
    [as_task, as_container_instance, as_cluster, as_instance].iter().any(Option::is_some)
}

fn in_the_configuration(text: &str) -> bool {
    // A JSON string is a string of TOML too, except for an escaped slash and for DEL, which is
    // written as it is.
    let quoted = Value::from(text).to_string().replace('\u{7f}', "\\u007f");
    let scope = |key: &str, value: &str| {
        let region =
            if key == "region" { String::new() } else { format!("region = \"{REGION}\"\n") };
        let hooks = if key == "hooks" { "" } else { "hooks = [\"ecs-drain\"]\n" };
        let text = format!("[[scope]]\n{region}{hooks}{key} = {value}\n");
        let config = Config::parse(&text, "arn.toml", &Given::default());
        config
            .ok()
            .map(|config| config.scopes.into_iter().next().expect("a configuration has a scope"))
    };
    let role = scope("role", &format!("{{ arn = {quoted} }}"));
    role.iter()
        .for_each(|scope| assert_eq!(scope.role.as_ref().map(|role| &*role.arn), Some(text)));
    let queue = scope("queue", &quoted);
    queue.iter().for_each(|scope| assert_eq!(scope.queue.as_deref(), Some(text)));
    let region = scope("region", &quoted);
    region.iter().for_each(|scope| assert_eq!(scope.region, text));
    let hook = scope("hooks", &format!("[{quoted}]"));
    hook.iter().for_each(|scope| assert!(scope.hooks.contains(text) && !text.contains(['*', '?'])));
    let cluster = scope("clusters", &format!("[{quoted}]"));
    cluster.iter().for_each(|scope| {
        let exact = scope.clusters.exact().map(|names| names[0].as_str());
        assert!(
            exact.is_none_or(|name| name == text) && (exact.is_some() != text.contains(['*', '?']))
        );
        assert!(exact.is_none() || scope.clusters.matches(text));
    });
    [role, queue, region, hook, cluster].iter().any(Option::is_some)
}

/// Checks that the parts of a table key can be read from it again.
fn in_keys(text: &str) -> bool {
    let fit = [names::controller_name(text), names::table_name(text), names::region(text)]
        .map(|name| name.is_ok());
    if fit[2] {
        let key = key(ACCOUNT, text, "i-0123456789abcdef0");
        assert_eq!(key.split('/').collect::<Vec<_>>(), [ACCOUNT, text, "i-0123456789abcdef0"]);
    }
    if fit[0] {
        assert!(!text.contains('/') && text.len() <= 64);
        assert_plain(text);
    }
    fit.contains(&true)
}

fn shown(text: &str) {
    for balancer in
        [Balancer::TargetGroup(text.to_owned()), Balancer::ClassicLoadBalancer(text.to_owned())]
    {
        let obligation =
            Obligation::new(balancer, Target::Ip(text.to_owned()), Timestamp::UNIX_EPOCH);
        assert!(obligation.to_string().starts_with(&format!("{text} in ")));
        assert!(obligation.is_same(&obligation.clone()));
    }
    assert!(text.ends_with(ecs_drain_state::sight::id(text)));
}
