//! Finding out whether a sale happened whose write got no answer. The write may have been done, or may still
//! arrive.

use std::time::Duration;

use keypool_domain::{LicenseKeyRecord, Timestamp};
use tokio::time::{Instant, timeout};

use super::sale::{Prepared, Sale, for_sale};
use crate::dynamo::{Obstacle, Write, Written};
use crate::record::{Item, Key, Origin, RequestRecord, RequestState, expiry, is_text, number, text, version};
use crate::{Backoff, SaleOutcome, Store, StoreError};

/// How long one call of a resolution may take. A lost packet then costs a quarter of a second.
const CALL_WITHIN: Duration = Duration::from_millis(250);

/// The outcome of a sale, as far as it could be learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The keys are the owner's.
    Sold,
    /// Nothing was sold, and the write cannot succeed any more.
    NotSold,
    /// DynamoDB answered neither the write nor the question.
    Unknown,
}

impl Store {
    /// Learns what became of a sale, in short calls until the deadline.
    ///
    /// - Fresh keys: the write itself is sent again. Nobody else wants these keys, so it succeeds.
    /// - A sale with parts: the record is voided. The sale needs it open.
    /// - Else: a fence raises the version of the first key. The sale needs the version that it saw.
    ///
    /// The refusal of the void or the fence brings the item back, and with it the outcome.
    pub(super) async fn resolve(
        &self,
        sale: &Sale,
        keys: &[LicenseKeyRecord],
        prepared: &Prepared,
        deadline: Instant,
    ) -> Verdict {
        let deadline = deadline.max(Instant::now() + self.timeouts.resolve_within);
        match (&sale.slot, keys.first()) {
            (Some(slot), _) if !sale.parts.is_empty() => {
                let void = void(slot.key.clone(), sale, sale.assignment.at);
                let verdict = |item: Option<&Item>| of_record(sale, item);
                self.ask(void, &slot.key, verdict, deadline).await
            }
            (_, Some(_)) if sale.origin == Origin::Generator => {
                self.send_again(sale, keys, prepared, deadline).await
            }
            (slot, Some(first)) => {
                let key = Key::license_key(&first.license_key);
                let verdict = |item: Option<&Item>| of_key(sale, first, item);
                let fence =
                    for_sale(Write::update(key.clone()), first).set("version", number(first.version + 1));
                let verdict = self.ask(fence, &key, verdict, deadline).await;
                let Some(slot) = slot.as_ref().filter(|_| verdict == Verdict::Unknown) else {
                    return verdict;
                };
                // An operator has changed the key. The record still proves that the sale happened.
                match timeout(CALL_WITHIN, self.get_once(slot.key.clone())).await {
                    Ok(Ok(item)) if of_record(sale, item.as_ref()) == Some(Verdict::Sold) => Verdict::Sold,
                    _ => Verdict::Unknown,
                }
            }
            (_, None) => Verdict::NotSold,
        }
    }

    /// Sends a write whose success proves that nothing was sold, until it is answered. Its refusal is judged
    /// by the item. So is the item itself where the write meets conflicts: an undecided transaction may be
    /// the sale.
    async fn ask(
        &self,
        decide: Write,
        key: &Key,
        judge: impl Fn(Option<&Item>) -> Option<Verdict>,
        deadline: Instant,
    ) -> Verdict {
        let mut backoff = Backoff::new();
        loop {
            match timeout(CALL_WITHIN, self.write_once(decide.clone())).await {
                Ok(Ok(Written::Done)) => return Verdict::NotSold,
                Ok(Ok(Written::Refused(item))) => return judge(item.as_ref()).unwrap_or(Verdict::Unknown),
                Ok(Err(StoreError::Contention { .. })) => {
                    let read = timeout(CALL_WITHIN, self.get_once(key.clone())).await;
                    if let Ok(Ok(item)) = read
                        && let Some(verdict) = judge(item.as_ref())
                    {
                        return verdict;
                    }
                }
                Ok(Err(StoreError::Misconfigured { .. } | StoreError::Rejected { .. })) => {
                    return Verdict::Unknown;
                }
                Ok(Err(_)) | Err(_) => {}
            }
            if Instant::now() >= deadline {
                return Verdict::Unknown;
            }
            tokio::time::sleep(backoff.next_wait(self.randomness())).await;
        }
    }

    async fn send_again(
        &self,
        sale: &Sale,
        keys: &[LicenseKeyRecord],
        prepared: &Prepared,
        deadline: Instant,
    ) -> Verdict {
        let mut backoff = Backoff::new();
        loop {
            let sent: Result<Result<Vec<Obstacle>, _>, _> = timeout(CALL_WITHIN, self.send(prepared)).await;
            if let Ok(Ok(obstacles)) = sent {
                return match self.judge(sale, keys, &obstacles).await {
                    Ok(SaleOutcome::Done) => Verdict::Sold,
                    Ok(_) => Verdict::NotSold,
                    Err(_) => Verdict::Unknown,
                };
            }
            if Instant::now() >= deadline {
                return Verdict::Unknown;
            }
            tokio::time::sleep(backoff.next_wait(self.randomness())).await;
        }
    }
}

/// Voids the record of an attempt that holds it.
pub(super) fn void(key: Key, sale: &Sale, now: Timestamp) -> Write {
    let (expires_at, seconds) = expiry(now);
    let update = sale.holds(Write::update(key)).set("state", text(RequestState::Void.as_str()));
    update.set(expires_at, number(seconds))
}

/// The outcome that the first key of a sale proves; `None` while it is as it was seen.
fn of_key(sale: &Sale, seen: &LicenseKeyRecord, item: Option<&Item>) -> Option<Verdict> {
    if is_text(item, "assignment_id", sale.assignment.id.as_str()) {
        return Some(Verdict::Sold);
    }
    match item.and_then(version)?.checked_sub(seen.version) {
        Some(0) => None,
        // One change by somebody else, or by the fence itself: the sale has not been among them.
        Some(1) => Some(Verdict::NotSold),
        // The sale may have been, before an operator released the key.
        _ => Some(Verdict::Unknown),
    }
}

/// The outcome that the record of a sale proves; `None` while the attempt holds it.
fn of_record(sale: &Sale, item: Option<&Item>) -> Option<Verdict> {
    let Some(record) = item.map(RequestRecord::read) else { return Some(Verdict::NotSold) };
    let record = record.ok()?;
    if record.is_done_by(&sale.assignment.id) {
        return Some(Verdict::Sold);
    }
    let is_held = record.state == RequestState::Open && record.attempt == sale.assignment.id.as_str();
    (!is_held).then_some(Verdict::NotSold)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keypool_domain::{
        ActivationLimit, Assignment, AttemptId, NewKey, OperatingSystemRandomness, Owner, ProductId, RowId,
        Status, Validity,
    };

    use super::*;
    use crate::record::license_key_item;

    /// The first key of a sale tells its outcome, unless it has changed more than once.
    #[test]
    fn the_first_key_tells_the_outcome_of_a_sale() {
        let at = Timestamp::from_unix_microseconds(1_732_388_528_829_115).unwrap();
        let id = AttemptId::random(&OperatingSystemRandomness);
        let assignment = Assignment { id: id.clone(), owner: Owner::default(), at };
        let sale = Sale::new(ProductId::MIN, Origin::Stock, assignment, Duration::ZERO, None);
        let new = NewKey {
            license_key: "KEY".parse().unwrap(),
            product_id: ProductId::MIN,
            activation_limit: ActivationLimit::MIN,
            validity: Validity::MIN,
            status: Status::Available,
            owner: Owner::default(),
            assigned_at: None,
            assignment_id: None,
            creation_id: None,
        };
        let seen = new.into_record(RowId::MIN, at, &OperatingSystemRandomness);
        let is = |version: u64, assignment_id: Option<&AttemptId>| {
            let key = LicenseKeyRecord { version, assignment_id: assignment_id.cloned(), ..seen.clone() };
            of_key(&sale, &seen, Some(&license_key_item(&key)))
        };
        let another = AttemptId::random(&OperatingSystemRandomness);
        assert_eq!(is(1, None), None, "not yet");
        assert_eq!(is(2, Some(&id)), Some(Verdict::Sold));
        assert_eq!(is(3, Some(&id)), Some(Verdict::Sold), "and blocked since");
        assert_eq!(is(2, None), Some(Verdict::NotSold), "the fence");
        assert_eq!(is(2, Some(&another)), Some(Verdict::NotSold), "another buyer");
        assert_eq!(is(3, None), Some(Verdict::Unknown), "it may have been sold, and released since");
    }
}
