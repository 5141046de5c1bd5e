//! How far the controller reaches: scenarios on the simulated AWS, in virtual time, with AWS's
//! published request rates on and the checkers on. Each ends in figures, and figures are held
//! against the bounds of [`table`].
//!
//! ```sh
//! cargo run --profile bench-run --bin bench -- --quick
//! cargo run --profile bench-run --bin bench -- --scenario wave-1000
//! ```
//!
//! | module | what it is |
//! | --- | --- |
//! | [`scenario`] | what a scenario is: a layout, a plot and bounds; a plain value |
//! | [`table`] | all scenarios |
//! | [`world`] | the clouds of a scenario and the controller's configuration |
//! | [`play`] | plays a scenario with the real controller in virtual time |
//! | [`tally`] | what the call log says: calls, throttled ones, the use of each rate family |
//! | [`figures`] | what came of a scenario, and which bounds it misses |
//! | [`report`] | figures as text |
//! | [`peers`] | what other tools' polling would have cost |
//! | [`lines`] | how much the controller says |
//! | [`owner`] | whose code runs, so that memory and CPU time can be told apart |
//!
//! Everything but memory and CPU time follows from the simulated world and its call log alone: of
//! the controller only `run_with_ids`, `Config::parse` and the store's way to ask for a drain are
//! used.

// A tool for tests: what it cannot set up must stop it.
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
