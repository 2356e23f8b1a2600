use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use keypool_domain::{LicenseKeyRecord, ProductId, Timestamp};
use keypool_store::StockSize;

/// How long a window is kept. Until then, other environments sell some of its keys.
const KEPT_FOR_US: i64 = 5_000_000;

/// The least stock of a product whose windows are kept. On a smaller one, buyers meet too often: a miss costs more calls
/// than a window saves. The bench `draw` shows it.
const STOCK_MIN: usize = 5_000;

/// Keys that a draw has read and not used. The next sale of the environment draws from them, without a invocation. Whether a
/// key is still for sale, the condition of the sale decides.
#[derive(Debug, Default)]
pub(crate) struct Windows(Mutex<HashMap<ProductId, Window>>);

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
    /// Takes the window of a product, if it has `quantity` keys and is fresh. Nobody else gets the same keys from here.
    pub(crate) fn take(&self, product_id: ProductId, quantity: usize, now: Timestamp) -> Option<Window> {
        let window = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&product_id)?;
        let age_us = now.unix_microseconds() - window.drawn_at.unix_microseconds();
        (window.keys.len() >= quantity && age_us <= KEPT_FOR_US).then_some(window)
    }

    /// Keeps a window, if its product's stock is large.
    pub(crate) fn keep(&self, product_id: ProductId, window: Window) {
        if matches!(window.stock, StockSize::Estimate(keys) if keys >= STOCK_MIN) && !window.keys.is_empty() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(product_id, window);
        }
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
                assignment_id: None,
                creation_id: None,
            };
            new.into_record(RowId::MIN, at(0), &OperatingSystemRandomness)
        };
        Window { keys: (0..keys).map(key).collect(), stock, drawn_at: at(100) }
    }

    #[test]
    fn a_window_is_taken_once_and_only_while_it_is_fresh() {
        let windows = Windows::default();
        let large = StockSize::Estimate(STOCK_MIN);
        for (now, is_taken) in [(100, true), (105, true), (106, false)] {
            windows.keep(ProductId::MIN, window(3, large));
            assert_eq!(windows.take(ProductId::MIN, 3, at(now)).is_some(), is_taken, "{now}");
            assert!(windows.take(ProductId::MIN, 1, at(now)).is_none(), "it was taken");
        }
        windows.keep(ProductId::MIN, window(3, large));
        assert!(windows.take(ProductId::MIN, 4, at(100)).is_none(), "too few keys");
    }

    #[test]
    fn windows_of_small_stocks_are_not_kept() {
        let windows = Windows::default();
        for stock in [StockSize::Exact(STOCK_MIN), StockSize::Estimate(STOCK_MIN - 1)] {
            windows.keep(ProductId::MIN, window(3, stock));
            assert!(windows.take(ProductId::MIN, 1, at(100)).is_none(), "{stock:?}");
        }
    }
}
