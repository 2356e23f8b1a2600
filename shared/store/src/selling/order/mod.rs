//! Orders for more keys than one transaction takes: all or none all the same.
//!
//! The keys are reserved one by one under the record of the order; one write to that record then decides for all of
//! them. What may be reserved is listed before it is touched, so that whatever is left half done can be finished, or
//! undone, by anyone: `recover` does. `reserve` is the way up to the decision.

mod recover;
mod reserve;

use std::time::Duration;

use keypool_domain::{Assignment, AssignmentId, LicenseKey, ProductId, StockedKey, Timestamp};

use crate::dynamo::{Query, Write};
use crate::record::{
    Item, Key, OPEN_ORDERS, OpenOrder, OrderState, Origin, read_open_order, read_order, text,
};
use crate::{Claim, Store, StoreError};

pub use recover::Swept;

/// An order on its way: from [`Store::open_order`] to [`Store::commit`] or [`Store::abandon`].
#[derive(Debug)]
pub struct Order {
    assignment: Assignment,
    entry: OpenOrder,
    origin: Origin,
    parts: usize,
    reserved: Vec<StockedKey>,
}

impl Order {
    /// The keys that are reserved for it so far, each as it was in stock.
    #[must_use]
    pub fn reserved(&self) -> &[StockedKey] {
        &self.reserved
    }
}

/// What an order is opened with.
#[derive(Debug)]
pub struct NewOrder {
    /// Whose keys.
    pub product_id: ProductId,
    /// To whom; its id is the order's, and must be a fresh one for each order.
    pub assignment: Assignment,
    /// When the buyer first asked: orders that are in each other's way give way to whoever came first.
    pub since: Timestamp,
    /// After that time it is given up, and anyone may bring it to its end.
    pub lease: Duration,
    /// The mark of the claim it is made under.
    pub claim: Option<String>,
}

impl NewOrder {
    /// Under this claim.
    #[must_use]
    pub fn under(self, claim: Option<&Claim>) -> Self {
        Self { claim: claim.map(Claim::mark), ..self }
    }
}

/// What became of an attempt to reserve keys for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReserveOutcome {
    /// All that could be had are reserved; these could not.
    Reserved {
        /// Those that are gone, or have changed.
        missed: Vec<LicenseKey>,
    },
    /// The order was aborted by others, who took it for given up.
    Aborted,
}

/// What became of an attempt to commit an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// All its keys are the owner's.
    Committed,
    /// It was aborted by others, who took it for given up.
    Aborted,
    /// Another attempt at the same request has taken over.
    Superseded,
}

impl Store {
    /// The orders that have keys of a product reserved, or may have. 1 read unit for 4 KB; there are seldom any.
    pub async fn open_orders(&self, product_id: ProductId) -> Result<Vec<OpenOrder>, StoreError> {
        let items =
            self.query(Query::collection(OPEN_ORDERS).beginning_with(format!("{product_id}#"))).await?;
        items.iter().map(read_open_order).collect()
    }
}

impl OpenOrder {
    /// Whether it was given up at `now`.
    #[must_use]
    pub fn is_given_up(&self, now: Timestamp) -> bool {
        self.lease_until <= now.unix_microseconds()
    }

    /// Whether its buyer came before one who came at `since` with the assignment `mine`.
    #[must_use]
    pub fn is_before(&self, since: Timestamp, mine: &Assignment) -> bool {
        (self.since, self.id.as_str()) < (since, mine.id.as_str())
    }

    /// Whether it is the one of this assignment.
    #[must_use]
    pub fn is_of(&self, mine: &Assignment) -> bool {
        self.id == mine.id
    }

    /// Whether it was made under this claim: then an earlier attempt made it, and nothing will come of it.
    #[must_use]
    pub fn is_under(&self, claim: &Claim) -> bool {
        self.claim.as_deref() == Some(&*claim.mark())
    }
}

/// A change of an order that is in one of two states (the same twice, if there is but one).
fn change_of(order: &AssignmentId, from: [OrderState; 2], to: OrderState) -> Write {
    let [one, other] = from.map(|state| text(state.as_str()));
    let values = [(":one", one), (":other", other)];
    Write::update(Key::order(order))
        .when("#state = :one OR #state = :other", values)
        .set("state", text(to.as_str()))
}

/// The state of an order as an item tells it.
fn state_of(item: Option<&Item>) -> Option<OrderState> {
    item.and_then(|item| read_order(item).ok()).map(|order| order.state)
}
