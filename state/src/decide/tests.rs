//! The rules of the decision, each as a table of passes (how to read one: [`fixture`]).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod completing;
mod deadlines;
mod deregistering;
mod endings;
mod every_combination;
mod fixture;
mod happy;
mod not_in_cluster;
mod random_walks;
mod returning;
mod saves;
mod sightings;
mod unknowns;
mod verifying;
mod waiting;
