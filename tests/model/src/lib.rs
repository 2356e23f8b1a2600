//! A model of how keypool sells license keys, explored state by state.
//!
//! The functions and the sweep share nothing but the table. Any of them may die, be slow, or never learn the
//! outcome of a write. Ordinary tests try some of the ways in which their steps interleave. This crate tries
//! all of them, for a few keys and a few buyers.
//!
//! - `tests/holds.rs` explores every state of every scenario in [`scenarios`], and finds that the
//!   [`properties`] hold.
//! - `tests/mutations.rs` leaves out one rule of the [`protocol`] at a time, and each time finds a run that
//!   violates a property. So every rule is needed, and the model shows why.
//! - `cargo run -p keypool-model --example trace -- BeginsOnce` shows such runs step by step.
//!
//! # Scope
//!
//! - **The table** ([`table`]): license keys with status, version and attempt; request records (open, done or
//!   void); parts; entries. Each [`write::Write`] is atomic and conditional, alone or as a transaction.
//!   DynamoDB recognizes the repetition of a committed transaction by its token, reports success and changes
//!   nothing.
//! - **The attempts** ([`attempt`]): one run of a function for one request. Each begins at any time. Attempts
//!   with the same Idempotency-Key are retries, later or at the same time. An order of more than `small_max`
//!   keys is a large one: it takes parts, and finishes with the remaining keys. The first take creates the
//!   record. If its outcome is unknown, the attempt puts a tombstone before it undoes.
//! - **Settling** ([`settle`]): void, then hand over or undo. Up to two sweeps are at work, any number after
//!   each other.
//! - **The window**: a draw uses a window that was read at any moment before, even before its attempt began.
//!   The window shows each key at any version at which the key was ever in stock, or not at all. Any draw may
//!   find too few keys.
//! - **The network**: a process without an answer repeats the write or stops waiting. Either way the write
//!   arrives before the next step of its sender (a lost response), at any time later, or never.
//! - **The deadline**: it comes before a draw, or while any write is under way. If a copy of a sale got no
//!   answer, the attempt repeats the sale; the repetition may get no answer either.
//! - **Errors**: DynamoDB may answer every copy of a sale with a throttle or a conflict. Then nothing was
//!   sold.
//! - **Crashes** between any two steps. The write that the process waited for arrives later, or never.
//! - **Leases**: there is no clock. Any open record may be voided at any moment, even while its attempt is at
//!   work.
//! - **The operator** puts assigned keys back in stock, at any moment.
//!
//! # Bounds
//!
//! Two or three keys; one to three attempts; two or three draws and up to two parts for each; up to two
//! crashes, five time-outs and two releases; at most three writes held up at a time
//! ([`scenario::HELD_UP_MAX`]). [`scenarios`] has the numbers of each scenario. The checker reaches every
//! state within these bounds: from twelve thousand to 3.4 million for a scenario, 19.1 million in all. The
//! tests assert lower bounds. States are distinguished by 64-bit hashes.
//!
//! # Omissions
//!
//! - Waiting and time. An order that finds too few keys is refused here. The function voids and undoes it,
//!   waits, and retries as a new attempt. In the model a new attempt can begin at any time anyway.
//! - Expiry. Void and done records outlive every held-up write, and DynamoDB remembers a token longer than
//!   any repetition is held up.
//! - Separate reads, except the first read of a record. Other reads happen together with the write that needs
//!   them. They are consistent. After a conflict, the store also reads a key or
//!   the record, which adds nothing to the next copy of the write.
//! - Throttles and transaction conflicts of other writes than a sale. They are repeated like a lost response.
//! - Blocking keys, creating and generating keys (except the fresh keys of a sale), and signatures (the model
//!   identifies a response by its keys).

pub mod attempt;
pub mod explore;
pub mod history;
pub mod picks;
pub mod properties;
pub mod protocol;
pub mod scenario;
pub mod scenarios;
mod sequential;
pub mod settle;
pub mod table;
pub mod trace;
mod turn;
pub mod write;

pub use protocol::{Protocol, Rule};
pub use scenario::{Request, Scenario};
