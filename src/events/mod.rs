//! Events: what a scope's queue says happened, so that a read can come sooner than the next poll.
//!
//! An event is a nudge and no truth. Events come late, twice, out of order or never (Auto Scaling, EC2 and ECS all send
//! them on a best-effort basis, and standard queues may deliver again what was deleted), and whoever may write to the
//! queue can make them up. So:
//!
//! - **An event carries a key, never a fact that is acted on.** A lifecycle action, a changed task or a changed container
//!   instance says where to look; what is there is read from AWS, as without the event. A lost event costs time only.
//! - **Only a spot interruption, or a rebalance recommendation if that is switched on, opens a drain**: nothing else in
//!   AWS's APIs would show them. It opens one for an instance of a configured cluster, [only while it is fresh](is_fresh).
//! - **A message is deleted only after what it caused is in the table.** What causes no record may be deleted once it has
//!   been taken as a nudge: polling shows the same.
//! - **What is for others is deleted quietly** ([`Event::NotForUs`]): other kinds, other accounts, other regions.
//! - **What cannot be understood is left** ([`Broken`]): it is logged, comes again, and the queue's redrive policy takes
//!   it to a dead-letter queue, where a person can read it.
//!
//! | file | what |
//! | --- | --- |
//! | `message.rs` | a message's body → [`Event`]; pure, and every body has an answer |
//! | `wire.rs` | the JSON that services send, and the e-mail form of Auto Scaling |

mod message;
#[cfg(test)]
mod tests;
mod wire;

pub use message::{Broken, Event, InterruptionAction, read};

use jiff::{SignedDuration, Timestamp};

/// How far a warning's time may be from now. A spot interruption follows its warning by two minutes (source: EC2 user
/// guide, "Spot Instance interruption notices"), so what is older describes an instance that is gone, or that was
/// spared. It is also the margin for two clocks that differ.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// Whether a warning sent at `at` may still open a drain. One that is stale, or from a future that no clock's error
/// explains, is a nudge like any other event.
pub fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at).abs() <= FRESH
}
