use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use keypool_aws::{AwsError, AwsErrorKind, classify};

/// What can go wrong at KMS. None of them carries KMS's own text, which names keys by ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// KMS takes no more for now: its quota is per account and region, shared by all keys.
    #[error("{operation}: KMS throttles ({code})")]
    Throttled {
        /// The KMS operation.
        operation: &'static str,
        /// KMS's name for the error.
        code: String,
    },
    /// KMS does not answer, or answers that it cannot.
    #[error("{operation}: KMS is unavailable ({code})")]
    Unavailable {
        /// The KMS operation.
        operation: &'static str,
        /// KMS's name for the error, or what happened to the connection.
        code: String,
    },
    /// The key, the credentials or a permission is missing, or the key is switched off.
    #[error("{operation}: KMS refuses ({code}); check the signing key, the credentials and the permissions")]
    Misconfigured {
        /// The KMS operation.
        operation: &'static str,
        /// KMS's name for the error.
        code: String,
    },
    /// KMS took the request for malformed, or answered without what was asked for.
    #[error("{operation}: KMS does not accept the request ({code})")]
    Rejected {
        /// The KMS operation.
        operation: &'static str,
        /// KMS's name for the error.
        code: String,
    },
}

impl SigningError {
    /// Sorts an error of the SDK.
    pub(crate) fn from_sdk<E: ProvideErrorMetadata, R>(
        operation: &'static str,
        error: &SdkError<E, R>,
    ) -> Self {
        let AwsError { kind, code } = classify(error);
        match kind {
            AwsErrorKind::Throttled => Self::Throttled { operation, code },
            // KMS knows no contention.
            AwsErrorKind::Unavailable | AwsErrorKind::Contention => Self::Unavailable { operation, code },
            AwsErrorKind::Misconfigured => Self::Misconfigured { operation, code },
            AwsErrorKind::Rejected => Self::Rejected { operation, code },
        }
    }
}
