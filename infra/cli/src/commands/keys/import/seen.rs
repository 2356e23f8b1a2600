use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

/// The keys of a file so far. Dry runs need it, because they write nothing that would reveal an earlier line.
///
/// It keeps a 64-bit hash and the line, some 35 bytes a key. When it grows, only one of its shards is copied
/// at a time. Two different keys collide in one of 37 million runs with a million keys each.
#[derive(Debug)]
pub(super) struct Seen {
    hasher: RandomState,
    shards: Vec<HashMap<u64, u64>>,
}

const SHARDS: usize = 256;

impl Seen {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), shards: vec![HashMap::new(); SHARDS] }
    }

    /// Records the key of a line. Returns the earlier line with the same key, if there is one.
    pub(super) fn note(&mut self, key: &str, line: u64) -> Option<u64> {
        let hash = self.hasher.hash_one(key);
        // The low bits select the shard. The shard's own table hashes the value again.
        let shard = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        let shard = self.shards.get_mut(shard)?;
        let earlier = *shard.entry(hash).or_insert(line);
        (earlier != line).then_some(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_key_returns_its_first_line() {
        let mut seen = Seen::new();
        assert!((0..10_000).all(|line| seen.note(&format!("KEY-{line}"), line).is_none()));
        assert_eq!(seen.note("KEY-77", 20_000), Some(77));
        assert_eq!(seen.note("KEY-77", 20_001), Some(77));
    }
}
