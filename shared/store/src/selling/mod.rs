//! The operations of a checkout: look up, draw, sell, and store new keys. ARCHITECTURE.md and
//! docs/PROTOCOL.md describe how they work together.

mod assign;
mod count;
mod counter;
mod draw;
mod insert;
mod limit;
mod lookup;
mod queue;
mod request;
mod sale;
mod settle;
mod update;

pub use counter::Counter;
pub use draw::{Drawn, Look, StockSize, candidate_window};
pub use insert::InsertCounts;
pub use limit::CountOutcome;
pub use lookup::{Found, Lookup};
pub use queue::{DeliveryResult, Waiting};
pub use request::{Creation, Recorded};
pub use sale::{SALE_KEYS_MAX, Sale, SaleOutcome};
pub use settle::Swept;

/// The most writes of one operation that are in flight at the same time.
const PARALLEL_MAX: usize = 48;
