//! Facts of a service's deployments.

use super::super::views::{count, timestamp};
use aws_sdk_ecs::types::{
    DeploymentConfiguration, DeploymentLifecycleHookAction, DeploymentLifecycleHookStatus,
    DeploymentRolloutState, Service, ServiceDeployment, ServiceRevisionCleanup,
};
use ecs_drain_state::diagnosis::{DeploymentFacts, HookTimeout, PauseFacts, RolloutFacts};

/// Reads the facts in the service itself.
pub(super) fn of_service(from: &Service) -> RolloutFacts {
    let configuration = from.deployment_configuration();
    let early = configuration
        .and_then(DeploymentConfiguration::early_success_criteria)
        .filter(|early| early.enable());
    let cleanup = early.and_then(|early| early.source_service_revision_cleanup());
    let revisions = from.current_service_revisions().iter();
    RolloutFacts {
        in_progress: in_progress(from),
        revisions: revisions
            .filter(|one| one.running_task_count() + one.pending_task_count() > 0)
            .count(),
        cleanup_deferred: cleanup == Some(&ServiceRevisionCleanup::Deferred),
        bake_minutes: configuration
            .and_then(|configuration| configuration.bake_time_in_minutes())
            .map(count),
        deployment: None,
    }
}

/// Checks whether a deployment is in progress.
pub(super) fn in_progress(from: &Service) -> bool {
    from.deployments()
        .iter()
        .any(|one| one.rollout_state() == Some(&DeploymentRolloutState::InProgress))
}

/// Reads a deployment. Returns `None` if the answer does not identify it.
pub(super) fn deployment(from: ServiceDeployment) -> Option<DeploymentFacts> {
    let mut hooks = from.lifecycle_hook_details().iter();
    let paused =
        hooks.find(|hook| hook.status() == Some(&DeploymentLifecycleHookStatus::AwaitingAction));
    let pause = paused.map(|hook| PauseFacts {
        hook: hook.hook_id().unwrap_or_default().to_owned(),
        until: hook.expires_at().and_then(timestamp),
        then: match hook.timeout_action().map(DeploymentLifecycleHookAction::as_str) {
            Some("CONTINUE") => HookTimeout::Continue,
            Some("ROLLBACK") => HookTimeout::RollBack,
            Some(_) | None => HookTimeout::Unknown,
        },
    });
    Some(DeploymentFacts {
        pause,
        stage: from.lifecycle_stage().map(|stage| stage.as_str().to_owned()).unwrap_or_default(),
        arn: from.service_deployment_arn?,
    })
}
