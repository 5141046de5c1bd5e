//! Whole fleets from one number: clusters, services, balancers, groups and policies; people,
//! failures and events; faults on every kind of call; and controllers that die, freeze and overlap.
//! Then the faults stop, and everything must end.
//!
//! ```sh
//! cargo run --release --bin simulation -- --seeds 10000
//! cargo run --release --bin simulation -- --seed 7
//! ```
//!
//! | module | contents |
//! | --- | --- |
//! | [`plan`] | a fleet and its events: a plain value that follows from its seed |
//! | [`world`] | a plan's clouds and configuration |
//! | [`play`] | plays a plan with the real controller in virtual time |
//! | [`judge`] | the verdict on a played plan |
//! | [`many`] | many seeds on all cores, and their figures |
//! | [`situations`] | the situations that a fleet met |
//! | [`story`] | a failing seed, made smaller by [`shrink`], with its calls and the command that plays it again |
//! | [`trials`] | random clusters: `ecs-drain plan`, and what really came of the drains |
//! | [`harness`] | shared parts of simulated runs, for the other tests too |

// A tool for tests: a set-up that fails must stop it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Most questions here are about one kind of event or fault out of many.
#![allow(clippy::wildcard_enum_match_arm)]

pub mod harness;
pub mod judge;
pub mod many;
pub mod plan;
pub mod play;
pub mod shrink;
pub mod situations;
pub mod story;
pub mod trials;
pub mod world;
