use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

/// An error of SQS: its name and its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SqsError(pub(super) &'static str, pub(super) Cow<'static, str>);

impl SqsError {
    /// The name of the error in the older query protocol (API reference, errors of each action).
    pub(super) fn query_name(&self) -> String {
        match self.0 {
            "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue".to_owned(),
            "BatchEntryIdsNotDistinct"
            | "BatchRequestTooLong"
            | "EmptyBatchRequest"
            | "InvalidBatchEntryId"
            | "MessageNotInflight"
            | "TooManyEntriesInBatchRequest"
            | "UnsupportedOperation" => format!("AWS.SimpleQueueService.{}", self.0),
            name => name.to_owned(),
        }
    }
}

/// The message attributes that the embedded SQS supports (`API_ReceiveMessage`).
pub(super) const MESSAGE_ATTRIBUTES: [&str; 3] =
    ["ApproximateReceiveCount", "SentTimestamp", "ApproximateFirstReceiveTimestamp"];

/// The longest time that a message may stay hidden after a receive, in seconds
/// (`API_ChangeMessageVisibility`).
pub(super) const VISIBILITY_SECONDS_MAX: i64 = 43_200;

/// The settings of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSettings {
    /// The time that a receive hides a message, unless the receive sets one. SQS's default is 30 seconds.
    pub visibility_timeout: Duration,
    /// The time that a message is kept after it was sent. SQS's default is 4 days.
    pub retention: Duration,
    /// The number of receives after which a message moves to the dead letter queue.
    pub max_receive_count: u32,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            visibility_timeout: Duration::from_secs(30),
            retention: Duration::from_hours(4 * 24),
            max_receive_count: 5,
        }
    }
}

/// The faults that a standard queue may have (Developer Guide, "Standard queues"), and one that it should not
/// have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryFaults {
    /// Set to deliver each sent message twice, with one message id.
    pub twice: bool,
    /// Set to deliver the latest message first.
    pub reversed: bool,
    /// The number of next messages that are accepted and lost.
    pub lose_next: u32,
}

/// A message in a queue. Times are in milliseconds since 1970.
#[derive(Debug, Clone)]
pub(super) struct Message {
    id: String,
    body: String,
    sent_ms: i64,
    first_received_ms: Option<i64>,
    receive_count: u32,
    /// Distinguishes a message from its second copy, which has the same message id.
    copy: u64,
    visible_ms: i64,
    /// The time of the last receive in this queue.
    received_ms: Option<i64>,
}

impl Message {
    /// Formats the message as a receive from `queue` at `now_ms` returns it, with all attributes.
    fn to_json(&self, queue: &str, now_ms: i64) -> Value {
        let receipt = format!("{queue} {} {}", self.copy, self.receive_count);
        let first_received_ms = self.first_received_ms.unwrap_or(now_ms);
        let values = [i64::from(self.receive_count), self.sent_ms, first_received_ms];
        let attributes = MESSAGE_ATTRIBUTES.into_iter().zip(values.map(|value| value.to_string()));
        json!({
            "MessageId": self.id, "ReceiptHandle": URL_SAFE_NO_PAD.encode(receipt),
            "Body": self.body, "MD5OfBody": md5_of(&self.body),
            "Attributes": attributes.collect::<HashMap<_, _>>(),
        })
    }
}

/// A queue in memory. A restart loses its messages, and the sweep finds their orders.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) name: &'static str,
    pub(super) settings: QueueSettings,
    pub(super) faults: DeliveryFaults,
    messages: VecDeque<Message>,
    copies: u64,
}

impl Queue {
    pub(super) fn new(name: &'static str, settings: QueueSettings) -> Self {
        Self { name, settings, faults: DeliveryFaults::default(), messages: VecDeque::new(), copies: 0 }
    }

    /// Adds a new message, and returns SQS's response.
    pub(super) fn send(&mut self, body: &str, delay_seconds: i64, now_ms: i64) -> Value {
        let message = Message {
            id: uuid::Uuid::new_v4().to_string(),
            body: body.to_owned(),
            sent_ms: now_ms,
            first_received_ms: None,
            receive_count: 0,
            copy: 0,
            visible_ms: now_ms + delay_seconds * 1_000,
            received_ms: None,
        };
        let answer = json!({"MessageId": message.id, "MD5OfMessageBody": md5_of(body)});
        if self.faults.lose_next > 0 {
            self.faults.lose_next -= 1;
            return answer;
        }
        if self.faults.twice {
            self.add(message.clone());
        }
        self.add(message);
        answer
    }

    fn add(&mut self, mut message: Message) {
        self.copies += 1;
        message.copy = self.copies;
        self.messages.push_back(message);
    }

    /// Adds a message that another queue could not deliver. It keeps its count of receives, which is "across
    /// all queues" (`API_ReceiveMessage`), and the time at which it expires.
    pub(super) fn take_dead(&mut self, mut message: Message, now_ms: i64) {
        message.visible_ms = now_ms;
        message.received_ms = None;
        self.add(message);
    }

    /// Delivers up to `max` visible messages and hides them. Moves messages that were received too often to
    /// `dead`.
    pub(super) fn receive(
        &mut self,
        max: usize,
        visibility_seconds: Option<i64>,
        now_ms: i64,
        dead: &mut Vec<Message>,
    ) -> Vec<Value> {
        let retention_ms = milliseconds(self.settings.retention);
        self.messages.retain(|message| message.sent_ms + retention_ms > now_ms);
        let max_receive_count = self.settings.max_receive_count;
        let is_dead = |message: &Message| {
            message.visible_ms <= now_ms
                && message.received_ms.is_some()
                && message.receive_count >= max_receive_count
        };
        dead.extend(self.messages.iter().filter(|message| is_dead(message)).cloned());
        self.messages.retain(|message| !is_dead(message));

        let hidden_ms = visibility_seconds
            .map_or(milliseconds(self.settings.visibility_timeout), |seconds| seconds * 1_000);
        let name = self.name;
        let deliver = |message: &mut Message| {
            message.receive_count += 1;
            message.first_received_ms.get_or_insert(now_ms);
            message.received_ms = Some(now_ms);
            message.visible_ms = now_ms + hidden_ms;
            message.to_json(name, now_ms)
        };
        let is_reversed = self.faults.reversed;
        let visible = self.messages.iter_mut().filter(|message| message.visible_ms <= now_ms);
        if is_reversed {
            visible.rev().take(max).map(deliver).collect()
        } else {
            visible.take(max).map(deliver).collect()
        }
    }

    /// Deletes the message, unless it was received again: then "the request succeeds, but the message will
    /// not be deleted" (`API_DeleteMessage`). A missing message counts as deleted.
    pub(super) fn delete(&mut self, receipt_handle: &str) -> Result<(), SqsError> {
        let (copy, receive_count) = self.parse(receipt_handle)?;
        self.messages.retain(|message| message.copy != copy || message.receive_count != receive_count);
        Ok(())
    }

    /// Hides a message in flight for `seconds` from now. An older receipt handle also works, to the harm of
    /// the receiver that has the message now.
    pub(super) fn change_visibility(
        &mut self,
        receipt_handle: &str,
        seconds: i64,
        now_ms: i64,
    ) -> Result<(), SqsError> {
        let (copy, _) = self.parse(receipt_handle)?;
        let Some(message) = self.messages.iter_mut().find(|message| message.copy == copy) else {
            return Err(SqsError("InvalidParameterValue", "Reason: Message does not exist.".into()));
        };
        let Some(received_ms) = message.received_ms.filter(|_| message.visible_ms > now_ms) else {
            return Err(SqsError("MessageNotInflight", "The message is not in flight.".into()));
        };
        if now_ms + seconds * 1_000 > received_ms + VISIBILITY_SECONDS_MAX * 1_000 {
            let text = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds].";
            return Err(SqsError("InvalidParameterValue", text.into()));
        }
        message.visible_ms = now_ms + seconds * 1_000;
        Ok(())
    }

    /// Parses a receipt handle of this queue into a copy and a receive.
    fn parse(&self, receipt_handle: &str) -> Result<(u64, u32), SqsError> {
        let parse = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(receipt_handle).ok()?).ok()?;
            let (copy, receive) = text.strip_prefix(self.name)?.strip_prefix(' ')?.split_once(' ')?;
            Some((copy.parse().ok()?, receive.parse().ok()?))
        };
        parse().ok_or(SqsError("ReceiptHandleIsInvalid", "The input receipt handle is invalid.".into()))
    }

    /// The next moment at which a message becomes visible.
    pub(super) fn next_visible_ms(&self, now_ms: i64) -> Option<i64> {
        self.messages.iter().map(|message| message.visible_ms).filter(|visible_ms| *visible_ms > now_ms).min()
    }

    /// The number of messages that are visible, in flight and delayed.
    pub(super) fn counts(&self, now_ms: i64) -> [usize; 3] {
        let state_of = |message: &Message| match message.received_ms {
            _ if message.visible_ms <= now_ms => 0,
            Some(_) => 1,
            None => 2,
        };
        [0, 1, 2].map(|state| self.messages.iter().filter(|message| state_of(message) == state).count())
    }
}

/// The checksum that a client checks a body with, in lower-case hexadecimal.
fn md5_of(body: &str) -> String {
    format!("{:032x}", u128::from_be_bytes(Md5::digest(body).into()))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
