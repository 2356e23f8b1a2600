use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keypool_aws::Timeouts;
use tokio::time::Instant;

/// The moment by which a request must be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    instant: Instant,
    under_way: Duration,
}

/// How long a request may have been under way before it reached the function: API Gateway waits for no answer
/// longer than 30 seconds. More, or less than nothing, are two clocks that disagree, and count as nothing.
const UNDER_WAY_MAX: Duration = Duration::from_secs(30);

impl Deadline {
    /// The deadline of a request that API Gateway received at `received_ms` (Unix milliseconds): an
    /// environment that had to start first, or a queue, has used up some of the time.
    pub(crate) fn of_request(received_ms: i64, timeouts: &Timeouts) -> Self {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let under_way_ms = i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_sub(received_ms);
        let under_way = Duration::from_millis(u64::try_from(under_way_ms).unwrap_or(0));
        let under_way = if under_way <= UNDER_WAY_MAX { under_way } else { Duration::ZERO };
        Self { instant: Instant::now() + timeouts.answer_within.saturating_sub(under_way), under_way }
    }

    /// Whether a sale, and finding out what became of it, would end in time. If not, it must not begin: keys
    /// could leave the stock for a buyer who has stopped listening.
    pub(crate) fn leaves_time_to_sell(self, timeouts: &Timeouts) -> bool {
        self.instant.saturating_duration_since(Instant::now()) >= timeouts.sale_within()
    }

    /// The time that the request was under way before it reached the function. An environment whose clock is
    /// ahead of API Gateway's by up to 30 seconds counts the difference, too.
    pub(crate) fn under_way(self) -> Duration {
        self.under_way
    }

    pub(crate) fn instant(self) -> Instant {
        self.instant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much time is left for a request that was received so long ago.
    fn left(received_ms_ago: i64) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let received_ms = i64::try_from(now).unwrap() - received_ms_ago;
        Deadline::of_request(received_ms, &Timeouts::CHECKOUT)
            .instant
            .saturating_duration_since(Instant::now())
    }

    #[tokio::test]
    async fn time_under_way_counts_but_a_wrong_clock_does_not() {
        let tolerance = Duration::from_millis(200);
        for (ago, expected_ms) in
            [(0, 4_400), (1_000, 3_400), (20_000, 0), (600_000, 4_400), (-600_000, 4_400)]
        {
            let expected = Duration::from_millis(expected_ms);
            let left = left(ago);
            assert!(left <= expected && left + tolerance >= expected, "{ago}: {left:?}");
        }
    }
}
