//! `ecs-drain` takes Amazon ECS container instances out of service safely before their Auto Scaling group terminates
//! them. This is the map of the crate, and the rules between its modules.
//!
//! ```text
//! cli → controller → { intake, hold, observe, act, store } → aws
//!                     all → ecs-drain-state, which knows neither AWS nor tokio
//! ```
//!
//! | module | what it does | what it must not do |
//! | --- | --- | --- |
//! | [`cli`] | one file a command | decide anything about a drain |
//! | [`config`] | file and environment → one validated, typed [`config::Config`] | reach AWS |
//! | [`controller`] | passes over clusters, pacing, lease, shutdown | know a phase's rules |
//! | [`intake`] | finds instances that wait under our hooks, opens their records | drain |
//! | [`events`] | a message of the queue → an [`events::Event`] | believe it: an event is a nudge |
//! | [`doctor`] | tries a configuration as it would be used | change anything |
//! | [`health`], [`metrics`], [`http`] | whether it lives and is ready, its numbers, and who may ask | change anything |
//! | [`hold`] | heartbeats for what is seen waiting | need a record, a lease or the table |
//! | [`observe`] | reads a cluster in batches, cuts an observation for each drain out of it | call an absence what is only unknown |
//! | [`act`] | carries a decision's actions out | act before the record is saved |
//! | [`store`] | drain records and the lease in DynamoDB | interpret a record |
//! | [`aws`] | the only place that names `aws_sdk_*` (with `store` for DynamoDB): our types in and out, error classes | hide a failure |
//! | [`iam`] | the least IAM policy, from the list of calls | reach AWS |
//! | [`quote`] | text from outside, in sentences of ours | |
//! | [`telemetry`] | logs | |
//!
//! Nothing here sleeps inside a pass, and there is no truth in memory: whatever a process knows, it can lose.

pub mod act;
pub mod aws;
pub mod cli;
pub mod config;
pub mod controller;
#[cfg(feature = "demo")]
pub mod demo;
pub mod doctor;
pub mod events;
pub mod health;
pub mod hold;
pub mod http;
pub mod iam;
pub mod intake;
pub mod metrics;
pub mod observe;
pub mod quote;
pub mod store;
pub mod telemetry;
