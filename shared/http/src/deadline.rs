use std::time::Duration;

use keypool_store::Store;
use tokio::time::Instant;

/// A shop gives up after 5 seconds (WordPress's default) and asks again: by then the answer is there, or it was
/// decided that there is none.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(4_400);

/// The moment by which a request must be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The deadline of a request that arrives now.
    pub(crate) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Whether keys that are given away from now on are given away, or known not to be, in time. If not, it must
    /// not begin: keys could leave the stock for a buyer who has stopped listening.
    pub(crate) fn leaves_time_to_give_away(self) -> bool {
        self.0.saturating_duration_since(Instant::now()) >= Store::GIVE_AWAY_WITHIN
    }

    pub(crate) fn instant(self) -> Instant {
        self.0
    }
}
