//! The memory of an environment between requests: records, and the unused keys of draws.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use keypool_domain::{LicenseKeyRecord, ProductId, Timestamp};
use keypool_store::StockSize;

/// Remembers records of the table for a while. It holds existing records only: a new product is found at
/// once, and callers who guess API keys cannot fill the memory.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    entries: Mutex<HashMap<K, Entry<V>>>,
    keep_for: Duration,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    read_at: Timestamp,
}

/// The most records, for shops with very many products: at about 200 bytes a record, 1 MB.
const ENTRIES_MAX: usize = 4_096;

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub(crate) fn new(keep_for: Duration) -> Self {
        Self { entries: Mutex::new(HashMap::new()), keep_for }
    }

    fn is_fresh(&self, entry: &Entry<V>, now: Timestamp) -> bool {
        let age = now.unix_microseconds() - entry.read_at.unix_microseconds();
        // A clock that was set back makes an entry's age negative. The record is then read again.
        u64::try_from(age).is_ok_and(|age| Duration::from_micros(age) < self.keep_for)
    }

    pub(crate) fn value(&self, key: &K, now: Timestamp) -> Option<V> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|entry| self.is_fresh(entry, now)).map(|entry| entry.value.clone())
    }

    /// Takes a value out.
    fn take(&self, key: &K, now: Timestamp) -> Option<V> {
        let entry = self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(key)?;
        self.is_fresh(&entry, now).then_some(entry.value)
    }

    pub(crate) fn remember(&self, key: K, value: V, now: Timestamp) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&key) {
            entries.retain(|_, entry| self.is_fresh(entry, now));
            if entries.len() >= ENTRIES_MAX {
                entries.clear();
            }
        }
        entries.insert(key, Entry { value, read_at: now });
    }
}

/// The time for which a window is kept. Meanwhile, other environments sell some of its keys.
const WINDOW_KEPT_FOR: Duration = Duration::from_secs(5);

/// The least stock of a product whose windows are kept. On a smaller one, buyers collide too often: a miss
/// costs more calls than a window saves. The bench `draw` shows it.
const STOCK_MIN: usize = 5_000;

/// The number of estimates of a stock that are averaged. Sales leave holes among the positions, so one
/// estimate of a stock with much turnover may be wrong by as much as the stock.
const AVERAGED_MAX: u32 = 16;

/// The state of each product's stock as an environment knows it: the keys that its last draw left over, and
/// an estimate of the size. The next sale draws from these keys, without a call. The condition of the sale
/// decides if a key is still for sale.
#[derive(Debug)]
pub(crate) struct Windows {
    kept: Cache<ProductId, Window>,
    /// The average of the latest estimates, and their number.
    sizes: Mutex<HashMap<ProductId, (f64, u32)>>,
}

/// The unused keys of one draw.
#[derive(Debug, Clone)]
pub struct Window {
    /// The keys, in random order.
    pub keys: Vec<LicenseKeyRecord>,
    /// The size of the stock at the draw.
    pub stock: StockSize,
    /// The time of the draw.
    pub drawn_at: Timestamp,
}

impl Windows {
    pub(crate) fn new() -> Self {
        Self { kept: Cache::new(WINDOW_KEPT_FOR), sizes: Mutex::default() }
    }

    /// Takes the window of a product, if it has `quantity` keys and is fresh. No other caller gets the same
    /// keys from here.
    pub(crate) fn take(&self, product_id: ProductId, quantity: usize, now: Timestamp) -> Option<Window> {
        self.kept.take(&product_id, now).filter(|window| window.keys.len() >= quantity)
    }

    /// Keeps a window, if its product's stock is large.
    pub(crate) fn keep(&self, product_id: ProductId, window: Window) {
        if matches!(window.stock, StockSize::Estimate(keys) if keys >= STOCK_MIN) && !window.keys.is_empty() {
            let drawn_at = window.drawn_at;
            self.kept.remember(product_id, window, drawn_at);
        }
    }

    /// Adds the size that a draw saw, and returns the estimate of the stock: the average of the latest draws,
    /// or the number of keys if the draw saw them all.
    #[expect(clippy::cast_precision_loss, reason = "an estimate needs a few digits")]
    pub(crate) fn stock_size(&self, product_id: ProductId, seen: StockSize) -> f64 {
        let keys = seen.get() as f64;
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let (average, count) = sizes.entry(product_id).or_default();
        match seen {
            StockSize::Exact(_) => (*average, *count) = (keys, 0),
            StockSize::Estimate(_) => {
                *count = AVERAGED_MAX.min(*count + 1);
                *average += (keys - *average) / f64::from(*count);
            }
        }
        *average
    }
}

#[cfg(test)]
mod tests {
    use keypool_domain::{
        ActivationLimit, NewKey, OperatingSystemRandomness, Owner, RowId, Status, Validity,
    };

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_microseconds(seconds * 1_000_000).unwrap()
    }

    fn window(keys: usize, stock: StockSize) -> Window {
        let key = |n: usize| {
            let new = NewKey {
                license_key: format!("KEY-{n}").parse().unwrap(),
                product_id: ProductId::MIN,
                activation_limit: ActivationLimit::MIN,
                validity: Validity::MIN,
                status: Status::Available,
                owner: Owner::default(),
                assigned_at: None,
                order: None,
                assignment_id: None,
                creation_id: None,
            };
            new.into_record(RowId::MIN, at(0), &OperatingSystemRandomness)
        };
        Window { keys: (0..keys).map(key).collect(), stock, drawn_at: at(100) }
    }

    #[test]
    fn a_value_is_kept_for_its_time_only() {
        let cache = Cache::new(Duration::from_mins(1));
        cache.remember("a", 1, at(100));
        assert_eq!(cache.value(&"a", at(100)), Some(1));
        assert_eq!(cache.value(&"a", at(159)), Some(1));
        assert_eq!(cache.value(&"a", at(160)), None);
        assert_eq!(cache.value(&"a", at(99)), None, "the clock was set back");
        assert_eq!(cache.value(&"b", at(100)), None);
    }

    #[test]
    fn the_cache_does_not_grow_without_bound() {
        let cache = Cache::new(Duration::from_mins(1));
        for key in 0..=ENTRIES_MAX {
            cache.remember(key, (), at(100));
        }
        assert!(cache.entries.lock().unwrap().len() <= ENTRIES_MAX);
        assert_eq!(cache.value(&ENTRIES_MAX, at(100)), Some(()));
    }

    #[test]
    fn a_window_is_taken_once_and_only_while_it_is_fresh() {
        let windows = Windows::new();
        let large = StockSize::Estimate(STOCK_MIN);
        for (now, is_taken) in [(100, true), (104, true), (105, false)] {
            windows.keep(ProductId::MIN, window(3, large));
            assert_eq!(windows.take(ProductId::MIN, 3, at(now)).is_some(), is_taken, "{now}");
            assert!(windows.take(ProductId::MIN, 1, at(now)).is_none(), "it was taken");
        }
        windows.keep(ProductId::MIN, window(3, large));
        assert!(windows.take(ProductId::MIN, 4, at(100)).is_none(), "too few keys");
    }

    #[test]
    fn estimates_are_averaged_and_a_count_restarts_them() {
        let windows = Windows::new();
        let seen = [
            (StockSize::Estimate(1_000), 1_000.0),
            (StockSize::Estimate(2_000), 1_500.0),
            (StockSize::Estimate(600), 1_200.0),
            (StockSize::Exact(20), 20.0),
            (StockSize::Estimate(900), 900.0),
        ];
        for (size, expected) in seen {
            assert!((windows.stock_size(ProductId::MIN, size) - expected).abs() < 0.01, "{size:?}");
        }
    }

    #[test]
    fn windows_of_small_stocks_are_not_kept() {
        let windows = Windows::new();
        for stock in [StockSize::Exact(STOCK_MIN), StockSize::Estimate(STOCK_MIN - 1)] {
            windows.keep(ProductId::MIN, window(3, stock));
            assert!(windows.take(ProductId::MIN, 1, at(100)).is_none(), "{stock:?}");
        }
    }
}
