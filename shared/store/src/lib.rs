//! The DynamoDB table of keypool, and the only crate that speaks to it.
//!
//! One [`Store`] has every operation, named for what the business does. Each is one file:
//!
//! | file | operations |
//! |---|---|
//! | `lookup` | [`Store::look_up`]: API key, product, generator in one read |
//! | `draw` | [`Store::draw_candidates`]: random keys from the stock |
//! | `assign` | [`Store::license_key`], [`Store::assign`]: give stocked keys away |
//! | `insert` | [`Store::insert`], [`Store::insert_assigned`]: store new keys |
//! | `import` | [`Store::import`], [`Store::rehearse_import`]: many keys, as fast as the table takes them |
//! | `claim` | [`Store::claim`] and what ends it: a request with an `Idempotency-Key`, done once |
//! | `order` | [`Store::open_order`] … [`Store::sweep_orders`]: more keys than one transaction takes |
//! | `keys` | [`Store::change_key`]: what an operator does to a key |
//! | `inventory` | [`Store::keys`], [`Store::inventory`]: all keys, for an operator to list and count |
//! | `counter` | [`Store::take_row_ids`] and the ids of products and generators |
//! | `restore` | [`Store::raise_counter`]: ids that are given once only, after a restore |
//! | `audit` | [`Store::note`], [`Store::audit_trail`]: who changed what by the command |
//! | `catalogue` | what an operator sets up: products, generators, API keys |
//! | `update` | [`Store::update_product`] …: changes of them, if they are as they were seen |
//! | `signing_key` | [`Store::retire`], [`Store::retired_keys`]: signing keys that are used no more |
//! | `table` | [`Store::create_table`]: the table and its index |
//! | `describe` | [`Store::describe`] and others: whether the table is as it must be |
//!
//! `record` turns domain types into items and back; `change` and `transact` send conditional writes; `settle` finds out what became
//! of a write; `error` sorts what can go wrong; `backoff` waits; `pace` finds out how much the
//! table takes at a time.
//!
//! The check lives in the write: no operation reads, decides and writes without a condition.

mod dynamo;
mod operator;
mod record;
mod selling;

use std::sync::Arc;

use keypool_aws::Timeouts;
use keypool_domain::Randomness;

pub use dynamo::{Backoff, StoreError};
pub use operator::RestoreState;
pub use operator::catalogue::{CreateOutcome, NewGeneratorOutcome, UpdateOutcome};
pub use operator::describe::{Expiry, IndexState, TableState};
pub use operator::import::ImportOutcome;
pub use operator::inventory::{Inventory, KeyFilter, KeyPage, Place};
pub use operator::keys::KeyChange;
pub use operator::pace::Pace;
pub use record::{Catalogued, Item, OpenOrder, OrderState, license_key_item};
pub use selling::assign::AssignOutcome;
pub use selling::claim::{Attempt, Claim, ClaimOutcome, Held, Recording};
pub use selling::draw::{Drawn, candidate_window};
pub use selling::insert::{InsertCounts, InsertOutcome};
pub use selling::order::{CommitOutcome, NewOrder, Order, ReserveOutcome, Swept};
pub use selling::{Counter, Found, Lookup};

/// A transaction has 100 actions at most; one is for the record of the request.
const TRANSACTION_KEYS_MAX: usize = 99;

/// The table, and what is needed to use it.
#[derive(Clone)]
pub struct Store {
    client: aws_sdk_dynamodb::Client,
    table: String,
    randomness: Arc<dyn Randomness>,
    timeouts: Timeouts,
    /// How many parts of the table are read side by side where all of it is read.
    segments: i32,
    transaction_keys_max: usize,
}

impl Store {
    /// The table called `table`, reached through `client`.
    #[must_use]
    pub fn new(
        client: aws_sdk_dynamodb::Client,
        table: impl Into<String>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        Self {
            client,
            table: table.into(),
            randomness,
            timeouts: Timeouts::CHECKOUT,
            segments: operator::inventory::SEGMENTS,
            transaction_keys_max: TRANSACTION_KEYS_MAX,
        }
    }

    /// How many keys one transaction gives away. More are an order with a record of its own.
    #[must_use]
    pub fn transaction_keys_max(&self) -> usize {
        self.transaction_keys_max
    }

    /// The same table, but with transactions of fewer keys, so that a few keys are a large order: for tests.
    #[must_use]
    pub fn with_transaction_keys_max(self, keys: usize) -> Self {
        Self { transaction_keys_max: keys.clamp(1, TRANSACTION_KEYS_MAX), ..self }
    }

    /// The same table for callers with other time-outs than a checkout's.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// How long its callers wait.
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// The same table, read in one piece where all of it is read: the embedded DynamoDB sorts the whole table for each page
    /// of a part.
    #[must_use]
    pub fn unsegmented(self) -> Self {
        Self { segments: 1, ..self }
    }

    /// Where the store takes its randomness from.
    #[must_use]
    pub fn randomness(&self) -> &dyn Randomness {
        &*self.randomness
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("table", &self.table).finish_non_exhaustive()
    }
}
