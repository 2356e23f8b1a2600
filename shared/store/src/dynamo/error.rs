use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use keypool_aws::{AwsErrorKind, FailedCall, Service};

use crate::Recorded;

/// An error of the table, sorted by its remedy.
///
/// None of them carries DynamoDB's own text, which may quote an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A call of DynamoDB failed, even after retries.
    #[error(transparent)]
    Aws(#[from] FailedCall),
    /// DynamoDB did not answer a write in time. It may have succeeded, or may still arrive.
    #[error("the outcome of a sale could not be learned: {cause}")]
    OutcomeUnknown {
        /// The error of the write.
        cause: Box<StoreError>,
    },
    /// Another attempt at the same request has left a record. This one has written nothing.
    #[error(transparent)]
    Recorded(#[from] Recorded),
    /// An item is not what this crate writes.
    #[error("a {record} record in the table has no valid {attribute}")]
    Corrupt {
        /// The kind of record.
        record: &'static str,
        /// The name of the attribute.
        attribute: &'static str,
    },
}

impl StoreError {
    /// An error of an operation that DynamoDB did not carry out.
    #[must_use]
    pub fn aws(kind: AwsErrorKind, operation: &'static str, code: impl Into<String>) -> Self {
        Self::Aws(FailedCall { service: Service::DynamoDb, operation, kind, code: code.into() })
    }

    /// Sorts an error of the SDK. Failed conditions are outcomes, not errors, and are read before.
    pub(crate) fn from_sdk<E: ProvideErrorMetadata, R>(
        operation: &'static str,
        error: &SdkError<E, R>,
    ) -> Self {
        Self::Aws(Service::DynamoDb.failed(operation, error))
    }

    /// The kind of error, if a call of DynamoDB failed.
    #[must_use]
    pub fn kind(&self) -> Option<AwsErrorKind> {
        match self {
            Self::Aws(failed) => Some(failed.kind),
            _ => None,
        }
    }

    /// Returns true if the same call may succeed in a moment.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.kind(), Some(AwsErrorKind::Contention | AwsErrorKind::Throttled))
    }
}
