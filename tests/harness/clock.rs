use std::sync::atomic::{AtomicI64, Ordering};

use keypool_domain::{Clock, SystemClock, Timestamp};

/// A clock that starts at the current time and moves only when a test advances it.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(SystemClock.now().unix_microseconds()))
    }

    /// A clock with this offset.
    pub(crate) fn off_by(seconds: i64) -> Self {
        let clock = Self::new();
        clock.advance_seconds(seconds);
        clock
    }

    /// Advances the clock.
    pub fn advance_seconds(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_microseconds(self.0.load(Ordering::SeqCst)).unwrap()
    }
}
