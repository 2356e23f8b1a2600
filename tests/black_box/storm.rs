//! Everything that AWS does now and then, all at once, while many buyers order. Afterwards every key is where it belongs.
//! The same seed brings the same storm again: `cargo bench -p keypool-tests --bench storm -- --help`.

use std::sync::atomic::AtomicU64;

use keypool_tests::history::{Mix, SWEEP, Trial};
use keypool_tests::{Rates, Shop};

/// A storm, while orders of more keys than `sale_keys_max` are large ones.
async fn expect_nothing_lost(seed: u64, sale_keys_max: usize) {
    let mix = Mix { big: 0, created_keys_max: 30, ..Mix::USUAL };
    let trial = Trial { seed, orders: 300, buyers: 8, mix, rates: Rates::STORM, sweep: SWEEP };
    let shop = Shop::builder().with_checkout_timeouts().with_sale_keys_max(sale_keys_max).open().await;
    let figures = trial.run(&shop, &AtomicU64::new(0)).await;
    assert!(figures.violations.is_empty(), "{figures}");
    assert!(figures.answered(803) > 0 && figures.replays > 0 && figures.faults.len() > 10, "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_over_small_orders_loses_nothing() {
    expect_nothing_lost(1, usize::MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_over_large_orders_loses_nothing() {
    expect_nothing_lost(2, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_over_orders_that_are_nearly_all_large_loses_nothing() {
    expect_nothing_lost(3, 1).await;
}
