//! Tests of the real binary, as an operator runs it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod after_sale;
mod arguments;
mod audit;
mod aws;
mod call;
mod callback;
mod console;
mod doctor;
mod harness;
mod import;
mod keys;
mod local;
mod orders;
mod owner;
mod provision;
mod restore;
mod signing_keys;
mod stack;
mod target;
mod terminal;
mod verify;
