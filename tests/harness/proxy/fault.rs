use std::time::Duration;

use serde_json::{Value, json};

/// What a [`Proxy`](crate::Proxy) does with a call instead of passing it on and the answer back.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Nothing: passes this one on.
    Pass,
    /// Passes the call on after a while.
    Delay(Duration),
    /// Cuts the connection, and the service never sees the call.
    LoseRequest,
    /// Passes the call on once a call of this operation has come in: only a caller who makes both at once goes on.
    HoldUntil(&'static str),
    /// Passes the call on, lets the service do it, and cuts the connection in the middle of the answer.
    LoseResponse,
    /// Passes the call on, lets the service do it, and never answers.
    Stall,
    /// Keeps the call back, until [`Proxy::deliver`](crate::Proxy::deliver), and cuts the connection.
    Postpone,
    /// Keeps the call back until its environment, or another of the same buyer, has made that many more calls of this
    /// service, and cuts the connection.
    PostponeFor(u64),
    /// Answers with this, and does not pass the call on.
    Answer(Value),
    /// Answers with this error of the service, and does not pass the call on.
    Error(Value),
    /// Answers a transaction that it was cancelled because of one of its writes (counted round), for this reason.
    Cancel {
        /// The code of the reason.
        reason: &'static str,
        /// Which write.
        at: usize,
    },
    /// Answers a `BatchGetItem` that none of the keys were read.
    LeaveUnread,
    /// Passes the first half of a `BatchGetItem` on, and answers that the other keys were not read.
    LeaveHalfUnread,
    /// Answers a `SendMessage` with success, and forgets the message.
    Forget,
    /// Passes the call on twice, and answers what the service answers the second time.
    Double,
    /// Gives an older answer. For a query of the index, the number decides which keys are how old.
    Stale(u64),
    /// The environment dies here, and the service does not see the call.
    DieBefore,
    /// The environment dies here, after the service did what it was asked to.
    DieAfter,
    /// The environment dies here, and the service sees the call when it is delivered, or after that many more calls of
    /// the same buyer.
    DieAndPostpone(Option<u64>),
}

impl Fault {
    /// An error of DynamoDB or KMS by its name.
    #[must_use]
    pub fn error(name: &str) -> Self {
        Self::Error(json!({"__type": format!("com.amazonaws#{name}"), "message": "a test's"}))
    }

    /// A transaction that was cancelled for these reasons, one for each write.
    #[must_use]
    pub fn cancelled(reasons: &[&str]) -> Self {
        let reasons: Vec<Value> = reasons.iter().map(|code| json!({"Code": code})).collect();
        Self::Error(json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "a test's",
            "CancellationReasons": reasons,
        }))
    }

    /// What it is called when it is counted.
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
