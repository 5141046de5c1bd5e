//! `ecs-drain` takes Amazon ECS container instances out of service safely before their Auto Scaling
//! group terminates them. This page maps the crate and states the rules between its modules.
//!
//! ```text
//! main → cli → controller, doctor, iam
//! controller → act, events, heartbeat, http, intake, reader   (none of these imports another, or the controller)
//! these → scope → beats, fleet, groups, records, searches, sizes → store → aws → config, health, metrics → blind, log → clock, quote
//! all → ecs-drain-state, which depends on neither AWS nor tokio
//! ```
//!
//! A module imports only modules to the right of it or further down. `tests/all/arrows.rs` checks
//! every import.
//!
//! A drain repeats one cycle. The reader collects **facts** (AWS's last answers, with their times).
//! `decide` turns them into a record to **commit**, **needs** for the reader, and actions. Each
//! action passes the **guard** immediately before its call. docs/architecture.md describes the
//! cycle in full.
//!
//! | module | what it does | what it must not do |
//! | --- | --- | --- |
//! | [`cli`] | implements the commands, one file each | decide anything about a drain |
//! | [`config`] | turns file and environment into one validated, typed [`config::Config`] | reach AWS |
//! | [`controller`] | runs the loops: turns and commits, table, requests, events, lease, shutdown | know a phase's rules |
//! | [`intake`] | opens records for instances that wait under an ecs-drain hook, and for requested drains | drain |
//! | [`events`] | parses a message of the queue into an [`events::Event`] | treat an event as a fact: it only makes a read happen sooner |
//! | [`heartbeat`] | sends heartbeats for waiting instances until the completion is accepted | need a record, a lease or the table |
//! | [`reader`] | makes the reads that drains need, and turns answers into their facts | report an unknown as an absence |
//! | [`act`] | chooses, checks and sends the calls that change something | act before the record is saved, or without the guard |
//! | [`scope`] | keeps the controller's memory of one account and region | keep anything that cannot be lost |
//! | [`fleet`] | keeps a slot for each unfinished drain, and the queues over the slots | make a call |
//! | [`beats`], [`groups`], [`searches`], [`sizes`] | keep the results of heartbeats, of the last read of the groups, of searches, and the numbers for budgets | make a call |
//! | [`records`] | keeps records in the table, or in a map for a dry run | interpret a record |
//! | [`store`] | keeps records, requests, pauses and the lease in DynamoDB | interpret a record |
//! | [`aws`] | wraps `aws_sdk_*`, which only it and `store` (for DynamoDB) name: types, error classes, request rates | hide a failure |
//! | [`clock`] | provides the process's one clock, and the time until which this replica leads | |
//! | [`health`], [`metrics`], [`http`] | keep liveness, readiness and metrics, and serve them over HTTP | change anything |
//! | [`blind`] | lists the reads that fail, with their start and cause | list reads that succeed |
//! | [`doctor`] | checks that a configuration will work | change anything |
//! | [`iam`] | derives the least IAM policy from the list of calls | reach AWS |
//! | [`quote`] | quotes outside text in a sentence | |
//! | [`telemetry`] | sets up the log | |
//!
//! No decision and no commit sleeps. The truth is in AWS and in the table: a process may lose
//! everything that it keeps in memory.

// The face of the crate is for its own binaries and tests. What they do not use is no part of it,
// so that the compiler says what nobody uses any more.
#![warn(unreachable_pub)]
// The pages of the documentation are those of every module (`--document-private-items`).
#![allow(rustdoc::private_intra_doc_links)]

mod act;
pub mod aws;
mod beats;
pub mod blind;
pub mod cli;
mod clock;
pub mod config;
pub mod controller;
pub mod doctor;
pub mod events;
mod fleet;
mod groups;
mod health;
mod heartbeat;
mod http;
pub mod iam;
mod intake;
mod log;
pub mod metrics;
mod quote;
pub mod reader;
mod records;
mod scope;
mod searches;
mod sizes;
pub mod store;
pub mod telemetry;
