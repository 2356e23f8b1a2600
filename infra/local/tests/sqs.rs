//! The embedded SQS, called by the SDK's client over HTTP. All its times follow a clock that the tests move.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName as Attribute, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use keypool_aws::{AwsErrorKind, Timeouts, classify};
use keypool_domain::{Clock, Timestamp};
use keypool_local::{DeliveryFaults, QueueSettings, Services, Sqs};

const START_MS: i64 = 1_800_000_000_000;
const DAY: i64 = 86_400;

struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_microseconds(self.0.load(Ordering::SeqCst) * 1_000).unwrap()
    }
}

struct Queue {
    sqs: Sqs,
    client: Client,
    clock: Arc<ManualClock>,
    url: String,
}

impl Queue {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock(AtomicI64::new(START_MS)));
        let settings = QueueSettings { max_receive_count: 2, ..QueueSettings::default() };
        let sqs = Sqs::start(clock.clone(), settings).await.unwrap();
        let settings = Services::settings(String::new(), String::new());
        let client = settings.queue(Timeouts::OPERATOR, Some(sqs.url()));
        Self { url: sqs.queue_url(), sqs, client, clock }
    }

    fn advance_seconds(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds * 1_000, Ordering::SeqCst);
        self.sqs.clock_moved();
    }

    async fn send(&self, body: &str, delay_seconds: i32) {
        assert_eq!(self.try_send(&self.url, body, delay_seconds).await, "ok");
    }

    /// Receives up to 10 messages from the queue at `url`.
    async fn receive_from(&self, url: &str, wait_seconds: i32) -> Vec<Message> {
        let request = self.client.receive_message().queue_url(url).max_number_of_messages(10);
        let request = request.wait_time_seconds(wait_seconds).message_system_attribute_names(Attribute::All);
        request.send().await.unwrap().messages.unwrap_or_default()
    }

    async fn receive(&self, wait_seconds: i32) -> Vec<Message> {
        self.receive_from(&self.url, wait_seconds).await
    }

    async fn delete(&self, handle: &str) -> String {
        code(self.client.delete_message().queue_url(&self.url).receipt_handle(handle).send().await)
    }

    async fn hide(&self, handle: &str, seconds: i32) -> String {
        let request = self.client.change_message_visibility().queue_url(&self.url);
        code(request.receipt_handle(handle).visibility_timeout(seconds).send().await)
    }

    async fn try_send(&self, url: &str, body: &str, delay_seconds: i32) -> String {
        let request = self.client.send_message().queue_url(url).message_body(body);
        code(request.delay_seconds(delay_seconds).send().await)
    }

    async fn send_batch(&self, entries: &[(&str, &str)]) -> String {
        let entries = entries.iter().map(|(id, body)| to_send(id, body)).collect();
        code(self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await)
    }

    /// The numbers of visible, in-flight and delayed messages.
    async fn counts(&self) -> [String; 3] {
        let request = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = request.attribute_names(QueueAttributeName::All).send().await.unwrap();
        let attributes = answer.attributes.unwrap();
        ["", "NotVisible", "Delayed"].map(|state| {
            let name = format!("ApproximateNumberOfMessages{state}");
            attributes[&QueueAttributeName::from(name.as_str())].clone()
        })
    }
}

/// The code of an error without its prefix, or `ok`.
fn code<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E>>) -> String {
    let Err(error) = result else { return "ok".to_owned() };
    let error = classify(&error);
    assert_ne!(error.kind, AwsErrorKind::Unavailable, "{}", error.code);
    error.code.trim_start_matches("AWS.SimpleQueueService.").to_owned()
}

fn to_send(id: &str, body: &str) -> SendMessageBatchRequestEntry {
    SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap()
}

fn handle(message: &Message) -> &str {
    message.receipt_handle().unwrap()
}

#[tokio::test]
async fn a_message_is_sent_received_and_deleted() {
    let queue = Queue::start().await;
    let name = queue.url.rsplit('/').next().unwrap();
    let found = queue.client.get_queue_url().queue_name(name).send().await.unwrap();
    assert_eq!(found.queue_url(), Some(queue.url.as_str()));
    let sent = queue.client.send_message().queue_url(&queue.url).message_body("hello").send().await.unwrap();
    assert_eq!(sent.md5_of_message_body(), Some("5d41402abc4b2a76b9719d911017c592"), "RFC 1321");
    queue.advance_seconds(7);
    let message = queue.receive(0).await.remove(0);
    assert_eq!((message.body(), message.message_id()), (Some("hello"), sent.message_id()));
    assert_eq!(message.md5_of_body(), sent.md5_of_message_body());
    let attributes = message.attributes().unwrap();
    assert_eq!(attributes[&Attribute::ApproximateReceiveCount], "1");
    assert_eq!(attributes[&Attribute::SentTimestamp], START_MS.to_string());
    assert_eq!(attributes[&Attribute::ApproximateFirstReceiveTimestamp], (START_MS + 7_000).to_string());
    assert_eq!(queue.counts().await, ["0", "1", "0"]);
    assert_eq!(queue.delete(handle(&message)).await, "ok");
    assert_eq!(queue.delete(handle(&message)).await, "ok", "a message that is gone");
    assert_eq!(queue.counts().await, ["0", "0", "0"]);
    queue.send("hello", 0).await;
    #[expect(deprecated, reason = "the older spelling")]
    let request = queue.client.receive_message().attribute_names(QueueAttributeName::from("SentTimestamp"));
    let received = request.queue_url(&queue.url).send().await.unwrap();
    let attributes = received.messages()[0].attributes().unwrap();
    assert_eq!(attributes.keys().collect::<Vec<_>>(), [&Attribute::SentTimestamp]);
}

#[tokio::test]
async fn a_batch_reports_each_entry_on_its_own() {
    let queue = Queue::start().await;
    let request = queue.client.send_message_batch().queue_url(&queue.url);
    let sent = request.entries(to_send("a", "good")).entries(to_send("b", "b\u{1}d")).send().await.unwrap();
    assert_eq!((sent.successful()[0].id(), sent.failed()[0].id()), ("a", "b"));
    assert_eq!(sent.failed()[0].code(), "InvalidMessageContents");
    let message = queue.receive(0).await.remove(0);
    let entry = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build().unwrap()
    };
    let request = queue.client.delete_message_batch().queue_url(&queue.url);
    let request = request.entries(entry("a", handle(&message))).entries(entry("b", "nonsense"));
    let deleted = request.send().await.unwrap();
    assert_eq!((deleted.successful()[0].id(), deleted.failed()[0].code()), ("a", "ReceiptHandleIsInvalid"));
    assert_eq!(queue.counts().await, ["0", "0", "0"]);
}

#[tokio::test]
async fn messages_that_sqs_refuses_are_refused() {
    let queue = Queue::start().await;
    let longest = "x".repeat(1_048_576);
    let too_long = format!("{longest}x");
    let unknown = format!("{}-not", queue.url);
    for (url, body, delay_seconds, expected) in [
        (&queue.url, longest.as_str(), 900, "ok"),
        (&queue.url, "\t\n\r \u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff}", 0, "ok"),
        (&queue.url, &too_long, 0, "InvalidParameterValue"),
        (&queue.url, "", 0, "InvalidParameterValue"),
        (&queue.url, "a\u{0}b", 0, "InvalidMessageContents"),
        (&queue.url, "\u{fffe}", 0, "InvalidMessageContents"),
        (&queue.url, "late", 901, "InvalidParameterValue"),
        (&queue.url, "early", -1, "InvalidParameterValue"),
        (&unknown, "hello", 0, "NonExistentQueue"),
        (&unknown.replace("000", "111"), "hello", 0, "NonExistentQueue"),
        (&"keypool".to_owned(), "hello", 0, "InvalidAddress"),
    ] {
        assert_eq!(queue.try_send(url, body, delay_seconds).await, expected, "{delay_seconds}");
    }
    let request = queue.client.send_message().queue_url(&unknown).message_body("hello");
    assert!(request.send().await.unwrap_err().into_service_error().is_queue_does_not_exist());
}

#[tokio::test]
async fn batches_that_sqs_refuses_are_refused() {
    let queue = Queue::start().await;
    let half = "x".repeat(524_288);
    let eleven: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"].map(|id| (id, "x")).into();
    for (entries, expected) in [
        (&[][..], "EmptyBatchRequest"),
        (&eleven, "TooManyEntriesInBatchRequest"),
        (&eleven[..10], "ok"),
        (&[("a", "x"), ("a", "y")], "BatchEntryIdsNotDistinct"),
        (&[("a b", "x")], "InvalidBatchEntryId"),
        (&[(&"a".repeat(81), "x")], "InvalidBatchEntryId"),
        (&[("a", &half), ("b", &half)], "ok"),
        (&[("a", &half), ("b", &half), ("c", "x")], "BatchRequestTooLong"),
    ] {
        assert_eq!(queue.send_batch(entries).await, expected);
    }
    let delete = queue.client.delete_message_batch().queue_url(&queue.url).set_entries(Some(Vec::new()));
    assert_eq!(code(delete.send().await), "EmptyBatchRequest");
}

#[tokio::test]
async fn receives_that_sqs_refuses_are_refused() {
    let queue = Queue::start().await;
    for (max, wait, visibility) in [(0, 0, 0), (11, 0, 0), (1, -1, 0), (1, 21, 0), (1, 0, -1), (1, 0, 43_201)]
    {
        let request = queue.client.receive_message().queue_url(&queue.url).max_number_of_messages(max);
        let request = request.wait_time_seconds(wait).visibility_timeout(visibility);
        assert_eq!(code(request.send().await), "InvalidParameterValue", "{max} {wait} {visibility}");
    }
    let request = queue.client.receive_message().queue_url(&queue.url);
    let request = request.message_system_attribute_names(Attribute::from("Mood"));
    assert_eq!(code(request.send().await), "InvalidParameterValue");
    let request = queue.client.get_queue_attributes().queue_url(&queue.url);
    let request = request.attribute_names(QueueAttributeName::from("Mood"));
    assert_eq!(code(request.send().await), "InvalidAttributeName");
    let request = queue.client.get_queue_url().queue_name("other");
    assert_eq!(code(request.send().await), "NonExistentQueue");
    assert_eq!(code(queue.client.list_queues().send().await), "MissingParameter");
}

#[tokio::test]
async fn a_message_is_hidden_for_its_visibility_timeout() {
    let queue = Queue::start().await;
    queue.send("hello", 900).await;
    queue.advance_seconds(899);
    assert!(queue.receive(0).await.is_empty());
    assert_eq!(queue.counts().await, ["0", "0", "1"]);
    queue.advance_seconds(1);
    let message = queue.receive(0).await.remove(0);
    queue.advance_seconds(29);
    assert_eq!(queue.hide(handle(&message), 43_200).await, "InvalidParameterValue", "12 hours and 29 s");
    assert_eq!(queue.hide(handle(&message), 43_201).await, "InvalidParameterValue");
    assert_eq!(queue.hide(handle(&message), -1).await, "InvalidParameterValue");
    assert_eq!(queue.hide(handle(&message), 43_171).await, "ok");
    queue.advance_seconds(43_170);
    assert!(queue.receive(0).await.is_empty());
    queue.advance_seconds(1);
    assert_eq!(queue.hide(handle(&message), 5).await, "MessageNotInflight");
    assert_eq!(queue.hide("nonsense", 5).await, "ReceiptHandleIsInvalid");
    assert_eq!(queue.delete("nonsense").await, "ReceiptHandleIsInvalid");
    let again = queue.receive(0).await.remove(0);
    assert_eq!(again.attributes().unwrap()[&Attribute::ApproximateReceiveCount], "2");
    assert_eq!(queue.delete(handle(&message)).await, "ok", "an old receipt handle deletes nothing");
    assert_eq!(queue.counts().await, ["0", "1", "0"]);
    assert_eq!(queue.delete(handle(&again)).await, "ok");
    assert_eq!(queue.hide(handle(&again), 5).await, "InvalidParameterValue", "the message is gone");
}

#[tokio::test]
async fn a_waiting_receive_wakes_for_a_message() {
    let queue = Queue::start().await;
    let (first, second, ()) = tokio::join!(queue.receive(20), queue.receive(20), async {
        queue.sqs.receives_wait(2).await;
        queue.send("hello", 0).await;
        // One receive has the message. The other waits until it is visible again.
        queue.sqs.receives_wait(1).await;
        queue.advance_seconds(20);
    });
    assert_eq!(first.len() + second.len(), 1);
}

#[tokio::test]
async fn a_waiting_receive_follows_the_clock() {
    let queue = Queue::start().await;
    queue.send("hello", 5).await;
    let (received, ()) = tokio::join!(queue.receive(20), async {
        queue.sqs.receives_wait(1).await;
        queue.advance_seconds(5);
    });
    assert_eq!(received.len(), 1);
    // A stop ends a wait at once.
    let request = queue.client.receive_message().queue_url(&queue.url).wait_time_seconds(20);
    let waiting = tokio::spawn(request.send());
    queue.sqs.receives_wait(1).await;
    tokio::time::timeout(Duration::from_secs(2), queue.sqs.stop()).await.unwrap();
    assert!(waiting.await.unwrap().unwrap().messages().is_empty());
}

#[tokio::test]
async fn a_message_received_too_often_goes_to_the_dead_letters() {
    let queue = Queue::start().await;
    let dead_letters = queue.sqs.dead_letter_queue_url();
    queue.send("hello", 0).await;
    for receive in ["1", "2"] {
        let message = queue.receive(0).await.remove(0);
        assert_eq!(message.attributes().unwrap()[&Attribute::ApproximateReceiveCount], receive);
        assert!(queue.receive(0).await.is_empty(), "it is in flight");
        assert!(queue.receive_from(&dead_letters, 0).await.is_empty());
        queue.advance_seconds(30);
    }
    assert!(queue.receive(0).await.is_empty());
    let dead = queue.receive_from(&dead_letters, 0).await.remove(0);
    assert_eq!(dead.attributes().unwrap()[&Attribute::ApproximateReceiveCount], "3");
    assert_eq!(queue.delete(handle(&dead)).await, "ReceiptHandleIsInvalid", "a handle of another queue");
    queue.advance_seconds(4 * DAY);
    assert!(queue.receive_from(&dead_letters, 0).await.is_empty(), "expired since it was sent");
}

#[tokio::test]
async fn a_queue_has_the_faults_that_are_set() {
    let queue = Queue::start().await;
    queue.sqs.set_faults(DeliveryFaults { twice: true, reversed: true, lose_next: 1 });
    for body in ["lost", "first", "second"] {
        queue.send(body, 0).await;
    }
    let messages = queue.receive(0).await;
    assert_eq!(
        messages.iter().filter_map(Message::body).collect::<Vec<_>>(),
        ["second", "second", "first", "first"]
    );
    assert_eq!(messages[0].message_id(), messages[1].message_id());
    assert_eq!(queue.delete(handle(&messages[0])).await, "ok");
    assert_eq!(queue.counts().await, ["0", "3", "0"], "the other copy stays");
    queue.sqs.set_faults(DeliveryFaults::default());
    queue.advance_seconds(30);
    queue.send("third", 0).await;
    let messages = queue.receive(0).await;
    assert_eq!(
        messages.iter().filter_map(Message::body).collect::<Vec<_>>(),
        ["first", "first", "second", "third"]
    );
}
