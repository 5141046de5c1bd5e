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

pub(crate) mod autoscaling;
pub mod calls;
pub(crate) mod clients;
pub(crate) mod ecs;
pub(crate) mod elb;
pub(crate) mod elbv2;
pub(crate) mod error;
pub(crate) mod limiter;
pub(crate) mod sqs;

mod batch;
mod caller;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use autoscaling::{Beat, GroupView, HookView, LaunchTemplate, MemberView};
pub(crate) use batch::Described;
pub use calls::{Call, Family};
pub use clients::{Environment, Session, caller_arn, connect};
pub use ecs::{ContainerInstanceView, Desired, Ecs, RevisionView, ServiceView, State, TaskView};
pub(crate) use elbv2::TargetHealthView;
pub use error::{AwsError, ErrorClass};
pub(crate) use limiter::Permit;
pub(crate) use sqs::Message;
