//! The DynamoDB table of keypool, and the only crate that accesses it.
//!
//! One [`Store`] has every operation, named for what the business does:
//!
//! | folder | content |
//! |---|---|
//! | `dynamo` | the calls to DynamoDB: conditional writes, transactions, reads, retries, errors |
//! | `record` | the items: domain types written to the table and read back |
//! | `selling` | the operations of a checkout: [`Store::look_up`], [`Store::draw`], [`Store::finish`], [`Store::sweep`] … |
//! | `operator` | the operations of the command: [`Store::create`], [`Store::import`], [`Store::keys`], [`Store::describe`] … |
//!
//! The check lives in the write: no operation reads, decides and writes without a condition.

mod dynamo;
mod operator;
mod record;
mod selling;

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::retry::RetryConfig;
use keypool_aws::Timeouts;
use keypool_domain::{Randomness, RowId};

pub use dynamo::{Backoff, StoreError};
pub use operator::RestoreState;
pub use operator::catalogue::{CreateOutcome, NewGeneratorOutcome, UpdateOutcome};
pub use operator::import::ImportOutcome;
pub use operator::inventory::{Inventory, KeyFilter, KeyPage, Place};
pub use operator::owner::{DeadOrders, EraseOutcome, OwnerRecord, OwnersRequest};
pub use operator::table::{Expiry, IndexState, TableState};
pub use record::{Catalogued, Item, OpenRequest, Record, RequestSlot, RequestState};
pub use selling::{
    CountOutcome, Counter, Creation, DeliveryResult, Drawn, Found, InsertCounts, Look, Lookup, Recorded,
    SALE_KEYS_MAX, Sale, SaleOutcome, StockSize, Swept, Waiting, candidate_window,
};

/// The number of parts of the table that are read side by side.
const SEGMENTS: i32 = 8;

/// The table, and everything needed to use it.
#[derive(Clone)]
pub struct Store {
    client: aws_sdk_dynamodb::Client,
    /// The client without retries, for writes whose every attempt counts.
    client_once: aws_sdk_dynamodb::Client,
    table: String,
    randomness: Arc<dyn Randomness>,
    timeouts: Timeouts,
    /// The number of parts of the table that a scan reads side by side.
    segments: i32,
    sale_keys_max: usize,
    /// Ids that the process has taken and not used.
    row_ids: Arc<Mutex<Vec<RowId>>>,
}

impl Store {
    /// The table called `table`, reached through `client`.
    #[must_use]
    pub fn new(
        client: aws_sdk_dynamodb::Client,
        table: impl Into<String>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        let once = client.config().to_builder().retry_config(RetryConfig::disabled()).build();
        Self {
            client,
            client_once: aws_sdk_dynamodb::Client::from_conf(once),
            table: table.into(),
            randomness,
            timeouts: Timeouts::CHECKOUT,
            segments: SEGMENTS,
            sale_keys_max: SALE_KEYS_MAX,
            row_ids: Arc::default(),
        }
    }

    /// The most keys that one write sells. More are a large order.
    #[must_use]
    pub fn sale_keys_max(&self) -> usize {
        self.sale_keys_max
    }

    /// The same table with smaller writes, so that a few keys are a large order: for tests.
    #[must_use]
    pub fn with_sale_keys_max(self, keys: usize) -> Self {
        Self { sale_keys_max: keys.clamp(1, SALE_KEYS_MAX), ..self }
    }

    /// The same table for callers with other time-outs than a checkout's.
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// The time-outs of its callers.
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// The same table, but scanned in one piece, because the embedded DynamoDB sorts the whole table for each
    /// page of a segment.
    #[must_use]
    pub fn unsegmented(self) -> Self {
        Self { segments: 1, ..self }
    }

    /// The source of the store's randomness.
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
