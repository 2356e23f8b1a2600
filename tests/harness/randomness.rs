use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use keypool_domain::{OperatingSystemRandomness, Randomness};

use crate::faults::mix;

/// The operating system's randomness, with an optional limit: draws start in the first quarter of the stock.
/// With more than a few windows in stock, such a draw never wraps around, so its cost is constant.
#[derive(Debug, Default)]
pub struct ScriptedDraws {
    starts_in_first_quarter: AtomicBool,
}

impl ScriptedDraws {
    /// Makes draws start in the first quarter of the stock from now on.
    pub fn start_in_first_quarter(&self) {
        self.starts_in_first_quarter.store(true, Ordering::SeqCst);
    }
}

impl Randomness for ScriptedDraws {
    fn fill(&self, bytes: &mut [u8]) {
        OperatingSystemRandomness.fill(bytes);
        // Draws and ids use 16 bytes at a time. A cleared bit does not matter to an id.
        if self.starts_in_first_quarter.load(Ordering::SeqCst)
            && let [first, rest @ ..] = bytes
            && rest.len() == 15
        {
            *first &= 0x3f;
        }
    }
}

/// Randomness that repeats for the same seed. For tests only.
#[derive(Debug)]
pub struct SeededRandomness {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededRandomness {
    /// Makes the randomness of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&mix(&[self.seed, drawn]).to_le_bytes()[..chunk.len()]);
        }
    }
}
