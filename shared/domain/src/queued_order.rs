use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::requests::RandomAssignLicenseKeys;
use crate::{ApiKeyHash, Randomness, RequestId, Timestamp, WebhookUrl};

/// A shop's name for one of its orders: 1 to 255 characters, accepted unchanged.
#[derive(Clone, PartialEq, Eq)]
pub struct OrderReference(String);

impl OrderReference {
    /// The most characters that it may have.
    pub const CHARACTERS_MAX: usize = 255;

    /// The text as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OrderReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrderReference(…)")
    }
}

/// A text that is not an order reference.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {} characters long", OrderReference::CHARACTERS_MAX)]
pub struct InvalidOrderReference;

impl FromStr for OrderReference {
    type Err = InvalidOrderReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.chars().count() {
            1..=Self::CHARACTERS_MAX => Ok(Self(text.to_owned())),
            _ => Err(InvalidOrderReference),
        }
    }
}

/// The id of a queued order: a UUID of version 7, so that ids sort by the time of the order. It is also the
/// `webhook-id` of the callback.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(uuid::Uuid);

impl OrderId {
    /// A fresh id for an order that is accepted at `now`.
    pub fn new(now: Timestamp, randomness: &(impl Randomness + ?Sized)) -> Self {
        let mut random = [0; 10];
        randomness.fill(&mut random);
        let milliseconds = u64::try_from(now.unix_microseconds() / 1_000).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid())
    }

    /// The id of the request record that decides the order. The order is filled once, because a record is
    /// finished once.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        RequestId::of_order(self)
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is not the id of an order.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a UUID such as 019b2c1e-7a3f-7c55-9d0e-2f1a6b8c4d3e")]
pub struct InvalidOrderId;

impl FromStr for OrderId {
    type Err = InvalidOrderId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| InvalidOrderId)
    }
}

/// The state of a queued order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderState {
    /// It is accepted, and no worker has tried to fill it.
    Queued,
    /// It waits in the line of its product, because there was too little stock.
    Waiting,
    /// It is filled or ended, and its callback is not delivered yet.
    Decided,
    /// Its callback is delivered.
    Delivered,
    /// keypool has stopped delivering its callback. An operator can have it redelivered.
    Dead,
}

impl OrderState {
    /// All states, in the order in which an order passes them.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Waiting, Self::Decided, Self::Delivered, Self::Dead];

    /// The word for it, in the table and in what the command prints.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Decided => "decided",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// Returns true if the order is neither filled nor ended yet.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Waiting)
    }
}

impl fmt::Display for OrderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is not the state of an order.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of queued, waiting, decided, delivered and dead")]
pub struct UnknownOrderState;

impl FromStr for OrderState {
    type Err = UnknownOrderState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownOrderState)
    }
}

/// An accepted order. A callback reports its outcome to the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedOrder {
    /// The id of the order.
    pub id: OrderId,
    /// The state of the order.
    pub state: OrderState,
    /// The requested keys and their owner.
    pub request: RandomAssignLicenseKeys,
    /// The URL that the callback goes to.
    pub webhook_url: WebhookUrl,
    /// The API key that it was made with. Its list of hosts applies to the callback.
    pub api_key: ApiKeyHash,
    /// The time at which it was accepted.
    pub accepted_at: Timestamp,
    /// The time at which it ends, if there are too few keys until then.
    pub waits_until: Timestamp,
    /// Set if an operator has cancelled it. The worker then ends it instead of filling it.
    pub is_cancelled: bool,
    /// The code in the callback, once the order is filled (803) or ended (802, 806).
    pub code: Option<u16>,
    /// The attempts to deliver its callback.
    pub delivery: Delivery,
}

/// The attempts to deliver a callback.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The number of attempts that have begun.
    pub attempts: u32,
    /// The time of the first one.
    pub first_at: Option<Timestamp>,
    /// The time from which the next one may begin.
    pub next_at: Option<Timestamp>,
    /// The outcome of the latest one, as a sentence.
    pub answer: Option<String>,
}

impl QueuedOrder {
    /// The longest wait of an order by default: 7 days.
    pub const WAITS_FOR: Duration = Duration::from_hours(7 * 24);

    /// Returns true if the order must be ended now instead of filled.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.is_cancelled || self.waits_until <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OperatingSystemRandomness;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_unix_microseconds(milliseconds * 1_000).unwrap()
    }

    #[test]
    fn ids_sort_by_the_time_of_the_order() {
        let ids: Vec<OrderId> = (1_732_388_528_829..1_732_388_528_929)
            .map(|ms| OrderId::new(at(ms), &OperatingSystemRandomness))
            .collect();
        assert!(ids.is_sorted());
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        assert!(texts.is_sorted());
        assert_eq!(texts[0].parse(), Ok(ids[0].clone()));
        assert_eq!("1".parse::<OrderId>(), Err(InvalidOrderId));
    }

    #[test]
    fn states_read_back() {
        for state in OrderState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert_eq!("lost".parse::<OrderState>(), Err(UnknownOrderState));
    }

    #[test]
    fn an_order_reference_has_up_to_255_characters() {
        assert!("ü".repeat(255).parse::<OrderReference>().is_ok());
        for text in [String::new(), "a".repeat(256)] {
            assert_eq!(text.parse::<OrderReference>(), Err(InvalidOrderReference));
        }
    }
}
