//! A small cloud for this crate's own tests, and calls of its API without the SDK.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use serde_json::{Value, json};

use crate::autoscaling::{GroupSpec, HookSpec};
use crate::spec::{ServiceSpec, StandaloneSpec};
use crate::wire::Request;
use crate::{Cloud, Delivery, SimTime};

pub(crate) const CLUSTER: &str = "web";
pub(crate) const GROUP: &str = "web-group";
pub(crate) const HOOK: &str = "drain";

/// Creates three instances `i-1` to `i-3` of one group under one hook, in one cluster; a service
/// with three tasks, and a standalone task on each instance.
pub(crate) fn cloud() -> Cloud {
    let mut cloud = Cloud::new(1, "2026-01-05T09:00:00Z".parse().unwrap()).unwrap();
    cloud.checkers.our_hook(HOOK);
    cloud.add_group(GroupSpec {
        name: GROUP.to_owned(),
        cluster: Some(CLUSTER.to_owned()),
        desired: 3,
        instance_ids: Some((1..=3).map(|n| format!("i-{n}")).collect()),
        hooks: vec![HookSpec { name: HOOK.to_owned(), ..HookSpec::default() }],
        ..GroupSpec::default()
    });
    cloud.add_service(&ServiceSpec::replica(CLUSTER, "api", 3));
    for n in 1..=3 {
        cloud.run_task(&StandaloneSpec::new(CLUSTER, "job").on(format!("i-{n}"))).unwrap();
    }
    cloud.settle();
    cloud
}

/// Sends a call of the program under test, now.
pub(crate) fn send(cloud: &mut Cloud, target: &str, body: &Value) -> Delivery {
    let target = match target.split_once('.') {
        Some(_) => target.to_owned(),
        None => format!("DynamoDB_20120810.{target}"),
    };
    let body = Bytes::from(body.to_string());
    let now = cloud.now() + SimTime::from_millis(10);
    cloud.handle(
        now,
        &Request { controller: true, target: Some(target), body, ..Request::default() },
    )
}

/// Sends a call of the program under test, and returns the answer's JSON.
pub(crate) fn ask(cloud: &mut Cloud, target: &str, body: &Value) -> Value {
    match send(cloud, target, body) {
        Delivery::Answer(reply) => serde_json::from_str(&reply.body).unwrap(),
        other @ (Delivery::Lost | Delivery::Never | Delivery::Waits(_) | Delivery::CallerDies) => {
            panic!("no answer: {other:?}")
        }
    }
}

/// Sends a call of ECS.
pub(crate) fn ecs(cloud: &mut Cloud, operation: &str, body: &Value) -> Value {
    ask(cloud, &format!("AmazonEC2ContainerServiceV20141113.{operation}"), body)
}

/// Sends a call of Auto Scaling. Returns its result in the log, and the answer's XML.
pub(crate) fn autoscaling(cloud: &mut Cloud, action: &str, fields: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action).append_pair("Version", "2011-01-01").extend_pairs(fields);
    let body = Bytes::from(form.finish());
    let now = cloud.now() + SimTime::from_millis(10);
    match cloud.handle(now, &Request { controller: true, body, ..Request::default() }) {
        Delivery::Answer(reply) => reply.body,
        other @ (Delivery::Lost | Delivery::Never | Delivery::Waits(_) | Delivery::CallerDies) => {
            panic!("no answer: {other:?}")
        }
    }
}

/// Creates a table with a key `key` and these items in DynamoDB's JSON.
pub(crate) fn table(cloud: &mut Cloud, items: &[Value]) {
    let table = json!({
        "TableName": "drains",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{ "AttributeName": "key", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "key", "KeyType": "HASH" }],
    });
    ask(cloud, "CreateTable", &table);
    for item in items {
        ask(cloud, "PutItem", &json!({ "TableName": "drains", "Item": item }));
    }
}

/// Returns the result in the last line of the log.
pub(crate) fn outcome(cloud: &Cloud) -> &str {
    &cloud.log.entries().last().unwrap().outcome
}

/// Returns a list in an answer.
pub(crate) fn list<'a>(answer: &'a Value, name: &str) -> Vec<&'a Value> {
    answer.get(name).and_then(Value::as_array).into_iter().flatten().collect()
}
