//! The records of an owner in the table, and their erasure.
//!
//! No index finds an owner, because a sale writes as little as possible. So a search reads the whole table.

use futures_util::TryStreamExt as _;
use keypool_domain::{
    AuditEntry, Envelope, LicenseKeyRecord, OrderState, OwnerField, QueuedOrder, Timestamp,
};

use crate::dynamo::{Scan, Write};
use crate::record::{
    AUDIT, Item, Key, OpenRequest, PK, QUEUE, Record as _, RequestRecord, SK, kind, license_key_change, text,
    text_of,
};
use crate::{RequestState, Store, StoreError};

/// A record that holds an owner's name and address.
#[derive(Debug)]
pub enum OwnerRecord {
    /// A license key of theirs.
    LicenseKey(LicenseKeyRecord),
    /// A queued order of theirs.
    QueuedOrder(QueuedOrder),
    /// The saved response to a request, or a large order of theirs.
    Request(Box<OwnersRequest>),
    /// An entry of the audit trail about one of these.
    AuditEntry(AuditEntry),
}

/// A request whose record holds an owner.
#[derive(Debug)]
pub struct OwnersRequest {
    /// The response, if it is saved.
    pub response: Option<Envelope>,
    /// The time from which DynamoDB may delete the record, in Unix seconds.
    pub expires_at: i64,
    /// Its queued order, unless that one is delivered.
    undelivered: Option<QueuedOrder>,
    record: RequestRecord,
}

/// The treatment of dead orders when an owner is erased. Only a redelivery can still tell the shop about such
/// an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadOrders {
    /// They keep the owner.
    Keep,
    /// They are deleted.
    Delete,
}

/// The outcome of erasing an owner from a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EraseOutcome {
    /// It no longer holds the owner.
    Erased,
    /// An order still needs the owner: it is not delivered, or not handed over. Nothing was written.
    InUse,
    /// It is a dead order, or belongs to one, and dead orders were to be kept. Nothing was written.
    KeptForDeadOrder,
    /// Another writer changed it at the same moment. Nothing was written.
    ChangedMeanwhile,
}

impl OwnerRecord {
    /// The outcome of erasing the owner, if the state of an order rules it out.
    #[must_use]
    pub fn needed_by_order(&self, dead_orders: DeadOrders) -> Option<EraseOutcome> {
        let order = match self {
            Self::QueuedOrder(order) => Some(order),
            Self::Request(request) => request.undelivered.as_ref(),
            Self::LicenseKey(_) | Self::AuditEntry(_) => None,
        };
        match order?.state {
            OrderState::Delivered => None,
            OrderState::Dead if dead_orders == DeadOrders::Delete => None,
            OrderState::Dead => Some(EraseOutcome::KeptForDeadOrder),
            _ => Some(EraseOutcome::InUse),
        }
    }
}

impl OwnersRequest {
    /// The hash in the key of the record.
    #[must_use]
    pub fn id(&self) -> &str {
        text_of(&self.record.item, PK).and_then(|pk| pk.split_once('#')).map_or("", |(_, id)| id)
    }
}

impl Store {
    /// Reads the records that hold the owner with this email address. Calls `on_read` with the number of
    /// items that were read. Reads the whole table: half a read unit for 4 KB. Then reads the queue of
    /// orders: 1 read unit for 4 KB.
    pub async fn records_of_owner(
        &self,
        email: &OwnerField,
        on_read: impl Fn(usize),
    ) -> Result<Vec<OwnerRecord>, StoreError> {
        // Only the decompressed text of a response shows its owner.
        let filter =
            "attribute_exists(#owner_email) OR #sk = :request OR begins_with(#pk, :audit)".to_owned();
        let values = [(":request", kind::REQUEST), (":audit", AUDIT)];
        let values = values.map(|(name, value)| (name.to_owned(), text(value))).into();
        let mut pages = self.scan(Scan { filter, values });
        let mut records = Vec::new();
        while let Some(page) = pages.try_next().await? {
            on_read(page.read);
            for item in page.items {
                records.extend(self.record_of_owner(item, email).await?);
            }
        }
        // The queue is read after the records, so an order that was decided during the scan is still in it,
        // or delivered.
        let orders = self.queued_orders().await?;
        let orders: Vec<(Key, QueuedOrder)> =
            orders.into_iter().map(|order| (Key::request(order.id.request_id()), order)).collect();
        for record in &mut records {
            if let OwnerRecord::Request(request) = record {
                let key = Key::of(&request.record.item)?;
                let order = orders.iter().find(|(request, _)| *request == key);
                request.undelivered = order.map(|(_, order)| order.clone());
            }
        }
        Ok(records)
    }

    /// Reads an item, if it holds the owner.
    async fn record_of_owner(
        &self,
        item: Item,
        email: &OwnerField,
    ) -> Result<Option<OwnerRecord>, StoreError> {
        let (pk, sk) = (text_of(&item, PK).unwrap_or_default(), text_of(&item, SK).unwrap_or_default());
        if pk.starts_with(AUDIT) {
            let entry = AuditEntry::read(&item)?;
            return Ok(entry.without_owner(email).map(|_| OwnerRecord::AuditEntry(entry)));
        }
        if sk == kind::LICENSE_KEY {
            let key = LicenseKeyRecord::read(&item)?;
            return Ok(key.owner.has_email(email).then_some(OwnerRecord::LicenseKey(key)));
        }
        if pk == QUEUE || sk == Key::DELIVERED {
            let order = QueuedOrder::read(&item)?;
            return Ok(order.request.owner.has_email(email).then_some(OwnerRecord::QueuedOrder(order)));
        }
        let record = RequestRecord::read(item)?;
        let response = self.response_of(&record).await?;
        if !record.owner()?.has_email(email)
            && !response.as_ref().is_some_and(|response| response.tells_of_owner(email))
        {
            return Ok(None);
        }
        let request = OwnersRequest { response, expires_at: record.expires_at, undelivered: None, record };
        Ok(Some(OwnerRecord::Request(Box::new(request))))
    }

    /// Erases the owner with this email address from a record, with an audit entry in the same transaction.
    /// License keys stay assigned, and requests stay answered, so that their repetitions do nothing.
    /// Delivered orders are deleted, and dead ones if `dead_orders` says so. A request is in use until its
    /// dead order is deleted. Costs 4 write units for a KB, and 1 read unit for the request of a large or a
    /// dead order.
    pub async fn erase_owner(
        &self,
        record: &OwnerRecord,
        email: &OwnerField,
        dead_orders: DeadOrders,
        now: Timestamp,
        entry: &AuditEntry,
    ) -> Result<EraseOutcome, StoreError> {
        if let Some(outcome) = record.needed_by_order(dead_orders) {
            return Ok(outcome);
        }
        let writes = match record {
            OwnerRecord::LicenseKey(key) => match key.without_owner(now) {
                Ok(next) => vec![license_key_change(key, &next)],
                Err(_) => return Ok(EraseOutcome::InUse),
            },
            OwnerRecord::QueuedOrder(order) if order.state == OrderState::Dead => {
                let is_dead = [(":dead", text(OrderState::Dead))];
                vec![Write::delete(Key::queued_order(&order.id)).when("#state = :dead", is_dead)]
            }
            OwnerRecord::QueuedOrder(order) => {
                vec![Write::delete(Key::delivered_order(&order.id)).when("attribute_exists(#pk)", [])]
            }
            OwnerRecord::Request(request) if self.is_in_use(request).await? => {
                return Ok(EraseOutcome::InUse);
            }
            OwnerRecord::Request(request) => request.record.without_owner()?,
            OwnerRecord::AuditEntry(seen) => {
                let entry = seen.without_owner(email).unwrap_or_else(|| seen.clone());
                vec![Write::put(entry.item()).when("attribute_exists(#pk)", [])]
            }
        };
        let written = self.transact_audited(writes, Some(entry)).await?;
        Ok(if written.is_done() { EraseOutcome::Erased } else { EraseOutcome::ChangedMeanwhile })
    }

    /// Returns true if a request is under way, if its keys are being handed over or undone, or if its dead
    /// order is still there.
    async fn is_in_use(&self, request: &OwnersRequest) -> Result<bool, StoreError> {
        let record = &request.record;
        if record.state == RequestState::Open {
            return Ok(true);
        }
        if let Some(order) = &request.undelivered
            && self.queued_order(&order.id).await?.is_some()
        {
            return Ok(true);
        }
        let Some(product_id) = record.product_id else { return Ok(false) };
        let key = Key::of(&record.item)?;
        let open = OpenRequest::new(&key, product_id, &record.attempt, record.lease_until);
        Ok(self.get(open.entry).await?.is_some())
    }
}
