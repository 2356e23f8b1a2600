//! Sets of license keys, and keys together with the version they were read at.

use std::fmt;

/// How many license keys a model has at most.
pub const KEYS_MAX: usize = 3;

/// A license key, as an index.
pub type KeyId = u8;

/// All license keys there can be.
pub fn key_ids() -> impl Iterator<Item = KeyId> {
    0..3
}

/// A set of license keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Keys(u8);

impl Keys {
    /// No key.
    pub const NONE: Self = Self(0);

    /// The first `count` keys.
    #[must_use]
    pub fn first(count: u8) -> Self {
        (0..count).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn count(self) -> u8 {
        key_ids().map(|key| self.0 >> key & 1).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `key` is one of them.
    #[must_use]
    pub fn contains(self, key: KeyId) -> bool {
        self.0 >> key & 1 == 1
    }

    /// Whether some key is in both.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// One more.
    #[must_use]
    pub fn with(self, key: KeyId) -> Self {
        Self(self.0 | 1 << key)
    }
}

impl FromIterator<KeyId> for Keys {
    fn from_iter<I: IntoIterator<Item = KeyId>>(keys: I) -> Self {
        keys.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(key_ids().filter(|key| self.contains(*key))).finish()
    }
}

/// License keys as they were read: each with its version. Versions begin at 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Picks([u8; KEYS_MAX]);

impl Picks {
    /// No key.
    pub const NONE: Self = Self([0; KEYS_MAX]);

    /// The version `key` was read at, if it is among them.
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

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// With `key`, read at version `seen`.
    #[must_use]
    pub fn with(mut self, key: KeyId, seen: u8) -> Self {
        self.0[usize::from(key)] = seen;
        self
    }

    /// Without `key`.
    #[must_use]
    pub fn without(self, key: KeyId) -> Self {
        self.with(key, 0)
    }

    /// Those of the keys that `others` does not hold.
    #[must_use]
    pub fn outside(self, others: Keys) -> Self {
        self.iter()
            .filter(|(key, _)| !others.contains(*key))
            .fold(Self::NONE, |picks, (key, seen)| picks.with(key, seen))
    }
}

impl fmt::Debug for Picks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
