use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

/// Which keys a file has had so far, for dry runs: nothing is written then that could tell of an earlier line.
///
/// It holds 64 bits of a hash and the line, some 35 bytes a key, in shards: only one of them is copied at a time when it
/// grows. Two keys that differ are taken for one in a run of a million once in 37 million runs.
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

    /// Notes a key of a line; the earlier line if there was one.
    pub(super) fn note(&mut self, key: &str, line: u64) -> Option<u64> {
        let hash = self.hasher.hash_one(key);
        // The lowest bits: the shards' own tables go by another hash of it.
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
    fn a_key_that_was_seen_says_in_which_line() {
        let mut seen = Seen::new();
        assert!((0..10_000).all(|line| seen.note(&format!("KEY-{line}"), line).is_none()));
        assert_eq!(seen.note("KEY-77", 20_000), Some(77));
        assert_eq!(seen.note("KEY-77", 20_001), Some(77));
    }
}
