//! SQS: the queue of a scope's events.

use super::caller::Caller;
use super::calls::{Call, DELETE_MESSAGE, Family, RECEIVE_MESSAGE};
use super::error::{AwsError, ErrorClass};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Messages in one answer, and in one deletion. (Source: SQS API reference, ReceiveMessage and
/// DeleteMessageBatch.)
const MESSAGES: usize = 10;

/// Longest wait of ReceiveMessage for a message, in seconds. (Source: SQS API reference,
/// ReceiveMessage.)
const LONGEST_WAIT: i32 = 20;

/// Call that SQS makes with the customer's key on behalf of a consumer; ecs-drain never makes it.
/// (Source: SQS developer guide, "Key management": a consumer needs `kms:Decrypt`.)
const KMS_DECRYPT: Call = Call {
    service: "kms",
    operation: "Decrypt",
    iam_action: "kms:Decrypt",
    iam_resource: "arn:PARTITION:kms:REGION:ACCOUNT:key/*",
    family: Family::Sqs,
    why: "The key of an encrypted queue",
};

/// A received message, hidden from other consumers until the queue's visibility timeout is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Id of the message, the same each time that it is received.
    pub id: String,
    /// Receipt handle for its deletion. Each receive has another, and only the last one deletes
    /// (source: SQS API reference, DeleteMessage).
    pub receipt: String,
    pub body: String,
    /// Approximate number of receives, including this one.
    pub receive_count: u32,
    /// Time at which it came into the queue.
    pub sent_at: Option<Timestamp>,
}

/// SQS in one account and region.
#[derive(Clone, Debug)]
pub(crate) struct Sqs {
    client: aws_sdk_sqs::Client,
    caller: Caller,
}

impl Sqs {
    pub(super) fn new(client: aws_sdk_sqs::Client, caller: Caller) -> Sqs {
        Sqs { client, caller }
    }

    /// Receives up to ten messages, as soon as there are any. Returns none if none came within
    /// `wait` (whole seconds, at most 20).
    ///
    /// # Errors
    /// Returns an error if the call failed. Messages of a lost answer return once they are visible
    /// again.
    pub(crate) async fn receive(
        &self,
        queue_url: &str,
        wait: Duration,
    ) -> Result<Vec<Message>, AwsError> {
        let wait = i32::try_from(wait.as_secs()).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        let request = self
            .client
            .receive_message()
            .queue_url(queue_url)
            .max_number_of_messages(i32::try_from(MESSAGES).unwrap_or(1))
            .wait_time_seconds(wait)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let answer = self.caller.make(&RECEIVE_MESSAGE, &of_queue(queue_url), request.send()).await;
        let answer = answer.map_err(|error| self.explain(queue_url, error))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(message).collect())
    }

    /// Checks that messages may be received: receives one, which is visible again at once. This
    /// counts as a receive of that message. Returns true if there was one.
    ///
    /// # Errors
    /// Returns an error if the call failed.
    pub(crate) async fn may_receive(&self, queue_url: &str) -> Result<bool, AwsError> {
        let request = self.client.receive_message().queue_url(queue_url).max_number_of_messages(1);
        let request = request.visibility_timeout(0).wait_time_seconds(0);
        let answer = self.caller.make(&RECEIVE_MESSAGE, &of_queue(queue_url), request.send()).await;
        let answer = answer.map_err(|error| self.explain(queue_url, error))?;
        Ok(!answer.messages().is_empty())
    }

    /// Checks that messages may be deleted: names one that cannot exist.
    ///
    /// # Errors
    /// Returns an error if the call failed.
    pub(crate) async fn may_delete(&self, queue_url: &str) -> Result<(), AwsError> {
        let none = || "none".to_owned();
        let nothing =
            Message { id: none(), receipt: none(), body: none(), receive_count: 0, sent_at: None };
        match self.delete_batch(queue_url, &[&nothing]).await {
            Ok(_) => Ok(()),
            // The handle is invalid. Only a caller that may delete gets this error.
            Err(error)
                if error.class == ErrorClass::Invalid || error.class == ErrorClass::Other =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes messages, ten a call. Returns those that are still there, by id, with the reason. A
    /// message that is already gone counts as deleted.
    ///
    /// # Errors
    /// Returns an error if a call failed. Some messages may have been deleted; the others are
    /// received again.
    pub(crate) async fn delete(
        &self,
        queue_url: &str,
        messages: &[&Message],
    ) -> Result<Vec<(String, AwsError)>, AwsError> {
        let mut left = Vec::new();
        for batch in messages.chunks(MESSAGES) {
            left.extend(self.delete_batch(queue_url, batch).await?);
        }
        Ok(left)
    }

    async fn delete_batch(
        &self,
        queue_url: &str,
        batch: &[&Message],
    ) -> Result<Vec<(String, AwsError)>, AwsError> {
        let call = &DELETE_MESSAGE;
        let on = of_queue(queue_url);
        // Numbers, because the ids of a batch must differ, and one message may be in it twice.
        let entry = |(n, message): (usize, &&Message)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(n.to_string())
                .receipt_handle(&message.receipt)
                .build()
        };
        let entries: Result<Vec<_>, _> = batch.iter().enumerate().map(entry).collect();
        let entries =
            entries.map_err(|error| AwsError::incomplete(call, &on, &error.to_string()))?;
        let request =
            self.client.delete_message_batch().queue_url(queue_url).set_entries(Some(entries));
        let answer = self.caller.make(call, &on, request.send()).await;
        let answer = answer.map_err(|error| self.explain(queue_url, error))?;
        let deleted: BTreeSet<&str> = answer.successful().iter().map(|entry| entry.id()).collect();
        let failed: BTreeMap<&str, _> =
            answer.failed().iter().map(|entry| (entry.id(), entry)).collect();
        let left = |(n, message): (usize, &&Message)| {
            let n = n.to_string();
            let on = format!("message {} of {on}", message.id);
            let error = match failed.get(n.as_str()) {
                None if deleted.contains(n.as_str()) => return None,
                None => AwsError::incomplete(call, &on, "the answer leaves it out"),
                Some(entry) => AwsError {
                    call,
                    on,
                    class: if entry.sender_fault() {
                        ErrorClass::Invalid
                    } else {
                        ErrorClass::Unavailable
                    },
                    code: Some(entry.code().to_owned()),
                    message: entry.message().unwrap_or_default().to_owned(),
                    allow: None,
                    request_id: None,
                },
            };
            Some((message.id.clone(), error))
        };
        Ok(batch.iter().enumerate().filter_map(left).collect())
    }

    /// Adds the meaning of SQS's own codes, and what to do. A code has two spellings:
    /// `AWS.SimpleQueueService.NonExistentQueue` and `KMS.AccessDeniedException` come in a header
    /// for clients of the older protocol, and the SDK prefers them; the body has
    /// `QueueDoesNotExist` and `KmsAccessDenied`. (Source: `aws-sdk-sqs`,
    /// `aws_query_compatible_errors`.)
    fn explain(&self, queue_url: &str, mut error: AwsError) -> AwsError {
        let code = error.code.as_deref().unwrap_or_default();
        let code = code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code);
        let advice = match code {
            "NonExistentQueue" | "QueueDoesNotExist" => {
                error.class = ErrorClass::NotFound;
                "check the region, the account and the name in the queue's URL"
            }
            "InvalidAddress" | "InvalidSecurity" | "UnsupportedOperation" => {
                error.class = ErrorClass::Invalid;
                "check the queue's URL: it is a standard queue's, as GetQueueUrl answers it"
            }
            "OverLimit" => {
                // A limit on messages, not on a rate. It passes by itself too.
                error.class = ErrorClass::Throttled;
                "too many messages of the queue were received and not deleted; wait for its visibility timeout"
            }
            "KMS.ThrottlingException" | "KmsThrottled" => {
                error.class = ErrorClass::Throttled;
                "KMS throttles the account"
            }
            "KMS.AccessDeniedException" | "KmsAccessDenied" => {
                error.class = ErrorClass::Denied;
                let key = KMS_DECRYPT.resource(&self.caller.account, &self.caller.region);
                error.allow = Some(KMS_DECRYPT.statement(&key).into_boxed_str());
                "the policy of the key that encrypts the queue must allow it too"
            }
            code if code.starts_with("KMS.") || code.starts_with("Kms") => {
                error.class = ErrorClass::Invalid;
                "the KMS key that encrypts the queue cannot be used: enable it, or give the queue another"
            }
            _ if error.class == ErrorClass::Denied && error.call.service == "sqs" => {
                if let Some(arn) = self.arn(error.call, queue_url) {
                    error.allow = Some(error.call.statement(&arn).into_boxed_str());
                }
                "a queue of another account must allow it in its own policy too"
            }
            _ => return error,
        };
        let said = error.message.trim_end_matches('.');
        error.message =
            if said.is_empty() { advice.to_owned() } else { format!("{said}; {advice}") };
        error
    }

    /// Returns the ARN of a queue, if its URL has the usual form: `https://…/ACCOUNT/NAME`.
    fn arn(&self, call: &Call, queue_url: &str) -> Option<String> {
        let mut parts = queue_url.rsplit('/');
        let name = parts.next().filter(|name| !name.is_empty())?;
        let account =
            parts.next().filter(|a| a.len() == 12 && a.bytes().all(|b| b.is_ascii_digit()))?;
        let any = call.resource(account, &self.caller.region);
        Some(format!("{}{name}", any.strip_suffix('*')?))
    }
}

/// Returns the subject of a call on a queue, for errors.
fn of_queue(url: &str) -> String {
    format!("queue {url}")
}

/// Converts a message. SQS gives every message all of these fields. A message without a receipt
/// cannot be deleted, and one without a body is invalid. Both are left to the queue, which returns
/// them and then moves them to its dead-letter queue.
fn message(message: aws_sdk_sqs::types::Message) -> Option<Message> {
    let attribute = |name| message.attributes.as_ref()?.get(&name)?.parse::<i64>().ok();
    let receive_count = attribute(MessageSystemAttributeName::ApproximateReceiveCount);
    let sent_at = attribute(MessageSystemAttributeName::SentTimestamp);
    Some(Message {
        receive_count: receive_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
        sent_at: sent_at.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        id: message.message_id?,
        receipt: message.receipt_handle?,
        body: message.body?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::aws::{Environment, connect};
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use serde_json::{Value, json};
    use std::sync::{Arc, Mutex};

    const URL: &str = "https://sqs.eu-west-1.amazonaws.com/123456789012/events";
    const IDENTITY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>\
        </GetCallerIdentityResult></GetCallerIdentityResponse>";

    /// Status, code in the header for the older protocol, and body.
    type Answer = (u16, Option<&'static str>, Value);

    type Answers = dyn Fn(&str, &Value) -> Answer + Send + Sync;

    #[derive(Clone)]
    struct Line {
        answer: Arc<Answers>,
        /// Operations, with their requests.
        seen: Arc<Mutex<Vec<(String, Value)>>>,
    }

    impl std::fmt::Debug for Line {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Line")
        }
    }

    impl HttpConnector for Line {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let body = request.body().bytes().unwrap_or_default();
            let Some(target) = request.headers().get("x-amz-target") else {
                return HttpConnectorFuture::ready(Ok(HttpResponse::new(
                    200.try_into().unwrap(),
                    SdkBody::from(IDENTITY),
                )));
            };
            let body: Value = serde_json::from_slice(body).unwrap();
            let operation = target.rsplit('.').next().unwrap();
            self.seen.lock().unwrap().push((operation.to_owned(), body.clone()));
            let (status, code, answer) = (self.answer)(operation, &body);
            let mut response =
                HttpResponse::new(status.try_into().unwrap(), SdkBody::from(answer.to_string()));
            if let Some(code) = code {
                response.headers_mut().insert("x-amzn-query-error", format!("{code};Sender"));
            }
            HttpConnectorFuture::ready(Ok(response))
        }
    }

    async fn sqs(answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> (Sqs, Line) {
        let line = Line { answer: Arc::new(answer), seen: Arc::default() };
        let connector = SharedHttpConnector::new(line.clone());
        let client = http_client_fn(move |_, _| connector.clone());
        let environment =
            Environment { http_client: Some(client), isolated: true, ..Environment::default() };
        (connect(&environment, "eu-west-1", None).await.unwrap().sqs, line)
    }

    fn numbered(n: usize) -> Message {
        Message {
            id: format!("m-{n}"),
            receipt: format!("r-{n}"),
            body: String::new(),
            receive_count: 1,
            sent_at: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_received() {
        let (sqs, line) = sqs(|_, _| {
            let full = json!({
                "MessageId": "m-1", "ReceiptHandle": "r-1", "Body": "{}",
                "Attributes": { "ApproximateReceiveCount": "3", "SentTimestamp": "1700000000123" }
            });
            let bare = json!({ "MessageId": "m-2", "ReceiptHandle": "r-2", "Body": "x" });
            let useless = json!({ "MessageId": "m-3", "Body": "no receipt" });
            (200, None, json!({ "Messages": [full, bare, useless] }))
        })
        .await;
        let messages = sqs.receive(URL, Duration::from_secs(600)).await.unwrap();
        assert_eq!(messages.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["m-1", "m-2"]);
        assert_eq!((messages[0].receive_count, messages[1].receive_count), (3, 1));
        assert_eq!(messages[0].sent_at, Some("2023-11-14T22:13:20.123Z".parse().unwrap()));
        let asked = line.seen.lock().unwrap()[0].1.clone();
        assert_eq!(
            (&asked["MaxNumberOfMessages"], &asked["WaitTimeSeconds"]),
            (&json!(10), &json!(20))
        );
        assert_eq!(asked["QueueUrl"], URL);
        assert_eq!(
            asked["MessageSystemAttributeNames"],
            json!(["ApproximateReceiveCount", "SentTimestamp"])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_queue_is_no_error() {
        let (sqs, line) = sqs(|_, _| (200, None, json!({}))).await;
        assert!(sqs.receive(URL, Duration::ZERO).await.unwrap().is_empty());
        assert_eq!(line.seen.lock().unwrap()[0].1["WaitTimeSeconds"], json!(0));
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_deleted_ten_a_call_and_failures_are_returned() {
        let (sqs, line) = sqs(|operation, asked| {
            assert_eq!(operation, "DeleteMessageBatch");
            let entries = asked["Entries"].as_array().unwrap();
            assert!(entries.len() <= 10);
            let (mut deleted, mut failed) = (Vec::new(), Vec::new());
            for entry in entries {
                match entry["ReceiptHandle"].as_str().unwrap() {
                    "r-4" => failed.push(json!({
                        "Id": entry["Id"], "Code": "ReceiptHandleIsInvalid", "SenderFault": true, "Message": "no"
                    })),
                    "r-12" => failed.push(json!({ "Id": entry["Id"], "Code": "InternalError", "SenderFault": false })),
                    "r-20" => {}
                    _ => deleted.push(json!({ "Id": entry["Id"] })),
                }
            }
            (200, None, json!({ "Successful": deleted, "Failed": failed }))
        })
        .await;
        let messages: Vec<Message> = (0..23).map(numbered).collect();
        let left = sqs.delete(URL, &messages.iter().collect::<Vec<_>>()).await.unwrap();
        let left: Vec<_> = left.iter().map(|(id, error)| (id.as_str(), error.class)).collect();
        assert_eq!(
            left,
            [
                ("m-4", ErrorClass::Invalid),
                ("m-12", ErrorClass::Unavailable),
                ("m-20", ErrorClass::Unavailable)
            ]
        );
        assert_eq!(line.seen.lock().unwrap().len(), 3);
        assert!(sqs.delete(URL, &[]).await.unwrap().is_empty());
        assert_eq!(line.seen.lock().unwrap().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_names_the_queue_and_what_to_do() {
        let rows = [
            (
                "AWS.SimpleQueueService.NonExistentQueue",
                "QueueDoesNotExist",
                ErrorClass::NotFound,
                "check the region",
            ),
            (
                "KMS.AccessDeniedException",
                "KmsAccessDenied",
                ErrorClass::Denied,
                r#""Action":"kms:Decrypt""#,
            ),
            ("KMS.DisabledException", "KmsDisabled", ErrorClass::Invalid, "enable it"),
            ("KMS.ThrottlingException", "KmsThrottled", ErrorClass::Throttled, "KMS throttles"),
            ("OverLimit", "OverLimit", ErrorClass::Throttled, "visibility timeout"),
            ("InvalidAddress", "InvalidAddress", ErrorClass::Invalid, "check the queue's URL"),
            (
                "AccessDenied",
                "AccessDeniedException",
                ErrorClass::Denied,
                r#""Resource":"arn:aws:sqs:eu-west-1:123456789012:events""#,
            ),
        ];
        for (header, body, class, words) in rows {
            for code in [Some(header), None] {
                let answer = move |_: &str, _: &Value| {
                    (
                        400,
                        code,
                        json!({ "__type": format!("com.amazonaws.sqs#{body}"), "message": "It is so." }),
                    )
                };
                let (sqs, _) = sqs(answer).await;
                let error = sqs.receive(URL, Duration::ZERO).await.unwrap_err();
                assert_eq!(error.class, class, "{code:?} {body}: {error}");
                let text = error.to_string();
                assert!(
                    text.starts_with(&format!("sqs:ReceiveMessage on queue {URL}: ")),
                    "{text}"
                );
                assert!(text.contains("It is so; ") && text.contains(words), "{text}");
                assert_eq!(sqs.delete(URL, &[&numbered(1)]).await.unwrap_err().class, class);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_poll_is_no_timeout() {
        #[derive(Debug)]
        struct Slow;
        impl HttpConnector for Slow {
            fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
                let polls = request.headers().get("x-amz-target").is_some();
                HttpConnectorFuture::new(async move {
                    if polls {
                        tokio::time::sleep(Duration::from_secs(21)).await;
                    }
                    let body = if polls { "{}" } else { IDENTITY };
                    Ok(HttpResponse::new(200.try_into().unwrap(), SdkBody::from(body)))
                })
            }
        }
        let connector = SharedHttpConnector::new(Slow);
        let client = http_client_fn(move |_, _| connector.clone());
        let environment =
            Environment { http_client: Some(client), isolated: true, ..Environment::default() };
        let session = connect(&environment, "eu-west-1", None).await.unwrap();
        assert!(session.sqs.receive(URL, Duration::from_secs(20)).await.unwrap().is_empty());
    }
}
