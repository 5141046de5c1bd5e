//! The drain record, its phases, and the pure decision of `ecs-drain`.
//!
//! This crate is the domain and nothing else. It does not know AWS's SDK, a runtime or a clock, so
//! a test or a model checker can run every decision. It depends on `serde` and a time crate; the
//! manifest forbids the rest. Read it in this order:
//!
//! | module | content |
//! | --- | --- |
//! | [`phase`] | the phases of a drain, the legal moves between them, and the outcomes |
//! | [`record`] | the durable state of one drain, as it is written to the table |
//! | [`request`] | an operator's requests, and the rules that apply them to a record |
//! | [`sight`] | AWS's answers in the words of this crate; the meaning of absence |
//! | [`facts`] | memory of AWS's last answers about one drain's instance; it may be lost |
//! | [`proof`] | the evidence that everything is gone, or the evidence that is missing |
//! | [`policy`] | the operator's settings |
//! | [`why`] | the reason of a decision, in the same words everywhere |
//! | [`decide()`](decide::decide) | record + facts + policy + context + now → record to save, calls to make then, reads that are needed |
//! | [`needs`] | the reads that a drain needs: kind, earliest time and urgency |
//! | [`budget`] | the queue: the number of drains of a cluster that run at once |
//! | [`windows`] | closed windows: times in which no drain of a reason begins |
//! | [`rollout`] | the replacement of the old instances of groups, as one record |
//! | [`drain`] | one drain as one value, and the guard of each call |
//! | [`diagnosis`] | the causes that keep a drain from moving |
//! | [`plan`] | whether drains would end by themselves, before they begin |
//! | [`text`] | cleaning of foreign text before it is shown |
//! | [`time`] | two clocks, as two types |

#![warn(missing_docs)]
#![cfg_attr(not(test), warn(unreachable_pub))]

pub mod budget;
pub mod decide;
pub mod diagnosis;
pub mod drain;
pub mod facts;
pub mod needs;
pub mod phase;
pub mod plan;
pub mod policy;
pub mod proof;
pub mod record;
pub mod request;
pub mod rollout;
pub mod sight;
pub mod text;
pub mod time;
pub mod why;
pub mod windows;

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
pub use windows::{Reason, Window};
