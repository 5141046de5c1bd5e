//! Messages that AWS sends, in each of the ways that they arrive, and forged ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use serde_json::{Value, json};

const ACCOUNT: &str = "123456789012";
const REGION: &str = "us-east-1";
const INSTANCE: &str = "i-0123456789abcdef0";
const CONTAINER_INSTANCE: &str =
    "arn:aws:ecs:us-east-1:123456789012:container-instance/web/d1d84798400f49f3b21cb61610c1e000";
const TASK: &str = "arn:aws:ecs:us-east-1:123456789012:task/web/c1ffa94f19a540ed8d9f7e1d2a5d3626";

/// A message and its expected event.
struct Sample {
    file: &'static str,
    text: &'static str,
    event: Event,
}

impl Sample {
    fn is_of_event_bridge(&self) -> bool {
        self.file.ends_with(".eventbridge.json")
    }

    fn is_json(&self) -> bool {
        self.file.ends_with(".json")
    }

    fn value(&self) -> Value {
        serde_json::from_str(self.text).unwrap()
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn action(instance: &str, when: &str, origin: Option<&str>, destination: Option<&str>) -> Event {
    Event::LifecycleAction {
        instance_id: instance.to_owned(),
        group: "web".to_owned(),
        hook: "ecs-drain".to_owned(),
        at: Some(at(when)),
        origin: origin.map(str::to_owned),
        destination: destination.map(str::to_owned),
    }
}

fn ignored(what: &str) -> Event {
    Event::NotForUs { what: what.to_owned() }
}

fn container_instance(arn: &str, instance: &str) -> Event {
    let (cluster, container_instance) = ("web".to_owned(), arn.to_owned());
    Event::ContainerInstanceChanged { cluster, container_instance, instance_id: some(instance) }
}

fn task(container_instance: Option<&str>) -> Event {
    Event::TaskChanged {
        cluster: "web".to_owned(),
        container_instance: container_instance.map(str::to_owned),
        task: TASK.to_owned(),
    }
}

macro_rules! samples {
    ($($file:literal => $event:expr,)*) => {
        vec![$(Sample { file: $file, text: include_str!(concat!("../../tests/all/events/", $file)), event: $event },)*]
    };
}

#[rustfmt::skip]
fn samples() -> Vec<Sample> {
    let group = || Some("AutoScalingGroup");
    let (second, milli) = ("2026-03-28T00:12:37Z", "2026-03-28T00:12:37.214Z");
    let notified = "2026-03-23T03:26:43.904Z";
    samples! {
        "terminating.eventbridge.json" => action(INSTANCE, second, None, None),
        "to-warm-pool.eventbridge.json" => action(INSTANCE, milli, group(), Some("WarmPool")),
        "replace-root-volume.eventbridge.json" => action(INSTANCE, milli, group(), group()),
        "launching.eventbridge.json" => ignored("EC2 Instance-launch Lifecycle Action of aws.autoscaling"),
        "terminate-successful.eventbridge.json" => ignored("EC2 Instance Terminate Successful of aws.autoscaling"),
        "terminating.auto-scaling.json" => action(INSTANCE, notified, group(), Some("EC2")),
        "terminating-before-warm-pools.auto-scaling.json" => action("i-4c87e963", notified, None, None),
        "launching.auto-scaling.json" => ignored("lifecycle action of transition autoscaling:EC2_INSTANCE_LAUNCHING"),
        "test.auto-scaling.json" => Event::TestNotification { group: "web".to_owned() },
        "test-as-transition.auto-scaling.json" => Event::TestNotification { group: "web".to_owned() },
        "terminated.auto-scaling.json" => ignored("notification autoscaling:EC2_INSTANCE_TERMINATE"),
        "terminating.auto-scaling.txt" => action(INSTANCE, "2026-01-19T00:36:26.533Z", None, None),
        "test.auto-scaling.txt" => Event::TestNotification { group: "web".to_owned() },
        "terminating.sns.json" => action(INSTANCE, notified, group(), Some("EC2")),
        "subscription-confirmation.sns.json" => ignored("SubscriptionConfirmation of SNS"),
        "unsubscribe-confirmation.sns.json" => ignored("UnsubscribeConfirmation of SNS"),
        "spot-interruption.eventbridge.json" => Event::SpotInterruption {
            instance_id: INSTANCE.to_owned(), action: InterruptionAction::Terminate, at: at(second),
        },
        "rebalance-recommendation.eventbridge.json" =>
            Event::RebalanceRecommendation { instance_id: INSTANCE.to_owned(), at: at(second) },
        "task.eventbridge.json" => task(Some(CONTAINER_INSTANCE)),
        "task-on-fargate.eventbridge.json" => task(None),
        "container-instance.eventbridge.json" => container_instance(CONTAINER_INSTANCE, INSTANCE),
        "container-instance-old-arn.eventbridge.json" => container_instance(
            "arn:aws:ecs:us-east-1:123456789012:container-instance/b54a2a04-046f-4331-9d74-3f6d7f6ca315", "i-f3a8506b",
        ),
        "service-action.eventbridge.json" => ignored("ECS Service Action of aws.ecs"),
    }
}

fn ours(body: &str) -> Result<Event, Broken> {
    let read = read(body, ACCOUNT, REGION);
    assert_fit(&read);
    read
}

/// Checks that an answer can go into a log, and that its names have the form of names.
fn assert_fit(read: &Result<Event, Broken>) {
    let text = format!("{read:?}");
    assert!(text.len() < 8_000, "{} bytes", text.len());
    let ids: Vec<&String> = match read {
        Err(Broken { why }) | Ok(Event::NotForUs { what: why }) => {
            assert!(why.len() < 1_500 && !why.contains(char::is_control), "{why}");
            vec![]
        }
        Ok(Event::LifecycleAction { instance_id, group, hook, .. }) => {
            assert!([group, hook].iter().all(|name| (1..=255).contains(&name.chars().count())));
            vec![instance_id]
        }
        Ok(Event::TestNotification { group }) => {
            assert!((1..=255).contains(&group.chars().count()));
            vec![]
        }
        Ok(
            Event::SpotInterruption { instance_id, .. }
            | Event::RebalanceRecommendation { instance_id, .. },
        ) => {
            vec![instance_id]
        }
        Ok(Event::TaskChanged { cluster, container_instance, task }) => {
            assert!(!cluster.is_empty() && task.starts_with("arn:"));
            assert!(container_instance.iter().all(|arn| arn.contains(":container-instance/")));
            vec![]
        }
        Ok(Event::ContainerInstanceChanged { cluster, container_instance, instance_id }) => {
            assert!(!cluster.is_empty() && container_instance.contains(":container-instance/"));
            instance_id.iter().collect()
        }
    };
    assert!(ids.iter().all(|id| id.starts_with("i-") && matches!(id.len(), 10 | 19)), "{ids:?}");
}

/// Wraps the message as SNS delivers it without raw delivery.
fn in_sns(message: &str) -> String {
    json!({
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:lifecycle",
        "Message": message,
        "Timestamp": "2026-03-28T00:12:38.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService.pem",
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
    })
    .to_string()
}

/// Returns the event expected through a topic, which may bring only lifecycle notifications.
fn through_a_topic(event: &Event) -> Event {
    match event.name() {
        "lifecycle-action" | "test-notification" | "not-for-us" => event.clone(),
        other => ignored(&format!("{other} through SNS")),
    }
}

#[test]
fn every_message_is_read_in_every_way_that_it_arrives() {
    for sample in samples() {
        let (event, of_a_topic) = (Ok(sample.event.clone()), Ok(through_a_topic(&sample.event)));
        assert_eq!(ours(sample.text), event, "{}", sample.file);
        assert_eq!(ours(&in_sns(sample.text)), of_a_topic, "{} in SNS", sample.file);
        if !sample.file.ends_with(".sns.json") {
            assert_eq!(
                ours(&in_sns(&in_sns(sample.text))),
                of_a_topic,
                "{} in SNS twice",
                sample.file
            );
        }
        if sample.is_json() {
            assert_eq!(ours(&sample.value().to_string()), event, "{} on one line", sample.file);
        }
    }
}

#[test]
fn every_file_is_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/events");
    let page = std::fs::read_to_string(format!("{folder}/README.md")).unwrap();
    let samples = samples();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if file != "README.md" {
            assert!(samples.iter().any(|sample| sample.file == file), "{file} is not read");
            assert!(page.contains(&format!("`{file}`")), "{file} has no source");
        }
    }
}

#[test]
fn events_of_another_account_or_region_are_ignored() {
    for sample in samples() {
        for text in [sample.text.to_owned(), in_sns(sample.text)] {
            let other = read(&text, "210987654321", REGION);
            assert!(matches!(other, Ok(Event::NotForUs { .. })), "{}: {other:?}", sample.file);
            let other = read(&text, ACCOUNT, "eu-west-1");
            if sample.is_of_event_bridge() {
                assert!(matches!(other, Ok(Event::NotForUs { .. })), "{}: {other:?}", sample.file);
            } else {
                assert_eq!(other, Ok(sample.event.clone()), "{}: it names no region", sample.file);
            }
        }
    }
    // An event of this account, about something of another one.
    let text = include_str!("../../tests/all/events/task.eventbridge.json");
    let text = text.replace("123456789012:task/", "210987654321:task/");
    assert!(
        ours(&text)
            .unwrap_err()
            .why
            .starts_with("taskArn is no task/… of this account and region: arn:aws:ecs:")
    );
}

#[test]
fn an_arn_of_no_partition_is_broken() {
    let text = include_str!("../../tests/all/events/task.eventbridge.json");
    for partition in ["aws", "aws-us-gov", "aws-cn", "aws-iso-b"] {
        let text = text.replace("\"arn:aws:", &format!("\"arn:{partition}:"));
        assert!(matches!(ours(&text), Ok(Event::TaskChanged { .. })), "{partition}");
    }
    for partition in ["", "Aws", "aw\u{fffd}", "\\u001b[31maws", "aws aws", "aws/"] {
        let text = text.replace("\"arn:aws:", &format!("\"arn:{partition}:"));
        assert!(
            ours(&text).unwrap_err().why.starts_with("clusterArn is no cluster/"),
            "{partition}"
        );
    }
}

#[test]
fn a_part_of_a_message_is_broken() {
    for sample in samples() {
        for text in [sample.text.to_owned(), in_sns(sample.text)] {
            let text = text.trim_end();
            for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
                let read = ours(&text[..end]);
                if text.starts_with('{') {
                    assert!(read.is_err(), "{} up to {end}: {read:?}", sample.file);
                }
            }
        }
    }
}

/// Collects every place in a value, as a JSON pointer.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                places(
                    value,
                    &format!("{here}/{}", key.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        Value::Array(list) => {
            for (n, value) in list.iter().enumerate() {
                places(value, &format!("{here}/{n}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn anything_in_any_place_has_an_answer() {
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("\u{202e}\u{0}\n\r\u{1b}[31m"),
        json!("i-0123456789abcdeg0"),
        json!("i-0123456789abcdef01"),
        json!("é".repeat(300)),
        json!("9999999999999-99-99T99:99:99Z"),
        json!("arn:aws:ecs:us-east-1:123456789012:task/../.."),
        json!([]),
        json!({}),
        json!([[["i-0123456789abcdef0"]]]),
        json!({ "Type": "Notification", "Message": "{}" }),
    ];
    for sample in samples().into_iter().filter(Sample::is_json) {
        let whole = sample.value();
        let mut all = Vec::new();
        places(&whole, "", &mut all);
        for place in &all {
            for value in &odd {
                let mut text = whole.clone();
                *text.pointer_mut(place).unwrap() = value.clone();
                let _ = ours(&text.to_string());
                let _ = ours(&in_sns(&text.to_string()));
            }
        }
    }
}

/// Required fields of each kind, and optional ones that must be right if present.
#[rustfmt::skip]
const NEEDED: [(&str, &[&str], &[&str]); 8] = [
    (
        "terminating.eventbridge.json",
        &["/detail/AutoScalingGroupName", "/detail/LifecycleHookName", "/detail/EC2InstanceId",
          "/detail/LifecycleTransition"],
        &["/time"],
    ),
    (
        "terminating.auto-scaling.json",
        &["/Service", "/AccountId", "/AutoScalingGroupName", "/LifecycleHookName", "/EC2InstanceId",
          "/LifecycleTransition"],
        &["/Time", "/Origin", "/Destination"],
    ),
    ("test.auto-scaling.json", &["/Service", "/AccountId", "/AutoScalingGroupName", "/Event"], &[]),
    ("spot-interruption.eventbridge.json", &["/time", "/detail/instance-id", "/detail/instance-action"], &[]),
    ("rebalance-recommendation.eventbridge.json", &["/time", "/detail/instance-id"], &[]),
    ("task.eventbridge.json", &["/detail/clusterArn", "/detail/taskArn"], &["/detail/containerInstanceArn"]),
    (
        "container-instance.eventbridge.json",
        &["/detail/clusterArn", "/detail/containerInstanceArn"],
        &["/detail/ec2InstanceId"],
    ),
    ("terminating.sns.json", &["/Type", "/Message"], &[]),
];

const OF_EVENT_BRIDGE: [&str; 5] = ["/source", "/detail-type", "/account", "/region", "/detail"];

#[test]
fn required_fields_must_be_right_and_others_may_be_anything() {
    for (file, needed, optional) in NEEDED {
        let sample = samples().into_iter().find(|sample| sample.file == file).unwrap();
        let mut all = Vec::new();
        places(&sample.value(), "", &mut all);
        for place in all.iter().map(String::as_str) {
            let common = sample.is_of_event_bridge() && OF_EVENT_BRIDGE.contains(&place);
            for value in [json!(7), json!([1]), json!(null)] {
                let mut text = sample.value();
                *text.pointer_mut(place).unwrap() = value;
                let read = ours(&text.to_string());
                if place.is_empty() || common || needed.contains(&place) {
                    assert!(read.is_err(), "{file} without {place}: {read:?}");
                } else if !optional.contains(&place) {
                    assert_eq!(read, Ok(sample.event.clone()), "{file} with another {place}");
                }
            }
        }
    }
}

#[test]
fn huge_or_deep_values_are_skipped_or_refused() {
    let long = "x".repeat(1_000_000);
    let in_every_place = [
        "terminating.sns.json",
        "terminating.auto-scaling.json",
        "spot-interruption.eventbridge.json",
    ];
    for sample in samples().into_iter().filter(|sample| in_every_place.contains(&sample.file)) {
        let mut all = Vec::new();
        places(&sample.value(), "", &mut all);
        for place in all {
            let mut text = sample.value();
            *text.pointer_mut(&place).unwrap() = Value::String(long.clone());
            let _ = ours(&text.to_string());
        }
    }
    let spot = include_str!("../../tests/all/events/spot-interruption.eventbridge.json");
    let deep =
        |open: &str, close: &str| format!("{}0{}", open.repeat(10_000), close.repeat(10_000));
    for (open, close) in
        [("[", "]"), (r#"{"a":"#, "}"), (r#"{"detail":"#, "}"), (r#"{"detail":[{"source":"#, "}]}")]
    {
        let deep = deep(open, close);
        assert!(ours(&deep).is_err());
        for name in ["resources", "else"] {
            let text = spot.replacen('{', &format!(r#"{{"{name}x":{deep},"#), 1);
            assert!(matches!(ours(&text), Ok(Event::SpotInterruption { .. })), "{open}");
        }
        for name in ["source", "time"] {
            let text = spot.replacen(
                &format!(r#""{name}": "#),
                &format!(r#""{name}":{deep},"other":"#),
                1,
            );
            assert!(ours(&text).is_err(), "{open}");
        }
    }
    assert!(ours(&"[".repeat(1_000_000)).is_err());
    assert!(ours(&" ".repeat(1_000_000)).is_err());
    assert!(ours(&"Service: AWS Auto Scaling\n".repeat(40_000)).is_err());
    let larger = format!("{}{}", " ".repeat(1_048_577 - spot.len()), spot);
    assert_eq!(ours(&larger).unwrap_err().why, "1048577 bytes: larger than any message");
    assert!(ours(&larger[1..]).is_ok());
}

#[test]
fn envelopes_in_envelopes_end() {
    let mut text =
        include_str!("../../tests/all/events/spot-interruption.eventbridge.json").to_owned();
    for n in 1..=5 {
        text = in_sns(&text);
        assert_eq!(ours(&text).is_ok(), n <= 2, "{n}");
    }
    assert_eq!(ours(&text).unwrap_err().why, "more than 2 SNS notifications around one message");
}

#[test]
fn ambiguous_or_unknown_messages_are_broken() {
    let spot = include_str!("../../tests/all/events/spot-interruption.eventbridge.json");
    let twice =
        spot.replace(r#""instance-id""#, r#""instance-id": "i-0123456789abcdef1", "instance-id""#);
    assert!(ours(&twice).unwrap_err().why.contains("duplicate field"));
    let lines = include_str!("../../tests/all/events/terminating.auto-scaling.txt");
    // A hook's metadata can hold line breaks.
    let injected = format!("{}EC2InstanceId: i-0123456789abcdef1\n", lines);
    assert!(ours(&injected).unwrap_err().why.contains("duplicate field"));
    for text in [
        "",
        "null",
        "7",
        "\"i-0123456789abcdef0\"",
        "[]",
        "{}",
        "hello",
        "{\"hello\": 1}",
        "{\"Type\": \"Other\"}",
        "{\"Service\": 1}",
        "{\"detail-type\": 1}",
        "Service: AWS Auto Scaling",
        "{}{}",
        "{\"source\": \"aws.ec2\"}",
        // Values in the order in which the fields are declared.
        r#"["Notification", "{}", "aws.ec2", "x", "123456789012", "us-east-1", "", {}, "AWS Auto Scaling"]"#,
        "\u{feff}{}",
    ] {
        assert!(ours(text).is_err(), "{text}: {:?}", ours(text));
    }
    assert_eq!(
        ours(r#"{"Service": "Amazon S3", "Event": "s3:TestEvent"}"#),
        Ok(ignored("notification of Amazon S3"))
    );
}

#[test]
fn an_action_that_ec2_adds_is_an_interruption_too() {
    let spot = include_str!("../../tests/all/events/spot-interruption.eventbridge.json");
    for (word, action) in [
        ("terminate", InterruptionAction::Terminate),
        ("stop", InterruptionAction::Stop),
        ("hibernate", InterruptionAction::Hibernate),
        ("evaporate", InterruptionAction::Other),
    ] {
        let read = ours(&spot.replace("terminate", word)).unwrap();
        assert!(
            matches!(read, Event::SpotInterruption { action: a, .. } if a == action),
            "{read:?}"
        );
        assert_eq!(action.as_str() == word, action != InterruptionAction::Other);
    }
}

#[test]
fn a_machine_of_another_kind_has_no_instance_id() {
    let text = include_str!("../../tests/all/events/container-instance.eventbridge.json");
    let read = ours(&text.replace(INSTANCE, "mi-0123456789abcdef0")).unwrap();
    assert!(matches!(read, Event::ContainerInstanceChanged { instance_id: None, .. }), "{read:?}");
}

#[test]
fn labels_are_distinct() {
    let names: std::collections::BTreeSet<&str> =
        samples().iter().map(|sample| sample.event.name()).collect();
    assert_eq!(names.len(), 7);
}

#[test]
fn a_warning_is_fresh_for_ten_minutes() {
    let now = at("2026-03-28T00:12:37Z");
    for (seconds, fresh) in
        [(0, true), (120, true), (600, true), (601, false), (-600, true), (-601, false)]
    {
        assert_eq!(
            is_fresh(now - SignedDuration::from_secs(seconds), now),
            fresh,
            "{seconds} s old"
        );
    }
    assert!(!is_fresh(Timestamp::MIN, Timestamp::MAX));
    assert!(!is_fresh(Timestamp::MAX, Timestamp::MIN));
}
