//! The rules of the decision, each as a table of passes ([`fixture`] explains its notation).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod causes;
mod completing;
mod deadlines;
mod deregistering;
mod endings;
mod every_combination;
pub(crate) mod fixture;
mod happy;
mod lost_agent;
mod needs;
mod network;
mod not_in_cluster;
mod operators;
mod orders;
mod random_walks;
mod retained;
mod returning;
mod saves;
mod unknowns;
mod verifying;
mod waiting;
mod words;
