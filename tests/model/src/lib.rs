//! A model of how keypool sells license keys, explored state by state.
//!
//! The functions and the sweep share nothing but the table, and any of them may die, be held up, or not learn what
//! became of a write. Tests try some of the ways in which their steps can interleave; this crate tries all of them,
//! for a few keys and a few buyers. `tests/holds.rs` explores every state of every desk in [`desks`] and
//! finds that the [`properties`] hold. `tests/teeth.rs` leaves out one rule of the [`protocol`] after the other,
//! and finds each time a run that ends badly, so the rules are needed, and the model is able to see why.
//! `cargo run -p keypool-model --example trace -- UndoFences` tells such runs step by step.
//!
//! # What is modelled
//!
//! - **The table** ([`table`]): license keys with status, version, and the attempt that has assigned or reserved
//!   them; claims; orders with their lists. Each [`write::Write`] is atomic and conditional, alone or as a transaction.
//! - **The attempts** ([`attempt`]): one run of a function for one request. They begin when they like. Attempts
//!   with the same claim are retries with the same Idempotency-Key, later or at the same time, so one of them may be
//!   a zombie. An order larger than `small_max` is a big one: two keys, where `small_max` is 1.
//! - **The sweeps**, and what an attempt does to its own order ([`recovery`]). Up to two sweeps are at work, any number
//!   after each other.
//! - **The network**: a write that gets no answer in time is sent again, or given up. Either way it may be done
//!   later: before its sender does anything else (that is a lost response), or at any time after, when the sender has
//!   gone on, ended or died. Or it is lost.
//! - **Crashes** between any two steps. Each write that was waited for is lost or done later.
//! - **Leases**: there is no clock. A lease may be over at any moment, so a claim may be taken over and an order may be
//!   aborted while its attempt is in full work.
//! - **The index**: a draw may show each key as it was at any moment at which it was in stock, or not at all. Who
//!   finds too few keys may do so at any time.
//!
//! # Bounds
//!
//! Two or three keys; two or three attempts; at most two draws an attempt, so one list of replacements; one crash; up
//! to two time-outs ([`desks`] has the numbers for each desk); at most three writes held up at a time
//! ([`desk::HELD_UP_MAX`]). Within these bounds every state is met: from five thousand to two million for a desk, eleven
//! million in all. The tests assert that there are so many. States are told apart by 64-bit hashes.
//!
//! # What is left out
//!
//! Waiting, seniority and time: an order that is short of keys may wait, be refused, or step back, and all of it is
//! safe; that it does not wait for ever is not shown here. Reads are atomic, consistent but for the index, and
//! happen together with the write whose answer calls for them. The keys of a list are undone or marked one after the other
//! (reserving goes side by side). The expiry of claims and of finished orders is left out: a write must not be
//! held up for longer than these are kept. So are blocking keys, creating and generating (except the fresh keys of a
//! big order), signatures (a response is known by its keys), throttles and transaction conflicts
//! (which say nothing about the outcome, and are repeated like a lost response).

mod alone;
pub mod attempt;
pub mod desk;
pub mod desks;
pub mod explore;
pub mod history;
pub mod picks;
pub mod properties;
pub mod protocol;
pub mod recovery;
pub mod table;
pub mod trace;
mod turn;
pub mod write;

pub use desk::{Desk, Request};
pub use protocol::{Protocol, Rule};
