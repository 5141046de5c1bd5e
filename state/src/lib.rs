//! The drain record, its phases, and the pure decision of `ecs-drain`.
//!
//! This crate is the domain and nothing else: it knows neither AWS's SDK, nor a runtime, nor a
//! clock. It depends on `serde` and a time crate; the manifest forbids the rest. Read it in this
//! order:
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`phase`] | where a drain stands, which move is legal, how it can end |
//! | [`record`] | the durable state of one drain: what is written to the table |
//! | [`request`] | what an operator asks of a drain, and what comes of it |
//! | [`sight`] | what AWS says of one thing; what absence means |
//! | [`facts`] | what AWS was last seen to say of one drain's instance, and when: memory that may be lost |
//! | [`proof`] | whether everything is gone, and if not, which evidence is missing |
//! | [`policy`] | what an operator has chosen |
//! | [`why`] | the reason of a decision, in the same words everywhere |
//! | [`decide()`](decide::decide) | record + facts + policy + context + now → what to save, then do, and what to read next |
//! | [`needs`] | what a drain wants read, from when, and how urgently |
//! | [`budget`] | whose turn it is |
//! | [`drain`] | the whole of it: one drain as one value, and the guard of each call |
//! | [`diagnosis`] | why a drain does not move |
//! | [`text`] | what a text from outside must not do |
//! | [`time`] | two clocks, as two types |

#![warn(missing_docs)]

pub mod budget;
pub mod decide;
pub mod diagnosis;
pub mod drain;
pub mod facts;
pub mod needs;
pub mod phase;
pub mod policy;
pub mod proof;
pub mod record;
pub mod request;
pub mod sight;
pub mod text;
pub mod time;
pub mod why;

pub use decide::{Action, CompletionAnswer, Context, Decision, Turn, after_completion, decide};
pub use drain::Drain;
pub use facts::{Answer, Facts, Kind, TaskAnswer, Wanted, matters};
pub use needs::{Class, Need, Needs};
pub use phase::{Outcome, Phase};
pub use policy::{
    AtDeadline, Concurrency, DaemonTasks, DisconnectedAgent, NotInCluster, Policy, Rebalance,
    StandaloneTasks,
};
pub use record::{
    ActionResult, Balancer, ContainerInstance, Event, Intent, LastError, Lifecycle, Note,
    Obligation, Order, Orders, Origin, Record, Shown, Stage, Strategy, Target, Then, WaitKind,
};
pub use request::{Applied, Request, What};
pub use sight::{
    ContainerInstanceSight, ContainerInstanceStatus, GroupSight, HookSight, LifecycleState, Seen,
    TargetSight, TaskKind, TaskSight,
};
pub use time::{Mono, Now, Read, Run, Watch};
pub use why::Why;
