//! Events: what a scope's queue says happened, so that a read can come sooner than the next poll.
//!
//! An event is a nudge and no truth. Events come late, twice, out of order or never (Auto Scaling,
//! EC2 and ECS all send them on a best-effort basis, and standard queues may deliver again what was
//! deleted), and whoever may write to the queue can make them up. So:
//!
//! - **An event carries a key, never a fact that is acted on.** A lifecycle action, a changed task
//!   or a changed container instance says where to look; what is there is read from AWS, as without
//!   the event. A lost event costs time only.
//! - **Only a spot interruption, or a rebalance recommendation if that is switched on, opens a
//!   drain**: nothing else in AWS's APIs would show them. It opens one for an instance of a
//!   configured cluster, [only while it is fresh](is_fresh).
//! - **A message is deleted only after what it caused is in the table.** What causes no record may
//!   be deleted once it has been taken as a nudge: polling shows the same.
//! - **A topic of SNS brings lifecycle notifications and nothing else.** A queue's policy says who
//!   may send to it, and that is all that stands behind a spot warning. A topic lets in whoever may
//!   publish to it, so a warning or a state change that comes through one is [for
//!   others](Event::NotForUs). With raw delivery a topic cannot be told from a rule.
//! - **What is for others is deleted quietly** ([`Event::NotForUs`]): other kinds, other accounts,
//!   other regions.
//! - **What cannot be understood is left** ([`Broken`]): it is logged, comes again, and the queue's
//!   redrive policy takes it to a dead-letter queue, where a person can read it.
//!
//! | file | what |
//! | --- | --- |
//! | `message.rs` | a message's body → [`Event`]; pure, and every body has an answer |
//! | `wire.rs` | the JSON that services send, and the e-mail form of Auto Scaling |

mod message;
#[cfg(test)]
mod tests;
mod wire;

pub use message::{Broken, Event, InterruptionAction};

use jiff::{SignedDuration, Timestamp};
use message::Way;
use std::sync::Once;

/// Whether it was said that a topic brought what it may not bring. Once a process is enough: others
/// can send any number.
static SAID: Once = Once::new();

/// What a message's body says to the controller of this account and region.
///
/// # Errors
/// It is no message of those that are known, or lacks what such a message always has.
pub fn read(body: &str, account: &str, region: &str) -> Result<Event, Broken> {
    let (event, way) = message::read(body, account, region)?;
    Ok(match way {
        Way::Queue => event,
        Way::Topic => of_a_topic(event),
    })
}

/// What is made of an event that came through a topic of SNS.
fn of_a_topic(event: Event) -> Event {
    match event {
        Event::LifecycleAction { .. } | Event::TestNotification { .. } | Event::NotForUs { .. } => {
            event
        }
        Event::SpotInterruption { .. }
        | Event::RebalanceRecommendation { .. }
        | Event::TaskChanged { .. }
        | Event::ContainerInstanceChanged { .. } => {
            let event = event.name();
            SAID.call_once(|| {
                tracing::warn!(
                    event,
                    "an event came through an SNS topic and is not acted on: a topic may bring lifecycle notifications alone; \
                     let a rule of EventBridge send the others to the queue itself (said once)"
                );
            });
            Event::NotForUs { what: format!("{event} through SNS") }
        }
    }
}

/// How far a warning's time may be from now. A spot interruption follows its warning by two minutes
/// (source: EC2 user guide, "Spot Instance interruption notices"), so what is older describes an
/// instance that is gone, or that was spared. It is also the margin for two clocks that differ.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// Whether a warning sent at `at` may still open a drain. One that is stale, or from a future that
/// no clock's error explains, is a nudge like any other event.
pub fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at).abs() <= FRESH
}
