//! The operations of the SQS API, in its JSON 1.0 protocol.
//!
//! SQS had the Query protocol before, and its clients still know errors by the codes of that time:
//! an answer has the new shape's name in its body and the old code in the header
//! `x-amzn-query-error` (source: the SQS service model, trait `awsQueryCompatible`).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{LONGEST_HIDDEN, Message, Queue, Sqs, arn_of, handle_of, read_handle, url_of};
use crate::wire::ApiError;
use crate::wire::json::{text, texts};
use crate::{ACCOUNT, SimTime};

/// The longest long poll in seconds (source: SQS API reference, ReceiveMessage).
const LONGEST_WAIT: u64 = 20;

/// Returns the old code of an error, where it is not the shape's own name.
pub fn query_code(code: &str) -> &str {
    match code {
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue",
        "MessageNotInflight" => "AWS.SimpleQueueService.MessageNotInflight",
        "EmptyBatchRequest" => "AWS.SimpleQueueService.EmptyBatchRequest",
        "TooManyEntriesInBatchRequest" => "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "BatchEntryIdsNotDistinct" => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        "AccessDeniedException" => "AccessDenied",
        "InvalidParameterValueException" => "InvalidParameterValue",
        "MissingRequiredParameterException" => "MissingParameter",
        other => other,
    }
}

impl Sqs {
    /// Answers one call. A receive is answered at once, with the messages that are visible.
    pub fn handle(
        &mut self,
        now: SimTime,
        operation: &str,
        body: &Value,
    ) -> Result<Value, ApiError> {
        match operation {
            "GetQueueUrl" => self.get_queue_url(body),
            "GetQueueAttributes" => self.get_queue_attributes(now, body),
            "ReceiveMessage" => self.receive_message(now, body),
            "DeleteMessage" => self.delete_message(body),
            "DeleteMessageBatch" => self.delete_message_batch(body),
            "ChangeMessageVisibility" => self.change_message_visibility(now, body),
            "SendMessage" => self.send_message(now, body),
            other => Err(ApiError::unknown_action(other)),
        }
    }

    /// Returns the moment until which a call may wait for a message: a receive with
    /// `WaitTimeSeconds` that finds nothing now.
    pub(crate) fn waits_until(
        &self,
        now: SimTime,
        operation: &str,
        body: &Value,
    ) -> Option<SimTime> {
        let wait = body
            .get("WaitTimeSeconds")
            .and_then(Value::as_u64)
            .filter(|wait| (1..=LONGEST_WAIT).contains(wait));
        let queue = self.polled(operation, body)?;
        (!self.has_visible(now, &queue)).then_some(now + Duration::from_secs(wait?))
    }

    /// Returns the moment at which a waiting receive would find a hidden message that becomes
    /// visible.
    pub(crate) fn next_visible(&self, now: SimTime, body: &Value) -> Option<SimTime> {
        let queue = self.queues.get(name_of(text(body, "QueueUrl")?)?)?;
        queue.messages.values().map(|message| message.visible_at).filter(|at| *at > now).min()
    }

    /// Returns the queue of a well-formed receive; a call that will be refused never waits.
    fn polled(&self, operation: &str, body: &Value) -> Option<String> {
        let asked = (operation == "ReceiveMessage").then(|| Receive::read(body).ok()).flatten();
        asked.and_then(|_| self.named(body).ok()).map(|queue| queue.spec.name.clone())
    }

    fn named(&self, body: &Value) -> Result<&Queue, ApiError> {
        let url = text(body, "QueueUrl").ok_or_else(|| missing("QueueUrl"))?;
        name_of(url).and_then(|name| self.queues.get(name)).ok_or_else(no_such_queue)
    }

    fn get_queue_url(&self, body: &Value) -> Result<Value, ApiError> {
        let name = text(body, "QueueName").ok_or_else(|| missing("QueueName"))?;
        let ours = text(body, "QueueOwnerAWSAccountId").is_none_or(|account| account == ACCOUNT);
        let queue = self.queues.get(name).filter(|_| ours).ok_or_else(no_such_queue)?;
        Ok(json!({ "QueueUrl": url_of(&queue.spec.name) }))
    }

    /// Answers the attributes of a queue. Every attribute is a text. The numbers of messages are
    /// approximate in AWS, and exact here.
    fn get_queue_attributes(&self, now: SimTime, body: &Value) -> Result<Value, ApiError> {
        let queue = self.named(body)?;
        let visible = queue.visible(now).count();
        let created = self.epoch_seconds(queue.created_at).to_string();
        let mut attributes = vec![
            ("ApproximateNumberOfMessages", visible.to_string()),
            ("ApproximateNumberOfMessagesDelayed", "0".to_owned()),
            ("ApproximateNumberOfMessagesNotVisible", (queue.messages.len() - visible).to_string()),
            ("CreatedTimestamp", created.clone()),
            ("DelaySeconds", "0".to_owned()),
            ("LastModifiedTimestamp", created),
            ("MaximumMessageSize", "262144".to_owned()),
            ("MessageRetentionPeriod", "345600".to_owned()),
            ("QueueArn", arn_of(&queue.spec.name)),
            ("ReceiveMessageWaitTimeSeconds", "0".to_owned()),
            ("SqsManagedSseEnabled", "true".to_owned()),
            ("VisibilityTimeout", queue.spec.visibility_timeout.as_secs().to_string()),
        ];
        if let Some((limit, dead_letter)) = queue.redrive() {
            let policy =
                json!({ "deadLetterTargetArn": arn_of(dead_letter), "maxReceiveCount": limit });
            attributes.push(("RedrivePolicy", policy.to_string()));
        }
        let asked = texts(body, "AttributeNames");
        let shown = attributes
            .into_iter()
            .filter(|(name, _)| asked.contains(name) || asked.contains(&"All"));
        let shown: Map<String, Value> =
            shown.map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
        Ok(if shown.is_empty() { json!({}) } else { json!({ "Attributes": shown }) })
    }

    /// Receives messages. Without a message the answer holds no list at all (source: SQS API
    /// reference, ReceiveMessage).
    ///
    /// `MD5OfBody` is left out: the SDK for Rust does not check it.
    fn receive_message(&mut self, now: SimTime, body: &Value) -> Result<Value, ApiError> {
        let receive = Receive::read(body)?;
        let name = self.named(body)?.spec.name.clone();
        let received = self.take(now, &name, receive.most, receive.hidden);
        let asked: Vec<&str> = ["AttributeNames", "MessageSystemAttributeNames"]
            .iter()
            .flat_map(|field| texts(body, field))
            .collect();
        let shown = received.iter().map(|(key, message)| {
            let mut shown = json!({
                "MessageId": message.message_id,
                "ReceiptHandle": handle_of(&name, *key, message.receive_count),
                "Body": message.body,
            });
            let attributes = self.attributes(message, &asked);
            if let Some(shown) = shown.as_object_mut().filter(|_| !attributes.is_empty()) {
                shown.insert("Attributes".to_owned(), Value::Object(attributes));
            }
            shown
        });
        let shown: Vec<Value> = shown.collect();
        Ok(if shown.is_empty() { json!({}) } else { json!({ "Messages": shown }) })
    }

    /// Returns the requested attributes of a message. Their times are milliseconds since the epoch
    /// (source: SQS API reference, ReceiveMessage).
    fn attributes(&self, message: &Message, asked: &[&str]) -> Map<String, Value> {
        let mut attributes = vec![
            ("ApproximateReceiveCount", message.receive_count.to_string()),
            ("SenderId", ACCOUNT.to_owned()),
            ("SentTimestamp", self.epoch_millis(message.sent_at).to_string()),
        ];
        let first = message.first_received_at.map(|at| self.epoch_millis(at).to_string());
        attributes.extend(first.map(|first| ("ApproximateFirstReceiveTimestamp", first)));
        attributes
            .extend(message.source.clone().map(|source| ("DeadLetterQueueSourceArn", source)));
        let shown = attributes
            .into_iter()
            .filter(|(name, _)| asked.contains(name) || asked.contains(&"All"));
        shown.map(|(name, value)| (name.to_owned(), Value::String(value))).collect()
    }

    fn delete_message(&mut self, body: &Value) -> Result<Value, ApiError> {
        let name = self.named(body)?.spec.name.clone();
        let handle = text(body, "ReceiptHandle").ok_or_else(|| missing("ReceiptHandle"))?;
        self.delete(&name, handle)?;
        Ok(json!({}))
    }

    /// Deletes messages. Each entry succeeds or fails by itself (source: SQS API reference,
    /// DeleteMessageBatch).
    fn delete_message_batch(&mut self, body: &Value) -> Result<Value, ApiError> {
        let name = self.named(body)?.spec.name.clone();
        let entries =
            body.get("Entries").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if entries.is_empty() {
            return Err(ApiError::bad_request(
                "EmptyBatchRequest",
                "There should be at least one DeleteMessageBatchRequestEntry in the request.",
            ));
        }
        if entries.len() > 10 {
            let sent = entries.len();
            return Err(ApiError::bad_request(
                "TooManyEntriesInBatchRequest",
                format!("Maximum number of entries per request are 10. You have sent {sent}."),
            ));
        }
        let ids: BTreeSet<&str> = entries.iter().filter_map(|entry| text(entry, "Id")).collect();
        if ids.len() != entries.len() {
            return Err(ApiError::bad_request(
                "BatchEntryIdsNotDistinct",
                "Two or more batch entries have the same Id.",
            ));
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            let id = text(entry, "Id").unwrap_or_default();
            match self.delete(&name, text(entry, "ReceiptHandle").unwrap_or_default()) {
                Ok(()) => successful.push(json!({ "Id": id })),
                Err(error) => failed.push(json!({
                    "Id": id, "SenderFault": true, "Code": error.code, "Message": error.message,
                })),
            }
        }
        Ok(json!({ "Successful": successful, "Failed": failed }))
    }

    /// Deletes a message. A handle of an earlier receive, or of a message that is gone, succeeds
    /// and deletes nothing (source: SQS API reference, DeleteMessage).
    fn delete(&mut self, name: &str, handle: &str) -> Result<(), ApiError> {
        let (key, receive) = read_handle(name, handle).ok_or_else(|| invalid_handle(handle))?;
        if let Some(queue) = self.queues.get_mut(name)
            && queue.messages.get(&key).is_some_and(|message| message.receive_count == receive)
        {
            queue.messages.remove(&key);
        }
        Ok(())
    }

    /// Sets a message's visibility timeout. The new timeout counts from now, and all of one
    /// receive's together end 12 hours after it (source: SQS API reference,
    /// ChangeMessageVisibility).
    fn change_message_visibility(&mut self, now: SimTime, body: &Value) -> Result<Value, ApiError> {
        let name = self.named(body)?.spec.name.clone();
        let handle = text(body, "ReceiptHandle").ok_or_else(|| missing("ReceiptHandle"))?;
        let seconds = body.get("VisibilityTimeout").and_then(Value::as_u64);
        let seconds = seconds.ok_or_else(|| missing("VisibilityTimeout"))?;
        let (key, receive) = read_handle(&name, handle).ok_or_else(|| invalid_handle(handle))?;
        let message = self.queues.get_mut(&name).and_then(|queue| queue.messages.get_mut(&key));
        let Some(message) = message.filter(|message| message.receive_count == receive) else {
            return Err(invalid(
                "ReceiptHandle",
                handle,
                "Message does not exist or is not available for visibility timeout change.",
            ));
        };
        if message.visible_at <= now {
            return Err(ApiError::bad_request(
                "MessageNotInflight",
                "The specified message isn't in flight.",
            ));
        }
        let visible_at = now + Duration::from_secs(seconds);
        if visible_at > message.received_at + LONGEST_HIDDEN {
            let reason =
                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds].";
            return Err(invalid("VisibilityTimeout", &seconds.to_string(), reason));
        }
        message.visible_at = visible_at;
        Ok(json!({}))
    }

    fn send_message(&mut self, now: SimTime, body: &Value) -> Result<Value, ApiError> {
        let name = self.named(body)?.spec.name.clone();
        let message = text(body, "MessageBody").ok_or_else(|| missing("MessageBody"))?;
        let id = self.send(now, &name, message).ok_or_else(no_such_queue)?;
        Ok(json!({ "MessageId": id }))
    }

    fn epoch_millis(&self, at: SimTime) -> i64 {
        self.start
            .as_millisecond()
            .saturating_add(i64::try_from(at.as_millis()).unwrap_or(i64::MAX))
    }

    fn epoch_seconds(&self, at: SimTime) -> i64 {
        self.epoch_millis(at) / 1000
    }
}

/// The parameters of a receive.
struct Receive {
    most: usize,
    hidden: Option<Duration>,
}

impl Receive {
    fn read(body: &Value) -> Result<Self, ApiError> {
        let number = |name: &str, range: std::ops::RangeInclusive<u64>| {
            let Some(value) = body.get(name).filter(|value| !value.is_null()) else {
                return Ok(None);
            };
            let number = value.as_u64().filter(|number| range.contains(number));
            let reason =
                format!("Must be between {} and {}, if provided.", range.start(), range.end());
            number.map(Some).ok_or_else(|| invalid(name, &value.to_string(), &reason))
        };
        let most = number("MaxNumberOfMessages", 1..=10)?.unwrap_or(1);
        number("WaitTimeSeconds", 0..=LONGEST_WAIT)?;
        let hidden =
            number("VisibilityTimeout", 0..=LONGEST_HIDDEN.as_secs())?.map(Duration::from_secs);
        Ok(Self { most: usize::try_from(most).unwrap_or(1), hidden })
    }
}

/// Returns the name in a queue's URL, if it is a queue of the simulated account: the host may be
/// any endpoint's.
fn name_of(url: &str) -> Option<&str> {
    let (rest, name) = url.rsplit_once('/')?;
    (rest.rsplit('/').next() == Some(ACCOUNT)).then_some(name)
}

fn no_such_queue() -> ApiError {
    ApiError::bad_request("QueueDoesNotExist", "The specified queue does not exist.")
}

fn missing(name: &str) -> ApiError {
    let message = format!("The request must contain the parameter {name}.");
    ApiError::bad_request("MissingRequiredParameterException", message)
}

fn invalid(name: &str, value: &str, reason: &str) -> ApiError {
    let message = format!("Value {value} for parameter {name} is invalid. Reason: {reason}");
    ApiError::bad_request("InvalidParameterValueException", message)
}

fn invalid_handle(handle: &str) -> ApiError {
    ApiError::bad_request(
        "ReceiptHandleIsInvalid",
        format!("The input receipt handle \"{handle}\" is not valid."),
    )
}
