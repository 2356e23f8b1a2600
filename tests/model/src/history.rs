//! The past. No process sees it; the properties refer to it.

use crate::picks::{KEYS_MAX, KeyId, Keys, key_ids};
use crate::table::{ATTEMPTS_MAX, AttemptId, Status, Table};

/// The relevant past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct History {
    /// For each key the versions at which it was in stock, as bits. A window may show any of them.
    in_stock_at: [u16; KEYS_MAX],
    /// For each key the attempts that have owned it since it was last released, as bits.
    owners: [u8; KEYS_MAX],
    /// For each attempt the released keys that it owned before and does not own again.
    released: [Keys; ATTEMPTS_MAX],
    /// The attempts that have sold, as bits.
    sold: u8,
    /// For each attempt the keys of the last response it signed.
    pub(crate) signed: [Keys; ATTEMPTS_MAX],
}

impl History {
    pub(crate) fn sells(&mut self, attempt: AttemptId) {
        self.sold |= 1 << attempt;
    }

    /// True if this attempt has sold.
    #[must_use]
    pub fn has_sold(&self, attempt: AttemptId) -> bool {
        self.sold >> attempt & 1 == 1
    }

    pub(crate) fn releases(&mut self, key: KeyId, by: AttemptId) {
        self.owners[usize::from(key)] = 0;
        let released = &mut self.released[usize::from(by)];
        *released = released.with(key);
    }

    /// Records the owners and the stock.
    pub(crate) fn observe(&mut self, table: &Table) {
        for key in key_ids() {
            let index = usize::from(key);
            if table.key(key).status == Status::Available {
                self.in_stock_at[index] |= 1 << table.key(key).version;
            }
            if let Some(owner) = self.owner(table, key) {
                self.owners[index] |= 1 << owner;
                let released = &mut self.released[usize::from(owner)];
                *released = released.without(Keys::NONE.with(key));
            }
        }
    }

    /// The versions at which a key was ever in stock.
    pub(crate) fn in_stock_at(&self, key: KeyId) -> impl Iterator<Item = u8> + use<> {
        let versions = self.in_stock_at[usize::from(key)];
        (0..16).filter(move |version| versions >> version & 1 == 1)
    }

    /// Returns the owner of a key. The key is assigned, or reserved for an attempt that has sold.
    #[must_use]
    pub fn owner(&self, table: &Table, key: KeyId) -> Option<AttemptId> {
        match table.key(key).status {
            Status::Assigned(by) => Some(by),
            Status::Reserved(by) if self.has_sold(by) => Some(by),
            _ => None,
        }
    }

    /// True if a key has had no owner since its last release, or only its current one.
    #[must_use]
    pub fn has_one_owner(&self, table: &Table, key: KeyId) -> bool {
        self.owners[usize::from(key)] == self.owner(table, key).map_or(0, |owner| 1 << owner)
    }

    /// The keys that an attempt owns.
    #[must_use]
    pub fn owned(&self, table: &Table, attempt: AttemptId) -> Keys {
        key_ids().filter(|key| self.owner(table, *key) == Some(attempt)).collect()
    }

    /// The keys that an attempt owned until an operator released them.
    #[must_use]
    pub fn released(&self, attempt: AttemptId) -> Keys {
        self.released[usize::from(attempt)]
    }

    /// The keys of the last response that an attempt signed.
    #[must_use]
    pub fn signed(&self, attempt: AttemptId) -> Keys {
        self.signed[usize::from(attempt)]
    }
}
