use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use keypool_aws::{AwsError, AwsErrorKind, classify};

use crate::Recorded;

/// What can go wrong at the table, sorted by what one can do about it.
///
/// None of them carries DynamoDB's own text, which may quote an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Others write to the same items, and went on doing so for as long as we tried.
    #[error("{operation}: other writers were in the way for too long")]
    Contention {
        /// The DynamoDB operation.
        operation: &'static str,
    },
    /// DynamoDB takes no more for now.
    #[error("{operation}: DynamoDB throttles ({code})")]
    Throttled {
        /// The DynamoDB operation.
        operation: &'static str,
        /// DynamoDB's name for the error.
        code: String,
    },
    /// DynamoDB does not answer, or answers that it cannot.
    #[error("{operation}: DynamoDB is unavailable ({code})")]
    Unavailable {
        /// The DynamoDB operation.
        operation: &'static str,
        /// DynamoDB's name for the error, or what happened to the connection.
        code: String,
    },
    /// The table, the credentials or a permission is missing.
    #[error(
        "{operation}: DynamoDB refuses ({code}); check the table's name, the credentials and the permissions"
    )]
    Misconfigured {
        /// The DynamoDB operation.
        operation: &'static str,
        /// DynamoDB's name for the error.
        code: String,
    },
    /// DynamoDB took the request for malformed: a fault of this crate.
    #[error("{operation}: DynamoDB does not accept the request ({code})")]
    Rejected {
        /// The DynamoDB operation.
        operation: &'static str,
        /// DynamoDB's name for the error.
        code: String,
    },
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
    /// Whether the same call may succeed in a moment.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Contention { .. } | Self::Throttled { .. })
    }

    /// Sorts an error of the SDK. Conditions that failed are outcomes, not errors, and are read before.
    pub(crate) fn from_sdk<E: ProvideErrorMetadata, R>(
        operation: &'static str,
        error: &SdkError<E, R>,
    ) -> Self {
        let AwsError { kind, code } = classify(error);
        match kind {
            AwsErrorKind::Contention => Self::Contention { operation },
            AwsErrorKind::Throttled => Self::Throttled { operation, code },
            AwsErrorKind::Unavailable => Self::Unavailable { operation, code },
            AwsErrorKind::Misconfigured => Self::Misconfigured { operation, code },
            AwsErrorKind::Rejected => Self::Rejected { operation, code },
        }
    }
}
