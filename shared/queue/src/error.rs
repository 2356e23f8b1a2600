use std::fmt;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use keypool_aws::{AwsError, AwsErrorKind, classify};

/// A call of SQS that failed. It holds none of SQS's own text, which names queues by URL and quotes receipt handles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCall {
    /// The SQS operation.
    pub operation: &'static str,
    /// SQS's name for the error, or what happened to the connection.
    pub code: String,
}

impl fmt::Display for FailedCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.operation, self.code)
    }
}

/// An error of the queue, by what one can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// SQS takes no more for now.
    #[error("SQS throttles: {0}")]
    Throttled(FailedCall),
    /// SQS does not answer, or answers that it cannot. A message may have been sent.
    #[error("SQS is unavailable: {0}")]
    Unavailable(FailedCall),
    /// The queue, its key, the credentials or a permission is missing.
    #[error("SQS refuses: {0}; check the queue's URL, the credentials and the permissions")]
    Misconfigured(FailedCall),
    /// SQS does not accept the request. The message of a receipt handle may be gone or visible again.
    #[error("SQS does not accept the request: {0}")]
    Rejected(FailedCall),
}

impl QueueError {
    /// Sorts an error of the SDK.
    pub(crate) fn from_sdk<E: ProvideErrorMetadata, R>(
        operation: &'static str,
        error: &SdkError<E, R>,
    ) -> Self {
        let AwsError { kind, code } = classify(error);
        let call = FailedCall { operation, code };
        match kind {
            AwsErrorKind::Throttled => Self::Throttled(call),
            // SQS knows no contention.
            AwsErrorKind::Unavailable | AwsErrorKind::Contention => Self::Unavailable(call),
            AwsErrorKind::Misconfigured => Self::Misconfigured(call),
            AwsErrorKind::Rejected => Self::Rejected(call),
        }
    }
}
