//! The drain record, its phases, and the pure decision of `ecs-drain`.
//!
//! This crate is the domain and nothing else: it knows neither AWS's SDK, nor a runtime, nor a clock. It depends on
//! `serde` and a time crate; the manifest forbids the rest. Read it in this order:
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`phase`] | where a drain stands, which move is legal, how it can end |
//! | [`record`] | the durable state of one drain: what is written to the table |
//! | [`request`] | what an operator asks of a drain, and what comes of it |
//! | [`observation`] | the facts about one instance at one moment, unknown ones said to be unknown |
//! | [`policy`] | what an operator has chosen |
//! | [`sightings`] | what has been seen unbroken, and since when: memory that may be lost |
//! | [`why`] | the reason of a decision, in the same words everywhere |
//! | [`decide()`](decide::decide) | record + observation + policy + sightings + now → what to save, then do, and when to look again |
//!
//! Two clocks appear, and they are different types. A [`jiff::Timestamp`] is what a person reads and what deadlines are
//! made of. A [`Mono`] is time since the process began: spans of waiting are measured with it, so that a wall clock that
//! jumps cannot shorten a wait.

pub mod decide;
pub mod diagnosis;
pub mod observation;
pub mod phase;
pub mod policy;
pub mod record;
pub mod request;
pub mod sightings;
pub mod why;

/// Monotonic time since this process began. Never stored, never compared between processes.
pub type Mono = std::time::Duration;

pub use decide::{Action, CompletionAnswer, Context, Decision, Turn, after_completion, decide};
pub use observation::{
    ContainerInstanceSight, ContainerInstanceStatus, GroupSight, HookSight, LifecycleState, Lookup, Observation, Seen,
    TargetSight, TaskKind, TaskSight,
};
pub use phase::{Outcome, Phase};
pub use policy::{
    AtDeadline, Concurrency, DaemonTasks, DisconnectedAgent, NotInCluster, Policy, Rebalance, StandaloneTasks,
};
pub use record::{
    ActionResult, Balancer, ContainerInstance, Event, Intent, LastError, Lifecycle, Note, Obligation, Order, Origin,
    Record, Strategy, Target, Then, WaitKind,
};
pub use request::{Applied, Request, What};
pub use sightings::{AgentLost, Sightings};
pub use why::Why;
