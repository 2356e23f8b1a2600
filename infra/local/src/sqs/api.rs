use std::collections::HashSet;
use std::ops::RangeInclusive;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::broker::Broker;
use super::queue::{MESSAGE_ATTRIBUTES, SqsError, VISIBILITY_SECONDS_MAX};
use super::{ACCOUNT, DEAD_LETTER_QUEUE, Endpoint, QUEUE, queue_url};

/// The largest message and the largest batch, in bytes (`API_SendMessage`, `API_SendMessageBatch`: 1 MiB).
const MESSAGE_BYTES_MAX: usize = 1_048_576;
/// The longest delay (`API_SendMessage`).
const DELAY_SECONDS_MAX: i64 = 900;
/// The longest wait for a message (`API_ReceiveMessage`).
const WAIT_SECONDS_MAX: i64 = 20;
/// The most messages of a receive (`API_ReceiveMessage`) and entries of a batch (`API_SendMessageBatch`).
const MESSAGES_MAX: usize = 10;

type Answer = Result<Value, SqsError>;

/// The parameters of every operation, and of an entry of a batch. An unknown parameter is refused, because it
/// would be lost.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
struct Parameters {
    queue_url: Option<String>,
    queue_name: Option<String>,
    entries: Vec<Parameters>,
    id: Option<String>,
    message_body: Option<String>,
    delay_seconds: Option<i64>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
    max_number_of_messages: Option<i64>,
    wait_time_seconds: Option<i64>,
    attribute_names: Vec<String>,
    message_system_attribute_names: Vec<String>,
}

/// Serves one call in the AWS JSON 1.0 protocol.
pub(super) async fn handle(State(endpoint): State<Endpoint>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let operation = target.strip_prefix("AmazonSQS.").unwrap_or_default();
    let json = (header::CONTENT_TYPE, "application/x-amz-json-1.0");
    match call(&endpoint, operation, &body).await {
        Ok(answer) => (StatusCode::OK, [json], answer.to_string()).into_response(),
        Err(error) => {
            // The SDK reads the error code from this header.
            let query_error = [("x-amzn-query-error", format!("{};Sender", error.query_name()))];
            let body = json!({"__type": format!("com.amazonaws.sqs#{}", error.0), "message": error.1});
            (StatusCode::BAD_REQUEST, [json], query_error, body.to_string()).into_response()
        }
    }
}

async fn call(endpoint: &Endpoint, operation: &str, body: &[u8]) -> Answer {
    let broker = &*endpoint.broker;
    let parameters: Parameters = serde_json::from_slice(body)
        .map_err(|error| SqsError("SerializationException", error.to_string().into()))?;
    if operation == "GetQueueUrl" {
        let name = required("QueueName", parameters.queue_name.as_ref())?;
        broker.with_queue(name, |_, _| Ok(()))?;
        return Ok(json!({"QueueUrl": queue_url(&endpoint.url, name)}));
    }
    let queue = queue_name(required("QueueUrl", parameters.queue_url.as_ref())?)?;
    broker.with_queue(queue, |_, _| Ok(()))?;
    match operation {
        "SendMessage" => send(broker, queue, &parameters),
        "SendMessageBatch" => {
            check_batch(&parameters.entries)?;
            let bodies = parameters.entries.iter().filter_map(|entry| entry.message_body.as_ref());
            if bodies.map(String::len).sum::<usize>() > MESSAGE_BYTES_MAX {
                return Err(SqsError("BatchRequestTooLong", "A batch has up to 1048576 bytes.".into()));
            }
            Ok(in_batch(&parameters.entries, |entry| send(broker, queue, entry)))
        }
        "DeleteMessage" => delete(broker, queue, &parameters),
        "DeleteMessageBatch" => {
            check_batch(&parameters.entries)?;
            Ok(in_batch(&parameters.entries, |entry| delete(broker, queue, entry)))
        }
        "ReceiveMessage" => receive(broker, queue, &parameters).await,
        "ChangeMessageVisibility" => change_visibility(broker, queue, &parameters),
        "GetQueueAttributes" => attributes(broker, queue, &parameters.attribute_names),
        _ => Err(SqsError("UnsupportedOperation", "The embedded SQS does not have this operation.".into())),
    }
}

fn required<'a, T>(name: &str, value: Option<&'a T>) -> Result<&'a T, SqsError> {
    let text = || format!("The request must contain the parameter {name}.");
    value.ok_or_else(|| SqsError("MissingParameter", text().into()))
}

/// The name of the queue at `url`. The host does not matter, because a test may put a proxy before the
/// service.
fn queue_name(url: &str) -> Result<&str, SqsError> {
    let parts: Option<Vec<_>> = url.split_once("://").map(|(_, rest)| rest.splitn(3, '/').collect());
    match parts.as_deref() {
        Some([_, ACCOUNT, name]) => Ok(name),
        Some([_, _, _]) => Err(SqsError("QueueDoesNotExist", "There is no such account.".into())),
        _ => Err(SqsError("InvalidAddress", "The address is not valid for this endpoint.".into())),
    }
}

fn in_range(name: &str, value: i64, range: &RangeInclusive<i64>) -> Result<i64, SqsError> {
    let text = || format!("Value {value} for parameter {name} is invalid. Reason: Must be in {range:?}.");
    if range.contains(&value) { Ok(value) } else { Err(SqsError("InvalidParameterValue", text().into())) }
}

/// Checks a body's size and its characters, which must be those of XML (`API_SendMessage`).
fn check_body(body: &str) -> Result<(), SqsError> {
    let is_allowed = |character| match character {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        other => other >= ' ',
    };
    if !(1..=MESSAGE_BYTES_MAX).contains(&body.len()) {
        return Err(SqsError("InvalidParameterValue", "A message has 1 to 1048576 bytes.".into()));
    }
    if !body.chars().all(is_allowed) {
        return Err(SqsError(
            "InvalidMessageContents",
            "The body has characters that are not allowed.".into(),
        ));
    }
    Ok(())
}

/// Checks the number and the ids of a batch's entries (`API_SendMessageBatch`,
/// `API_SendMessageBatchRequestEntry`).
fn check_batch(entries: &[Parameters]) -> Result<(), SqsError> {
    let ids: Vec<_> = entries.iter().map(|entry| entry.id.as_deref().unwrap_or_default()).collect();
    let is_valid = |id: &&str| {
        (1..=80).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let name = match ids.len() {
        0 => "EmptyBatchRequest",
        count if count > MESSAGES_MAX => "TooManyEntriesInBatchRequest",
        _ if !ids.iter().all(is_valid) => "InvalidBatchEntryId",
        count if ids.iter().collect::<HashSet<_>>().len() < count => "BatchEntryIdsNotDistinct",
        _ => return Ok(()),
    };
    Err(SqsError(name, "A batch has 1 to 10 entries, with ids of 1 to 80 letters, digits, - and _.".into()))
}

/// Runs `act` on each entry. A failed entry does not affect the others.
fn in_batch(entries: &[Parameters], mut act: impl FnMut(&Parameters) -> Answer) -> Value {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        match act(entry) {
            Ok(mut answer) => {
                answer["Id"] = json!(entry.id);
                successful.push(answer);
            }
            Err(SqsError(name, text)) => {
                failed.push(json!({"Id": entry.id, "SenderFault": true, "Code": name, "Message": text}));
            }
        }
    }
    json!({"Successful": successful, "Failed": failed})
}

fn send(broker: &Broker, queue: &str, entry: &Parameters) -> Answer {
    let body = required("MessageBody", entry.message_body.as_ref())?;
    check_body(body)?;
    let delay = in_range("DelaySeconds", entry.delay_seconds.unwrap_or_default(), &(0..=DELAY_SECONDS_MAX))?;
    broker.with_queue(queue, |queue, now_ms| Ok(queue.send(body, delay, now_ms)))
}

fn delete(broker: &Broker, queue: &str, entry: &Parameters) -> Answer {
    let receipt_handle = required("ReceiptHandle", entry.receipt_handle.as_ref())?;
    broker.with_queue(queue, |queue, _| queue.delete(receipt_handle))?;
    Ok(json!({}))
}

async fn receive(broker: &Broker, queue: &str, parameters: &Parameters) -> Answer {
    let max = parameters.max_number_of_messages.unwrap_or(1);
    let max = usize::try_from(in_range("MaxNumberOfMessages", max, &(1..=10))?).unwrap_or(MESSAGES_MAX);
    let wait = parameters.wait_time_seconds.unwrap_or_default();
    let wait = in_range("WaitTimeSeconds", wait, &(0..=WAIT_SECONDS_MAX))?;
    let visibility = parameters.visibility_timeout;
    visibility
        .map(|seconds| in_range("VisibilityTimeout", seconds, &(0..=VISIBILITY_SECONDS_MAX)))
        .transpose()?;
    // The older spelling and the newer one.
    let names = [&parameters.attribute_names[..], &parameters.message_system_attribute_names].concat();
    if let Some(name) = unknown(&names, |name| MESSAGE_ATTRIBUTES.contains(&name)) {
        return Err(SqsError("InvalidParameterValue", format!("Unknown Attribute {name}.").into()));
    }
    let mut messages = broker.receive(queue, max, visibility, wait).await?;
    for message in &mut messages {
        if let Some(attributes) = message["Attributes"].as_object_mut() {
            attributes.retain(|attribute, _| is_wanted(&names, attribute));
        }
    }
    Ok(if messages.is_empty() { json!({}) } else { json!({"Messages": messages}) })
}

fn change_visibility(broker: &Broker, queue: &str, parameters: &Parameters) -> Answer {
    let receipt_handle = required("ReceiptHandle", parameters.receipt_handle.as_ref())?;
    let seconds = *required("VisibilityTimeout", parameters.visibility_timeout.as_ref())?;
    let seconds = in_range("VisibilityTimeout", seconds, &(0..=VISIBILITY_SECONDS_MAX))?;
    broker.with_queue(queue, |queue, now_ms| queue.change_visibility(receipt_handle, seconds, now_ms))?;
    Ok(json!({}))
}

fn is_wanted(names: &[String], attribute: &str) -> bool {
    names.iter().any(|name| name == "All" || name == attribute)
}

fn unknown(names: &[String], is_known: impl Fn(&str) -> bool) -> Option<&String> {
    names.iter().find(|name| *name != "All" && !is_known(name))
}

fn attributes(broker: &Broker, queue: &str, names: &[String]) -> Answer {
    let arn = |name: &str| format!("arn:aws:sqs:eu-central-1:{ACCOUNT}:{name}");
    let ([visible, in_flight, delayed], settings) =
        broker.with_queue(queue, |queue, now_ms| Ok((queue.counts(now_ms), queue.settings)))?;
    let redrive =
        json!({"deadLetterTargetArn": arn(DEAD_LETTER_QUEUE), "maxReceiveCount": settings.max_receive_count});
    let mut attributes = Map::new();
    for (name, value) in [
        ("ApproximateNumberOfMessages", visible.to_string()),
        ("ApproximateNumberOfMessagesDelayed", delayed.to_string()),
        ("ApproximateNumberOfMessagesNotVisible", in_flight.to_string()),
        ("MaximumMessageSize", MESSAGE_BYTES_MAX.to_string()),
        ("MessageRetentionPeriod", settings.retention.as_secs().to_string()),
        ("QueueArn", arn(queue)),
        ("VisibilityTimeout", settings.visibility_timeout.as_secs().to_string()),
        ("RedrivePolicy", redrive.to_string()),
    ] {
        attributes.insert(name.to_owned(), json!(value));
    }
    if let Some(name) = unknown(names, |name| attributes.contains_key(name)) {
        return Err(SqsError("InvalidAttributeName", format!("Unknown Attribute {name}.").into()));
    }
    // Only the queue has a dead letter queue.
    attributes.retain(|name, _| is_wanted(names, name) && (queue == QUEUE || name != "RedrivePolicy"));
    Ok(json!({"Attributes": attributes}))
}
