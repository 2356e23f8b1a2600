//! Ends large orders: hands over the parts of a sold one, and undoes those of a void one.

use futures_util::StreamExt as _;
use keypool_domain::{Assignment, ProductId, StockPosition, Timestamp};

use super::{PARALLEL_MAX, Sale, assign};
use crate::dynamo::{Query, Write};
use crate::record::{
    EXPIRES_AT, FORMER_ORDERS, Item, Key, ListedKey, OPEN_REQUESTS, OpenRequest, RequestRecord, RequestState,
    expiry, number, read_part, readable,
};
use crate::{Store, StoreError};

/// The most actions of one transaction.
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
        Ok(readable(&self.query(query).await?, OpenRequest::read).collect())
    }

    /// Ends a sale that has reserved keys: hands them over if the sale is finished, else voids its record and
    /// undoes what it has reserved. The sweep does the rest. Write units: 2 for each key, 2 for each part, 5;
    /// read units: 1 for 4 KB of parts.
    ///
    /// A first part of unknown outcome may still be under way, and its record may not exist yet. In this
    /// case, a void record takes its place first. Otherwise the part could arrive after its entry was
    /// deleted, and no sweep would find it.
    pub async fn conclude(&self, sale: &Sale, now: Timestamp) -> Result<(), StoreError> {
        if !sale.has_parts() {
            return Ok(());
        }
        if sale.taken().is_empty() {
            self.write([sale.first_record(RequestState::Void, now)]).await?;
        }
        self.end(&sale.open, now).await.map(|_| ())
    }

    /// Settles every large order whose lease is over. Safe beside live traffic and beside other sweeps,
    /// because every write is conditional.
    pub async fn sweep(&self, now: Timestamp) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        for item in self.open_request_items().await? {
            let settle = async { self.settle(&OpenRequest::read(&item)?, now).await };
            match settle.await {
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
        let running = readable(&items, OpenRequest::read).filter(|open| !open.is_expired(moment));
        Ok(items.len() - running.count())
    }

    async fn open_request_items(&self) -> Result<Vec<Item>, StoreError> {
        let query = |entries| self.query(Query::collection(entries));
        let (new, former) = tokio::try_join!(query(OPEN_REQUESTS), query(FORMER_ORDERS))?;
        Ok([new, former].concat())
    }

    /// Ends a large order whose lease is over. Returns its state, or `None` if its lease is not over.
    pub async fn settle(
        &self,
        open: &OpenRequest,
        now: Timestamp,
    ) -> Result<Option<RequestState>, StoreError> {
        if !open.is_expired(now) {
            return Ok(None);
        }
        self.end(open, now).await.map(Some)
    }

    /// Voids the record of an order if it is still open. Then ends the parts, some side by side: hands them
    /// over if the order was sold, else undoes them. Returns the state of the order.
    async fn end(&self, open: &OpenRequest, now: Timestamp) -> Result<RequestState, StoreError> {
        // If the order is decided, DynamoDB refuses this write and returns the record.
        let refused = self.write([open.void(now)]).await?.into_refused_item();
        let record = refused.map(RequestRecord::read).transpose()?;
        // Another attempt may have replaced the record.
        let sold =
            record.filter(|record| record.state == RequestState::Done && record.attempt == open.attempt);
        let assignment = sold.as_ref().map(RequestRecord::assignment).transpose()?;
        // The parts are read after the decision, because then none can be added any more.
        let query = Query::collection(open.record.clone().into_pk()).beginning_with(&*open.parts);
        let parts = self.query(query).await?;
        all(parts.into_iter().map(|part| self.end_part(open, part, assignment.as_ref()))).await?;
        // The entry is deleted last, because it is needed to find the parts. From now on the record of a sold
        // order may expire. Without its record, an order would be undone.
        let expires = sold.iter().map(|record| {
            let update = Write::update(open.record.clone()).when("attribute_exists(#pk)", []);
            update.set(EXPIRES_AT, number(expiry(record.kept_for, now)))
        });
        self.write([Write::delete(open.entry.clone())].into_iter().chain(expires)).await?;
        Ok(if sold.is_some() { RequestState::Done } else { RequestState::Void })
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
        // A refused write succeeded before, or its key is not reserved for this order.
        all(writes.into_iter().map(|write| async { self.write([write]).await.map(|_| ()) })).await?;
        self.write([delete]).await.map(|_| ())
    }
}

/// Does all work, some of it side by side, and returns the first error.
async fn all(
    work: impl Iterator<Item = impl Future<Output = Result<(), StoreError>>>,
) -> Result<(), StoreError> {
    let results = futures_util::stream::iter(work).buffer_unordered(PARALLEL_MAX);
    results.fold(Ok(()), async |outcome: Result<_, _>, result| outcome.and(result)).await
}
