//! The only code that builds calls to DynamoDB: conditional writes, transactions, reads with paging, retries, and the
//! classes of errors.

mod backoff;
pub(crate) mod change;
mod error;
pub(crate) mod transact;

pub use backoff::Backoff;
pub use error::StoreError;

/// The error for a call that the SDK's builder refuses: a bug of this crate.
pub(crate) fn unbuilt(operation: &'static str) -> StoreError {
    StoreError::Rejected { operation, code: "request not built".to_owned() }
}
