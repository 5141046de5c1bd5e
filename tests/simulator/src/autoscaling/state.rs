//! Lifecycle states: each is a journey and a stage on it.
//!
//! | journey | begins | waits for hooks | proceeds | arrives |
//! | --- | --- | --- | --- | --- |
//! | into service | `Pending` | `Pending:Wait` | `Pending:Proceed` | `InService` |
//! | out | `Terminating` | `Terminating:Wait` | `Terminating:Proceed` | terminated |
//! | into the warm pool, new | `Warmed:Pending` | `Warmed:Pending:Wait` | `Warmed:Pending:Proceed` | `Warmed:Stopped` |
//! | back to the warm pool | the same | the same, under *terminating* hooks | the same | `Warmed:Stopped` |
//! | out of the warm pool | `Warmed:Terminating` | `Warmed:Terminating:Wait` | `Warmed:Terminating:Proceed` | terminated |
//! | new root volume | `ReplacingRootVolume` | `ReplacingRootVolume:Wait` | `ReplacingRootVolume:Proceed` | `RootVolumeReplaced` |
//!
//! So an instance under a terminating hook is not always terminated afterwards. Source: Auto
//! Scaling API reference, LifecycleState; EC2 Auto Scaling guide, "Warm pool instance lifecycle"
//! and "Replace root volume".

use super::hooks::Transition;
use std::time::Duration;

/// The destination of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journey {
    /// Into service: a launch, or a start from the warm pool.
    IntoService,
    /// Out of the group, to be terminated.
    Out,
    /// Into the warm pool, newly launched.
    IntoPool,
    /// Out of service and back to the warm pool, in a group that reuses instances on scale-in.
    BackToPool,
    /// Out of the warm pool, to be terminated.
    OutOfPool,
    /// To a new root volume, and then into service again.
    RootVolume,
}

/// The progress on a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It launches, or leaves the balancers attached to its group.
    Begun,
    /// Lifecycle actions hold it.
    Wait,
    /// All actions are over.
    Proceed,
    /// No hook applied: it continues under the state name of its beginning.
    Unheld,
    /// An action ended with ABANDON, and the group retains such instances.
    Retained,
    /// It arrived.
    Arrived,
}

impl Journey {
    /// Returns the transition whose hooks apply on this journey.
    pub fn transition(self) -> Transition {
        match self {
            Self::IntoService | Self::IntoPool => Transition::Launching,
            Self::Out | Self::BackToPool | Self::OutOfPool | Self::RootVolume => {
                Transition::Terminating
            }
        }
    }

    /// Returns true if its instances belong to the warm pool, where DescribeAutoScalingGroups does
    /// not show them. Source: Auto Scaling API reference, DescribeAutoScalingGroups.
    pub fn in_warm_pool(self) -> bool {
        match self {
            Self::IntoPool | Self::BackToPool | Self::OutOfPool => true,
            Self::IntoService | Self::Out | Self::RootVolume => false,
        }
    }

    /// Returns true if its instances count towards the desired capacity.
    pub fn counts(self) -> bool {
        matches!(self, Self::IntoService | Self::RootVolume)
    }

    /// Returns `Origin` of a journey that follows this one: `EC2`, `AutoScalingGroup` or
    /// `WarmPool`. Source: EC2 Auto Scaling guide, "Warm pool event types and patterns" and
    /// "Replace root volume".
    pub(super) fn origin_of(self, next: Self) -> &'static str {
        match (self, next) {
            (_, Self::BackToPool | Self::RootVolume) | (Self::RootVolume, _) => "AutoScalingGroup",
            (_, Self::OutOfPool) | (Self::BackToPool, Self::IntoService) => "WarmPool",
            (Self::IntoPool, Self::IntoService) => "WarmPool",
            (_, Self::Out) => "AutoScalingGroup",
            (_, Self::IntoService | Self::IntoPool) => "EC2",
        }
    }

    /// Returns `Destination`, in the same words.
    pub(super) fn destination(self) -> &'static str {
        match self {
            Self::IntoService | Self::RootVolume => "AutoScalingGroup",
            Self::IntoPool | Self::BackToPool => "WarmPool",
            Self::Out | Self::OutOfPool => "EC2",
        }
    }

    /// Returns the time from the beginning to the wait. All times here are the simulator's own; AWS
    /// publishes none.
    pub(super) fn time_to_begin(self, launch_time: Duration) -> Duration {
        match self {
            Self::IntoService | Self::IntoPool => launch_time,
            Self::Out | Self::BackToPool | Self::OutOfPool | Self::RootVolume => {
                Duration::from_secs(3)
            }
        }
    }

    /// Returns the time from the end of the wait to the arrival.
    pub(super) fn time_to_proceed(self) -> Duration {
        match self {
            Self::IntoService | Self::IntoPool => Duration::from_secs(2),
            Self::Out | Self::BackToPool | Self::OutOfPool | Self::RootVolume => {
                Duration::from_secs(20)
            }
        }
    }

    /// Returns the time from the beginning to the arrival where no hook applied.
    pub(super) fn time_unheld(self) -> Duration {
        match self {
            Self::IntoService | Self::IntoPool => Duration::ZERO,
            Self::Out | Self::BackToPool | Self::OutOfPool | Self::RootVolume => {
                self.time_to_proceed()
            }
        }
    }
}

/// Returns AWS's name of a lifecycle state.
pub fn name(journey: Journey, stage: Stage) -> &'static str {
    let [begun, wait, proceed, retained, arrived] = match journey {
        Journey::IntoService => {
            ["Pending", "Pending:Wait", "Pending:Proceed", "Pending", "InService"]
        }
        Journey::Out => [
            "Terminating",
            "Terminating:Wait",
            "Terminating:Proceed",
            "Terminating:Retained",
            "Terminated",
        ],
        Journey::IntoPool | Journey::BackToPool => [
            "Warmed:Pending",
            "Warmed:Pending:Wait",
            "Warmed:Pending:Proceed",
            "Warmed:Pending:Retained",
            "Warmed:Stopped",
        ],
        Journey::OutOfPool => [
            "Warmed:Terminating",
            "Warmed:Terminating:Wait",
            "Warmed:Terminating:Proceed",
            "Warmed:Terminating:Retained",
            "Warmed:Terminated",
        ],
        Journey::RootVolume => [
            "ReplacingRootVolume",
            "ReplacingRootVolume:Wait",
            "ReplacingRootVolume:Proceed",
            "ReplacingRootVolume",
            "RootVolumeReplaced",
        ],
    };
    match stage {
        Stage::Begun | Stage::Unheld => begun,
        Stage::Wait => wait,
        Stage::Proceed => proceed,
        Stage::Retained => retained,
        Stage::Arrived => arrived,
    }
}
