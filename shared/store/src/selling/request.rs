//! The record of a request with an `Idempotency-Key`: read before a sale, and kept around the writes of
//! `create-license-keys` and `generate`.

use std::time::Duration;

use keypool_domain::{AttemptId, CreationId, Envelope, Fingerprint, RequestId, Timestamp};

use crate::dynamo::Write;
use crate::record::{
    Item, KEPT_FOR, Key, OpenRequest, RequestRecord, RequestSlot, RequestState, SK, text, text_of,
};
use crate::{Store, StoreError};

/// The number of dead attempts that are settled before the request counts as in progress.
const SETTLED_MAX: usize = 8;

/// The record that another attempt at a request has left. This attempt has written nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Recorded {
    /// The request was answered with this response.
    #[error("the request was answered before")]
    Answered(Envelope),
    /// The request was answered, and its owner was erased, with the response.
    #[error("the response was erased")]
    Erased,
    /// An attempt works on it.
    #[error("the same request is under way")]
    InProgress,
    /// The request with this `Idempotency-Key` had other parameters.
    #[error("the idempotency key was used for another request")]
    Mismatch,
    /// The attempt was voided, because its lease was over.
    #[error("the attempt was voided")]
    Void,
}

/// A request that stores keys one by one. Every attempt at it stores the same keys with the same mark, so
/// that several may work on it at once.
#[derive(Debug, Clone)]
pub struct Creation {
    slot: RequestSlot,
    /// The attempt that the record names.
    attempt: AttemptId,
    /// The mark of its keys, by which another attempt recognizes them.
    pub id: CreationId,
    /// The response that an attempt has saved, and may have begun to carry out.
    pub noted: Option<Envelope>,
}

impl Store {
    /// The writes that record an answered request, in place of the state that `slot` was read from.
    pub(super) fn answered(
        &self,
        slot: &RequestSlot,
        response: &Envelope,
        now: Timestamp,
    ) -> impl Iterator<Item = Write> + use<> {
        let (attributes, further) = slot.saved(response, now);
        let done = slot.put(RequestState::Done, &AttemptId::random(self.randomness()), 0, now);
        [done.with(attributes)].into_iter().chain(further)
    }

    /// Reads the record of a request, with every earlier write. 1 read unit for 4 KB of a saved response. If
    /// its attempt has died, that attempt is settled first. A creation that another attempt has begun counts
    /// as new: [`Store::begin`] joins it. `kept_for` is the time that the response will be kept, by default
    /// 24 hours. Fails with [`StoreError::Recorded`] unless the request is new.
    pub async fn recall(
        &self,
        id: RequestId,
        fingerprint: Fingerprint,
        kept_for: Option<Duration>,
        now: Timestamp,
    ) -> Result<RequestSlot, StoreError> {
        let slot = RequestSlot::new(id, Some(fingerprint), kept_for.unwrap_or(KEPT_FOR));
        for _ in 0..SETTLED_MAX {
            let record = self.get(slot.key.clone()).await?.map(RequestRecord::read).transpose()?;
            let Some(record) = record.filter(|record| record.expires_at > now.unix_seconds()) else {
                return Ok(slot);
            };
            let is_dead = record.state == RequestState::Open && record.lease_until <= now.unix_microseconds();
            let is_mine = record.fingerprint == slot.fingerprint;
            if !is_mine || !(is_dead || record.state == RequestState::Void) {
                return Err(Box::pin(self.recorded(&slot, Some(record.item))).await?.into());
            }
            let Some(product_id) = record.product_id.filter(|_| is_dead) else {
                return Ok(RequestSlot { failed: Some(record.attempt), ..slot });
            };
            let open = OpenRequest::new(&slot.key, product_id, &record.attempt, record.lease_until);
            Box::pin(self.settle(&open, now)).await?;
        }
        Err(Recorded::InProgress.into())
    }

    /// Judges the record that another attempt has left, or that refused a write. Without one, the attempt was
    /// voided long ago.
    pub(super) async fn recorded(
        &self,
        slot: &RequestSlot,
        item: Option<Item>,
    ) -> Result<Recorded, StoreError> {
        let Some(record) = item.map(RequestRecord::read).transpose()? else { return Ok(Recorded::Void) };
        Ok(match record.state {
            _ if record.fingerprint != slot.fingerprint => Recorded::Mismatch,
            RequestState::Done => {
                self.response_of(&record).await?.map_or(Recorded::Erased, Recorded::Answered)
            }
            RequestState::Open => Recorded::InProgress,
            RequestState::Void => Recorded::Void,
        })
    }

    /// Reads the response that a record holds, if there is one.
    pub(crate) async fn response_of(&self, record: &RequestRecord) -> Result<Option<Envelope>, StoreError> {
        if record.payload_parts == 0 {
            return Ok(None);
        }
        let key = Key::of(&record.item)?;
        let keys = (1..record.payload_parts).map(|part| Key::payload(&key, part).into_item());
        let mut further = self.get_many(keys.collect(), true).await?;
        further.sort_by(|one, other| text_of(one, SK).cmp(&text_of(other, SK)));
        record.response(&further).map(Some)
    }

    /// Begins a creation, or joins the one that another attempt has begun. 1 write unit.
    pub async fn begin(&self, slot: RequestSlot, now: Timestamp) -> Result<Creation, StoreError> {
        let slot = RequestSlot { failed: None, ..slot };
        let (id, attempt) = (CreationId::random(self.randomness()), AttemptId::random(self.randomness()));
        // It has no lease, because no attempt needs to wait for another.
        let put = slot.put(RequestState::Open, &attempt, 0, now).set("creation_id", text(&id));
        let Some(item) = self.write([put]).await?.into_refused_item() else {
            return Ok(Creation { slot, attempt, id, noted: None });
        };
        match self.recorded(&slot, Some(item.clone())).await? {
            Recorded::InProgress => {}
            recorded => return Err(recorded.into()),
        }
        let record = RequestRecord::read(item)?;
        let noted = self.response_of(&record).await?;
        Ok(Creation { slot, id: record.creation_id()?, attempt: record.attempt, noted })
    }

    /// Saves the response to a creation: `Open` before it is carried out, `Done` for its repetitions. Fails
    /// with [`StoreError::Recorded`] if another attempt was quicker. 1 write unit for a KB.
    pub async fn save(
        &self,
        creation: &mut Creation,
        response: &Envelope,
        state: RequestState,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // Each save renames the attempt, so that of two saves at once only one succeeds.
        let (slot, attempt) = (&creation.slot, AttemptId::random(self.randomness()));
        let (attributes, further) = slot.saved(response, now);
        let values = [
            (":done", RequestState::Done.value()),
            (":seen", text(&creation.attempt)),
            (":renamed", text(&attempt)),
        ];
        let put = slot.put(state, &attempt, 0, now).set("creation_id", text(&creation.id)).with(attributes);
        let put = put.when("#state <> :done AND #attempt IN (:seen, :renamed)", values);
        let written = self.write([put].into_iter().chain(further)).await?;
        if !written.is_done() {
            return Err(self.recorded(slot, written.into_refused_item()).await?.into());
        }
        creation.attempt = attempt;
        Ok(())
    }
}
