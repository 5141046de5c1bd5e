//! The controller's reach: scenarios on the simulated AWS, in virtual time, with AWS's published
//! request rates and the checkers on. Each ends in figures, which are compared with the bounds of
//! [`table`].
//!
//! ```sh
//! cargo run --profile bench-run --bin bench -- --quick
//! cargo run --profile bench-run --bin bench -- --scenario wave-1000
//! ```
//!
//! | module | contents |
//! | --- | --- |
//! | [`scenario`] | a scenario: a layout, a plot and bounds; a plain value |
//! | [`table`] | all scenarios |
//! | [`world`] | the clouds of a scenario and the controller's configuration |
//! | [`play`] | plays a scenario with the real controller in virtual time |
//! | [`tally`] | figures from the call log: calls, throttled ones, the use of each rate family |
//! | [`figures`] | the figures of a scenario, and the bounds that it misses |
//! | [`report`] | figures as text |
//! | [`peers`] | the cost of other tools' polling |
//! | [`lines`] | the number of log lines |
//! | [`owner`] | the owner of the running code, for memory and CPU time |
//!
//! Everything but memory and CPU time follows from the simulated world and its call log alone. The
//! bench uses three parts of the program: `run_with_ids`, `Config::parse`, and the store's way to
//! request a drain.

// A tool for tests: a set-up that fails must stop it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod figures;
pub mod lines;
pub mod owner;
pub mod peers;
pub mod play;
pub mod report;
pub mod scenario;
pub mod table;
mod tally;
pub mod world;
