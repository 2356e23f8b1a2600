//! The table: license keys, request records, parts and entries.

use crate::picks::{KEYS_MAX, KeyId, Keys};
use crate::protocol::Rule;
use crate::scenario::Scenario;

/// The number of attempts in a model, including a last one that checks that buying still works.
pub const ATTEMPTS_MAX: usize = 4;
/// The number of parts of a large order.
pub const PARTS_MAX: usize = 2;

/// One run of a function for one request of a buyer.
pub type AttemptId = u8;

/// The status of a license key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Not stored (yet, or any more).
    Absent,
    /// In stock.
    Available,
    /// Reserved for this attempt.
    Reserved(AttemptId),
    /// Sold by this attempt.
    Assigned(AttemptId),
}

/// A license key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The status, with the attempt.
    pub status: Status,
    /// The number of changes, from 1.
    pub version: u8,
}

impl Key {
    /// A key that is not stored.
    pub const ABSENT: Self = Self { status: Status::Absent, version: 1 };
    /// A key that was put in stock.
    pub const NEW: Self = Self { status: Status::Available, version: 1 };

    /// Changes the status and raises the version.
    pub fn becomes(&mut self, status: Status) {
        *self = Self { status, version: self.version + 1 };
    }
}

/// A signed response that hands keys over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Response {
    /// The attempt that sold the keys.
    pub by: AttemptId,
    /// The keys.
    pub keys: Keys,
}

/// A request record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Record {
    /// Not stored.
    Absent,
    /// An attempt takes keys for it.
    Open(AttemptId),
    /// An attempt has sold keys for it.
    Done(Response),
    /// The attempt was aborted.
    Void(AttemptId),
}

impl Record {
    /// True if an attempt may replace it.
    #[must_use]
    pub fn is_free(self) -> bool {
        matches!(self, Self::Absent | Self::Void(_))
    }

    /// True if a first take that `read` this state may replace the record: it is absent, or unchanged.
    #[must_use]
    pub(crate) fn may_be_replaced(self, scenario: &Scenario, read: Self) -> bool {
        if scenario.keeps(Rule::BeginsOnce) { self == Self::Absent || self == read } else { self.is_free() }
    }

    /// True if this attempt has sold.
    #[must_use]
    pub fn is_done_by(self, attempt: AttemptId) -> bool {
        matches!(self, Self::Done(response) if response.by == attempt)
    }
}

/// The parts of one attempt: the keys that each reserves.
pub type Parts = [Keys; PARTS_MAX];

/// All items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Table {
    /// License keys.
    pub keys: [Key; KEYS_MAX],
    /// Request records. Attempts with the same Idempotency-Key share the record of the first one.
    pub records: [Record; ATTEMPTS_MAX],
    /// The parts of each attempt.
    pub parts: [Parts; ATTEMPTS_MAX],
    /// True for each attempt that has an entry.
    pub entries: [bool; ATTEMPTS_MAX],
    /// The attempt that replaced the old key, which was sold long before.
    pub replaced_by: Option<AttemptId>,
    /// The transactions that DynamoDB has committed: for each attempt the numbers of their draws, as bits.
    tokens: [u8; ATTEMPTS_MAX],
}

impl Table {
    /// A table with `stock` keys and nothing else.
    #[must_use]
    pub(crate) fn new(stock: u8) -> Self {
        let mut keys = [Key::ABSENT; KEYS_MAX];
        keys[..usize::from(stock)].fill(Key::NEW);
        Self {
            keys,
            records: [Record::Absent; ATTEMPTS_MAX],
            parts: [[Keys::NONE; PARTS_MAX]; ATTEMPTS_MAX],
            entries: [false; ATTEMPTS_MAX],
            replaced_by: None,
            tokens: [0; ATTEMPTS_MAX],
        }
    }

    /// A license key.
    #[must_use]
    pub fn key(&self, key: KeyId) -> Key {
        self.keys[usize::from(key)]
    }

    /// A license key to change.
    pub fn key_mut(&mut self, key: KeyId) -> &mut Key {
        &mut self.keys[usize::from(key)]
    }

    /// The parts of an attempt.
    #[must_use]
    pub fn parts(&self, attempt: AttemptId) -> Parts {
        self.parts[usize::from(attempt)]
    }

    /// True if an attempt has an entry.
    #[must_use]
    pub fn has_entry(&self, attempt: AttemptId) -> bool {
        self.entries[usize::from(attempt)]
    }

    /// True if the transaction of this draw was committed.
    #[must_use]
    pub(crate) fn has_committed(&self, attempt: AttemptId, draw: u8) -> bool {
        self.tokens[usize::from(attempt)] >> draw & 1 == 1
    }

    pub(crate) fn commits(&mut self, attempt: AttemptId, draw: u8) {
        self.tokens[usize::from(attempt)] |= 1 << draw;
    }
}
