//! Causes that do not concern a service's replacement.

use super::super::Cause;
use super::{check, diagnose, now, read};

#[test]
fn a_lost_agent() {
    check(
        "agent-lost 10m",
        "AgentDisconnected: its ECS agent has been disconnected since 2026-11-22T11:50:00Z, so ECS cannot stop its tasks and their states are frozen; start the agent (systemctl restart ecs), or terminate the instance if it is dead",
    );
}

/// The one that ends last is named; expired protection, and that of a stopping task, does not
/// count.
#[test]
fn protected_tasks() {
    check(
        "
        task t1 shop RUNNING protected=10m
        task t2 shop RUNNING protected=2h
        task t3 shop RUNNING protected=0s
        task t4 shop RUNNING unprotected
        ",
        "ProtectedTask: task t2 of service shop (and 1 more) is protected from scale-in until 2026-11-22T14:00:00Z, and AWS does not document that DRAINING ends the protection; wait, let the task end it, or end it yourself",
    );
    check(
        "task t1 shop RUNNING protected=-",
        "ProtectedTask: task t1 of service shop is protected from scale-in, and AWS does not document that DRAINING ends the protection; wait, let the task end it, or end it yourself",
    );
}

#[test]
fn standalone_tasks() {
    check(
        "
        task t1 - RUNNING
        task t2 - RUNNING
        task t3 - RUNNING
        ",
        "StandaloneTask: task t1 (and 2 more) is standalone, so DRAINING does not stop it, and the policy waits for it; stop it, or set standalone_tasks = { stop_after = \"30m\" } in the configuration and restart ecs-drain",
    );
    check(
        "policy standalone=30m\ntask t1 - RUNNING",
        "StandaloneTask: task t1 is standalone, so DRAINING does not stop it, and ecs-drain stops it after 30 min (stop_after)",
    );
}

/// By default daemons hold nothing up, even while they are being stopped.
#[test]
fn daemons() {
    check("task t1 daemon/log RUNNING\ntask t2 daemon/log STOPPING!", "");
    check(
        "policy daemons=wait\ntask t1 daemon/log RUNNING\ntask t2 shop RUNNING",
        "DaemonTask: task t1 of service log is a daemon task, and the policy waits for it (daemon_tasks = \"wait\"); ECS stops daemon tasks last; to let them run until the instance ends, set daemon_tasks = \"ignore\"",
    );
}

/// The one that began to stop first is named; overdue means longer than delay, stop timeout and a
/// minute.
#[test]
fn tasks_that_are_being_stopped() {
    check(
        "
        delay 60
        task t1 shop STOPPING! since=2m
        task t2 shop STOPPING! since=210s timeout=90
        ",
        "StoppingLong: task t2 of service shop (and 1 more) has been stopping since 2026-11-22T11:56:30Z and is STOPPING: its containers have 1 min 30 s (stopTimeout) after the stop signal, and are then killed",
    );
    check(
        "
        delay 60
        task t2 shop STOPPING! since=211s timeout=90
        ",
        "StoppingLong: task t2 of service shop has been stopping since 2026-11-22T11:56:29Z and is STOPPING: its containers have 1 min 30 s (stopTimeout) after the stop signal, and are then killed; this time has passed: check the agent and Docker on the instance",
    );
    check(
        "delay 0\ntask t1 - DEPROVISIONING! since=2m",
        "StoppingLong: task t1 has been stopping since 2026-11-22T11:58:00Z and is DEPROVISIONING: ECS detaches and deletes its network interface; this time has passed: check the agent and Docker on the instance",
    );
}

#[test]
fn targets() {
    check(
        "target shop draining drains=360s delay=300",
        "TargetDelay: i-0 in target group shop has been draining since 2026-11-22T11:54:00Z, for the deregistration delay of 5 min",
    );
    check(
        "target shop draining drains=421s delay=360",
        "TargetDelay: i-0 in target group shop has been draining since 2026-11-22T11:52:59Z, for the deregistration delay of 6 min; this time has passed: check the load balancer",
    );
    check(
        "target shop draining",
        "TargetDelay: i-0 in target group shop has been draining, for the deregistration delay",
    );
    check(
        "target shop healthy\ntask t1 daemon/log RUNNING",
        "TargetStays: i-0 in target group shop is healthy and stays registered, although no task is left; deregister it if it was registered by hand",
    );
    // ECS deregisters it with the task.
    check("target shop healthy\ntask t1 shop RUNNING", "");
}

/// The most decisive first, the least certain last.
#[test]
fn the_order() {
    let facts = "
        unreadable ecs:DescribeServices ecs:DescribeServices on cluster web: denied by IAM
        throttled ecs:DescribeTasks
        throttled ecs:ListTasks
        agent-lost 10m
        task t1 shop DEACTIVATING!
        task t2 - RUNNING
        task t3 shop RUNNING protected=1h
        target shop draining
        service shop desired=1 running=1 min=100 max=100
    ";
    let causes = diagnose(&read(facts), now());
    let names: Vec<&str> = causes.iter().map(Cause::name).collect();
    assert_eq!(
        names,
        [
            "AgentDisconnected",
            "ServiceCannotReplace",
            "ProtectedTask",
            "StandaloneTask",
            "StoppingLong",
            "TargetDelay",
            "Throttled",
            "Unreadable"
        ]
    );
    check(
        "throttled ecs:DescribeTasks\nthrottled ecs:ListTasks",
        "Throttled: AWS throttles ecs:DescribeTasks, ecs:ListTasks: data of this drain can be out of date; the calls are repeated",
    );
    check(
        "unreadable ecs:DescribeServices ecs:DescribeServices on cluster web: denied by IAM",
        "Unreadable: a cause can be missing: ecs:DescribeServices on cluster web: denied by IAM",
    );
}
