use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use keypool_aws::{AwsErrorKind, FailedCall, Service};

/// The longest delay of a message (SQS API Reference, `SendMessage`).
pub const WAKE_AFTER_MAX: Duration = Duration::from_mins(15);
/// The longest time that [`Queue::hide`] asks for. SQS hides a message for up to 12 hours since its receive
/// (`ChangeMessageVisibility`). A function may have used 15 minutes of these.
pub const HIDE_MAX: Duration = Duration::from_mins(12 * 60 - 15);
/// The longest wait for a message (`ReceiveMessage`).
pub const WAIT_MAX: Duration = Duration::from_secs(20);
/// The time that a waiting call has in addition to its wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The queue of orders in SQS. Durations are rounded up to whole seconds.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

/// A message that the queue has delivered. It stays hidden for the queue's visibility timeout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The id of the order.
    pub id: String,
    /// The handle of this receive, for [`Queue::hide`] and [`Queue::delete`].
    pub receipt_handle: String,
    /// The number of times that the message was received, this one included; approximate.
    pub receive_count: u32,
    /// SQS's id of the message. A message that is delivered twice has the same.
    pub message_id: String,
}

impl Queue {
    /// The queue at `url`, called through `client`.
    #[must_use]
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// Sends the id of an order, to be delivered `after` some time, at most [`WAKE_AFTER_MAX`]. After
    /// an error the message may have been sent. Cost: 1 SQS request.
    pub async fn wake(&self, id: &str, after: Duration) -> Result<(), FailedCall> {
        let request = self.client.send_message().queue_url(&self.url).message_body(id);
        let sent = request.delay_seconds(whole_seconds(after.min(WAKE_AFTER_MAX))).send().await;
        sent.map(drop).map_err(|error| Service::Sqs.failed("SendMessage", &error))
    }

    /// Hides a received message for `time` from now, at most [`HIDE_MAX`]; zero makes it visible. Cost: 1 SQS
    /// request.
    pub async fn hide(&self, receipt_handle: &str, time: Duration) -> Result<(), FailedCall> {
        let request = self.client.change_message_visibility().queue_url(&self.url);
        let request = request.receipt_handle(receipt_handle);
        let hidden = request.visibility_timeout(whole_seconds(time.min(HIDE_MAX))).send().await;
        hidden.map(drop).map_err(|error| Service::Sqs.failed("ChangeMessageVisibility", &error))
    }

    /// Receives up to 10 messages, and waits up to `wait` for the first, at most [`WAIT_MAX`]. Cost: 1 SQS
    /// request, with or without a message.
    pub async fn receive(&self, wait: Duration) -> Result<Vec<Received>, FailedCall> {
        let wait = wait.min(WAIT_MAX);
        let request = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
        let request = request.wait_time_seconds(whole_seconds(wait));
        let request =
            request.message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        // The client's own time-outs may be shorter than the wait.
        let within = wait + ANSWER_WITHIN;
        let timeouts =
            TimeoutConfig::builder().operation_attempt_timeout(within).operation_timeout(within * 2);
        let config = aws_sdk_sqs::config::Builder::new().timeout_config(timeouts.build());
        let received = request.customize().config_override(config).send().await;
        let received = received.map_err(|error| Service::Sqs.failed("ReceiveMessage", &error))?;
        received.messages.unwrap_or_default().into_iter().map(Received::from_message).collect()
    }

    /// Deletes a received message. If it was received again since, SQS may keep it. Cost: 1 SQS request.
    pub async fn delete(&self, receipt_handle: &str) -> Result<(), FailedCall> {
        let request = self.client.delete_message().queue_url(&self.url).receipt_handle(receipt_handle);
        request.send().await.map(drop).map_err(|error| Service::Sqs.failed("DeleteMessage", &error))
    }
}

impl Received {
    fn from_message(message: Message) -> Result<Self, FailedCall> {
        let count = message.attributes.as_ref().and_then(|attributes| {
            attributes.get(&MessageSystemAttributeName::ApproximateReceiveCount)?.parse().ok()
        });
        let parts = (message.body, message.receipt_handle, count, message.message_id);
        let (Some(id), Some(receipt_handle), Some(receive_count), Some(message_id)) = parts else {
            let code = "incomplete message".to_owned();
            let (service, kind) = (Service::Sqs, AwsErrorKind::Rejected);
            return Err(FailedCall { service, operation: "ReceiveMessage", kind, code });
        };
        Ok(Self { id, receipt_handle, receive_count, message_id })
    }
}

/// Rounds up to whole seconds: a worker that is woken early finds nothing to do.
fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(i32::MAX)
}
