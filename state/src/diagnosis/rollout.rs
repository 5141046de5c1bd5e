//! Whether a deployment of a service keeps its tasks where they are. AWS does not document how
//! `DRAINING` and a deployment that waits go together, so that it is told as a cause, and no other
//! cause is left out for it.

use super::cause::Cause;
use super::events::foreign;
use super::facts::ServiceFacts;

/// The stage in which the tasks of the old revision are kept after the traffic was shifted.
/// (Source: ECS API reference, ServiceDeployment.lifecycleStage.)
const BAKING: &str = "BAKE_TIME";

/// Returns what a deployment of this service does to its old tasks, if one does.
pub(super) fn cause(name: &str, service: &ServiceFacts) -> Option<Cause> {
    let rollout = &service.rollout;
    let service = name.to_owned();
    if let Some(deployment) = rollout.deployment.as_ref().filter(|_| rollout.in_progress) {
        let (arn, stage) = (foreign(&deployment.arn), foreign(&deployment.stage));
        return match &deployment.pause {
            Some(pause) => Some(Cause::DeploymentPaused {
                service,
                deployment: arn,
                hook: foreign(&pause.hook),
                stage: if stage.is_empty() { "an unknown stage".to_owned() } else { stage },
                until: pause.until,
                then: pause.then,
            }),
            None if stage == BAKING => Some(Cause::DeploymentBaking {
                service,
                deployment: arn,
                minutes: rollout.bake_minutes,
            }),
            None => None,
        };
    }
    let deferred = !rollout.in_progress && rollout.cleanup_deferred && rollout.revisions > 1;
    deferred.then_some(Cause::CleanupDeferred { service, revisions: rollout.revisions })
}
