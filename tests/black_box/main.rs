//! Black-box tests: everything a shop can see, over HTTP. Each test opens a shop of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod access;
mod budget;
mod codes;
mod crash;
mod deployment;
mod envelope;
mod faults;
mod former;
mod frozen;
mod gateway;
mod idempotency;
mod large_orders;
mod limit;
mod logs;
mod lookup;
mod lost;
mod openapi;
mod operator;
mod outage;
mod owner;
mod queued;
mod race;
mod randomness;
mod receivers;
mod replace;
mod samples;
mod security;
mod spoilt;
mod storm;
mod transport;
mod update;
