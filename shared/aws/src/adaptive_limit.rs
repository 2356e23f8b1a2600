//! A limit on concurrent calls that adapts to what the called service accepts.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A limit on the calls under way. It grows by one in each round of successful calls, and a throttle halves
/// it: the "additive increase, multiplicative decrease" of TCP. All calls of one long work share it.
#[derive(Debug)]
pub struct AdaptiveLimit {
    window: Mutex<Window>,
    freed: Notify,
    rate: Option<Mutex<Rate>>,
}

/// A limit on the units a second, so that other users of the service keep their share.
#[derive(Debug)]
struct Rate {
    per_second: NonZeroU32,
    /// The earliest start of the next call.
    next: Instant,
}

impl Rate {
    /// Reserves `units` and returns the wait before the call. Unused time does not add up.
    fn reserve(&mut self, units: usize, now: Instant) -> Duration {
        let begin = self.next.max(now);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        self.next = begin + Duration::from_secs(1) * units / self.per_second.get();
        begin - now
    }
}

/// The arithmetic of the limit, without waiting.
#[derive(Debug)]
struct Window {
    limit: f64,
    under_way: usize,
    /// The number of halvings. A call that began before the last one says nothing about the new limit.
    /// Without this number, one moment of throttling would halve the limit once for each call under way.
    halvings: u64,
}

/// The right to make one call. Dropping it ends the call.
#[derive(Debug)]
pub struct Permit<'a> {
    limit: &'a AdaptiveLimit,
    halvings: u64,
}

impl Window {
    /// A new table of DynamoDB accepts 4,000 writes a second. Four batches of 25 under way stay below that.
    const FIRST: f64 = 4.0;
    /// More calls are no faster through one connection pool.
    const MOST: f64 = 32.0;

    const fn new() -> Self {
        Self { limit: Self::FIRST, under_way: 0, halvings: 0 }
    }

    /// Begins a call if there is room for one.
    fn begin(&mut self) -> Option<u64> {
        #[expect(clippy::cast_precision_loss, reason = "at most 32")]
        let room = (self.under_way as f64) < self.limit.floor();
        room.then(|| {
            self.under_way += 1;
            self.halvings
        })
    }

    fn end(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    fn succeeded(&mut self, halvings: u64) {
        if halvings == self.halvings {
            self.limit = (self.limit + 1.0 / self.limit).min(Self::MOST);
        }
    }

    fn throttled(&mut self, halvings: u64) {
        if halvings == self.halvings {
            self.limit = (self.limit / 2.0).max(1.0);
            self.halvings += 1;
        }
    }
}

impl Default for AdaptiveLimit {
    fn default() -> Self {
        Self::new(None)
    }
}

impl AdaptiveLimit {
    /// Makes a limit of four concurrent calls at first, and of at most `per_second` units a second.
    #[must_use]
    pub fn new(per_second: Option<NonZeroU32>) -> Self {
        let rate = |per_second| Mutex::new(Rate { per_second, next: Instant::now() });
        Self { window: Mutex::new(Window::new()), freed: Notify::new(), rate: per_second.map(rate) }
    }

    /// Waits until a call for `units` may begin.
    pub async fn acquire(&self, units: usize) -> Permit<'_> {
        if let Some(rate) = &self.rate {
            let wait = rate.lock().unwrap_or_else(PoisonError::into_inner).reserve(units, Instant::now());
            tokio::time::sleep(wait).await;
        }
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on, the end of any call wakes this one.
            freed.as_mut().enable();
            let begun = self.window().begin();
            if let Some(halvings) = begun {
                return Permit { limit: self, halvings };
            }
            freed.await;
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        // A panic cannot leave these numbers half changed.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Reports that the service accepted the whole call.
    pub fn succeeded(&self) {
        self.limit.window().succeeded(self.halvings);
    }

    /// Reports that the service throttled the call, or a part of it.
    pub fn throttled(&self) {
        self.limit.window().throttled(self.halvings);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.limit.window().end();
        self.limit.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins as many calls as the limit allows, ends them all alike, and returns their number.
    fn round(window: &mut Window, throttled: bool) -> usize {
        let permits: Vec<u64> = std::iter::from_fn(|| window.begin()).collect();
        for halvings in &permits {
            if throttled {
                window.throttled(*halvings);
            } else {
                window.succeeded(*halvings);
            }
            window.end();
        }
        permits.len()
    }

    #[test]
    fn the_limit_grows_by_one_a_round_up_to_a_bound() {
        let mut window = Window::new();
        assert_eq!(round(&mut window, false), 4);
        // The steps of a round get smaller as it goes on, so it takes a little more than a round.
        let rounds: Vec<usize> = (0..60).map(|_| round(&mut window, false)).collect();
        assert!(rounds.windows(2).all(|two| two[1] == two[0] || two[1] == two[0] + 1), "{rounds:?}");
        assert_eq!(rounds.last(), Some(&32));
    }

    #[test]
    fn a_round_of_throttles_halves_it_once_and_never_below_one() {
        let mut window = Window::new();
        (0..60).for_each(|_| {
            round(&mut window, false);
        });
        let rounds: Vec<usize> = (0..8).map(|_| round(&mut window, true)).collect();
        assert_eq!(rounds, [32, 16, 8, 4, 2, 1, 1, 1]);
        assert_eq!(round(&mut window, false), 1);
        assert_eq!(round(&mut window, false), 2, "it grows again");
    }

    #[test]
    fn a_rate_is_kept_and_idle_time_does_not_add_up() {
        let begun = Instant::now();
        let mut rate = Rate { per_second: NonZeroU32::new(100).unwrap(), next: begun };
        assert_eq!(rate.reserve(25, begun), Duration::ZERO);
        assert_eq!(rate.reserve(25, begun), Duration::from_millis(250));
        assert_eq!(rate.reserve(1, begun), Duration::from_millis(500));
        let later = begun + Duration::from_mins(1);
        assert_eq!(rate.reserve(25, later), Duration::ZERO);
        assert_eq!(rate.reserve(25, later), Duration::from_millis(250));
    }

    #[tokio::test]
    async fn a_call_waits_until_another_ends() {
        let limit = AdaptiveLimit::new(None);
        let mut permits = Vec::new();
        for _ in 0..4 {
            permits.push(limit.acquire(1).await);
        }
        let mut waiting = Box::pin(limit.acquire(1));
        assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_none());
        drop(permits.pop());
        assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_some());
    }
}
