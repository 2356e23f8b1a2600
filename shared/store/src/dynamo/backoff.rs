use std::time::Duration;

use keypool_domain::Randomness;
use tokio::time::{Sleep, sleep};

/// Waits that grow, each a random part of its limit ("full jitter"), so that writers that collided do not
/// collide again.
#[derive(Debug, Clone)]
pub struct Backoff {
    limit: Duration,
    limit_max: Duration,
}

impl Backoff {
    const FIRST_LIMIT: Duration = Duration::from_millis(10);
    /// A checkout waits for the response, so no single wait may be long.
    const LIMIT_MAX: Duration = Duration::from_millis(160);

    /// Makes waits of which the first is within 10 ms.
    #[must_use]
    pub const fn new() -> Self {
        Self { limit: Self::FIRST_LIMIT, limit_max: Self::LIMIT_MAX }
    }

    /// Makes waits for long work that no client waits for. The first is within 50 ms. They grow up to 5
    /// seconds, because a table that has begun to split its partitions needs that time.
    #[must_use]
    pub(crate) const fn long() -> Self {
        Self { limit: Duration::from_millis(50), limit_max: Duration::from_secs(5) }
    }

    /// Waits before the next attempt.
    pub fn wait(&mut self, randomness: &(impl Randomness + ?Sized)) -> Sleep {
        sleep(self.next_wait(randomness))
    }

    fn next_wait(&mut self, randomness: &(impl Randomness + ?Sized)) -> Duration {
        let microseconds = usize::try_from(self.limit.as_micros()).unwrap_or(usize::MAX);
        self.limit = (self.limit * 2).min(self.limit_max);
        Duration::from_micros(u64::try_from(randomness.below(microseconds)).unwrap_or(0))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use keypool_domain::OperatingSystemRandomness;

    use super::*;

    #[test]
    fn waits_stay_below_limits_that_double_up_to_a_bound() {
        let mut backoff = Backoff::new();
        for limit in [10, 20, 40, 80, 160, 160, 160] {
            let wait = backoff.next_wait(&OperatingSystemRandomness);
            assert!(wait < Duration::from_millis(limit), "{wait:?} of {limit} ms");
        }
    }
}
