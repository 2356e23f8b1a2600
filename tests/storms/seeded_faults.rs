use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::FaultRates;
use crate::faults::{mix, number};
use crate::{Fault, FaultPlan, ObservedCall};

/// Every rare fault of AWS, all the time. The fault of an environment's n-th call of an operation depends
/// only on the seed, the environment, the operation and n. So another order of threads changes nothing, and
/// the same seed repeats the storm.
#[derive(Debug)]
pub struct SeededFaults {
    seed: u64,
    rates: FaultRates,
    counts: Mutex<BTreeMap<String, u64>>,
}

/// The number of calls for which a row of faults is decided.
const BLOCK: u64 = 16;

/// The kinds of faults, each with a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Delayed,
    RequestLost,
    ResponseLost,
    Stalled,
    Postponed,
    Throttled,
    Conflict,
    InternalError,
    Unread,
    Stale,
    MessageForgotten,
    MessageDoubled,
    Death,
}

impl Kind {
    /// The kinds that come in rows.
    const ROWS: [Self; 6] = [
        Self::RequestLost,
        Self::ResponseLost,
        Self::Postponed,
        Self::Throttled,
        Self::Conflict,
        Self::InternalError,
    ];

    /// True if the fault can happen to a call.
    fn concerns(self, seen: &ObservedCall) -> bool {
        let writes = ObservedCall::is_write(&seen.operation);
        match self {
            Self::Postponed => writes || ObservedCall::is_of_queue(&seen.operation),
            Self::Conflict => writes && seen.operation != "BatchWriteItem",
            Self::Unread => seen.operation == "BatchGetItem",
            Self::Stale => seen.may_be_stale,
            Self::MessageForgotten | Self::MessageDoubled => seen.operation == "SendMessage",
            _ => true,
        }
    }
}

impl SeededFaults {
    /// Makes the storm of this seed.
    #[must_use]
    pub fn new(seed: u64, rates: FaultRates) -> Self {
        Self { seed, rates, counts: Mutex::default() }
    }

    /// Returns the number of faults so far, by kind.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the offset of an environment's clock, in seconds.
    #[must_use]
    pub fn clock_skew_seconds(&self, environment: u32) -> i64 {
        let most = u64::from(self.rates.clock_skew_seconds);
        let skew = mix(&[self.seed, 3, u64::from(environment)]) % (2 * most + 1);
        i64::try_from(skew).unwrap_or(0) - i64::from(self.rates.clock_skew_seconds)
    }

    fn kind(&self, seen: &ObservedCall) -> Option<Kind> {
        let call = [self.seed, u64::from(seen.environment), number(&seen.operation)];
        let row = mix(&[call.as_slice(), &[1, seen.nth / BLOCK]].concat());
        if row % 10_000 < u64::from(self.rates.rows) {
            let kind = Kind::ROWS[usize::try_from(mix(&[row, 1]) % 6).unwrap_or(0)];
            let length = [2, 3, 4, 6, 9, BLOCK][usize::try_from(mix(&[row, 2]) % 6).unwrap_or(0)];
            if seen.nth % BLOCK < length && kind.concerns(seen) {
                return Some(kind);
            }
        }
        let rates = &self.rates;
        let mut left = mix(&[call.as_slice(), &[2, seen.nth]].concat()) % 10_000;
        [
            (Kind::Delayed, rates.delayed),
            (Kind::RequestLost, rates.request_lost),
            (Kind::ResponseLost, rates.response_lost),
            (Kind::Stalled, rates.stalled),
            (Kind::Postponed, rates.postponed),
            (Kind::Throttled, rates.throttled),
            (Kind::Conflict, rates.conflicts),
            (Kind::InternalError, rates.internal_errors),
            (Kind::Unread, rates.unread),
            (Kind::Stale, rates.stale),
            (Kind::MessageForgotten, rates.messages_forgotten),
            (Kind::MessageDoubled, rates.messages_doubled),
            (Kind::Death, rates.deaths),
        ]
        .into_iter()
        .filter(|(kind, _)| kind.concerns(seen))
        .find(|(_, rate)| match left.checked_sub(u64::from(*rate)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
        .map(|(kind, _)| kind)
    }
}

impl FaultPlan for SeededFaults {
    fn fault(&self, seen: &ObservedCall) -> Fault {
        let Some(kind) = self.kind(seen) else { return Fault::Pass };
        let roll = mix(&[self.seed, u64::from(seen.environment), number(&seen.operation), seen.nth, 4]);
        let one_of = |faults: &[Fault]| faults[usize::try_from(roll).unwrap_or(0) % faults.len()].clone();
        let at = usize::try_from(roll >> 32).unwrap_or(0);
        let cancel = |reason| Fault::Cancel { reason, at };
        let (is_kms, is_transaction) = (seen.operation == "Sign", seen.operation == "TransactWriteItems");
        let is_queue = ObservedCall::is_of_queue(&seen.operation);
        match kind {
            Kind::Delayed => Fault::Delay(Duration::from_millis(roll % 30)),
            Kind::RequestLost => Fault::LoseRequest,
            Kind::ResponseLost => Fault::LoseResponse,
            Kind::Stalled => Fault::Stall,
            Kind::Postponed => Fault::PostponeFor(1 + roll % 24),
            Kind::Throttled if is_kms => Fault::error("ThrottlingException"),
            Kind::Throttled if is_queue => Fault::error("RequestThrottled"),
            Kind::Throttled if is_transaction => one_of(&[
                cancel("ThrottlingError"),
                cancel("ProvisionedThroughputExceeded"),
                Fault::error("ProvisionedThroughputExceededException"),
                Fault::error("ThrottlingException"),
                Fault::error("RequestLimitExceeded"),
            ]),
            Kind::Throttled => one_of(&[
                Fault::error("ProvisionedThroughputExceededException"),
                Fault::error("ThrottlingException"),
                Fault::error("RequestLimitExceeded"),
            ]),
            Kind::Conflict if is_transaction => one_of(&[
                cancel("TransactionConflict"),
                cancel("TransactionConflict"),
                Fault::error("TransactionInProgressException"),
            ]),
            Kind::Conflict => Fault::error("TransactionConflictException"),
            Kind::InternalError if is_kms => {
                one_of(&[Fault::error("KMSInternalException"), Fault::error("DependencyTimeoutException")])
            }
            Kind::InternalError if is_queue => Fault::error("ServiceUnavailable"),
            Kind::InternalError => {
                one_of(&[Fault::error("InternalServerError"), Fault::error("ServiceUnavailable")])
            }
            Kind::Unread => one_of(&[Fault::LeaveUnread, Fault::LeaveHalfUnread]),
            Kind::Stale => Fault::Stale(roll),
            Kind::MessageForgotten => Fault::Forget,
            Kind::MessageDoubled => Fault::Double,
            Kind::Death => {
                one_of(&[Fault::DieBefore, Fault::DieAfter, Fault::DieAndPostpone(Some(1 + roll % 24))])
            }
        }
    }

    fn count(&self, seen: &ObservedCall, fault: &Fault) {
        let service = match seen.operation.as_str() {
            "Sign" => "KMS",
            operation if ObservedCall::is_of_queue(operation) => "SQS",
            _ => "DynamoDB",
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(format!("{service}: {}", fault.name())).or_default() += 1;
    }

    fn stale_reads_max(&self) -> Option<u64> {
        (self.rates.stale > 0).then_some(self.rates.stale_reads_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(environment: u32, operation: &str, nth: u64) -> ObservedCall {
        ObservedCall { environment, operation: operation.to_owned(), nth, may_be_stale: operation == "Query" }
    }

    #[test]
    fn the_same_seed_repeats_the_storm() {
        let faults = |seed| {
            let storm = SeededFaults::new(seed, FaultRates::STORM);
            (0..2_000).map(|n| storm.fault(&seen(7, "UpdateItem", n))).collect::<Vec<_>>()
        };
        assert_eq!(faults(1), faults(1));
        assert_ne!(faults(1), faults(2));
    }

    #[test]
    fn faults_happen_at_their_rates() {
        let rates = FaultRates { response_lost: 1_000, stale: 2_000, ..FaultRates::CALM };
        let storm = SeededFaults::new(1, rates);
        let count = |operation, fault: fn(&Fault) -> bool| {
            (0..10_000).filter(|n| fault(&storm.fault(&seen(1, operation, *n)))).count()
        };
        assert!((900..1_100).contains(&count("GetItem", |fault| *fault == Fault::LoseResponse)));
        assert!((1_850..2_150).contains(&count("Query", |fault| matches!(fault, Fault::Stale(_)))));
        assert_eq!(count("GetItem", |fault| !matches!(fault, Fault::LoseResponse | Fault::Pass)), 0);
    }
}
