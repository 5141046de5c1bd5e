//! Events: messages of a scope's queue, which make a read happen sooner than the next poll.
//!
//! An event only triggers a read; its content is not trusted. Events come late, twice, out of order
//! or never. (Auto Scaling, EC2 and ECS send them on a best-effort basis, and standard queues may
//! deliver a deleted message again.) Anyone with write access to the queue can also forge them.
//! Therefore:
//!
//! - **An event carries a key.** A lifecycle action, a changed task or a changed container instance
//!   names the thing to read. Its state is then read from AWS, as without the event. A lost event
//!   costs only time.
//! - **Only a spot interruption opens a drain, or a rebalance recommendation if that is enabled**:
//!   no AWS API shows either. It opens one for an instance of a configured cluster, [only while it
//!   is fresh](is_fresh).
//! - **A message is deleted only after its effect is in the table.** An event that causes no record
//!   may be deleted once it has triggered its read: polling shows the same.
//! - **An SNS topic may bring only lifecycle notifications.** A queue's policy decides who may send
//!   to it, and nothing else protects a spot warning. A topic also admits everyone who may publish
//!   to it, so a warning or a state change that comes through one is [ignored](Event::NotForUs).
//!   With raw delivery a topic cannot be distinguished from a rule.
//! - **Other events are deleted without a warning** ([`Event::NotForUs`]): other kinds, other
//!   accounts, other regions.
//! - **A message that cannot be parsed is left in the queue** ([`Broken`]): it is logged, returns,
//!   and the queue's redrive policy moves it to a dead-letter queue, where you can read it.
//!
//! | file | contents |
//! | --- | --- |
//! | `message.rs` | a message's body → [`Event`]; pure, and accepts any body |
//! | `wire.rs` | the JSON that services send, and the e-mail form of Auto Scaling |

mod message;
#[cfg(test)]
mod tests;
mod wire;

pub use message::{Broken, Event, InterruptionAction};

use jiff::{SignedDuration, Timestamp};
use message::Way;
use std::sync::Once;

/// Guard that logs the first message that a topic must not bring. Once a process is enough: the
/// number of such messages is up to the sender.
static SAID: Once = Once::new();

/// Parses a message's body for the controller of this account and region.
///
/// # Errors
/// Returns an error if the message is of no known kind, or lacks a required field.
pub fn read(body: &str, account: &str, region: &str) -> Result<Event, Broken> {
    let (event, way) = message::read(body, account, region)?;
    Ok(match way {
        Way::Queue => event,
        Way::Topic => of_a_topic(event),
    })
}

/// Restricts an event that came through a topic of SNS.
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
                tracing::warn!(event, "Event through SNS ignored: a topic may deliver only lifecycle notifications; send other events to the queue with an EventBridge rule (logged once)");
            });
            Event::NotForUs { what: format!("{event} through SNS") }
        }
    }
}

/// Largest distance of a warning's time from now. A spot interruption follows its warning by two
/// minutes (source: EC2 user guide, "Spot Instance interruption notices"), so an older warning
/// describes an instance that is gone or was spared. It also allows for a difference between two
/// clocks.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// Checks whether a warning sent at `at` may still open a drain. A stale one, or one from a future
/// that no clock error explains, only triggers a read.
pub(crate) fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at).abs() <= FRESH
}
