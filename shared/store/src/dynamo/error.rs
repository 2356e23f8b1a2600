use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use keypool_aws::{AwsErrorKind, FailedCall, Service};

use crate::Recorded;

/// What can go wrong at the table, sorted by what one can do about it.
///
/// None of them carries DynamoDB's own text, which may quote an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A call of DynamoDB failed, also when it was repeated.
    #[error(transparent)]
    Aws(#[from] FailedCall),
    /// Neither the write of a sale nor the question what became of it was answered in time. The keys may have
    /// been sold, or may still be.
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
        /// Which kind of record.
        record: &'static str,
        /// Which attribute.
        attribute: &'static str,
    },
}

impl StoreError {
    /// The error of an operation that DynamoDB did not carry out.
    #[must_use]
    pub fn aws(kind: AwsErrorKind, operation: &'static str, code: impl Into<String>) -> Self {
        Self::Aws(FailedCall { service: Service::DynamoDb, operation, kind, code: code.into() })
    }

    /// Sorts an error of the SDK. Conditions that failed are outcomes, not errors, and are read before.
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

    /// Whether the same call may succeed in a moment.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.kind(), Some(AwsErrorKind::Contention | AwsErrorKind::Throttled))
    }
}
