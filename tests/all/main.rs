//! The one test binary: the real controller with the real SDK, against a simulated AWS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bad_input;
mod crash_matrix;
mod docs;
mod harness;
mod processes;
mod scenarios;
mod store;
