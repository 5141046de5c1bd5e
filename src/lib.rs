//! `ecs-drain` takes Amazon ECS container instances out of service safely before their Auto Scaling
//! group terminates them. This is the map of the crate, and the rules between its modules.
//!
//! ```text
//! main → cli → controller, doctor, iam
//! controller → act, events, heartbeat, http, intake, reader   (none of which imports another, or the controller)
//! these → scope → beats, fleet, groups, records, searches → store → aws → config, health, metrics → clock, quote
//! all → ecs-drain-state, which knows neither AWS nor tokio
//! ```
//!
//! A module imports only what is to the right of it or further down. `tests/all/arrows.rs` has
//! every arrow.
//!
//! A drain goes round like this: **facts** (what AWS last said, with its date) → `decide` → a
//! record to **commit**, **needs** for the reader, and actions, which pass the **guard** right
//! before each call. docs/architecture.md tells it in full.
//!
//! | module | what it does | what it must not do |
//! | --- | --- | --- |
//! | [`cli`] | one file a command | decide anything about a drain |
//! | [`config`] | file and environment → one validated, typed [`config::Config`] | reach AWS |
//! | [`controller`] | the loops: turns and commits, table, requests, events, lease, shutdown | know a phase's rules |
//! | [`intake`] | opens records for instances that wait under an ecs-drain hook, or are asked for | drain |
//! | [`events`] | a message of the queue → an [`events::Event`] | believe it: an event is a nudge |
//! | [`heartbeat`] | heartbeats for what is seen waiting, until the completion is accepted | need a record, a lease or the table |
//! | [`reader`] | makes the reads that drains need, and turns answers into their facts | call an absence what is only unknown |
//! | [`act`] | chooses, checks and sends the calls that change something | act before the record is saved, or without the guard |
//! | [`scope`] | what the controller keeps of one account and region | keep what cannot be lost |
//! | [`fleet`] | a slot for each unfinished drain, and the queues over them | make a call |
//! | [`beats`], [`groups`], [`searches`] | what heartbeats, the last read of the groups, and searches have shown | make a call |
//! | [`records`] | records in the table, or in a map for a dry run | interpret a record |
//! | [`store`] | records, requests, pauses and the lease in DynamoDB | interpret a record |
//! | [`aws`] | the only place that names `aws_sdk_*` (with `store` for DynamoDB): its own types in and out, error classes, request rates | hide a failure |
//! | [`clock`] | the one clock, and until when this replica leads | |
//! | [`health`], [`metrics`], [`http`] | whether it lives and is ready, its numbers, and both over HTTP | change anything |
//! | [`blind`] | what cannot be read, since when and why | keep an account of what can |
//! | [`doctor`] | tries a configuration as it would be used | change anything |
//! | [`iam`] | the least IAM policy, from the list of calls | reach AWS |
//! | [`quote`] | text from outside, quoted in a sentence | |
//! | [`telemetry`] | logs | |
//!
//! Nothing here sleeps inside a decision or a commit, and there is no truth in memory: whatever a
//! process knows, it can lose.

pub mod act;
pub mod aws;
pub mod beats;
pub mod blind;
pub mod cli;
pub mod clock;
pub mod config;
pub mod controller;
pub mod doctor;
pub mod events;
pub mod fleet;
pub mod groups;
pub mod health;
pub mod heartbeat;
pub mod http;
pub mod iam;
pub mod intake;
pub mod metrics;
pub mod quote;
pub mod reader;
pub mod records;
pub mod scope;
pub mod searches;
pub mod store;
pub mod telemetry;
