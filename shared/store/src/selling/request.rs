//! The record of a request with an `Idempotency-Key`: reading it before a sale, and keeping it around the
//! writes of `create-license-keys` and `generate`.

use std::time::Duration;

use keypool_domain::{AttemptId, CreationId, Envelope, Fingerprint, RequestId, Timestamp};

use crate::dynamo::{Transacted, Write, Written};
use crate::record::{
    Item, Key, OpenRequest, RequestRecord, RequestState, SK, SavedResponse, expiry, is_text, number,
    open_request_item, read_response, text,
};
use crate::{Store, StoreError};

/// How often an attempt begins again because others change the record in between.
const ATTEMPTS_MAX: usize = 8;

/// A record that a sale may write: there is none, it has expired, or it is void as it was read.
#[derive(Debug, Clone)]
pub struct RequestSlot {
    pub(crate) key: Key,
    /// The hash of the request's parameters; `None` for a large order without an `Idempotency-Key`, whose
    /// response nobody asks for again.
    pub(crate) fingerprint: Option<String>,
    replaced: Option<Box<Replaced>>,
}

/// The record of a dead attempt, as it was read. The next attempt replaces it only as long as it is so.
#[derive(Debug, Clone)]
struct Replaced {
    attempt: String,
    state: String,
    /// The signature of the response that the attempt has noted.
    signature: Option<String>,
    creation_id: Option<CreationId>,
    noted: Option<Envelope>,
    item: Item,
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

/// The result of reading the record before a sale.
#[derive(Debug)]
pub enum Recalled {
    /// The request was not answered before.
    New(RequestSlot),
    /// Another attempt has left a record.
    Recorded(Recorded),
}

/// A request that an attempt has begun: it keeps the record open while it writes key by key.
#[derive(Debug, Clone)]
pub struct Begun {
    key: Key,
    attempt: AttemptId,
    creation_id: CreationId,
    noted: Option<Envelope>,
    is_resumed: bool,
}

/// The result of a write to the record by the attempt that began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldOutcome {
    /// It is written.
    Written,
    /// Nothing was written: another attempt has taken over.
    Lost,
}

impl RequestSlot {
    /// The record of a large order without an `Idempotency-Key`.
    pub(crate) fn unnamed(attempt: &AttemptId) -> Self {
        Self { key: Key::request(attempt), fingerprint: None, replaced: None }
    }

    /// The same record after `attempt` was voided.
    pub(crate) fn voided(self, attempt: &AttemptId) -> Self {
        let replaced = Replaced {
            attempt: attempt.to_string(),
            state: RequestState::Void.as_str().to_owned(),
            signature: None,
            creation_id: None,
            noted: None,
            item: Item::default(),
        };
        Self { replaced: Some(Box::new(replaced)), ..self }
    }

    /// Makes `put` depend on the record being as it was read.
    pub(crate) fn when_free(&self, put: Write, now: Timestamp) -> Write {
        const IS_ABSENT: &str = "attribute_not_exists(#pk) OR #expires_at <= :now";
        const IS_UNNOTED: &str = "attribute_not_exists(#pk) OR #expires_at <= :now \
            OR (#attempt = :attempt AND #state = :state AND attribute_not_exists(#signature))";
        const IS_NOTED: &str = "attribute_not_exists(#pk) OR #expires_at <= :now \
            OR (#attempt = :attempt AND #state = :state AND #signature = :signature)";
        let now = (":now", number(now.unix_seconds()));
        let Some(replaced) = &self.replaced else { return put.when(IS_ABSENT, [now]) };
        let attempt = (":attempt", text(&replaced.attempt));
        let state = (":state", text(&replaced.state));
        match &replaced.signature {
            None => put.when(IS_UNNOTED, [now, attempt, state]),
            Some(signature) => put.when(IS_NOTED, [now, attempt, state, (":signature", text(signature))]),
        }
    }
}

impl Begun {
    /// Makes a write depend on this attempt holding the record.
    fn holds(&self, write: Write) -> Write {
        let open = text(RequestState::Open.as_str());
        write.when("#state = :open AND #attempt = :mine", [(":open", open), (":mine", text(&self.attempt))])
    }

    /// The mark of keys that are stored one by one, so that a later attempt recognises them.
    #[must_use]
    pub fn creation_id(&self) -> &CreationId {
        &self.creation_id
    }

    /// The response that an earlier attempt was about to give, and may have begun to carry out.
    #[must_use]
    pub fn noted(&self) -> Option<&Envelope> {
        self.noted.as_ref()
    }

    /// Whether an earlier attempt was taken over.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }
}

impl Store {
    /// Reads the record of a request, with every write before. 1 read unit for 4 KB of a saved response. If
    /// its attempt has died, that attempt is settled first.
    pub async fn recall(
        &self,
        id: RequestId,
        fingerprint: Fingerprint,
        now: Timestamp,
    ) -> Result<Recalled, StoreError> {
        let key = Key::request(id);
        let fingerprint = fingerprint.to_string();
        let slot =
            |replaced| RequestSlot { key: key.clone(), fingerprint: Some(fingerprint.clone()), replaced };
        for _ in 0..ATTEMPTS_MAX {
            let Some(item) = self.get(key.clone()).await? else { return Ok(Recalled::New(slot(None))) };
            let record = RequestRecord::read(&item)?;
            if record.expires_at <= now.unix_seconds() {
                return Ok(Recalled::New(slot(None)));
            }
            if record.fingerprint.as_deref() != Some(&fingerprint) {
                return Ok(Recalled::Recorded(Recorded::Mismatch));
            }
            let is_dead = record.state == RequestState::Open && record.lease_until <= now.unix_microseconds();
            if is_dead && record.product_id.is_some() {
                Box::pin(self.settle_parts_of(&key, &record, now)).await?;
                continue;
            }
            if is_dead || record.state == RequestState::Void {
                let noted = match record.signature {
                    Some(_) => Some(self.read_saved(&key, item.clone(), &record).await?),
                    None => None,
                };
                let RequestRecord { attempt, state_text: state, signature, creation_id, .. } = record;
                let replaced = Replaced { attempt, state, signature, creation_id, noted, item };
                return Ok(Recalled::New(slot(Some(Box::new(replaced)))));
            }
            let recorded = Box::pin(self.recorded(&key, item, &record, Some(&fingerprint))).await?;
            return Ok(Recalled::Recorded(recorded));
        }
        Ok(Recalled::Recorded(Recorded::InProgress))
    }

    /// Undoes or hands over the parts of an attempt that has died.
    async fn settle_parts_of(
        &self,
        key: &Key,
        record: &RequestRecord,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(product_id) = record.product_id else { return Ok(()) };
        let Ok(attempt) = record.attempt.parse();
        let open = OpenRequest::new(key, product_id, record.origin, &attempt, record.lease_until);
        self.settle(&open, now).await.map(|_| ())
    }

    /// Judges a record that another attempt has left.
    pub(crate) async fn recorded(
        &self,
        key: &Key,
        item: Item,
        record: &RequestRecord,
        fingerprint: Option<&str>,
    ) -> Result<Recorded, StoreError> {
        Ok(match record.state {
            _ if record.fingerprint.as_deref() != fingerprint => Recorded::Mismatch,
            RequestState::Done => Recorded::Answered(self.read_saved(key, item, record).await?),
            RequestState::Open => Recorded::InProgress,
            RequestState::Void => Recorded::Void,
        })
    }

    async fn read_saved(
        &self,
        key: &Key,
        item: Item,
        record: &RequestRecord,
    ) -> Result<Envelope, StoreError> {
        let further = record.further_payload(key);
        let expected = further.len();
        let mut further = self.get_many(further, true).await?;
        if further.len() != expected {
            return Err(StoreError::Corrupt { record: "request", attribute: "payload" });
        }
        further.sort_by(|a, b| range_key(a).cmp(range_key(b)));
        let items: Vec<Item> = [item].into_iter().chain(further).collect();
        read_response(&items)
    }

    /// Begins a request that stores keys one by one: the attempt holds its record for as long as `lease`. It
    /// goes on where a dead attempt left off. Returns `None` if another attempt was quicker. 1 write unit for
    /// a KB.
    pub async fn begin(
        &self,
        slot: RequestSlot,
        attempt: AttemptId,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<Begun>, StoreError> {
        let fingerprint = slot.fingerprint.as_deref();
        let mut item = open_request_item(slot.key.clone(), &attempt, fingerprint, lease_end(now, lease), now);
        let dead = slot.replaced.as_ref();
        let creation_id = dead.and_then(|dead| dead.creation_id.clone());
        let creation_id = creation_id.unwrap_or_else(|| CreationId::random(self.randomness()));
        item.insert("creation_id".to_owned(), text(&creation_id));
        for (name, value) in dead.iter().flat_map(|dead| &dead.item) {
            // The response that the dead attempt has noted.
            item.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let put = slot.when_free(Write::put(item), now);
        match self.write(put).await? {
            // An earlier copy of this write, whose response was lost, may have stored it.
            Written::Refused(item) if !is_text(item.as_ref(), "attempt", attempt.as_str()) => Ok(None),
            _ => Ok(Some(Begun {
                is_resumed: dead.is_some(),
                noted: slot.replaced.and_then(|dead| dead.noted),
                key: slot.key,
                attempt,
                creation_id,
            })),
        }
    }

    /// Notes the response that the attempt is about to carry out, so that a later attempt carries out the
    /// same one. 1 write unit for a KB.
    pub async fn note_response(
        &self,
        begun: &Begun,
        response: &Envelope,
        now: Timestamp,
    ) -> Result<HeldOutcome, StoreError> {
        self.save(begun, response, RequestState::Open, now).await
    }

    /// Answers a request: from now on, and for 24 hours, its repetitions get this response. 1 write unit for
    /// a KB.
    pub async fn answer(
        &self,
        begun: &Begun,
        response: &Envelope,
        now: Timestamp,
    ) -> Result<HeldOutcome, StoreError> {
        self.save(begun, response, RequestState::Done, now).await
    }

    async fn save(
        &self,
        begun: &Begun,
        response: &Envelope,
        state: RequestState,
        now: Timestamp,
    ) -> Result<HeldOutcome, StoreError> {
        let response = SavedResponse::of(response);
        let (expires_at, seconds) = expiry(now);
        let update = response
            .attributes()
            .into_iter()
            .fold(begun.holds(Write::update(begun.key.clone())), |update, (name, value)| {
                update.set(name, value)
            })
            .set("state", text(state.as_str()))
            .set(expires_at, number(seconds));
        let further: Vec<Write> = response.further_writes(&begun.key, now).collect();
        let refused = if further.is_empty() {
            match self.write(update).await? {
                Written::Done => return Ok(HeldOutcome::Written),
                Written::Refused(item) => item,
            }
        } else {
            match self.transact([update].into_iter().chain(further)).await? {
                Transacted::Committed => return Ok(HeldOutcome::Written),
                Transacted::Refused(obstacles) => obstacles.first().and_then(|first| first.item().cloned()),
            }
        };
        // An earlier attempt at this very write, whose response was lost, may have answered the request.
        let record = refused.as_ref().map(RequestRecord::read).transpose()?;
        Ok(match record {
            Some(record) if record.is_done_by(&begun.attempt) => HeldOutcome::Written,
            _ => HeldOutcome::Lost,
        })
    }

    /// Ends the lease of an attempt that has failed, so that the next one need not wait for it. Changes
    /// nothing if the attempt does not hold the record.
    pub async fn release(&self, begun: &Begun) -> Result<(), StoreError> {
        let update = begun.holds(Write::update(begun.key.clone()));
        self.write(update.set("lease_until", number(0))).await.map(|_| ())
    }

    /// Deletes the record of an attempt that has done nothing. Changes nothing if the attempt does not hold
    /// the record.
    pub async fn withdraw(&self, begun: &Begun) -> Result<(), StoreError> {
        self.write(begun.holds(Write::delete(begun.key.clone()))).await.map(|_| ())
    }
}

/// The end of a lease that begins now, in Unix microseconds.
pub(crate) fn lease_end(now: Timestamp, lease: Duration) -> i64 {
    let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
    now.unix_microseconds().saturating_add(lease)
}

fn range_key(item: &Item) -> &str {
    item.get(SK).and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}
