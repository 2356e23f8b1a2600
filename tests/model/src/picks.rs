//! Sets of license keys, and keys with the versions that a draw has seen.

use std::fmt;

/// The number of license keys in a model.
pub const KEYS_MAX: usize = 3;

/// A license key, as an index.
pub type KeyId = u8;

/// Returns all possible license keys.
pub fn key_ids() -> impl Iterator<Item = KeyId> {
    0..3
}

/// A set of license keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Keys(u8);

impl Keys {
    /// No key.
    pub const NONE: Self = Self(0);

    /// The number of keys.
    #[must_use]
    pub fn count(self) -> u8 {
        key_ids().map(|key| self.0 >> key & 1).sum()
    }

    /// True if the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True if the set contains `key`.
    #[must_use]
    pub fn contains(self, key: KeyId) -> bool {
        self.0 >> key & 1 == 1
    }

    /// True if some key is in both.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The set with `key`.
    #[must_use]
    pub fn with(self, key: KeyId) -> Self {
        Self(self.0 | 1 << key)
    }

    /// The keys in either set.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The keys that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The keys, in order.
    pub fn iter(self) -> impl Iterator<Item = KeyId> {
        key_ids().filter(move |key| self.contains(*key))
    }
}

impl FromIterator<KeyId> for Keys {
    fn from_iter<I: IntoIterator<Item = KeyId>>(keys: I) -> Self {
        keys.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// License keys of a draw, each with the version it saw. Versions begin at 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Picks([u8; KEYS_MAX]);

impl Picks {
    /// No key.
    pub const NONE: Self = Self([0; KEYS_MAX]);

    /// The version at which `key` was seen, if the picks contain it.
    #[must_use]
    pub fn seen(self, key: KeyId) -> Option<u8> {
        Some(self.0[usize::from(key)]).filter(|seen| *seen > 0)
    }

    /// The keys and their versions.
    pub fn iter(self) -> impl Iterator<Item = (KeyId, u8)> {
        key_ids().filter_map(move |key| Some((key, self.seen(key)?)))
    }

    /// The keys alone.
    #[must_use]
    pub fn keys(self) -> Keys {
        self.iter().map(|(key, _)| key).collect()
    }

    /// True if there are no picks.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// The picks with `key`, seen at version `seen`.
    #[must_use]
    pub fn with(mut self, key: KeyId, seen: u8) -> Self {
        self.0[usize::from(key)] = seen;
        self
    }
}

impl fmt::Debug for Picks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
