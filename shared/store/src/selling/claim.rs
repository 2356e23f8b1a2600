use std::time::Duration;

use keypool_domain::{AssignmentId, ClaimId, CreationId, Envelope, Fingerprint, Timestamp};

use crate::dynamo::{Obstacle, Transacted};
use crate::dynamo::{Write, Written};
use crate::record::{
    ClaimRecord, Item, Key, PK, PayloadParts, SK, claim_item, number, payload_part_item, read_claim,
    read_payload, text,
};
use crate::{Store, StoreError};

/// How long a request is remembered, from its first attempt on.
const REMEMBERED_FOR_SECONDS: i64 = 24 * 60 * 60;

/// How often a claim is tried for that others change in between.
const ATTEMPTS_MAX: usize = 8;

/// One attempt at a request with an `Idempotency-Key`. It holds the claim to that request until its lease is over; then
/// a later attempt may take over, and nothing that this one still sends will count.
#[derive(Debug, Clone)]
pub struct Attempt {
    claim: ClaimId,
    id: AssignmentId,
}

/// A claim that an attempt holds.
#[derive(Debug, Clone)]
pub struct Claim {
    attempt: Attempt,
    creation_id: CreationId,
    expires_at: i64,
    planned: Option<Envelope>,
    resumed: bool,
}

/// What became of an attempt to claim a request.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// The attempt holds the claim.
    Claimed(Claim),
    /// The request was answered before, so.
    Answered(Envelope),
    /// Another attempt holds the claim.
    InFlight,
    /// The request that was made under this key asked for something else.
    Mismatch,
}

impl Attempt {
    /// A fresh attempt at a request.
    #[must_use]
    pub fn new(claim: ClaimId, id: AssignmentId) -> Self {
        Self { claim, id }
    }

    /// A change of the claim, as long as this attempt holds it and it is not finished.
    fn change(&self) -> Write {
        const HELD: &str = "#state = :started AND #attempt = :mine";
        let values = [(":started", text("started")), (":mine", text(&self.id))];
        Write::update(Key::claim(self.claim)).when(HELD, values)
    }
}

impl Claim {
    /// What to mark keys with that are stored one by one, so that a later attempt recognises them.
    #[must_use]
    pub fn creation_id(&self) -> &CreationId {
        &self.creation_id
    }

    /// What an earlier attempt was about to answer, and may have begun to do.
    #[must_use]
    pub fn planned(&self) -> Option<&Envelope> {
        self.planned.as_ref()
    }

    /// Whether an earlier attempt was taken over.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// What orders made under this claim are marked with.
    pub(crate) fn mark(&self) -> String {
        self.attempt.claim.to_string()
    }
}

/// A claim, and the response with which it is finished.
#[derive(Debug, Clone, Copy)]
pub struct Recording<'a> {
    /// The claim.
    pub claim: &'a Claim,
    /// The response.
    pub envelope: &'a Envelope,
}

impl Recording<'_> {
    /// The parts of a transaction that finish the claim.
    pub(crate) fn writes(self) -> Vec<Write> {
        let parts = PayloadParts::of(self.envelope);
        self.parts("done", parts)
    }

    /// The change of the claim that holds the response, or its first part.
    fn change(self, state: &'static str, parts: &PayloadParts) -> Write {
        self.claim
            .attempt
            .change()
            .set("state", text(state))
            .set("payload", parts.first())
            .set("payload_parts", number(parts.count()))
            .set("private_key_used", text(self.envelope.private_key_used().as_str()))
            .set("signature", text(self.envelope.signature()))
    }

    fn parts(self, state: &'static str, parts: PayloadParts) -> Vec<Write> {
        let Claim { attempt, expires_at, .. } = self.claim;
        let mut writes = vec![self.change(state, &parts)];
        for (part, bytes) in parts.others() {
            writes.push(Write::put(payload_part_item(attempt.claim, part, bytes, *expires_at)));
        }
        writes
    }

    /// What the obstacles of [`Recording::writes`] tell: nothing; that this attempt has finished the claim before
    /// (`true`), the response to that was lost; or that it holds it no more (`false`).
    pub(crate) fn obstructed(self, obstacles: &[Obstacle]) -> Option<bool> {
        obstacles
            .iter()
            .find(|obstacle| obstacle.is_condition())
            .map(|obstacle| self.is_finished(obstacle.item()))
    }

    fn is_finished(self, item: Option<&Item>) -> bool {
        let record = item.and_then(|item| read_claim(item).ok());
        record.is_some_and(|record| record.is_done && record.attempt == self.claim.attempt.id.as_str())
    }
}

/// Whether a claim was still held when it was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It was, and what was to be written is.
    Yes,
    /// Another attempt has taken over, and nothing was written.
    No,
}

impl Store {
    /// Claims a request for `attempt`, for as long as `lease`, or says what there is of it. 1 write unit; 2 when
    /// another attempt's lease is over.
    pub async fn claim(
        &self,
        attempt: &Attempt,
        fingerprint: Fingerprint,
        now: Timestamp,
        lease: Duration,
    ) -> Result<ClaimOutcome, StoreError> {
        let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
        let fresh = ClaimRecord {
            fingerprint: fingerprint.to_string(),
            attempt: attempt.id.to_string(),
            creation_id: CreationId::random(self.randomness()),
            is_done: false,
            lease_until: now.unix_microseconds().saturating_add(lease),
            expires_at: now.unix_seconds() + REMEMBERED_FOR_SECONDS,
            payload_parts: 0,
            signature: None,
        };
        let item = claim_item(attempt.claim, fingerprint, &fresh);
        for _ in 0..ATTEMPTS_MAX {
            let Some(found) = self.put_claim(item.clone(), now).await? else {
                return Ok(ClaimOutcome::Claimed(held(attempt, fresh, None, false)));
            };
            let record = read_claim(&found)?;
            if record.fingerprint != fresh.fingerprint {
                return Ok(ClaimOutcome::Mismatch);
            }
            if record.is_done {
                return Ok(ClaimOutcome::Answered(self.read_remembered(attempt, found, &record).await?));
            }
            let is_mine = record.attempt == fresh.attempt;
            if !is_mine && record.lease_until > now.unix_microseconds() {
                return Ok(ClaimOutcome::InFlight);
            }
            if is_mine || self.take_over(attempt, &record, fresh.lease_until).await? == Held::Yes {
                let planned = match record.payload_parts {
                    0 => None,
                    _ => Some(self.read_remembered(attempt, found, &record).await?),
                };
                let resumed = record.creation_id != fresh.creation_id;
                return Ok(ClaimOutcome::Claimed(held(attempt, record, planned, resumed)));
            }
        }
        Ok(ClaimOutcome::InFlight)
    }

    /// Stores a claim if there is none, or one that has expired: DynamoDB deletes those when it finds the time.
    /// Otherwise says what there is.
    async fn put_claim(&self, item: Item, now: Timestamp) -> Result<Option<Item>, StoreError> {
        let is_free = "attribute_not_exists(#pk) OR #expires_at <= :now";
        let put = Write::put(item).when(is_free, [(":now", number(now.unix_seconds()))]);
        match self.write(put).await? {
            Written::Done => Ok(None),
            Written::Refused(Some(item)) => Ok(Some(item)),
            Written::Refused(None) => Err(StoreError::Corrupt { record: "idempotency", attribute: PK }),
        }
    }

    async fn take_over(
        &self,
        attempt: &Attempt,
        record: &ClaimRecord,
        lease_until: i64,
    ) -> Result<Held, StoreError> {
        // With the plan that was seen, too: one that is noted after the claim was read, and before it is taken over, must
        // not be missed.
        const UNPLANNED: &str = "#state = :started AND (#attempt = :mine \
            OR (#attempt = :seen AND attribute_not_exists(#signature)))";
        const PLANNED: &str = "#state = :started AND (#attempt = :mine \
            OR (#attempt = :seen AND #signature = :signature))";
        let (started, seen, mine) = (text("started"), text(&record.attempt), text(&attempt.id));
        let key = Key::claim(attempt.claim);
        let values = [(":started", started), (":seen", seen), (":mine", mine.clone())];
        let change = match &record.signature {
            None => Write::update(key).when(UNPLANNED, values),
            Some(signature) => {
                let [started, seen, mine] = values;
                Write::update(key).when(PLANNED, [started, seen, mine, (":signature", text(signature))])
            }
        };
        let change = change.set("attempt", mine).set("lease_until", number(lease_until));
        let changed = self.write(change).await?;
        Ok(if matches!(changed, Written::Done) { Held::Yes } else { Held::No })
    }

    async fn read_remembered(
        &self,
        attempt: &Attempt,
        found: Item,
        record: &ClaimRecord,
    ) -> Result<Envelope, StoreError> {
        let others = (1..record.payload_parts).map(|part| Key::payload_part(attempt.claim, part).into_item());
        let mut others = self.get_many(others.collect(), true).await?;
        if others.len() + 1 != record.payload_parts {
            return Err(StoreError::Corrupt { record: "idempotency", attribute: "payload" });
        }
        others.sort_by(|a, b| range_key(a).cmp(range_key(b)));
        let items: Vec<Item> = [found].into_iter().chain(others).collect();
        read_payload(&items)
    }

    /// Writes into a claim what is about to be done and answered, so that a later attempt does the same and not
    /// something else. 1 write unit for a KB.
    pub async fn plan(&self, recording: Recording<'_>) -> Result<Held, StoreError> {
        self.record(recording, "started").await
    }

    /// Finishes a claim: from now on the response is what its request is answered with. 1 write unit for a KB.
    pub async fn finish(&self, recording: Recording<'_>) -> Result<Held, StoreError> {
        self.record(recording, "done").await
    }

    async fn record(&self, recording: Recording<'_>, state: &'static str) -> Result<Held, StoreError> {
        let parts = PayloadParts::of(recording.envelope);
        if parts.count() == 1 {
            return Ok(match self.write(recording.change(state, &parts)).await? {
                Written::Refused(item) if !recording.is_finished(item.as_ref()) => Held::No,
                _ => Held::Yes,
            });
        }
        Ok(match self.transact(recording.parts(state, parts)).await? {
            Transacted::Refused(obstacles) if recording.obstructed(&obstacles) != Some(true) => Held::No,
            _ => Held::Yes,
        })
    }

    /// Lets go of a claim whose attempt has failed: the next one need not wait for its lease to be over. If it is not
    /// held any more, nothing happens.
    pub async fn release(&self, attempt: &Attempt) -> Result<(), StoreError> {
        self.write(attempt.change().set("lease_until", number(0))).await.map(|_| ())
    }

    /// Takes a claim back whose attempt has done nothing: as if the request had not been made. If it is not held any
    /// more, nothing happens.
    pub async fn withdraw(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let delete = Write::delete(Key::claim(attempt.claim));
        let held = [(":started", text("started")), (":mine", text(&attempt.id))];
        self.write(delete.when("#state = :started AND #attempt = :mine", held)).await.map(|_| ())
    }
}

fn range_key(item: &Item) -> &str {
    item.get(SK).and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}

fn held(attempt: &Attempt, record: ClaimRecord, planned: Option<Envelope>, resumed: bool) -> Claim {
    let (creation_id, expires_at) = (record.creation_id, record.expires_at);
    Claim { attempt: attempt.clone(), creation_id, expires_at, planned, resumed }
}
