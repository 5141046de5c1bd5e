//! The replacement of a service's tasks by ECS.

use super::check;

/// 100 and 100 is the trap that AWS documents; the text names the numbers that would work.
#[test]
fn percentages_that_leave_no_step() {
    check(
        "
        service shop desired=2 running=2 min=100 max=100
        task t1 shop RUNNING
        ",
        "ServiceCannotReplace: service shop cannot replace a task: with desired count 2, minimumHealthyPercent 100 (rounded up) allows none to stop first, and maximumPercent 100 (rounded down) allows none to start first; set maximumPercent to 150 or more, or minimumHealthyPercent to 50 or less",
    );
}

/// One task: the minimum is rounded up to 1, the maximum down to 1.
#[test]
fn a_single_task_is_rounded_into_the_trap() {
    check(
        "
        service shop desired=1 running=1 min=50 max=150
        task t1 shop RUNNING
        ",
        "ServiceCannotReplace: service shop cannot replace a task: with desired count 1, minimumHealthyPercent 50 (rounded up) allows none to stop first, and maximumPercent 150 (rounded down) allows none to start first; set maximumPercent to 200 or more, or minimumHealthyPercent to 0 or less",
    );
    check(
        "
        service shop desired=3 running=3 min=67 max=133
        task t1 shop RUNNING
        ",
        "ServiceCannotReplace: service shop cannot replace a task: with desired count 3, minimumHealthyPercent 67 (rounded up) allows none to stop first, and maximumPercent 133 (rounded down) allows none to start first; set maximumPercent to 134 or more, or minimumHealthyPercent to 66 or less",
    );
}

/// The numbers in the text do work.
#[test]
fn one_step_is_enough() {
    for percents in ["min=100 max=134", "min=66 max=100", "min=0 max=100", "", "min=100"] {
        check(&format!("service shop desired=3 running=3 {percents}\ntask t1 shop RUNNING"), "");
    }
}

/// CODE_DEPLOY and EXTERNAL: while an instance drains the defaults count, whatever the service
/// shows. A controller that is newer than this program is unknown.
#[test]
fn other_controllers() {
    check("service shop desired=1 running=1 min=100 max=100 by=outside\ntask t1 shop RUNNING", "");
    check(
        "service shop desired=1 running=1 min=100 max=100 by=NEW\ntask t1 shop RUNNING\nothers",
        "",
    );
}

/// With more running than desired one may stop; with fewer, one may start; with a desired count of
/// zero, all may stop.
#[test]
fn percentages_are_no_cause_while_something_moves() {
    check(
        "service shop desired=0 running=1 min=100 max=100\ntask t1 shop RUNNING!",
        "StoppingLong: task t1 of service shop is stopping and is RUNNING: its containers have the agent's ECS_CONTAINER_STOP_TIMEOUT (30 s unless set) after the stop signal, and are then killed",
    );
    check(
        "
        service shop desired=2 running=3 min=100 max=100
        task t1 shop RUNNING
        ",
        "ReplacementNotReady: ECS has started replacements of service shop (desired count 2, 3 running, 0 pending) and stops the old tasks once they are healthy; check image, network interface, capacity and health checks",
    );
}

/// Replacements count once they are healthy.
#[test]
fn replacements_that_are_not_ready() {
    check(
        "
        service shop desired=2 running=2 pending=1
        task t1 shop RUNNING
        others
        ",
        "ReplacementNotReady: ECS has started replacements of service shop (desired count 2, 2 running, 1 pending) and stops the old tasks once they are healthy; check image, network interface, capacity and health checks",
    );
}

#[test]
fn no_other_instance() {
    let service = "service shop desired=1 running=1\ntask t1 shop RUNNING\n";
    check(
        &format!("{service} others"),
        "NoOtherInstance: cluster web has no other ACTIVE container instance, so ECS has no place for a replacement; add instances, or check why existing ones do not register",
    );
    check(
        &format!("{service} other i-1 away"),
        "NoOtherInstance: the agent of the only other ACTIVE container instance of cluster web is disconnected, so ECS has no place for a replacement; add instances, or check why existing ones do not register",
    );
    check(
        &format!("{service} other i-1 away\nother i-2 away"),
        "NoOtherInstance: the agents of all 2 other ACTIVE container instances of cluster web are disconnected, so ECS has no place for a replacement; add instances, or check why existing ones do not register",
    );
}

/// The closest lacks the fewest resources, and the least of those.
#[test]
fn no_room() {
    check(
        "
        service shop desired=1 running=1
        need shop cpu=512 memory=1024 tcp=8080
        task t1 shop RUNNING
        other i-1 cpu=128 memory=4000 taken=22
        other i-2 cpu=256 memory=2000 taken=22
        other i-3 cpu=1000 memory=512 taken=22,8080
        other i-4 cpu=9000 memory=9000 away
        ",
        "NoRoom: no other container instance has room for a task of service shop (3 checked): the closest, i-2, has 256 of the 512 CPU units; add instances, or lower the task's needs",
    );
    check(
        "
        service shop desired=1 running=1
        need shop cpu=512 memory=1024 tcp=8080
        task t1 shop RUNNING
        others more
        other i-3 cpu=1000 memory=512 taken=22,8080
        ",
        "NoRoom: no other container instance has room for a task of service shop (1 checked, the cluster has more): the closest, i-3, has 512 of the 1024 MiB of memory and has port 8080/tcp taken; add instances, or lower the task's needs",
    );
}

/// Free to the last unit is enough room; UDP ports are not TCP ports.
#[test]
fn just_enough_room() {
    check(
        "
        service shop desired=1 running=1
        need shop cpu=512 memory=1024 tcp=8080 udp=53
        task t1 shop RUNNING
        other i-1 cpu=128 memory=9000 taken=
        other i-2 cpu=512 memory=1024 taken=22,53
        ",
        "",
    );
}

/// A service that may run with fewer tasks for a while needs no room first.
#[test]
fn no_room_is_no_cause_where_a_task_may_stop_first() {
    check(
        "
        service shop desired=2 running=2 min=50 max=100
        need shop cpu=512
        task t1 shop RUNNING
        other i-1 cpu=128
        ",
        "",
    );
    // Now it may not: one of the two is gone.
    check(
        "
        service shop desired=2 running=1 min=50 max=100
        need shop cpu=512
        task t1 shop RUNNING
        other i-1 cpu=128
        ",
        "NoRoom: no other container instance has room for a task of service shop (1 checked): the closest, i-1, has 128 of the 512 CPU units; add instances, or lower the task's needs",
    );
}

/// Both are shown: a person who fixes the first would meet the second.
#[test]
fn no_step_and_no_room() {
    check(
        "
        service shop desired=1 running=1 min=100 max=100
        need shop memory=512
        event shop 5m (service shop) was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.
        task t1 shop RUNNING
        other i-1 memory=128
        ",
        "
        ServiceCannotReplace: service shop cannot replace a task: with desired count 1, minimumHealthyPercent 100 (rounded up) allows none to stop first, and maximumPercent 100 (rounded down) allows none to start first; set maximumPercent to 200 or more, or minimumHealthyPercent to 0 or less
        NoRoom: no other container instance has room for a task of service shop (1 checked): the closest, i-1, has 128 of the 512 MiB of memory; add instances, or lower the task's needs
        ",
    );
}

#[test]
fn a_constraint_that_nothing_meets() {
    check(
        "
        service shop desired=1 running=1
        where shop attribute:ecs.availability-zone == eu-west-1a
        task t1 shop RUNNING
        other i-1 attr=ecs.availability-zone:eu-west-1b
        other i-2 attr=ecs.availability-zone:eu-west-1c
        ",
        "ConstraintUnmet: no other container instance qualifies for service shop (2 checked): its tasks may be placed only where \"attribute:ecs.availability-zone == eu-west-1a\" is true (placement constraint memberOf); add such an instance, or relax the constraint",
    );
    check(
        "
        service shop desired=2 running=2 distinct placed=c0,c1
        task t1 shop RUNNING
        other i-1
        ",
        "ConstraintUnmet: no other container instance qualifies for service shop (1 checked): its tasks may be placed only where no other task of the service runs (placement constraint distinctInstance); add such an instance, or relax the constraint",
    );
    check(
        "
        service shop desired=1 running=1
        need shop attr=com.amazonaws.ecs.capability.logging-driver.awslogs
        task t1 shop RUNNING
        other i-1 attr=ecs.os-type:linux
        ",
        "ConstraintUnmet: no other container instance qualifies for service shop (1 checked): its tasks may be placed only where attribute com.amazonaws.ecs.capability.logging-driver.awslogs exists (required by its task definition); add such an instance, or relax the constraint",
    );
}

/// Each of two rules is met by some instance, both by none. A rule that all meet is not named.
#[test]
fn constraints_that_leave_nothing_together() {
    check(
        "
        service shop desired=2 running=2 distinct placed=c0,c1
        need shop attr=os:linux attr=disk:ssd where=attribute:disk~==~ssd
        task t1 shop RUNNING
        other i-1 attr=os:linux attr=disk:ssd
        other i-2 attr=os:linux attr=disk:hdd
        ",
        "ConstraintUnmet: no other container instance qualifies for service shop (2 checked): its tasks may be placed only where attribute disk is ssd (required by its task definition) and no other task of the service runs (placement constraint distinctInstance) and \"attribute:disk == ssd\" is true (placement constraint memberOf); add such an instance, or relax the constraint",
    );
}

/// Room counts only on instances where the task may be placed.
#[test]
fn room_where_it_may_not_be() {
    check(
        "
        service shop desired=1 running=1
        where shop attribute:disk == ssd
        need shop cpu=512
        task t1 shop RUNNING
        other i-1 cpu=100 attr=disk:ssd
        other i-2 cpu=9000 attr=disk:hdd
        ",
        "NoRoom: no other container instance has room for a task of service shop (2 checked): the closest, i-1, has 100 of the 512 CPU units; add instances, or lower the task's needs",
    );
}

/// Shown, not judged; and an instance without room has none anyway.
#[test]
fn an_expression_that_cannot_be_judged() {
    let service = "service shop desired=1 running=1\nwhere shop task:group == service:db\ntask t1 shop RUNNING\n";
    let shown = "ConstraintNotJudged: ecs-drain cannot evaluate a placement rule of service shop: its tasks may be placed only where \"task:group == service:db\" is true (placement constraint memberOf); check that another instance meets it";
    check(&format!("{service} other i-1"), shown);
    check(
        &format!("{service} need shop cpu=512\nother i-1 cpu=1"),
        &format!(
            "NoRoom: no other container instance has room for a task of service shop (1 checked): the closest, i-1, has 1 of the 512 CPU units; add instances, or lower the task's needs\n{shown}"
        ),
    );
}

/// ECS's own words, on one line, cut, and without characters that steer a terminal.
#[test]
fn what_ecs_says() {
    check(
        "
        service shop desired=1 running=1
        event shop 9m (service shop) has reached a steady state.
        event shop 5m (service shop) is unable to\u{1b}[31m consistently\u{202e} start tasks successfully.
        event shop 4m (service shop) has started 1 tasks: (task 0a1b).
        task t1 shop RUNNING
        ",
        "ReplacementFails: ECS reported for service shop at 2026-11-22T11:55:00Z: \"(service shop) is unable to [31m consistently start tasks successfully.\"; check the service's events, and why its newest tasks stopped",
    );
    let long = "x".repeat(300);
    check(
        &format!(
            "service shop desired=1 running=1\nevent shop 5m failed {long}\ntask t1 shop RUNNING"
        ),
        &format!(
            "ReplacementFails: ECS reported for service shop at 2026-11-22T11:55:00Z: \"failed {}…\"; check the service's events, and why its newest tasks stopped",
            &long[..193]
        ),
    );
    check(
        "
        service shop desired=1 running=1
        event shop 5m (service shop) operations are being throttled. Will try again later.
        task t1 shop RUNNING
        ",
        "ServiceThrottled: ECS reported at 2026-11-22T11:55:00Z that it throttles operations of service shop; ECS retries by itself, and AWS Support can raise the limit",
    );
}

/// A failed placement is over once a task has started since. Every complaint is over in the steady
/// state, or after the six hours in which ECS would have repeated it.
#[test]
fn complaints_that_are_over() {
    let no_place = "(service shop) was unable to place a task because no container instance met all of its requirements.";
    let service = "service shop desired=1 running=1\ntask t1 shop RUNNING\n";
    let said = format!(
        "ReplacementFails: ECS reported for service shop at 2026-11-22T06:01:00Z: \"{no_place}\"; check the service's events, and why its newest tasks stopped"
    );
    check(&format!("{service} event shop 359m {no_place}"), &said);
    check(&format!("{service} event shop 361m {no_place}"), "");
    check(
        &format!(
            "{service} event shop 9m {no_place}\nevent shop 5m (service shop) has started 1 tasks."
        ),
        "",
    );
    check(
        &format!(
            "{service} event shop 9m it failed\nevent shop 5m (service shop) has reached a steady state."
        ),
        "",
    );
}

/// ECS's event about a placement is left out if the placement itself was checked.
#[test]
fn a_place_that_was_looked_at_explains_the_event() {
    check(
        "
        service shop desired=1 running=1
        need shop cpu=512
        event shop 5m (service shop) was unable to place a task because no container instance met all of its requirements.
        task t1 shop RUNNING
        other i-1 cpu=1
        ",
        "NoRoom: no other container instance has room for a task of service shop (1 checked): the closest, i-1, has 1 of the 512 CPU units; add instances, or lower the task's needs",
    );
}

/// A task that ECS has begun to stop needs no replacement any more; a service without a task here
/// is not considered.
#[test]
fn services_of_stopping_tasks_are_no_cause() {
    check(
        "
        service shop desired=2 running=2 min=100 max=100
        service till desired=1 running=1 min=100 max=100
        task t1 shop DEACTIVATING! since=1m
        delay 300
        others
        ",
        "StoppingLong: task t1 of service shop has been stopping since 2026-11-22T11:59:00Z and is DEACTIVATING: its load balancer drains it first, for the deregistration delay of 5 min; then its containers have the agent's ECS_CONTAINER_STOP_TIMEOUT (30 s unless set) to end",
    );
}
