//! Amazon SQS: standard queues.
//!
//! A received message is hidden for the visibility timeout and then visible again, under a new
//! receipt handle; only the newest handle deletes it. A message that was received as often as its
//! queue's redrive policy allows moves to the dead-letter queue at the next receive (sources: SQS
//! API reference, ReceiveMessage and DeleteMessage; SQS developer guide, visibility timeout and
//! dead-letter queues).
//!
//! Long polls wait in the cloud ([`Cloud::handle`](crate::Cloud::handle)), not here: a queue only
//! reports if a message can be received now, and when that changes by itself.

mod api;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::events::Feed;
use crate::{ACCOUNT, REGION, SimTime};

pub use api::query_code;

/// The longest time that a message may stay hidden after one receive (source: SQS API reference,
/// ChangeMessageVisibility).
const LONGEST_HIDDEN: Duration = Duration::from_secs(12 * 3600);

/// A queue to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// The queue's name.
    pub name: String,
    /// `VisibilityTimeout`: the time that a received message is hidden; 0 to 12 hours, by default
    /// 30 s (source: SQS API reference, CreateQueue).
    pub visibility_timeout: Duration,
    /// `RedrivePolicy.maxReceiveCount`: the number of receives after which a message moves to the
    /// dead-letter queue.
    pub max_receive_count: Option<u32>,
    /// `RedrivePolicy.deadLetterTargetArn`, by the name of a queue that exists already. Without it
    /// no message moves.
    pub dead_letter: Option<String>,
    /// The sources of its messages.
    pub feeds: Vec<Feed>,
}

impl QueueSpec {
    /// Creates a queue of this name without feeds, with AWS's defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            visibility_timeout: Duration::from_secs(30),
            max_receive_count: None,
            dead_letter: None,
            feeds: Vec::new(),
        }
    }

    /// Adds a feed.
    pub fn feed(mut self, feed: Feed) -> Self {
        self.feeds.push(feed);
        self
    }

    /// Sets a redrive policy.
    pub fn redrive(mut self, max_receive_count: u32, dead_letter: impl Into<String>) -> Self {
        self.max_receive_count = Some(max_receive_count);
        self.dead_letter = Some(dead_letter.into());
        self
    }
}

/// A message that is in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `MessageId`.
    pub message_id: String,
    /// `Body`.
    pub body: String,
    /// `SentTimestamp`. It is unchanged when a message moves to a dead-letter queue (source: SQS
    /// developer guide, dead-letter queues).
    pub sent_at: SimTime,
    /// The end of its hiding.
    pub visible_at: SimTime,
    /// `ApproximateFirstReceiveTimestamp`.
    pub first_received_at: Option<SimTime>,
    /// `ApproximateReceiveCount`.
    pub receive_count: u32,
    /// `DeadLetterQueueSourceArn`: its queue before the dead-letter queue.
    pub source: Option<String>,
    /// The moment of its last receive: it can be hidden for at most 12 hours from then.
    received_at: SimTime,
}

/// A queue and its messages, in the order of arrival.
#[derive(Clone, Debug)]
struct Queue {
    spec: QueueSpec,
    created_at: SimTime,
    messages: BTreeMap<u64, Message>,
}

impl Queue {
    /// Returns the dead-letter queue, and the number of receives that a message is allowed.
    fn redrive(&self) -> Option<(u32, &str)> {
        Some((self.spec.max_receive_count?, self.spec.dead_letter.as_deref()?))
    }

    fn visible(&self, now: SimTime) -> impl Iterator<Item = (&u64, &Message)> {
        self.messages.iter().filter(move |(_, message)| message.visible_at <= now)
    }
}

/// All queues of the simulated account and region.
#[derive(Clone, Debug)]
pub struct Sqs {
    queues: BTreeMap<String, Queue>,
    start: Timestamp,
    rng: fastrand::Rng,
    arrivals: u64,
}

impl Sqs {
    /// Creates a region without queues. `start` is the wall time at [`SimTime`] zero.
    pub fn new(start: Timestamp, seed: u64) -> Self {
        Self { queues: BTreeMap::new(), start, rng: fastrand::Rng::with_seed(seed), arrivals: 0 }
    }

    /// Creates a queue and returns its URL.
    pub fn add_queue(&mut self, now: SimTime, spec: QueueSpec) -> String {
        let url = url_of(&spec.name);
        self.queues
            .insert(spec.name.clone(), Queue { spec, created_at: now, messages: BTreeMap::new() });
        url
    }

    /// Deletes a queue with its messages. Returns false if there was no such queue.
    pub fn delete_queue(&mut self, name: &str) -> bool {
        self.queues.remove(name).is_some()
    }

    /// Puts a message into a queue and returns its id; `None` if there is no such queue.
    pub fn send(&mut self, now: SimTime, queue: &str, body: impl Into<String>) -> Option<String> {
        let message_id = crate::ids::uuid(&mut self.rng);
        let message = Message {
            message_id: message_id.clone(),
            body: body.into(),
            sent_at: now,
            visible_at: now,
            first_received_at: None,
            receive_count: 0,
            source: None,
            received_at: now,
        };
        self.put(queue, message).then_some(message_id)
    }

    /// Returns the messages in a queue, hidden ones included, in the order of arrival.
    pub fn messages(&self, queue: &str) -> Vec<Message> {
        self.queues
            .get(queue)
            .map(|queue| queue.messages.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Returns the name of a queue's dead-letter queue.
    pub fn dead_letter_of(&self, queue: &str) -> Option<&str> {
        self.queues.get(queue)?.spec.dead_letter.as_deref()
    }

    /// Returns true if a receive would find a message now.
    fn has_visible(&self, now: SimTime, queue: &str) -> bool {
        self.queues.get(queue).is_some_and(|queue| {
            let limit = queue.redrive().map_or(u32::MAX, |(limit, _)| limit);
            queue.visible(now).any(|(_, message)| message.receive_count < limit)
        })
    }

    /// Takes the messages of a receive: visible ones, oldest first, each hidden for `hidden` from
    /// now.
    fn take(
        &mut self,
        now: SimTime,
        name: &str,
        most: usize,
        hidden: Option<Duration>,
    ) -> Vec<(u64, Message)> {
        self.move_dead_letters(now, name);
        let Some(queue) = self.queues.get_mut(name) else { return Vec::new() };
        let hidden = hidden.unwrap_or(queue.spec.visibility_timeout);
        let taken: Vec<u64> = queue.visible(now).map(|(key, _)| *key).take(most).collect();
        let mut received = Vec::new();
        for key in taken {
            if let Some(message) = queue.messages.get_mut(&key) {
                message.receive_count += 1;
                message.received_at = now;
                message.visible_at = now + hidden;
                message.first_received_at.get_or_insert(now);
                received.push((key, message.clone()));
            }
        }
        received
    }

    /// Moves messages that were received as often as allowed and are visible again.
    fn move_dead_letters(&mut self, now: SimTime, name: &str) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        let Some((limit, dead_letter)) = queue.redrive().map(|(limit, to)| (limit, to.to_owned()))
        else {
            return;
        };
        let worn = queue
            .visible(now)
            .filter(|(_, message)| message.receive_count >= limit)
            .map(|(key, _)| *key);
        let worn: Vec<u64> = worn.collect();
        let moved: Vec<Message> =
            worn.iter().filter_map(|key| queue.messages.remove(key)).collect();
        for message in moved {
            self.put(
                &dead_letter,
                Message { receive_count: 0, source: Some(arn_of(name)), ..message },
            );
        }
    }

    fn put(&mut self, queue: &str, message: Message) -> bool {
        self.arrivals += 1;
        match self.queues.get_mut(queue) {
            Some(queue) => queue.messages.insert(self.arrivals, message).is_none(),
            None => false,
        }
    }
}

/// Returns a queue's URL.
pub fn url_of(name: &str) -> String {
    format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}")
}

/// Returns a queue's ARN.
pub fn arn_of(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

/// Returns a receipt handle: it names the queue, the message and the receive that it was given for.
fn handle_of(queue: &str, message: u64, receive: u32) -> String {
    format!("AQEB/{queue}/{message:x}/{receive:x}")
}

/// Returns the message and the receive that a handle was given for; `None` if this queue never gave
/// it.
fn read_handle(queue: &str, handle: &str) -> Option<(u64, u32)> {
    let (message, receive) =
        handle.strip_prefix("AQEB/")?.strip_prefix(queue)?.strip_prefix('/')?.split_once('/')?;
    Some((u64::from_str_radix(message, 16).ok()?, u32::from_str_radix(receive, 16).ok()?))
}
