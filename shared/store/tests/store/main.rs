//! The store against the embedded DynamoDB.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod describe;
mod fixture;
mod import;
mod items;
mod limit;
mod operator;
mod orders;
mod restore;
mod selling;
mod table;
mod update;
