//! Whole fleets from one number: clusters, services, balancers, groups and policies; people,
//! failures and the world at work on them; faults on every kind of call; and controllers that die,
//! stand still and overlap. Then faults stop, and everything must end.
//!
//! ```sh
//! cargo run --release --bin simulation -- --seeds 10000
//! cargo run --release --bin simulation -- --seed 7
//! ```
//!
//! | module | what it is |
//! | --- | --- |
//! | [`plan`] | what a fleet is and what happens to it: a plain value that follows from its seed |
//! | [`world`] | a plan's clouds and configuration |
//! | [`play`] | plays a plan with the real controller in virtual time |
//! | [`judge`] | what is wrong with what came of it |
//! | [`many`] | many seeds on all cores, and what was played in figures |
//! | [`situations`] | which situations a fleet came into |
//! | [`story`] | a failing seed, made smaller by [`shrink`], with its calls and the command that plays it again |
//! | [`harness`] | what every simulated run needs, the other tests' too |

// A tool for tests: what it cannot set up must stop it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Most questions here are about one kind of happening or fault out of many.
#![allow(clippy::wildcard_enum_match_arm)]

pub mod harness;
pub mod judge;
pub mod many;
pub mod plan;
pub mod play;
pub mod shrink;
pub mod situations;
pub mod story;
pub mod world;
