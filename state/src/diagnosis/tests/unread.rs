//! Nothing is concluded from missing facts.

use super::check;

#[test]
fn nothing_was_read() {
    check("tasks unknown", "");
    // A target stays only if no task is known to be left, not if no task is known.
    check("tasks unknown\ntarget shop healthy", "");
    check("task t1 shop RUNNING", "");
}

/// The other instances were not read, or not all of them.
#[test]
fn other_instances() {
    let service = "service shop desired=1 running=1 distinct placed=c1\nneed shop cpu=512\ntask t1 shop RUNNING\n";
    check(service, "");
    check(&format!("{service} others more"), "");
    check(&format!("{service} others more\nother i-1 away"), "");
}

/// A number that AWS did not report, or a definition that could not be read, is never a lack.
#[test]
fn numbers() {
    let service = "service shop desired=1 running=1\ntask t1 shop RUNNING\n";
    check(&format!("{service} other i-1 cpu=1 memory=1 taken=80"), "");
    check(&format!("{service} need shop cpu=512 memory=512 tcp=80\nother i-1"), "");
    check(&format!("{service} need shop tcp=80\nother i-1 cpu=1 memory=1 taken=443"), "");
}

/// The container instances of the service's other tasks were not read.
#[test]
fn distinct_instances() {
    check(
        "service shop desired=2 running=2 distinct\ntask t1 shop RUNNING\nother i-1",
        "ConstraintNotJudged: ecs-drain cannot evaluate a placement rule of service shop: its tasks may be placed only where no other task of the service runs (placement constraint distinctInstance); check that another instance meets it",
    );
}

/// Unknown delays make nothing overdue.
#[test]
fn delays() {
    check(
        "task t1 shop DEACTIVATING! since=5h",
        "StoppingLong: task t1 of service shop has been stopping since 2026-11-22T07:00:00Z and is DEACTIVATING: its load balancer drains it first, for the deregistration delay; then its containers have the agent's ECS_CONTAINER_STOP_TIMEOUT (30 s unless set) to end",
    );
}
