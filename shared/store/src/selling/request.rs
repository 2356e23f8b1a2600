//! The record of a request with an `Idempotency-Key`: reading it before a sale, and keeping it around the writes of
//! `create-license-keys` and `generate`.

use std::time::Duration;

use keypool_domain::{AttemptId, CreationId, Envelope, Fingerprint, RequestId, Timestamp};

use crate::dynamo::{Transacted, Write, Written};
use crate::record::{
    Item, Key, OpenRequest, RequestRecord, RequestState, SK, SavedResponse, expiry, number,
    open_request_item, read_response, text,
};
use crate::{Store, StoreError};

/// How often an attempt begins again because others change the record in between.
const ATTEMPTS_MAX: usize = 8;

/// A record that a sale may write: there is none, it has expired, or it is void as it was read.
#[derive(Debug, Clone)]
pub struct RequestSlot {
    pub(crate) key: Key,
    /// The hash of the request's parameters; `None` for a large order without an `Idempotency-Key`, whose response
    /// nobody asks for again.
    pub(crate) fingerprint: Option<String>,
    replaced: Option<Replaced>,
}

/// A record that a sale replaces, as it was read.
#[derive(Debug, Clone)]
struct Replaced {
    attempt: String,
    state: String,
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

/// An attempt at a request that keeps its record open while it writes key by key.
#[derive(Debug, Clone)]
pub struct Attempt {
    key: Key,
    id: AttemptId,
}

/// A request that an attempt has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    attempt: Attempt,
    creation_id: CreationId,
    noted: Option<Envelope>,
    is_resumed: bool,
}

/// The result of beginning a request.
#[derive(Debug)]
pub enum BeginOutcome {
    /// The attempt holds the record.
    Begun(Begun),
    /// Another attempt has left a record.
    Recorded(Recorded),
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
        let state = RequestState::Void.as_str().to_owned();
        Self { replaced: Some(Replaced { attempt: attempt.to_string(), state }), ..self }
    }

    /// Makes `put` depend on the record being as it was read.
    pub(crate) fn when_free(&self, put: Write, now: Timestamp) -> Write {
        const IS_ABSENT: &str = "attribute_not_exists(#pk) OR #expires_at <= :now";
        const IS_REPLACED: &str = "attribute_not_exists(#pk) OR #expires_at <= :now \
            OR (#attempt = :attempt AND #state = :state)";
        let now = (":now", number(now.unix_seconds()));
        match &self.replaced {
            None => put.when(IS_ABSENT, [now]),
            Some(Replaced { attempt, state }) => {
                put.when(IS_REPLACED, [now, (":attempt", text(attempt)), (":state", text(state))])
            }
        }
    }
}

impl Attempt {
    /// A fresh attempt at the request `id`.
    #[must_use]
    pub fn new(id: RequestId, attempt: AttemptId) -> Self {
        Self { key: Key::request(id), id: attempt }
    }

    /// The condition that this attempt holds the record. (The first version's word for an open record is accepted.)
    fn holds(&self, write: Write) -> Write {
        const HELD: &str = "#state IN (:open, :started) AND #attempt = :mine";
        let open = text(RequestState::Open.as_str());
        write.when(HELD, [(":open", open), (":started", text("started")), (":mine", text(&self.id))])
    }
}

impl Begun {
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
    /// Reads the record of a request, with every write before. 1 read unit for 4 KB of a saved response. If its attempt
    /// has died, that attempt is settled first.
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
            let is_dead = record.state == RequestState::Open && record.lease_until <= now.unix_microseconds();
            if is_dead && record.product_id.is_some() {
                Box::pin(self.settle_parts_of(&key, &record, now)).await?;
                continue;
            }
            if is_dead || record.state == RequestState::Void {
                let replaced = Replaced { attempt: record.attempt, state: record.state_text };
                return Ok(Recalled::New(slot(Some(replaced))));
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

    /// Begins a request that stores keys one by one: `attempt` holds its record for as long as `lease`. 1 write unit; 2
    /// if it takes over from an attempt whose lease is over.
    pub async fn begin(
        &self,
        attempt: &Attempt,
        fingerprint: Fingerprint,
        now: Timestamp,
        lease: Duration,
    ) -> Result<BeginOutcome, StoreError> {
        let fingerprint = fingerprint.to_string();
        let lease_until = lease_end(now, lease);
        let fresh = CreationId::random(self.randomness());
        let mut item =
            open_request_item(attempt.key.clone(), &attempt.id, Some(&fingerprint), lease_until, now);
        item.insert("creation_id".to_owned(), text(&fresh));
        let slot = RequestSlot { key: attempt.key.clone(), fingerprint: None, replaced: None };
        for _ in 0..ATTEMPTS_MAX {
            let put = slot.when_free(Write::put(item.clone()), now);
            let found = match self.write(put).await? {
                Written::Done => return Ok(begun(attempt, fresh, None, false)),
                Written::Refused(found) => found.unwrap_or_default(),
            };
            let record = RequestRecord::read(&found)?;
            let is_mine = record.attempt == attempt.id.as_str();
            let is_free = is_mine || record.lease_until <= now.unix_microseconds();
            let is_same = record.fingerprint.as_deref() == Some(&fingerprint);
            if !is_same || !is_free || record.state != RequestState::Open {
                let recorded = self.recorded(&attempt.key, found, &record, Some(&fingerprint)).await?;
                return Ok(BeginOutcome::Recorded(recorded));
            }
            if is_mine || self.take_over(attempt, &record, lease_until, now).await? == HeldOutcome::Written {
                let noted = match record.signature {
                    None => None,
                    Some(_) => Some(self.read_saved(&attempt.key, found, &record).await?),
                };
                let corrupt = StoreError::Corrupt { record: "request", attribute: "creation_id" };
                let creation_id = record.creation_id.ok_or(corrupt)?;
                let is_resumed = creation_id != fresh;
                return Ok(begun(attempt, creation_id, noted, is_resumed));
            }
        }
        Ok(BeginOutcome::Recorded(Recorded::InProgress))
    }

    /// Takes a record over as it was read. A response that its attempt noted in between makes the write fail.
    async fn take_over(
        &self,
        attempt: &Attempt,
        record: &RequestRecord,
        lease_until: i64,
        now: Timestamp,
    ) -> Result<HeldOutcome, StoreError> {
        const UNNOTED: &str = "#state = :state AND (#attempt = :mine \
            OR (#attempt = :seen AND attribute_not_exists(#signature)))";
        const NOTED: &str = "#state = :state AND (#attempt = :mine \
            OR (#attempt = :seen AND #signature = :signature))";
        let state = (":state", text(&record.state_text));
        let (mine, seen) = ((":mine", text(&attempt.id)), (":seen", text(&record.attempt)));
        let update = Write::update(attempt.key.clone());
        let update = match &record.signature {
            None => update.when(UNNOTED, [state, mine, seen]),
            Some(signature) => update.when(NOTED, [state, mine, seen, (":signature", text(signature))]),
        };
        let (expires_at, seconds) = expiry(now);
        let update = update
            .set("attempt", text(&attempt.id))
            .set("lease_until", number(lease_until))
            .set(expires_at, number(seconds));
        Ok(match self.write(update).await? {
            Written::Done => HeldOutcome::Written,
            Written::Refused(_) => HeldOutcome::Lost,
        })
    }

    /// Notes the response that the attempt is about to carry out, so that a later attempt carries out the same one. 1
    /// write unit for a KB.
    pub async fn note_response(
        &self,
        begun: &Begun,
        response: &Envelope,
        now: Timestamp,
    ) -> Result<HeldOutcome, StoreError> {
        self.save(begun, response, RequestState::Open, now).await
    }

    /// Answers a request: from now on, and for 24 hours, its repetitions get this response. 1 write unit for a KB.
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
        let Begun { attempt, .. } = begun;
        let response = SavedResponse::of(response);
        let (expires_at, seconds) = expiry(now);
        let update = response
            .attributes()
            .into_iter()
            .fold(attempt.holds(Write::update(attempt.key.clone())), |update, (name, value)| {
                update.set(name, value)
            })
            .set("state", text(state.as_str()))
            .set(expires_at, number(seconds));
        let further: Vec<Write> = response.further_writes(&attempt.key, now).collect();
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
            Some(record) if record.is_done_by(&attempt.id) => HeldOutcome::Written,
            _ => HeldOutcome::Lost,
        })
    }

    /// Ends the lease of an attempt that has failed, so that the next one need not wait for it. Changes nothing if the
    /// attempt does not hold the record.
    pub async fn release(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let update = attempt.holds(Write::update(attempt.key.clone()));
        self.write(update.set("lease_until", number(0))).await.map(|_| ())
    }

    /// Deletes the record of an attempt that has done nothing. Changes nothing if the attempt does not hold the record.
    pub async fn withdraw(&self, attempt: &Attempt) -> Result<(), StoreError> {
        self.write(attempt.holds(Write::delete(attempt.key.clone()))).await.map(|_| ())
    }
}

fn begun(
    attempt: &Attempt,
    creation_id: CreationId,
    noted: Option<Envelope>,
    is_resumed: bool,
) -> BeginOutcome {
    BeginOutcome::Begun(Begun { attempt: attempt.clone(), creation_id, noted, is_resumed })
}

/// The end of a lease that begins now, in Unix microseconds.
pub(crate) fn lease_end(now: Timestamp, lease: Duration) -> i64 {
    let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
    now.unix_microseconds().saturating_add(lease)
}

fn range_key(item: &Item) -> &str {
    item.get(SK).and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}
