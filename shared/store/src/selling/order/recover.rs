use futures_util::StreamExt as _;
use keypool_domain::{Assignment, AssignmentId, Draw, Status, Timestamp};

use super::{Order, change_of, state_of};
use crate::dynamo::{Query, Write, Written};
use crate::record::{
    DRAW, Item, Key, ListedKey, OPEN_ORDERS, ORDER_PARTS, OpenOrder, OrderRecord, OrderState, Origin, STOCK,
    number, order_expires_at, read_open_order, read_order, read_part, stock_of, text,
};
use crate::selling::assign::{fence, given_to, is_text};
use crate::selling::insert::PARALLEL_MAX;
use crate::{Store, StoreError};

/// What a sweep has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Orders that were committed, and whose keys now all say so.
    pub finished: usize,
    /// Orders that were given up, and whose keys are back in stock.
    pub undone: usize,
    /// Orders that could not be brought to their end this time.
    pub failed: usize,
}

impl Store {
    /// Gives an order up: it is aborted, and what was reserved for it goes back into stock. 1 write unit and 1 of the
    /// index for each key. If it was committed after all, or others have aborted it and bring it to its end, nothing
    /// happens.
    pub async fn abandon(&self, order: &Order, now: Timestamp) -> Result<(), StoreError> {
        match self.abort(&order.assignment.id).await? {
            Some(OrderState::Aborted) => {
                self.end(&order.entry, &record_of(order), OrderState::Void, now).await
            }
            _ => Ok(()),
        }
    }

    /// Lets all keys of an order that is committed say so. 1 write unit each. What is not done, a sweep will do.
    pub async fn hand_over(&self, order: &Order, now: Timestamp) -> Result<(), StoreError> {
        self.end(&order.entry, &record_of(order), OrderState::Sold, now).await
    }

    /// Brings all orders to their end that were given up by `now`. Safe beside live traffic, beside orders that are
    /// still alive after all, and beside itself: every write has its condition.
    pub async fn sweep_orders(&self, now: Timestamp) -> Result<Swept, StoreError> {
        let items = self.query(Query::collection(OPEN_ORDERS)).await?;
        let mut swept = Swept::default();
        for item in &items {
            let entry = read_open_order(item)?;
            if !entry.is_given_up(now) {
                continue;
            }
            match self.recover(&entry, now).await {
                Ok(OrderState::Sold) => swept.finished += 1,
                Ok(_) => swept.undone += 1,
                Err(error) => {
                    tracing::warn!(%error, "an order could not be brought to its end");
                    swept.failed += 1;
                }
            }
        }
        Ok(swept)
    }

    /// Brings an order to its end that was given up, and says which that is.
    pub async fn recover(&self, entry: &OpenOrder, now: Timestamp) -> Result<OrderState, StoreError> {
        self.abort(&entry.id).await?;
        let item = self.get(Key::order(&entry.id)).await?;
        let Some(order) = item.as_ref().map(read_order).transpose()? else {
            // Only the entry is left: its record, kept for a day after its end, has expired.
            self.forget(entry).await?;
            return Ok(OrderState::Void);
        };
        let end = match order.state {
            OrderState::Committed | OrderState::Sold => OrderState::Sold,
            OrderState::Reserving | OrderState::Aborted | OrderState::Void => OrderState::Void,
        };
        self.end(entry, &order, end, now).await?;
        Ok(end)
    }

    /// Aborts an order that reserves, and says in which state it is then.
    pub(super) async fn abort(&self, id: &AssignmentId) -> Result<Option<OrderState>, StoreError> {
        let from = [OrderState::Reserving, OrderState::Aborted];
        let changed = self.with_retries(|| self.write_once(change_of(id, from, OrderState::Aborted))).await?;
        Ok(match changed {
            Written::Done => Some(OrderState::Aborted),
            Written::Refused(item) => state_of(item.as_ref()),
        })
    }

    /// Does what is left to do: keys first, then their list, then the record, then the entry by which it is found.
    async fn end(
        &self,
        entry: &OpenOrder,
        order: &OrderRecord,
        end: OrderState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let id = &order.assignment.id;
        // With all that was written to it before, and after the decision: nothing is listed any more.
        let parts =
            self.query(Query::collection(Key::order(id).into_pk()).beginning_with(ORDER_PARTS)).await?;
        let keys = parts.iter().map(read_part).collect::<Result<Vec<_>, _>>()?.concat();
        let decided = if end == OrderState::Sold {
            self.mark(order, keys).await?;
            OrderState::Committed
        } else {
            self.undo(order, keys).await?;
            OrderState::Aborted
        };
        for part in &parts {
            self.delete(Key::of(part)?).await?;
        }
        let (expires_at, seconds) = order_expires_at(now);
        let change = || change_of(id, [decided, end], end).set(expires_at, number(seconds));
        self.with_retries(|| self.write_once(change())).await?;
        self.forget(entry).await
    }

    async fn forget(&self, entry: &OpenOrder) -> Result<(), StoreError> {
        self.delete(Key::open_order(entry.product_id, &entry.id)).await
    }

    async fn mark(&self, order: &OrderRecord, keys: Vec<ListedKey>) -> Result<(), StoreError> {
        let marks = keys.into_iter().map(|key| async move {
            let change = || marking(&key, &order.assignment);
            // Refused: it was missed, or is marked already, or was changed by an operator since.
            self.with_retries(|| self.write_once(change())).await.map(|_| ())
        });
        all(marks).await
    }

    async fn undo(&self, order: &OrderRecord, keys: Vec<ListedKey>) -> Result<(), StoreError> {
        all(keys.into_iter().map(|key| async move {
            match order.origin {
                Origin::Stock => self.put_back(order, &key).await,
                Origin::Generator => self.unmake(order, &key).await,
            }
        }))
        .await
    }

    /// Puts a key back into stock that is reserved for the order; or, if it is not reserved, moves its version on, so
    /// that a reservation that comes late does not fit.
    async fn put_back(&self, order: &OrderRecord, key: &ListedKey) -> Result<(), StoreError> {
        loop {
            let draw = Draw::random(self.randomness());
            let change = || returning(key, order, draw);
            let Written::Refused(item) = self.with_retries(|| self.write_once(change())).await? else {
                return Ok(());
            };
            if !is_for_sale_as_seen(item.as_ref(), key) {
                return Ok(());
            }
            let change = || fence(&key.license_key, key.seen);
            if let Written::Done = self.with_retries(|| self.write_once(change())).await? {
                return Ok(());
            }
            // It has changed just now: perhaps by that very reservation.
        }
    }

    /// Deletes a key that was made for the order and is reserved for it.
    async fn unmake(&self, order: &OrderRecord, key: &ListedKey) -> Result<(), StoreError> {
        let delete = Write::delete(Key::license_key(&key.license_key)).when(
            "#status = :reserved AND #assignment_id = :order",
            [(":reserved", text(Status::Reserved)), (":order", text(&order.assignment.id))],
        );
        self.write(delete).await.map(|_| ())
    }

    async fn delete(&self, key: Key) -> Result<(), StoreError> {
        self.write(Write::delete(key)).await.map(|_| ())
    }
}

/// Does all of it, some at the same time, and says what went wrong first.
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

fn record_of(order: &Order) -> OrderRecord {
    OrderRecord {
        product_id: order.entry.product_id,
        assignment: order.assignment.clone(),
        state: OrderState::Reserving,
        origin: order.origin,
    }
}

fn is_for_sale_as_seen(item: Option<&Item>, key: &ListedKey) -> bool {
    let version = item.and_then(|item| item.get("version")).and_then(|version| version.as_n().ok());
    is_text(item, "status", Status::Available.as_str()) && version == Some(&key.seen.to_string())
}

/// A change of a key that is reserved for the order since it was listed. (The version is asked for, so that a
/// repetition that comes late does not undo what came after.)
fn of_reserved(key: &ListedKey, order: &AssignmentId) -> Write {
    const RESERVED: &str = "#status = :reserved AND #assignment_id = :order AND #version = :next";
    Write::update(Key::license_key(&key.license_key)).when(
        RESERVED,
        [(":reserved", text(Status::Reserved)), (":order", text(order)), (":next", number(key.seen + 1))],
    )
}

fn returning(key: &ListedKey, order: &OrderRecord, draw: Draw) -> Write {
    of_reserved(key, &order.assignment.id)
        .set("status", text(Status::Available))
        .set("version", number(key.seen + 2))
        .set(STOCK, text(stock_of(order.product_id)))
        .set(DRAW, text(draw))
        .remove("assignment_id")
}

fn marking(key: &ListedKey, assignment: &Assignment) -> Write {
    given_to(of_reserved(key, &assignment.id), key.seen + 1, assignment)
}
