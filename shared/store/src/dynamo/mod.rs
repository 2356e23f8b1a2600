//! The only code that builds calls to DynamoDB: conditional writes, transactions, reads with paging, retries,
//! and the classes of errors.

mod backoff;
mod error;
mod read;
mod send;
mod write;

use keypool_aws::AwsErrorKind;

pub use backoff::Backoff;
pub use error::StoreError;
pub(crate) use read::{Page, Query, Scan};
pub(crate) use send::{Obstacle, Prepared, Written};
pub(crate) use write::{IS_NEW, Write};

/// The error for a call that the SDK's builder refuses: a bug of this crate.
pub(crate) fn unbuilt(operation: &'static str) -> StoreError {
    StoreError::aws(AwsErrorKind::Rejected, operation, "request not built")
}

/// The error for a write that conflicted with other writes for too long.
pub(crate) fn contention(operation: &'static str) -> StoreError {
    StoreError::aws(AwsErrorKind::Contention, operation, "conflict")
}
