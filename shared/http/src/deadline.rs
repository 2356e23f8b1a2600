use std::time::Duration;

use tokio::time::Instant;

use crate::clients::OPERATION_WITHIN;

/// A shop gives up after 5 seconds (WordPress's default) and asks again: by then the answer is there, or it was
/// decided that there is none.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(4_400);

/// The moment by which a request must be answered.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline of a request that arrives now.
    #[must_use]
    pub fn from_now() -> Self {
        Self(Instant::now() + ANSWER_WITHIN)
    }

    /// Whether a write that begins now would come to its end, one way or the other, in time. One that would not
    /// must not begin: keys could leave the stock for a buyer who has stopped listening.
    #[must_use]
    pub fn leaves_time_to_write(self) -> bool {
        self.0.saturating_duration_since(Instant::now()) >= OPERATION_WITHIN
    }

    pub(crate) fn instant(self) -> Instant {
        self.0
    }
}
