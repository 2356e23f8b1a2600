use keypool_aws::{AwsErrorKind, FailedCall, Service};
use keypool_domain::Reply;
use keypool_store::{Recorded, StoreError};
use lambda_http::lambda_runtime::Diagnostic;

use crate::ProblemDetails;

/// The reason why a function did not carry out a request.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// The request is refused without a change: the API key was refused, parameters are faulty, there is no
    /// such product. The global key signs the refusal.
    #[error("refused with code {}", .0.code())]
    Refused(Reply),
    /// The request cannot be read.
    #[error("unreadable request")]
    Unreadable(ProblemDetails),
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A call of KMS or SQS failed.
    #[error(transparent)]
    Aws(#[from] FailedCall),
    /// Buyers competed for the same keys for longer than a checkout waits.
    #[error("too many conflicts on the same keys")]
    Contention,
    /// The time for an answer is over, or too short to write and learn the outcome.
    #[error("out of time")]
    OutOfTime,
    /// An order has the license key reserved at this moment.
    #[error("an order holds the key")]
    KeyHeld,
    /// A sweep left orders undone; the next one tries again.
    #[error("{orders} orders could not be finished or undone")]
    LeftUndone {
        /// The number of these orders.
        orders: usize,
    },
    /// A rule of this project does not hold.
    #[error("bug: {0}")]
    Bug(&'static str),
}

impl FunctionError {
    /// The problem that the client gets. This is the one place that maps failures to HTTP.
    #[must_use]
    pub fn problem(&self) -> ProblemDetails {
        match self {
            Self::Unreadable(problem) => *problem,
            Self::Contention | Self::OutOfTime | Self::LeftUndone { .. } => ProblemDetails::NothingSold,
            Self::Store(StoreError::Aws(failed)) | Self::Aws(failed) => match (failed.service, failed.kind) {
                (Service::DynamoDb | Service::Kms, AwsErrorKind::Rejected) => ProblemDetails::Internal,
                _ => ProblemDetails::NothingSold,
            },
            Self::Store(StoreError::Recorded(recorded)) => match recorded {
                Recorded::InProgress => ProblemDetails::InFlight,
                Recorded::Erased => ProblemDetails::Erased,
                Recorded::Mismatch => ProblemDetails::Mismatch,
                Recorded::Void => ProblemDetails::NothingSold,
                // Its response is repeated before this is called.
                Recorded::Answered(_) => ProblemDetails::Internal,
            },
            Self::Store(StoreError::OutcomeUnknown { .. }) => {
                ProblemDetails::OutcomeUnknown { is_repeatable: false }
            }
            Self::KeyHeld => ProblemDetails::KeyHeld,
            // Refusals are signed before this is called.
            Self::Store(StoreError::Corrupt { .. }) | Self::Refused(_) | Self::Bug(_) => {
                ProblemDetails::Internal
            }
        }
    }
}

impl FunctionError {
    /// Returns true if others changed the same records at the same time.
    #[must_use]
    pub fn is_contention(&self) -> bool {
        match self {
            Self::Contention => true,
            Self::Store(error) => error.kind() == Some(AwsErrorKind::Contention),
            _ => false,
        }
    }

    /// The name of the failure in Lambda's report of a failed event: `Category.Reason`.
    #[must_use]
    pub fn error_type(&self) -> String {
        match self {
            Self::Refused(_) => "Request.Refused",
            Self::Unreadable(_) => "Request.Unreadable",
            Self::KeyHeld => "Request.KeyHeld",
            Self::Contention => "Sale.Contention",
            Self::OutOfTime => "Sale.OutOfTime",
            Self::LeftUndone { .. } => "Sweep.LeftUndone",
            Self::Bug(_) => "Keypool.Bug",
            Self::Store(StoreError::Aws(failed)) | Self::Aws(failed) => {
                // `DynamoDb.Throttled`
                return format!("{:?}.{:?}", failed.service, failed.kind);
            }
            Self::Store(StoreError::Corrupt { .. }) => "DynamoDb.Corrupt",
            Self::Store(StoreError::OutcomeUnknown { .. }) => "Sale.OutcomeUnknown",
            Self::Store(StoreError::Recorded(recorded)) => match recorded {
                Recorded::Answered(_) => "Request.Answered",
                Recorded::InProgress => "Request.InFlight",
                Recorded::Erased => "Request.Erased",
                Recorded::Mismatch => "Request.Mismatch",
                Recorded::Void => "Sale.Contention",
            },
        }
        .to_owned()
    }

    /// The service that throttled a call, if that is the cause.
    pub(crate) fn throttled_service(&self) -> Option<Service> {
        match self {
            Self::Store(StoreError::Aws(failed)) | Self::Aws(failed) => {
                (failed.kind == AwsErrorKind::Throttled).then_some(failed.service)
            }
            _ => None,
        }
    }
}

impl From<Reply> for FunctionError {
    fn from(reply: Reply) -> Self {
        Self::Refused(reply)
    }
}

impl From<FunctionError> for Diagnostic {
    /// The failure as Lambda shows it for a failed event.
    fn from(failure: FunctionError) -> Self {
        Self { error_type: failure.error_type(), error_message: failure.to_string() }
    }
}
