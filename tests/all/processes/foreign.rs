//! Text from outside, in every place where others can put it: it can neither control a terminal nor
//! forge a line in the program's output and log.

use super::process::Said;
use super::rig::{CONTROLLER, Rig, TABLE};
use crate::harness::{group, store};
use crate::scenarios::{A, B};
use aws_simulator::Cloud;
use aws_simulator::spec::ClusterSpec;
use ecs_drain::store::Saved;
use ecs_drain_state::diagnosis::Fix;
use ecs_drain_state::record::Opening;
use ecs_drain_state::text::steers;
use ecs_drain_state::{
    ActionResult, Balancer, ContainerInstance, LastError, Lifecycle, Note, Obligation, Order,
    Origin, Record, Strategy, Target, WaitKind,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// Clears the screen, names the window, rings the bell, does it all again with one-byte sequences,
/// turns the direction of writing, hides a character, and begins a line.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}3J\u{202e}\u{200b}\r\nforged line";

/// Checks that a text has only lines of the program.
#[track_caller]
fn assert_plain(what: &str, text: &str) {
    assert!(!text.contains(|c| c != '\n' && steers(c)), "{what}: {text:?}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("forged")), "{what}: {text}");
}

fn hostile() -> String {
    HOSTILE.to_owned()
}

fn order() -> Order {
    Order { by: hostile(), reason: Some(hostile()), at: Timestamp::now() }
}

/// Returns a record with hostile text wherever possible.
fn record(region: &str, instance: &str) -> Record {
    let opening = Opening {
        account: "123456789012".to_owned(),
        region: region.to_owned(),
        instance_id: instance.to_owned(),
        controller: CONTROLLER.to_owned(),
        origin: Origin::Operator,
        strategy: Strategy::Drain,
        lifecycle: Some(Lifecycle {
            group: hostile(),
            hook: hostile(),
            kind: WaitKind::Terminating,
            heartbeat_timeout_seconds: 3600,
            global_timeout_seconds: 172_800,
            default_result: ActionResult::Continue,
            other_hooks: vec![hostile()],
            retains_abandoned: false,
        }),
        group: None,
        then: None,
        requested: Some(order()),
        container_instances: vec![ContainerInstance {
            cluster: hostile(),
            arn: hostile(),
            draining_is_ours: true,
            deregistered_at: None,
            drained_for_seconds: 0,
            gone_for_seconds: 0,
        }],
        deadline: None,
        margin: SignedDuration::from_mins(5),
    };
    let now = Timestamp::now();
    let mut record = Record::open(opening, now);
    record.orders.pause = Some(order());
    record.shown.message = hostile();
    record.shown.tasks_left = vec![hostile()];
    record.shown.tasks_left_count = 2;
    record.shown.targets_left = vec![hostile()];
    record.shown.targets_left_count = 2;
    let fix = Fix::StopTask { cluster: hostile(), task: hostile() };
    record.shown.causes = vec![
        Note { name: hostile(), text: hostile(), fix: Some(fix) },
        Note { name: hostile(), text: hostile(), fix: None },
    ];
    record.obligations = vec![Obligation {
        balancer: Balancer::TargetGroup(hostile()),
        target: Target::Instance(hostile()),
        delay_seconds: None,
        network: None,
        draining_since: None,
        left_for_seconds: 0,
        of_group_alone: false,
        noted_at: now,
    }];
    record.attempts = 2;
    record.last_error = Some(LastError { at: now, what: hostile() });
    record.note(now, HOSTILE);
    record
}

fn world(cloud: &mut Cloud) {
    cloud.add_cluster(&ClusterSpec::new("web"));
    cloud.add_group(group("web-group", "web", &[A, B]));
}

/// An instance that the table has in two regions.
const TWICE: &str = "i-0000000000000002e";

/// Creates a table in which everything is hostile.
fn hostile_table(name: &str) -> Rig {
    let rig = Rig::with_table(name, "", world);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = store(&rig.simulator, TABLE, CONTROLLER).await;
        for (region, instance) in [("us-east-1", A), ("us-east-1", TWICE), (HOSTILE, TWICE)] {
            assert!(matches!(
                store.create(record(region, instance)).await.unwrap(),
                Saved::Saved(_)
            ));
        }
        for place in ["*".to_owned(), format!("1/us-east-1/{HOSTILE}"), hostile()] {
            store.set_pause(&place, Some(&order())).await.unwrap();
        }
    });
    put(
        &rig,
        &json!({ "key": { "S": format!("lease/{CONTROLLER}") }, "holder": { "S": HOSTILE } }),
    );
    // A record that cannot be read.
    let key = "123456789012/us-east-1/i-0000000000000003e";
    put(
        &rig,
        &json!({
            "key": { "S": key }, "schema": { "N": "1" }, "phase": { "S": HOSTILE },
            "unfinished_of": { "S": CONTROLLER }, "unfinished": { "S": format!("{key}@000000000001") },
        }),
    );
    rig
}

fn put(rig: &Rig, item: &serde_json::Value) {
    let body = json!({ "TableName": TABLE, "Item": item }).to_string();
    rig.simulator.with(|cloud| {
        let now = cloud.now();
        cloud.dynamodb.handle(now, "PutItem", &body).unwrap();
    });
}

#[test]
fn no_command_prints_what_steers_a_terminal() {
    let rig = hostile_table("hostile-commands");
    let say = |arguments: &[&str]| -> Said {
        let said = rig.say(arguments);
        assert_plain(&format!("{arguments:?}, output"), &said.out);
        assert_plain(&format!("{arguments:?}, errors"), &said.err);
        said
    };
    // Each shows some text from outside; otherwise it would be no test.
    for arguments in [
        &["get"][..],
        &["get", "-o", "wide"],
        &["get", "--all"],
        &["get", "-o", "json"],
        &["describe", A],
        &["describe", A, "-o", "json"],
        &["describe", TWICE],
        &["describe", "123456789012/us-east-1/i-0000000000000003e"],
        &["cancel", TWICE],
        &["cancel", A, "--wait", "1s"],
        &["extend", A, "--by", "1h", "--wait", "1s"],
        &["retry", A, "--wait", "1s"],
        &["force", A, "--reason", "x", "--yes", "--wait", "1s"],
        &["force", "123456789012/us-east-1/i-0000000000000003e", "--reason", "x", "--yes"],
        &["pause", A, "--wait", "1s"],
        &["resume", A, "--wait", "1s"],
        &["resume", "--cluster", "nothing"],
        &["resume", "--everything"],
        &["drain", A, "--yes", "--wait", "1s"],
        &["doctor", "--all"],
        &["doctor", "-o", "json"],
    ] {
        let said = say(arguments);
        let all = format!("{}{}", said.out, said.err);
        assert!(all.contains("forged line"), "{arguments:?} says nothing from outside: {all}");
    }
    for arguments in
        [&["hooks"][..], &["iam"], &["config", "check"], &["init"], &["init", "--check"]]
    {
        say(arguments);
    }
    // JSON has the text exactly as it is in the table.
    let described: serde_json::Value =
        serde_json::from_str(&say(&["describe", A, "-o", "json"]).out).unwrap();
    assert_eq!(described["message"], HOSTILE, "{described}");
}

#[test]
fn no_line_of_the_log_steers_a_terminal() {
    for format in ["human", "json"] {
        let rig = hostile_table(&format!("hostile-log-{format}"));
        let mut command = rig.command(&["run"]);
        command.env("ECS_DRAIN_LOG", "trace").env("ECS_DRAIN_LOG_FORMAT", format);
        let process = rig.spawn(command).counted();
        // The lease of an unknown holder expires, and the hostile records are read.
        rig.until("the lease", || rig.leader().filter(|holder| process.is_holder(holder)));
        rig.until("the hostile table is spoken of", || {
            process.log().contains("forged line").then_some(())
        });
        let log = process.log();
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        assert_plain(format, whole);
        for line in whole.lines().filter(|_| format == "json") {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
    }
}
