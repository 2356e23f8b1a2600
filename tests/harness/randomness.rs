use std::sync::atomic::{AtomicBool, Ordering};

use keypool_domain::{OperatingSystemRandomness, Randomness};

/// The operating system's randomness, but for the start of draws, which can be told to lie in the first quarter
/// of the stock. With more than a few windows in stock a draw then never wraps round, and what it costs is a
/// number and not a chance.
#[derive(Debug, Default)]
pub struct ScriptedDraws {
    starts_in_first_quarter: AtomicBool,
}

impl ScriptedDraws {
    /// From now on, draws start in the first quarter of the stock.
    pub fn start_in_first_quarter(&self) {
        self.starts_in_first_quarter.store(true, Ordering::SeqCst);
    }
}

impl Randomness for ScriptedDraws {
    fn fill(&self, bytes: &mut [u8]) {
        OperatingSystemRandomness.fill(bytes);
        // Draws and ids are filled 16 bytes at a time; clearing a bit of an id changes nothing that matters.
        if self.starts_in_first_quarter.load(Ordering::SeqCst)
            && let [first, rest @ ..] = bytes
            && rest.len() == 15
        {
            *first &= 0x3f;
        }
    }
}
