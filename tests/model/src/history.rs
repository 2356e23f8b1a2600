//! What has happened. No process can see this; the properties are stated with it.

use crate::picks::{KEYS_MAX, KeyId, Keys, key_ids};
use crate::table::{ATTEMPTS_MAX, AttemptId, Status, Table};

/// What has happened, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct History {
    /// For each key the versions at which it was in stock, as bits. A stale index may show any of them.
    in_stock_at: [u16; KEYS_MAX],
    /// For each key the attempts that have owned it, as bits.
    owners: [u8; KEYS_MAX],
    /// The orders that were committed, as bits.
    committed: u8,
    /// For each attempt the keys of the response it has signed last.
    pub(crate) signed: [Keys; ATTEMPTS_MAX],
}

impl History {
    pub(crate) fn committed(&mut self, order: AttemptId) {
        self.committed |= 1 << order;
    }

    /// Whether the order of this attempt was committed.
    #[must_use]
    pub fn was_committed(&self, order: AttemptId) -> bool {
        self.committed >> order & 1 == 1
    }

    /// Takes note of how things stand.
    pub(crate) fn observe(&mut self, table: &Table) {
        for key in key_ids() {
            let index = usize::from(key);
            if table.key(key).status == Status::Available {
                self.in_stock_at[index] |= 1 << table.key(key).version;
            }
            if let Some(owner) = self.owner(table, key) {
                self.owners[index] |= 1 << owner;
            }
        }
    }

    /// The versions at which a key was ever in stock.
    pub(crate) fn in_stock_at(&self, key: KeyId) -> impl Iterator<Item = u8> + use<> {
        let versions = self.in_stock_at[usize::from(key)];
        (0..16).filter(move |version| versions >> version & 1 == 1)
    }

    /// Whose a key is: assigned, or reserved by an order that was committed.
    #[must_use]
    pub fn owner(&self, table: &Table, key: KeyId) -> Option<AttemptId> {
        match table.key(key).status {
            Status::Assigned(by) => Some(by),
            Status::Reserved(by) if self.was_committed(by) => Some(by),
            _ => None,
        }
    }

    /// Whether a key has had no owner, or has had one and has it still.
    #[must_use]
    pub fn has_one_owner(&self, table: &Table, key: KeyId) -> bool {
        let owners = self.owners[usize::from(key)];
        owners == self.owner(table, key).map_or(0, |owner| 1 << owner)
    }

    /// The keys that are an attempt's.
    #[must_use]
    pub fn owned(&self, table: &Table, attempt: AttemptId) -> Keys {
        key_ids().filter(|key| self.owner(table, *key) == Some(attempt)).collect()
    }

    /// The keys of the response that an attempt has signed last.
    #[must_use]
    pub fn signed(&self, attempt: AttemptId) -> Keys {
        self.signed[usize::from(attempt)]
    }
}
