//! The record of a request with an `Idempotency-Key`: reading it before a sale, and keeping it around the
//! writes of `create-license-keys` and `generate`.

use std::time::Duration;

use keypool_domain::{AttemptId, CreationId, Envelope, Fingerprint, RequestId, Timestamp};

use crate::dynamo::Write;
use crate::record::{
    EXPIRES_AT, FORMER_CLAIM, KEPT_FOR, Key, OpenRequest, RequestRecord, RequestState, SK, expiry, number,
    request_item, saved_response, text,
};
use crate::{Store, StoreError};

/// The number of dead attempts that are settled before the request counts as in progress.
const SETTLED_MAX: usize = 8;

/// A record that an attempt may write: there is none, it has expired, or its attempt has failed.
#[derive(Debug, Clone)]
pub struct RequestSlot {
    pub(super) key: Key,
    /// The hash of the request's parameters; `None` for a large order without an `Idempotency-Key`, whose
    /// response nobody asks for again.
    pub(super) fingerprint: Option<String>,
    /// The failed attempt, whose record the next attempt replaces only as long as it is there.
    pub(super) failed: Option<AttemptId>,
    /// The time that the response is kept.
    pub(super) kept_for: Duration,
}

/// The record of a request as another attempt has left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// The request was answered with this response.
    Answered(Envelope),
    /// An attempt works on it.
    InProgress,
    /// The request with this `Idempotency-Key` had other parameters.
    Mismatch,
    /// The attempt was voided, because its lease was over.
    Void,
}

/// The result of reading or beginning a record.
#[derive(Debug)]
pub enum Recalled<T> {
    /// The request was not answered before.
    New(T),
    /// Another attempt has left a record.
    Recorded(Recorded),
}

/// A request that stores keys one by one. Every attempt at it stores the same keys with the same mark, so
/// that several may work on it at once.
#[derive(Debug, Clone)]
pub struct Creation {
    key: Key,
    /// The attempt that the record names.
    attempt: AttemptId,
    kept_for: Duration,
    /// The mark of its keys, by which another attempt recognises them.
    pub id: CreationId,
    /// The response that an attempt has noted, and may have begun to carry out.
    pub noted: Option<Envelope>,
}

impl RequestSlot {
    /// The record of a large order without an `Idempotency-Key`.
    pub(super) fn unnamed(attempt: &AttemptId) -> Self {
        Self { key: Key::request(attempt), fingerprint: None, failed: None, kept_for: KEPT_FOR }
    }

    /// Makes `put` depend on the record being absent, expired, or left by the failed attempt.
    pub(super) fn when_free(&self, put: Write, now: Timestamp) -> Write {
        const IS_FREE: &str = "attribute_not_exists(#pk) OR #expires_at <= :now \
            OR (#attempt = :failed AND #state IN (:void, :former_claim))";
        let failed = self.failed.as_ref().map_or("none", AttemptId::as_str);
        put.when(
            IS_FREE,
            [
                (":now", number(now.unix_seconds())),
                (":failed", text(failed)),
                (":void", RequestState::Void.value()),
                (":former_claim", text(FORMER_CLAIM)),
            ],
        )
    }
}

impl Store {
    /// Reads the record of a request, with every write before. 1 read unit for 4 KB of a saved response. If
    /// its attempt has died, that attempt is settled first. A creation that another attempt has begun counts
    /// as new: [`Store::begin`] joins it. `kept_for` is how long the response will be remembered; by default
    /// 24 hours.
    pub async fn recall(
        &self,
        id: RequestId,
        fingerprint: Fingerprint,
        kept_for: Option<Duration>,
        now: Timestamp,
    ) -> Result<Recalled<RequestSlot>, StoreError> {
        let key = Key::request(id);
        let fingerprint = fingerprint.to_string();
        for _ in 0..SETTLED_MAX {
            let record = self.get(key.clone()).await?.map(RequestRecord::read).transpose()?;
            let record = record.filter(|record| record.expires_at > now.unix_seconds());
            let mut failed = None;
            if let Some(record) = record {
                let is_dead =
                    record.state == RequestState::Open && record.lease_until <= now.unix_microseconds();
                let is_mine = record.fingerprint.as_ref() == Some(&fingerprint);
                if let Some(product_id) = record.product_id.filter(|_| is_dead && is_mine) {
                    let open = OpenRequest::new(&key, product_id, &record.attempt, record.lease_until);
                    Box::pin(self.settle(&open, now)).await?;
                    continue;
                }
                if !is_mine || !(is_dead || record.state == RequestState::Void) {
                    let recorded = Box::pin(self.recorded(&record, Some(&fingerprint))).await?;
                    return Ok(Recalled::Recorded(recorded));
                }
                failed = Some(record.attempt);
            }
            let (fingerprint, kept_for) = (Some(fingerprint), kept_for.unwrap_or(KEPT_FOR));
            return Ok(Recalled::New(RequestSlot { key, fingerprint, failed, kept_for }));
        }
        Ok(Recalled::Recorded(Recorded::InProgress))
    }

    /// Judges a record that another attempt has left.
    pub(super) async fn recorded(
        &self,
        record: &RequestRecord,
        fingerprint: Option<&str>,
    ) -> Result<Recorded, StoreError> {
        Ok(match record.state {
            _ if record.fingerprint.as_deref() != fingerprint => Recorded::Mismatch,
            RequestState::Done => Recorded::Answered(self.read_response(record).await?),
            RequestState::Open => Recorded::InProgress,
            RequestState::Void => Recorded::Void,
        })
    }

    async fn read_response(&self, record: &RequestRecord) -> Result<Envelope, StoreError> {
        let keys = record.further_payload().into_iter().map(Key::into_item).collect();
        let mut further = self.get_many(keys, true).await?;
        further.sort_by_key(|item| item.get(SK).and_then(|sk| sk.as_s().ok()).cloned());
        record.response(&further)
    }

    /// Begins a creation, or joins the one that another attempt has begun. 1 write unit.
    pub async fn begin(&self, slot: RequestSlot, now: Timestamp) -> Result<Recalled<Creation>, StoreError> {
        let slot = RequestSlot { failed: None, ..slot };
        let (key, fingerprint, kept_for) = (slot.key.clone(), slot.fingerprint.as_deref(), slot.kept_for);
        let (id, attempt) = (CreationId::random(self.randomness()), AttemptId::random(self.randomness()));
        // It has no lease, because nobody needs to wait for another attempt.
        let mut item =
            request_item(key.clone(), RequestState::Open, &attempt, fingerprint, 0, (kept_for, now));
        item.insert("creation_id".to_owned(), text(&id));
        let put = slot.when_free(Write::put(item), now);
        let Some(item) = self.write([put]).await?.into_refused_item() else {
            return Ok(Recalled::New(Creation { key, attempt, kept_for, id, noted: None }));
        };
        let record = RequestRecord::read(item)?;
        let recorded = self.recorded(&record, fingerprint).await?;
        if recorded != Recorded::InProgress {
            return Ok(Recalled::Recorded(recorded));
        }
        let noted = if record.payload_parts == 0 { None } else { Some(self.read_response(&record).await?) };
        Ok(Recalled::New(Creation {
            id: record.creation_id()?,
            attempt: record.attempt,
            key,
            kept_for,
            noted,
        }))
    }

    /// Saves the response to a creation: `Open` if it has yet to be carried out, `Done` for its repetitions.
    /// Returns the record if another attempt was quicker. 1 write unit for a KB.
    pub async fn save(
        &self,
        creation: &mut Creation,
        response: &Envelope,
        state: RequestState,
        now: Timestamp,
    ) -> Result<Option<Recorded>, StoreError> {
        // Each save renames the attempt, so that of two saves at once only one succeeds.
        let attempt = AttemptId::random(self.randomness());
        let (attributes, further) = saved_response(&creation.key, response, creation.kept_for, now);
        let update = Write::update(creation.key.clone()).when(
            "#state <> :done AND #attempt IN (:seen, :renamed)",
            [
                (":done", RequestState::Done.value()),
                (":seen", text(&creation.attempt)),
                (":renamed", text(&attempt)),
            ],
        );
        let update = update.set("state", state.value()).set("attempt", text(&attempt));
        let update = update.set(EXPIRES_AT, number(expiry(creation.kept_for, now))).with(attributes);
        let written = self.write([update].into_iter().chain(further)).await?;
        if written.is_done() {
            creation.attempt = attempt;
            return Ok(None);
        }
        let Some(item) = written.into_refused_item() else { return Ok(Some(Recorded::Void)) };
        let record = RequestRecord::read(item)?;
        self.recorded(&record, record.fingerprint.as_deref()).await.map(Some)
    }
}
