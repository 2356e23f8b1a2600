//! What is true of whatever comes from outside, however malformed:
//!
//! - [`request`]: of a request, from API Gateway's event to what an endpoint is asked for;
//! - [`envelope`]: of a response that somebody checks.
//!
//! Each is a function of bytes that panics where it does not hold. The property tests of this crate call it with what
//! proptest makes, the targets in `tests/fuzz` with what the fuzzer makes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a property that does not hold panics")]

mod asked;
mod encoding;
pub mod envelope;
mod event;
pub mod request;
mod seeds;

pub use seeds::{envelope_seeds, request_seeds};
