use std::collections::HashSet;

use futures_util::StreamExt as _;
use keypool_domain::{LicenseKey, Status, StockedKey};

use super::{CommitOutcome, NewOrder, Order, ReserveOutcome, change_of, state_of};
use crate::dynamo::{IS_NEW, Obstacle, Transacted};
use crate::dynamo::{Write, Written};
use crate::record::{
    DRAW, Key, ListedKey, OpenOrder, OrderRecord, OrderState, Origin, STOCK, number, open_order_item,
    order_item, part_item, text,
};
use crate::selling::claim::Recording;
use crate::selling::insert::{InsertOutcome, PARALLEL_MAX, collisions, insertions};
use crate::{Store, StoreError};

/// How many keys one part of the list holds: each at most 1 KB, an item at most 400 KB.
const LISTED_MAX: usize = 250;

impl Store {
    /// Opens an order for keys of the stock.
    pub async fn open_order(&self, order: NewOrder) -> Result<Order, StoreError> {
        self.open(order, Origin::Stock).await
    }

    /// Opens an order for keys that are made for it.
    pub async fn open_order_of_fresh_keys(&self, order: NewOrder) -> Result<Order, StoreError> {
        self.open(order, Origin::Generator).await
    }

    /// The record and the entry by which it is found, in one transaction. The record stays when the order has ended,
    /// for a day: a repetition of this write that arrives late must not bring it to life again.
    async fn open(&self, new: NewOrder, origin: Origin) -> Result<Order, StoreError> {
        let NewOrder { product_id, assignment, since, lease, claim } = new;
        let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
        let lease_until = assignment.at.unix_microseconds().saturating_add(lease);
        let entry = OpenOrder { id: assignment.id.clone(), product_id, since, lease_until, claim };
        let state = OrderState::Reserving;
        let record = OrderRecord { product_id, assignment, state, origin };
        let record_write = Write::put(order_item(&record)).when(IS_NEW, []);
        let transacted = self.transact([record_write, Write::put(open_order_item(&entry))]).await?;
        if let Transacted::Refused(obstacles) = transacted {
            // An earlier attempt of this very write has stored it, unless it has come further since.
            let item = obstacles.first().and_then(Obstacle::item);
            if state_of(item) != Some(OrderState::Reserving) {
                return Err(StoreError::Contention { operation: "TransactWriteItems" });
            }
        }
        let assignment = record.assignment;
        Ok(Order { assignment, entry, origin, parts: 0, reserved: Vec::new() })
    }

    /// Adds keys to the list of those that the order may have reserved, as long as it is not aborted.
    async fn list_keys_of(&self, order: &mut Order, listed: Vec<ListedKey>) -> Result<bool, StoreError> {
        let id = &order.assignment.id;
        let chunks = listed.chunks(LISTED_MAX).enumerate();
        let items = chunks.map(|(chunk, keys)| Write::put(part_item(id, order.parts + chunk, keys)));
        let writes: Vec<Write> = items.chain([is_reserving(id)]).collect();
        let parts = writes.len() - 1;
        let transacted = self.transact(writes).await?;
        order.parts += parts;
        Ok(matches!(transacted, Transacted::Committed))
    }

    /// Reserves keys of the stock, each as it was read, for an order. 1 write unit and 1 of the index each.
    ///
    /// A key that is missed is missed for good: its version has moved on, and versions only rise. After an error it is
    /// not known what was reserved: the order must be abandoned then.
    pub async fn reserve(
        &self,
        order: &mut Order,
        mut keys: Vec<StockedKey>,
    ) -> Result<ReserveOutcome, StoreError> {
        // A key that is reserved already would be taken for a repetition, and counted twice.
        let mut held: HashSet<LicenseKey> =
            order.reserved.iter().map(|key| key.license_key.clone()).collect();
        keys.retain(|key| held.insert(key.license_key.clone()));
        let as_seen =
            |key: &StockedKey| ListedKey { license_key: key.license_key.clone(), seen: key.version };
        if !self.list_keys_of(order, keys.iter().map(as_seen).collect()).await? {
            return Ok(ReserveOutcome::Aborted);
        }
        let mut writes = futures_util::stream::iter(keys)
            .map(|key| {
                let change = reservation(&key, &order.assignment.id);
                async move {
                    let changed = self.with_retries(|| self.write_once(change.clone())).await;
                    changed.map(|changed| (key, changed))
                }
            })
            .buffer_unordered(PARALLEL_MAX);
        let (mut reserved, mut missed, mut failed) = (Vec::new(), Vec::<LicenseKey>::new(), None);
        while let Some(written) = writes.next().await {
            match written {
                Ok((key, Written::Done)) => reserved.push(key),
                // The repetition of a reservation fits its own; so this is somebody else's doing.
                Ok((key, Written::Refused(_))) => missed.push(key.license_key),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        drop(writes);
        order.reserved.extend(reserved);
        failed.map_or(Ok(ReserveOutcome::Reserved { missed }), Err)
    }

    /// Stores keys that were made for an order, as reserved; those that existed are missed, and with them all that
    /// were sent in the same transaction. 2 write units each, and as long as the order is not aborted: a key that is not
    /// there has no version that could keep out a write that comes late.
    pub async fn reserve_fresh(
        &self,
        order: &mut Order,
        keys: Vec<StockedKey>,
    ) -> Result<ReserveOutcome, StoreError> {
        // Reserved is how they begin: there is no version before that.
        let unseen = |key: &StockedKey| ListedKey { license_key: key.license_key.clone(), seen: 0 };
        if !self.list_keys_of(order, keys.iter().map(unseen).collect()).await? {
            return Ok(ReserveOutcome::Aborted);
        }
        let mut missed = Vec::new();
        for batch in keys.chunks(self.transaction_keys_max()) {
            let id = &order.assignment.id;
            let sent = self.transact(insertions(batch).chain([is_reserving(id)])).await;
            match sent {
                Ok(Transacted::Committed) => order.reserved.extend_from_slice(batch),
                Ok(Transacted::Refused(obstacles)) => {
                    let (of_keys, of_order) = obstacles.split_at(batch.len());
                    match collisions(batch, of_keys) {
                        InsertOutcome::Inserted => order.reserved.extend_from_slice(batch),
                        _ if of_order.iter().any(Obstacle::is_condition) => {
                            return Ok(ReserveOutcome::Aborted);
                        }
                        _ => missed.extend(batch.iter().map(|key| key.license_key.clone())),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(ReserveOutcome::Reserved { missed })
    }

    /// Decides that all keys that are reserved for the order are the owner's; with a `recording`, the claim is
    /// finished by the same write. 1 write unit; with a recording 2, and 2 for each KB of it.
    ///
    /// When the last word is an error, a second write finds out whether it was decided, or decides against it.
    pub async fn commit(
        &self,
        order: &Order,
        recording: Option<Recording<'_>>,
    ) -> Result<CommitOutcome, StoreError> {
        let write = async {
            let id = &order.assignment.id;
            let commit = change_of(id, [OrderState::Reserving; 2], OrderState::Committed);
            let Some(recording) = recording else {
                return Ok(match self.write(commit).await? {
                    Written::Done => CommitOutcome::Committed,
                    Written::Refused(item) => decided(state_of(item.as_ref())),
                });
            };
            let writes = [commit].into_iter().chain(recording.writes());
            Ok(match self.transact(writes).await? {
                Transacted::Committed => CommitOutcome::Committed,
                Transacted::Refused(obstacles) => match obstacles.split_first() {
                    Some((of_order, _)) if of_order.is_condition() => decided(state_of(of_order.item())),
                    Some((_, of_recording)) if recording.obstructed(of_recording) == Some(false) => {
                        CommitOutcome::Superseded
                    }
                    _ => CommitOutcome::Committed,
                },
            })
        };
        let find_out = Box::pin(async {
            let state = self.abort(&order.assignment.id).await?;
            Ok((decided(state) == CommitOutcome::Committed).then_some(CommitOutcome::Committed))
        });
        self.settled(Box::pin(write), find_out).await
    }
}

/// The condition that an order reserves.
fn is_reserving(id: &keypool_domain::AssignmentId) -> Write {
    let reserving = text(OrderState::Reserving.as_str());
    Write::check(Key::order(id)).when("#state = :reserving", [(":reserving", reserving)])
}

/// What an order that is in this state already has come to.
fn decided(state: Option<OrderState>) -> CommitOutcome {
    match state {
        Some(OrderState::Committed | OrderState::Sold) => CommitOutcome::Committed,
        _ => CommitOutcome::Aborted,
    }
}

/// Takes a key out of the stock that is for sale and as it was seen, for an order. Or that was done before.
fn reservation(key: &StockedKey, order: &keypool_domain::AssignmentId) -> Write {
    const FOR_SALE_OR_OURS: &str = "(#status = :available AND #version = :seen) \
        OR (#status = :reserved AND #assignment_id = :mine AND #version = :next)";
    Write::update(Key::license_key(&key.license_key))
        .when(
            FOR_SALE_OR_OURS,
            [
                (":available", text(Status::Available)),
                (":reserved", text(Status::Reserved)),
                (":seen", number(key.version)),
                (":next", number(key.version + 1)),
                (":mine", text(order)),
            ],
        )
        .set("status", text(Status::Reserved))
        .set("assignment_id", text(order))
        .set("version", number(key.version + 1))
        .remove(STOCK)
        .remove(DRAW)
}
