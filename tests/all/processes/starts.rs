//! The program's errors when it cannot start, word by word and with their exit codes; and the
//! commands that create and read the table.

use super::process::Said;
use super::rig::{Rig, TABLE};
use crate::harness::{CONFIG, group};
use crate::scenarios::{A, B};
use aws_simulator::spec::{ClusterSpec, ServiceSpec};
use aws_simulator::{Cloud, Fault, Rule};
use ecs_drain_state::Phase;
use std::fs;

/// Creates a cloud without a table, in which nothing waits.
fn empty(name: &str) -> Rig {
    Rig::new(name, "", |_| {})
}

/// Returns the text after `error: ` on standard error. Lines of the log can come before it.
#[track_caller]
fn error(said: &Said, code: i32) -> &str {
    assert_eq!(said.code, Some(code), "{}", said.err);
    let at = said.err.rfind("error: ").unwrap_or_else(|| panic!("no error is told:\n{}", said.err));
    said.err[at + "error: ".len()..].trim_end()
}

const MISSING: &str = "table drains does not exist in us-east-1; create it with `ecs-drain init`, or correct the \
                       table's name or region";

/// A waiting instance must be held with or without a table: no other process would.
#[test]
fn a_process_without_its_table_names_init_and_holds_what_waits() {
    let rig = Rig::new("no-table", "", slow);
    for command in [&["get"][..], &["describe", A], &["init", "--check"]] {
        assert_eq!(error(&rig.say(command), 1), MISSING, "{command:?}");
    }
    rig.simulator.with(|cloud| cloud.terminate(A, true).unwrap());
    // A wait that was seen to begin needs its first heartbeat later: here it began before the
    // process did.
    rig.until("it waits", || {
        (rig.simulator.with(|cloud| cloud.lifecycle_state(A))? == "Terminating:Wait").then_some(())
    });
    let mut process = rig.start();
    rig.until("a heartbeat", || (rig.count("RecordLifecycleActionHeartbeat") > 0).then_some(()));
    rig.until("the missing table is told", || process.log().contains(MISSING).then_some(()));
    assert!(process.runs(), "{}", process.log());
    assert_eq!(fine(rig.say(&["init"])), "table drains is ready\n");
    rig.until_phase(A, Phase::Waiting);
}

#[test]
fn a_table_of_another_shape_is_refused_and_left_alone() {
    let rig = empty("other-shape");
    rig.simulator.with(|cloud| {
        let table = r#"{"TableName":"drains","BillingMode":"PAY_PER_REQUEST",
            "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
            "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#;
        let now = cloud.now();
        cloud.dynamodb.handle(now, "CreateTable", table).unwrap();
    });
    let wrong = "table drains is not as ecs-drain needs it: its primary key is not one partition key `key` (String): \
                 create another table with `ecs-drain init`; it has no index `unfinished`";
    for command in [&["init", "--check"][..], &["init"]] {
        let said = rig.say(command);
        assert!(error(&said, 1).starts_with(wrong), "{}", said.err);
    }
    assert_eq!(rig.count("UpdateTimeToLive"), 0, "what others keep there is not made to expire");
    let mut process = rig.start();
    rig.until("the shape is told", || process.log().contains(wrong).then_some(()));
    assert!(process.runs(), "{}", process.log());
    assert_eq!(rig.count("PutItem") + rig.count("UpdateItem"), 0, "nothing was written into it");
}

/// Checks that every command refuses a configuration, before it makes any call.
#[track_caller]
fn refused(name: &str, lines: &str, expected: &str) {
    let rig = empty(name);
    fs::write(rig.config(), format!("{CONFIG}{lines}")).unwrap();
    // The line after those of the configuration's beginning.
    let line = CONFIG.lines().count() + 2;
    for command in [&["run"][..], &["init"], &["get"], &["config", "check"]] {
        let said = rig.say(command);
        let error = error(&said, 2);
        // Below it is the line, with the mistake marked.
        let mut shown = error.lines();
        let place = format!("{}:{line}: {expected}", rig.config().display());
        assert_eq!(shown.next(), Some(place.as_str()), "{command:?}");
        let source = lines.lines().nth(1).unwrap();
        assert!(shown.any(|shown| shown == format!("{line} | {source}")), "{command:?}: {error}");
    }
    assert!(rig.simulator.peek(|cloud| cloud.log.entries().is_empty()), "nothing was called");
}

#[test]
fn an_unknown_key_is_reported_with_its_line_and_the_nearest_key() {
    refused(
        "unknown-key",
        "[policy]\nat_deadlin = \"hold\"\n",
        "unknown key \"at_deadlin\" in [policy]; did you mean \"at_deadline\"?",
    );
}

#[test]
fn an_impossible_value_is_reported_with_its_line_and_the_allowed_ones() {
    refused(
        "impossible-value",
        "[policy]\nread_lag = \"5s\"\n",
        "policy.read_lag is \"5s\": it must be at least 1m (the proof that everything is gone must outlast reads that lag)",
    );
}

#[test]
fn without_credentials_the_places_to_look_are_named() {
    let rig = empty("no-credentials");
    for command in ["run", "init", "get"] {
        let mut command = rig.command(&[command]);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        let said = rig.end(command);
        let text = error(&said, 1);
        assert!(text.contains("credentials"), "{text}");
        assert!(text.contains("AWS_* variables"), "{text}");
    }
}

/// Creates a cloud with its table, where this call is denied.
fn denied(name: &str, operation: &str) -> Rig {
    let rig = Rig::with_table(name, "", |_| {});
    rig.simulator.with(|cloud| cloud.faults.add(Rule::on(operation, Fault::AccessDenied)));
    rig
}

#[test]
fn a_denied_table_is_reported_with_the_policy_line_that_allows_it() {
    let rig = denied("denied-table", "DescribeTable");
    let told = "dynamodb:DescribeTable on table drains: denied by IAM (AccessDeniedException: ";
    let allowed = "; allow it with {\"Effect\":\"Allow\",\"Action\":\"dynamodb:DescribeTable\",\
                   \"Resource\":\"arn:aws:dynamodb:us-east-1:*:table/drains\"}";
    let said = rig.say(&["init", "--check"]);
    assert!(error(&said, 1).starts_with(told) && said.err.contains(allowed), "{}", said.err);
    // The process waits until it has the permission, and then starts.
    let process = rig.start();
    rig.until("the denial is told", || process.log().contains(told).then_some(()));
    rig.mend();
    rig.until("the lease", || rig.leader());
}

#[test]
fn a_denied_identity_is_reported_with_the_policy_line_that_allows_it() {
    let rig = denied("denied-identity", "GetCallerIdentity");
    let said = rig.say(&["run"]);
    let text = error(&said, 1);
    assert!(
        text.starts_with("cannot work in region us-east-1: sts:GetCallerIdentity on "),
        "{text}"
    );
    let line = "allow it with {\"Effect\":\"Allow\",\"Action\":\"sts:GetCallerIdentity\",\"Resource\":\"*\"}";
    assert!(text.contains(line), "{text}");
}

/// Adds two instances, and tasks that stop slowly.
fn slow(cloud: &mut Cloud) {
    cloud.add_cluster(&ClusterSpec::new("web"));
    cloud.add_group(group("web-group", "web", &[A, B]));
    let (start, stop) = (std::time::Duration::from_secs(2), std::time::Duration::from_secs(600));
    cloud.add_service(&ServiceSpec::replica("web", "api", 2).times(start, stop));
}

#[track_caller]
fn fine(said: Said) -> String {
    assert_eq!(said.code, Some(0), "{}", said.err);
    said.out
}

#[test]
fn the_commands_create_and_read_the_table() {
    let rig = Rig::new("commands", "", slow);
    for arguments in [&["init"][..], &["init"], &["init", "--check"]] {
        assert_eq!(fine(rig.say(arguments)), format!("table {TABLE} is ready\n"), "{arguments:?}");
    }
    let none = fine(rig.say(&["get"]));
    assert!(none.starts_with("no drains of controller test in table drains"), "{none}");
    let said = rig.say(&["describe", A]);
    let none = format!(
        "table {TABLE} has no drain of {A} in 123456789012/us-east-1; for another place use ACCOUNT/REGION/{A}"
    );
    assert_eq!(error(&said, 1), none);
    let said = rig.say(&["cancel", A]);
    assert!(said.out.starts_with(&format!("{A}: {none}")), "{}", said.out);

    rig.simulator.with(|cloud| cloud.terminate(A, true).unwrap());
    let mut process = rig.start();
    rig.until_phase(A, Phase::Waiting);
    assert!(process.runs());
    process.kill();

    let lines = fine(rig.say(&["get"]));
    let line = lines.lines().find(|line| line.starts_with(A)).unwrap_or_default();
    assert!(
        line.contains("web") && line.contains("Waiting") && line.contains("service api"),
        "{lines}"
    );
    assert!(!lines.contains(B), "{lines}");
    let json: serde_json::Value =
        serde_json::from_str(&fine(rig.say(&["get", "-o", "json"]))).unwrap();
    assert_eq!(json.as_array().map(Vec::len), Some(1), "{json}");
    assert_eq!(
        (json[0]["instance_id"].as_str(), json[0]["phase"].as_str()),
        (Some(A), Some("Waiting")),
        "{json}"
    );
    let sheet = fine(rig.say(&["describe", A]));
    for part in
        ["in us-east-1, account 123456789012", "Waiting, since", "web-group", "tasks: 1", "History"]
    {
        assert!(sheet.contains(part), "{part} is missing:\n{sheet}");
    }
    assert_eq!(
        fine(rig.say(&["describe", &format!("123456789012/us-east-1/{A}")])).lines().next(),
        sheet.lines().next()
    );

    // An item that is no longer in an index is found by its key: no id makes a command read the
    // whole table.
    rig.simulator.with(|cloud| {
        let update = format!(
            r#"{{"TableName":"{TABLE}","Key":{{"key":{{"S":"123456789012/us-east-1/{A}"}}}},
                "UpdateExpression":"REMOVE unfinished_of, unfinished"}}"#
        );
        let now = cloud.now();
        cloud.dynamodb.handle(now, "UpdateItem", &update).unwrap();
    });
    assert!(fine(rig.say(&["get"])).starts_with("no drains"));
    assert_eq!(fine(rig.say(&["describe", A])).lines().next(), sheet.lines().next());
    assert_eq!(rig.count("Scan"), 0);
    fine(rig.say(&["get", "--all"]));
    assert_eq!(rig.count("Scan"), 1);
}
