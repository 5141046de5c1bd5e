//! The one test binary: the real controller with the real SDK, against a simulated AWS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arrows;
mod bad_input;
mod behaviour;
mod bugs;
mod conformance;
mod crash_matrix;
mod crowds;
mod demo;
mod denied;
mod docs;
mod doctor;
mod endings;
mod fleets;
mod harness;
mod hostile;
mod metrics;
mod night;
mod numbers;
mod operators;
mod plans;
mod policy;
mod processes;
mod proof;
mod queue;
mod reach;
mod reference;
mod rollouts;
mod scenarios;
mod scopes;
mod store;
mod story;
mod templates;
mod words;
