//! A simulated AWS: ECS on EC2, Auto Scaling, load balancers, SQS and what feeds it, DynamoDB and
//! STS.
//!
//! # The map
//!
//! | module | what it is |
//! | --- | --- |
//! | [`cloud`] | the world of one account and region: a synchronous state machine `handle(now, request) -> reply` |
//! | [`spec`] | how scenarios describe clusters, services and tasks |
//! | [`ecs`] | clusters, container instances, tasks and the service scheduler |
//! | [`elb`] | Elastic Load Balancing, both generations |
//! | [`autoscaling`] | groups, lifecycle hooks, warm pools |
//! | [`sqs`], [`events`] | queues, and what AWS sends there: lifecycle notifications, Spot warnings, state changes |
//! | [`dynamodb`], [`sts`] | the table's service (crate dynoxide), and identities |
//! | [`wire`] | the JSON and Query protocols |
//! | [`fault`], [`limits`] | what goes wrong on the way: a fault plan, stale reads, AWS's token buckets |
//! | [`log`], [`checker`] | what was called, and whether the promises held, judged by the true world |
//! | [`connector`], [`server`] | two thin shells: the AWS SDK's HTTP connector, and a socket |
//! | [`proxy`] | what networks do, before that socket |
//!
//! # Rules
//!
//! - Nothing below the shells reads a clock, draws from a global random source or awaits: `now` is
//!   an argument, and one seed decides everything else. The same calls at the same times give the
//!   same world.
//! - *Truth* (containers, connections) and *what the APIs say of it* (task states, counters, target
//!   health) are kept apart, because AWS's own answers are late, partial and sometimes wrong.
//! - The simulator knows nothing of the program under test.

#![warn(missing_docs)]

pub mod autoscaling;
pub mod checker;
pub mod cloud;
pub mod connector;
mod digest;
pub mod dynamodb;
pub mod ecs;
pub mod elb;
pub mod events;
pub mod fault;
mod ids;
pub mod limits;
pub mod log;
pub mod proxy;
pub mod server;
pub mod spec;
pub mod sqs;
pub mod sts;
#[cfg(test)]
mod testing;
pub mod wire;

/// Time since the start of the simulated world. Wall time is [`cloud::Cloud::start`] plus this.
pub type SimTime = std::time::Duration;

/// The account that every simulated resource belongs to.
pub const ACCOUNT: &str = "123456789012";

/// The region of the simulated world. A request signed for another one sees an empty world, unless
/// a scenario has given that one a world of its own
/// ([`Simulator::add_region`](connector::Simulator::add_region)).
pub const REGION: &str = "us-east-1";

pub use autoscaling::{RefreshSpec, RefreshStatus};
pub use checker::{Budget, Checkers, RecordRules, Violation, Written};
pub use cloud::{BEGIN, Cloud, CloudError, Delivery};
pub use connector::{Simulator, SimulatorConfig};
pub use events::{EventPlan, Feed};
pub use fault::{CallInfo, Fault, FaultPlan, Matcher, Rule};
pub use wire::{Reply, Request};
