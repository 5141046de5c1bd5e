//! AWS's events, and their way into queues.
//!
//! There are two ways from a service to a queue: lifecycle hooks notify an SNS *topic*, to which
//! the queue is subscribed; and *EventBridge* sends the events that match a rule. Both are slower
//! than the APIs, neither keeps an order, and Auto Scaling sends its events to EventBridge on a
//! best-effort basis (source: EC2 Auto Scaling guide, event reference). So every loss, copy and
//! delay of an [`EventPlan`] can happen on AWS.
//!
//! | event | from | `detail-type` |
//! | --- | --- | --- |
//! | a lifecycle action begins | `aws.autoscaling` | `EC2 Instance-terminate Lifecycle Action`, `EC2 Instance-launch Lifecycle Action` |
//! | Spot takes an instance back in two minutes | `aws.ec2` | `EC2 Spot Instance Interruption Warning` |
//! | Spot may take an instance back | `aws.ec2` | `EC2 Instance Rebalance Recommendation` |
//! | a task changed | `aws.ecs` | `ECS Task State Change` |
//! | a container instance changed | `aws.ecs` | `ECS Container Instance State Change` |

mod notice;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

pub use notice::Notice;
pub(crate) use notice::{iso_times, millisecond_time};

use crate::{ACCOUNT, REGION, SimTime};

/// A source of messages for a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// The SNS topic that every lifecycle hook notifies. An SQS queue as the hook's own target gets
    /// the same text as a raw subscription (source: EC2 Auto Scaling guide, prepare for lifecycle
    /// notifications).
    Sns {
        /// Raw message delivery: the body is the message itself, without SNS's envelope.
        raw: bool,
    },
    /// EventBridge rules for every event of this module's table.
    EventBridge,
}

impl Feed {
    fn takes(self, notice: &Notice) -> bool {
        match notice {
            Notice::Topic { .. } => matches!(self, Self::Sns { .. }),
            Notice::Event { .. } => self == Self::EventBridge,
        }
    }
}

/// Losses, copies and delays of events on their way. Drawn for each queue and event from the
/// cloud's seed.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPlan {
    /// The share of events that never arrive, 0 to 1.
    pub lose: f64,
    /// The share of events that arrive twice, 0 to 1. The second copy has a delay of its own.
    pub duplicate: f64,
    /// The shortest and the longest delay of an event. Events can overtake each other if they are
    /// closer together than the difference of the two.
    pub delay: (Duration, Duration),
}

impl Default for EventPlan {
    fn default() -> Self {
        // AWS publishes no latency; below a second is everyday experience.
        Self {
            lose: 0.0,
            duplicate: 0.0,
            delay: (Duration::from_millis(200), Duration::from_millis(800)),
        }
    }
}

/// The topic, the rules, and the events on their way.
#[derive(Clone, Debug)]
pub struct Events {
    /// The plan for events from now on.
    pub plan: EventPlan,
    feeds: Vec<(String, Feed)>,
    in_transit: BTreeMap<(SimTime, u64), (String, String)>,
    sent: u64,
    start: Timestamp,
    rng: fastrand::Rng,
}

impl Events {
    pub(crate) fn new(start: Timestamp, seed: u64) -> Self {
        Self {
            plan: EventPlan::default(),
            feeds: Vec::new(),
            in_transit: BTreeMap::new(),
            sent: 0,
            start,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Adds feeds to a queue.
    pub(crate) fn feed(&mut self, queue: &str, feeds: &[Feed]) {
        self.feeds.extend(feeds.iter().map(|feed| (queue.to_owned(), *feed)));
    }

    /// Sends a notice on its way to every queue that takes it.
    pub(crate) fn publish(&mut self, now: SimTime, notice: &Notice) {
        let Self { feeds, rng, start, .. } = self;
        let takers = feeds.iter().filter(|(_, feed)| feed.takes(notice));
        let mut parcels = Vec::new();
        let mut body = None;
        for (queue, feed) in takers {
            // One event has one id for all its receivers.
            let body = body.get_or_insert_with(|| Bodies::write(*start, now, notice, rng));
            let text =
                if matches!(feed, Feed::Sns { raw: false }) { &body.wrapped } else { &body.plain };
            parcels.push((queue.clone(), text.to_string()));
        }
        for (queue, body) in parcels {
            self.send(now, queue, body);
        }
    }

    fn send(&mut self, now: SimTime, queue: String, body: String) {
        let lost = self.rng.f64() < self.plan.lose;
        let copies = if self.rng.f64() < self.plan.duplicate { 2 } else { 1 };
        if lost {
            return;
        }
        let (least, most) = self.plan.delay;
        for _ in 0..copies {
            let delay = least + most.saturating_sub(least).mul_f64(self.rng.f64());
            self.sent += 1;
            self.in_transit.insert((now + delay, self.sent), (queue.clone(), body.clone()));
        }
    }

    /// Takes the bodies that have arrived by now, each with its queue.
    pub(crate) fn arrived(&mut self, now: SimTime) -> Vec<(String, String)> {
        let mut arrived = Vec::new();
        while let Some(entry) = self.in_transit.first_entry()
            && entry.key().0 <= now
        {
            arrived.push(entry.remove());
        }
        arrived
    }

    /// Returns the moment of the next arrival.
    pub(crate) fn next_event(&self) -> Option<SimTime> {
        self.in_transit.keys().next().map(|(at, _)| *at)
    }
}

/// The text of a notice: without and with SNS's envelope.
struct Bodies {
    plain: Value,
    wrapped: Value,
}

impl Bodies {
    fn write(start: Timestamp, now: SimTime, notice: &Notice, rng: &mut fastrand::Rng) -> Self {
        match notice {
            Notice::Event { detail_type, source, resources, detail } => {
                let seconds = start
                    .checked_add(now)
                    .unwrap_or(start)
                    .strftime("%Y-%m-%dT%H:%M:%SZ")
                    .to_string();
                let plain = json!({
                    "version": "0",
                    "id": crate::ids::uuid(rng),
                    "detail-type": detail_type,
                    "source": source,
                    "account": ACCOUNT,
                    "time": seconds,
                    "region": REGION,
                    "resources": resources,
                    "detail": detail,
                });
                Self { wrapped: Value::Null, plain }
            }
            Notice::Topic { subject, message } => {
                let mut plain = message.clone();
                if let Some(fields) = plain.as_object_mut() {
                    fields.insert("RequestId".to_owned(), Value::String(crate::ids::uuid(rng)));
                    fields.insert("Time".to_owned(), Value::String(millisecond_time(start, now)));
                }
                let wrapped = envelope(start, now, subject, &plain, rng);
                Self { plain, wrapped }
            }
        }
    }
}

/// Writes SNS's envelope around a message to a queue (source: SNS developer guide, message
/// formats). The signature is not a real one.
fn envelope(
    start: Timestamp,
    now: SimTime,
    subject: &str,
    message: &Value,
    rng: &mut fastrand::Rng,
) -> Value {
    let topic = format!("arn:aws:sns:{REGION}:{ACCOUNT}:lifecycle-hooks");
    let host = format!("https://sns.{REGION}.amazonaws.com");
    json!({
        "Type": "Notification",
        "MessageId": crate::ids::uuid(rng),
        "TopicArn": topic,
        "Subject": subject,
        "Message": message.to_string(),
        "Timestamp": millisecond_time(start, now),
        "SignatureVersion": "1",
        "Signature": "c2ltdWxhdGVk",
        "SigningCertURL": format!("{host}/SimpleNotificationService-0000000000000000000000.pem"),
        "UnsubscribeURL": format!("{host}/?Action=Unsubscribe&SubscriptionArn={topic}:{}", crate::ids::uuid(rng)),
    })
}
