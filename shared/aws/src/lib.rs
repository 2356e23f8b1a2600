//! Access to AWS for the functions, the command, the embedded stack and the tests.
//!
//! - [`AwsSettings::clients`] makes the clients of DynamoDB and KMS, [`AwsSettings::queue`] that of SQS.
//! - [`Timeouts`] bounds the time of a call of AWS, a write and an answer.
//! - [`classify()`] sorts the errors of every AWS client by their remedy; a [`FailedCall`] is such an error
//!   of DynamoDB, KMS or SQS.
//! - [`AdaptiveLimit`] limits the calls under way to what AWS accepts.
//! - [`LATENCIES`] names the metric that each call records.

mod adaptive_limit;
mod classify;
mod clients;
mod latency;
mod timeouts;

pub use adaptive_limit::{AdaptiveLimit, Permit};
pub use classify::{AwsError, AwsErrorKind, FailedCall, Service, classify};
pub use clients::{AwsSettings, Clients, POOL_IDLE};
pub use latency::{LATENCIES, restart_latencies};
pub use timeouts::Timeouts;
