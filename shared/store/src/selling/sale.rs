//! Selling: takes license keys out of the stock, or stores fresh ones, as the owner's. All or none.
//!
//! Up to [`SALE_KEYS_MAX`] keys are sold by one write, [`Store::finish`]. A larger order reserves its keys in
//! parts first, [`Store::take`], each part in one transaction; `finish` then sells the rest and decides for
//! the parts.

use std::time::Duration;

use keypool_domain::{
    Assignment, Envelope, LicenseKey, LicenseKeyRecord, OwnerField, ProductId, Status, Timestamp,
};
use tokio::time::{Instant, timeout};

use super::request::{RequestSlot, lease_end};
use super::resolve::Verdict;
use crate::dynamo::{IS_NEW, Obstacle, Transacted, Transaction, Write, Written};
use crate::record::{
    DRAW, EXPIRES_AT, Item, Key, ListedKey, OpenRequest, Origin, RequestRecord, RequestState, STOCK,
    SavedResponse, is_text, license_key_item, number, open_request_item, part_item, text, with_sale,
};
use crate::{Recorded, Store, StoreError};

/// How many keys one write sells or reserves. A transaction has 100 actions; beside the keys there are the
/// record, and up to three further parts of a saved response, or a part and an entry.
pub const SALE_KEYS_MAX: usize = 96;

/// How long a response that has already arrived may take to be read, when the process was frozen in the
/// meantime.
const GRACE: Duration = Duration::from_millis(50);

/// One attempt to sell keys.
#[derive(Debug)]
pub struct Sale {
    pub(super) product_id: ProductId,
    pub(super) origin: Origin,
    /// The owner, and the time. Its id is the attempt's.
    pub(super) assignment: Assignment,
    pub(super) lease_until: i64,
    /// The record, if the sale has one.
    pub(super) slot: Option<RequestSlot>,
    /// The keys that are reserved, part by part, each as it was before.
    pub(super) parts: Vec<Vec<LicenseKeyRecord>>,
    /// Whether the latest part may be reserved, too: the outcome of its write is unknown.
    pub(super) is_uncertain: bool,
}

/// The result of a write that sells or reserves keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaleOutcome {
    /// All keys are sold, or reserved.
    Done,
    /// Nothing was written, because of these keys.
    Missed {
        /// Keys that are not for sale any more, or fresh keys that exist already.
        taken: Vec<LicenseKey>,
        /// Keys that have changed but are for sale.
        changed: Vec<LicenseKey>,
    },
    /// Nothing was written, because another attempt has left a record of the request.
    Recorded(Recorded),
}

/// A write that can be sent more than once, always the same.
pub(super) enum Prepared {
    One(Write),
    Many(Transaction),
}

impl Sale {
    /// An attempt to sell keys of a product, under the record at `slot` if the request has an
    /// `Idempotency-Key`. Nothing is written yet. The lease begins with the assignment; after it, others may
    /// void the attempt.
    #[must_use]
    pub fn new(
        product_id: ProductId,
        origin: Origin,
        assignment: Assignment,
        lease: Duration,
        slot: Option<RequestSlot>,
    ) -> Self {
        let lease_until = lease_end(assignment.at, lease);
        Self { product_id, origin, assignment, lease_until, slot, parts: Vec::new(), is_uncertain: false }
    }

    /// The assignment that the keys are sold with.
    #[must_use]
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// The keys that are reserved so far.
    pub fn taken(&self) -> impl Iterator<Item = &LicenseKeyRecord> {
        self.parts.iter().flatten()
    }

    /// The record for the next attempt at the same request, after this one was abandoned.
    #[must_use]
    pub fn into_slot(self) -> Option<RequestSlot> {
        let is_recorded = !self.parts.is_empty() || self.is_uncertain;
        let slot = self.slot?;
        // The record of a large order without an `Idempotency-Key` belongs to its attempt.
        slot.fingerprint.as_ref()?;
        Some(if is_recorded { slot.voided(&self.assignment.id) } else { slot })
    }

    /// The entry of a sale that has reserved keys.
    pub(super) fn open_request(&self) -> Option<OpenRequest> {
        let slot = self.slot.as_ref().filter(|_| !self.parts.is_empty() || self.is_uncertain)?;
        let attempt = &self.assignment.id;
        Some(OpenRequest::new(&slot.key, self.product_id, self.origin, attempt, self.lease_until))
    }

    /// Makes a write to the record depend on this attempt holding it.
    pub(super) fn holds(&self, write: Write) -> Write {
        let open = text(RequestState::Open.as_str());
        write.when(
            "#state = :open AND #attempt = :mine",
            [(":open", open), (":mine", text(&self.assignment.id))],
        )
    }

    /// The write that keeps the first part of this attempt from landing late: a void record in its place, on
    /// the very condition of that part.
    pub(super) fn tombstone(&self, slot: &RequestSlot, now: Timestamp) -> Write {
        let mut item = self.open_item(slot, now);
        item.insert("state".to_owned(), text(RequestState::Void.as_str()));
        slot.when_free(Write::put(item), now)
    }

    /// Stores a fresh key with this status, or changes a key of the stock from available to it.
    fn acquisition(&self, key: &LicenseKeyRecord, status: Status) -> Write {
        let assignment = &self.assignment;
        match self.origin {
            Origin::Generator if status == Status::Assigned => {
                let key = LicenseKeyRecord {
                    status,
                    owner: assignment.owner.clone(),
                    assigned_at: Some(assignment.at),
                    assignment_id: Some(assignment.id.clone()),
                    draw: None,
                    ..key.clone()
                };
                Write::put(license_key_item(&key)).when(IS_NEW, [])
            }
            Origin::Generator => {
                let assignment_id = Some(assignment.id.clone());
                let key = LicenseKeyRecord { status, assignment_id, draw: None, ..key.clone() };
                Write::put(license_key_item(&key)).when(IS_NEW, [])
            }
            Origin::Stock => {
                let update = Write::update(Key::license_key(&key.license_key));
                let update = match status {
                    Status::Assigned => assigned_to(self.for_sale_or_sold(update, key), assignment),
                    _ => for_sale(update, key).set("status", text(status)),
                };
                let update = update.set("assignment_id", text(&assignment.id));
                // A key that leaves the index leaves the stock.
                update.set("version", number(key.version + 1)).remove(STOCK).remove(DRAW)
            }
        }
    }

    /// The condition that a key is for sale as it was seen, or was sold by this attempt and has not changed
    /// since. A repetition of the sale then changes nothing.
    fn for_sale_or_sold(&self, update: Write, key: &LicenseKeyRecord) -> Write {
        const FOR_SALE_OR_SOLD: &str = "(#status = :available AND #version = :seen) \
            OR (#assignment_id = :mine AND #version = :next AND #status = :assigned)";
        update.when(
            FOR_SALE_OR_SOLD,
            [
                (":available", text(Status::Available)),
                (":assigned", text(Status::Assigned)),
                (":seen", number(key.version)),
                (":next", number(key.version + 1)),
                (":mine", text(&self.assignment.id)),
            ],
        )
    }

    /// The write to the record that takes the next part: the first one creates it.
    fn taking(&self, slot: &RequestSlot, now: Timestamp) -> Write {
        if !self.parts.is_empty() {
            return self.holds(Write::check(slot.key.clone()));
        }
        let item = with_sale(self.open_item(slot, now), self.product_id, &self.assignment, self.origin);
        slot.when_free(Write::put(item), now)
    }

    fn open_item(&self, slot: &RequestSlot, now: Timestamp) -> Item {
        let fingerprint = slot.fingerprint.as_deref();
        open_request_item(slot.key.clone(), &self.assignment.id, fingerprint, self.lease_until, now)
    }

    /// The writes that make the record done, and remember the response if the request has an
    /// `Idempotency-Key`.
    fn finishing(&self, slot: &RequestSlot, response: &Envelope, now: Timestamp) -> Vec<Write> {
        let done = text(RequestState::Done.as_str());
        let response = slot.fingerprint.as_ref().map(|_| SavedResponse::of(response));
        let attributes = response.iter().flat_map(SavedResponse::attributes);
        let record = if self.parts.is_empty() {
            let mut item = self.open_item(slot, now);
            item.insert("state".to_owned(), done);
            item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
            slot.when_free(Write::put(item), now)
        } else {
            // The record must stay until its parts are handed over, so its expiry is set then.
            let update = self.holds(Write::update(slot.key.clone())).set("state", done).remove(EXPIRES_AT);
            attributes.fold(update, |update, (name, value)| update.set(name, value))
        };
        let further = response.into_iter().flat_map(|response| response.further_writes(&slot.key, now));
        [record].into_iter().chain(further).collect()
    }
}

impl Store {
    /// Reserves the next part of a large order: up to [`Store::sale_keys_max`] keys, each as it was read, in
    /// one transaction with the list of them. Write units (table + index): 4n + n for n keys in all, with
    /// their sale.
    ///
    /// After an error it is unknown what was reserved, and the sale must be abandoned.
    pub async fn take(
        &self,
        sale: &mut Sale,
        keys: &[LicenseKeyRecord],
        now: Timestamp,
    ) -> Result<SaleOutcome, StoreError> {
        let slot = sale.slot.get_or_insert_with(|| RequestSlot::unnamed(&sale.assignment.id)).clone();
        let listed: Vec<ListedKey> = keys.iter().map(|key| sale.listed(key)).collect();
        let part = Key::part(&slot.key, &sale.assignment.id, sale.parts.len());
        let mut writes: Vec<Write> = keys.iter().map(|key| sale.acquisition(key, Status::Reserved)).collect();
        writes.extend([sale.taking(&slot, now), Write::put(part_item(part, &listed))]);
        sale.is_uncertain = true;
        if let Some(open) = sale.open_request().filter(|_| sale.parts.is_empty()) {
            writes.push(Write::put(open.item()));
        }
        let obstacles = match self.transact(writes).await? {
            Transacted::Committed => Vec::new(),
            Transacted::Refused(obstacles) => obstacles,
        };
        let outcome = self.judge(sale, keys, &obstacles).await?;
        sale.is_uncertain = false;
        if matches!(outcome, SaleOutcome::Done) {
            sale.parts.push(keys.to_vec());
        }
        Ok(outcome)
    }

    /// Sells `keys` (1 to [`Store::sale_keys_max`], each as it was read) and the parts that were taken, all
    /// or none. The same write remembers `response` if the request has an `Idempotency-Key`. Write units
    /// (table + index): one key 1 + 1; n keys in a transaction 2n + n; a remembered response adds 2 for each
    /// KB.
    ///
    /// If the outcome of the write is unknown, further calls find it out, or make sure that the sale cannot
    /// happen any more. They end at the deadline, then the error is [`StoreError::OutcomeUnknown`]. Any other
    /// error promises that nothing was sold, and that nothing will be.
    pub async fn finish(
        &self,
        sale: &Sale,
        keys: &[LicenseKeyRecord],
        response: &Envelope,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<SaleOutcome, StoreError> {
        let mut writes: Vec<Write> = keys.iter().map(|key| sale.acquisition(key, Status::Assigned)).collect();
        if let Some(slot) = &sale.slot {
            writes.extend(sale.finishing(slot, response, now));
        }
        let prepared = match <[Write; 1]>::try_from(writes) {
            Ok([write]) => Prepared::One(write),
            Err(writes) => Prepared::Many(self.transaction(writes)?),
        };
        let mut sending = Box::pin(self.with_retries(|| self.send(&prepared)));
        let sent = match timeout(self.timeouts.write_within, &mut sending).await {
            Ok(sent) => sent,
            // The process may have been frozen while the response arrived.
            Err(_) => timeout(GRACE, &mut sending).await.unwrap_or_else(|_| {
                Err(StoreError::Unavailable { operation: "write", code: "out of time".to_owned() })
            }),
        };
        drop(sending);
        let error = match sent {
            Ok(obstacles) => return self.judge(sale, keys, &obstacles).await,
            Err(error) => error,
        };
        // On the heap: this is rare, and large.
        match Box::pin(self.resolve(sale, keys, &prepared, deadline)).await {
            Verdict::Sold => Ok(SaleOutcome::Done),
            // Another attempt at the same request may have sold keys, or may be about to.
            Verdict::NotSold => {
                Ok(SaleOutcome::Recorded(Box::pin(self.recorded_instead(sale)).await.ok_or(error)?))
            }
            Verdict::Unknown => Err(StoreError::OutcomeUnknown { cause: Box::new(error) }),
        }
    }

    /// The record that another attempt has left of a request, after this one has failed.
    async fn recorded_instead(&self, sale: &Sale) -> Option<Recorded> {
        let slot = sale.slot.as_ref()?;
        let item = self.get_once(slot.key.clone()).await.ok().flatten()?;
        let record = RequestRecord::read(&item).ok()?;
        let recorded = self.recorded(&slot.key, item, &record, slot.fingerprint.as_deref()).await.ok()?;
        (recorded != Recorded::Void).then_some(recorded)
    }

    /// Sends a write once. Returns the obstacle of each of its parts, or nothing if it is done.
    pub(super) async fn send(&self, prepared: &Prepared) -> Result<Vec<Obstacle>, StoreError> {
        match prepared {
            Prepared::One(write) => Ok(match self.write_once(write.clone()).await? {
                Written::Done => Vec::new(),
                Written::Refused(item) => vec![Obstacle::Condition(item)],
            }),
            Prepared::Many(transaction) => Ok(match self.transact_once(transaction).await? {
                Transacted::Committed => Vec::new(),
                Transacted::Refused(obstacles) => obstacles,
            }),
        }
    }

    /// Judges a refused write by its obstacles: those of the keys, then that of the record. None at all mean
    /// success.
    pub(super) async fn judge(
        &self,
        sale: &Sale,
        keys: &[LicenseKeyRecord],
        obstacles: &[Obstacle],
    ) -> Result<SaleOutcome, StoreError> {
        if obstacles.is_empty() {
            return Ok(SaleOutcome::Done);
        }
        let (of_keys, of_record) = obstacles.split_at(keys.len().min(obstacles.len()));
        if let (Some(slot), Some(Obstacle::Condition(item))) = (&sale.slot, of_record.first()) {
            let Some(item) = item else { return Ok(SaleOutcome::Recorded(Recorded::Void)) };
            let record = RequestRecord::read(item)?;
            if record.is_done_by(&sale.assignment.id) {
                return Ok(SaleOutcome::Done);
            }
            let fingerprint = slot.fingerprint.as_deref();
            // On the heap, as all that is rare and large.
            let recorded = Box::pin(self.recorded(&slot.key, item.clone(), &record, fingerprint)).await?;
            return Ok(SaleOutcome::Recorded(recorded));
        }
        let (mut taken, mut changed) = (Vec::new(), Vec::new());
        for (key, obstacle) in keys.iter().zip(of_keys) {
            let Obstacle::Condition(item) = obstacle else { continue };
            let item = item.as_ref();
            // A sale is all or none, so one key that this attempt has sold proves that all are. A reserved
            // one only shows that the index trails: it was taken before.
            let is_reserved = is_text(item, "status", Status::Reserved.as_str());
            if is_text(item, "assignment_id", sale.assignment.id.as_str()) && !is_reserved {
                return Ok(SaleOutcome::Done);
            }
            let is_for_sale = is_text(item, "status", Status::Available.as_str());
            if is_for_sale { &mut changed } else { &mut taken }.push(key.license_key.clone());
        }
        Ok(SaleOutcome::Missed { taken, changed })
    }
}

impl Sale {
    /// A key as the list of a part names it. A fresh key has no version before its reservation.
    pub(super) fn listed(&self, key: &LicenseKeyRecord) -> ListedKey {
        let seen = match self.origin {
            Origin::Stock => key.version,
            Origin::Generator => key.version.saturating_sub(1),
        };
        ListedKey { license_key: key.license_key.clone(), seen }
    }
}

/// The condition that a key is for sale as it was seen.
pub(super) fn for_sale(update: Write, key: &LicenseKeyRecord) -> Write {
    let values = [(":available", text(Status::Available)), (":seen", number(key.version))];
    update.when("#status = :available AND #version = :seen", values)
}

/// Gives a key to the owner of an assignment.
pub(super) fn assigned_to(update: Write, assignment: &Assignment) -> Write {
    let field = |field: &Option<OwnerField>| field.as_ref().map(|field| text(field.as_str()));
    update
        .set("status", text(Status::Assigned))
        .set("assigned_at", text(assignment.at))
        .set("updated_at", text(assignment.at))
        // A key may have been stored with another owner.
        .set_or_remove("owner_name", field(&assignment.owner.name))
        .set_or_remove("owner_email", field(&assignment.owner.email))
}
