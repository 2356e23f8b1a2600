use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use keypool_domain::Timestamp;

/// Remembers what was read from the table for a while. Only what exists is remembered: a product made this
/// moment is found at once, and callers who guess API keys cannot fill the memory.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    entries: Mutex<HashMap<K, Entry<V>>>,
    keep_for: Duration,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    read_at: Timestamp,
}

/// A bound for shops with very many products: at about 200 bytes a record, 1 MB.
const ENTRIES_MAX: usize = 4_096;

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub(crate) fn new(keep_for: Duration) -> Self {
        Self { entries: Mutex::new(HashMap::new()), keep_for }
    }

    fn is_fresh(&self, entry: &Entry<V>, now: Timestamp) -> bool {
        let age = now.unix_microseconds() - entry.read_at.unix_microseconds();
        // A clock that was set back makes an entry's age negative: better to read it again.
        u64::try_from(age).is_ok_and(|age| Duration::from_micros(age) < self.keep_for)
    }

    pub(crate) fn value(&self, key: &K, now: Timestamp) -> Option<V> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|entry| self.is_fresh(entry, now)).map(|entry| entry.value.clone())
    }

    pub(crate) fn remember(&self, key: K, value: V, now: Timestamp) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&key) {
            entries.retain(|_, entry| self.is_fresh(entry, now));
            if entries.len() >= ENTRIES_MAX {
                entries.clear();
            }
        }
        entries.insert(key, Entry { value, read_at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_microseconds(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn a_value_is_kept_for_its_time_only() {
        let cache = Cache::new(Duration::from_mins(1));
        cache.remember("a", 1, at(100));
        assert_eq!(cache.value(&"a", at(100)), Some(1));
        assert_eq!(cache.value(&"a", at(159)), Some(1));
        assert_eq!(cache.value(&"a", at(160)), None);
        assert_eq!(cache.value(&"a", at(99)), None, "the clock was set back");
        assert_eq!(cache.value(&"b", at(100)), None);
    }

    #[test]
    fn the_cache_does_not_grow_without_bound() {
        let cache = Cache::new(Duration::from_mins(1));
        for key in 0..=ENTRIES_MAX {
            cache.remember(key, (), at(100));
        }
        assert!(cache.entries.lock().unwrap().len() <= ENTRIES_MAX);
        assert_eq!(cache.value(&ENTRIES_MAX, at(100)), Some(()));
    }
}
