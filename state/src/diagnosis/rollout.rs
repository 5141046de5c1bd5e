//! Deployments that keep a service's old tasks in place. AWS does not document how `DRAINING`
//! affects a deployment that waits. So the deployment is shown as one cause among the others, and
//! replaces none of them.

use super::cause::Cause;
use super::events::foreign;
use super::facts::ServiceFacts;

/// The stage that keeps the tasks of the old revision after the traffic was shifted. (Source: ECS
/// API reference, ServiceDeployment.lifecycleStage.)
const BAKING: &str = "BAKE_TIME";

/// Returns the cause if a deployment of this service keeps its old tasks.
pub(crate) fn cause(name: &str, service: &ServiceFacts) -> Option<Cause> {
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
