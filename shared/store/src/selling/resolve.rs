//! Learns the outcome of a sale whose write got no answer. The write may have succeeded, or may still arrive.

use std::time::Duration;

use keypool_aws::AwsErrorKind;
use keypool_domain::LicenseKeyRecord;
use tokio::time::{Instant, timeout};

use super::assign::when_for_sale;
use super::sale::Sale;
use crate::dynamo::{Obstacle, Prepared, Written};
use crate::record::{Item, Key, RequestRecord, RequestState, number, number_of};
use crate::{Backoff, Store};

/// The longest time of one call of a resolution. A lost packet then costs a quarter of a second.
const CALL_WITHIN: Duration = Duration::from_millis(250);

/// The outcome of a sale, as far as it could be learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The keys belong to the owner.
    Sold,
    /// Nothing was sold, and the write cannot succeed any more.
    NotSold,
    /// DynamoDB answered neither the write nor the question.
    Unknown,
}

impl Store {
    /// Learns the outcome of a sale, in short calls until the deadline.
    ///
    /// - A sale with parts: it voids the record. The sale needs an open record.
    /// - Fresh keys: it sends the write itself again. No other sale wants these keys, so it succeeds.
    /// - Else: a fence raises the version of the first key. The sale needs the version that it read.
    ///
    /// A refused write returns the item, which shows the outcome.
    pub(super) async fn resolve(
        &self,
        sale: &Sale,
        keys: &[LicenseKeyRecord],
        sent: &Prepared,
        deadline: Instant,
    ) -> Verdict {
        let deadline = deadline.max(Instant::now() + self.timeouts.resolve_within);
        if sale.has_parts() {
            let void = Prepared::One(sale.open.void(sale.assignment.at));
            let judge = |item: Option<&Item>| of_record(sale, item);
            return self.ask(&void, Verdict::NotSold, &sale.slot.key, judge, deadline).await;
        }
        let Some(first) = keys.first() else { return Verdict::NotSold };
        let key = Key::license_key(&first.license_key);
        let judge = |item: Option<&Item>| of_key(sale, first, item);
        if first.version == 0 {
            return self.ask(sent, Verdict::Sold, &key, judge, deadline).await;
        }
        let fence = Prepared::One(when_for_sale(first).set("version", number(first.version + 1)));
        let verdict = self.ask(&fence, Verdict::NotSold, &key, judge, deadline).await;
        if verdict != Verdict::Unknown || sale.slot.fingerprint.is_none() {
            return verdict;
        }
        // An operator may have changed the key. The record may still prove the sale.
        match timeout(CALL_WITHIN, self.get_once(sale.slot.key.clone())).await {
            Ok(Ok(Some(item))) if sale.is_proven_by(&item) => Verdict::Sold,
            _ => Verdict::Unknown,
        }
    }

    /// Sends a question until it is answered: a write that succeeds only if the outcome is `if_done`. `judge`
    /// reads the outcome from the item of a refusal. If the question conflicts, an undecided transaction may
    /// be the sale, so `judge` reads the item at `key`.
    async fn ask(
        &self,
        question: &Prepared,
        if_done: Verdict,
        key: &Key,
        judge: impl Fn(Option<&Item>) -> Option<Verdict>,
        deadline: Instant,
    ) -> Verdict {
        let mut backoff = Backoff::new();
        loop {
            let verdict = match timeout(CALL_WITHIN, self.send(question)).await {
                Ok(Ok(Written::Done)) => Some(if_done),
                Ok(Ok(Written::Refused(obstacles))) => {
                    Some(judge(obstacles.iter().find_map(Obstacle::item)).unwrap_or(Verdict::Unknown))
                }
                Ok(Err(error)) => match error.kind() {
                    Some(AwsErrorKind::Contention) => {
                        let read = timeout(CALL_WITHIN, self.get_once(key.clone())).await;
                        read.ok().and_then(Result::ok).and_then(|item| judge(item.as_ref()))
                    }
                    Some(AwsErrorKind::Misconfigured | AwsErrorKind::Rejected) => Some(Verdict::Unknown),
                    _ => None,
                },
                Err(_) => None,
            };
            match verdict {
                Some(verdict) => return verdict,
                None if Instant::now() >= deadline => return Verdict::Unknown,
                None => backoff.wait(self.randomness()).await,
            }
        }
    }
}

/// The outcome that the first key of a sale proves; `None` while the key is unchanged.
fn of_key(sale: &Sale, seen: &LicenseKeyRecord, item: Option<&Item>) -> Option<Verdict> {
    let item = item?;
    if sale.is_proven_by(item) {
        return Some(Verdict::Sold);
    }
    if seen.version == 0 {
        // Only this sale stores a key with this numeric id.
        let is_stored = item.get("id") == Some(&number(seen.id));
        return Some(if is_stored { Verdict::Sold } else { Verdict::NotSold });
    }
    match number_of::<u64>(item, "version")?.checked_sub(seen.version) {
        Some(0) => None,
        // The one change was made by another writer or the fence, so it was not the sale.
        Some(1) => Some(Verdict::NotSold),
        // The sale may have happened before an operator released the key.
        _ => Some(Verdict::Unknown),
    }
}

/// The outcome that the record of a sale proves; `None` while the attempt holds it.
fn of_record(sale: &Sale, item: Option<&Item>) -> Option<Verdict> {
    let Some(item) = item else { return Some(Verdict::NotSold) };
    if sale.is_proven_by(item) {
        return Some(Verdict::Sold);
    }
    let record = RequestRecord::read(item.clone()).ok()?;
    let is_held = record.state == RequestState::Open && record.attempt == sale.assignment.id;
    (!is_held).then_some(Verdict::NotSold)
}

#[cfg(test)]
mod tests {
    use keypool_domain::{
        ActivationLimit, Assignment, AttemptId, NewKey, OperatingSystemRandomness, Owner, ProductId, RowId,
        Status, Timestamp, Validity,
    };

    use super::*;
    use crate::record::Record as _;

    /// The first key of a sale shows its outcome, unless it has changed more than once.
    #[test]
    fn the_first_key_shows_the_outcome_of_a_sale() {
        let at = Timestamp::from_unix_microseconds(1_732_388_528_829_115).unwrap();
        let id = AttemptId::random(&OperatingSystemRandomness);
        let assignment = Assignment { id: id.clone(), owner: Owner::default(), order: None, at };
        let sale = Sale::new(ProductId::MIN, assignment, Duration::ZERO, None);
        let new = NewKey {
            license_key: "KEY".parse().unwrap(),
            product_id: ProductId::MIN,
            activation_limit: ActivationLimit::MIN,
            validity: Validity::MIN,
            status: Status::Available,
            owner: Owner::default(),
            assigned_at: None,
            order: None,
            assignment_id: None,
            creation_id: None,
        };
        let seen = new.into_record(RowId::MIN, at, &OperatingSystemRandomness);
        let is = |version: u64, assignment_id: Option<&AttemptId>| {
            let key = LicenseKeyRecord { version, assignment_id: assignment_id.cloned(), ..seen.clone() };
            of_key(&sale, &seen, Some(&key.item()))
        };
        let another = AttemptId::random(&OperatingSystemRandomness);
        assert_eq!(is(1, None), None, "not yet");
        assert_eq!(is(2, Some(&id)), Some(Verdict::Sold));
        assert_eq!(is(3, Some(&id)), Some(Verdict::Sold), "and blocked since");
        assert_eq!(is(2, None), Some(Verdict::NotSold), "the fence");
        assert_eq!(is(2, Some(&another)), Some(Verdict::NotSold), "another buyer");
        assert_eq!(is(3, None), Some(Verdict::Unknown), "it may have been sold, and released since");
        let fresh = LicenseKeyRecord { version: 0, ..seen.clone() };
        let stored = |id| Some(LicenseKeyRecord { id, version: 3, ..seen.clone() }.item());
        assert_eq!(of_key(&sale, &fresh, stored(RowId::MIN).as_ref()), Some(Verdict::Sold), "and released");
        assert_eq!(of_key(&sale, &fresh, stored(RowId::MAX).as_ref()), Some(Verdict::NotSold), "another");
    }
}
