//! Messages that are broken, forged, or meant for someone else: anyone with write access to the
//! queue can write anything.

use super::{left, queued, send};
use crate::harness::wall;
use crate::harness::{DEAD, HOOK, Scenario, add_bus, group, record, seconds};
use crate::scenarios::{A, B, PLAIN, cluster};
use crate::story::{no_violation, until, until_phase, while_running};
use aws_simulator::spec::{ClusterSpec, ServiceSpec};
use aws_simulator::{Cloud, Simulator};
use ecs_drain::store::Store;
use ecs_drain_state::Phase;
use serde_json::{Value, json};

const ACCOUNT: &str = "123456789012";
const REGION: &str = "us-east-1";
const LONG_AGO: &str = "2020-01-01T00:00:00Z";

/// An instance in a cluster that the configuration leaves out; others are in no cluster, or
/// unknown.
const LEFT_OUT: &str = "i-000000000000000e1";
const IN_NO_CLUSTER: &str = "i-000000000000000e2";
const NOBODYS: &str = "i-000000000000000e3";

/// Nothing waits; every instance is in service, and must stay so.
const QUIET: Scenario = Scenario {
    name: "quiet",
    config: queued!("[policy]\nrebalance = \"terminate\"\n"),
    world: |cloud| {
        add_bus(cloud);
        cluster(cloud, &[A, B]);
        cloud.add_service(&ServiceSpec::replica("web", "api", 2).times(seconds(5), seconds(5)));
    },
    begin: |_| {},
    ..PLAIN
};

/// Returns an event as EventBridge sends it.
pub fn event(
    source: &str,
    kind: &str,
    account: &str,
    region: &str,
    time: &str,
    detail: &Value,
) -> String {
    json!({
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": kind,
        "source": source,
        "account": account,
        "time": time,
        "region": region,
        "resources": [],
        "detail": detail,
    })
    .to_string()
}

/// Returns Spot's warning for an instance, sent at this moment.
pub fn spot(instance: &str, at: &str) -> String {
    let detail = json!({ "instance-id": instance, "instance-action": "terminate" });
    event("aws.ec2", "EC2 Spot Instance Interruption Warning", ACCOUNT, REGION, at, &detail)
}

fn rebalance(instance: &str, at: &str) -> String {
    let detail = json!({ "instance-id": instance });
    event("aws.ec2", "EC2 Instance Rebalance Recommendation", ACCOUNT, REGION, at, &detail)
}

fn waits(instance: &str, group: &str, hook: &str) -> Value {
    json!({
        "LifecycleActionToken": "87654321-4321-4321-4321-210987654321",
        "AutoScalingGroupName": group,
        "LifecycleHookName": hook,
        "EC2InstanceId": instance,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
    })
}

/// Returns the event that an instance waits under a hook, as EventBridge sends it for this account
/// and region.
fn lifecycle(account: &str, region: &str, detail: &Value) -> String {
    event(
        "aws.autoscaling",
        "EC2 Instance-terminate Lifecycle Action",
        account,
        region,
        LONG_AGO,
        detail,
    )
}

/// Returns the event that an instance of the configured group waits under the ecs-drain hook.
pub fn waiting(instance: &str) -> String {
    lifecycle(ACCOUNT, REGION, &waits(instance, "web-group", HOOK))
}

/// Returns the same message as the hook's topic sends it.
fn notification(account: &str, mut fields: Value, more: &[(&str, &str)]) -> String {
    fields["Service"] = json!("AWS Auto Scaling");
    fields["AccountId"] = json!(account);
    for (name, value) in more {
        fields[*name] = json!(value);
    }
    fields.to_string()
}

/// Returns a message as a topic delivers it.
fn in_sns(message: &str) -> String {
    json!({ "Type": "Notification", "Message": message }).to_string()
}

/// Returns bodies that cannot be understood.
fn broken() -> Vec<String> {
    let deep = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    let nested = deep("{\"a\":", "}", 20_000).replace(":}", ":1}");
    let mut wrapped = "not for us".to_owned();
    for _ in 0..4 {
        wrapped = in_sns(&wrapped);
    }
    vec![
        "hello".to_owned(),
        "{".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "{\"Service\":".to_owned(),
        deep("[", "]", 50_000),
        nested.clone(),
        format!("{{\"source\":\"aws.ec2\",\"detail-type\":\"x\",\"detail\":{nested}}}"),
        wrapped,
        "x".repeat(1_048_576),
        "x".repeat(1_048_577),
        lifecycle(ACCOUNT, REGION, &json!({ "EC2InstanceId": A })),
        lifecycle(ACCOUNT, REGION, &waits("i-../../oops", "web-group", HOOK)),
        lifecycle(ACCOUNT, REGION, &waits(A, "web\u{7}group", HOOK)),
        lifecycle(ACCOUNT, REGION, &json!([A, "web-group", HOOK])),
        spot(A, "tomorrow"),
        spot(&"i".repeat(5000), LONG_AGO),
    ]
}

/// Returns well-formed messages of other kinds, accounts and regions.
fn others(now: &str) -> Vec<String> {
    let ours = waits(A, "web-group", HOOK);
    let warning = json!({ "instance-id": A, "instance-action": "terminate" });
    let warns = |account, region| {
        event("aws.ec2", "EC2 Spot Instance Interruption Warning", account, region, now, &warning)
    };
    let mut launching = ours.clone();
    launching["LifecycleTransition"] = json!("autoscaling:EC2_INSTANCE_LAUNCHING");
    let stops = json!({ "instance-id": A, "state": "shutting-down" });
    vec![
        lifecycle("210987654321", REGION, &ours),
        lifecycle(ACCOUNT, "eu-west-1", &ours),
        warns("210987654321", REGION),
        warns(ACCOUNT, "eu-west-1"),
        notification("210987654321", ours.clone(), &[]),
        notification(ACCOUNT, ours, &[("Event", "autoscaling:EC2_INSTANCE_TERMINATE")]),
        notification(
            ACCOUNT,
            waits(A, "web-group", HOOK),
            &[("Event", "autoscaling:TEST_NOTIFICATION")],
        ),
        notification(ACCOUNT, launching, &[]),
        event("aws.ec2", "EC2 Instance State-change Notification", ACCOUNT, REGION, now, &stops),
        json!({ "Type": "SubscriptionConfirmation", "Message": "You have chosen to subscribe" })
            .to_string(),
        // Anyone who may publish to a topic can send this.
        in_sns(&spot(A, now)),
        in_sns(&rebalance(A, now)),
        in_sns(&in_sns(&spot(A, now))),
    ]
}

/// Checks that every instance is as it was, and that no drain was ever begun.
async fn expect_untouched(simulator: &Simulator, store: &Store, instances: &[&str]) {
    assert!(store.all().await.unwrap().is_empty(), "no record");
    simulator.with(|cloud| {
        for instance in instances {
            assert_eq!(cloud.lifecycle_state(instance).as_deref(), Some("InService"), "{instance}");
            let statuses = cloud.container_instance_status(instance);
            assert!(
                statuses.iter().all(|(_, status)| *status == "ACTIVE"),
                "{instance}: {statuses:?}"
            );
        }
    });
    no_violation(simulator);
}

#[test]
fn messages_that_nobody_can_read_end_in_the_dead_letter_queue_and_begin_no_drain() {
    let ((), simulator) = while_running(&QUIET, async |simulator: Simulator, store| {
        send(&simulator, &broken());
        until(&simulator, "all were tried", async || left(&simulator).is_empty()).await;
        expect_untouched(&simulator, &store, &[A, B]).await;
    });
    let dead: Vec<String> =
        simulator.with(|cloud| cloud.messages(DEAD).into_iter().map(|m| m.body).collect());
    let (mut dead, mut sent) = (dead, broken());
    dead.sort();
    sent.sort();
    assert!(dead == sent, "{} of {} are there", dead.len(), sent.len());
}

/// They become visible again every half minute, and delay nothing.
#[test]
fn messages_that_nobody_can_read_do_not_hold_up_those_that_matter() {
    let (late, simulator) = while_running(&QUIET, async |simulator: Simulator, store| {
        send(&simulator, &broken());
        tokio::time::sleep(seconds(10)).await;
        simulator.with(|cloud| cloud.terminate(A, true)).unwrap();
        let terminated = simulator.now();
        until(&simulator, "a drain begins", async || record(&store, A).await.is_some()).await;
        let late = simulator.now() - terminated;
        until_phase(&simulator, &store, Phase::Done).await;
        late
    });
    assert!(late < seconds(10), "it began after {late:?}");
    no_violation(&simulator);
}

#[test]
fn messages_for_others_are_deleted_and_begin_no_drain() {
    let ((), simulator) = while_running(&QUIET, async |simulator: Simulator, store| {
        send(&simulator, &others(&wall(&simulator).to_string()));
        until(&simulator, "all were taken", async || left(&simulator).is_empty()).await;
        tokio::time::sleep(seconds(60)).await;
        expect_untouched(&simulator, &store, &[A, B]).await;
    });
    assert_eq!(simulator.with(|cloud| cloud.messages(DEAD).len()), 0);
}

/// Adds instances that an event can name and that ecs-drain must not touch.
fn strangers(cloud: &mut Cloud) {
    (QUIET.world)(cloud);
    cloud.add_cluster(&ClusterSpec::new("payments"));
    cloud.add_group(group("payments-group", "payments", &[LEFT_OUT]));
    let mut spec = group("bare-group", "web", &[IN_NO_CLUSTER]);
    spec.cluster = None;
    cloud.add_group(spec);
}

#[test]
fn forged_messages_touch_nothing() {
    let scenario = Scenario {
        config: concat!("clusters = [\"web\"]\n", queued!("[policy]\nrebalance = \"terminate\"\n")),
        world: strangers,
        ..QUIET
    };
    let ((), simulator) = while_running(&scenario, async |simulator: Simulator, store| {
        let now = wall(&simulator).to_string();
        let mut forged = vec![
            lifecycle(ACCOUNT, REGION, &waits(A, "web-group", HOOK)),
            lifecycle(ACCOUNT, REGION, &waits(A, "web-group", "someone-elses")),
            lifecycle(ACCOUNT, REGION, &waits(A, "no-such-group", HOOK)),
            lifecycle(ACCOUNT, REGION, &waits(LEFT_OUT, "web-group", HOOK)),
            lifecycle(ACCOUNT, REGION, &waits(NOBODYS, "web-group", HOOK)),
            notification(ACCOUNT, waits(B, "web-group", HOOK), &[]),
        ];
        for instance in [LEFT_OUT, IN_NO_CLUSTER, NOBODYS] {
            forged.push(spot(instance, &now));
            forged.push(rebalance(instance, &now));
        }
        send(&simulator, &forged);
        until(&simulator, "all were taken", async || left(&simulator).is_empty()).await;
        tokio::time::sleep(seconds(60)).await;
        expect_untouched(&simulator, &store, &[A, B, LEFT_OUT, IN_NO_CLUSTER]).await;
    });
    assert_eq!(simulator.with(|cloud| cloud.messages(DEAD).len()), 0);
}
