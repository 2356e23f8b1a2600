//! Black-box tests over HTTP, of everything that a shop can see. Each test opens its own shop.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

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
