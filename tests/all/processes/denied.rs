//! The three denials that matter most, with the real binary in real time: an alarm of the stack
//! fires on the metrics that it writes, and meanwhile an instance meets what docs/runbook.md
//! says of it, "Reads that fail". `denied` has all others, in virtual time.

use super::process::Process;
use super::rig::Rig;
use super::stories::{terminate, world};
use crate::denied::alarms;
use crate::harness::{our_hook, seconds};
use crate::scenarios::{A, B};
use aws_simulator::{Fault, Rule};
use ecs_drain_state::Phase;
use serde_json::Value;
use std::fs;
use std::thread;
use std::time::Duration;
use tokio::time::Instant;

/// The longest time until an alarm. Reads that fail for five minutes are in alarm.
const IN_VAIN: Duration = Duration::from_secs(900);

#[test]
#[ignore = "ten minutes of real time: for the night"]
fn an_alarm_fires_and_an_instance_meets_what_the_runbook_says() {
    let stories = [groups, search, role].map(thread::spawn);
    let failed =
        stories.map(thread::JoinHandle::join).iter().filter(|story| story.is_err()).count();
    assert_eq!(failed, 0, "each for the reason above");
}

fn start(rig: &Rig) -> Process<'_> {
    let mut command = rig.command(&["run"]);
    command.env("ECS_DRAIN_LOG", "info").env("ECS_DRAIN_CLOUDWATCH_METRICS", "true");
    rig.spawn(command).counted()
}

/// Waits until this alarm of the stack fires on the lines that the process has written.
#[track_caller]
fn until_in_alarm(process: &Process<'_>, metric: &str) {
    let alarms = alarms();
    let alarm = alarms.iter().find(|alarm| alarm.metric == metric).expect("an alarm of the stack");
    let began = Instant::now();
    loop {
        let lines: Vec<Option<Value>> =
            process.out().lines().map(|line| Some(serde_json::from_str(line).unwrap())).collect();
        if alarm.fires(&lines).is_some() {
            return;
        }
        assert!(began.elapsed() < IN_VAIN, "{metric} is not in alarm:\n{}", process.log());
        thread::sleep(seconds(1));
    }
}

fn deny(rig: &Rig, operation: &'static str) {
    rig.strike(Rule::on(operation, Fault::AccessDenied));
}

/// Its drain continues from the record; an instance that begins to wait meanwhile is not seen, and
/// is drained afterwards.
fn groups() {
    let rig = Rig::with_table("groups-denied", "", |cloud| {
        world(cloud);
        cloud.put_hook("web-group", our_hook(seconds(1800)));
    });
    let process = start(&rig);
    terminate(&rig, A);
    rig.until_phase(A, Phase::Waiting);
    deny(&rig, "DescribeAutoScalingGroups");
    terminate(&rig, B);
    until_in_alarm(&process, "GroupsUnreadSeconds");
    rig.until_phase(A, Phase::Done);
    assert!(rig.record(B).is_none(), "it was seen: the runbook says otherwise");
    assert!(
        rig.say(&["get"]).out.contains("its Auto Scaling groups cannot be read"),
        "{}",
        rig.say(&["get"]).out
    );
    rig.mend();
    rig.until_phase(B, Phase::Done);
    rig.expect_drained(A);
    rig.expect_drained(B);
}

/// The clusters cannot be searched: a waiting instance is held by heartbeats, beyond the timeout of
/// its hook.
fn search() {
    let rig = Rig::with_table("search-denied", "", world);
    let process = start(&rig);
    rig.until_leads(&process);
    deny(&rig, "ListContainerInstances");
    terminate(&rig, A);
    until_in_alarm(&process, "SearchUnreadSeconds");
    assert!(
        rig.record(A).is_none_or(|record| record.phase() == Phase::Pending),
        "its cluster is not known"
    );
    let state = rig.simulator.with(|cloud| cloud.lifecycle_state(A));
    assert_eq!(state.as_deref(), Some("Terminating:Wait"), "its hook's minute was over four times");
    assert!(rig.say(&["get"]).out.contains("blind: "), "{}", rig.say(&["get"]).out);
    rig.mend();
    rig.until_phase(A, Phase::Done);
    rig.expect_drained(A);
}

/// The role of a scope cannot be assumed: no instance of that scope is held, and all of them are
/// drained once it can.
fn role() {
    let rig = Rig::with_table("role-denied", "", |cloud| {
        world(cloud);
        cloud.put_hook("web-group", our_hook(seconds(1800)));
    });
    rig.simulator.add_region("eu-west-1", 2).expect("a second region");
    let (text, scope) = (
        fs::read_to_string(rig.config()).unwrap(),
        "region = \"us-east-1\"\nhooks = [\"ecs-drain\"]\n",
    );
    let member = format!(
        "{scope}role = {{ arn = \"arn:aws:iam::123456789012:role/ecs-drain\" }}\n\
         [[scope]]\nregion = \"eu-west-1\"\nhooks = [\"ecs-drain\"]\n"
    );
    assert!(text.contains(scope), "{text}");
    fs::write(rig.config(), text.replace(scope, &member)).unwrap();
    deny(&rig, "AssumeRole");
    let process = start(&rig);
    terminate(&rig, A);
    until_in_alarm(&process, "ScopesUnreachedSeconds");
    assert!(rig.record(A).is_none(), "it was seen without the role");
    assert_eq!(rig.count("RecordLifecycleActionHeartbeat"), 0);
    rig.mend();
    rig.until_phase(A, Phase::Done);
    rig.expect_drained(A);
}
