//! The changes and searches of a shop after the sale.

use keypool_domain::{Assignment, AuditEntry, Envelope, LicenseKeyRecord, OrderReference, Timestamp};

use super::assign::assign;
use crate::dynamo::{Obstacle, Query, Written};
use crate::record::{Record as _, license_key_change};
use crate::{RequestSlot, Store, StoreError, UpdateOutcome};

impl Store {
    /// Replaces the key `seen` with `next`, its next version, and writes an audit entry. The same transaction
    /// saves the response if the request has an `Idempotency-Key`. 4 write units, 2 of an index that the key
    /// enters or leaves, 2 for each KB of a saved response.
    ///
    /// Fails with [`StoreError::Recorded`] if another attempt has left a record of the request. After an
    /// error of the write, reads the key. Fails with [`StoreError::OutcomeUnknown`] if the key does not show
    /// the change.
    pub async fn update_key(
        &self,
        [seen, next]: [&LicenseKeyRecord; 2],
        entry: &AuditEntry,
        remembered: Option<(&RequestSlot, &Envelope)>,
        now: Timestamp,
    ) -> Result<UpdateOutcome, StoreError> {
        let key = license_key_change(seen, next);
        let record = remembered.map(|(slot, response)| self.answered(slot, response, now));
        let writes = [key].into_iter().chain(record.into_iter().flatten());
        let obstacles = match self.transact_audited(writes, Some(entry)).await {
            Ok(Written::Done) => return Ok(UpdateOutcome::Updated),
            Ok(Written::Refused(obstacles)) => obstacles,
            Err(error) => {
                let cause = || StoreError::OutcomeUnknown { cause: Box::new(error) };
                let stored = self.license_key(&next.license_key).await.ok().flatten();
                return if stored.as_ref() == Some(next) { Ok(UpdateOutcome::Updated) } else { Err(cause()) };
            }
        };
        let stored = obstacles.first().and_then(Obstacle::item).map(LicenseKeyRecord::read).transpose()?;
        if stored.as_ref() == Some(next) {
            return Ok(UpdateOutcome::Updated);
        }
        match (remembered, obstacles.get(1)) {
            (Some((slot, _)), Some(Obstacle::Condition(record))) => {
                Err(self.recorded(slot, record.clone()).await?.into())
            }
            _ => Ok(UpdateOutcome::ChangedMeanwhile),
        }
    }

    /// Assigns `successor` to the owner of the key `seen`, which becomes `next`, in one write with an audit
    /// entry. For an operator, who has no deadline. Some 11 write units, indexes included.
    pub async fn replace_key(
        &self,
        [seen, next]: [&LicenseKeyRecord; 2],
        successor: &LicenseKeyRecord,
        assignment: &Assignment,
        entry: &AuditEntry,
    ) -> Result<UpdateOutcome, StoreError> {
        let writes = [assign(successor, assignment), license_key_change(seen, next)];
        self.transact_audited(writes, Some(entry)).await.map(Into::into)
    }

    /// Reads the keys of an order that are `wanted`, in the order of the keys: `count` of them after the
    /// first `skip`. The index lags behind the table by milliseconds. Half a read unit for 4 KB of the
    /// order's keys, up to the last one that is returned.
    pub async fn keys_of_order(
        &self,
        reference: &OrderReference,
        (skip, count): (usize, usize),
        wanted: impl Fn(&LicenseKeyRecord) -> bool,
    ) -> Result<Vec<LicenseKeyRecord>, StoreError> {
        let (mut keys, mut start, mut passed) = (Vec::new(), None, 0);
        loop {
            let query = Query::order(reference).limit(skip - passed + count - keys.len());
            let page = self.query_page(&query, start.as_ref()).await?;
            for item in &page.items {
                let key = LicenseKeyRecord::read(item)?;
                if !wanted(&key) {
                    continue;
                }
                if passed < skip {
                    passed += 1;
                } else {
                    keys.push(key);
                }
            }
            start = page.next;
            if start.is_none() || keys.len() == count {
                return Ok(keys);
            }
        }
    }
}
