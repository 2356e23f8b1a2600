//! Properties of all input from outside, however malformed:
//!
//! - [`request`]: properties of a request, from API Gateway's event to the request of an endpoint;
//! - [`envelope`]: properties of a response under verification.
//!
//! Each is a function of bytes that panics if its property fails. The property tests of this crate call it
//! with input of proptest, the targets in `tests/fuzz` with input of the fuzzer.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a violated property panics")]

mod asked;
mod encoding;
pub mod envelope;
mod event;
pub mod request;
mod seeds;

pub use seeds::{envelope_seeds, request_seeds};
