use std::time::Duration;

use crate::{Randomness, Timestamp};

const MINUTE: Duration = Duration::from_mins(1);

const HOUR: Duration = Duration::from_hours(1);

/// The days from the first attempt after which keypool gives up a delivery.
pub const DELIVERY_DAYS_MAX: u32 = 5;

/// The longest wait between two attempts. SQS hides a message for 12 hours at most; a minute is left for the
/// attempt itself.
pub const DELIVERY_WAIT_MAX: Duration = Duration::from_mins(12 * 60 - 1);

/// The waits after the first failed attempts. After later ones the wait is [`DELIVERY_WAIT_MAX`].
const WAITS: [Duration; 5] = [
    MINUTE,
    MINUTE.saturating_mul(5),
    MINUTE.saturating_mul(30),
    HOUR.saturating_mul(2),
    HOUR.saturating_mul(6),
];

/// The decision after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextDelivery {
    /// Attempt again at that moment, not earlier.
    At(Timestamp),
    /// Give up: [`DELIVERY_DAYS_MAX`] days are over.
    Dead,
}

/// Decides when a delivery is attempted again, after its attempt number `failed` (counted from 1) failed at
/// `now`.
///
/// - The waits are about 1 min, 5 min, 30 min, 2 h, 6 h, then 12 h. A random fifth at most is taken off, so
///   that the deliveries to a shop that was down do not all come back at once.
/// - `retry_after` is the wait that the shop asked for. It makes the wait longer, never shorter, and a random
///   tenth at most is added.
/// - No wait is longer than [`DELIVERY_WAIT_MAX`].
/// - No attempt is made later than [`DELIVERY_DAYS_MAX`] days after `first_attempt`. A wait that would end
///   later ends there, so that the last attempt is made at that moment.
#[must_use]
pub fn next_delivery(
    first_attempt: Timestamp,
    now: Timestamp,
    failed: u32,
    retry_after: Option<Duration>,
    randomness: &(impl Randomness + ?Sized),
) -> NextDelivery {
    let last_attempt = first_attempt.after(HOUR * 24 * DELIVERY_DAYS_MAX);
    if now >= last_attempt {
        return NextDelivery::Dead;
    }
    let attempt = usize::try_from(failed.saturating_sub(1)).unwrap_or(usize::MAX);
    let scheduled = WAITS.get(attempt).copied().unwrap_or(DELIVERY_WAIT_MAX);
    let scheduled = scheduled.saturating_sub(random_part(scheduled / 5, randomness));
    let wanted = retry_after.unwrap_or_default().min(DELIVERY_WAIT_MAX);
    let wait = if wanted > scheduled { wanted + random_part(wanted / 10, randomness) } else { scheduled };
    NextDelivery::At(now.after(wait.min(DELIVERY_WAIT_MAX)).min(last_attempt))
}

/// A random duration from zero to `longest`, in whole milliseconds.
fn random_part(longest: Duration, randomness: &(impl Randomness + ?Sized)) -> Duration {
    let milliseconds = usize::try_from(longest.as_millis()).unwrap_or(usize::MAX);
    let part = randomness.below(milliseconds.saturating_add(1));
    Duration::from_millis(u64::try_from(part).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the same number if it is below the bound, else the largest number below it.
    struct Always(u64);

    impl Randomness for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.0.to_le_bytes());
        }

        fn below(&self, bound: usize) -> usize {
            usize::try_from(self.0).unwrap().min(bound - 1)
        }
    }

    const LEAST: Always = Always(0);
    const MOST: Always = Always(u64::MAX);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_microseconds(i64::try_from(seconds * 1_000_000).unwrap()).unwrap()
    }

    /// The wait in seconds, rounded down; `None` if the delivery is dead.
    fn wait(
        now_seconds: u64,
        failed: u32,
        retry_after: Option<u64>,
        randomness: &dyn Randomness,
    ) -> Option<i64> {
        let retry_after = retry_after.map(Duration::from_secs);
        match next_delivery(at(0), at(now_seconds), failed, retry_after, randomness) {
            NextDelivery::At(moment) => Some(moment.unix_seconds() - at(now_seconds).unix_seconds()),
            NextDelivery::Dead => None,
        }
    }

    #[test]
    fn waits_grow_from_a_minute_to_half_a_day() {
        for (failed, longest) in [
            (0, 60),
            (1, 60),
            (2, 300),
            (3, 1_800),
            (4, 7_200),
            (5, 21_600),
            (6, 43_140),
            (7, 43_140),
            (u32::MAX, 43_140),
        ] {
            assert_eq!(wait(0, failed, None, &LEAST), Some(longest), "{failed}");
            assert_eq!(wait(0, failed, None, &MOST), Some(longest * 4 / 5), "{failed}");
        }
    }

    #[test]
    fn a_shop_may_ask_for_a_longer_wait_and_not_for_a_shorter() {
        for (retry_after, shortest, longest) in [
            (0, 240, 300),
            (10, 240, 300),
            (300, 300, 330),
            (3_600, 3_600, 3_960),
            (42_000, 42_000, 43_140),
            (43_140, 43_140, 43_140),
            (86_400, 43_140, 43_140),
            (u64::MAX, 43_140, 43_140),
        ] {
            let waits = [LEAST, MOST].map(|randomness| wait(0, 2, Some(retry_after), &randomness).unwrap());
            for wait in waits {
                assert!((shortest..=longest).contains(&wait), "{retry_after}: {wait}");
            }
        }
    }

    #[test]
    fn the_last_attempt_is_made_after_five_days() {
        let end = 5 * 86_400;
        assert_eq!(wait(end - 43_200, 9, None, &LEAST), Some(43_140));
        assert_eq!(wait(end - 60, 9, None, &LEAST), Some(60));
        assert_eq!(wait(end - 1, 9, Some(80_000), &LEAST), Some(1));
        assert_eq!(wait(end - 1, 1, None, &LEAST), Some(1));
        assert_eq!(wait(end, 9, None, &LEAST), None);
        assert_eq!(wait(end + 1, 1, Some(1), &LEAST), None);
    }

    #[test]
    fn a_whole_delivery_ends_on_its_fifth_day() {
        let (mut now, mut failed) = (at(0), 1);
        while let NextDelivery::At(next) =
            next_delivery(at(0), now, failed, None, &crate::OperatingSystemRandomness)
        {
            let gap = next.unix_microseconds() - now.unix_microseconds();
            assert!(gap > 0 && gap <= i64::try_from(DELIVERY_WAIT_MAX.as_micros()).unwrap());
            (now, failed) = (next, failed + 1);
        }
        assert_eq!(now, at(5 * 86_400));
        assert!((15..=20).contains(&failed), "{failed} attempts");
    }
}
