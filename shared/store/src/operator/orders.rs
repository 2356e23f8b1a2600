//! Queued orders as an operator sees and changes them. No change here decides an order: its worker does.

use keypool_domain::{AuditEntry, OrderId, OrderState, QueuedOrder};

use super::catalogue::UpdateOutcome;
use crate::dynamo::{IS_NEW, Write};
use crate::record::{Key, Record as _};
use crate::{Store, StoreError};

impl Store {
    /// Reads a delivered order, for 30 days after its delivery. 1 read unit.
    pub async fn delivered_order(&self, id: &OrderId) -> Result<Option<QueuedOrder>, StoreError> {
        self.get(Key::delivered_order(id)).await?.as_ref().map(QueuedOrder::read).transpose()
    }

    /// Makes the callback of an order due again: `next` is [`QueuedOrder::redelivered`] of `seen`. A
    /// delivered order goes back into the queue. The same transaction writes the audit entry. Write units for
    /// a KB: 4, or 6 for a delivered order.
    pub async fn redeliver(
        &self,
        seen: &QueuedOrder,
        next: &QueuedOrder,
        entry: &AuditEntry,
    ) -> Result<UpdateOutcome, StoreError> {
        if seen.state != OrderState::Delivered {
            return self.change_order(seen, next, entry).await;
        }
        // Of two operators who redeliver an order at the same time, only one may put it into the queue.
        let put = Write::put(next.item()).when(IS_NEW, []);
        let delete = Write::delete(Key::delivered_order(&seen.id)).when("attribute_exists(#pk)", []);
        self.transact_audited([put, delete], Some(entry)).await.map(Into::into)
    }

    /// Has a worker end an open order instead of filling it: `next` is [`QueuedOrder::cancelled`] of `seen`.
    /// A worker that fills it at this moment is not stopped. The same transaction writes the audit entry. 4
    /// write units for a KB.
    pub async fn cancel(
        &self,
        seen: &QueuedOrder,
        next: &QueuedOrder,
        entry: &AuditEntry,
    ) -> Result<UpdateOutcome, StoreError> {
        self.change_order(seen, next, entry).await
    }

    /// Changes an order in the queue, if every attribute is as it was seen.
    async fn change_order(
        &self,
        seen: &QueuedOrder,
        next: &QueuedOrder,
        entry: &AuditEntry,
    ) -> Result<UpdateOutcome, StoreError> {
        let before = seen.item();
        let key = Key::queued_order(&seen.id);
        let update = Write::update_record(key, &before, &before, &next.item());
        self.transact_audited([update], Some(entry)).await.map(Into::into)
    }
}
