//! SQS: the behaviour that the reader of events relies on.

use super::told::{Told, ensure, refused, same};
use super::world::World;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName};

async fn send(w: &World, url: &str, body: &str) -> Told {
    w.sqs.send_message().queue_url(url).message_body(body).send().await?;
    Ok(())
}

async fn receive(w: &World, url: &str, wait: i32) -> Told<Vec<Message>> {
    let receive =
        w.sqs.receive_message().queue_url(url).max_number_of_messages(10).wait_time_seconds(wait);
    let receive =
        receive.message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
    let receive = receive.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
    Ok(receive.send().await?.messages.unwrap_or_default())
}

/// Receives the one message that arrives within ten seconds.
async fn one(w: &World, url: &str) -> Told<Message> {
    let mut messages = receive(w, url, 10).await?;
    ensure!(messages.len() == 1, "{} messages instead of one", messages.len());
    Ok(messages.remove(0))
}

async fn delete(w: &World, url: &str, handle: &str) -> Told {
    w.sqs.delete_message().queue_url(url).receipt_handle(handle).send().await?;
    Ok(())
}

fn attribute(message: &Message, name: MessageSystemAttributeName) -> Option<&str> {
    message.attributes()?.get(&name).map(String::as_str)
}

fn handle(message: &Message) -> &str {
    message.receipt_handle().unwrap_or_default()
}

fn entry(id: &str, handle: &str) -> DeleteMessageBatchRequestEntry {
    DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build().unwrap()
}

/// In the older protocol's spelling, which the SDK prefers, or in the newer one's. (Source: SQS API
/// reference, errors; the service's model, `awsQueryCompatible`.)
pub async fn an_unknown_queue_does_not_exist(w: &World) -> Told {
    let known = w.queue("known", 30).await?;
    let url = known.replace("-known", "-unknown");
    let codes = ["AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"];
    let answer = w.sqs.receive_message().queue_url(&url).send().await;
    ensure!(
        answer.as_ref().is_err_and(|error| error
            .as_service_error()
            .is_some_and(|e| e.is_queue_does_not_exist())),
        "not the model's error: {answer:?}"
    );
    refused("ReceiveMessage", answer)?.is_one_of(400, &codes)?;
    let answer = w.sqs.delete_message_batch().queue_url(url).entries(entry("0", "x")).send().await;
    refused("DeleteMessageBatch", answer)?.is_one_of(400, &codes)
}

/// (Source: SQS API reference, ReceiveMessage: `SentTimestamp` in milliseconds,
/// `ApproximateReceiveCount`.)
pub async fn a_message_has_its_body_and_its_counts(w: &World) -> Told {
    let url = w.queue("events", 30).await?;
    send(w, &url, r#"{"a": 1}"#).await?;
    let message = one(w, &url).await?;
    same("body", message.body(), Some(r#"{"a": 1}"#))?;
    ensure!(
        message.message_id().is_some() && message.receipt_handle().is_some(),
        "no id, or no handle"
    );
    same(
        "received",
        attribute(&message, MessageSystemAttributeName::ApproximateReceiveCount),
        Some("1"),
    )?;
    let sent = attribute(&message, MessageSystemAttributeName::SentTimestamp)
        .and_then(|ms| ms.parse::<u64>().ok());
    // Between the years 2020 and 2100, in milliseconds.
    ensure!(
        sent.is_some_and(|ms| (1_577_836_800_000..4_102_444_800_000).contains(&ms)),
        "sent at {sent:?}"
    );
    Ok(())
}

/// (Source: SQS API reference, ReceiveMessage.)
pub async fn an_empty_queue_answers_nothing(w: &World) -> Told {
    let url = w.queue("events", 30).await?;
    same("messages", receive(w, &url, 0).await?.len(), 0)
}

/// A waiting receive gets a message that arrives meanwhile. (Source: SQS developer guide, "Long
/// polling".)
pub async fn a_long_poll_waits_for_a_message(w: &World) -> Told {
    let url = w.queue("events", 30).await?;
    let (received, sent) = futures_util::future::join(one(w, &url), async {
        w.pass(2).await;
        send(w, &url, "late").await
    })
    .await;
    sent?;
    same("body", received?.body(), Some("late"))
}

/// It is hidden for the visibility timeout, and then visible again, under another handle. (Source:
/// SQS developer guide, "Visibility timeout".)
pub async fn a_message_that_is_not_deleted_comes_again(w: &World) -> Told {
    let url = w.queue("events", 5).await?;
    send(w, &url, "one").await?;
    let first = one(w, &url).await?;
    same("while it is hidden", receive(w, &url, 0).await?.len(), 0)?;
    let second = one(w, &url).await?;
    same("id", second.message_id(), first.message_id())?;
    ensure!(second.receipt_handle() != first.receipt_handle(), "the same handle");
    same(
        "received",
        attribute(&second, MessageSystemAttributeName::ApproximateReceiveCount),
        Some("2"),
    )
}

/// (Source: SQS API reference, DeleteMessage.)
pub async fn a_deleted_message_does_not_come_again(w: &World) -> Told {
    let url = w.queue("events", 2).await?;
    send(w, &url, "one").await?;
    let message = one(w, &url).await?;
    delete(w, &url, handle(&message)).await?;
    w.pass(4).await;
    same("messages", receive(w, &url, 0).await?.len(), 0)
}

/// An older handle is answered with success, and deletes nothing. (Source: SQS API reference,
/// DeleteMessage: use the handle of the most recent receive.)
pub async fn only_the_last_handle_deletes(w: &World) -> Told {
    let url = w.queue("events", 3).await?;
    send(w, &url, "one").await?;
    let first = one(w, &url).await?;
    one(w, &url).await?;
    delete(w, &url, handle(&first)).await?;
    let third = one(w, &url).await?;
    same(
        "received",
        attribute(&third, MessageSystemAttributeName::ApproximateReceiveCount),
        Some("3"),
    )
}

/// (Source: SQS API reference, DeleteMessage: `ReceiptHandleIsInvalid`.)
pub async fn a_handle_that_is_none_is_invalid(w: &World) -> Told {
    let url = w.queue("events", 30).await?;
    let answer = w.sqs.delete_message().queue_url(&url).receipt_handle("no handle").send().await;
    refused("DeleteMessage", answer)?.is(400, "ReceiptHandleIsInvalid")
}

/// In a batch it fails alone. (Source: SQS API reference, DeleteMessageBatch: `Successful` and
/// `Failed`.)
pub async fn a_batch_fails_for_the_wrong_handle_alone(w: &World) -> Told {
    let url = w.queue("events", 30).await?;
    send(w, &url, "one").await?;
    let message = one(w, &url).await?;
    let batch = w.sqs.delete_message_batch().queue_url(&url).entries(entry("0", handle(&message)));
    let answer = batch.entries(entry("1", "no handle")).send().await?;
    same("deleted", answer.successful().iter().map(|entry| entry.id()).collect::<Vec<_>>(), ["0"])?;
    let failed =
        answer.failed().iter().map(|entry| (entry.id(), entry.code(), entry.sender_fault()));
    same("failed", failed.collect::<Vec<_>>(), [("1", "ReceiptHandleIsInvalid", true)])
}

/// Ten messages are received at once. (Source: SQS API reference, ReceiveMessage:
/// `MaxNumberOfMessages`.)
pub async fn eleven_messages_are_too_many_to_receive(w: &World) -> Told {
    let url = w.queue("events", 30).await?;
    let answer = w.sqs.receive_message().queue_url(&url).max_number_of_messages(11).send().await;
    refused("ReceiveMessage of 11", answer)?
        .is_one_of(400, &["InvalidParameterValue", "ReadCountOutOfRange"])
}

/// Ten are deleted at once. (Source: SQS API reference, DeleteMessageBatch:
/// TooManyEntriesInBatchRequest.)
pub async fn eleven_messages_are_too_many_to_delete(w: &World) -> Told {
    let url = w.queue("events", 30).await?;
    let eleven = (0..11).map(|n| entry(&n.to_string(), &format!("handle {n}"))).collect();
    let answer =
        w.sqs.delete_message_batch().queue_url(&url).set_entries(Some(eleven)).send().await;
    let codes =
        ["AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "TooManyEntriesInBatchRequest"];
    refused("DeleteMessageBatch of 11", answer)?.is_one_of(400, &codes)
}

/// (Source: SQS API reference, DeleteMessageBatch: BatchEntryIdsNotDistinct.)
pub async fn ids_of_a_batch_differ(w: &World) -> Told {
    let url = w.queue("events", 30).await?;
    let batch = w
        .sqs
        .delete_message_batch()
        .queue_url(&url)
        .entries(entry("0", "x"))
        .entries(entry("0", "y"));
    let codes = ["AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "BatchEntryIdsNotDistinct"];
    refused("DeleteMessageBatch of the same", batch.send().await)?.is_one_of(400, &codes)
}

/// (Source: SQS developer guide, "Dead-letter queues": `maxReceiveCount`.)
pub async fn a_message_that_nobody_deletes_goes_to_the_dead_letter_queue(w: &World) -> Told {
    let dead = w.queue("dead", 30).await?;
    let url = w.queue_with("events", 2, Some(("dead", 2))).await?;
    send(w, &url, "one").await?;
    one(w, &url).await?;
    one(w, &url).await?;
    w.pass(3).await;
    same("a third receive", receive(w, &url, 0).await?.len(), 0)?;
    same("in the other queue", one(w, &dead).await?.body(), Some("one"))
}
