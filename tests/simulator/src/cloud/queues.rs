//! Messages on their way into queues, and receives that wait for them.
//!
//! A long poll is a call that is taken now and answered later: when a message arrives, or at its
//! own deadline. It waits *here*, so that a caller who has disconnected meanwhile still takes the
//! message, as in AWS: the message is hidden until its visibility timeout ends, and is then visible
//! again.

use std::time::Duration;

use serde_json::Value;

use super::reply::describe;
use super::{Cloud, Delivery};
use crate::events::Notice;
use crate::sqs::{Message, QueueSpec};
use crate::wire::{Call, Service};
use crate::{ACCOUNT, BEGIN, SimTime};

/// The time that an answer is kept for a caller that does not collect it.
const KEPT: Duration = Duration::from_secs(60);

/// The time between Spot's warning and the end of the instance (source: EC2 user guide, Spot
/// Instance interruption notices).
const SPOT_NOTICE: Duration = Duration::from_secs(120);

/// A receive that waits for a message.
#[derive(Clone, Debug)]
pub(super) struct LongPoll {
    number: u64,
    call: Call,
    deadline: SimTime,
}

impl Cloud {
    /// Creates a queue with its feeds and returns its URL. Its dead-letter queue must exist
    /// already.
    pub fn add_queue(&mut self, spec: QueueSpec) -> String {
        self.events.feed(&spec.name, &spec.feeds);
        if spec.feeds.contains(&crate::events::Feed::EventBridge) {
            self.world.ecs.tell_changes();
        }
        self.sqs.add_queue(self.now, spec)
    }

    /// Puts a message with any body into a queue: forged, broken, or meant for someone else.
    /// Returns its id; `None` if there is no such queue.
    pub fn send_message(&mut self, queue: &str, body: impl Into<String>) -> Option<String> {
        let id = self.sqs.send(self.now, queue, body);
        self.answer_polls();
        id
    }

    /// Returns the messages in a queue, hidden ones included.
    pub fn messages(&self, queue: &str) -> Vec<Message> {
        self.sqs.messages(queue)
    }

    /// Returns the messages that moved to a queue's dead-letter queue.
    pub fn dead_letters(&self, queue: &str) -> Vec<Message> {
        self.sqs.dead_letter_of(queue).map(|name| self.sqs.messages(name)).unwrap_or_default()
    }

    /// Sends Spot's warning for an instance and ends it two minutes later, without its group,
    /// whatever runs there.
    pub fn interrupt_spot(&mut self, instance_id: &str) {
        let zone = self.world.autoscaling.zone_of(instance_id).unwrap_or("us-east-1a").to_owned();
        self.events.publish(self.now, &Notice::spot_interruption(&zone, instance_id));
        self.reclaims.push((self.now + SPOT_NOTICE, instance_id.to_owned()));
    }

    /// Sends EC2's message that an instance is at a raised risk of interruption. The instance is
    /// unchanged.
    pub fn recommend_rebalance(&mut self, instance_id: &str) {
        self.events.publish(self.now, &Notice::rebalance_recommendation(instance_id));
    }

    /// Returns the answer to a call that [`Delivery::Waits`], or the moment of the next attempt.
    /// The answer may be ready earlier, after any change to the cloud.
    pub fn collect(&mut self, now: SimTime, number: u64) -> Result<Delivery, SimTime> {
        self.advance(now);
        match self.answered.remove(&number) {
            Some((_, reply)) => Ok(Delivery::Answer(reply)),
            None if self.polls.iter().any(|poll| poll.number == number) => {
                let next = self.next_event().unwrap_or(self.now + KEPT);
                Err(next.max(now + Duration::from_millis(1)))
            }
            // The caller did not collect it in time.
            None => Ok(Delivery::Lost),
        }
    }

    /// Returns the moment of the next change to messages and waiting receives.
    pub(super) fn next_message(&self) -> Option<SimTime> {
        let visible =
            self.polls.iter().filter_map(|poll| self.sqs.next_visible(self.now, poll.call.json()?));
        let deadlines = self.polls.iter().map(|poll| poll.deadline);
        let reclaims = self.reclaims.iter().map(|(at, _)| *at);
        visible.chain(deadlines).chain(reclaims).chain(self.events.next_event()).min()
    }

    /// Publishes the notices of the last change, delivers messages that are due, and answers
    /// receives that waited for them.
    pub(super) fn tell(&mut self) {
        let notices = self.world.take_notices(self.now);
        // No events before the scenario begins: its queues are empty then.
        if self.now >= BEGIN {
            notices.iter().for_each(|notice| self.events.publish(self.now, notice));
        }
        for (queue, body) in self.events.arrived(self.now) {
            self.sqs.send(self.now, &queue, body);
        }
        self.answer_polls();
    }

    /// Ends the instances whose two minutes are over.
    pub(super) fn reclaim(&mut self) {
        while let Some(due) = self.reclaims.iter().position(|(at, _)| *at <= self.now) {
            let (_, instance) = self.reclaims.remove(due);
            self.world.kill(self.now, &instance);
        }
    }

    /// Returns true if a call is for the simulated account and region; no other has queues.
    pub(super) fn is_here(&self, call: &Call) -> bool {
        (call.account.as_str(), call.region.as_str()) == (ACCOUNT, self.region.as_str())
    }

    /// Lets a receive wait if nothing is there for it. A call that a fault strikes never waits.
    pub(super) fn begin_poll(&mut self, call: &Call) -> Option<Delivery> {
        if call.service != Service::Sqs || !self.is_here(call) {
            return None;
        }
        let deadline = self.sqs.waits_until(self.now, &call.operation, call.json()?)?;
        let number = self.calls;
        self.polls.push(LongPoll { number, call: call.clone(), deadline });
        Some(Delivery::Waits(number))
    }

    fn answer_polls(&mut self) {
        let now = self.now;
        self.answered.retain(|_, (at, _)| now < *at + KEPT);
        let (still, ready): (Vec<LongPoll>, Vec<LongPoll>) =
            std::mem::take(&mut self.polls).into_iter().partition(|poll| {
                let body = poll.call.json().unwrap_or(&Value::Null);
                now < poll.deadline
                    && self.sqs.waits_until(now, &poll.call.operation, body).is_some()
            });
        self.polls = still;
        for poll in ready {
            // Another receive, answered a moment ago, may have taken all messages.
            let body = poll.call.json().unwrap_or(&Value::Null);
            if now < poll.deadline
                && self.sqs.waits_until(now, &poll.call.operation, body).is_some()
            {
                self.polls.push(poll);
                continue;
            }
            let reply = self.answer(&poll.call, None);
            self.log.amend(poll.number, describe(&reply), &reply.body);
            self.answered.insert(poll.number, (now, reply));
        }
        self.polls.sort_by_key(|poll| poll.number);
    }
}
