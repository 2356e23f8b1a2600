//! Bringing large orders to their end: the parts of a sold one are handed over, those of a void one are
//! undone.

use futures_util::StreamExt as _;
use keypool_domain::{Assignment, ProductId, StockPosition, Timestamp};

use super::resolve::void;
use super::{PARALLEL_MAX, Sale, assign};
use crate::dynamo::{Query, Write};
use crate::record::{
    EXPIRES_AT, FORMER_ORDERS, Item, Key, ListedKey, OPEN_REQUESTS, OpenRequest, RequestRecord, RequestState,
    expiry, number, read_part,
};
use crate::{Store, StoreError};

/// The actions of one transaction.
const TRANSACTION_ACTIONS_MAX: usize = 100;

/// The result of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Large orders that were sold, and whose keys are all handed over now.
    pub finished: usize,
    /// Large orders that had failed, and whose keys are back in stock.
    pub undone: usize,
    /// Large orders that could not be settled this time.
    pub failed: usize,
}

impl Store {
    /// The large orders of a product that have keys reserved, or may have. 1 read unit for 4 KB; there are
    /// seldom any.
    pub async fn open_requests(&self, product_id: ProductId) -> Result<Vec<OpenRequest>, StoreError> {
        let query = Query::collection(OPEN_REQUESTS).beginning_with(format!("{product_id}#"));
        Ok(readable(&self.query(query).await?).collect())
    }

    /// Ends a sale that has reserved keys: hands them over if the sale is finished, else voids its record and
    /// undoes what it has reserved. What is not done, the sweep does. Write units: 2 for each key, 2 for each
    /// part, 5; read units: 1 for the record, and 1 for 4 KB of parts.
    ///
    /// A first part of unknown outcome may still be under way, and its record may not exist yet. Then a void
    /// record takes its place first: else the part could land after its entry was deleted, and nobody would
    /// find it.
    pub async fn conclude(&self, sale: &Sale, now: Timestamp) -> Result<(), StoreError> {
        let (Some(open), Some(slot)) = (sale.open_request(), &sale.slot) else { return Ok(()) };
        let tombstone = (sale.parts == 0).then(|| sale.first_record(slot, RequestState::Void, now));
        let is_buried = match tombstone {
            Some(tombstone) => self.write([tombstone]).await?.is_done(),
            None => false,
        };
        if !is_buried {
            // Refused if the sale is finished.
            self.write([void(&open, now)]).await?;
        }
        self.settle_decided(&open, now).await.map(|_| ())
    }

    /// Settles every large order whose lease is over. Safe beside live traffic and beside other sweeps,
    /// because every write is conditional.
    pub async fn sweep(&self, now: Timestamp) -> Result<Swept, StoreError> {
        let items = self.open_request_items().await?;
        let mut swept = Swept { failed: items.len(), ..Swept::default() };
        for open in readable(&items) {
            swept.failed -= 1;
            match self.settle(&open, now).await {
                Ok(Some(RequestState::Done)) => swept.finished += 1,
                Ok(Some(_)) => swept.undone += 1,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "a large order is left unsettled");
                    swept.failed += 1;
                }
            }
        }
        Ok(swept)
    }

    /// The number of large orders whose lease was over at `moment`. 1 read unit for 4 KB of open ones.
    pub async fn requests_expired_by(&self, moment: Timestamp) -> Result<usize, StoreError> {
        let items = self.open_request_items().await?;
        let unreadable = items.len() - readable(&items).count();
        Ok(unreadable + readable(&items).filter(|open| open.is_expired(moment)).count())
    }

    async fn open_request_items(&self) -> Result<Vec<Item>, StoreError> {
        let (new, former) = tokio::try_join!(
            self.query(Query::collection(OPEN_REQUESTS)),
            self.query(Query::collection(FORMER_ORDERS))
        )?;
        Ok([new, former].concat())
    }

    /// Settles a large order whose lease is over: voids its record if that is still open, then hands its
    /// parts over or undoes them. Returns its state, or `None` if its lease is not over.
    pub async fn settle(
        &self,
        open: &OpenRequest,
        now: Timestamp,
    ) -> Result<Option<RequestState>, StoreError> {
        if !open.is_expired(now) {
            return Ok(None);
        }
        // Refused if the order is decided.
        self.write([void(open, now)]).await?;
        self.settle_decided(open, now).await.map(Some)
    }

    /// Ends the parts of an order that is not open any more, by the state of its record.
    async fn settle_decided(&self, open: &OpenRequest, now: Timestamp) -> Result<RequestState, StoreError> {
        let record = self.get(open.record.clone()).await?.map(RequestRecord::read).transpose()?;
        // Another attempt may have replaced the record.
        let sold = record.filter(|record| record.is(RequestState::Done, &open.attempt));
        let assignment = sold.as_ref().map(RequestRecord::assignment).transpose()?;
        let expires = sold.map(|record| {
            let update = Write::update(open.record.clone()).when("attribute_exists(#pk)", []);
            update.set(EXPIRES_AT, number(expiry(record.kept_for, now)))
        });
        self.end_parts(open, assignment.as_ref(), expires).await?;
        Ok(if assignment.is_some() { RequestState::Done } else { RequestState::Void })
    }

    /// Hands the parts over, if the order was sold with this assignment, or undoes them: some at the same
    /// time. Deletes the entry when all are ended. Only then may the record of a sold order expire, which
    /// `expires` allows: an order whose record is gone would be undone.
    ///
    /// It reads the parts after the decision, when no part can be added any more.
    async fn end_parts(
        &self,
        open: &OpenRequest,
        sold: Option<&Assignment>,
        expires: Option<Write>,
    ) -> Result<(), StoreError> {
        let query = Query::collection(open.record.clone().into_pk()).beginning_with(&*open.parts);
        let parts = self.query(query).await?;
        all(parts.into_iter().map(|part| self.end_part(open, part, sold))).await?;
        self.write([Write::delete(open.entry.clone())].into_iter().chain(expires)).await.map(|_| ())
    }

    /// Ends a part in one transaction that also deletes its list. If an operator has changed one of its keys,
    /// the others are ended one by one.
    async fn end_part(
        &self,
        open: &OpenRequest,
        part: Item,
        sold: Option<&Assignment>,
    ) -> Result<(), StoreError> {
        let end = |key: &ListedKey| match sold {
            Some(assignment) => assign::hand_over(key, assignment),
            None => assign::undo(key, open, StockPosition::random(self.randomness())),
        };
        let writes: Vec<Write> = read_part(&part)?.iter().map(end).collect();
        let delete = Write::delete(Key::of(&part)?);
        if writes.len() < TRANSACTION_ACTIONS_MAX {
            let all = writes.iter().cloned().chain([delete.clone()]);
            if self.write(all).await?.is_done() {
                return Ok(());
            }
        }
        // A refused write was done before, or its key is not reserved for this order.
        all(writes.into_iter().map(|write| async { self.write([write]).await.map(|_| ()) })).await?;
        self.write([delete]).await.map(|_| ())
    }
}

/// The entries that can be read. One that was edited by hand must not keep the others from being settled.
fn readable(items: &[Item]) -> impl Iterator<Item = OpenRequest> {
    items.iter().filter_map(|item| match OpenRequest::read(item) {
        Ok(open) => Some(open),
        Err(error) => {
            tracing::error!(%error, "an entry of an open request is skipped");
            None
        }
    })
}

/// Does all of it, some at the same time, and returns the first error.
async fn all(
    work: impl Iterator<Item = impl Future<Output = Result<(), StoreError>>>,
) -> Result<(), StoreError> {
    let mut results = futures_util::stream::iter(work).buffer_unordered(PARALLEL_MAX);
    let mut outcome = Ok(());
    while let Some(result) = results.next().await {
        outcome = outcome.and(result);
    }
    outcome
}
