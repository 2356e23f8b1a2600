//! Everything that AWS does now and then, all at once, while many buyers order. Afterwards every key is where it belongs.
//! The same seed brings the same storm again: `cargo bench -p keypool-tests --bench storm -- --help`.

use std::sync::atomic::AtomicU64;

use keypool_tests::history::{Mix, SWEEP, Trial, ViolationKind};
use keypool_tests::{Rates, Shop};

async fn weather(seed: u64) {
    let trial = Trial { seed, orders: 400, buyers: 8, mix: Mix::USUAL, rates: Rates::STORM, sweep: SWEEP };
    let shop = Shop::builder().impatient().open().await;
    let figures = trial.run(&shop, &AtomicU64::new(0)).await;
    assert!(figures.violations.is_empty(), "{figures}");
    assert_eq!(figures.violations_of(ViolationKind::SoldTwice), 0);
    assert!(figures.answered(803) > 0 && figures.faults.len() > 10, "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn storm_1_loses_nothing() {
    weather(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storm_2_loses_nothing() {
    weather(2).await;
}
