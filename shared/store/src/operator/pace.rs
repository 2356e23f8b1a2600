//! How many calls are under way at a time: as many as the table takes, found out by trying.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A limit on the calls that are under way, which adapts by itself: it grows by one in a round of calls that
/// all went well, and is halved by a throttle, as TCP does with its window. Shared by all calls of one long
/// work.
#[derive(Debug)]
pub struct Pace {
    window: Mutex<Window>,
    freed: Notify,
    rate: Option<Mutex<Rate>>,
}

/// So many keys a second, and no more: what else uses the table keeps its share.
#[derive(Debug)]
struct Rate {
    keys_per_second: NonZeroU32,
    /// Before that nothing more may begin.
    next: Instant,
}

impl Rate {
    /// How long to wait before that many keys. What was not used before is not made up for.
    fn reserve(&mut self, keys: usize, now: Instant) -> Duration {
        let begin = self.next.max(now);
        let keys = u32::try_from(keys).unwrap_or(u32::MAX);
        self.next = begin + Duration::from_secs(1) * keys / self.keys_per_second.get();
        begin - now
    }
}

/// The arithmetic of it, without waiting.
#[derive(Debug)]
struct Window {
    limit: f64,
    under_way: usize,
    /// Rises with each halving. Calls that began before the last one say nothing about the limit it set:
    /// without that, one moment of throttling would halve the limit once for each call under way.
    halvings: u64,
}

/// A call that is under way.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pace: &'a Pace,
    halvings: u64,
}

impl Window {
    /// A table that was just made takes 4,000 writes a second; four batches of 25 in flight do not exceed
    /// that.
    const FIRST: f64 = 4.0;
    /// More batches than that do not get through one connection pool any faster.
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

    fn went_well(&mut self, halvings: u64) {
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

impl Default for Pace {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Pace {
    /// Four calls at a time, to begin with, and no more keys a second than that, if it is said.
    #[must_use]
    pub fn new(keys_per_second: Option<NonZeroU32>) -> Self {
        let rate = |keys_per_second| Mutex::new(Rate { keys_per_second, next: Instant::now() });
        Self { window: Mutex::new(Window::new()), freed: Notify::new(), rate: keys_per_second.map(rate) }
    }

    /// Waits until a call for that many keys may begin.
    pub(crate) async fn turn(&self, keys: usize) -> Turn<'_> {
        if let Some(rate) = &self.rate {
            let wait = rate.lock().unwrap_or_else(PoisonError::into_inner).reserve(keys, Instant::now());
            tokio::time::sleep(wait).await;
        }
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on no end of a call is missed.
            freed.as_mut().enable();
            let begun = self.window().begin();
            if let Some(halvings) = begun {
                return Turn { pace: self, halvings };
            }
            freed.await;
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        // Numbers only: they are whole, whoever panicked.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// All of the call was taken.
    pub(crate) fn went_well(&self) {
        self.pace.window().went_well(self.halvings);
    }

    /// A part of it was refused for being too much.
    pub(crate) fn throttled(&self) {
        self.pace.window().throttled(self.halvings);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pace.window().end();
        self.pace.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many calls that all begin, then all end the same way.
    fn round(window: &mut Window, throttled: bool) -> usize {
        let turns: Vec<u64> = std::iter::from_fn(|| window.begin()).collect();
        for halvings in &turns {
            if throttled {
                window.throttled(*halvings);
            } else {
                window.went_well(*halvings);
            }
            window.end();
        }
        turns.len()
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
    fn a_rate_is_kept_and_idle_time_not_made_up_for() {
        let begun = Instant::now();
        let mut rate = Rate { keys_per_second: NonZeroU32::new(100).unwrap(), next: begun };
        assert_eq!(rate.reserve(25, begun), Duration::ZERO);
        assert_eq!(rate.reserve(25, begun), Duration::from_millis(250));
        assert_eq!(rate.reserve(1, begun), Duration::from_millis(500));
        let later = begun + Duration::from_mins(1);
        assert_eq!(rate.reserve(25, later), Duration::ZERO);
        assert_eq!(rate.reserve(25, later), Duration::from_millis(250));
    }

    #[tokio::test]
    async fn a_call_waits_until_another_ends() {
        let pace = Pace::new(None);
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.push(pace.turn(1).await);
        }
        let mut waiting = Box::pin(pace.turn(1));
        assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_none());
        drop(turns.pop());
        assert!(futures_util::FutureExt::now_or_never(&mut waiting).is_some());
    }
}
