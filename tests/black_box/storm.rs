//! Injects all rare faults of AWS at once while many buyers order. Afterwards every key is where it belongs.
//! The same seed repeats the same storm: `cargo bench -p keypool-tests --bench storm -- --help`.

use std::sync::atomic::AtomicU64;

use keypool_tests::storms::{FaultRates, Mix, SWEEP, StormRun, ViolationKind};
use keypool_tests::{Shop, Sweep};

const MIX: Mix = Mix { big: 0, created_keys_max: 30, ..Mix::USUAL };

/// Runs a storm in which orders of more than `sale_keys_max` keys are large ones.
async fn expect_nothing_lost(seed: u64, sale_keys_max: usize, mix: Mix) {
    let run = StormRun { seed, orders: 300, buyers: 8, mix, rates: FaultRates::STORM, sweep: SWEEP };
    let shop = Shop::builder().with_checkout_timeouts().with_sale_keys_max(sale_keys_max).open().await;
    let figures = run.run(&shop, &AtomicU64::new(0)).await;
    assert!(figures.violations.is_empty(), "{figures}");
    assert!(figures.answered(803) > 0 && figures.replays > 0 && figures.faults.len() > 10, "{figures}");
    // The shop's server failed some callbacks.
    let ended: usize = figures.queued.ended.values().sum();
    assert!(figures.queued.callbacks > ended && ended >= figures.answered(807), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_over_small_orders_loses_nothing() {
    expect_nothing_lost(1, usize::MAX, MIX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_over_large_orders_loses_nothing() {
    expect_nothing_lost(2, 3, MIX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_over_mostly_large_orders_loses_nothing() {
    expect_nothing_lost(3, 1, MIX).await;
}

/// Most orders are queued and keys are scarce, so many orders wait and some end.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_over_queued_orders_loses_nothing() {
    expect_nothing_lost(4, 3, Mix { queued: 1_200, ..MIX }).await;
}

/// Many requests replace the same keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_over_replacements_loses_nothing() {
    let mix = Mix { replace: 600, ..MIX };
    let run = StormRun { seed: 6, orders: 300, buyers: 8, mix, rates: FaultRates::STORM, sweep: SWEEP };
    let shop = Shop::builder().with_checkout_timeouts().open().await;
    let figures = run.run(&shop, &AtomicU64::new(0)).await;
    assert!(figures.violations.is_empty(), "{figures}");
    assert!(figures.answered(860) > 10 && figures.answered(862) > 10, "{figures}");
}

/// Proves that the check finds violations: without the sweep, messages that the queue lost are never resent.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_without_a_queue_sweep_loses_orders() {
    let rates = FaultRates { messages_forgotten: 5_000, ..FaultRates::CALM };
    let sweep: Sweep = |desk| {
        Box::pin(async move {
            let _ = desk.store().sweep(desk.clock().now()).await;
        })
    };
    let run = StormRun { seed: 5, orders: 60, buyers: 4, mix: Mix { queued: 1_200, ..MIX }, rates, sweep };
    let figures = run.run(&Shop::open().await, &AtomicU64::new(0)).await;
    assert!(figures.violations_of(ViolationKind::Lost) > 0, "{figures}");
}
