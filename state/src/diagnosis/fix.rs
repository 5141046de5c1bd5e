//! The call to AWS by which a person ends a cause.

use super::cause::Cause;
use serde::{Deserialize, Serialize};

/// A call to ECS that ends a cause. ecs-drain shows it as a command and never makes it for this
/// reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fix {
    /// `StopTask`.
    StopTask {
        /// Name of the cluster.
        cluster: String,
        /// The last part of the task's ARN.
        task: String,
    },
    /// `UpdateTaskProtection` without protection.
    EndProtection {
        /// Name of the cluster.
        cluster: String,
        /// The last part of the task's ARN.
        task: String,
    },
    /// `ContinueServiceDeployment`.
    ContinueDeployment {
        /// ARN of the service deployment.
        deployment: String,
        /// Id of the hook that pauses it.
        hook: String,
    },
    /// `StopServiceDeployment`.
    StopDeployment {
        /// ARN of the service deployment.
        deployment: String,
    },
}

impl Cause {
    /// Returns the call that ends this cause, if there is one that suits every such case.
    pub fn fix(&self) -> Option<Fix> {
        match self {
            Cause::ProtectedTask { tasks, .. } => Some(Fix::EndProtection {
                cluster: tasks.cluster.clone(),
                task: tasks.first.clone(),
            }),
            Cause::StandaloneTask { tasks, .. } => {
                Some(Fix::StopTask { cluster: tasks.cluster.clone(), task: tasks.first.clone() })
            }
            Cause::DeploymentPaused { deployment, hook, .. } => {
                Some(Fix::ContinueDeployment { deployment: deployment.clone(), hook: hook.clone() })
            }
            Cause::DeploymentBaking { deployment, .. } => {
                Some(Fix::StopDeployment { deployment: deployment.clone() })
            }
            Cause::AgentDisconnected { .. }
            | Cause::ServiceCannotReplace { .. }
            | Cause::NoOtherInstance { .. }
            | Cause::ConstraintUnmet { .. }
            | Cause::NoRoom { .. }
            | Cause::ReplacementFails { .. }
            | Cause::ServiceThrottled { .. }
            | Cause::CleanupDeferred { .. }
            | Cause::TargetStays { .. }
            | Cause::StoppingLong { .. }
            | Cause::ReplacementNotReady { .. }
            | Cause::TargetDelay { .. }
            | Cause::DaemonTask { .. }
            | Cause::ConstraintNotJudged { .. }
            | Cause::Throttled { .. }
            | Cause::Unreadable { .. } => None,
        }
    }
}
