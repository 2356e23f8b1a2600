//! Sales: they take license keys out of the stock, or store fresh ones, for an owner. All or none.
//!
//! Up to [`SALE_KEYS_MAX`] keys are sold by one write, [`Store::finish`]. A larger order reserves its keys in
//! parts first, [`Store::take`], each part in one transaction; `finish` then sells the rest and decides for
//! the parts.

use std::time::Duration;

use keypool_aws::AwsErrorKind;
use keypool_domain::{Assignment, AuditEntry, Envelope, LicenseKey, LicenseKeyRecord, ProductId, Timestamp};
use tokio::time::{Instant, timeout};

use super::assign;
use super::request::Recorded;
use crate::dynamo::{IS_NEW, Obstacle, Prepared, Write, Written, contention};
use crate::record::{
    EXPIRES_AT, Item, KEPT_FOR, Key, OpenRequest, Record as _, RequestSlot, RequestState, is_text,
    license_key_change, number_of, part_item, sale_facts,
};
use crate::{Backoff, Store, StoreError};

/// The most keys that one write sells or reserves. A transaction has 100 actions. Beside the keys there are
/// the record, and up to three further parts of a saved response, or a part and an entry.
pub const SALE_KEYS_MAX: usize = 96;

/// The least number of copies of a write before its outcome counts as unknown. A process that was frozen may
/// go on after its deadline.
const COPIES_MIN: usize = 4;

/// The longest time of each repetition of a write. A lost packet then costs a quarter of a second.
const REPEAT_WITHIN: Duration = Duration::from_millis(250);

/// One attempt to sell keys.
#[derive(Debug)]
pub struct Sale {
    /// The owner, the time, and the attempt's id.
    pub(super) assignment: Assignment,
    /// The record. Without an `Idempotency-Key`, only a sale with parts writes one.
    pub(super) slot: RequestSlot,
    /// The entry of a sale with parts.
    pub(super) open: OpenRequest,
    /// The keys that are reserved, each as it was before.
    taken: Vec<LicenseKeyRecord>,
    /// The number of parts. Includes a last one whose write got no answer, and which may be reserved or not.
    pub(super) parts: usize,
    /// The writes to the key that the sale replaces, and to the audit trail.
    replacing: Vec<Write>,
}

/// The result of a write that sells or reserves keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaleOutcome {
    /// All keys are sold, or reserved.
    Done,
    /// Nothing was written, because keys have changed since they were read. Carries those that are no longer
    /// for sale, and fresh keys that exist already.
    Missed(Vec<LicenseKey>),
}

impl Sale {
    /// Prepares an attempt to sell keys of a product, under the record at `slot` if the request has an
    /// `Idempotency-Key`. Writes nothing yet. After the lease, which begins with the assignment, others may
    /// void the attempt.
    #[must_use]
    pub fn new(
        product_id: ProductId,
        assignment: Assignment,
        lease: Duration,
        slot: Option<RequestSlot>,
    ) -> Self {
        let lease_us = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
        let lease_until = assignment.at.unix_microseconds().saturating_add(lease_us);
        let slot = slot.unwrap_or_else(|| RequestSlot::new(&assignment.id, None, KEPT_FOR));
        let open = OpenRequest::new(&slot.key, product_id, &assignment.id, lease_until);
        Self { assignment, slot, open, taken: Vec::new(), parts: 0, replacing: Vec::new() }
    }

    /// Makes the sale replace the key `seen`, which becomes `next`, with an audit entry. The last write of
    /// the sale changes it, or fails if it has changed since.
    pub fn replace(&mut self, seen: &LicenseKeyRecord, next: &LicenseKeyRecord, entry: &AuditEntry) {
        self.replacing = vec![license_key_change(seen, next), Write::put(entry.item()).when(IS_NEW, [])];
    }

    /// The assignment that the keys are sold with.
    #[must_use]
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// The keys that are reserved so far.
    #[must_use]
    pub fn taken(&self) -> &[LicenseKeyRecord] {
        &self.taken
    }

    /// The record for the next attempt at the same request, after this one was abandoned.
    #[must_use]
    pub fn into_slot(self) -> Option<RequestSlot> {
        let failed = self.has_parts().then_some(self.assignment.id).or(self.slot.failed);
        // The record of a large order without an `Idempotency-Key` belongs to its attempt.
        self.slot.fingerprint.is_some().then_some(RequestSlot { failed, ..self.slot })
    }

    /// Returns true if the sale has reserved keys, or may have.
    pub(super) fn has_parts(&self) -> bool {
        self.parts > 0
    }

    /// Returns true if its last write changes a record.
    fn has_record(&self) -> bool {
        self.has_parts() || self.slot.fingerprint.is_some()
    }

    /// A record of this attempt, in place of the state that the slot was read from. A void one refuses a late
    /// first part, because both have the same condition.
    pub(super) fn first_record(&self, state: RequestState, now: Timestamp) -> Write {
        self.slot.put(state, &self.assignment.id, self.open.lease_until, now)
    }

    /// The writes that make the record done, and save the response, if the sale has a record.
    fn finishing(&self, response: &Envelope, now: Timestamp) -> Vec<Write> {
        if !self.has_record() {
            return Vec::new();
        }
        let (attributes, further) = self.slot.saved(response, now);
        let record = if self.has_parts() {
            // The record must stay until its parts are handed over, so its expiry is set then.
            self.open.when_held(Write::update).set("state", RequestState::Done.value()).remove(EXPIRES_AT)
        } else {
            self.first_record(RequestState::Done, now)
        };
        [record.with(attributes)].into_iter().chain(further).collect()
    }

    /// The key of an item that proves the sale: of its record, or of its first license key.
    fn proof(&self, keys: &[LicenseKeyRecord]) -> Key {
        match keys.first().filter(|_| !self.has_record()) {
            Some(first) => Key::license_key(&first.license_key),
            None => self.slot.key.clone(),
        }
    }

    /// Returns true if an item proves the sale: one of its keys, or its record. A sale is all or none.
    fn is_proven_by(&self, item: &Item) -> bool {
        let attempt = self.assignment.id.as_str();
        // A reserved key only shows that the index lags behind: the sale took it before.
        let is_key = is_text(item, "assignment_id", attempt) && !is_text(item, "status", "reserved");
        is_key || (is_text(item, "attempt", attempt) && is_text(item, "state", "done"))
    }
}

impl Store {
    /// Reserves the next part of a large order: up to [`Store::sale_keys_max`] keys, each as it was read, in
    /// one transaction with the list of them. Write units (table + index): 4n + n for n keys in all, with
    /// their sale.
    ///
    /// After an error, the keys may be reserved or not, and the sale must be abandoned.
    pub async fn take(
        &self,
        sale: &mut Sale,
        keys: &[LicenseKeyRecord],
        now: Timestamp,
    ) -> Result<SaleOutcome, StoreError> {
        let part = part_item(Key::part(&sale.slot.key, &sale.assignment.id, sale.parts), keys);
        let mut writes: Vec<Write> = keys.iter().map(|key| assign::reserve(key, &sale.assignment)).collect();
        if sale.parts == 0 {
            let record = sale.first_record(RequestState::Open, now);
            writes.push(record.with(sale_facts(sale.open.product_id, &sale.assignment)));
            writes.push(Write::put(sale.open.item()));
        } else {
            writes.push(sale.open.when_held(Write::check));
        }
        writes.push(Write::put(part));
        // The part counts from now on, so that an error makes `conclude` end it.
        sale.parts += 1;
        let written = self.write(writes).await?;
        let judged = self.judge(sale, keys, written).await;
        if judged == Ok(SaleOutcome::Done) {
            sale.taken.extend_from_slice(keys);
        } else {
            sale.parts -= 1;
        }
        judged
    }

    /// Sells `keys` (1 to [`Store::sale_keys_max`], each as it was read) and the parts that were taken, all
    /// or none. The same write remembers `response` if the request has an `Idempotency-Key`. Write units
    /// (table + index): one key 1 + 1; n keys in a transaction 2n + n; a remembered response adds 2 for each
    /// KB.
    ///
    /// Sends the write again until DynamoDB makes or refuses it, or the deadline is over. Then it fails with
    /// [`StoreError::OutcomeUnknown`] if a copy of the write got no answer. Any other error promises that
    /// this attempt has sold nothing and will sell nothing. It is contention if the key that the sale
    /// replaces has changed.
    pub async fn finish(
        &self,
        sale: &Sale,
        keys: &[LicenseKeyRecord],
        response: &Envelope,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<SaleOutcome, StoreError> {
        let assign = keys.iter().map(|key| assign::assign(key, &sale.assignment));
        let replacing = sale.replacing.iter().cloned();
        let prepared = self.prepare(assign.chain(replacing).chain(sale.finishing(response, now)))?;
        // On the heap, like everything large.
        match Box::pin(self.resolve(sale, keys, &prepared, deadline)).await {
            Ok(written) => self.judge(sale, keys, written).await,
            // Another attempt at the same request may have sold keys, or may be about to.
            Err(error) => Err(Box::pin(self.recorded_instead(sale, now)).await.map_or(error, Into::into)),
        }
    }

    /// Sends the write of a sale until DynamoDB makes or refuses it. All copies of the write are the same. If
    /// one of them has sold, DynamoDB answers the next one with success, or with items that prove the sale.
    /// Otherwise, if DynamoDB refuses one, none can succeed any more, because the condition that has failed
    /// never holds again.
    async fn resolve(
        &self,
        sale: &Sale,
        keys: &[LicenseKeyRecord],
        prepared: &Prepared,
        deadline: Instant,
    ) -> Result<Written, StoreError> {
        let (mut copies, mut within) = (0, self.timeouts.attempt_within);
        let (mut is_unanswered, mut backoff) = (false, Backoff::new());
        loop {
            copies += 1;
            let error = match timeout(within, self.send(&self.client_once, prepared)).await {
                Ok(Ok(written)) => return Ok(written),
                Ok(Err(error)) => error,
                Err(_) => StoreError::aws(AwsErrorKind::Unavailable, "write", "out of time"),
            };
            is_unanswered |= error.kind() == Some(AwsErrorKind::Unavailable);
            // If the write conflicts, an earlier copy may be under way, or may have sold.
            if is_unanswered && error.kind() == Some(AwsErrorKind::Contention) {
                let read = timeout(REPEAT_WITHIN, self.get_once(sale.proof(keys))).await;
                let item = read.ok().and_then(Result::ok).flatten();
                if item.is_some_and(|item| sale.is_proven_by(&item)) {
                    return Ok(Written::Done);
                }
            }
            let is_final = matches!(error.kind(), Some(AwsErrorKind::Misconfigured | AwsErrorKind::Rejected));
            if is_final || (copies >= COPIES_MIN && Instant::now() >= deadline) {
                let unknown = |error| StoreError::OutcomeUnknown { cause: Box::new(error) };
                return Err(if is_unanswered { unknown(error) } else { error });
            }
            within = REPEAT_WITHIN;
            backoff.wait(self.randomness()).await;
        }
    }

    /// Reads the record that another attempt at the request has left, or this one with its sale.
    async fn recorded_instead(&self, sale: &Sale, now: Timestamp) -> Option<Recorded> {
        // No other attempt writes the record of a request without an `Idempotency-Key`.
        sale.slot.fingerprint.as_ref()?;
        let read = timeout(REPEAT_WITHIN, self.get_once(sale.slot.key.clone()));
        let item = read.await.ok()?.ok()??;
        let is_expired = number_of::<i64>(&item, EXPIRES_AT).is_some_and(|at| at <= now.unix_seconds());
        let is_undecided =
            is_text(&item, "attempt", sale.assignment.id.as_str()) && !sale.is_proven_by(&item);
        if is_expired || is_undecided {
            return None;
        }
        let recorded = self.recorded(&sale.slot, Some(item)).await.ok()?;
        (recorded != Recorded::Void).then_some(recorded)
    }

    /// Judges a write. Of a refused one, a changed replaced key is contention, an obstacle at the record is
    /// [`StoreError::Recorded`], and one at a key is a miss.
    async fn judge(
        &self,
        sale: &Sale,
        keys: &[LicenseKeyRecord],
        written: Written,
    ) -> Result<SaleOutcome, StoreError> {
        let Written::Refused(obstacles) = written else { return Ok(SaleOutcome::Done) };
        if obstacles.iter().filter_map(Obstacle::item).any(|item| sale.is_proven_by(item)) {
            return Ok(SaleOutcome::Done);
        }
        let mut of_replaced = obstacles.iter().skip(keys.len()).take(sale.replacing.len());
        if of_replaced.any(|obstacle| matches!(obstacle, Obstacle::Condition(_))) {
            return Err(contention("TransactWriteItems"));
        }
        if let Some(Obstacle::Condition(item)) = obstacles.get(keys.len() + sale.replacing.len()) {
            // On the heap, like everything rare and large.
            return Err(Box::pin(self.recorded(&sale.slot, item.clone())).await?.into());
        }
        let is_for_sale = |item: &Item| is_text(item, "status", "available");
        let gone = keys.iter().zip(&obstacles).filter(|(_, obstacle)| match obstacle {
            Obstacle::Condition(item) => !item.as_ref().is_some_and(is_for_sale),
            Obstacle::None => false,
        });
        Ok(SaleOutcome::Missed(gone.map(|(key, _)| key.license_key.clone()).collect()))
    }
}
