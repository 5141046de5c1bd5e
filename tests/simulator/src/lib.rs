//! A simulated AWS: ECS on EC2, Auto Scaling, load balancers, DynamoDB, SQS, STS, and the events
//! that reach queues.
//!
//! # Modules
//!
//! | module | contents |
//! | --- | --- |
//! | [`cloud`] | the world of one account and region: a synchronous state machine `handle(now, request) -> reply` |
//! | [`spec`] | the descriptions of clusters, services and tasks in scenarios |
//! | [`ecs`] | clusters, container instances, tasks and the service scheduler |
//! | [`elb`] | Elastic Load Balancing, both generations |
//! | [`autoscaling`] | groups, lifecycle hooks, warm pools, instance refreshes |
//! | [`sqs`], [`events`] | queues, and the messages of AWS in them: lifecycle notifications, Spot warnings, state changes |
//! | [`dynamodb`], [`sts`] | tables (crate dynoxide), and identities |
//! | [`wire`] | the JSON and Query protocols |
//! | [`fault`], [`limits`] | failures: a fault plan, stale reads, AWS's token buckets |
//! | [`log`], [`checker`] | the calls, and the verdict on the program's promises, judged by the true world |
//! | [`connector`], [`server`] | two thin shells: the AWS SDK's HTTP connector, and a socket |
//! | [`proxy`] | failures of the network before that socket |
//!
//! # AWS's behaviour that decides a drain
//!
//! The sources are in the modules; behaviour without one is marked as the simulator's choice.
//!
//! | behaviour | module |
//! | --- | --- |
//! | each hook of a group opens an action of its own; the wait ends when all have ended, or at the first ABANDON | `autoscaling::hooks` |
//! | a heartbeat restarts an action's timeout; the global timeout, the smaller of 48 hours and 100 heartbeat timeouts, is fixed | `autoscaling::hooks` |
//! | an instance under a terminating hook is not always terminated: it can return to a warm pool, or be retained | `autoscaling::state` |
//! | hooks start after the group's own balancers have drained the instance | `autoscaling` |
//! | on a `DRAINING` instance, ECS replaces service tasks within the deployment's percentages, leaves standalone tasks alone, and stops daemons last | `ecs::scheduler` |
//! | a task on its way out is in no default list and no counter, although its container still answers requests | `ecs::ops`, `ecs::describe` |
//! | a forced deregistration reports tasks as stopped while their containers run on | `ecs::instance` |
//! | a target is gone once its health is `Target.NotRegistered`; `unused` alone has other reasons | `elb::health` |
//! | a Network Load Balancer still delivers connections to a target that its API no longer lists | `elb` |
//! | a page can be short or empty with more to come | `fault` |
//! | events are late, out of order, doubled or lost | `events` |
//!
//! # Rules
//!
//! - Below the shells, no code reads a clock, uses a global random source or awaits: `now` is an
//!   argument, and one seed decides everything else. The same calls at the same times give the same
//!   world.
//! - *Truth* (containers, connections) and *the answers of the APIs* (task states, counters, target
//!   health) are kept apart, because AWS's answers are late, partial and sometimes wrong.
//! - The simulator knows nothing of the program under test.

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(unreachable_pub))]

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

/// The region of the simulated world. A request signed for another region sees an empty world,
/// unless a scenario has created one there
/// ([`Simulator::add_region`](connector::Simulator::add_region)).
pub const REGION: &str = "us-east-1";

pub use autoscaling::{RefreshSpec, RefreshStatus};
pub use checker::{Budget, Checkers, RecordRules, Violation, Written};
pub use cloud::{BEGIN, Cloud, CloudError, Delivery};
pub use connector::{Simulator, SimulatorConfig};
pub use events::{EventPlan, Feed};
pub use fault::{CallInfo, Fault, FaultPlan, Matcher, Rule};
pub use wire::{Reply, Request};
