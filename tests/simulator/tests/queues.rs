//! Queues and their feeds, on the wire and without an SDK.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use aws_simulator::spec::{GroupSpec, HookSpec, QueueSpec, ServiceSpec, WarmPoolSpec};
use aws_simulator::{BEGIN, Cloud, Delivery, EventPlan, Feed, Reply, Request};
use serde_json::{Value, json};

const GROUP: &str = "shop-asg";
const QUEUE: &str = "drain-events";

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn instance(n: u32) -> String {
    format!("i-{n:017x}")
}

fn group() -> GroupSpec {
    GroupSpec {
        name: GROUP.to_owned(),
        cluster: Some("shop".to_owned()),
        desired: 2,
        instance_ids: Some((1..=2).map(instance).collect()),
        hooks: vec![HookSpec { name: "ecs-drain".to_owned(), ..HookSpec::default() }],
        ..GroupSpec::default()
    }
}

/// Creates a settled cloud with one queue and these feeds.
fn cloud(feed: &[Feed]) -> Cloud {
    let mut cloud = Cloud::new(7, "2026-01-05T09:00:00Z".parse().unwrap()).unwrap();
    cloud.add_queue(QueueSpec::new("dead"));
    cloud.add_queue(QueueSpec { feeds: feed.to_vec(), ..QueueSpec::new(QUEUE).redrive(2, "dead") });
    cloud.add_group(group());
    cloud.settle();
    cloud
}

fn ask(cloud: &mut Cloud, operation: &str, mut body: Value) -> Reply {
    if let Some(fields) = body.as_object_mut() {
        fields.entry("QueueUrl").or_insert_with(|| json!(aws_simulator::sqs::url_of(QUEUE)));
    }
    let target = Some(format!("AmazonSQS.{operation}"));
    let request =
        Request { controller: true, target, body: body.to_string().into(), ..Request::default() };
    let now = cloud.now();
    match cloud.handle(now, &request) {
        Delivery::Answer(reply) => reply,
        other @ (Delivery::Lost | Delivery::Never | Delivery::Waits(_) | Delivery::CallerDies) => {
            panic!("{operation}: {other:?}")
        }
    }
}

fn call(cloud: &mut Cloud, operation: &str, body: Value) -> Value {
    let reply = ask(cloud, operation, body);
    assert_eq!(reply.status, 200, "{operation}: {}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

/// Returns the code in the body and the code in the header.
fn refused(cloud: &mut Cloud, operation: &str, body: Value) -> (String, String) {
    let reply = ask(cloud, operation, body);
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    (body["__type"].as_str().unwrap().to_owned(), reply.query_error.unwrap())
}

fn receive(cloud: &mut Cloud) -> Vec<(String, String)> {
    let all = json!(["All"]);
    let body = json!({ "MaxNumberOfMessages": 10, "MessageSystemAttributeNames": all });
    let answer = call(cloud, "ReceiveMessage", body);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
    messages
        .iter()
        .map(|message| (text(&message["Body"]), text(&message["ReceiptHandle"])))
        .collect()
}

fn bodies(cloud: &Cloud) -> Vec<Value> {
    cloud
        .messages(QUEUE)
        .iter()
        .map(|message| serde_json::from_str(&message.body).unwrap())
        .collect()
}

fn of_type<'a>(bodies: &'a [Value], detail_type: &str) -> Vec<&'a Value> {
    bodies.iter().filter(|body| body["detail-type"] == detail_type).collect()
}

#[test]
fn only_the_newest_receipt_handle_deletes() {
    let mut cloud = cloud(&[]);
    cloud.send_message(QUEUE, "one").unwrap();
    let first = receive(&mut cloud);
    assert!(receive(&mut cloud).is_empty(), "hidden");
    cloud.advance(BEGIN + seconds(30));
    let second = receive(&mut cloud);
    assert_eq!((first[0].0.as_str(), second[0].0.as_str()), ("one", "one"));
    call(&mut cloud, "DeleteMessage", json!({ "ReceiptHandle": first[0].1 }));
    assert_eq!(cloud.messages(QUEUE).len(), 1, "it succeeds and deletes nothing");
    call(&mut cloud, "DeleteMessage", json!({ "ReceiptHandle": second[0].1 }));
    assert!(cloud.messages(QUEUE).is_empty());
    call(&mut cloud, "DeleteMessage", json!({ "ReceiptHandle": second[0].1 }));
}

#[test]
fn a_batch_fails_entry_by_entry() {
    let mut cloud = cloud(&[]);
    cloud.send_message(QUEUE, "one").unwrap();
    let handle = receive(&mut cloud)[0].1.clone();
    let entries =
        json!([{ "Id": "a", "ReceiptHandle": handle }, { "Id": "b", "ReceiptHandle": "nonsense" }]);
    let answer = call(&mut cloud, "DeleteMessageBatch", json!({ "Entries": entries }));
    assert_eq!(answer["Successful"], json!([{ "Id": "a" }]));
    assert_eq!(
        (&answer["Failed"][0]["Id"], &answer["Failed"][0]["Code"]),
        (&json!("b"), &json!("ReceiptHandleIsInvalid"))
    );
    assert!(cloud.messages(QUEUE).is_empty());
    let empty = refused(&mut cloud, "DeleteMessageBatch", json!({ "Entries": [] }));
    assert_eq!(empty.1, "AWS.SimpleQueueService.EmptyBatchRequest;Sender");
}

#[test]
fn a_message_received_too_often_goes_to_the_dead_letters() {
    let mut cloud = cloud(&[]);
    cloud.send_message(QUEUE, "poison").unwrap();
    for n in 0..2 {
        assert_eq!(receive(&mut cloud).len(), 1);
        cloud.advance(BEGIN + seconds(30 * (n + 1)));
    }
    assert!(cloud.dead_letters(QUEUE).is_empty());
    assert!(receive(&mut cloud).is_empty());
    let dead = cloud.dead_letters(QUEUE);
    assert_eq!((dead.len(), dead[0].body.as_str(), dead[0].sent_at), (1, "poison", BEGIN));
    let source = call(
        &mut cloud,
        "GetQueueAttributes",
        json!({ "AttributeNames": ["QueueArn", "RedrivePolicy"] }),
    );
    assert_eq!(dead[0].source.as_deref(), source["Attributes"]["QueueArn"].as_str());
    let policy: Value =
        serde_json::from_str(source["Attributes"]["RedrivePolicy"].as_str().unwrap()).unwrap();
    assert_eq!(policy["maxReceiveCount"], 2);
}

#[test]
fn visibility_can_be_changed_and_counted() {
    let mut cloud = cloud(&[]);
    cloud.send_message(QUEUE, "one").unwrap();
    let counts = |cloud: &mut Cloud| {
        let answer = call(cloud, "GetQueueAttributes", json!({ "AttributeNames": ["All"] }));
        let of = |name: &str| answer["Attributes"][name].as_str().unwrap().to_owned();
        (of("ApproximateNumberOfMessages"), of("ApproximateNumberOfMessagesNotVisible"))
    };
    assert_eq!(counts(&mut cloud), ("1".to_owned(), "0".to_owned()));
    let handle = receive(&mut cloud)[0].1.clone();
    assert_eq!(counts(&mut cloud), ("0".to_owned(), "1".to_owned()));
    let change = |seconds: u64| json!({ "ReceiptHandle": handle, "VisibilityTimeout": seconds });
    let far = refused(&mut cloud, "ChangeMessageVisibility", change(43_201));
    assert_eq!(far.1, "InvalidParameterValue;Sender");
    call(&mut cloud, "ChangeMessageVisibility", change(0));
    assert_eq!(counts(&mut cloud), ("1".to_owned(), "0".to_owned()));
    let visible = refused(&mut cloud, "ChangeMessageVisibility", change(60));
    assert_eq!(visible.1, "AWS.SimpleQueueService.MessageNotInflight;Sender");
}

#[test]
fn errors_are_named_twice() {
    let mut cloud = cloud(&[]);
    let nowhere =
        json!({ "QueueUrl": aws_simulator::sqs::url_of("nowhere"), "WaitTimeSeconds": 20 });
    let (shape, code) = refused(&mut cloud, "ReceiveMessage", nowhere);
    assert_eq!(
        (shape.as_str(), code.as_str()),
        ("com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue;Sender")
    );
    let many = refused(
        &mut cloud,
        "ReceiveMessage",
        json!({ "MaxNumberOfMessages": 11, "WaitTimeSeconds": 20 }),
    );
    assert_eq!(many.1, "InvalidParameterValue;Sender");
    let answer = call(&mut cloud, "GetQueueUrl", json!({ "QueueName": QUEUE }));
    assert_eq!(answer["QueueUrl"], aws_simulator::sqs::url_of(QUEUE));
}

#[test]
fn a_hook_sends_the_same_to_topic_and_event_bus() {
    let mut cloud = cloud(&[Feed::Sns { raw: true }, Feed::Sns { raw: false }, Feed::EventBridge]);
    assert!(cloud.messages(QUEUE).is_empty(), "queues are empty when the scenario begins");
    cloud.terminate(&instance(1), false).unwrap();
    cloud.advance(BEGIN + seconds(10));
    let token = cloud.world.autoscaling.pending_actions(&instance(1))[0].token.clone();
    let bodies = bodies(&cloud);
    let raw = bodies.iter().find(|body| body.get("Service").is_some()).unwrap();
    let wrapped = bodies.iter().find(|body| body["Type"] == "Notification").unwrap();
    let event = of_type(&bodies, "EC2 Instance-terminate Lifecycle Action")[0];
    let inner: Value = serde_json::from_str(wrapped["Message"].as_str().unwrap()).unwrap();
    assert_eq!(&inner, raw, "one notification, delivered to two subscriptions");
    for fields in [raw, &event["detail"]] {
        assert_eq!(fields["LifecycleActionToken"], token);
        assert_eq!(
            (&fields["EC2InstanceId"], &fields["AutoScalingGroupName"]),
            (&json!(instance(1)), &json!(GROUP))
        );
        assert_eq!(fields["LifecycleTransition"], "autoscaling:EC2_INSTANCE_TERMINATING");
        assert_eq!(
            (&fields["Origin"], &fields["Destination"]),
            (&json!("AutoScalingGroup"), &json!("EC2"))
        );
    }
    assert_eq!(
        (&raw["Service"], &raw["Time"]),
        (&json!("AWS Auto Scaling"), &json!("2026-01-05T09:00:03.000Z"))
    );
    assert_eq!(
        (&event["source"], &event["time"]),
        (&json!("aws.autoscaling"), &json!("2026-01-05T09:00:03Z"))
    );
    assert!(wrapped["Subject"].as_str().unwrap().contains("'TERMINATING'"));
}

#[test]
fn a_hook_that_is_put_sends_a_test() {
    let mut cloud = cloud(&[Feed::Sns { raw: true }]);
    cloud.put_hook(GROUP, HookSpec { name: "other".to_owned(), ..HookSpec::default() });
    cloud.advance(BEGIN + seconds(1));
    let bodies = bodies(&cloud);
    assert_eq!((bodies.len(), &bodies[0]["Event"]), (1, &json!("autoscaling:TEST_NOTIFICATION")));
    assert!(bodies[0].get("LifecycleActionToken").is_none());
}

#[test]
fn spot_warns_and_two_minutes_later_takes_the_instance() {
    let mut cloud = cloud(&[Feed::EventBridge]);
    cloud.recommend_rebalance(&instance(1));
    cloud.interrupt_spot(&instance(1));
    cloud.advance(BEGIN + seconds(119));
    let bodies = bodies(&cloud);
    let warning = of_type(&bodies, "EC2 Spot Instance Interruption Warning")[0];
    assert_eq!(
        warning["detail"],
        json!({ "instance-id": instance(1), "instance-action": "terminate" })
    );
    assert_eq!(
        warning["resources"],
        json!([format!("arn:aws:ec2:us-east-1a:instance/{}", instance(1))])
    );
    assert_eq!(of_type(&bodies, "EC2 Instance Rebalance Recommendation").len(), 1);
    let agent = |cloud: &Cloud| {
        let mut registered = cloud.world.ecs.instances_of("i-00000000000000001");
        registered.next().map(|(_, instance)| instance.agent_connected)
    };
    assert_eq!(agent(&cloud), Some(true));
    cloud.advance(BEGIN + seconds(120));
    assert_eq!(agent(&cloud), Some(false));
    cloud.advance(BEGIN + seconds(300));
    assert_eq!(
        cloud.lifecycle_state(&instance(1)).as_deref(),
        Some("Terminating:Wait"),
        "hooks hold the dead one"
    );
}

#[test]
fn state_changes_are_events_with_their_version() {
    let mut cloud = cloud(&[Feed::EventBridge]);
    cloud.add_service(&ServiceSpec::replica("shop", "web", 1));
    cloud.advance(BEGIN + seconds(60));
    let bodies = bodies(&cloud);
    let tasks = of_type(&bodies, "ECS Task State Change");
    let running = tasks.iter().find(|event| event["detail"]["lastStatus"] == "RUNNING").unwrap();
    assert_eq!(running["source"], "aws.ecs");
    assert_eq!(running["detail"]["group"], "service:web");
    assert!(running["detail"]["startedAt"].as_str().unwrap().ends_with('Z'), "{running}");
    assert_eq!(running["resources"][0], running["detail"]["taskArn"]);
    let instances = of_type(&bodies, "ECS Container Instance State Change");
    let detail = &instances.last().unwrap()["detail"];
    assert!(detail["ec2InstanceId"].as_str().unwrap().starts_with("i-"));
    assert_eq!(
        detail["remainingResources"][0],
        json!({ "name": "CPU", "type": "INTEGER", "integerValue": 3840 })
    );
    assert!(detail.get("runningTasksCount").is_none() && detail["version"].as_u64() > Some(1));
}

#[test]
fn a_plan_loses_doubles_delays_and_reorders() {
    let arrived = |plan: EventPlan| {
        let mut cloud = cloud(&[Feed::EventBridge]);
        cloud.events.plan = plan;
        for n in 0..200 {
            cloud.recommend_rebalance(&instance(n));
        }
        cloud.advance(BEGIN + seconds(1));
        let early = cloud.messages(QUEUE).len();
        cloud.advance(BEGIN + seconds(120));
        let ids = bodies(&cloud)
            .into_iter()
            .map(|body| body["detail"]["instance-id"].as_str().unwrap().to_owned());
        (early, ids.collect::<Vec<_>>())
    };
    assert_eq!(arrived(EventPlan::default()).0, 200);
    assert!(arrived(EventPlan { lose: 1.0, ..EventPlan::default() }).1.is_empty());
    let lossy = arrived(EventPlan { lose: 0.5, ..EventPlan::default() }).1.len();
    assert!((60..140).contains(&lossy), "{lossy}");
    assert_eq!(arrived(EventPlan { duplicate: 1.0, ..EventPlan::default() }).1.len(), 400);
    let (early, late) =
        arrived(EventPlan { delay: (seconds(30), seconds(90)), ..EventPlan::default() });
    assert_eq!((early, late.len()), (0, 200));
    assert!(!late.is_sorted(), "they overtake each other");
    assert_eq!(
        late,
        arrived(EventPlan { delay: (seconds(30), seconds(90)), ..EventPlan::default() }).1
    );
}

#[test]
fn the_event_of_an_instance_names_the_warm_pool_as_its_destination() {
    let mut cloud = cloud(&[]);
    cloud.add_queue(QueueSpec::new("bus").feed(Feed::EventBridge));
    cloud.add_group(GroupSpec {
        name: "pooled".to_owned(),
        instance_ids: Some(vec![instance(8), instance(9)]),
        warm_pool: Some(WarmPoolSpec { reuse_on_scale_in: true, min_size: 0 }),
        ..group()
    });
    cloud.advance(BEGIN + seconds(60));
    assert!(cloud.return_to_warm_pool(&instance(8)));
    cloud.advance(BEGIN + seconds(90));
    assert_eq!(cloud.lifecycle_state(&instance(8)).as_deref(), Some("Warmed:Pending:Wait"));
    cloud.replace_root_volume(&instance(9));
    cloud.advance(BEGIN + seconds(120));
    let bus: Vec<Value> =
        cloud.messages("bus").iter().map(|m| serde_json::from_str(&m.body).unwrap()).collect();
    let events = of_type(&bus, "EC2 Instance-terminate Lifecycle Action");
    let detail = |n: u32| {
        &events.iter().find(|e| e["detail"]["EC2InstanceId"] == json!(instance(n))).unwrap()["detail"]
    };
    assert_eq!(
        (&detail(8)["Origin"], &detail(8)["Destination"]),
        (&json!("AutoScalingGroup"), &json!("WarmPool"))
    );
    assert_eq!(
        (&detail(9)["Action"], &detail(9)["Destination"]),
        (&json!("ReplaceRootVolume"), &json!("AutoScalingGroup"))
    );
}
