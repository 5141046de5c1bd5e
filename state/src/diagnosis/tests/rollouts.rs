//! Deployments that keep the tasks of a service in place.

use super::check;

/// Checks the causes of a service that could move, with this deployment.
#[track_caller]
fn says(rollout: &str, expected: &str) {
    check(
        &format!("service shop desired=2 running=2\ntask t1 shop RUNNING\nrollout shop {rollout}"),
        expected,
    );
}

#[test]
fn a_paused_deployment_names_its_hook_and_what_ends_the_pause() {
    let continued = "continue it";
    for (then, words) in [
        ("then=rollback", "when ECS rolls it back"),
        ("then=continue", "when ECS continues it"),
        ("", "when ECS ends the pause"),
    ] {
        says(
            &format!("progress stage=POST_TEST_TRAFFIC_SHIFT hook=h until=48h {then}"),
            &format!(
                "DeploymentPaused: the deployment of service shop is paused at POST_TEST_TRAFFIC_SHIFT by hook h until \
                 2026-11-24T12:00:00Z, {words}; {continued}"
            ),
        );
    }
    says(
        "progress hook=h",
        &format!(
            "DeploymentPaused: the deployment of service shop is paused at an unknown stage by hook h; {continued}"
        ),
    );
}

#[test]
fn a_baking_deployment_says_for_how_long() {
    let end = "ECS keeps the tasks of the old revision until the bake time is over; wait, or stop the \
               deployment";
    says(
        "progress stage=BAKE_TIME bake=90",
        &format!("DeploymentBaking: the deployment of service shop is baking (1 h 30 min): {end}"),
    );
    says(
        "progress stage=BAKE_TIME",
        &format!("DeploymentBaking: the deployment of service shop is baking: {end}"),
    );
}

#[test]
fn deferred_clean_up_is_a_cause_while_old_tasks_are_left() {
    says(
        "deferred revisions=2",
        "CleanupDeferred: tasks of 2 revisions of service shop are running after its deployment was completed: with \
         sourceServiceRevisionCleanup DEFERRED, ECS may keep the old ones for two weeks; stop them with aws ecs stop-task",
    );
    says("deferred revisions=1", "");
    says("revisions=2", "");
}

/// Tasks are moved in these stages, an expired pause is none, and nothing is concluded from missing
/// facts.
#[test]
fn a_deployment_that_goes_on_is_no_cause() {
    says("progress stage=SCALE_UP revisions=2 deferred", "");
    says("progress revisions=2", "");
    says("stage=BAKE_TIME hook=h", "");
}
