//! Stub until merge.
use std::time::Duration;
/// Queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
}
/// Received.
#[derive(Debug, Clone)]
pub struct Received {
    /// id
    pub id: String,
    /// h
    pub receipt_handle: String,
    /// c
    pub receive_count: u32,
    /// m
    pub message_id: String,
}
/// Error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// T
    #[error("{operation}: SQS throttles ({code})")]
    Throttled {
        /// o
        operation: &'static str,
        /// c
        code: String,
    },
    /// U
    #[error("{operation}: SQS is unavailable ({code})")]
    Unavailable {
        /// o
        operation: &'static str,
        /// c
        code: String,
    },
    /// M
    #[error("{operation}: SQS refuses ({code})")]
    Misconfigured {
        /// o
        operation: &'static str,
        /// c
        code: String,
    },
    /// R
    #[error("{operation}: SQS does not accept the request ({code})")]
    Rejected {
        /// o
        operation: &'static str,
        /// c
        code: String,
    },
}
impl Queue {
    /// New.
    #[must_use]
    pub fn new(client: aws_sdk_sqs::Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }
    /// Wake.
    pub async fn wake(&self, id: &str, after: Duration) -> Result<(), QueueError> {
        let delay = i32::try_from(after.as_secs().min(900)).unwrap_or(900);
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(id)
            .delay_seconds(delay)
            .send()
            .await
            .map(|_| ())
            .map_err(|_| QueueError::Unavailable { operation: "SendMessage", code: String::new() })
    }
    /// Hide.
    pub async fn hide(&self, receipt_handle: &str, during: Duration) -> Result<(), QueueError> {
        let t = i32::try_from(during.as_secs().min(43_200)).unwrap_or(43_200);
        self.client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt_handle)
            .visibility_timeout(t)
            .send()
            .await
            .map(|_| ())
            .map_err(|_| QueueError::Unavailable {
                operation: "ChangeMessageVisibility",
                code: String::new(),
            })
    }
    /// Receive.
    pub async fn receive(&self, wait: Duration) -> Result<Vec<Received>, QueueError> {
        use aws_sdk_sqs::types::MessageSystemAttributeName as Name;
        let wait = i32::try_from(wait.as_secs()).unwrap_or(20);
        let out = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(10)
            .wait_time_seconds(wait)
            .message_system_attribute_names(Name::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|_| QueueError::Unavailable { operation: "ReceiveMessage", code: String::new() })?;
        Ok(out
            .messages
            .unwrap_or_default()
            .into_iter()
            .map(|m| Received {
                receive_count: m
                    .attributes
                    .as_ref()
                    .and_then(|a| a.get(&Name::ApproximateReceiveCount))
                    .and_then(|c| c.parse().ok())
                    .unwrap_or(1),
                id: m.body.unwrap_or_default(),
                receipt_handle: m.receipt_handle.unwrap_or_default(),
                message_id: m.message_id.unwrap_or_default(),
            })
            .collect())
    }
    /// Delete.
    pub async fn delete(&self, receipt_handle: &str) -> Result<(), QueueError> {
        self.client
            .delete_message()
            .queue_url(&self.url)
            .receipt_handle(receipt_handle)
            .send()
            .await
            .map(|_| ())
            .map_err(|_| QueueError::Unavailable { operation: "DeleteMessage", code: String::new() })
    }
}
