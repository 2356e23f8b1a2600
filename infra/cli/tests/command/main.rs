//! The real binary, as an operator runs it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by them")]

mod arguments;
mod harness;
mod keys;
mod import;
mod local;
mod provision;
mod target;
mod terminal;
