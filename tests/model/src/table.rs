//! The table: license keys, claims, orders.

use crate::picks::{KEYS_MAX, KeyId, Keys, Picks};

/// How many attempts a model has at most, with the one that tries afterwards whether buying is still possible.
pub const ATTEMPTS_MAX: usize = 4;
/// How many claims a model has at most.
pub const CLAIMS_MAX: usize = 2;
/// In how many parts an order lists its keys, at most.
pub const PARTS_MAX: usize = 2;

/// One run of a function for one request of a buyer. Its assignment and its order carry its id.
pub type AttemptId = u8;
/// The record of an Idempotency-Key.
pub type ClaimId = u8;

/// Where a license key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// It is not stored (yet, or any more).
    Absent,
    /// It is in stock.
    Available,
    /// An order reserves it.
    Reserved(AttemptId),
    /// It is an owner's, by this assignment.
    Assigned(AttemptId),
}

/// A license key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Where it stands.
    pub status: Status,
    /// Moves on with every change. 1 when the key is not stored.
    pub version: u8,
}

impl Key {
    /// A key that is not there.
    pub const ABSENT: Self = Self { status: Status::Absent, version: 1 };
    /// A key that was put in stock.
    pub const NEW: Self = Self { status: Status::Available, version: 1 };

    /// Changes it.
    pub fn becomes(&mut self, status: Status) {
        *self = Self { status, version: self.version + 1 };
    }
}

/// A signed response that hands keys over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// The assignment.
    pub by: AttemptId,
    /// Its keys.
    pub keys: Keys,
}

/// The record of an Idempotency-Key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Claim {
    /// There is none.
    Absent,
    /// An attempt works under it.
    Started(AttemptId),
    /// It was answered.
    Done(Envelope),
}

/// The state of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderState {
    /// There is no such order.
    Absent,
    /// Keys are being reserved.
    Reserving,
    /// The reserved keys are the buyer's.
    Committed,
    /// The reserved keys go back.
    Aborted,
    /// Committed, and all keys are marked.
    Sold,
    /// Aborted, and all keys are back.
    Void,
}

/// The lists of an order's keys.
pub type Parts = [Picks; PARTS_MAX];

/// A big order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Order {
    /// How far it is.
    pub state: OrderState,
    /// The keys it has reserved or may reserve.
    pub parts: Parts,
}

impl Order {
    /// No order.
    pub const ABSENT: Self = Self { state: OrderState::Absent, parts: [Picks::NONE; PARTS_MAX] };

    /// Whether somebody has yet to finish or undo it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, OrderState::Reserving | OrderState::Committed | OrderState::Aborted)
    }
}

/// All records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Table {
    /// License keys.
    pub keys: [Key; KEYS_MAX],
    /// Records of Idempotency-Keys.
    pub claims: [Claim; CLAIMS_MAX],
    /// Big orders, by the attempt that opened them.
    pub orders: [Order; ATTEMPTS_MAX],
}

impl Table {
    /// A license key.
    #[must_use]
    pub fn key(&self, key: KeyId) -> Key {
        self.keys[usize::from(key)]
    }

    /// A license key, to be changed.
    pub fn key_mut(&mut self, key: KeyId) -> &mut Key {
        &mut self.keys[usize::from(key)]
    }

    /// A claim.
    #[must_use]
    pub fn claim(&self, claim: ClaimId) -> Claim {
        self.claims[usize::from(claim)]
    }

    /// The order of an attempt.
    #[must_use]
    pub fn order(&self, order: AttemptId) -> Order {
        self.orders[usize::from(order)]
    }

    /// The order of an attempt, to be changed.
    pub fn order_mut(&mut self, order: AttemptId) -> &mut Order {
        &mut self.orders[usize::from(order)]
    }
}
