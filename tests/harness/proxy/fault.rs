use std::time::Duration;

use serde_json::{Value, json};

/// A fault that a [`Proxy`](crate::Proxy) injects into a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Forwards this call normally.
    Pass,
    /// Forwards the call after a delay.
    Delay(Duration),
    /// Cuts the connection, and the service never sees the call.
    LoseRequest,
    /// Forwards the call after a call of this operation has arrived. Only a caller that makes both at once
    /// can continue.
    HoldUntil(&'static str),
    /// Forwards the call, lets the service execute it, and cuts the connection in the middle of the response.
    LoseResponse,
    /// Forwards the call, lets the service execute it, and never responds.
    Stall,
    /// Holds the call until [`Proxy::deliver`](crate::Proxy::deliver), and cuts the connection.
    Postpone,
    /// Cuts the connection, and holds the call until the buyer's environments have made this many more calls
    /// of the service.
    PostponeFor(u64),
    /// Responds with this value without forwarding the call.
    Answer(Value),
    /// Responds with this error of the service without forwarding the call.
    Error(Value),
    /// Cancels a transaction because of one of its writes, for this reason.
    Cancel {
        /// The code of the reason.
        reason: &'static str,
        /// The index of the write, modulo the number of writes.
        at: usize,
    },
    /// Responds to a `BatchGetItem` as if no key was read.
    LeaveUnread,
    /// Forwards the first half of a `BatchGetItem`, and reports the other keys as unread.
    LeaveHalfUnread,
    /// Responds to a `SendMessage` with success, and loses the message.
    Forget,
    /// Forwards the call twice, and returns the second response.
    Double,
    /// Returns an older response. For a query of the index, the number selects the age of each key.
    Stale(u64),
    /// The environment dies, and the service does not see the call.
    DieBefore,
    /// The environment dies after the service executed the call.
    DieAfter,
    /// The environment dies. The service sees the call at `deliver`, or after this many more calls of the
    /// same buyer.
    DieAndPostpone(Option<u64>),
}

impl Fault {
    /// Makes an error of DynamoDB or KMS by name.
    #[must_use]
    pub fn error(name: &str) -> Self {
        Self::Error(json!({"__type": format!("com.amazonaws#{name}"), "message": "a test's"}))
    }

    /// Cancels a transaction for these reasons, one for each write.
    #[must_use]
    pub fn cancelled(reasons: &[&str]) -> Self {
        let reasons: Vec<Value> = reasons.iter().map(|code| json!({"Code": code})).collect();
        Self::Error(json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "a test's",
            "CancellationReasons": reasons,
        }))
    }

    /// The name in counts of faults.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Pass => "none".to_owned(),
            Self::Delay(_) => "delayed".to_owned(),
            Self::HoldUntil(_) => "held".to_owned(),
            Self::LoseRequest => "request lost".to_owned(),
            Self::LoseResponse => "response lost".to_owned(),
            Self::Stall => "never answered".to_owned(),
            Self::Postpone | Self::PostponeFor(_) => "arrived later".to_owned(),
            Self::Answer(_) => "answered otherwise".to_owned(),
            Self::Error(error) => {
                let name = error["__type"].as_str().unwrap_or("?");
                name.rsplit('#').next().unwrap_or(name).to_owned()
            }
            Self::Cancel { reason, .. } => format!("TransactionCanceledException, {reason}"),
            Self::LeaveUnread | Self::LeaveHalfUnread => "UnprocessedKeys".to_owned(),
            Self::Forget => "message forgotten".to_owned(),
            Self::Double => "message doubled".to_owned(),
            Self::Stale(_) => "stale".to_owned(),
            Self::DieBefore => "killed before a call".to_owned(),
            Self::DieAfter => "killed after a call".to_owned(),
            Self::DieAndPostpone(_) => "killed, the call arrived later".to_owned(),
        }
    }
}
