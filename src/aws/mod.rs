//! Wraps AWS: the only module, with `store` for DynamoDB, that names `aws_sdk_*`.
//!
//! Its functions take and return this program's own small types. Pages, batch limits, request rates
//! and the many names of the same problem stay inside. An absent item is *reported* as absent
//! (`missing`, `None`), and only if AWS says so. A failed read is an error, never an empty list.
//!
//! | file | contents |
//! | --- | --- |
//! | [`calls`] | every call that is made: IAM policy, request rate, error messages |
//! | [`mod@error`] | classes of failures, each with one treatment |
//! | [`clients`] | credentials, timeouts, retries; a [`Session`] is one account and region |
//! | [`limiter`] | half of AWS's published request rates; a [`Permit`] is for one call |
//! | [`ecs`], [`autoscaling`], [`elbv2`], [`elb`], [`sqs`] | the services |

pub mod autoscaling;
pub mod calls;
pub mod clients;
pub mod ecs;
pub mod elb;
pub mod elbv2;
pub mod error;
pub mod limiter;
pub mod sqs;

mod batch;
mod caller;

#[cfg(test)]
pub(crate) mod tests;

pub use autoscaling::{AutoScaling, Beat, GroupView, HookView, LaunchTemplate, MemberView};
pub use batch::Described;
pub use calls::{Call, Family};
pub use clients::{Environment, Session, caller_arn, connect};
pub use ecs::{ContainerInstanceView, Desired, Ecs, RevisionView, ServiceView, State, TaskView};
pub use elb::Elb;
pub use elbv2::{Elbv2, TargetHealthView};
pub use error::{AwsError, ErrorClass};
pub use limiter::{Limiter, Permit};
pub use sqs::{Message, Sqs};
