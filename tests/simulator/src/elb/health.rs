//! The states of a target, in the words of DescribeTargetHealth.

/// A target's health.
///
/// Only [`Health::NotRegistered`] proves that a target is gone: `unused` has other reasons, under
/// which the target is still registered. Source: ELBv2 API reference, TargetHealth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// `initial`: the load balancer is adding the target.
    RegistrationInProgress,
    /// `initial`: the first health checks run.
    InitialHealthChecking,
    /// `healthy`.
    Healthy,
    /// `unhealthy`: health checks fail. It may get traffic all the same, since groups fail open.
    FailedHealthChecks,
    /// `unhealthy`: the address does not answer.
    Timeout,
    /// `draining`: no new requests; those in progress may finish.
    DeregistrationInProgress,
    /// `unused`: the target is not registered.
    NotRegistered,
    /// `unused`: registered in a group that no listener uses.
    NotInUse,
    /// `unused`: registered, and the instance is stopped.
    InvalidState,
}

impl Health {
    /// Returns `State`.
    pub fn state(self) -> &'static str {
        match self {
            Self::RegistrationInProgress | Self::InitialHealthChecking => "initial",
            Self::Healthy => "healthy",
            Self::FailedHealthChecks | Self::Timeout => "unhealthy",
            Self::DeregistrationInProgress => "draining",
            Self::NotRegistered | Self::NotInUse | Self::InvalidState => "unused",
        }
    }

    /// Returns `Reason`; a healthy target has none.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::RegistrationInProgress => Some("Elb.RegistrationInProgress"),
            Self::InitialHealthChecking => Some("Elb.InitialHealthChecking"),
            Self::Healthy => None,
            Self::FailedHealthChecks => Some("Target.FailedHealthChecks"),
            Self::Timeout => Some("Target.Timeout"),
            Self::DeregistrationInProgress => Some("Target.DeregistrationInProgress"),
            Self::NotRegistered => Some("Target.NotRegistered"),
            Self::NotInUse => Some("Target.NotInUse"),
            Self::InvalidState => Some("Target.InvalidState"),
        }
    }

    /// Returns `Description`; a healthy target has none.
    pub fn description(self) -> Option<&'static str> {
        match self {
            Self::RegistrationInProgress => Some("Target registration is in progress"),
            Self::InitialHealthChecking => Some("Initial health checks in progress"),
            Self::Healthy => None,
            Self::FailedHealthChecks => Some("Health checks failed"),
            Self::Timeout => Some("Request timed out"),
            Self::DeregistrationInProgress => Some("Target deregistration is in progress"),
            Self::NotRegistered => Some("Target is not registered to the target group"),
            Self::NotInUse => {
                Some("Target group is not configured to receive traffic from the load balancer")
            }
            Self::InvalidState => Some("Target is in the stopped state"),
        }
    }
}
